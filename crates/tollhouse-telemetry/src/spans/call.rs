//! The spans of a call: as it is served, as it is sent, and what several servers are asked for it.

use std::fmt::Write as _;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tollhouse_core::era::Era;
use tollhouse_core::fault::Kind;
use tollhouse_core::record::{
    AskedBack, Attempt, CallRecord, Failed, Leg, Listener, Outcome, Principal, SessionSource, clip,
};
use tollhouse_core::redact;
use tollhouse_core::trace::Hex;

use super::matrix::{self, Verdict};
use super::tail;
use super::written::{Place, Written};
use super::{Peer, Why, nanos};
use crate::compat::Attributes as _;

/// In place of a name that callers could choose.
const OTHER: &str = "_OTHER";

/// Writes the span of a call as its caller sees it. `listed`: its server has what was asked for.
pub(super) fn write_served(span: &mut Written, record: &CallRecord, listed: bool, why: Why) {
    let start = nanos(record.received_at);
    let place = Place {
        trace: record.trace.trace_id,
        span: record.span,
        parent: record.trace.parent,
        parent_is_remote: record.trace.parent != [0; 8],
        kind: SpanKind::Server,
        start_nanos: start,
        end_nanos: nanos(record.received_at + over(record)),
    };
    begin(span, &place, record, record.name.as_deref(), listed);
    let verdict = matrix::served(&record.outcome, &*record.method == "tools/call");
    told(span, &verdict);
    let id = record.request_id.trim_matches('"');
    if id != "null" {
        span.text("jsonrpc.request.id", &clip(id));
    }
    transport(span, record.listener == Listener::Stdio);
    span.text(
        "enduser.pseudo.id",
        match record.principal {
            Principal::Anonymous => "anonymous",
        },
    );
    span.text("tollhouse.decision", decision(&record.outcome));
    common(span, record);
    span.number("tollhouse.request.size", record.bytes.request);
    span.number("tollhouse.response.size", record.bytes.response);
    hashes(span, record);
    if let Some(first) = record.times.first_response {
        span.seconds("tollhouse.time_to_first_output", first);
    }
    span.seconds("tollhouse.overhead.duration", record.times.gateway());
    match record.outcome {
        Outcome::InputRequired => span.text("tollhouse.result.type", "input_required"),
        Outcome::Task => span.text("tollhouse.result.type", "task"),
        _ => {}
    }
    if record.attempts.len() > 1 {
        span.text("tollhouse.recovery.action", "retry");
        let outcome = match record.outcome {
            Outcome::Failed(fault) if !fault.not_executed() => "unknown",
            Outcome::Failed(_) => "failed",
            // What the last attempt brought is the server's own answer.
            _ => "success",
        };
        span.text("tollhouse.recovery.outcome", outcome);
    }
    let missing = record.missing();
    if missing > 0 {
        span.number("tollhouse.aggregate.missing", missing as u64);
    }
    span.text("tollhouse.sampling.reason", why.as_str());
}

/// Writes the span of an attempt, the `at`-th from 0.
pub(super) fn write_sent(
    span: &mut Written,
    record: &CallRecord,
    attempt: &Attempt,
    at: usize,
    listed: bool,
    peer: Option<&Peer>,
) {
    let place = sending(record, attempt);
    begin(span, &place, record, record.local_name.as_deref().or(record.name.as_deref()), listed);
    told(span, &matrix::sent(attempt.failed));
    reached(span, peer);
    common(span, record);
    span.number("tollhouse.attempt", at as u64 + 1);
    if at > 0 {
        span.text("tollhouse.recovery.action", "retry");
        span.text(
            "tollhouse.recovery.outcome",
            match attempt.failed {
                Some(_) => "failed",
                None => "success",
            },
        );
    }
    // Only the last attempt can have brought something.
    if at + 1 == record.attempts.len()
        && let Some(first) = record.times.first_response
    {
        span.seconds("tollhouse.time_to_first_output", first.saturating_sub(attempt.started));
    }
}

