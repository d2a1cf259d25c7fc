//! Decides, per request, which era its sender speaks, and holds modern requests to their rules.

use http::HeaderMap;
use tollhouse_core::era::{Era, Version};
use tollhouse_core::wire::{Envelope, Form, Span, header, members, method};

use crate::answer::{Refusal, code};
use crate::meta::Meta;
use crate::upstream::http::{MCP_METHOD, MCP_NAME, PROTOCOL_VERSION};

/// The era of a message that came over HTTP.
///
/// # Errors
/// A modern message that breaks the rules of its era: headers that are missing or differ from the body (−32020),
/// a revision nobody speaks (−32022), missing metadata (−32602).
pub(crate) fn over_http(
    headers: &HeaderMap,
    envelope: &Envelope,
    meta: &Meta,
    subject: Option<Span>,
) -> Result<Era, Refusal> {
    let declared = headers.get(PROTOCOL_VERSION);
    let header = declared.map(|value| value.to_str().unwrap_or_default().trim());
    let legacy_header = header.is_none_or(|version| Version::parse(version).is_some_and(|v| v.era() == Era::Legacy));
    let Form::Request { method, .. } = &envelope.form else {
        return match &envelope.form {
            _ if legacy_header => Ok(Era::Legacy),
            Form::Notification { .. } => Ok(Era::Modern),
            _ => Err(Refusal::malformed(code::INVALID_REQUEST, "a client sends no responses in this revision")),
        };
    };
    let Some(version) = meta.version else {
        return match header {
            _ if method == "initialize" || legacy_header => Ok(Era::Legacy),
            Some(version) if version == Version::MODERN.as_str() => Err(Refusal::malformed(
                code::INVALID_PARAMS,
                "`_meta` must hold io.modelcontextprotocol/protocolVersion",
            )),
            header => Err(Refusal::version(header.unwrap_or_default(), &Version::ALL[1..])),
        };
    };
    over_stdio(envelope, meta)?;
    agree(declared, "MCP-Protocol-Version", |value| says(envelope, Some(version), value))?;
    agree(headers.get(MCP_METHOD), "Mcp-Method", |value| value == method.as_bytes())?;
    if method::names_in_header(method) {
        agree(headers.get(MCP_NAME), "Mcp-Name", |value| {
            says(envelope, subject, value)
                || header::decode_name(value).is_ok_and(|decoded| {
                    decoded == subject.and_then(|span| members::text(envelope.raw(span))).unwrap_or_default()
                })
        })?;
    }
    // Last: a header that contradicts the body is the graver fault than a revision nobody speaks.
    check_version(envelope, meta)?;
    Ok(Era::Modern)
}

/// Is the string at `span` written without escapes and equal to `value`?
fn says(envelope: &Envelope, span: Option<Span>, value: &[u8]) -> bool {
    let raw = span.and_then(|span| envelope.raw(span).strip_prefix(b"\"")?.strip_suffix(b"\""));
    raw == Some(value) && !value.contains(&b'\\') && !value.starts_with(b"=?")
}

/// The era of a request that came over a pipe, where no headers repeat it.
///
/// # Errors
/// As [`over_http`], less the headers.
pub(crate) fn over_stdio(envelope: &Envelope, meta: &Meta) -> Result<Era, Refusal> {
    let Some(version) = meta.version else { return Ok(Era::Legacy) };
    if !says(envelope, Some(version), Version::MODERN.as_str().as_bytes())
        && members::text(envelope.raw(version)).is_none()
    {
        return Err(Refusal::malformed(
            code::INVALID_PARAMS,
            "io.modelcontextprotocol/protocolVersion must be a string",
        ));
    }
    if meta.capabilities.is_none_or(|span| !envelope.raw(span).starts_with(b"{")) {
        return Err(Refusal::malformed(
            code::INVALID_PARAMS,
            "`_meta` must hold io.modelcontextprotocol/clientCapabilities, an object",
        ));
    }
    Ok(Era::Modern)
}

/// Refuses a revision nobody speaks, where [`over_http`] did not.
pub(crate) fn check_version(envelope: &Envelope, meta: &Meta) -> Result<(), Refusal> {
    if says(envelope, meta.version, Version::MODERN.as_str().as_bytes()) {
        return Ok(());
    }
    let version = meta.version.and_then(|span| members::text(envelope.raw(span))).unwrap_or_default();
    if version == Version::MODERN.as_str() { Ok(()) } else { Err(Refusal::version(&version, &[Version::MODERN])) }
}

/// MCP 2026-07-28, streamable HTTP, server validation: a header that mirrors the body must be there and agree.
fn agree(header: Option<&http::HeaderValue>, name: &str, same: impl FnOnce(&[u8]) -> bool) -> Result<(), Refusal> {
    let Some(value) = header else {
        return Err(Refusal::malformed(code::HEADER_MISMATCH, format!("the header {name} is missing")));
    };
    // Values do not ignore case; outer blanks do not count.
    if same(value.as_bytes().trim_ascii()) {
        return Ok(());
    }
    Err(Refusal::malformed(code::HEADER_MISMATCH, format!("the header {name} differs from the body")))
}
