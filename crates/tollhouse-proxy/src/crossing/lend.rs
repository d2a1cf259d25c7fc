//! What differs between the eras when a modern client's request goes to a legacy server, and its answer comes back.
//!
//! Pure: from messages to messages. What a request says of itself in `_meta` is taken out, since the session has said
//! it and strict servers refuse members they do not know; what an answer must say is put in. All other bytes stay.

use bytes::Bytes;
use tollhouse_core::era::Version;
use tollhouse_core::wire::{Envelope, Form, Members, Span, members};

use super::cuts::{capabilities, cut, is_modern_meta, named, part, put_first};
use crate::answer::code;
use crate::call::{Edit, Params, quote};
use crate::log_level::LogLevel;

/// The error of a server that wants its user to visit a URL first, in revisions that have a code for it.
pub(super) const URL_ELICITATION: i64 = -32042;
/// What a client can be asked for: no question is carried to it, so none of this is declared in its name.
const QUESTIONS: [&str; 3] = ["elicitation", "sampling", "roots"];
/// What a client says of itself is kept as long as its session; more than this is not told to a server.
const SELF_MAX: usize = 4 << 10;
/// Who asks where the client did not say.
const NOBODY: &[u8] = br#"{"name":"unknown","version":"unknown"}"#;

/// What a modern request says of its client, as a legacy session is opened with it.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) info: Bytes,
    pub(super) capabilities: Bytes,
    /// Might it be asked something?
    pub(super) takes_questions: bool,
}

/// Reads what a request says of its client.
pub(super) fn client(request: &Envelope, meta: Option<Span>) -> Client {
    let text = &request.bytes;
    let said = |key| meta.and_then(|meta| Members::of(text, meta).get(key)).filter(|span| span.of(text)[0] == b'{');
    let small = |raw: &Bytes| raw.len() <= SELF_MAX;
    let info = said("io.modelcontextprotocol/clientInfo").map(|span| Bytes::copy_from_slice(span.of(text)));
    let declared = said("io.modelcontextprotocol/clientCapabilities");
    let takes_questions =
        declared.is_some_and(|object| Members::of(text, object).any(|(key, _)| named(text, &QUESTIONS)(key)));
    let capabilities = declared.map(|object| {
        // Tasks of one era are another protocol in the other.
        let unwanted = |key| named(text, &QUESTIONS)(key) || named(text, &["tasks"])(key);
        part(text, object, cut(members::cut_members(text, object, unwanted)).collect())
    });
    Client {
        info: info.filter(small).unwrap_or(Bytes::from_static(NOBODY)),
        capabilities: capabilities.filter(small).unwrap_or(Bytes::from_static(b"{}")),
        takes_questions,
    }
}

/// The gateway itself, which can be asked nothing.
pub(super) fn ourselves() -> Client {
    const INFO: &str = concat!(r#"{"name":"tollhouse","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
    let (info, capabilities) = (Bytes::from_static(INFO.as_bytes()), Bytes::from_static(b"{}"));
    Client { info, capabilities, takes_questions: false }
}

/// The `initialize` that opens a session for `client`, and where its id stands.
pub(super) fn initialize(client: &Client) -> (Envelope, Span) {
    let head = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{}","capabilities":"#,
        Version::LATEST_LEGACY
    );
    let text = [head.as_bytes(), &client.capabilities, b",\"clientInfo\":", &client.info, b"}}"].concat();
    let envelope = Envelope::parse(text.into()).expect("parts of a valid message make a valid one");
    let Form::Request { id, .. } = envelope.form else { unreachable!("it has an id and a method") };
    (envelope, id)
}

/// Why a method has no way to a server of the other era; `None` if it has one.
pub(super) fn refusal(method: &str) -> Option<String> {
    match method {
        // MCP 2026-07-28 has removed these, and core tasks; a legacy server would take them.
        "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => {
            Some(format!("method `{method}` is not served here"))
        }
        "subscriptions/listen" => Some("subscriptions are not carried to a server of an older revision".to_owned()),
        method if method.starts_with("tasks/") => {
            Some("tasks are not carried to a server of an older revision".to_owned())
        }
        _ => None,
    }
}

/// Does a request bring back what only a modern server could have given its client?
pub(super) fn brings_state(request: &Envelope) -> bool {
    request.member("requestState").is_some()
}

/// What of a request does not go on, and what the server is `told` of the trace.
pub(super) fn request(envelope: &Envelope, params: &Params, told: Option<&[u8]>) -> Box<[Edit]> {
    let text = &envelope.bytes;
    let Some(object) = envelope.params else { return Box::default() };
    // MCP 2026-07-28, basic/patterns/mrtr: answers that nobody asked for are ignored.
    let Some(meta) = params.meta else {
        if let Some(told) = told {
            let meta = [b"\"_meta\":{", told, b"}"].concat();
            return put_first(text, object, meta, named(text, &["inputResponses"])).collect();
        }
        return cut(members::cut_members(text, object, named(text, &["inputResponses"]))).collect();
    };
    let unwanted = |key| {
        is_modern_meta(text, key)
            || (params.excess.is_some() && named(text, &["baggage"])(key))
            || (told.is_some() && named(text, &["traceparent"])(key))
    };
    if let Some(told) = told.filter(|_| text[meta.start()] == b'{') {
        let extra = members::cut_members(text, object, named(text, &["inputResponses"]));
        return cut(extra).chain(put_first(text, meta, told, unwanted)).collect();
    }
    if Members::of(text, meta).all(|(key, _)| unwanted(key)) {
        return cut(members::cut_members(text, object, named(text, &["_meta", "inputResponses"]))).collect();
    }
    let extra = members::cut_members(text, object, named(text, &["inputResponses"]));
    cut(extra).chain(cut(members::cut_members(text, meta, unwanted))).collect()
}