/// Writes the span of what one of several servers was asked for the call.
pub(super) fn write_leg(span: &mut Written, record: &CallRecord, leg: &Leg, peer: Option<&Peer>) {
    let place = sending(record, &leg.asked);
    span.begin(&place, &[leg.method]);
    state(span, record);
    span.text("mcp.method.name", leg.method);
    span.text("mcp.protocol.version", record.version.as_str());
    told(span, &matrix::sent(leg.asked.failed));
    reached(span, peer);
    conversation(span, record);
    span.text("tollhouse.server.name", leg.server.as_str());
}

/// Writes a span of what a server asked back: as the server sees it, or (`sent`) as the client is asked.
pub(super) fn write_asked_back(
    span: &mut Written,
    record: &CallRecord,
    back: &AskedBack,
    sent: bool,
    peer: Option<&Peer>,
) {
    let place = if sent {
        Place { parent: back.span, ..sending(record, &back.asked) }
    } else {
        Place { span: back.span, parent: back.parent, kind: SpanKind::Server, ..sending(record, &back.asked) }
    };
    let method = clip(&back.method);
    span.begin(&place, &[&method]);
    state(span, record);
    span.text("mcp.method.name", &method);
    span.text("mcp.protocol.version", record.version.as_str());
    if let Some(id) = protocol_session(record) {
        span.text("mcp.session.id", &clip(id));
    }
    let verdict = match back.asked.failed {
        Some(Failed::Code(code)) if !sent => matrix::served(&Outcome::Error { code }, false),
        failed => matrix::sent(failed),
    };
    self::told(span, &verdict);
    if sent {
        transport(span, record.listener == Listener::Stdio);
    } else {
        reached(span, peer);
    }
    common(span, record);
}

/// Where the span of a sending stands: below that of the call.
fn sending(record: &CallRecord, sent: &Attempt) -> Place {
    Place {
        trace: record.trace.trace_id,
        span: sent.span,
        parent: record.span,
        parent_is_remote: false,
        kind: SpanKind::Client,
        start_nanos: nanos(record.received_at + sent.started),
        end_nanos: nanos(record.received_at + sent.ended.unwrap_or(record.times.done).min(over(record))),
    }
}

/// When its span ends: a subscription's once it is acknowledged, since what follows may take days.
fn over(record: &CallRecord) -> Duration {
    let acknowledged = record.times.first_response.filter(|_| tail::stays_open(record));
    acknowledged.unwrap_or(record.times.done)
}

/// Where it was sent.
fn reached(span: &mut Written, peer: Option<&Peer>) {
    match peer {
        Some(Peer::Pipe) => transport(span, true),
        Some(Peer::Http { address, port }) => {
            transport(span, false);
            span.text("server.address", address);
            span.number("server.port", (*port).into());
        }
        // It has left the configuration.
        None => {}
    }
}

/// What both begin with: the name, the method, and what it was about.
fn begin(span: &mut Written, place: &Place, record: &CallRecord, name: Option<&str>, listed: bool) {
    let method = clip(&record.method);
    let named = match &*record.method {
        "tools/call" => name.map(|name| ("gen_ai.tool.name", name)),
        "prompts/get" => name.map(|name| ("gen_ai.prompt.name", name)),
        _ => None,
    };
    match named {
        Some((_, name)) => span.begin(place, &[&method, " ", if listed { name } else { OTHER }]),
        None => span.begin(place, &[&method]),
    }
    state(span, record);
    span.text("mcp.method.name", &method);
    if let Some((key, name)) = named {
        span.text(key, &clip(name));
        if key == "gen_ai.tool.name" {
            span.text("gen_ai.operation.name", "execute_tool");
        }
    }
    if record.method.starts_with("resources/")
        && let Some(uri) = record.subject()
    {
        span.text("mcp.resource.uri", &uri);
    }
    span.text("mcp.protocol.version", record.version.as_str());
    if let Some(id) = protocol_session(record) {
        span.text("mcp.session.id", &clip(id));
    }
}

