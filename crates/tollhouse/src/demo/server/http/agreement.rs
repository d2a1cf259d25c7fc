//! The headers of a modern request repeat its body, for those on the way who do not read bodies. A server reads only
//! the body, and refuses what does not agree with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::Value;

use super::super::message::{Fault, PROTOCOL_VERSION, Request};
use super::{VERSION, text};

/// Checks that version, method and name are the same in headers and body.
pub(super) fn check_headers(headers: &HeaderMap, request: &Request) -> Result<(), Fault> {
    let version = request.meta(PROTOCOL_VERSION).and_then(Value::as_str);
    // A body without a version is told that; there is nothing to agree with.
    if version.is_some() {
        agree(text(headers, VERSION), version, "MCP-Protocol-Version")?;
    }
    agree(text(headers, "mcp-method"), Some(&request.method), "Mcp-Method")?;
    if ["tools/call", "prompts/get", "resources/read"].contains(&request.method.as_str()) {
        let given = text(headers, "mcp-name").map(decode).transpose()?;
        agree(given.as_deref(), request.name(), "Mcp-Name")?;
    }
    Ok(())
}

fn agree(header: Option<&str>, body: Option<&str>, name: &str) -> Result<(), Fault> {
    if header == body {
        return Ok(());
    }
    Err(Fault::header_mismatch(match header {
        None => format!("the header `{name}` is missing"),
        Some(_) => format!("the header `{name}` does not agree with the body"),
    }))
}

/// MCP 2026-07-28, streamable HTTP: what is not visible ASCII travels as `=?base64?…?=`.
fn decode(value: &str) -> Result<String, Fault> {
    let Some(encoded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Ok(value.to_owned());
    };
    let bytes = STANDARD.decode(encoded).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Fault::header_mismatch("the header `Mcp-Name` is not what it says it encodes"))
}
