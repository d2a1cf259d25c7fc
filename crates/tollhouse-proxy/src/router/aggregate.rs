//! Asks several servers the same question and makes one answer of theirs.
//!
//! Items pass as they are, only their names get the server's prefix. A server that does not answer is left out; it
//! never fails the others.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use tollhouse_core::context;
use tollhouse_core::era::{Era, Version};
use tollhouse_core::fault;
use tollhouse_core::record::{Attempt, Failed, Leg};
use tollhouse_core::wire::{Envelope, Form, Members, Span, members};

use super::{left_out, question_clocks};
use crate::answer::Refusal;
use crate::call::{Call, quote};
use crate::crossing::{self, Asker, Beside, Way};
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::kinds::Kind;
use crate::names::Tables;
use crate::notices::view::Shown;
use crate::session::legacy::Session;
use crate::upstream::{ITEMS_MAX, PAGES_MAX};

/// Everything `kind` that the servers offer, as a result.
pub(super) async fn list(
    gateway: &Arc<Gateway>,
    call: &mut Call,
    session: Option<&Arc<Session>>,
    kind: Kind,
) -> Vec<u8> {
    let asked_at = Instant::now();
    if let Some(session) = session {
        gateway.fleet.roster().iter().for_each(|(place, _)| session.changes.ask(place, kind));
    }
    let pages = ask_all(gateway, call, session, kind.method(), move |asked| Box::pin(drain(asked, kind))).await;
    let listed: Vec<_> = pages.iter().map(|(place, pages)| (*place, locals(pages, kind))).collect();
    let tables = gateway.names.learn(kind, &listed);
    if let Some(session) = session {
        for (place, _) in gateway.fleet.roster().iter() {
            let found = pages.iter().find(|(answered, _)| *answered == place);
            let shown = found.map_or(Shown::Absent, |(_, pages)| digest(&tables, pages, place, kind));
            session.changes.show(place, kind, asked_at, shown);
        }
    }
    let mut result = Vec::with_capacity(4096);
    result.extend_from_slice(format!("{{\"{}\":[", kind.items()).as_bytes());
    let (mut count, mut seen, mut ttl) = (0, HashSet::new(), u64::MAX);
    for (place, pages) in &pages {
        for page in pages {
            let Form::Result { result: page_result, .. } = page.form else { continue };
            let found = Members::of(&page.bytes, page_result);
            let page_ttl = found.get("ttlMs").and_then(|span| members::integer(page.raw(span)));
            ttl = ttl.min(page_ttl.and_then(|ttl| u64::try_from(ttl).ok()).unwrap_or(0));
            for (item, key, local) in items(page, kind) {
                let Some(exposed) = tables.exposed(kind, *place, &local) else { continue };
                if count == ITEMS_MAX || !seen.insert(exposed) {
                    continue;
                }
                if count > 0 {
                    result.push(b',');
                }
                count += 1;
                result.extend_from_slice(&page.bytes[item.start()..key.start()]);
                result.extend_from_slice(&quote(exposed));
                result.extend_from_slice(&page.bytes[key.end()..item.end()]);
            }
        }
    }
    result.push(b']');
    if call.era() == Era::Modern {
        let ttl = if ttl == u64::MAX { 0 } else { ttl };
        result.extend_from_slice(
            format!(",\"resultType\":\"complete\",\"ttlMs\":{ttl},\"cacheScope\":\"private\",{}", server_info())
                .as_bytes(),
        );
    }
    result.push(b'}');
    result
}

/// Reads what one server lists, and what of it is shown under which names, for comparison with what was shown before.
pub(super) async fn read(mut asked: Question, kind: Kind) -> Result<Shown, Failure> {
    let pages = drain(&mut asked, kind).await?;
    let Question { gateway, place, .. } = asked;
    let tables = gateway.names.learn(kind, &[(place, locals(&pages, kind))]);
    Ok(digest(&tables, &pages, place, kind))
}

