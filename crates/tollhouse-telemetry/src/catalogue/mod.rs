//! Every metric there is: its name, what it counts, in which ranges, under which labels, and where their values come from.
//!
//! The one table. What is counted is declared by it, `docs/reference/metrics.md` is written from it, and a test holds
//! what a busy gateway tells against it, both ways. Names and buckets are those of the OpenTelemetry conventions for MCP
//! where they have one, else `tollhouse.…`.

mod page;

pub use page::{reference, table};

use tollhouse_core::histogram::{BYTES, CALL, CALLS, FINE, LONG};

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// By which the program refers to it.
    pub id: Id,
    /// The name of OpenTelemetry, with dots.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// The unit, as UCUM writes it: `s`, `By`, `1`, `{call}`.
    pub unit: &'static str,
    /// Upper bounds of the ranges of a histogram; empty for everything else.
    pub bounds: &'static [f64],
    /// By what it is told apart.
    pub labels: &'static [Label],
    /// With what it is switched on and off.
    pub group: Group,
    /// What it counts, in a sentence.
    pub help: &'static str,
}

/// What kind a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls, and may be added up over programs.
    UpDown,
    /// Rises and falls.
    Gauge,
    /// Counts by range.
    Histogram,
    /// Always 1; what it says is in its labels.
    Info,
}

/// A group of metrics that are switched on and off together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Calls, by tool: on unless `MCP_METRICS_GROUPS` leaves it out.
    Tool,
    /// Sessions and streams: on unless `MCP_METRICS_GROUPS` leaves it out.
    Session,
    /// Servers and limits: on.
    Server,
    /// The gateway itself: on.
    Gateway,
}

/// By what the series of a metric are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// The name, with dots.
    pub name: &'static str,
    /// Where its values come from.
    pub values: Values,
}

/// Where the values of a label come from: each a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// These words.
    Words(&'static [&'static str]),
    /// The methods of the protocol, else `_OTHER`.
    Methods,
    /// Tools or prompts that their server has answered for, else `_OTHER`.
    Catalogue,
    /// Servers of the configuration.
    Servers,
    /// JSON-RPC codes that mean the same everywhere, else `_OTHER`.
    Codes,
    /// Codes, and the words for what goes wrong between gateway and server.
    Errors,
    /// The revisions of the protocol.
    Revisions,
    /// Status codes of HTTP.
    Statuses,
    /// What the program and its environment say of themselves, fixed at its start.
    Fixed,
}

macro_rules! label {
    ($($constant:ident $name:literal $values:expr;)+) => {
        $(const $constant: Label = Label { name: $name, values: $values };)+
    };
}

