//! Finds the conversation a call belongs to, by the best of several rules.
//!
//! Only legacy clients over HTTP and stdio processes have sessions in the protocol; everybody else leaves hints, and
//! which rule found the session is recorded with it. A hint groups calls; it never grants anything.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::time::Instant;
use tollhouse_core::clock;
use tollhouse_core::record::{SessionRef, SessionSource};
use tollhouse_core::trace::{Baggage, Hex, TraceContext};
use tollhouse_core::wire::{Envelope, members};

use crate::meta::Meta;

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

/// The trace of a request: `_meta` first, then the header, else a new one (SEP-414). Invalid is absent.
pub(crate) fn trace(headers: Option<&HeaderMap>, envelope: &Envelope, meta: &Meta) -> (TraceContext, bool) {
    let in_meta = meta
        .traceparent
        .and_then(|span| members::text(envelope.raw(span)))
        .and_then(|text| TraceContext::parse(text.as_bytes()));
    let in_header = || headers?.get(TRACEPARENT).and_then(|value| TraceContext::parse(value.as_bytes()));
    match in_meta.or_else(in_header) {
        Some(trace) => (trace, true),
        None => (TraceContext::mint(), false),
    }
}

/// The session a request names itself, by rules 1 to 3.
pub(crate) fn named(headers: Option<&HeaderMap>, envelope: &Envelope, meta: &Meta) -> Option<SessionRef> {
    if let Some((key, id)) = meta.session(envelope) {
        return Some(SessionRef { id: id.as_ref().into(), source: SessionSource::Meta(key) });
    }
    let text = meta.baggage.and_then(|span| members::text(envelope.raw(span)));
    let baggage = match (&text, headers) {
        (Some(text), _) => Baggage::parse([text.as_bytes()]),
        (None, Some(headers)) if headers.contains_key(BAGGAGE) => {
            Baggage::parse(headers.get_all(BAGGAGE).iter().map(http::HeaderValue::as_bytes))
        }
        (None, _) => None,
    };
    if let Some(id) = baggage.and_then(|baggage| baggage.session_id.or(baggage.conversation_id)) {
        return Some(SessionRef { id: id.into(), source: SessionSource::Baggage });
    }
    let headers = headers?;
    let id = SESSION_HEADERS.iter().find_map(|name| headers.get(name)?.to_str().ok())?;
    (!id.is_empty() && id.len() <= 256).then(|| SessionRef { id: id.into(), source: SessionSource::Header })
}

/// Rule 5: the trace is one turn of a conversation.
pub(crate) fn of_trace(trace: &TraceContext) -> SessionRef {
    SessionRef { id: Hex(&trace.trace_id).to_string().into(), source: SessionSource::Trace }
}

/// Rule 6: the same client at the same address, without a long pause.
#[derive(Default)]
pub(crate) struct Guesses {
    known: Mutex<HashMap<Stranger, Guess>>,
}

/// All that is known of a client that names no session: what it calls itself, and where it is.
type Stranger = (Option<Arc<str>>, IpAddr);

struct Guess {
    id: Arc<str>,
    last: Instant,
}

impl Guesses {
    pub(crate) fn find(&self, client: Option<&Arc<str>>, address: IpAddr, now: Instant) -> SessionRef {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= GUESSES {
            known.retain(|_, guess| now.duration_since(guess.last) < IDLE_GAP);
            if known.len() >= GUESSES {
                known.clear();
            }
        }
        let fresh = || Guess { id: format!("g_{:016x}", clock::distinct_u64()).into(), last: now };
        let guess = known.entry((client.cloned(), address)).or_insert_with(fresh);
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

    #[test]
    fn the_best_rule_wins() {
        let sent = headers(&[("agent-session-id", "from-header"), ("baggage", "session.id=from-baggage")]);
        let (envelope, meta) = request(r#"{"threadId":"from-meta"}"#);
        assert_eq!(named(Some(&sent), &envelope, &meta).unwrap().id.as_ref(), "from-meta");
        let (envelope, meta) = request("{}");
        assert_eq!(named(Some(&sent), &envelope, &meta).unwrap().id.as_ref(), "from-baggage");
        let sent = headers(&[("agent-session-id", "from-header")]);
        assert_eq!(named(Some(&sent), &envelope, &meta).unwrap().id.as_ref(), "from-header");
        assert_eq!(named(None, &envelope, &meta), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pause_begins_another_conversation() {
        let guesses = Guesses::default();
        let address = IpAddr::from([127, 0, 0, 1]);
        let first = guesses.find(None, address, Instant::now());
        tokio::time::advance(IDLE_GAP / 2).await;
        assert_eq!(guesses.find(None, address, Instant::now()), first);
        tokio::time::advance(IDLE_GAP).await;
        assert_ne!(guesses.find(None, address, Instant::now()), first);
    }

    #[test]
    fn meta_beats_the_header_and_rubbish_is_absent() {
        let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let sent = headers(&[("traceparent", "00-11111111111111111111111111111111-00f067aa0ba902b7-01")]);
        let (envelope, meta) = request(&format!(r#"{{"traceparent":"00-{trace_id}-00f067aa0ba902b7-01"}}"#));
        let (found, inbound) = trace(Some(&sent), &envelope, &meta);
        assert_eq!((Hex(&found.trace_id).to_string().as_str(), inbound), (trace_id, true));
        let (envelope, meta) = request(r#"{"traceparent":"rubbish"}"#);
        assert!(!trace(None, &envelope, &meta).1);
    }
}