fn digest(tables: &Tables, pages: &[Envelope], place: usize, kind: Kind) -> Shown {
    let (mut hasher, mut empty) = (DefaultHasher::new(), true);
    for (page, (item, _, local)) in pages.iter().flat_map(|page| items(page, kind).map(move |item| (page, item))) {
        if let Some(exposed) = tables.exposed(kind, place, &local) {
            (exposed, page.raw(item)).hash(&mut hasher);
            empty = false;
        }
    }
    if empty { Shown::Absent } else { Shown::Items(hasher.finish()) }
}

/// The items of a page that have a name: item, name, and the name as text.
fn items(page: &Envelope, kind: Kind) -> impl Iterator<Item = (Span, Span, Cow<'_, str>)> {
    let text = &page.bytes;
    let items = page.member(kind.items());
    items.into_iter().flat_map(|items| members::elements(text, items)).filter_map(move |item| {
        let key = Members::of(text, item).get(kind.key())?;
        Some((item, key, members::text(key.of(text))?))
    })
}

/// What a server calls the things on its pages, in its order.
fn locals(pages: &[Envelope], kind: Kind) -> Vec<Cow<'_, str>> {
    pages.iter().flat_map(|page| items(page, kind)).map(|(_, _, local)| local).take(ITEMS_MAX).collect()
}

/// All pages of one server.
async fn drain(asked: &mut Question, kind: Kind) -> Result<Vec<Envelope>, Failure> {
    let mut pages: Vec<Envelope> = Vec::new();
    let mut cursor: Option<Bytes> = None;
    while pages.len() < PAGES_MAX {
        let params = match &cursor {
            None => Vec::new(),
            Some(cursor) => [b"\"cursor\":", &cursor[..]].concat(),
        };
        let page = asked.ask(kind.method(), &params).await?;
        let Form::Result { result, .. } = page.form else {
            // A server without such things says that it does not know the method.
            return Ok(pages);
        };
        let next = Members::of(&page.bytes, result).get("nextCursor").map(|span| page.slice(span));
        let upstream = asked.gateway.fleet.at(asked.place);
        if kind == Kind::Tool {
            // In the caller's own session nobody looks after headers.
            upstream.learn(&page, if let Way::Linked(..) = asked.way { Era::Legacy } else { Era::Modern });
        }
        pages.push(crossing::callable(&asked.way, &upstream, kind.method(), page));
        match next {
            Some(next) if next != "null" && Some(&next) != cursor.as_ref() => cursor = Some(next),
            _ => {
                if kind == Kind::Tool {
                    upstream.definitions.forget_others(&pages);
                }
                return Ok(pages);
            }
        }
    }
    Ok(pages)
}

/// What one server is asked, and how it is reached.
pub(super) struct Question {
    pub(super) gateway: Arc<Gateway>,
    pub(super) place: usize,
    pub(super) way: Way,
    pub(super) beside: Beside,
    pub(super) heard: Heard,
}

/// What has come of a question so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heard {
    /// Was the server asked at all? What it said before may do.
    asked: bool,
    /// The code of the JSON-RPC error that it answered.
    code: Option<i64>,
}

impl Question {
    pub(super) fn new(gateway: Arc<Gateway>, place: usize, way: Way, beside: Beside) -> Self {
        Self { gateway, place, way, beside, heard: Heard::default() }
    }

    async fn ask(&mut self, method: &'static str, params: &[u8]) -> Result<Envelope, Failure> {
        let (place, clocks) = (self.place, question_clocks(&self.gateway.fleet.at(self.place)));
        self.heard.asked = true;
        let answer = crossing::ask(&self.gateway, &mut self.way, place, method, params, &self.beside, &clocks).await?;
        self.heard.code = answer.error_code();
        Ok(answer)
    }

    /// What the server can do; where it has said so before, it is not asked.
    async fn discover(&mut self) -> Result<Bytes, Failure> {
        let answer = match self.way.greeting() {
            Some(greeting) => greeting,
            None => self.ask("server/discover", b"").await?,
        };
        let Form::Result { result, .. } = answer.form else { return Ok(Bytes::new()) };
        Ok(answer.slice(result))
    }
}

