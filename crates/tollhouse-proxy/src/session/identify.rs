//! Finds the conversation a call belongs to, by the best of several rules.
//!
//! Only legacy clients over HTTP and stdio processes have sessions in the protocol; everybody else leaves hints, and
//! which rule found the session is recorded with it, and every other id that was found beside it. A hint groups calls
//! of one principal; it never grants anything.
//!
//! ```yaml
//! sessions: { rules: [meta, baggage, header, path, environment, protocol, trace] }
//! ```

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use tollhouse_core::clock;
use tollhouse_core::record::{Hint, Principal, SessionRef, SessionSource};
use tollhouse_core::trace::{Aside, Baggage, Hex, TraceContext, TraceState};
use tollhouse_core::wire::{Envelope, members};

use crate::meta::{ID_MAX, Meta};
use crate::settings::SessionRule;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const SESSION_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("tollhouse-session"), HeaderName::from_static("agent-session-id")];

/// After this pause the same client at the same address is taken to begin another conversation.
const IDLE_GAP: Duration = Duration::from_mins(30);
/// Guessed sessions remembered at once; beyond that the oldest are forgotten and begin anew.
const GUESSES: usize = 10_000;

/// Does any header name a trace or a session? Most requests have none, and then none is looked for.
pub(crate) fn speaks_of_it(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| *name == TRACEPARENT || *name == BAGGAGE || SESSION_HEADERS.contains(name))
}

/// Where the trace of a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Meta,
    Header,
    /// It starts here.
    Here,
}

/// The trace of a request: `_meta` first, then the header, else a new one (SEP-414). Invalid is absent.
pub(crate) fn trace(headers: Option<&HeaderMap>, envelope: &Envelope, meta: &Meta) -> (TraceContext, Origin) {
    let in_meta = meta
        .traceparent
        .and_then(|span| members::text(envelope.raw(span)))
        .and_then(|text| TraceContext::parse(text.as_bytes()));
    let in_header = || headers?.get(TRACEPARENT).and_then(|value| TraceContext::parse(value.as_bytes()));
    match in_meta {
        Some(trace) => (trace, Origin::Meta),
        None => in_header().map_or_else(|| (TraceContext::mint(), Origin::Here), |trace| (trace, Origin::Header)),
    }
}

/// What else a request says of its trace, which it names in `_meta` or in a header.
pub(crate) fn aside(
    headers: Option<&HeaderMap>,
    envelope: &Envelope,
    meta: &Meta,
    origin: Origin,
) -> Option<Box<Aside>> {
    let header = |name: &'static str| {
        headers.into_iter().flat_map(move |headers| headers.get_all(name)).map(HeaderValue::as_bytes)
    };
    let (state, http) = match origin {
        Origin::Here => return None,
        Origin::Header => (TraceState::parse(header("tracestate")), None),
        Origin::Meta => {
            let state = meta.tracestate.and_then(|span| members::text(envelope.raw(span)));
            let http = header("traceparent").next().and_then(TraceContext::parse);
            (state.and_then(|state| TraceState::parse([state.as_bytes()])), http)
        }
    };
    let said = Aside { state, http, follows: None };
    (said != Aside::default()).then(|| Box::new(said))
}

/// All that a request shows of the conversation it belongs to.
pub(crate) struct Evidence<'a> {
    pub(crate) envelope: &'a Envelope,
    pub(crate) meta: &'a Meta,
    /// `None` where no header speaks of it.
    pub(crate) headers: Option<&'a HeaderMap>,
    /// What its path or its process says.
    pub(crate) given: Option<&'a SessionRef>,
    /// Its legacy session.
    pub(crate) session: Option<&'a Arc<str>>,
    /// The trace the client gave.
    pub(crate) trace: Option<&'a TraceContext>,
    /// Is baggage read?
    pub(crate) baggage: bool,
}

