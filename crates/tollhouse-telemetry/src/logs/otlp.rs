//! A line as a log record of OTLP.
//!
//! It says what the line says. What OpenTelemetry has a name for goes by that name, the rest by its own below `tollhouse`.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use tracing::Level;

use super::CALL_TARGET;
use super::line::{Line, Value};

/// Who speaks while something is sent to a collector.
const OWN: [&str; 8] = [
    "tollhouse.otel",
    "tollhouse_telemetry::otlp",
    "hyper",
    "hyper_util",
    "h2",
    "rustls",
    "tokio_rustls",
    "tollhouse.telemetry",
];

/// Members of lines that OpenTelemetry has names for.
const NAMES: [(&str, &str); 10] = [
    ("method", "mcp.method.name"),
    ("tool", "gen_ai.tool.name"),
    ("prompt", "gen_ai.prompt.name"),
    ("resource", "mcp.resource.uri"),
    ("jsonrpc_id", "jsonrpc.request.id"),
    ("version", "mcp.protocol.version"),
    ("error_type", "error.type"),
    ("server", "tollhouse.server.name"),
    ("session", "tollhouse.session.id"),
    ("session_source", "tollhouse.session.source"),
];

/// Is it about the export itself?
pub(super) fn is_own(logger: &str) -> bool {
    OWN.iter().any(|own| logger.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")))
}

pub(super) fn encode(line: &Line<'_>) -> LogRecord {
    let at = nanos(line.at);
    let (number, word) = match line.level {
        Level::TRACE => (SeverityNumber::Trace, "TRACE"),
        Level::DEBUG => (SeverityNumber::Debug, "DEBUG"),
        Level::INFO => (SeverityNumber::Info, "INFO"),
        Level::WARN => (SeverityNumber::Warn, "WARN"),
        Level::ERROR => (SeverityNumber::Error, "ERROR"),
    };
    let mut attributes = vec![text("tollhouse.logger", &line.logger.replace("::", "."))];
    if let Some(at) = &line.location {
        attributes.push(text("code.file.path", at.file));
        attributes.push(named("code.line.number", Any::IntValue(i64::from(at.line))));
        attributes.extend(at.function.map(|function| text("code.function.name", function)));
    }
    attributes.extend(line.request_id.as_deref().map(|id| text("tollhouse.call.id", id)));
    attributes.extend(line.user_id.as_deref().map(|id| text("user.id", id)));
    if let Some(exception) = &line.exception {
        attributes.push(text("exception.type", &exception.kind));
        attributes.push(text("exception.message", &exception.message));
        if !exception.traceback.is_empty() {
            attributes.push(text("exception.stacktrace", &exception.traceback.join("\n")));
        }
    }
    for (key, value) in &line.extra {
        let value = match value {
            Value::Text(text) => Any::StringValue(text.clone().into_owned()),
            Value::Raw(json) => serde_json::from_str(json).map_or_else(|_| Any::StringValue(json.clone()), any),
        };
        let attribute = match NAMES.iter().find(|(own, _)| own == key) {
            Some((_, name)) => named(name, value),
            // A name with dots is one already.
            None if key.contains(['.', '/']) => named(key, value),
            None => named(&format!("tollhouse.{key}"), value),
        };
        attributes.push(attribute);
    }
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number: number as i32,
        severity_text: word.to_owned(),
        body: Some(AnyValue { value: Some(Any::StringValue(line.message.clone())) }),
        attributes,
        trace_id: bytes(line.trace_id.as_deref()),
        span_id: bytes(line.span_id.as_deref()),
        event_name: match &line.event {
            Some(event) => event.clone(),
            None if line.logger == CALL_TARGET => "tollhouse.call".to_owned(),
            None => String::new(),
        },
        ..LogRecord::default()
    }
}

pub(super) fn nanos(at: SystemTime) -> u64 {
    u64::try_from(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn text(name: &str, value: &str) -> KeyValue {
    named(name, Any::StringValue(value.to_owned()))
}

pub(super) fn named(name: &str, value: Any) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn any(value: serde_json::Value) -> Any {
    use serde_json::Value as Json;
    let inner = |value| AnyValue { value: Some(any(value)) };
    match value {
        Json::Null => Any::StringValue(String::new()),
        Json::Bool(value) => Any::BoolValue(value),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Any::IntValue(whole),
            None => Any::DoubleValue(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Any::StringValue(text),
        Json::Array(elements) => Any::ArrayValue(ArrayValue { values: elements.into_iter().map(inner).collect() }),
        Json::Object(members) => {
            let member = |(key, value)| KeyValue { key, value: Some(inner(value)), ..KeyValue::default() };
            Any::KvlistValue(KeyValueList { values: members.into_iter().map(member).collect() })
        }
    }
}

/// An id that is written in hexadecimal digits; empty if there is none.
fn bytes(hex: Option<&str>) -> Vec<u8> {
    let digits = hex.unwrap_or_default().as_bytes();
    let (pairs, _) = digits.as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect::<Option<_>>().unwrap_or_default()
}