type Asking<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// Asks all servers `method` at the same time, each in its own era; the answers in the order of the configuration. What
/// each was asked becomes a leg of the call.
async fn ask_all<T: Send + 'static>(
    gateway: &Arc<Gateway>,
    call: &mut Call,
    session: Option<&Arc<Session>>,
    method: &'static str,
    question: impl Fn(&mut Question) -> Asking<'_, T> + Clone + Send + Sync + 'static,
) -> Vec<(usize, T)> {
    let meta = call.params.meta.filter(|_| session.is_none());
    let asker = Asker::of(gateway, call, session);
    let (era, received) = (call.era(), call.received);
    // One that took no session is not asked for another with every list.
    let within_reach =
        |place: &usize| session.is_none_or(|session| session.link(*place).is_some() || session.may_open(*place));
    let places: Vec<usize> = gateway.fleet.roster().order.iter().copied().filter(within_reach).collect();
    let asking: Vec<_> = places
        .into_iter()
        .map(|place| {
            let (span, told) = call.traced.leg();
            let attempt = Attempt { span, started: received.elapsed(), ..Attempt::default() };
            let state = call.traced.told_state().map(Into::into);
            let beside = Beside { meta: meta.map(|meta| passed_meta(call, meta, told.is_some())), told, state };
            let asking = ask_one(gateway.clone(), asker.clone(), era, place, beside, question.clone());
            let asking = async move { (asking.await, received.elapsed()) };
            (place, attempt, gateway.tasks.spawn(context::carried(asking)))
        })
        .collect();
    let mut answers = Vec::with_capacity(asking.len());
    let mut legs = Vec::with_capacity(asking.len());
    for (place, mut attempt, task) in asking {
        let (answered, ended) = task.await.unwrap_or_else(|broken| {
            (Err(Failure::new(fault::Kind::Lost, format_args!("asking it was cut off: {broken}"))), received.elapsed())
        });
        let failed = match &answered {
            Ok((_, heard)) => heard.code.map(Failed::Code),
            Err(failure) => Some(Failed::Fault(failure.fault.kind)),
        };
        (attempt.ended, attempt.failed) = (Some(ended), failed);
        let leg = Leg { server: gateway.fleet.at(place).id.clone(), method, asked: attempt };
        match answered {
            Ok((answer, heard)) => {
                answers.push((place, answer));
                if let Some(code) = heard.code.filter(|_| leg.is_missing()) {
                    let failure = Failure::new(fault::Kind::Rejected, format_args!("it answers with error {code}"));
                    left_out(gateway, place, &failure, "left out of a list");
                }
                if heard.asked {
                    legs.push(leg);
                }
            }
            Err(failure) => {
                let unlinked = session.filter(|session| session.link(place).is_none());
                if let Some(session) = unlinked.filter(|_| !gateway.fleet.at(place).is_away()) {
                    session.note_unopened(place);
                }
                left_out(gateway, place, &failure, "left out of a list");
                legs.push(leg);
            }
        }
    }
    call.asked(legs);
    answers
}

/// Asks one of the servers, from finding the way to it to the last page of its answer.
async fn ask_one<T>(
    gateway: Arc<Gateway>,
    asker: Asker,
    era: Era,
    place: usize,
    beside: Beside,
    question: impl Fn(&mut Question) -> Asking<'_, T>,
) -> Result<(T, Heard), Failure> {
    let upstream = gateway.fleet.at(place);
    // A server that was away when a session began gets its link when it is there.
    upstream.joins(era).await?;
    let clocks = question_clocks(&upstream);
    let asking = async {
        let way = crossing::find(&gateway, &asker, place, &clocks).await?;
        let mut to_ask = Question::new(gateway.clone(), place, way, beside);
        question(&mut to_ask).await.map(|answer| (answer, to_ask.heard))
    };
    // All pages together: who holds up the others longer is left out.
    let answered = clocks.within(asking).await.and_then(|answered| answered);
    if answered.as_ref().is_err_and(|failure| failure.fault.kind == fault::Kind::Timeout) {
        upstream.doubt(None);
    }
    answered
}