impl Evidence<'_> {
    /// The session by the first of `rules` that finds one.
    pub(crate) fn session(&self, rules: &[SessionRule]) -> Option<SessionRef> {
        rules.iter().find_map(|rule| self.by(*rule))
    }

    fn by(&self, rule: SessionRule) -> Option<SessionRef> {
        match rule {
            SessionRule::Meta => {
                let (key, id) = self.meta.session(self.envelope)?;
                Some(SessionRef { id: id.as_ref().into(), source: SessionSource::Meta(key) })
            }
            SessionRule::Baggage => {
                let baggage = self.baggage()?;
                let id = baggage.session_id.or(baggage.conversation_id).filter(|id| fits(id))?;
                Some(SessionRef { id: id.into(), source: SessionSource::Baggage })
            }
            SessionRule::Header => {
                let (_, id) = self.header()?;
                Some(SessionRef { id: id.into(), source: SessionSource::Header })
            }
            SessionRule::Path => self.given.filter(|given| given.source == SessionSource::Path).cloned(),
            SessionRule::Environment => {
                self.given.filter(|given| matches!(given.source, SessionSource::Environment(_))).cloned()
            }
            SessionRule::Protocol => match self.session {
                Some(id) => Some(SessionRef { id: id.clone(), source: SessionSource::Protocol }),
                None => self.given.filter(|given| given.source == SessionSource::Protocol).cloned(),
            },
            SessionRule::Trace => {
                let id = Hex(&self.trace?.trace_id).to_string();
                Some(SessionRef { id: id.into(), source: SessionSource::Trace })
            }
        }
    }

    fn baggage(&self) -> Option<Baggage> {
        if !self.baggage {
            return None;
        }
        let text = self.meta.baggage.and_then(|span| members::text(self.envelope.raw(span)));
        match (&text, self.headers) {
            (Some(text), _) => Baggage::parse([text.as_bytes()]),
            (None, Some(headers)) if headers.contains_key(BAGGAGE) => {
                Baggage::parse(headers.get_all(BAGGAGE).iter().map(http::HeaderValue::as_bytes))
            }
            (None, _) => None,
        }
    }

    fn header(&self) -> Option<(&'static str, &str)> {
        let headers = self.headers?;
        let named = SESSION_HEADERS.into_iter().zip(["tollhouse-session", "agent-session-id"]);
        named.filter_map(|(name, key)| Some((key, headers.get(name)?.to_str().ok()?))).find(|(_, id)| fits(id))
    }

    /// Every id the request bears beside that of `found`, by whatever rule it would be found.
    pub(crate) fn hints(&self, found: &SessionRef) -> Box<[Hint]> {
        let plain = !self.meta.has_ids() && self.meta.baggage.is_none() && self.headers.is_none();
        if plain && self.given.is_none_or(|given| given.id == found.id) {
            return Box::default();
        }
        let meta = self.meta.has_ids().then(|| self.meta.ids(self.envelope)).into_iter().flatten();
        let baggage = self.baggage().into_iter().flat_map(|found| {
            [("session.id", found.session_id), ("gen_ai.conversation.id", found.conversation_id)]
                .into_iter()
                .filter_map(|(key, id)| Some((key, id?)))
        });
        let header = self.header().map(|(key, id)| (key, id.into()));
        let session = self.session.map(|id| ("mcp-session-id", (&**id).into()));
        let given = self.given.map(|given| (given.source.key().unwrap_or(given.source.as_str()), (&*given.id).into()));
        let all = meta.chain(baggage).chain(header).chain(session).chain(given);
        all.map(|(key, value)| Hint { key, value })
            .filter(|hint| fits(&hint.value) && *hint.value != *found.id)
            .collect()
    }
}

fn fits(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_MAX
}

/// The last rule: the same client of one principal at one address, without a long pause.
#[derive(Default)]
pub(crate) struct Guesses {
    known: Mutex<HashMap<Stranger, Guess>>,
}

/// All that is known of a client that names no session: whose it is, what it calls itself, and where it is.
type Stranger = (Principal, Option<Arc<str>>, IpAddr);

struct Guess {
    id: Arc<str>,
    last: Instant,
}

