//! Spans as lines, for people who try things out (`OTEL_TRACES_EXPORTER=console`).

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use prost::encoding::decode_key;
use serde_json::{Map, Value as Json, json};
use tollhouse_core::trace::Hex;

use crate::otlp::Items;

/// One line of JSON for each span.
pub fn lines(items: &Items) -> Vec<String> {
    let mut bytes = items.bytes();
    let mut lines = Vec::new();
    while decode_key(&mut bytes).is_ok() {
        let Ok(span) = Span::decode_length_delimited(&mut bytes) else { break };
        lines.push(line(&span));
    }
    lines
}

fn line(span: &Span) -> String {
    let attributes: Map<_, _> = span
        .attributes
        .iter()
        .map(|attribute| {
            let value = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
                Some(Value::StringValue(text)) => json!(text),
                Some(Value::IntValue(number)) => json!(number),
                Some(Value::DoubleValue(number)) => json!(number),
                Some(Value::BoolValue(yes)) => json!(yes),
                _ => Json::Null,
            };
            (attribute.key.clone(), value)
        })
        .collect();
    let id = |bytes: &[u8]| Hex(bytes).to_string();
    json!({
        "name": span.name,
        "kind": span.kind().as_str_name().trim_start_matches("SPAN_KIND_").to_ascii_lowercase(),
        "trace_id": id(&span.trace_id),
        "span_id": id(&span.span_id),
        "parent_span_id": id(&span.parent_span_id),
        "start_time_unix_nano": span.start_time_unix_nano,
        "duration_ns": span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano),
        "error": span.status.as_ref().is_some_and(|status| status.code == 2),
        "attributes": attributes,
    })
    .to_string()
}
