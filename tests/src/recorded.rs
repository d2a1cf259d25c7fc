//! What was recorded is there to be asked for: over the admin listener and by the verbs, also after the end.

use serde_json::{Value, json};

use crate::client::{legacy, modern};
use crate::gateway::{Gateway, gateway, verb};
use crate::http::request;
use crate::upstream;
use crate::wait::eventually;

async fn asked(gateway: &Gateway, path: &str) -> (u16, Value) {
    let response = request(gateway.admin, "GET", path).send().await;
    (response.status(), response.json())
}

/// The calls that `query` finds, once there are as many as expected.
async fn calls(gateway: &Gateway, query: &str, expected: usize) -> Vec<Value> {
    eventually(&format!("{expected} calls are kept"), async || {
        let (_, page) = asked(gateway, &format!("/api/v1/calls?{query}")).await;
        let calls = page["calls"].as_array().cloned().unwrap_or_default();
        (calls.len() == expected).then_some(calls)
    })
    .await
}

#[tokio::test]
async fn a_finished_call_is_found_by_everything_it_says() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let first = client.tool("echo").meta("threadId", "\"plan-b\"").meta("traceparent", &json!(trace).to_string());
    assert_eq!(first.arguments(&json!({"nonce": "secret-word"})).send().await.outcome(), "ok");
    assert_eq!(client.call("no-such-tool", json!({})).await.outcome(), "error");
    let all = calls(&gateway, "f=server:eq:tested", 2).await;
    let ok = calls(&gateway, "f=server:eq:tested&f=outcome:eq:ok", 1).await.remove(0);
    assert_eq!(
        [&ok["method"], &ok["name"], &ok["session"], &ok["session_source"], &ok["client"], &ok["trace_id"]],
        ["tools/call", "echo", "plan-b", "threadId", "tests", "0af7651916cd43dd8448eb211c80319c"]
            .map(|text| json!(text))
            .each_ref()
    );
    assert!(ok["total_us"].as_u64() >= ok["upstream_us"].as_u64() && ok["arguments"] == "{nonce:str(11)}", "{ok}");
    let whole = Value::from(all.clone()).to_string();
    assert!(!whole.contains("secret-word"), "no value of an argument is kept");
    assert_eq!(calls(&gateway, "errors=true", 1).await[0]["error"], "-32602");
    assert_eq!(asked(&gateway, &format!("/api/v1/calls/{}", ok["id"].as_str().unwrap_or_default())).await, (200, ok));
    let (status, found) = asked(&gateway, "/api/v1/traces/0af7651916cd43dd8448eb211c80319c").await;
    assert_eq!((status, found["calls"].as_array().map(Vec::len)), (200, Some(1)));
    let (_, session) = asked(&gateway, "/api/v1/sessions/plan-b").await;
    assert_eq!(session["calls"][0]["name"], "echo");
    gateway.ends_well(&["error", "ok"]).await;
}

#[tokio::test]
async fn sums_sessions_and_errors_are_those_of_the_calls() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = legacy(&gateway, "2025-06-18").await;
    for n in 0..20 {
        assert_eq!(client.call("echo", json!({"nonce": n.to_string()})).await.outcome(), "ok");
    }
    assert_eq!(client.call("no-such-tool", json!({})).await.outcome(), "error");
    let figures = eventually("the calls are summed up", async || {
        let (_, found) = asked(&gateway, "/api/v1/figures?by=tool&server=tested").await;
        let of = |name: &str| found["figures"].as_array()?.iter().find(|figure| figure["name"] == name).cloned();
        of("echo").zip(of("no-such-tool")).filter(|(echo, _)| echo["calls"] == 20)
    });
    let (echo, failing) = figures.await;
    assert_eq!(
        (&echo["failed"], &failing["failed"], &failing["errors"]),
        (&json!(0), &json!(1), &json!([["-32602", 1]]))
    );
    assert!(echo["p50_ms"].as_f64() <= echo["p99_ms"].as_f64());
    let (_, sessions) = asked(&gateway, "/api/v1/sessions").await;
    let session = &sessions["sessions"][0];
    assert_eq!((&session["source"], &session["failed"]), (&json!("protocol"), &json!(1)));
    assert_eq!(session["id"].as_str(), client.session.as_deref());
    let (_, errors) = asked(&gateway, "/api/v1/errors").await;
    assert_eq!(
        (&errors["errors"][0]["name"], &errors["errors"][0]["error"], &errors["errors"][0]["count"]),
        (&json!("no-such-tool"), &json!("-32602"), &json!(1))
    );
}

