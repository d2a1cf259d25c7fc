//! Other names for what is told: those of earlier documents and tools, for dashboards and alerts that know them.
//!
//! `telemetry: { compat: [gateway, tools] }` chooses sets of them. Here are the attributes of spans, which are added when a
//! span is made; the metrics are views of the same cells, in `metrics::compat`.
//!
//! Path: `spans` → **`compat`** → `otlp`.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

#[cfg(test)]
mod tests;

/// A set of names that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// Span attributes of an agent dashboard: `mcp.server`, `mcp.latency_ms`. It has no metrics.
    Dashboard,
    /// `mcp_…` of a gateway: calls, requests, errors, what is offered.
    Gateway,
    /// `mcp.proxy.…`, and the attributes of its request span.
    Proxy,
    /// `mcp.tool.…` and `mcp.session.…` of a tool server.
    Tools,
}

impl Set {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Dashboard, Self::Gateway, Self::Proxy, Self::Tools];

    /// The word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dashboard => "dashboard",
            Self::Gateway => "gateway",
            Self::Proxy => "proxy",
            Self::Tools => "tools",
        }
    }
}

/// What an attribute under another name says.
#[derive(Debug, Clone, Copy)]
enum From {
    /// The first of these that the span has.
    Any(&'static [&'static str]),
    /// The first, if it is there; else size and hash, which the others are, as JSON.
    Content([&'static str; 3]),
    /// How long the span took, in milliseconds.
    Millis,
    /// `ok` or `error`.
    Status,
    /// Did it succeed?
    Success,
    /// What went wrong, as a sentence or a word; nothing if nothing did.
    Failure,
    /// The sum of these, if there is any.
    Sum([&'static str; 2]),
    /// By the transport.
    Served,
}

const SERVER: From = From::Any(&["tollhouse.server.name"]);
const TOOL: From = From::Any(&["tollhouse.server.tool.name", "gen_ai.tool.name"]);
const SESSION: From = From::Any(&["mcp.session.id", "tollhouse.session.id"]);
const INPUT: From =
    From::Content(["gen_ai.tool.call.arguments", "tollhouse.request.size", "tollhouse.content.request.hash"]);
const OUTPUT: From =
    From::Content(["gen_ai.tool.call.result", "tollhouse.response.size", "tollhouse.content.response.hash"]);
const TRUNCATED: From = From::Any(&["tollhouse.content.truncated"]);
const SIZE: From = From::Any(&["tollhouse.response.size"]);

/// Every attribute of the sets. `mcp.token_count` and `mcp.cost_usd` are there where tokens and prices are known.
const ATTRIBUTES: &[(Set, &str, From)] = &[
    (Set::Dashboard, "mcp.server", SERVER),
    (Set::Dashboard, "mcp.tool", TOOL),
    (Set::Dashboard, "mcp.session_id", SESSION),
    (Set::Dashboard, "mcp.tool_input", INPUT),
    (Set::Dashboard, "mcp.tool_output", OUTPUT),
    (Set::Dashboard, "mcp.error", From::Failure),
    (Set::Dashboard, "mcp.latency_ms", From::Millis),
    (Set::Dashboard, "mcp.token_count", From::Sum(["tollhouse.request.tokens", "tollhouse.response.tokens"])),
    (Set::Dashboard, "mcp.cost_usd", From::Any(&["tollhouse.cost.amount"])),
    (Set::Gateway, "tool_name", From::Any(&["gen_ai.tool.name"])),
    (Set::Gateway, "arguments", INPUT),
    (Set::Gateway, "result_size", SIZE),
    (Set::Gateway, "status_description", From::Failure),
    (Set::Proxy, "mcp.server", SERVER),
    (Set::Proxy, "mcp.tool", TOOL),
    (Set::Proxy, "mcp.method", From::Any(&["mcp.method.name"])),
    (Set::Proxy, "mcp.transport", From::Served),
    (Set::Proxy, "mcp.status", From::Status),
    (Set::Proxy, "mcp.identity", From::Any(&["user.id", "enduser.pseudo.id"])),
    (Set::Tools, "mcp.session.id", SESSION),
    (Set::Tools, "mcp.tool.name", From::Any(&["gen_ai.tool.name"])),
    (Set::Tools, "mcp.tool.arguments", INPUT),
    (Set::Tools, "mcp.tool.arguments.truncated", TRUNCATED),
    (Set::Tools, "mcp.tool.result.success", From::Success),
    (Set::Tools, "mcp.tool.result.error", From::Failure),
    (Set::Tools, "mcp.tool.result.truncated", TRUNCATED),
    (Set::Tools, "http.method", From::Any(&["http.request.method"])),
    (Set::Tools, "http.url", From::Any(&["url.full"])),
    (Set::Tools, "http.status_code", From::Any(&["http.response.status_code"])),
    (Set::Tools, "http.response.size", From::Any(&["http.response.body.size"])),
    (Set::Tools, "net.peer.name", From::Any(&["server.address"])),
    (Set::Tools, "security.action", From::Any(&["tollhouse.policy.action"])),
    (Set::Tools, "security.content.size", From::Any(&["tollhouse.policy.content.size"])),
    (Set::Tools, "security.risk.factor", From::Any(&["tollhouse.policy.risk_factor"])),
];

/// Adds the attributes of these sets to a span that has all of its own.
pub fn name(span: &mut Span, sets: &[Set]) {
    if sets.is_empty() {
        return;
    }
    let mut more: Vec<KeyValue> = Vec::new();
    for (_, name, from) in ATTRIBUTES.iter().filter(|(set, ..)| sets.contains(set)) {
        if find(span, name).is_some() || more.iter().any(|other| other.key == *name) {
            continue;
        }
        if let Some(value) = from.of(span) {
            more.push(KeyValue {
                key: (*name).to_owned(),
                value: Some(AnyValue { value: Some(value) }),
                ..KeyValue::default()
            });
        }
    }
    span.attributes.extend(more);
}

impl From {
    fn of(self, span: &Span) -> Option<Value> {
        // What is said of tools is said of calls of them, with an answer or without.
        let failed = span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32);
        match self {
            Self::Any(names) => names.iter().find_map(|name| find(span, name)).cloned(),
            Self::Content([content, size, hash]) => find(span, content).cloned().or_else(|| {
                let size = number(find(span, size)?)?;
                let hash = match find(span, hash) {
                    Some(Value::StringValue(hash)) => format!(",\"hash\":\"{hash}\""),
                    _ => String::new(),
                };
                Some(Value::StringValue(format!("{{\"size\":{size}{hash}}}")))
            }),
            Self::Millis => {
                let nanos = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
                Some(Value::DoubleValue(std::time::Duration::from_nanos(nanos).as_secs_f64() * 1000.0))
            }
            Self::Status => Some(Value::StringValue(if failed { "error" } else { "ok" }.to_owned())),
            Self::Success => find(span, "gen_ai.tool.name").map(|_| Value::BoolValue(!failed)),
            Self::Failure => {
                let said = span.status.as_ref().map(|status| status.message.as_str()).filter(|said| !said.is_empty());
                match said {
                    Some(said) if failed => Some(Value::StringValue(said.to_owned())),
                    _ => find(span, "error.type").cloned(),
                }
            }
            Self::Sum(names) => {
                let parts: Vec<_> = names.iter().filter_map(|name| number(find(span, name)?)).collect();
                (!parts.is_empty()).then(|| Value::IntValue(parts.iter().sum()))
            }
            Self::Served => match find(span, "network.transport")? {
                Value::StringValue(pipe) if pipe == "pipe" => Some(Value::StringValue("serve:stdio".to_owned())),
                _ => Some(Value::StringValue("serve:http".to_owned())),
            },
        }
    }
}

fn find<'a>(span: &'a Span, name: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|attribute| attribute.key == name)?.value.as_ref()?.value.as_ref()
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::IntValue(number) => Some(*number),
        _ => None,
    }
}
