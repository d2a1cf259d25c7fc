//! What a call carried, as an event for collectors of logs: for those whose traces should not hold it.

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use tollhouse_core::record::{CallRecord, clip};

use super::otlp::{named, nanos, text};

/// The event; `None` if nothing was captured. Of results only successful ones are told, as in spans.
pub(super) fn event(record: &CallRecord) -> Option<LogRecord> {
    let content = record.seen.content.as_deref()?;
    let at = nanos(record.received_at + record.times.done);
    let mut attributes = vec![
        text("tollhouse.call.id", &record.id.to_string()),
        text("mcp.method.name", &clip(&record.method)),
        text("tollhouse.session.id", &clip(&record.session.id)),
    ];
    attributes.extend(record.server.as_ref().map(|server| text("tollhouse.server.name", server.as_str())));
    if &*record.method == "tools/call" {
        attributes.extend(record.subject().map(|name| text("gen_ai.tool.name", &name)));
    }
    let result = content.result.as_deref().filter(|_| !record.outcome.failed());
    for (key, side) in
        [("gen_ai.tool.call.arguments", content.arguments.as_deref()), ("gen_ai.tool.call.result", result)]
    {
        attributes.extend(side.map(|side| text(key, side)));
    }
    attributes.push(named("tollhouse.content.truncated", Any::BoolValue(content.truncated)));
    attributes.push(named("tollhouse.content.redactions", Any::IntValue(content.redactions.into())));
    let ids = |id: &[u8]| if id.iter().all(|byte| *byte == 0) { Vec::new() } else { id.to_vec() };
    Some(LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number: SeverityNumber::Info as i32,
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue { value: Some(Any::StringValue("what a call carried".to_owned())) }),
        attributes,
        trace_id: ids(&record.trace.trace_id),
        span_id: ids(&record.span),
        event_name: "tollhouse.content".to_owned(),
        ..LogRecord::default()
    })
}
