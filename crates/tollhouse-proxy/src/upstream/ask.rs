//! What the gateway itself asks a server, under its own name, to learn what it speaks. Calls of clients never go
//! under it.

use bytes::Bytes;
use tollhouse_core::era::{Era, Version};

use super::CANCELLED;
use crate::call::quote;

const ME: &str = concat!(r#"{"name":"tollhouse","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// What the gateway says of itself, as members of `_meta`.
pub(crate) fn own_members() -> String {
    format!(
        r#""io.modelcontextprotocol/protocolVersion":"{}","io.modelcontextprotocol/clientInfo":{ME},"io.modelcontextprotocol/clientCapabilities":{{}}"#,
        Version::MODERN
    )
}

fn meta() -> String {
    format!(r#""_meta":{{{}}}"#, own_members())
}

pub(super) fn listen_params(notifications: &str) -> String {
    format!(r#"{{{},"notifications":{notifications}}}"#, meta())
}

pub(super) fn discover(id: u64) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"server/discover","params":{{{}}}}}"#, meta()).into()
}

/// For legacy sessions only: the modern revision has no such request.
pub(super) fn ping(id: u64) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#).into()
}

pub(super) fn initialize(id: u64) -> Bytes {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"{}","capabilities":{{}},"clientInfo":{ME}}}}}"#,
        Version::LATEST_LEGACY
    )
    .into()
}

pub(super) fn initialized() -> Bytes {
    Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
}

/// What is said beside `tools/list`; `cursor` as the server wrote it.
pub(super) fn list_params(era: Era, cursor: Option<&[u8]>) -> Vec<u8> {
    let meta = if era == Era::Modern { meta() } else { String::new() };
    let comma: &[u8] = if meta.is_empty() { b"" } else { b"," };
    match cursor {
        Some(cursor) => [b"{", meta.as_bytes(), comma, b"\"cursor\":", cursor, b"}"].concat(),
        None => [b"{", meta.as_bytes(), b"}"].concat(),
    }
}

pub(super) fn request(id: u64, method: &str, params: &[u8]) -> Vec<u8> {
    let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":"#);
    [head.as_bytes(), params, b"}"].concat()
}

pub(super) fn cancelled(id: u64, reason: &str) -> Bytes {
    let reason = String::from_utf8(quote(reason)).expect("quoting keeps UTF-8");
    format!(r#"{{"jsonrpc":"2.0","method":"{CANCELLED}","params":{{"requestId":{id},"reason":{reason}}}}}"#).into()
}
