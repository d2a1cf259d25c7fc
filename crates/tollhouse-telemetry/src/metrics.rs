//! What is counted of calls, for a Prometheus to fetch.
//!
//! Names and buckets are those of the OpenTelemetry conventions for MCP where they have one, else `tollhouse.…`, written
//! as Prometheus writes them. Everything is fed from finished records, beside the path of a call.
//!
//! A label's values come from closed sets: methods of the protocol, servers of the configuration, codes that are known,
//! tools that their servers have answered for. What a caller makes up is counted as `_OTHER`, and so is what would be
//! one label set too many for a metric.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tollhouse_core::record::{CallRecord, Listener, Outcome};

/// What stands for names and codes that are not from a closed set.
pub const OTHER: &str = "_OTHER";

/// Label sets of one metric; further ones are counted under [`OTHER`].
const SETS_MAX: usize = 2000;
/// Codes that a server may answer with as it likes, of which these mean something everywhere.
const CODES: [i64; 18] = [
    -32700, -32600, -32601, -32602, -32603, -32000, -32001, -32002, -32020, -32021, -32022, -32042, 4130, 4290, 5030,
    5040, 5041, 5070,
];

/// Seconds of a call, as the conventions for generative AI cut them.
const CALL: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Seconds of what should take microseconds.
const FINE: [f64; 16] =
    [5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1.0];
/// Bytes, by powers of four.
const BYTES: [f64; 9] = [256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

/// Labels of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    mcp_method_name: String,
    gen_ai_tool_name: Option<String>,
    gen_ai_operation_name: Option<&'static str>,
    error_type: Option<String>,
    rpc_response_status_code: Option<String>,
    network_transport: &'static str,
    mcp_protocol_version: &'static str,
}