label! {
    METHOD "mcp.method.name" Values::Methods;
    TOOL "gen_ai.tool.name" Values::Catalogue;
    PROMPT "gen_ai.prompt.name" Values::Catalogue;
    OPERATION "gen_ai.operation.name" Values::Words(&["execute_tool"]);
    ERROR "error.type" Values::Errors;
    CODE "rpc.response.status_code" Values::Codes;
    TRANSPORT "network.transport" Values::Words(&["tcp", "pipe"]);
    REVISION "mcp.protocol.version" Values::Revisions;
    SERVER "tollhouse.server.name" Values::Servers;
    DIRECTION "direction" Values::Words(&["in", "out"]);
    SCHEME "scheme" Values::Words(&["file", "http", "git", "ui", "other"]);
    ENDED "outcome" Values::Words(&["success", "failed", "expired"]);
    STATE "state" Values::Words(&["connecting", "connected", "down", "parked"]);
    LISTED "kind" Values::Words(&["tool"]);
    FATE "outcome" Values::Words(&["recorded", "dropped"]);
    KEPT "outcome" Values::Words(&["written", "overflowed", "failed"]);
    LOST "kind" Values::Words(&["message", "connection_cut", "connection_refused", "record_body"]);
    STAGE "stage" Values::Words(&["stored", "exported"]);
    SIGNAL "signal" Values::Words(&["traces", "metrics", "logs"]);
    WAY "direction" Values::Words(&["out"]);
    TAKEN "outcome" Values::Words(&["accepted", "rejected", "dropped"]);
    REASON "reason" Values::Words(&["queue_full", "unavailable", "timeout", "refused", "shutdown"]);
    COMPONENT "otel.component.type" Values::Words(&["batching_span_processor"]);
    LAYER "stage" Values::Words(&["pipeline"]);
    ORIGIN "origin" Values::Words(&["own"]);
    ASPECT "aspect" Values::Words(&["trace_root", "session_state", "tool_output", "tool_content"]);
    COVERED "covered" Values::Words(&["yes", "no"]);
    CAPTURED "content" Values::Words(&["yes", "no"]);
    BUILT "stage" Values::Words(&["mint", "assemble"]);
    VIEW "view" Values::Words(&["overview", "calls", "traces", "sessions", "errors", "servers", "settings", "api"]);
    ANSWERED "outcome" Values::Words(&["ok", "refused", "failed"]);
    COMPARED "result" Values::Words(&["equal", "different", "skipped"]);
    HTTP_METHOD "http.request.method" Values::Words(&["GET", "HEAD", "POST", "DELETE", "OPTIONS", "_OTHER"]);
    HTTP_STATUS "http.response.status_code" Values::Statuses;
    HTTP_ROUTE "http.route" Values::Words(&["/mcp", "/servers/{id}/mcp", "/servers/{id}/sse", "/servers/{id}/sse/message", "/sse", "/sse/message", "/healthz",
        "_OTHER"]);
    HTTP_SCHEME "url.scheme" Values::Words(&["http"]);
    CPU_MODE "cpu.mode" Values::Words(&["user", "system"]);
    SERVICE_NAME "service.name" Values::Fixed;
    SERVICE_VERSION "service.version" Values::Fixed;
    SERVICE_INSTANCE "service.instance.id" Values::Fixed;
    VERSION "version" Values::Fixed;
}

macro_rules! metrics {
    ($($id:ident $name:literal $kind:ident $unit:literal $bounds:expr, [$($label:ident)*] $group:ident $help:literal;)+) => {
        /// By which the program refers to a metric.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Id {
            $(#[doc = $help] $id,)+
        }

        /// Every metric, in the order in which they are told.
        pub const METRICS: &[Metric] = &[
            $(Metric {
                id: Id::$id,
                name: $name,
                kind: Kind::$kind,
                unit: $unit,
                bounds: &$bounds,
                labels: &[$($label),*],
                group: Group::$group,
                help: $help,
            },)+
        ];
    };
}

