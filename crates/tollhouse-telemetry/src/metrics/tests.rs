use std::time::{Duration, SystemTime};

use tollhouse_core::era::{Era, Version};
use tollhouse_core::fault::Kind;
use tollhouse_core::ids::{CallId, ServerId};
use tollhouse_core::record::{
    Attempt, CallRecord, Listener, Outcome, Principal, Seen, SessionRef, SessionSource, Times, Traffic,
};
use tollhouse_core::trace::TraceContext;
use tollhouse_core::wire::method::intern;

use super::cells::SETS_MAX;
use super::*;

pub(super) fn record(tool: &str, outcome: Outcome) -> CallRecord {
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
        method: intern("tools/call"),
        name: Some(tool.into()),
        local_name: None,
        server: ServerId::new("files").ok(),
        trace: TraceContext::mint(),
        span: [2; 8],
        aside: None,
        sampled: true,
        times: Times {
            sent: Some(Duration::from_millis(1)),
            answered: Some(Duration::from_millis(29)),
            done: Duration::from_millis(30),
            first_response: Some(Duration::from_millis(20)),
        },
        bytes: Traffic { request: 100, response: 200 },
        arguments: None,
        answer: None,
        seen: Seen::default(),
        attempts: [Attempt::default()].into_iter().collect(),
        legs: Box::default(),
        asked_back: Box::default(),
        outcome,
    }
}

fn metrics() -> Metrics {
    Metrics::new(Config::of("1"))
}

fn text(metrics: &Metrics) -> String {
    rendered(metrics, Standing::default())
}

fn rendered(metrics: &Metrics, standing: Standing) -> String {
    String::from_utf8(metrics.expose(standing, "").1).unwrap()
}

fn lines(metrics: &Metrics, start: &str) -> Vec<String> {
    text(metrics).lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
}