/// Labels of a call as its server saw it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sent {
    mcp_method_name: String,
    gen_ai_tool_name: Option<String>,
    error_type: Option<String>,
    tollhouse_server_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tool {
    gen_ai_tool_name: Option<String>,
    tollhouse_server_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Method {
    mcp_method_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Scheme {
    scheme: &'static str,
    tollhouse_server_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Fate {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerState {
    tollhouse_server_name: String,
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Catalog {
    kind: &'static str,
    tollhouse_server_name: String,
}

/// How things stand when they are fetched.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Legacy sessions that are open.
    pub sessions: u64,
    /// Calls under way.
    pub calls_in_flight: u64,
    /// Records handed on.
    pub records: u64,
    /// Records dropped.
    pub records_dropped: u64,
    /// Each server: its id, the word for its state, and how many tools it offers.
    pub servers: Vec<(String, String, Option<u64>)>,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    served: Histograms<Operation>,
    sent: Histograms<Sent>,
    first_output: Histograms<Tool>,
    overhead: Histograms<Method>,
    size: Histograms<Direction>,
    reads: Family<Scheme, Counter>,
    sessions: Gauge,
    in_flight: Gauge,
    records: Family<Fate, Counter>,
    told: Mutex<(u64, u64)>,
    states: Family<ServerState, Gauge>,
    catalog: Family<Catalog, Gauge>,
    /// Tools that their servers have answered for, and sets that are in use.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    tools: HashSet<(String, String)>,
    operations: HashSet<Operation>,
    sent: HashSet<Sent>,
}

impl Metrics {
    /// Nothing counted yet. `version` is the program's.
    pub fn new(version: &str) -> Self {
        let mut registry = Registry::default();
        let call: fn() -> Histogram = || Histogram::new(CALL);
        let fine: fn() -> Histogram = || Histogram::new(FINE);
        let bytes: fn() -> Histogram = || Histogram::new(BYTES);
        let (served, sent) = (Histograms::new_with_constructor(call), Histograms::new_with_constructor(call));
        let first_output = Histograms::new_with_constructor(call);
        let (overhead, size) = (Histograms::new_with_constructor(fine), Histograms::new_with_constructor(bytes));
        let (reads, records) = (Family::default(), Family::default());
        let (states, catalog) = (Family::default(), Family::default());
        let (sessions, in_flight) = (Gauge::default(), Gauge::default());
        let mut timed = |name, help, family: Histograms<Operation>| {
            registry.register_with_unit(name, help, Unit::Seconds, family);
        };
        timed("mcp_server_operation_duration", "From the arrival of a call to the end of its answer", served.clone());
        registry.register_with_unit(
            "mcp_client_operation_duration",
            "From sending a call to its server to the end of the server's answer",
            Unit::Seconds,
            sent.clone(),
        );
        registry.register_with_unit(
            "tollhouse_time_to_first_output",
            "Until the first progress, event or byte of a tool's result came back",
            Unit::Seconds,
            first_output.clone(),
        );
        registry.register_with_unit(
            "tollhouse_overhead_duration",
            "Time of a call that was not spent at its server",
            Unit::Seconds,
            overhead.clone(),
        );
        registry.register_with_unit("tollhouse_payload_size", "Bodies of calls", Unit::Bytes, size.clone());
        registry.register("tollhouse_resource_reads", "Resources read", reads.clone());
        registry.register("tollhouse_session_active", "Legacy sessions that are open", sessions.clone());
        registry.register("tollhouse_request_active", "Calls under way", in_flight.clone());
        registry.register("tollhouse_records", "Records of finished calls", records.clone());
        registry.register("tollhouse_server_state", "1 for the state a server is in", states.clone());
        registry.register("tollhouse_catalog_items", "What servers offer, as last counted", catalog.clone());
        registry.register("tollhouse_build", "The program", Info::new([("version".to_owned(), version.to_owned())]));
        Self {
            registry,
            served,
            sent,
            first_output,
            overhead,
            size,
            reads,
            sessions,
            in_flight,
            records,
            told: Mutex::default(),
            states,
            catalog,
            known: Mutex::default(),
        }
    }

    /// Counts a finished call.
    pub fn count(&self, record: &CallRecord) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let method = method(&record.method);
        let server = record.server.as_ref().map(|server| server.as_str().to_owned());
        let tool = (record.method == "tools/call").then(|| known.tool(record, server.as_deref()));
        let (error, code) = (error_type(&record.outcome), code(&record.outcome));
        let operation = known.operation(Operation {
            mcp_method_name: method.clone(),
            gen_ai_tool_name: tool.clone(),
            gen_ai_operation_name: tool.is_some().then_some("execute_tool"),
            error_type: served_error(&record.outcome)
                .or_else(|| error.clone())
                .filter(|_| !caller_error(&record.outcome)),
            rpc_response_status_code: code,
            network_transport: match record.listener {
                Listener::Http | Listener::Sse => "tcp",
                Listener::Stdio => "pipe",
            },
            mcp_protocol_version: record.version.as_str(),
        });
        self.served.get_or_create(&operation).observe(record.times.done.as_secs_f64());
        self.overhead
            .get_or_create(&Method { mcp_method_name: method.clone() })
            .observe(seconds(record.times.gateway()));
        for (direction, bytes) in [("in", record.bytes.request), ("out", record.bytes.response)] {
            self.size.get_or_create(&Direction { direction }).observe(number(bytes));
        }
        let Some(server) = server.filter(|_| !record.attempts.is_empty()) else { return };
        if let Some(first) = record.times.first_response.filter(|_| tool.is_some()) {
            let labels = Tool { gen_ai_tool_name: tool.clone(), tollhouse_server_name: server.clone() };
            self.first_output.get_or_create(&labels).observe(seconds(first));
        }
        if record.method == "resources/read" {
            let scheme = scheme(record.name.as_deref().unwrap_or_default());
            self.reads.get_or_create(&Scheme { scheme, tollhouse_server_name: server.clone() }).inc();
        }
        let sent = known.sent(Sent {
            mcp_method_name: method,
            gen_ai_tool_name: tool,
            error_type: error,
            tollhouse_server_name: server,
        });
        self.sent.get_or_create(&sent).observe(seconds(record.times.upstream()));
    }

    /// Everything as OpenMetrics text, with how things stand at this moment.
    pub fn render(&self, standing: &Standing) -> String {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.sessions.set(gauge(standing.sessions));
        self.in_flight.set(gauge(standing.calls_in_flight));
        {
            // Two fetches at once must not count the same twice.
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let add = |outcome, now: u64, before: &mut u64| {
                self.records.get_or_create(&Fate { outcome }).inc_by(now.saturating_sub(*before));
                *before = now.max(*before);
            };
            let (recorded, dropped) = &mut *told;
            add("recorded", standing.records, recorded);
            add("dropped", standing.records_dropped, dropped);
            // Servers come and go.
            self.states.clear();
            self.catalog.clear();
            for (server, state, tools) in &standing.servers {
                let labels = ServerState { tollhouse_server_name: server.clone(), state: state.clone() };
                self.states.get_or_create(&labels).set(1);
                if let Some(tools) = tools {
                    let labels = Catalog { kind: "tool", tollhouse_server_name: server.clone() };
                    self.catalog.get_or_create(&labels).set(gauge(*tools));
                }
            }
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to memory does not fail");
        text
    }
}

impl Known {
    /// The tool's name, if its server has ever answered for it.
    fn tool(&mut self, record: &CallRecord, server: Option<&str>) -> String {
        let name = record.local_name.as_deref().or(record.name.as_deref()).unwrap_or_default();
        let key = (server.unwrap_or_default().to_owned(), name.to_owned());
        if self.tools.contains(&key) {
            return key.1;
        }
        let answered =
            matches!(record.outcome, Outcome::Ok | Outcome::ToolError | Outcome::InputRequired | Outcome::Task);
        if answered && server.is_some() && name.len() <= 128 && self.tools.len() < SETS_MAX {
            self.tools.insert(key.clone());
            return key.1;
        }
        OTHER.to_owned()
    }

    fn operation(&mut self, labels: Operation) -> Operation {
        if self.operations.contains(&labels) {
            return labels;
        }
        if self.operations.len() < SETS_MAX {
            self.operations.insert(labels.clone());
            return labels;
        }
        Operation { gen_ai_tool_name: labels.gen_ai_tool_name.map(|_| OTHER.to_owned()), ..labels }
    }

    fn sent(&mut self, labels: Sent) -> Sent {
        if self.sent.contains(&labels) {
            return labels;
        }
        if self.sent.len() < SETS_MAX {
            self.sent.insert(labels.clone());
            return labels;
        }
        Sent { gen_ai_tool_name: labels.gen_ai_tool_name.map(|_| OTHER.to_owned()), ..labels }
    }
}

fn method(method: &tollhouse_core::wire::method::Method) -> String {
    match method {
        std::borrow::Cow::Borrowed(known) => (*known).to_owned(),
        std::borrow::Cow::Owned(_) => OTHER.to_owned(),
    }
}

/// `error.type` as a member of a closed set.
fn error_type(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Error { code } | Outcome::Refused { code, .. } if !CODES.contains(code) => Some(OTHER.to_owned()),
        _ => outcome.error_type().map(std::borrow::Cow::into_owned),
    }
}

/// The JSON-RPC code, if there was one.
fn code(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Error { code } | Outcome::Refused { code, .. } if CODES.contains(code) => Some(code.to_string()),
        Outcome::Error { .. } | Outcome::Refused { .. } => Some(OTHER.to_owned()),
        Outcome::Ok | Outcome::ToolError | Outcome::InputRequired | Outcome::Task | Outcome::Failed(_) => None,
    }
}

/// The caller's own mistake: on the server's side it is no error, only a code (OpenTelemetry conventions for MCP).
fn caller_error(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Error { code: -32700 | -32600 | -32601 | -32602 | -32002 }
            | Outcome::Refused { code: -32700 | -32600 | -32601 | -32602 | -32002 | -32022..=-32020, .. }
    )
}

/// What we answered a call with that brought no answer: the caller sees a result that is an error.
fn served_error(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Failed(fault) => Some(fault.kind.as_str().to_owned()),
        _ => None,
    }
}

