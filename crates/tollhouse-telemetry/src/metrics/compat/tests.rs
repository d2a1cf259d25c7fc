use std::collections::BTreeSet;

use super::*;
use crate::metrics::snapshot::{Head, Series, Value};
use crate::metrics::word::Word;
use tollhouse_core::histogram::Histogram;

/// The metrics that the mapping of names lists and that have a source: nothing is missing, nothing is made up.
const NAMES: [(&str, &[&str]); 3] = [
    (
        "gateway",
        &[
            "mcp_errors_total",
            "mcp_request_duration_seconds",
            "mcp_requests_total",
            "mcp_resource_reads_total",
            "mcp_service_info",
            "mcp_tool_call_duration_seconds",
            "mcp_tool_calls_total",
            "mcp_tools_total",
        ],
    ),
    (
        "proxy",
        &[
            "mcp_proxy_backends_connected",
            "mcp_proxy_request_duration_milliseconds",
            "mcp_proxy_requests_total",
            "mcp_proxy_sessions_active",
        ],
    ),
    (
        "tools",
        &[
            "mcp_session_active",
            "mcp_session_duration_seconds",
            "mcp_session_tool_count",
            "mcp_tool_calls",
            "mcp_tool_duration_milliseconds",
            "mcp_tool_errors",
        ],
    ),
];

/// Those whose source there is not yet: lists of resources and prompts, authentication, limits, caches, content checks.
/// Whoever adds the source moves the name up.
const LATER: [&str; 11] = [
    "mcp_auth_attempts",
    "mcp_prompts",
    "mcp_proxy_classifier_cache_hits",
    "mcp_proxy_classifier_cache_misses",
    "mcp_rate_limit_hits",
    "mcp_resources_total",
    "cache_hit_ratio",
    "cache_operations",
    "security_check_duration",
    "security_checks",
    "security_rule_triggers",
];

fn ranges(bounds: &'static [f64], values: &[f64]) -> Value {
    let histogram = Histogram::new(bounds);
    for value in values {
        histogram.observe(*value);
    }
    Value::Ranges(histogram.counted())
}

fn family(id: Id, series: Vec<(Vec<(&'static str, &'static str)>, Value)>) -> Family {
    let series = series.into_iter().map(|(labels, value)| Series {
        labels: labels.into_iter().map(|(name, word)| (name, Word::Ours(word))).collect(),
        value,
    });
    Family { head: Head::of(id.metric()), series: series.collect() }
}

/// One series of everything that has another name.
fn counted() -> Vec<Family> {
    let call = |more: &[(&'static str, &'static str)], value| {
        let mut labels = vec![("mcp.method.name", "tools/call"), ("gen_ai.tool.name", "read")];
        labels.extend_from_slice(more);
        labels.extend([("network.transport", "tcp"), ("tollhouse.server.name", "files")]);
        (labels, ranges(&CALL_WIDE, &[value]))
    };
    vec![
        family(
            Id::ServerOperation,
            vec![
                call(&[], 0.022),
                call(&[], 0.3),
                call(&[("error.type", "timeout")], 40.0),
                call(&[("rpc.response.status_code", "-32602")], 0.001),
                call(&[("error.type", "-32603"), ("rpc.response.status_code", "-32603")], 0.001),
            ],
        ),
        family(
            Id::ClientOperation,
            vec![(vec![("mcp.method.name", "tools/call"), ("error.type", "timeout")], ranges(&CALL, &[40.0]))],
        ),
        family(
            Id::ResourceReads,
            vec![(vec![("scheme", "file"), ("tollhouse.server.name", "files")], Value::Number(2.0))],
        ),
        family(
            Id::CatalogItems,
            vec![(vec![("kind", "tool"), ("tollhouse.server.name", "files")], Value::Number(4.0))],
        ),
        family(Id::ServerState, vec![(vec![("state", "down")], Value::Number(1.0))]),
        family(Id::SessionActive, vec![(vec![("network.transport", "tcp")], Value::Number(3.0))]),
        family(Id::ServerSession, vec![(vec![("mcp.protocol.version", "2025-11-25")], ranges(&LONG, &[3.0]))]),
        family(Id::SessionCalls, vec![(vec![], ranges(&CALLS, &[3.0]))]),
        family(
            Id::HttpRequest,
            vec![(
                vec![("http.request.method", "POST"), ("http.route", "/mcp"), ("http.response.status_code", "200")],
                ranges(&CALL, &[0.02]),
            )],
        ),
        family(Id::Build, vec![(vec![("version", "1")], Value::Number(1.0))]),
    ]
}

use tollhouse_core::histogram::{CALLS, LONG};