/// The members of the caller's `_meta` less its progress token, since nobody reports progress on a question of ours, and
/// less its trace, and what is said of that in our name, if the server is `told` of ours.
fn passed_meta(call: &Call, meta: Span, told: bool) -> Bytes {
    let text = &call.envelope.bytes;
    let state = call.traced.told_state().is_some();
    let unwanted = [("progressToken", true), ("traceparent", told), ("tracestate", told && state)];
    let passes = |key: &[u8]| !unwanted.iter().any(|(name, unwanted)| *unwanted && members::is_key(key, name));
    let kept: Vec<_> = Members::of(text, meta)
        .filter(|(key, _)| passes(key.of(text)))
        .map(|(key, value)| [b"\"", key.of(text), b"\":", value.of(text)].concat())
        .collect();
    kept.join(&b',').into()
}

/// What the servers together can do, as the result of `server/discover`.
pub(super) async fn discover(gateway: &Arc<Gateway>, call: &mut Call) -> Vec<u8> {
    let found = ask_all(gateway, call, None, "server/discover", |asked| Box::pin(asked.discover())).await;
    let results: Vec<_> = found.into_iter().map(|(_, result)| result).collect();
    format!(
        "{{\"resultType\":\"complete\",\"supportedVersions\":[\"{}\"],\"capabilities\":{},\"ttlMs\":0,\"cacheScope\":\"private\",{}}}",
        Version::MODERN,
        capabilities(&results),
        server_info(),
    )
    .into_bytes()
}

/// What the servers together can do, as the result of `initialize`.
pub(super) fn initialize_result(version: Version, results: &[Bytes]) -> Bytes {
    format!("{{\"protocolVersion\":\"{version}\",\"capabilities\":{},\"serverInfo\":{}}}", capabilities(results), ME)
        .into()
}

/// The log level goes to every server of the session; it is kept for those that are told with every request.
pub(super) async fn set_level(
    gateway: &Arc<Gateway>,
    call: &mut Call,
    session: Option<&Arc<Session>>,
) -> Result<(), Refusal> {
    let Some(session) = session else { return Ok(()) };
    crossing::set_log_level(session, &call.envelope)?;
    let level = call.envelope.member("level").map(|span| call.envelope.slice(span)).unwrap_or_default();
    ask_all(gateway, call, Some(session), "logging/setLevel", move |asked| {
        let params = [b"\"level\":", &level[..]].concat();
        Box::pin(async move {
            if asked.way.crosses() { Ok(()) } else { asked.ask("logging/setLevel", &params).await.map(drop) }
        })
    })
    .await;
    Ok(())
}

const ME: &str = concat!(r#"{"name":"tollhouse","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

fn server_info() -> String {
    format!("\"_meta\":{{\"io.modelcontextprotocol/serverInfo\":{ME}}}")
}

/// A capability is there if one server has it. What the gateway does not carry over several servers is not claimed.
fn capabilities(results: &[Bytes]) -> String {
    let has = |capability: &str| results.iter().any(|result| member(result, capability, None).is_some());
    // Lists over several servers change even if none of theirs ever does: servers come and go.
    let flag = |capability: &str, flag: &str| {
        flag == "listChanged" || results.iter().any(|result| member(result, capability, Some(flag)) == Some(b"true"))
    };
    let mut claimed = Vec::new();
    for (capability, flags) in [
        ("tools", ["listChanged"].as_slice()),
        ("prompts", &["listChanged"]),
        ("resources", &["listChanged", "subscribe"]),
        ("logging", &[]),
        ("completions", &[]),
    ] {
        if !has(capability) {
            continue;
        }
        let flags: Vec<_> =
            flags.iter().filter(|name| flag(capability, name)).map(|name| format!("\"{name}\":true")).collect();
        claimed.push(format!("\"{capability}\":{{{}}}", flags.join(",")));
    }
    format!("{{{}}}", claimed.join(","))
}

fn member<'a>(result: &'a [u8], capability: &str, flag: Option<&str>) -> Option<&'a [u8]> {
    let capabilities = Members::of(result, Span::new(0, result.len())).get("capabilities")?;
    let value = Members::of(result, capabilities).get(capability)?;
    match flag {
        None => Some(value.of(result)),
        Some(flag) => Members::of(result, value).get(flag).map(|span| span.of(result)),
    }
}