fn scheme(uri: &str) -> &'static str {
    match uri.split_once(':').map(|(scheme, _)| scheme) {
        Some("file") => "file",
        Some("http" | "https") => "http",
        Some("git") => "git",
        Some("ui") => "ui",
        _ => "other",
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a bucket is chosen by it")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tollhouse_core::era::{Era, Version};
    use tollhouse_core::fault::Kind;
    use tollhouse_core::ids::{CallId, ServerId};
    use tollhouse_core::record::{Attempt, Principal, SessionRef, SessionSource, Times, Traffic};
    use tollhouse_core::trace::TraceContext;

    use super::*;

    fn record(tool: &str, outcome: Outcome) -> CallRecord {
        CallRecord {
            id: CallId::mint(SystemTime::UNIX_EPOCH),
            received_at: SystemTime::UNIX_EPOCH,
            listener: Listener::Http,
            request_id: "1".into(),
            principal: Principal::Anonymous,
            session: SessionRef { id: "s".into(), source: SessionSource::Guess },
            hints: Box::default(),
            era: Era::Modern,
            version: Version::MODERN,
            client: None,
            method: tollhouse_core::wire::method::intern("tools/call"),
            name: Some(tool.into()),
            local_name: None,
            server: ServerId::new("files").ok(),
            trace: TraceContext::mint(),
            span: [0; 8],
            sampled: true,
            times: Times { done: Duration::from_millis(30), ..Times::default() },
            bytes: Traffic { request: 100, response: 200 },
            arguments: None,
            attempts: [Attempt::default()].into_iter().collect(),
            outcome,
        }
    }

    fn lines(metrics: &Metrics, start: &str) -> Vec<String> {
        let text = metrics.render(&Standing::default());
        text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
    }

    #[test]
    fn a_call_is_counted_on_both_sides() {
        let metrics = Metrics::new("1");
        metrics.count(&record("read", Outcome::Ok));
        metrics.count(&record("read", Outcome::Failed(Kind::Timeout.fault())));
        let served = lines(&metrics, "mcp_server_operation_duration_seconds_count");
        assert_eq!(served.len(), 2, "{served:?}");
        assert!(served.iter().all(|line| line.contains(r#"gen_ai_tool_name="read""#) && line.ends_with(" 1")));
        assert!(served.iter().any(|line| line.contains(r#"error_type="timeout""#)));
        assert_eq!(lines(&metrics, "mcp_client_operation_duration_seconds_count").len(), 2);
        assert!(lines(&metrics, "mcp_server_operation_duration_seconds_bucket")[2].contains(r#"le="0.05""#));
    }

    #[test]
    fn nothing_a_caller_makes_up_becomes_a_label() {
        let metrics = Metrics::new("1");
        for n in 0..5000 {
            metrics.count(&record(&format!("made-up-{n}"), Outcome::Error { code: -32602 }));
            metrics.count(&record("read", Outcome::Error { code: n }));
            let method = tollhouse_core::wire::method::intern(&format!("made/up/{n}"));
            metrics.count(&CallRecord { method, ..record("read", Outcome::Error { code: -32601 }) });
        }
        let text = metrics.render(&Standing::default());
        assert!(!text.contains("made"), "no name of a caller's");
        assert!(text.lines().count() < 300, "{} lines", text.lines().count());
    }

    #[test]
    fn a_server_that_offers_too_many_tools_is_counted_all_the_same() {
        let metrics = Metrics::new("1");
        for n in 0..2 * SETS_MAX {
            metrics.count(&record(&format!("tool-{n}"), Outcome::Ok));
        }
        let served = lines(&metrics, "mcp_server_operation_duration_seconds_count");
        assert!(served.len() <= SETS_MAX + 1, "{} sets", served.len());
        let total: u64 = served.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
        assert_eq!(total, 2 * SETS_MAX as u64);
    }

    #[test]
    fn the_callers_own_mistake_is_a_code_and_no_error_of_ours() {
        let metrics = Metrics::new("1");
        metrics.count(&record("read", Outcome::Error { code: -32602 }));
        let served = lines(&metrics, "mcp_server_operation_duration_seconds_count");
        assert!(served[0].contains(r#"error_type="""#) && served[0].contains(r#"status_code="-32602""#), "{served:?}");
        let sent = lines(&metrics, "mcp_client_operation_duration_seconds_count");
        assert!(sent[0].contains(r#"error_type="-32602""#), "{sent:?}");
    }

    #[test]
    fn how_things_stand_is_told_at_each_fetch() {
        let metrics = Metrics::new("1");
        let servers = vec![("files".to_owned(), "connected".to_owned(), Some(4))];
        let standing = Standing { sessions: 2, records: 10, records_dropped: 1, servers, ..Standing::default() };
        metrics.render(&standing);
        let text = metrics.render(&Standing { records: 12, servers: Vec::new(), ..standing });
        assert!(text.contains("tollhouse_session_active 2\n"), "{text}");
        assert!(text.contains("tollhouse_records_total{outcome=\"recorded\"} 12\n"), "{text}");
        assert!(!text.contains("files") && text.ends_with("# EOF\n"), "a server that is gone leaves no series");
    }
}
