//! What the metrics tell beside what they have counted themselves: read from its owners when it is asked for.

use tollhouse_proxy::handle::Handle;
use tollhouse_telemetry::catalogue::Id;
use tollhouse_telemetry::metrics::Standing;
use tollhouse_telemetry::metrics::word::Word;
use tollhouse_web::Recorded;

/// How things stand.
pub(crate) fn standing(handle: &Handle, recorded: Option<&Recorded>) -> Standing {
    let now = handle.snapshot();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let ours = |word: &'static str| Some(Word::Ours(word));
    let mut standing = Standing::default();
    for (transport, sessions) in now.sessions_by {
        standing.count(Id::SessionActive, [ours(transport)], count(sessions));
    }
    for (outcome, sessions) in now.tally.ended {
        standing.count(Id::SessionEnded, [ours(outcome)], sessions);
    }
    for (version, lasted) in now.tally.sessions {
        standing.ranges(Id::ServerSession, [ours(version.as_str())], lasted);
    }
    standing.ranges(Id::SessionCalls, [], now.tally.session_calls);
    for (method, open) in now.tally.streams {
        standing.ranges(Id::StreamDuration, [ours(method)], open);
    }
    for (request, took) in now.tally.requests {
        let labels = [ours(request.method), ours(request.route), ours("http"), Some(Word::status(request.status))];
        standing.ranges(Id::HttpRequest, labels, took);
    }
    standing.count(Id::RequestActive, [], count(now.calls_in_flight));
    for server in now.servers {
        let id = Word::server(&server.id);
        standing.count(Id::ServerState, [Some(id.clone()), ours(server.state)], 1);
        if let Some(tools) = server.tools {
            standing.count(Id::CatalogItems, [ours("tool"), Some(id)], count(tools));
        }
    }
    for (outcome, records) in [("recorded", now.records.recorded), ("dropped", now.records.dropped)] {
        standing.count(Id::Records, [ours(outcome)], records);
    }
    for (kind, lost) in [
        ("message", now.losses.messages_dropped),
        ("connection_cut", now.losses.connections_cut),
        ("connection_refused", now.losses.connections_refused),
        ("record_body", now.records.bodies_dropped),
    ] {
        standing.count(Id::Losses, [ours(kind)], lost);
    }
    if let Some(recorded) = recorded {
        let calls = recorded.store().counts();
        for (outcome, calls) in [("written", calls.written), ("overflowed", calls.overflowed), ("failed", calls.failed)]
        {
            standing.count(Id::StoreCalls, [ours(outcome)], calls);
        }
        standing.ranges(Id::TraceDelay, [ours("stored")], recorded.store().delays());
    }
    standing.number(Id::ProcessUptime, [], now.uptime.as_secs_f64());
    standing
}