impl Guesses {
    pub(crate) fn find(
        &self,
        principal: &Principal,
        client: Option<&Arc<str>>,
        address: IpAddr,
        now: Instant,
    ) -> SessionRef {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= GUESSES {
            known.retain(|_, guess| now.duration_since(guess.last) < IDLE_GAP);
            if known.len() >= GUESSES {
                known.clear();
            }
        }
        let fresh = || Guess { id: format!("g_{:016x}", clock::distinct_u64()).into(), last: now };
        let guess = known.entry((principal.clone(), client.cloned(), address)).or_insert_with(fresh);
        if now.duration_since(guess.last) >= IDLE_GAP {
            *guess = fresh();
        }
        guess.last = now;
        SessionRef { id: guess.id.clone(), source: SessionSource::Guess }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(meta: &str) -> (Envelope, Meta) {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"_meta":{meta}}}}}"#);
        let envelope = Envelope::parse(text.into()).unwrap();
        let meta = Meta::read(&envelope, envelope.meta()).unwrap();
        (envelope, meta)
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), http::HeaderValue::from_static(v))).collect()
    }

    /// The session found by `rules` in a request with all of this.
    fn found(meta: &str, sent: &HeaderMap, given: Option<&SessionRef>, rules: &[SessionRule]) -> Option<String> {
        let (envelope, meta) = request(meta);
        let evidence = Evidence {
            envelope: &envelope,
            meta: &meta,
            headers: Some(sent),
            given,
            session: None,
            trace: None,
            baggage: true,
        };
        evidence.session(rules).map(|session| format!("{} by {}", session.id, session.source.as_str()))
    }

    #[test]
    fn the_best_rule_wins() {
        let path = SessionRef { id: "of-path".into(), source: SessionSource::Path };
        let all = headers(&[("agent-session-id", "of-header"), ("baggage", "session.id=of-baggage")]);
        let some = headers(&[("agent-session-id", "of-header")]);
        let in_order = &SessionRule::ALL[..];
        for (meta, sent, rules, expected) in [
            (r#"{"threadId":"of-meta"}"#, &all, in_order, "of-meta by meta"),
            ("{}", &all, in_order, "of-baggage by baggage"),
            ("{}", &some, in_order, "of-header by header"),
            ("{}", &HeaderMap::new(), in_order, "of-path by path"),
            (r#"{"threadId":"of-meta"}"#, &all, &[SessionRule::Path, SessionRule::Meta], "of-path by path"),
        ] {
            assert_eq!(found(meta, sent, Some(&path), rules).as_deref(), Some(expected));
        }
        assert_eq!(found("{}", &HeaderMap::new(), None, in_order), None);
        assert_eq!(found(r#"{"threadId":"of-meta"}"#, &all, None, &[SessionRule::Trace]), None);
    }

    #[test]
    fn every_id_beside_the_sessions_is_kept() {
        let (envelope, meta) = request(
            r#"{"claudecode/toolUseId":"t","x-codex-turn-metadata":{"session_id":"s","turn_id":"n","model":"m"},"threadId":7}"#,
        );
        let sent = headers(&[("baggage", "session.id=b"), ("tollhouse-session", "h")]);
        let evidence = Evidence {
            envelope: &envelope,
            meta: &meta,
            headers: Some(&sent),
            given: None,
            session: Some(&"p".into()),
            trace: None,
            baggage: true,
        };
        let session = evidence.session(&SessionRule::ALL).unwrap();
        let hints: Vec<_> =
            evidence.hints(&session).iter().map(|hint| format!("{}={}", hint.key, hint.value)).collect();
        assert_eq!(
            hints,
            [
                "claudecode/toolUseId=t",
                "x-codex-turn-metadata.turn_id=n",
                "x-codex-turn-metadata.model=m",
                "session.id=b",
                "tollhouse-session=h",
                "mcp-session-id=p",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pause_begins_another_conversation() {
        let guesses = Guesses::default();
        let find = || guesses.find(&Principal::Anonymous, None, IpAddr::from([127, 0, 0, 1]), Instant::now());
        let first = find();
        tokio::time::advance(IDLE_GAP / 2).await;
        assert_eq!(find(), first);
        tokio::time::advance(IDLE_GAP).await;
        assert_ne!(find(), first);
    }

    #[test]
    fn meta_beats_the_header_and_rubbish_is_absent() {
        let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let sent = headers(&[("traceparent", "00-11111111111111111111111111111111-00f067aa0ba902b7-01")]);
        let (envelope, meta) = request(&format!(r#"{{"traceparent":"00-{trace_id}-00f067aa0ba902b7-01"}}"#));
        let (found, inbound) = trace(Some(&sent), &envelope, &meta);
        assert_eq!((Hex(&found.trace_id).to_string().as_str(), inbound), (trace_id, Origin::Meta));
        let (envelope, meta) = request(r#"{"traceparent":"rubbish"}"#);
        assert_eq!(trace(None, &envelope, &meta).1, Origin::Here);
    }
}
