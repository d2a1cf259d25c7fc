//! Asks several servers the same question and makes one answer of theirs.
//!
//! Items pass as they are, only their names get the server's prefix. A server that does not answer is left out; it
//! never fails the others.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use tollhouse_core::era::{Era, Version};
use tollhouse_core::fault::Kind as Fault;
use tollhouse_core::wire::{Envelope, Form, Members, Span, members};

use super::{left_out, question_clocks};
use crate::call::{Call, quote};
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::links::live_link;
use crate::names::Kind;
use crate::session::legacy::Session;
use crate::upstream::{ITEMS_MAX, PAGES_MAX, State, Upstream};

/// Everything `kind` that the servers offer, as a result.
pub(super) async fn list(gateway: &Arc<Gateway>, call: &Call, session: Option<&Arc<Session>>, kind: Kind) -> Vec<u8> {
    let pages =
        ask_all(gateway, call, session, move |gateway, asker, place| Box::pin(drain(gateway, asker, place, kind)))
            .await;
    let listed: Vec<_> = pages.iter().map(|(place, pages)| (*place, locals(pages, kind))).collect();
    let tables = gateway.names.learn(kind, &listed);
    let mut result = Vec::with_capacity(4096);
    result.extend_from_slice(format!("{{\"{}\":[", kind.items()).as_bytes());
    let (mut count, mut seen, mut ttl) = (0, HashSet::new(), u64::MAX);
    for (place, pages) in &pages {
        let server = gateway.fleet.at(*place);
        for page in pages {
            if kind == Kind::Tool && call.era() == Era::Modern {
                server.mirrored.learn(page);
            }
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
async fn drain(gateway: Arc<Gateway>, asker: Asker, place: usize, kind: Kind) -> Result<Vec<Envelope>, Failure> {
    let mut pages: Vec<Envelope> = Vec::new();
    let mut cursor: Option<Bytes> = None;
    while pages.len() < PAGES_MAX {
        let params = match &cursor {
            None => Vec::new(),
            Some(cursor) => [b"\"cursor\":", &cursor[..]].concat(),
        };
        let page = asker.ask(&gateway, place, kind.method(), &params).await?;
        let Form::Result { result, .. } = page.form else {
            // A server without such things says that it does not know the method.
            return Ok(pages);
        };
        let next = Members::of(&page.bytes, result).get("nextCursor").map(|span| page.slice(span));
        pages.push(page);
        match next {
            Some(next) if next != "null" && Some(&next) != cursor.as_ref() => cursor = Some(next),
            _ => return Ok(pages),
        }
    }
    Ok(pages)
}

/// On whose behalf servers are asked: what the caller says of itself, or its session.
#[derive(Clone)]
struct Asker {
    /// The caller's `_meta`, in the modern era.
    meta: Option<Bytes>,
    session: Option<Arc<Session>>,
}

impl Asker {
    async fn ask(
        &self,
        gateway: &Arc<Gateway>,
        place: usize,
        method: &'static str,
        params: &[u8],
    ) -> Result<Envelope, Failure> {
        let upstream = gateway.fleet.at(place);
        let clocks = question_clocks(gateway, place);
        let mut whole = b"{".to_vec();
        if let Some(meta) = &self.meta {
            whole.extend_from_slice(b"\"_meta\":");
            whole.extend_from_slice(meta);
            if !params.is_empty() {
                whole.push(b',');
            }
        }
        whole.extend_from_slice(params);
        whole.push(b'}');
        let link = match &self.session {
            Some(session) => Some(live_link(gateway, session, place, &clocks).await?),
            None => None,
        };
        upstream.ask(method, &whole, link.as_ref(), &clocks).await
    }
}

type Asking<T> = std::pin::Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

/// Asks all servers of the caller's era at the same time; the answers in the order of the configuration.
async fn ask_all<T: Send + 'static>(
    gateway: &Arc<Gateway>,
    call: &Call,
    session: Option<&Arc<Session>>,
    question: impl Fn(Arc<Gateway>, Asker, usize) -> Asking<T>,
) -> Vec<(usize, T)> {
    let era = call.era();
    let meta = (era == Era::Modern).then(|| call.params.meta.map(|span| without_token(call, span))).flatten();
    let asker = Asker { meta, session: session.cloned() };
    // A session that is older than a server gets its link to it here. One that was down when the session began is
    // not waited for, again and again.
    let within_reach = |place: usize, server: &Upstream| match session {
        Some(session) => {
            session.link(place).is_some() || matches!(server.status().state, State::Connected | State::Connecting)
        }
        None => true,
    };
    let roster = gateway.fleet.roster();
    let places: Vec<usize> =
        roster.iter().filter(|(place, server)| within_reach(*place, server)).map(|(place, _)| place).collect();
    let asking: Vec<_> = places
        .into_iter()
        .map(|place| {
            let (upstream, clocks) = (gateway.fleet.at(place), question_clocks(gateway, place));
            let answer = question(gateway.clone(), asker.clone(), place);
            let task = gateway.tasks.spawn(async move {
                if upstream.speaks(era, &clocks).await? {
                    answer.await
                } else {
                    Err(Failure::new(Fault::EraUnsupported, "it speaks another era"))
                }
            });
            (place, task)
        })
        .collect();
    let mut answers = Vec::with_capacity(asking.len());
    for (place, task) in asking {
        match task.await {
            Ok(Ok(answer)) => answers.push((place, answer)),
            Ok(Err(failure)) => left_out(gateway, place, &failure),
            Err(_) => {}
        }
    }
    answers
}

/// The caller's `_meta` less its progress token: nobody reports progress on a question of ours.
fn without_token(call: &Call, meta: Span) -> Bytes {
    let text = &call.envelope.bytes;
    let kept: Vec<_> = Members::of(text, meta)
        .filter(|(key, _)| !members::is_key(key.of(text), "progressToken"))
        .map(|(key, value)| [b"\"", key.of(text), b"\":", value.of(text)].concat())
        .collect();
    [b"{", kept.join(&b',').as_slice(), b"}"].concat().into()
}

/// What the servers together can do, as the result of `server/discover`.
pub(super) async fn discover(gateway: &Arc<Gateway>, call: &Call) -> Vec<u8> {
    let found = ask_all(gateway, call, None, |gateway, asker, place| {
        Box::pin(async move { asker.ask(&gateway, place, "server/discover", b"").await })
    })
    .await;
    let answers: Vec<_> = found.into_iter().map(|(_, answer)| answer).collect();
    format!(
        "{{\"resultType\":\"complete\",\"supportedVersions\":[\"{}\"],\"capabilities\":{},\"ttlMs\":0,\"cacheScope\":\"private\",{}}}",
        Version::MODERN,
        capabilities(&answers, Era::Modern),
        server_info(),
    )
    .into_bytes()
}

/// What the servers together can do, as the result of `initialize`.
pub(super) fn initialize_result(version: Version, answers: &[Envelope]) -> Bytes {
    format!(
        "{{\"protocolVersion\":\"{version}\",\"capabilities\":{},\"serverInfo\":{}}}",
        capabilities(answers, Era::Legacy),
        ME,
    )
    .into()
}

/// The log level goes to every server of the session.
pub(super) async fn set_level(gateway: &Arc<Gateway>, call: &Call, session: Option<&Arc<Session>>) {
    let Some(params) = call.envelope.params else { return };
    let level = Members::of(&call.envelope.bytes, params).get("level").map(|span| call.envelope.slice(span));
    let Some(level) = level else { return };
    ask_all(gateway, call, session, move |gateway, asker, place| {
        let params = [b"\"level\":", &level[..]].concat();
        Box::pin(async move { asker.ask(&gateway, place, "logging/setLevel", &params).await })
    })
    .await;
}

const ME: &str = concat!(r#"{"name":"tollhouse","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

fn server_info() -> String {
    format!("\"_meta\":{{\"io.modelcontextprotocol/serverInfo\":{ME}}}")
}

/// A capability is there if one server has it. What the gateway does not carry over several servers is not claimed.
fn capabilities(answers: &[Envelope], era: Era) -> String {
    let has = |capability: &str| answers.iter().any(|answer| member(answer, capability, None).is_some());
    let flag = |capability: &str, flag: &str| {
        answers.iter().any(|answer| member(answer, capability, Some(flag)) == Some(b"true"))
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
        // Changes of lists reach a modern client through a subscription, which needs one server.
        let flags: Vec<_> = flags
            .iter()
            .filter(|name| era == Era::Legacy && flag(capability, name))
            .map(|name| format!("\"{name}\":true"))
            .collect();
        claimed.push(format!("\"{capability}\":{{{}}}", flags.join(",")));
    }
    format!("{{{}}}", claimed.join(","))
}

fn member<'a>(answer: &'a Envelope, capability: &str, flag: Option<&str>) -> Option<&'a [u8]> {
    let Form::Result { result, .. } = answer.form else { return None };
    let capabilities = Members::of(&answer.bytes, result).get("capabilities")?;
    let value = Members::of(&answer.bytes, capabilities).get(capability)?;
    match flag {
        None => Some(answer.raw(value)),
        Some(flag) => Members::of(&answer.bytes, value).get(flag).map(|span| answer.raw(span)),
    }
}