fn text(set: Set) -> String {
    let mut families = counted();
    let own = families.len();
    add(&mut families, &[set]);
    families.drain(..own);
    crate::metrics::text::open_metrics(&crate::metrics::snapshot::Snapshot { families })
}

#[test]
fn each_set_has_the_names_of_its_document_and_no_others() {
    for (set, names) in NAMES {
        let set = Set::ALL.into_iter().find(|known| known.as_str() == set).unwrap();
        let found: BTreeSet<_> = ALIASES.iter().filter(|alias| alias.set == set).map(|alias| alias.series).collect();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), names, "{set:?}");
        let text = text(set);
        for name in names {
            assert!(text.contains(&format!("\n{name}")) || text.contains(&format!("{name}_")), "{name} in\n{text}");
            assert!(rules(set).contains(&format!("record: {name}")), "{name}");
        }
    }
    assert!(ALIASES.iter().all(|alias| alias.set != Set::Dashboard));
    assert!(ALIASES.iter().all(|alias| LATER.iter().all(|later| !alias.series.starts_with(later))));
}

#[test]
fn calls_are_told_under_other_names() {
    let gateway = text(Set::Gateway);
    for line in [
        "# TYPE mcp_tool_calls counter",
        r#"mcp_tool_calls_total{tool_name="read",status="success"} 3"#,
        r#"mcp_tool_calls_total{tool_name="read",status="error"} 2"#,
        r#"mcp_tool_call_duration_seconds_bucket{tool_name="read",le="0.05"} 3"#,
        r#"mcp_errors_total{type="timeout",component="upstream"} 1"#,
        "# TYPE mcp_tools_total gauge",
        "mcp_tools_total 4",
        r#"mcp_requests_total{method="POST",path="/mcp",status="200"} 1"#,
        r#"mcp_service_info{version="1"} 1"#,
    ] {
        assert!(gateway.lines().any(|found| found == line), "{line} in\n{gateway}");
    }
    let tools = text(Set::Tools);
    for line in [
        "# TYPE mcp_tool_calls unknown",
        r#"mcp_tool_calls{tool_name="read",result="success"} 3"#,
        r#"mcp_tool_errors{tool_name="read",error_type="timeout"} 1"#,
        r#"mcp_tool_errors{tool_name="read",error_type="validation"} 1"#,
        r#"mcp_tool_errors{tool_name="read",error_type="internal"} 1"#,
        "# UNIT mcp_tool_duration_milliseconds milliseconds",
        r#"mcp_tool_duration_milliseconds_bucket{tool_name="read",le="20.0"} 2"#,
        r#"mcp_tool_duration_milliseconds_bucket{tool_name="read",le="25.0"} 3"#,
        r#"mcp_tool_duration_milliseconds_bucket{tool_name="read",le="+Inf"} 5"#,
        "mcp_session_active 3",
        "mcp_session_tool_count_count 1",
    ] {
        assert!(tools.lines().any(|found| found == line), "{line} in\n{tools}");
    }
    let proxy = text(Set::Proxy);
    for line in [
        r#"mcp_proxy_requests_total{method="tools/call",transport="serve:http",status="ok",server="files",tool="read"} 3"#,
        r#"mcp_proxy_request_duration_milliseconds_sum{method="tools/call",transport="serve:http",status="error",server="files",tool="read"} 40001"#,
        "mcp_proxy_backends_connected 0",
    ] {
        assert!(proxy.lines().any(|found| found == line), "{line} in\n{proxy}");
    }
}

#[test]
fn rules_use_names_and_labels_of_the_table_only() {
    for alias in ALIASES {
        let labels: Vec<_> = alias.from.metric().labels.iter().map(|label| label.name).collect();
        let of = |condition: &If| match condition {
            If::Is(label, _) | If::Not(label, _) => *label,
        };
        let mut used: Vec<&str> = alias.only.iter().map(of).collect();
        for to in alias.labels {
            match to {
                To::Copy(from, _) => used.push(from),
                To::Fixed(..) => {}
                To::Cases(_, cases) => used.extend(cases.iter().flat_map(|(conditions, _)| conditions.iter().map(of))),
            }
        }
        assert!(used.iter().all(|label| labels.contains(label)), "{}: {used:?} of {labels:?}", alias.series);
    }
    let tools = rules(Set::Tools);
    assert!(
        tools.contains(
            "record: mcp_tool_duration_milliseconds_bucket\n        expr: 'sum by (job, instance, tool_name) \
             (label_replace(mcp_server_operation_duration_seconds_bucket{mcp_method_name=\"tools/call\",le=\"0.01\"}, \
             \"tool_name\", \"$1\", \"gen_ai_tool_name\", \"(.*)\"))'\n        labels: { le: '10.0' }\n"
        ),
        "{tools}"
    );
}
