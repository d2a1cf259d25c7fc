//! The root span of a session. It is over at once, so that it is there before the first call below it.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tollhouse_core::record::{CallRecord, Listener, clip};
use tollhouse_core::trace::TraceContext;

use super::call::{protocol_session, transport};
use super::nanos;
use super::written::{Place, Written};
use crate::compat::Attributes as _;

pub(super) fn write(span: &mut Written, first: &CallRecord, root: &TraceContext) {
    let at = nanos(first.received_at);
    let place = Place {
        trace: root.trace_id,
        span: root.parent,
        parent: [0; 8],
        parent_is_remote: false,
        kind: SpanKind::Internal,
        start_nanos: at,
        end_nanos: at,
    };
    span.begin(&place, &["tollhouse.session"]);
    if let Some(id) = protocol_session(first) {
        span.text("mcp.session.id", &clip(id));
    }
    span.text("mcp.protocol.version", first.version.as_str());
    transport(span, first.listener == Listener::Stdio);
    span.text("tollhouse.session.id", &clip(&first.session.id));
    span.text("tollhouse.session.source", first.session.source.as_str());
}