metrics! {
    ServerOperation "mcp.server.operation.duration" Histogram "s" CALL,
        [METHOD TOOL PROMPT OPERATION ERROR CODE TRANSPORT REVISION SERVER] Tool
        "From the arrival of a call to the end of its answer, as the client sees it.";
    ClientOperation "mcp.client.operation.duration" Histogram "s" CALL,
        [METHOD TOOL PROMPT OPERATION ERROR CODE SERVER] Tool
        "From sending a call to its server to the end of the server's answer.";
    FirstOutput "tollhouse.time_to_first_output" Histogram "s" CALL, [TOOL SERVER] Tool
        "Until the first progress, event or byte of a tool's result came back.";
    ResourceReads "tollhouse.resource.reads" Counter "{read}" [], [SCHEME SERVER] Tool
        "Resources read, by the scheme of their URI.";
    PayloadSize "tollhouse.payload.size" Histogram "By" BYTES, [DIRECTION] Tool
        "Bodies of calls: in, what clients sent; out, what they were answered.";
    ServerSession "mcp.server.session.duration" Histogram "s" LONG, [REVISION] Session
        "How long a client's session lasted, once it has ended.";
    SessionActive "tollhouse.session.active" UpDown "{session}" [], [TRANSPORT] Session
        "Sessions of clients that are open.";
    SessionCalls "tollhouse.session.tool_calls" Histogram "{call}" CALLS, [] Session
        "Tool calls of a session, once it has ended.";
    SessionEnded "tollhouse.session.ended" Counter "{session}" [], [ENDED] Session
        "Sessions that have ended: by either side, for want of room, or because nothing happened in them.";
    StreamDuration "tollhouse.stream.duration" Histogram "s" LONG, [METHOD] Session
        "How long the stream that answers a request was open.";
    ServerState "tollhouse.server.state" UpDown "{server}" [], [SERVER STATE] Server
        "1 for the state a server is in.";
    RequestActive "tollhouse.request.active" UpDown "{call}" [], [] Server
        "Calls under way.";
    CatalogItems "tollhouse.catalog.items" Gauge "{item}" [], [LISTED SERVER] Server
        "What a server offers, as last counted.";
    Records "tollhouse.records" Counter "{record}" [], [FATE] Gateway
        "Records of finished calls: handed on, or dropped because nobody took them in time.";
    StoreCalls "tollhouse.store.calls" Counter "{call}" [], [KEPT] Gateway
        "Calls the store was given: written, dropped for want of room, or not written because of an error.";
    Losses "tollhouse.losses" Counter "{loss}" [], [LOST] Gateway
        "What was given up at a limit: messages nobody fetched, slow clients, arguments no record had room for.";
    TraceDelay "tollhouse.trace.delay" Histogram "s" CALL, [STAGE] Gateway
        "From the end of a call to its record being visible here, or taken by a collector: of calls told together, the one that waited longest.";
    Overhead "tollhouse.overhead.duration" Histogram "s" FINE, [METHOD] Gateway
        "Time of a call that was not spent at its server.";
    Observe "tollhouse.overhead.observe.duration" Histogram "s" FINE, [LAYER] Gateway
        "What it takes to count, log and put down one finished call, as a mean of those taken together.";
    OverheadShare "tollhouse.overhead.share" Gauge "1" [], [] Gateway
        "Time taken for counting, logging and putting down calls, as a part of the time calls took, over a minute.";
    OtlpItems "tollhouse.otlp.items" Counter "{item}" [], [SIGNAL WAY TAKEN REASON] Gateway
        "Spans, metrics and log records for a collector: taken by it, rejected by it, or dropped, and why.";
    SpanQueue "otel.sdk.processor.span.queue.size" UpDown "{span}" [], [COMPONENT] Gateway
        "Spans that wait to be sent.";
    SpanQueueCapacity "otel.sdk.processor.span.queue.capacity" UpDown "{span}" [], [COMPONENT] Gateway
        "Spans that may wait to be sent.";
    TraceSize "tollhouse.trace.size" Histogram "By" BYTES, [ORIGIN] Gateway
        "What the spans of a call take, encoded for a collector, as a mean of those told together.";
    Coverage "tollhouse.coverage" Counter "{call}" [], [ASPECT COVERED] Gateway
        "Calls, by whether it is known: a root of their trace, their session by what somebody says of it, hashes of what went in and out, the content itself.";
    TraceRootCoverage "tollhouse.trace_root.coverage" Gauge "1" [], [] Gateway
        "The part of calls of the last five minutes whose trace has a root: the caller's span, or that of the session.";
    SessionCoverage "tollhouse.session_state.coverage" Gauge "1" [], [] Gateway
        "The part of tool calls of the last five minutes whose session is known by what client or protocol say, not by the trace or a guess.";
    OutputVisibility "tollhouse.tool_output.visibility" Gauge "1" [], [CAPTURED] Gateway
        "The part of tool calls of the last five minutes whose input and output are known by size and hash, or whose content is captured.";
    TraceRoot "tollhouse.dashboard.trace_root.duration" Histogram "s" FINE, [BUILT] Gateway
        "What a trace waits for its root: from the head of a request to its ids, of one call in 64, and from a trace being asked for to its tree.";
    DashboardRequests "tollhouse.dashboard.requests" Counter "{request}" [], [VIEW ANSWERED] Gateway
        "Pages and answers of the API asked for: given, refused because the question was wrong, or failed.";
    DashboardRefreshes "tollhouse.dashboard.refreshes" Counter "{refresh}" [], [VIEW] Gateway
        "How often open pages were told to change.";
    DashboardViews "tollhouse.dashboard.views.open" UpDown "{view}" [], [VIEW] Gateway
        "Pages that are open and told of changes.";
    DashboardConsistency "tollhouse.dashboard.consistency" Counter "{comparison}" [], [COMPARED] Gateway
        "Minutes of which calls and failures as counted, as summed up and as stored were held against each other.";
    HttpRequest "http.server.request.duration" Histogram "s" CALL,
        [HTTP_METHOD HTTP_ROUTE HTTP_SCHEME HTTP_STATUS] Gateway
        "From the head of an HTTP request of a client to the head of its response.";
    ProcessCpu "process.cpu.time" Counter "s" [], [CPU_MODE] Gateway
        "Processor time this process has used.";
    ProcessMemory "process.memory.usage" UpDown "By" [], [] Gateway
        "Memory this process holds.";
    ProcessVirtual "process.memory.virtual" UpDown "By" [], [] Gateway
        "Addresses this process has taken.";
    ProcessFiles "process.unix.file_descriptor.count" UpDown "{file_descriptor}" [], [] Gateway
        "File descriptors this process has open.";
    ProcessThreads "process.thread.count" UpDown "{thread}" [], [] Gateway
        "Threads of this process.";
    ProcessUptime "process.uptime" Gauge "s" [], [] Gateway
        "Since when this process runs.";
    Target "target" Info "" [], [SERVICE_NAME SERVICE_VERSION SERVICE_INSTANCE] Gateway
        "Who is being asked.";
    Build "tollhouse.build" Info "" [], [VERSION] Gateway
        "The program.";
}

