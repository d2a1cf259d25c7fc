//! The messages the gateway writes itself: errors, and tool results for calls that brought no answer.
//!
//! A refusal is a JSON-RPC error. A `tools/call` that was accepted and then failed is answered by a *result* with
//! `isError: true`, because models act on results and seldom on protocol errors; it says whether the call ran.

use std::fmt::Write as _;
use std::time::SystemTime;

use bytes::Bytes;
use http::StatusCode;
use tollhouse_core::clock;
use tollhouse_core::era::{Era, Version};
use tollhouse_core::fault::{Fault, Kind, Replay};
use tollhouse_core::record::Outcome;

use crate::call::{Call, quote};
use crate::failure::Failure;
use crate::meta::SUBSCRIPTION_ID;

/// JSON-RPC and MCP codes, and the gateway's own, which are positive: the negative ranges are taken.
pub(crate) mod code {
    pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
    pub(crate) const INVALID_PARAMS: i64 = -32602;
    pub(crate) const INVALID_REQUEST: i64 = -32600;
    pub(crate) const INTERNAL: i64 = -32603;
    /// Legacy only; the modern revision uses [`INVALID_PARAMS`].
    pub(crate) const RESOURCE_NOT_FOUND: i64 = -32002;
    pub(crate) const HEADER_MISMATCH: i64 = -32020;
    pub(crate) const UNSUPPORTED_VERSION: i64 = -32022;
    pub(crate) const TOO_LARGE: i64 = 4130;
    pub(crate) const LIMITED: i64 = 4290;
    pub(crate) const UPSTREAM_UNAVAILABLE: i64 = 5030;
}

/// A message that is not served, decided before anything was sent.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: i64,
    pub(crate) message: String,
    /// The members of `error.data`, written out, if any.
    pub(crate) data: Option<String>,
    pub(crate) fault: Fault,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: i64, kind: Kind, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), data: None, fault: kind.fault() }
    }

    /// A malformed message: HTTP 400.
    pub(crate) fn malformed(code: i64, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, Kind::Malformed, message)
    }

    /// A method nobody serves. A modern client gets 404; a legacy one 200, since a 404 would end its session.
    pub(crate) fn unknown_method(era: Era, method: &str) -> Self {
        let status = match era {
            Era::Modern => StatusCode::NOT_FOUND,
            Era::Legacy => StatusCode::OK,
        };
        Self::new(status, code::METHOD_NOT_FOUND, Kind::Unknown, format!("method `{method}` is not served here"))
    }

    /// A name nobody offers.
    pub(crate) fn unknown_name(message: String) -> Self {
        Self::new(StatusCode::OK, code::INVALID_PARAMS, Kind::Unknown, message)
    }

    /// A revision the gateway, or the server behind this path, does not speak.
    pub(crate) fn version(requested: &str, supported: &[Version]) -> Self {
        let list: Vec<_> = supported.iter().map(|version| format!("\"{version}\"")).collect();
        let mut refusal = Self::new(
            StatusCode::BAD_REQUEST,
            code::UNSUPPORTED_VERSION,
            Kind::EraUnsupported,
            format!("protocol version {requested} is not supported"),
        );
        refusal.data = Some(format!("\"supported\":[{}],\"requested\":{}", list.join(","), json(requested)));
        refusal
    }

    /// The error message for the request `id`, or for nobody if its id could not be told.
    pub(crate) fn message(&self, id: Option<&[u8]>) -> Bytes {
        let mut data = self.data.clone();
        // The gateway's own codes say what became of the call; a refusal was never sent.
        if self.code > 0 {
            let data = data.get_or_insert_default();
            let comma = if data.is_empty() { "" } else { "," };
            write!(
                data,
                "{comma}\"outcome\":\"not_executed\",\"replaySafe\":{},\"cause\":{},\"attempts\":0",
                self.fault.replay == Replay::Safe,
                json(self.fault.kind.as_str())
            )
            .expect("writing to a string");
        }
        error(id, self.code, &self.message, data.as_deref())
    }

    /// What the record says.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::Refused { code: self.code, fault: self.fault }
    }
}

/// A JSON-RPC error. An error that cannot be attributed has no `id` member.
pub(crate) fn error(id: Option<&[u8]>, code: i64, message: &str, data: Option<&str>) -> Bytes {
    let mut text = Vec::with_capacity(96 + message.len());
    text.extend_from_slice(b"{\"jsonrpc\":\"2.0\"");
    if let Some(id) = id {
        text.extend_from_slice(b",\"id\":");
        text.extend_from_slice(id);
    }
    text.extend_from_slice(b",\"error\":{\"code\":");
    text.extend_from_slice(code.to_string().as_bytes());
    text.extend_from_slice(b",\"message\":");
    text.extend_from_slice(&quote(message));
    if let Some(data) = data {
        text.extend_from_slice(b",\"data\":{");
        text.extend_from_slice(data.as_bytes());
        text.push(b'}');
    }
    text.extend_from_slice(b"}}");
    text.into()
}

/// A JSON-RPC result around the object `result`, which is written out.
pub(crate) fn result(id: &[u8], result: &[u8]) -> Bytes {
    [b"{\"jsonrpc\":\"2.0\",\"id\":", id, b",\"result\":", result, b"}"].concat().into()
}

/// What ends a client's listen, orderly, on the gateway's side (MCP 2026-07-28, basic/patterns/subscriptions).
pub(crate) fn listen_ended(id: &[u8]) -> Bytes {
    let meta = [b"\"_meta\":{\"", SUBSCRIPTION_ID.as_bytes(), b"\":", id, b"}"].concat();
    result(id, &[b"{\"resultType\":\"complete\",", &meta[..], b"}"].concat())
}

