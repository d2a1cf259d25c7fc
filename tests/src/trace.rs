//! Trace context on its way through.
//!
//! As long as no spans leave the gateway, the caller's context passes as it came: were it replaced, the users' own
//! tree would miss a parent. What servers are told where they do is shown in `exported`.

use serde_json::{Value, json};

use crate::client::{legacy, modern};
use crate::gateway::gateway;
use crate::stdio::child;
use crate::upstream;
use crate::wait::until;

const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Contexts that are valid, though some look odd.
const PASS: [&str; 5] = [
    VALID,
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    // Unknown flags.
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
    // A later version, alone and with more behind it.
    "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-brings",
];

/// Contexts that are none.
const BAD: [&str; 12] = [
    "",
    "x",
    "00",
    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
    "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
    "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
];

#[tokio::test]
async fn a_37_a_valid_context_in_meta_reaches_the_upstream_unchanged() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let (modern, legacy) = (modern(&gateway), legacy(&gateway, "2025-11-25").await);
    let mut outcomes = Vec::new();
    for context in PASS {
        for client in [&modern, &legacy] {
            let call = client.tool("echo").raw_arguments("{}").meta("traceparent", &json!(context).to_string());
            let answer = call.meta("tracestate", "\"vendor=1,other=2\"").send().await;
            let seen = upstream.last_call();
            assert_eq!(
                (answer.outcome().as_str(), seen.meta("traceparent"), seen.meta("tracestate")),
                ("ok", json!(context), json!("vendor=1,other=2"))
            );
            outcomes.push("ok");
        }
    }
    gateway.ends_well(&outcomes).await;
}

#[tokio::test]
async fn a_37_a_valid_context_in_headers_reaches_the_upstream_unchanged() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    for context in PASS {
        let call = client.tool("echo").raw_arguments("{}").field("traceparent", context);
        let answer = call.field("tracestate", "vendor=1").send().await;
        let head = upstream.last_call().head.clone();
        assert_eq!(
            (answer.outcome().as_str(), head.get("traceparent"), head.get("tracestate")),
            ("ok", context, "vendor=1")
        );
    }
    gateway.ends_well(&["ok"; PASS.len()]).await;
}

#[tokio::test]
async fn a_37_meta_beats_headers() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    let other = "00-11111111111111111111111111111111-2222222222222222-01";
    let call = client.tool("echo").raw_arguments("{}").field("traceparent", other);
    let answer = call.meta("traceparent", &json!(VALID).to_string()).send().await;
    let seen = upstream.last_call();
    assert_eq!((answer.outcome().as_str(), seen.meta("traceparent")), ("ok", json!(VALID)));
    let trace_id = json!("0af7651916cd43dd8448eb211c80319c");
    let record = gateway.records().into_iter().find(|record| record["extra"]["method"] == "tools/call");
    if let Some(record) = record {
        assert_eq!(record["trace_id"], trace_id, "the trace the call belongs to");
    }
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_37_a_bad_context_is_no_reason_to_refuse_a_call() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    let many: Vec<String> = (0..33).map(|n| format!("k{n}=v")).collect();
    let call = || client.tool("echo").raw_arguments("{}");
    for context in BAD {
        let in_header = call().field("traceparent", context).send().await;
        let in_meta = call().meta("traceparent", &json!(context).to_string()).send().await;
        assert_eq!([in_header.outcome(), in_meta.outcome()], ["ok", "ok"], "{context:?}");
    }
    let no_string = call().meta("traceparent", "7").meta("baggage", "[]").send().await;
    let twice = call().request().also("traceparent", VALID).also("traceparent", VALID).send().await;
    let too_many = call().field("traceparent", VALID).field("tracestate", &many.join(",")).send().await;
    let blanks = call().field("traceparent", VALID).field("tracestate", " , ,").send().await;
    let statuses = [no_string.status(), twice.status(), too_many.status(), blanks.status()];
    assert_eq!(statuses, [200; 4]);
    gateway.ends_well(&["ok"; BAD.len() * 2 + 4]).await;
}

#[tokio::test]
async fn a_37_a_bad_context_starts_a_new_trace() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    for context in BAD {
        client.tool("echo").raw_arguments("{}").field("traceparent", context).send().await;
    }
    until("every call has left its record", || gateway.recorded() >= BAD.len()).await;
    let mut traces: Vec<String> = gateway.records().iter().map(|record| record["trace_id"].to_string()).collect();
    traces.sort();
    traces.dedup();
    let valid = |trace: &&String| trace.len() == 34 && !trace.contains(&"0".repeat(32));
    assert_eq!((traces.len(), traces.iter().filter(valid).count()), (BAD.len(), BAD.len()), "{traces:?}");
    gateway.ends_well(&["ok"; BAD.len()]).await;
}

#[tokio::test]
async fn a_38_members_of_meta_that_nobody_knows_are_kept() {
    let upstream = upstream::echo().start().await;
    let child = child();
    let gateway = gateway().with(&upstream).server("child", &child).start().await;
    let unknown = r#"{"a":[1.0,"\u00e9",null],"b":{"progressToken":9}}"#;
    let answer = modern(&gateway).tool("echo").raw_arguments("{}").meta("example.com/unknown", unknown).send().await;
    let expected: Value = serde_json::from_str(unknown).expect("it is JSON");
    assert_eq!((answer.outcome().as_str(), upstream.last_call().meta("example.com/unknown")), ("ok", expected));
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_38_baggage_beyond_8_kib_is_dropped_and_the_call_goes_on() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    let baggage = format!("\"key={}\"", "x".repeat(64 * 1024));
    let answer = client.tool("echo").raw_arguments("{}").meta("baggage", &baggage).send().await;
    let seen = upstream.last_call();
    assert_eq!((answer.outcome().as_str(), seen.meta("baggage")), ("ok", Value::Null));
    assert!(seen.head.get("baggage").len() <= 8192, "baggage as a header");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn the_switch_that_stops_injection_keeps_trace_headers_to_the_gateway() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).env("MCP_OTEL_INJECT_TRACEPARENT", "0").start().await;
    let client = modern(&gateway);
    let call = client.tool("echo").raw_arguments("{}").meta("traceparent", &json!(VALID).to_string());
    let answer = call.field("traceparent", VALID).field("tracestate", "vendor=1").send().await;
    let seen = upstream.last_call();
    let headers = (seen.head.get("traceparent"), seen.head.get("tracestate"));
    assert_eq!((answer.outcome().as_str(), seen.meta("traceparent"), headers), ("ok", json!(VALID), ("", "")));
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn trace_headers_of_a_legacy_caller_reach_its_server() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let answer = client.tool("echo").raw_arguments("{}").field("traceparent", VALID).send().await;
    assert_eq!((answer.outcome().as_str(), upstream.last_call().head.get("traceparent")), ("ok", VALID));
    gateway.ends_well(&["ok"]).await;
}
