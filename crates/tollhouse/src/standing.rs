//! What the metrics tell beside what they have counted themselves: read from its owners when it is asked for.

use std::sync::{Arc, Mutex, PoisonError};

use tollhouse_proxy::handle::Handle;
use tollhouse_telemetry::catalogue::Id;
use tollhouse_telemetry::metrics::snapshot::Snapshot;
use tollhouse_telemetry::metrics::word::Word;
use tollhouse_telemetry::metrics::{Metrics, Standing};
use tollhouse_telemetry::otlp::{Reason, Signal};
use tollhouse_web::Recorded;
use tollhouse_web::usage::{Outcome, Usage, View};

use crate::consistency::Consistency;
use crate::exports::Exports;

/// All metrics, for those who ask and for those who are told.
pub(crate) struct Figures {
    metrics: Arc<Metrics>,
    beside: Beside,
    source: Mutex<Source>,
}

/// What counts beside the gateway and the metrics themselves.
pub(crate) struct Beside {
    pub(crate) recorded: Option<Recorded>,
    pub(crate) exports: Exports,
    pub(crate) consistency: Arc<Consistency>,
}

/// Where it is read how things stand.
enum Source {
    Running(Handle),
    /// As they stood when the last call was over: the end of the gateway is told as well.
    Ended(Standing),
}

impl Figures {
    pub(crate) fn new(metrics: Arc<Metrics>, handle: Handle, beside: Beside) -> Self {
        Self { metrics, beside, source: Mutex::new(Source::Running(handle)) }
    }

    /// As `/metrics` has them, for who accepts this.
    pub(crate) fn expose(&self, accepted: &str) -> (&'static str, Vec<u8>) {
        self.metrics.expose(self.standing(), accepted)
    }

    /// All of them, at this moment.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.metrics.snapshot(self.standing())
    }

    /// No call follows: lets go of the gateway.
    pub(crate) fn end(&self) {
        let standing = self.standing();
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Source::Ended(standing);
    }

    fn standing(&self) -> Standing {
        match &*self.source.lock().unwrap_or_else(PoisonError::into_inner) {
            Source::Running(handle) => standing(handle, &self.beside),
            Source::Ended(standing) => standing.clone(),
        }
    }
}

/// How things stand.
fn standing(handle: &Handle, beside: &Beside) -> Standing {
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
    standing.ranges(Id::TraceRoot, [ours("mint")], now.tally.minted);
    if let Some(recorded) = &beside.recorded {
        let calls = recorded.store().counts();
        for (outcome, calls) in [("written", calls.written), ("overflowed", calls.overflowed), ("failed", calls.failed)]
        {
            standing.count(Id::StoreCalls, [ours(outcome)], calls);
        }
        standing.ranges(Id::TraceDelay, [ours("stored")], recorded.store().delays());
        dashboard(recorded.usage(), &mut standing);
        for (result, minutes) in beside.consistency.counts() {
            standing.count(Id::DashboardConsistency, [ours(result)], minutes);
        }
    }
    for (signal, counts) in beside.exports.counts() {
        let mut items = |outcome, reason: Option<Reason>, items| {
            let labels =
                [ours(signal.as_str()), ours("out"), ours(outcome), reason.and_then(|reason| ours(reason.as_str()))];
            standing.count(Id::OtlpItems, labels, items);
        };
        items("accepted", None, counts.accepted);
        items("rejected", None, counts.rejected);
        for reason in Reason::ALL {
            items("dropped", Some(reason), counts.dropped(reason));
        }
        if signal == Signal::Traces {
            let component = || [ours("batching_span_processor")];
            standing.count(Id::SpanQueue, component(), counts.queued);
            standing.count(Id::SpanQueueCapacity, component(), counts.capacity);
        }
    }
    if let Some(spans) = beside.exports.exporter(Signal::Traces) {
        standing.ranges(Id::TraceDelay, [ours("exported")], spans.delays());
    }
    standing.number(Id::ProcessUptime, [], now.uptime.as_secs_f64());
    standing
}

/// How the dashboard does.
fn dashboard(usage: &Usage, standing: &mut Standing) {
    let ours = |word: &'static str| Some(Word::Ours(word));
    standing.ranges(Id::TraceRoot, [ours("assemble")], usage.assembling());
    for view in View::ALL {
        for outcome in Outcome::ALL {
            let requests = usage.requests(view, outcome);
            standing.count(Id::DashboardRequests, [ours(view.as_str()), ours(outcome.as_str())], requests);
        }
        // Of the others nobody is told that they change.
        if matches!(view, View::Overview | View::Calls) {
            standing.count(Id::DashboardRefreshes, [ours(view.as_str())], usage.refreshes(view));
            standing.count(Id::DashboardViews, [ours(view.as_str())], usage.open(view));
        }
    }
}