#[test]
fn a_call_is_counted_on_both_sides() {
    let metrics = metrics();
    metrics.count(&record("read", Outcome::Ok));
    metrics.count(&record("read", Outcome::Failed(Kind::Timeout.fault())));
    let served = lines(&metrics, "mcp_server_operation_duration_seconds_count");
    assert_eq!(served.len(), 2, "{served:?}");
    assert!(served.iter().all(|line| line.contains(r#"gen_ai_tool_name="read""#) && line.ends_with(" 1")));
    assert!(served.iter().any(|line| line.contains(r#"error_type="timeout""#)));
    assert_eq!(lines(&metrics, "mcp_client_operation_duration_seconds_count").len(), 2);
    assert!(lines(&metrics, "mcp_server_operation_duration_seconds_bucket")[2].contains(r#"le="0.05""#));
    assert_eq!(lines(&metrics, "tollhouse_time_to_first_output_seconds_count").len(), 1);
}

#[test]
fn nothing_a_caller_makes_up_becomes_a_label() {
    let metrics = metrics();
    for n in 0..5000 {
        metrics.count(&record(&format!("made-up-{n}"), Outcome::Error { code: -32602 }));
        metrics.count(&record("read", Outcome::Error { code: n }));
        metrics.count(&CallRecord { server: None, ..record(&format!("made-{n}"), Outcome::Ok) });
        let method = intern(&format!("made/up/{n}"));
        metrics.count(&CallRecord { method, ..record("read", Outcome::Error { code: -32601 }) });
        let read = CallRecord { method: intern("resources/read"), ..record(&format!("made{n}://x"), Outcome::Ok) };
        metrics.count(&read);
    }
    let text = text(&metrics);
    assert!(!text.contains("made"), "no name of a caller's");
    assert!(text.lines().count() < 400, "{} lines", text.lines().count());
}

#[test]
fn what_is_one_label_set_too_many_is_counted_all_the_same() {
    let metrics = metrics();
    for n in 0..2 * SETS_MAX {
        metrics.count(&record(&format!("tool-{n}"), Outcome::Ok));
    }
    let cells = Cells::<cells::Counter>::new(Id::ResourceReads);
    for n in 0..2 * SETS_MAX {
        cells.of(vec![ours("file"), Some(Word::Known(format!("server-{n}").into()))]).add(1);
    }
    let served = lines(&metrics, "mcp_server_operation_duration_seconds_count");
    assert!(served.len() <= SETS_MAX + 1, "{} sets", served.len());
    let total: u64 = served.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    assert_eq!(total, 2 * SETS_MAX as u64);
    let series = cells.series();
    let last = series.last().unwrap();
    assert_eq!((series.len(), last.label("otel.metric.overflow")), (SETS_MAX + 1, Some("true")));
    assert_eq!(last.value, Value::Number(2000.0));
}

#[test]
fn the_callers_own_mistake_is_a_code_and_no_error_of_ours() {
    let metrics = metrics();
    metrics.count(&record("read", Outcome::Error { code: -32602 }));
    let served = lines(&metrics, "mcp_server_operation_duration_seconds_count");
    assert!(!served[0].contains("error_type") && served[0].contains(r#"status_code="-32602""#), "{served:?}");
    let sent = lines(&metrics, "mcp_client_operation_duration_seconds_count");
    assert!(sent[0].contains(r#"error_type="-32602""#), "{sent:?}");
}

#[test]
fn a_server_that_is_gone_leaves_no_series() {
    let metrics = metrics();
    metrics.count(&record("read", Outcome::Ok));
    let with = |servers: &[&str]| {
        let mut standing = Standing::default();
        for server in servers {
            standing.count(Id::ServerState, [Some(Word::server(server)), ours("connected")], 1);
        }
        rendered(&metrics, standing)
    };
    let text = with(&["files", "web"]);
    assert!(text.contains("files") && text.contains(r#"gen_ai_tool_name="read""#) && text.ends_with("# EOF\n"));
    let text = with(&["web"]);
    assert!(!text.contains("files") && !text.contains(r#""read""#), "{text}");
    metrics.count(&record("read", Outcome::Ok));
    assert!(
        with(&["web", "files"])
            .contains(r#"mcp_client_operation_duration_seconds_count{mcp_method_name="tools/call","#)
    );
}

#[test]
fn ranges_name_the_trace_of_a_call_that_fell_into_them() {
    let call = record("read", Outcome::Ok);
    let id = tollhouse_core::trace::Hex(&call.trace.trace_id).to_string();
    for (examples, sampled, expected) in [
        (Examples::All, false, true),
        (Examples::Sampled, false, false),
        (Examples::Sampled, true, true),
        (Examples::Off, true, false),
    ] {
        let metrics = Metrics::new(Config { examples, ..Config::of("1") });
        metrics.count(&CallRecord { sampled, ..call.clone() });
        assert_eq!(text(&metrics).contains(&id), expected, "{examples:?} {sampled}");
    }
    let metrics = metrics();
    metrics.count(&call);
    let bucket = lines(&metrics, "mcp_server_operation_duration_seconds_bucket");
    assert!(
        bucket[2].ends_with(&format!(r#"le="0.05"}} 1 # {{trace_id="{id}",span_id="0202020202020202"}} 0.03 0.030"#)),
        "{}",
        bucket[2]
    );
}

#[test]
fn groups_are_switched_off_by_what_is_not_named() {
    assert_eq!(left_out("tool,session"), Some(vec![]));
    assert_eq!(left_out(" Session "), Some(vec![Group::Tool]));
    assert_eq!(left_out("cache,security"), Some(vec![Group::Tool, Group::Session]));
    assert_eq!(left_out("tool,weather"), None);
    let metrics = Metrics::new(Config { off: vec![Group::Tool], ..Config::of("1") });
    metrics.count(&record("read", Outcome::Ok));
    let text = text(&metrics);
    assert!(!text.contains("mcp_server_operation") && text.contains("tollhouse_overhead_duration_seconds"), "{text}");
}

#[test]
fn the_share_is_of_the_last_minute() {
    let metrics = metrics();
    assert!(!text(&metrics).contains("overhead_share"), "absent without calls");
    metrics.observed(10, Duration::from_millis(1), Duration::from_millis(100));
    assert!(text(&metrics).contains("tollhouse_overhead_share_ratio 0.01\n"), "{}", text(&metrics));
    assert_eq!(lines(&metrics, "tollhouse_overhead_observe_duration_seconds_count").len(), 1);
}

#[test]
fn the_process_is_told_of_where_the_system_tells_it() {
    let text = text(&metrics());
    for name in
        ["process_cpu_time_seconds_total{cpu_mode=\"user\"}", "process_memory_usage_bytes", "process_thread_count"]
    {
        let line = text.lines().find(|line| line.starts_with(name));
        assert!(cfg!(not(target_os = "linux")) || line.is_some(), "{name} in {text}");
    }
}