/// The level of log messages a request wants; none without it.
pub(super) fn log_level(envelope: &Envelope, meta: Option<Span>) -> Option<LogLevel> {
    let level = Members::of(&envelope.bytes, meta?).get("io.modelcontextprotocol/logLevel")?;
    LogLevel::parse(&members::text(envelope.raw(level))?)
}

/// Is this log message graver than, or as grave as, what the request wants?
pub(super) fn wants_log(wanted: Option<LogLevel>, message: &Envelope) -> bool {
    let level = message.member("level").and_then(|span| members::text(message.raw(span)));
    match (wanted, level.as_deref().and_then(LogLevel::parse)) {
        (Some(wanted), Some(level)) => level >= wanted,
        (Some(_), None) | (None, _) => false,
    }
}

/// A result as a modern client wants it: `serverInfo` is what the server said of itself.
pub(super) fn result(answer: &Envelope, result: Span, method: &str, server_info: Option<&[u8]>) -> Vec<Edit> {
    let text = &answer.bytes;
    // Not ours to mend: MCP has no results that are no objects.
    if text[result.start()] != b'{' {
        return Vec::new();
    }
    let cached = matches!(
        method,
        "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list" | "resources/read"
    );
    let (hints, kind) = (named(text, &["ttlMs", "cacheScope"]), named(text, &["resultType"]));
    let replaced = |key| kind(key) || (cached && hints(key));
    let mut edits: Vec<Edit> = Vec::new();
    let mut added = b"\"resultType\":\"complete\"".to_vec();
    if cached {
        // A session's answers are its own, and nobody would say when they change.
        added.extend_from_slice(b",\"ttlMs\":0,\"cacheScope\":\"private\"");
    }
    if let Some(info) = server_info {
        let member = [b"\"io.modelcontextprotocol/serverInfo\":", info].concat();
        match Members::of(text, result).get("_meta") {
            None => added.extend_from_slice(&[b",\"_meta\":{", &member[..], b"}"].concat()),
            Some(meta)
                if text[meta.start()] == b'{'
                    && Members::of(text, meta).get("io.modelcontextprotocol/serverInfo").is_none() =>
            {
                edits.extend(put_first(text, meta, member, |_| false));
            }
            Some(_) => {}
        }
    }
    edits.extend(put_first(text, result, added, replaced));
    if method == "tools/list" {
        edits.extend(cut(hidden_tools(answer)));
    }
    edits
}

/// The tools of a page that can only run as a task, which no modern client can ask for.
pub(super) fn hidden_tools(page: &Envelope) -> Vec<Span> {
    let text = &page.bytes;
    let Some(tools) = page.member("tools") else { return Vec::new() };
    members::cut_elements(text, tools, |tool| {
        let execution = Members::of(text, tool).get("execution");
        let support = execution.and_then(|execution| Members::of(text, execution).get("taskSupport"));
        support.is_some_and(|support| members::text(support.of(text)).as_deref() == Some("required"))
    })
}

/// An error as a modern client knows it. `uri` is the resource that was asked for.
pub(super) fn error(answer: &Envelope, error: Span, uri: Option<&str>) -> Vec<Edit> {
    let text = &answer.bytes;
    let object = Members::of(text, error);
    let Some(found) = object.get("code") else { return Vec::new() };
    if members::integer(found.of(text)) != Some(code::RESOURCE_NOT_FOUND) {
        return Vec::new();
    }
    let mut edits = vec![(found, Bytes::from(code::INVALID_PARAMS.to_string()))];
    // MCP 2026-07-28, server/resources: the error names the resource.
    if let Some(uri) = uri {
        let named = [b"\"uri\":", &quote(uri)[..]].concat();
        match object.get("data") {
            None => edits.extend(put_first(text, error, [b"\"data\":{", &named[..], b"}"].concat(), |_| false)),
            Some(data) if text[data.start()] != b'{' => edits.push((data, [b"{", &named[..], b"}"].concat().into())),
            Some(data) if Members::of(text, data).get("uri").is_none() => {
                edits.extend(put_first(text, data, named, |_| false));
            }
            Some(_) => {}
        }
    }
    edits
}

/// The result of `server/discover` for a server that said this when it accepted a session.
pub(super) fn discovered(greeting: &Envelope) -> Vec<u8> {
    let said = |key| greeting.member(key).map(|span| greeting.raw(span));
    let can = greeting.member("capabilities").map(|object| capabilities(&greeting.bytes, object));
    let mut result = format!(
        r#"{{"resultType":"complete","supportedVersions":["{}"],"ttlMs":0,"cacheScope":"private","capabilities":"#,
        Version::MODERN
    )
    .into_bytes();
    result.extend_from_slice(can.as_deref().unwrap_or(b"{}"));
    if let Some(instructions) = said("instructions") {
        result.extend_from_slice(&[b",\"instructions\":", instructions].concat());
    }
    if let Some(info) = said("serverInfo") {
        let member = [b",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":", info, b"}"].concat();
        result.extend_from_slice(&member);
    }
    result.push(b'}');
    result
}