#[tokio::test]
async fn what_was_recorded_outlives_the_process_however_it_ends() {
    let upstream = upstream::echo().start().await;
    let data = tempfile::tempdir().expect("a temporary directory");
    let dir = data.path().display().to_string();
    let builder = || gateway().with(&upstream).without("--data-dir").argument("--data-dir").argument(&dir);
    let start = async || builder().start().await;
    let mut kept = 0;
    for end in [rustix::process::Signal::KILL, rustix::process::Signal::TERM] {
        let mut gateway = start().await;
        assert_eq!(modern(&gateway).call("echo", json!({"nonce": "n"})).await.outcome(), "ok");
        kept += 1;
        calls(&gateway, "f=server:eq:tested", kept).await;
        gateway.process.signal(end);
        gateway.process.exit().await;
    }
    let gateway = start().await;
    calls(&gateway, "f=server:eq:tested", kept).await;
    let (code, stderr) = builder().alone().refused().await;
    assert_eq!(code, Some(74));
    assert!(stderr.contains("is in use by process") && stderr.contains("hint:"), "{stderr}");
}

#[tokio::test]
async fn what_is_counted_can_be_fetched_as_open_metrics() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    for _ in 0..3 {
        assert_eq!(client.call("echo", json!({"nonce": "n"})).await.outcome(), "ok");
    }
    let counted =
        r#"mcp_server_operation_duration_seconds_count{mcp_method_name="tools/call",gen_ai_tool_name="echo","#;
    let text = eventually("the calls are counted", async || {
        let response = request(gateway.admin, "GET", "/metrics").send().await;
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert!(response.head.get("content-type").starts_with("application/openmetrics-text"));
        text.lines().any(|line| line.starts_with(counted) && line.ends_with(" 3")).then_some(text)
    });
    let text = text.await;
    for line in [
        r#"tollhouse_server_state{tollhouse_server_name="tested",state="connected"} 1"#,
        "# TYPE mcp_client_operation_duration_seconds histogram",
        "# UNIT mcp_client_operation_duration_seconds seconds",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    gateway.ends_well(&["ok"; 3]).await;
}

#[tokio::test]
async fn a_question_that_is_not_understood_says_what_is() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    for (path, status, word) in [
        ("/api/v1/calls?range=1x", 400, "24h"),
        ("/api/v1/calls?nope=1", 400, "nope"),
        ("/api/v1/calls?f=price:eq:1", 400, "server"),
        ("/api/v1/figures?by=mood", 400, "client"),
        ("/api/v1/calls/00000000000000000000000000", 404, "is kept"),
        ("/api/v1/calls/..%2f..%2fetc%2fpasswd", 404, "26"),
        ("/api/v1/traces/xyz", 404, "32"),
        ("/api/v1/sessions/unknown", 404, "unknown"),
    ] {
        let (found, problem) = asked(&gateway, path).await;
        assert!(
            found == status && problem["detail"].as_str().is_some_and(|text| text.contains(word)),
            "{path}: {problem}"
        );
    }
}

#[tokio::test]
async fn the_verbs_show_what_was_recorded() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    assert_eq!(modern(&gateway).call("echo", json!({"nonce": "n"})).await.outcome(), "ok");
    let kept = calls(&gateway, "f=server:eq:tested", 1).await;
    let id = kept[0]["id"].as_str().unwrap_or_default();
    let (code, stdout, _) = verb(&["calls", "--server", "tested"], &gateway).await;
    let line: Value = serde_json::from_str(stdout.trim()).unwrap_or_default();
    assert_eq!((code, &line), (Some(0), &kept[0]), "a line of JSON where no terminal reads");
    let (code, stdout, _) = verb(&["calls", "show", id], &gateway).await;
    assert!(code == Some(0) && stdout.contains(id) && stdout.contains("{nonce:str(1)}"), "{stdout}");
    let (code, stdout, _) = verb(&["trace", "last"], &gateway).await;
    assert!(code == Some(0) && stdout.contains("tested/echo") && stdout.contains('█'), "{stdout}");
    let (code, _, stderr) = verb(&["trace", "last-error"], &gateway).await;
    assert_eq!((code, stderr.contains("no such call")), (Some(1), true), "{stderr}");
    eventually("the session is summed up", async || {
        let (code, stdout, _) = verb(&["sessions"], &gateway).await;
        (code == Some(0) && stdout.contains("guess")).then_some(())
    })
    .await;
    let (code, _, stderr) = verb(&["errors"], &gateway).await;
    assert_eq!((code, stderr.contains("nothing failed")), (Some(0), true), "{stderr}");
    let (code, _, stderr) = verb(&["calls", "--since", "soon"], &gateway).await;
    assert_eq!((code, stderr.contains("`range`")), (Some(2), true), "{stderr}");
}
