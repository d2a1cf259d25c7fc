//! A request as JSON, for collectors that read no protobuf (OTLP specification, JSON protobuf encoding): names in
//! lowerCamelCase, ids in hex, whole numbers of 64 bits as strings, enumerations as numbers.
//!
//! What waits in the queue is protobuf in any case; only a request that leaves as JSON is read again and written anew. What is
//! empty is left out, as protobuf does.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prost::{DecodeError, Message as _};
use serde_json::{Map, Value};

use super::Signal;

mod metrics;

/// The request of one signal, as JSON.
///
/// # Errors
/// It is no request of this signal.
pub(super) fn request(signal: Signal, protobuf: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let document = match signal {
        Signal::Traces => {
            let resources = ExportTraceServiceRequest::decode(protobuf)?.resource_spans.into_iter().map(|told| {
                let scopes =
                    told.scope_spans.into_iter().map(|told| scoped(told.scope, "spans", list(&told.spans, span)));
                within(told.resource, "scopeSpans", scopes.collect())
            });
            Members::new().with("resourceSpans", Value::Array(resources.collect()))
        }
        Signal::Metrics => {
            let resources = ExportMetricsServiceRequest::decode(protobuf)?.resource_metrics.into_iter().map(|told| {
                let scopes = told
                    .scope_metrics
                    .into_iter()
                    .map(|told| scoped(told.scope, "metrics", list(&told.metrics, metrics::metric)));
                within(told.resource, "scopeMetrics", scopes.collect())
            });
            Members::new().with("resourceMetrics", Value::Array(resources.collect()))
        }
        Signal::Logs => {
            let resources = ExportLogsServiceRequest::decode(protobuf)?.resource_logs.into_iter().map(|told| {
                let scopes = told
                    .scope_logs
                    .into_iter()
                    .map(|told| scoped(told.scope, "logRecords", list(&told.log_records, record)));
                within(told.resource, "scopeLogs", scopes.collect())
            });
            Members::new().with("resourceLogs", Value::Array(resources.collect()))
        }
    };
    Ok(document.value().to_string().into_bytes())
}

/// The members of a message; what is empty is not among them.
struct Members(Map<String, Value>);

impl Members {
    fn new() -> Self {
        Self(Map::new())
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        let empty = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
        };
        if !empty {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    fn text(self, name: &str, text: &str) -> Self {
        self.with(name, text.into())
    }

    /// An enumeration or a number of 32 bits.
    fn small(self, name: &str, number: impl Into<i64>) -> Self {
        let number = number.into();
        if number == 0 { self } else { self.with(name, number.into()) }
    }

    /// A number of 64 bits, of which protobuf leaves out a zero.
    fn whole(self, name: &str, number: u64) -> Self {
        if number == 0 { self } else { self.with(name, number.to_string().into()) }
    }

    fn id(self, name: &str, id: &[u8]) -> Self {
        self.with(name, hex(id).into())
    }

    fn attributes(self, attributes: &[KeyValue]) -> Self {
        self.with("attributes", list(attributes, pair))
    }

    fn value(self) -> Value {
        Value::Object(self.0)
    }
}

fn list<T>(items: &[T], written: impl Fn(&T) -> Value) -> Value {
    Value::Array(items.iter().map(written).collect())
}

fn within(resource: Option<Resource>, name: &str, scopes: Vec<Value>) -> Value {
    let resource = resource.map(|told| Members::new().attributes(&told.attributes).value());
    Members::new().with("resource", resource.into()).with(name, Value::Array(scopes)).value()
}

fn scoped(scope: Option<InstrumentationScope>, name: &str, items: Value) -> Value {
    let scope = scope.map(|told| Members::new().text("name", &told.name).text("version", &told.version).value());
    Members::new().with("scope", scope.into()).with(name, items).value()
}

fn span(span: &Span) -> Value {
    let status = |told: &Status| Members::new().text("message", &told.message).small("code", told.code).value();
    let event = |event: &Event| {
        let members = Members::new().whole("timeUnixNano", event.time_unix_nano).text("name", &event.name);
        members.attributes(&event.attributes).value()
    };
    let link = |link: &Link| {
        let members = Members::new().id("traceId", &link.trace_id).id("spanId", &link.span_id);
        members.text("traceState", &link.trace_state).attributes(&link.attributes).small("flags", link.flags).value()
    };
    Members::new()
        .id("traceId", &span.trace_id)
        .id("spanId", &span.span_id)
        .text("traceState", &span.trace_state)
        .id("parentSpanId", &span.parent_span_id)
        .small("flags", span.flags)
        .text("name", &span.name)
        .small("kind", span.kind)
        .whole("startTimeUnixNano", span.start_time_unix_nano)
        .whole("endTimeUnixNano", span.end_time_unix_nano)
        .attributes(&span.attributes)
        .small("droppedAttributesCount", span.dropped_attributes_count)
        .with("events", list(&span.events, event))
        .small("droppedEventsCount", span.dropped_events_count)
        .with("links", list(&span.links, link))
        .small("droppedLinksCount", span.dropped_links_count)
        .with("status", span.status.as_ref().map(status).into())
        .value()
}

fn record(record: &LogRecord) -> Value {
    Members::new()
        .whole("timeUnixNano", record.time_unix_nano)
        .whole("observedTimeUnixNano", record.observed_time_unix_nano)
        .small("severityNumber", record.severity_number)
        .text("severityText", &record.severity_text)
        .with("body", record.body.as_ref().map(any).into())
        .attributes(&record.attributes)
        .small("droppedAttributesCount", record.dropped_attributes_count)
        .small("flags", record.flags)
        .id("traceId", &record.trace_id)
        .id("spanId", &record.span_id)
        .text("eventName", &record.event_name)
        .value()
}

fn pair(pair: &KeyValue) -> Value {
    Members::new().text("key", &pair.key).with("value", pair.value.as_ref().map(any).into()).value()
}

/// A value under the name of its type.
fn any(value: &AnyValue) -> Value {
    let (name, value) = match &value.value {
        // One that is empty is a value all the same.
        Some(Any::StringValue(text)) => ("stringValue", text.as_str().into()),
        Some(Any::BoolValue(truth)) => ("boolValue", (*truth).into()),
        Some(Any::IntValue(number)) => ("intValue", number.to_string().into()),
        Some(Any::DoubleValue(number)) => ("doubleValue", double(*number)),
        Some(Any::ArrayValue(array)) => ("arrayValue", Members::new().with("values", list(&array.values, any)).value()),
        Some(Any::KvlistValue(pairs)) => {
            ("kvlistValue", Members::new().with("values", list(&pairs.values, pair)).value())
        }
        // Nothing here is of these types.
        Some(Any::BytesValue(_) | Any::StringValueStrindex(_)) | None => return Value::Object(Map::new()),
    };
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

/// What JSON has no number for is a word, as protobuf's JSON writes it.
fn double(number: f64) -> Value {
    if number.is_nan() {
        "NaN".into()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        number.into()
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to memory does not fail");
    }
    text
}

#[cfg(test)]
mod tests;