/// What tracers say of its trace goes with every span of it.
fn state(span: &mut Written, record: &CallRecord) {
    if let Some(state) = record.aside.as_ref().and_then(|aside| aside.state.as_ref()) {
        span.state(state.as_str());
    }
}

/// Hashes of what it carried.
fn hashes(span: &mut Written, record: &CallRecord) {
    for (key, hash) in [
        ("tollhouse.content.request.hash", record.seen.request_hash),
        ("tollhouse.content.response.hash", record.seen.response_hash),
    ] {
        if let Some(hash) = hash {
            span.text(key, &Hex(&hash.0).to_string());
        }
    }
}

/// Adds to the span of a call as it is served what it carried, if that is captured. Of results only successful ones are told.
pub(super) fn write_content(span: &mut Written, record: &CallRecord, listed: bool) {
    let Some(content) = record.seen.content.as_deref() else { return };
    let mut truncated = content.truncated;
    let tool = &*record.method == "tools/call" && listed;
    let result = content.result.as_deref().filter(|_| !record.outcome.failed());
    for (key, side) in
        [("gen_ai.tool.call.arguments", content.arguments.as_deref()), ("gen_ai.tool.call.result", result)]
    {
        if let Some(side) = side.filter(|_| tool) {
            let fitting = redact::json(side.as_bytes(), span.longest());
            truncated |= fitting.truncated;
            span.text(key, &fitting.json);
        }
    }
    span.truth("tollhouse.content.truncated", truncated);
    span.number("tollhouse.content.redactions", content.redactions.into());
}

/// How it ended.
fn told(span: &mut Written, verdict: &Verdict) {
    if let Some(error) = &verdict.error {
        span.failed();
        span.text("error.type", error);
    }
    if let Some(code) = verdict.code {
        let mut text = String::new();
        // Text takes everything.
        let _ = write!(text, "{code}");
        span.text("rpc.response.status_code", &text);
    }
    if let Some(fault) = verdict.fault {
        span.text("tollhouse.fault", fault.as_str());
    }
}

/// What belongs to both sides.
fn common(span: &mut Written, record: &CallRecord) {
    conversation(span, record);
    if let Some(server) = &record.server {
        span.text("tollhouse.server.name", server.as_str());
        if let Some(tool) = (&*record.method == "tools/call").then_some(&record.local_name).and_then(Option::as_deref) {
            span.text("tollhouse.server.tool.name", &clip(tool));
        }
    }
}

/// Whose conversation it belongs to.
fn conversation(span: &mut Written, record: &CallRecord) {
    for hint in &record.hints {
        if hint.key == "gen_ai.conversation.id" {
            span.text(hint.key, &clip(&hint.value));
        }
    }
    span.text("tollhouse.session.id", &clip(&record.session.id));
    span.text("tollhouse.session.source", record.session.source.as_str());
}

pub(super) fn transport(span: &mut Written, pipe: bool) {
    if pipe {
        span.text("network.transport", "pipe");
    } else {
        span.text("network.transport", "tcp");
        span.text("network.protocol.name", "http");
    }
}

/// The protocol's own session, where there is one; the modern era has none.
pub(super) fn protocol_session(record: &CallRecord) -> Option<&str> {
    if record.era == Era::Modern {
        return None;
    }
    if record.session.source == SessionSource::Protocol {
        return Some(&record.session.id);
    }
    record.hints.iter().find(|hint| hint.key == "mcp-session-id").map(|hint| &*hint.value)
}

/// What the gateway decided.
fn decision(outcome: &Outcome) -> &'static str {
    let Outcome::Refused { fault, .. } = outcome else { return "allow" };
    match fault.kind {
        Kind::Limited => "rate_limit",
        Kind::Draining => "shed",
        Kind::Parked => "breaker_open",
        _ => "deny",
    }
}