impl Id {
    /// Its row.
    pub const fn metric(self) -> &'static Metric {
        // The rows and the ids are written by one macro, in one order.
        &METRICS[self as usize]
    }
}

impl Metric {
    /// The name a Prometheus knows it by, without the suffix of a series.
    pub fn family(&self) -> String {
        let name = self.name.replace('.', "_");
        match self.exposed_unit() {
            Some(unit) => format!("{name}_{unit}"),
            None => name,
        }
    }

    /// The name of its series: the family with `_total` for a counter and `_info` for what only has labels.
    pub fn series(&self) -> String {
        let family = self.family();
        match self.kind {
            Kind::Counter => format!("{family}_total"),
            Kind::Info => format!("{family}_info"),
            Kind::UpDown | Kind::Gauge | Kind::Histogram => family,
        }
    }

    /// The unit as it stands in a name, if it does.
    pub fn exposed_unit(&self) -> Option<&'static str> {
        match self.unit {
            "s" => Some("seconds"),
            "By" => Some("bytes"),
            // OpenTelemetry's rules for Prometheus: a gauge without a dimension is a ratio.
            "1" if self.kind == Kind::Gauge => Some("ratio"),
            _ => None,
        }
    }

    /// The word for its kind in OpenMetrics.
    pub fn exposed_kind(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "counter",
            Kind::UpDown | Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }
}

impl Label {
    /// The name a Prometheus knows it by.
    pub fn exposed(&self) -> String {
        self.name.replace('.', "_")
    }
}

impl Group {
    /// The word by which it is switched.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Session => "session",
            Self::Server => "server",
            Self::Gateway => "gateway",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_row_has_one_name_and_stands_at_its_id() {
        let names: BTreeSet<_> = METRICS.iter().map(Metric::family).collect();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            assert_eq!(metric.id.metric().name, metric.name);
            assert_eq!(metric.bounds.is_empty(), metric.kind != Kind::Histogram, "{}", metric.name);
            assert!(metric.bounds.is_sorted() && metric.help.ends_with('.'), "{}", metric.name);
            let labels: BTreeSet<_> = metric.labels.iter().map(Label::exposed).collect();
            assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
        }
    }

    #[test]
    fn names_are_written_as_prometheus_expects_them() {
        for (id, name) in [
            (Id::ServerOperation, "mcp_server_operation_duration_seconds"),
            (Id::ResourceReads, "tollhouse_resource_reads_total"),
            (Id::PayloadSize, "tollhouse_payload_size_bytes"),
            (Id::OverheadShare, "tollhouse_overhead_share_ratio"),
            (Id::ProcessCpu, "process_cpu_time_seconds_total"),
            (Id::Target, "target_info"),
            (Id::Build, "tollhouse_build_info"),
        ] {
            assert_eq!(id.metric().series(), name);
        }
    }
}
