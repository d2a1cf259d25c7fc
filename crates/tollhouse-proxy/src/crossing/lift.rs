//! What differs between the eras when a legacy client's request goes to a modern server, and its answer comes back.
//!
//! Pure: from messages to messages. What the client said once, in `initialize`, is said again in the `_meta` of each
//! request; what only modern clients know is taken out of the answers. All other bytes stay.

use bytes::Bytes;
use tollhouse_core::era::Version;
use tollhouse_core::ids::ServerId;
use tollhouse_core::wire::{Envelope, Members, Span, members};

use super::cuts::{capabilities, cut, is_modern_meta, named, part, put_first};
use crate::answer::code;
use crate::call::{Edit, Params, quote};
use crate::log_level::LogLevel;

/// What every modern request says of its client, from that client's `initialize`, without the braces around it.
pub(super) fn introduction(initialize: &Envelope) -> Bytes {
    let text = &initialize.bytes;
    let mut said = format!(r#""io.modelcontextprotocol/protocolVersion":"{}""#, Version::MODERN).into_bytes();
    let object = |key| initialize.member(key).filter(|span| span.of(text)[0] == b'{');
    if let Some(info) = object("clientInfo") {
        said.extend_from_slice(&[b",\"io.modelcontextprotocol/clientInfo\":", info.of(text)].concat());
    }
    // Tasks of one era are another protocol in the other.
    let capabilities = object("capabilities")
        .map(|object| part(text, object, cut(members::cut_members(text, object, named(text, &["tasks"]))).collect()));
    let capabilities = capabilities.as_deref().unwrap_or(b"{}");
    said.extend_from_slice(&[b",\"io.modelcontextprotocol/clientCapabilities\":", capabilities].concat());
    said.into()
}

/// What a request says of its client, and whether that includes its trace.
pub(super) struct Said {
    meta: Vec<u8>,
    trace: bool,
}

/// The members of `_meta` that go with every request, without the braces; `told` is that of its trace.
pub(super) fn meta(introduction: &[u8], level: Option<LogLevel>, told: Option<&[u8]>) -> Said {
    let mut meta = introduction.to_vec();
    if let Some(told) = told {
        meta.push(b',');
        meta.extend_from_slice(told);
    }
    if let Some(level) = level {
        meta.extend_from_slice(format!(r#","io.modelcontextprotocol/logLevel":"{}""#, level.as_str()).as_bytes());
    }
    Said { meta, trace: told.is_some() }
}

/// What is put into a request: `said` as members of `_meta`, and `round`, further members of `params`, both without braces around them.
pub(super) fn request(
    envelope: &Envelope,
    request_id: Span,
    params: &Params,
    said: Said,
    round: Option<&[u8]>,
) -> Box<[Edit]> {
    let text = &envelope.bytes;
    let Said { meta, trace } = said;
    let mut edits: Vec<Edit> = Vec::new();
    let mut first = round.map(<[u8]>::to_vec).unwrap_or_default();
    let own = params.meta.filter(|meta| text[meta.start()] == b'{');
    if let Some(own) = own {
        let unwanted = |key| {
            is_modern_meta(text, key)
                || (params.excess.is_some() && named(text, &["baggage"])(key))
                || (trace && named(text, &["traceparent"])(key))
        };
        edits.extend(put_first(text, own, meta, unwanted));
    } else {
        if !first.is_empty() {
            first.push(b',');
        }
        first.extend_from_slice(&[b"\"_meta\":{", &meta[..], b"}"].concat());
    }
    let Some(object) = envelope.params else {
        let behind = Span::new(request_id.end(), request_id.end());
        edits.push((behind, [b",\"params\":{", &first[..], b"}"].concat().into()));
        return edits.into();
    };
    // In the client's own era these mean nothing.
    let unwanted =
        |key| named(text, &["inputResponses", "requestState"])(key) || (own.is_none() && named(text, &["_meta"])(key));
    if first.is_empty() {
        edits.extend(cut(members::cut_members(text, object, unwanted)));
    } else {
        edits.extend(put_first(text, object, first, unwanted));
    }
    edits.into()
}

/// Why a method has no way to a server of the other era; `None` if it has one.
pub(super) fn refusal(method: &str) -> Option<String> {
    match method {
        "resources/subscribe" | "resources/unsubscribe" => {
            // Whoever speaks for the session at the server takes them; then this is never reached.
            Some("the server was away: subscribe again".to_owned())
        }
        // These are not of the client's era; its server would not know them.
        "server/discover" | "subscriptions/listen" => Some(format!("method `{method}` is not served here")),
        method if method.starts_with("tasks/") => {
            Some(format!("tasks are not carried to a server of revision {}", Version::MODERN))
        }
        _ => None,
    }
}

/// A result as a legacy client wants it. `unlisted` are the tools it must not see.
pub(super) fn result(answer: &Envelope, result: Span, unlisted: Vec<Span>) -> Vec<Edit> {
    let text = &answer.bytes;
    let modern = named(text, &["resultType", "ttlMs", "cacheScope"]);
    cut(members::cut_members(text, result, modern)).chain(cut(unlisted)).collect()
}

/// Does the server ask for more before it can answer?
pub(super) fn asks(answer: &Envelope) -> bool {
    answer.member("resultType").is_some_and(|kind| members::text(answer.raw(kind)).as_deref() == Some("input_required"))
}

/// Is it an answer, of the only kind that legacy clients know? One that says nothing of its kind is.
pub(super) fn is_complete(answer: &Envelope) -> bool {
    answer.member("resultType").is_none_or(|kind| members::text(answer.raw(kind)).as_deref() == Some("complete"))
}

/// An error as a legacy client knows it.
pub(super) fn error(answer: &Envelope, error: Span, method: &str) -> Vec<Edit> {
    let text = &answer.bytes;
    let object = Members::of(text, error);
    let names_resource = object.get("data").is_some_and(|data| Members::of(text, data).get("uri").is_some());
    match object.get("code") {
        Some(found)
            if names_resource
                && method == "resources/read"
                && members::integer(found.of(text)) == Some(code::INVALID_PARAMS) =>
        {
            vec![(found, Bytes::from(code::RESOURCE_NOT_FOUND.to_string()))]
        }
        _ => Vec::new(),
    }
}

/// What of a notice on a listen means nothing in a session: the listen it belongs to.
pub(super) fn notice(notice: &Envelope) -> Vec<Edit> {
    let text = &notice.bytes;
    let Some((params, meta)) = notice.params.zip(notice.meta()) else { return Vec::new() };
    if Members::of(text, meta).all(|(key, _)| is_modern_meta(text, key)) {
        return cut(members::cut_members(text, params, named(text, &["_meta"]))).collect();
    }
    cut(members::cut_members(text, meta, |key| is_modern_meta(text, key))).collect()
}

/// The result of `initialize` for a server that answered `server/discover` so.
pub(super) fn welcome(discovered: &Envelope, version: Version, server: &ServerId) -> Vec<u8> {
    let text = &discovered.bytes;
    let can = discovered.member("capabilities").map(|object| capabilities(text, object));
    let info =
        discovered.member("_meta").and_then(|meta| Members::of(text, meta).get("io.modelcontextprotocol/serverInfo"));
    let name = String::from_utf8_lossy(&quote(server.as_str())).into_owned();
    let nameless = format!(r#"{{"name":{name},"version":"unknown"}}"#);
    let mut result = format!(r#"{{"protocolVersion":"{version}","capabilities":"#).into_bytes();
    result.extend_from_slice(can.as_deref().unwrap_or(b"{}"));
    result.extend_from_slice(b",\"serverInfo\":");
    result.extend_from_slice(info.map_or(nameless.as_bytes(), |info| info.of(text)));
    if let Some(instructions) = discovered.member("instructions") {
        result.extend_from_slice(&[b",\"instructions\":", instructions.of(text)].concat());
    }
    result.push(b'}');
    result
}