/// On stdio it is said like this, too, before the result: pages of the specification differ, and so do clients.
pub(crate) fn listen_cancelled(id: &[u8]) -> Bytes {
    let id = String::from_utf8_lossy(id);
    let params = format!(r#"{{"requestId":{id},"reason":"the gateway is shutting down"}}"#);
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#).into()
}

/// The answer to a call that brought none.
pub(crate) fn failed(call: &Call, failure: &Failure) -> Bytes {
    if call.method == "tools/call" { failed_tool(call, failure) } else { failed_request(call, failure) }
}

/// A result that tells the model whether the tool ran.
fn failed_tool(call: &Call, failure: &Failure) -> Bytes {
    let server = call.server.as_ref().map_or("?", |server| server.as_str());
    let tool = call.upstream_name().unwrap_or_default();
    let cause = &failure.cause;
    let text = if failure.fault.kind == Kind::Uncarried {
        let id = call.id;
        format!("the call was not carried out: {server}.{tool}: {cause}; repeating it will not help. callId={id}")
    } else if failure.fault.kind == Kind::Arguments {
        format!(
            "the arguments of {server}.{tool} do not fit its input schema: {cause}. The call was not sent. callId={}",
            call.id
        )
    } else if failure.fault.not_executed() {
        let advice = match failure.fault.replay {
            Replay::Safe => "it is safe to repeat",
            Replay::AfterFix | Replay::Never => "repeating it will not help until this is fixed",
        };
        format!("the call was not sent to a working server: {server}.{tool}: {cause}; {advice}. callId={}", call.id)
    } else {
        let sent = call.sent_at().map_or_else(|| "an unknown time".to_owned(), timestamp);
        format!(
            "outcome unknown: {server}.{tool} was sent at {sent}, the answer was lost ({cause}); it may have taken \
             effect. Look before repeating. callId={}",
            call.id
        )
    };
    let mut body = String::with_capacity(text.len() + 384);
    body.push('{');
    if call.era() == Era::Modern {
        body.push_str("\"resultType\":\"complete\",");
    }
    write!(body, "\"content\":[{{\"type\":\"text\",\"text\":{}}}],\"isError\":true,\"_meta\":{{", json(&text))
        .expect("writing to a string");
    write!(
        body,
        "\"dev.tollhouse/outcome\":\"{}\",\"dev.tollhouse/callId\":\"{}\",\"dev.tollhouse/cause\":{},\
         \"dev.tollhouse/attempts\":{},\"dev.tollhouse/replaySafe\":{}",
        outcome_word(failure.fault),
        call.id,
        json(failure.fault.kind.as_str()),
        call.attempts(),
        failure.fault.replay == Replay::Safe,
    )
    .expect("writing to a string");
    if let Some(sent) = call.sent_at() {
        write!(body, ",\"dev.tollhouse/sentAt\":\"{}\"", timestamp(sent)).expect("writing to a string");
    }
    body.push_str("}}");
    result(call.raw_id(), body.as_bytes())
}

/// A JSON-RPC error that says whether the request ran.
fn failed_request(call: &Call, failure: &Failure) -> Bytes {
    let mut data = format!(
        "\"callId\":\"{}\",\"outcome\":\"{}\",\"replaySafe\":{},\"cause\":{},\"attempts\":{}",
        call.id,
        outcome_word(failure.fault),
        // Everything but a tool call only reads (reliability: lists, reads, prompts, completion, discovery).
        failure.fault.replay != Replay::AfterFix,
        json(failure.fault.kind.as_str()),
        call.attempts(),
    );
    if let Some(server) = &call.server {
        write!(data, ",\"server\":\"{server}\"").expect("writing to a string");
    }
    error(Some(call.raw_id()), failure.fault.code(), &failure.cause, Some(&data))
}

fn outcome_word(fault: Fault) -> &'static str {
    if fault.not_executed() { "not_executed" } else { "unknown" }
}

fn json(text: &str) -> String {
    String::from_utf8(quote(text)).expect("quoting keeps UTF-8")
}

/// RFC 3339 in UTC to the millisecond.
fn timestamp(at: SystemTime) -> String {
    let millis = clock::unix_millis(at);
    let (days, of_day) = (millis / 86_400_000, millis % 86_400_000);
    // Days to civil date (H. Hinnant, "chrono-compatible low-level date algorithms"), for dates since 1970.
    let shifted = days + 719_468;
    let (cycle, of_cycle) = (shifted / 146_097, shifted % 146_097);
    let year_of_cycle = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_cycle + cycle * 400 + u64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(timestamp(UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(1_709_164_800_007)), "2024-02-29T00:00:00.007Z");
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(1_796_083_199)), "2026-11-30T23:59:59.000Z");
    }

    #[test]
    fn an_error_nobody_can_be_named_for_has_no_id() {
        let refusal = Refusal::malformed(-32700, "not JSON at byte 3");
        assert_eq!(
            refusal.message(None),
            r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"not JSON at byte 3"}}"#
        );
    }

    #[test]
    fn an_unsupported_version_names_those_that_are() {
        let refusal = Refusal::version("1900-01-01", &[Version::MODERN]);
        assert_eq!(
            refusal.message(Some(b"7")),
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32022,"message":"protocol version 1900-01-01 is not supported","data":{"supported":["2026-07-28"],"requested":"1900-01-01"}}}"#
        );
    }
}
