//! What the store promises when things go wrong around it, and what is kept beside calls.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::client::modern;
use crate::gateway::{Gateway, gateway, verb};
use crate::http::request;
use crate::stdio::child;
use crate::upstream::{self, Server as _};
use crate::wait::eventually;

async fn asked(gateway: &Gateway, path: &str) -> (u16, Value) {
    let response = request(gateway.admin, "GET", path).send().await;
    (response.status(), response.json())
}

/// The events of these kinds, the last first, once `enough` says so.
async fn history(gateway: &Gateway, query: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    eventually(&format!("{query} happened"), async || {
        let (_, found) = asked(gateway, &format!("/api/v1/history?{query}")).await;
        let events = found["events"].as_array().cloned().unwrap_or_default();
        enough(&events).then_some(events)
    })
    .await
}

async fn kept(gateway: &Gateway) -> usize {
    let (_, page) = asked(gateway, "/api/v1/calls?limit=1000&f=server:eq:tested").await;
    page["calls"].as_array().map(Vec::len).unwrap_or_default()
}

#[tokio::test]
async fn a_store_that_stands_still_delays_no_call_and_loses_none() {
    let upstream = upstream::echo().start().await;
    let data = tempfile::tempdir().expect("a temporary directory");
    let dir = data.path().display().to_string();
    let builder = gateway().with(&upstream).without("--data-dir").argument("--data-dir").argument(&dir);
    let gateway = builder.start().await;
    let client = modern(&gateway);
    assert_eq!(client.call("echo", json!({"nonce": "first"})).await.outcome(), "ok");
    eventually("the first call is kept", async || (kept(&gateway).await == 1).then_some(())).await;
    let stranger = Connection::open(data.path().join("store/seg/calls-1.db")).expect("the file of calls is there");
    stranger.execute_batch("BEGIN IMMEDIATE").expect("it can be held");
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    for n in 0..200 {
        let sent = Instant::now();
        assert_eq!(client.call("echo", json!({"nonce": n.to_string()})).await.outcome(), "ok");
        longest = longest.max(sent.elapsed());
    }
    // The store waits for a second each time it tries; a call that waited for it would take as long.
    assert!(longest < Duration::from_secs(1), "a call took {longest:?}");
    assert!(began.elapsed() < Duration::from_secs(15), "200 calls took {:?}", began.elapsed());
    assert_eq!(kept(&gateway).await, 1, "nothing is written meanwhile");
    stranger.execute_batch("ROLLBACK").expect("it can be let go");
    eventually("every call is kept", async || (kept(&gateway).await == 201).then_some(())).await;
}

#[tokio::test]
async fn the_configuration_says_where_calls_are_kept_and_whether() {
    let upstream = upstream::echo().start().await;
    let data = tempfile::tempdir().expect("a temporary directory");
    let dir = data.path().join("elsewhere").display().to_string();
    let server = upstream.yaml().join("\n    ");
    let yaml = |store: &str| format!("servers:\n  tested:\n    {server}\nstore: {store}\n");
    let start = async |store: &str| gateway().alone().without("--data-dir").config(&yaml(store)).start().await;
    let elsewhere = start(&format!("{{ path: \"{dir}\", calls: 1d, disk_budget: 1GiB }}")).await;
    assert_eq!(modern(&elsewhere).call("echo", json!({"nonce": "n"})).await.outcome(), "ok");
    eventually("the call is kept", async || (kept(&elsewhere).await == 1).then_some(())).await;
    assert!(data.path().join("elsewhere/seg/calls-1.db").exists());
    let nowhere = start("{ enabled: false }").await;
    assert_eq!(modern(&nowhere).call("echo", json!({"nonce": "n"})).await.outcome(), "ok");
    let (code, _, stderr) = verb(&["calls"], &nowhere).await;
    assert!(code == Some(1) && stderr.contains("records nothing"), "{stderr}");
    let (code, stderr) = gateway().alone().config(&yaml("{ path: here }")).refused().await;
    assert!(code == Some(78) && stderr.contains("the path of the store is relative"), "{stderr}");
}

#[tokio::test]
async fn what_happens_to_servers_and_their_tools_is_kept() {
    let server = child().argument("changes");
    server.set_tools(&["one", "two"]);
    let gateway = gateway().alone().with(&server).start().await;
    let told = history(&gateway, "server=tested", |events| events.len() >= 4).await;
    let kinds = told.iter().map(|event| event["kind"].as_str().unwrap_or_default().to_owned());
    let mut sorted: Vec<_> = kinds.collect();
    sorted.sort();
    assert_eq!(sorted, ["server_up", "tool_added", "tool_added", "tool_added"]);
    let (_, tools) = asked(&gateway, "/api/v1/tools").await;
    let names: Vec<_> = tools["tools"].as_array().into_iter().flatten().map(|tool| tool["name"].clone()).collect();
    assert_eq!(names, [json!("echo"), json!("one"), json!("two")]);
    let (status, tool) = asked(&gateway, "/api/v1/tools/tested/one").await;
    assert_eq!((status, &tool["definition"]["name"], &tool["tool"]["changes"]), (200, &json!("one"), &json!(0)));
    assert_eq!(asked(&gateway, "/api/v1/tools/tested/three").await.0, 404);
    assert!(!gateway.stderr().contains("tools changed"), "what is listed for the first time is no change");
    server.set_tools(&["one", "two", "three"]);
    let pid = server.starts()[0];
    kill_process(Pid::from_raw(pid).expect("no process has id 0"), Signal::KILL).expect("it is there");
    let told = history(&gateway, "kind=server_restarted", |events| !events.is_empty()).await;
    assert_eq!(told[0]["server"], "tested");
    history(&gateway, "kind=tool_added", |events| events.len() == 4).await;
    let line = gateway.stderr().lines().find(|line| line.contains("\"tools changed\"")).map(str::to_owned);
    let line = line.expect("a line says so");
    let said = r#""event":"tollhouse.catalog.changed","server":"tested","added":1,"changed":0,"removed":0"#;
    assert!(line.contains(said), "{line}");
    let started = history(&gateway, "kind=started", |events| !events.is_empty()).await;
    assert!(started[0]["detail"].as_str().is_some_and(|detail| detail.starts_with("version ")), "{started:?}");
}

#[tokio::test]
async fn a_changed_configuration_is_part_of_the_history() {
    let (one, other) = (upstream::echo().start().await, upstream::echo().start().await);
    let before = gateway().alone().with(&one);
    let gateway = before.start().await;
    history(&gateway, "kind=server_up", |events| events.len() == 1).await;
    gateway.process.reload(&crate::gateway::gateway().alone().with(&one).server("another", &other)).await;
    let added = history(&gateway, "kind=server_added", |events| !events.is_empty()).await;
    assert_eq!(added[0]["server"], "another");
    history(&gateway, "kind=configuration_applied", |events| events.len() == 1).await;
    gateway.process.rewrite_raw("servers: { ");
    gateway.process.signal(Signal::HUP);
    let refused = history(&gateway, "kind=configuration_refused", |events| !events.is_empty()).await;
    assert!(refused[0]["detail"].as_str().is_some_and(|detail| detail.contains("TH-C")), "{refused:?}");
}

#[tokio::test]
async fn every_path_of_the_api_that_is_described_is_answered_and_says_what_it_promises() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let trace = json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").to_string();
    let client = modern(&gateway);
    let sent = client.tool("echo").meta("traceparent", &trace).meta("threadId", "\"plan\"");
    assert_eq!(sent.arguments(&json!({"nonce": "n"})).send().await.outcome(), "ok");
    let call = eventually("the call is kept", async || {
        let (_, page) = asked(&gateway, "/api/v1/calls?f=server:eq:tested").await;
        page["calls"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    history(&gateway, "kind=tool_added&server=tested", |events| !events.is_empty()).await;
    let (status, described) = asked(&gateway, "/api/v1/openapi.json").await;
    assert_eq!((status, &described["openapi"]), (200, &json!("3.1.0")));
    let paths = described["paths"].as_object().expect("paths are described");
    assert!(paths.len() >= 13, "{paths:?}");
    for (path, operation) in paths {
        let asked_for = path
            .replace("/calls/{id}", &format!("/calls/{call}"))
            .replace("/traces/{id}", "/traces/0af7651916cd43dd8448eb211c80319c")
            .replace("/sessions/{id}", "/sessions/plan")
            .replace("{server}/{name}", "tested/echo");
        let (status, answer) = asked(&gateway, &asked_for).await;
        assert_eq!(status, 200, "{asked_for}: {answer}");
        let schema = &operation["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let name = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()).unwrap_or_default();
        let promised = described["components"]["schemas"][name]["required"].as_array().cloned().unwrap_or_default();
        assert!(!promised.is_empty(), "{path} answers with {name}");
        for member in promised {
            assert!(answer.get(member.as_str().unwrap_or_default()).is_some(), "{path}: {member} in {answer}");
        }
    }
    let (_, exported) = asked(&gateway, "/api/v1/traces/0af7651916cd43dd8448eb211c80319c?format=otlp").await;
    let spans = &exported["resourceSpans"][0]["scopeSpans"][0]["spans"];
    assert_eq!((&spans[0]["parentSpanId"], spans.as_array().map(Vec::len)), (&json!("b7ad6b7169203331"), Some(2)));
    let (_, whole) = asked(&gateway, "/api/v1/dashboard?trace=0af7651916cd43dd8448eb211c80319c").await;
    let parts = &whole["dashboard"];
    assert_eq!(parts["trace_root"]["origin"], "placeholder");
    assert_eq!(parts["trace_root"]["span_id"], "b7ad6b7169203331");
    assert_eq!(parts["mcp_servers"].as_array().map(Vec::len), Some(2));
    assert!(parts["session_states"]["counts"]["active"].as_u64() >= Some(1), "{parts}");
    assert_eq!(
        (&parts["cost_summary"]["total_usd"], &parts["coverage"]["cost_monitoring"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_path_that_climbs_or_holds_what_no_id_holds_leads_nowhere() {
    let gateway = gateway().start().await;
    for path in [
        "/api/v1/calls/..",
        "/api/v1/calls/%2e%2e",
        "/api/v1/calls/..%2f..%2fetc%2fpasswd",
        "/api/v1/traces/%00",
        "/api/v1/traces/..%2F..%2Fetc%2Fpasswd",
        "/api/v1/sessions/%2e%2e%2f%2e%2e",
        "/api/v1/sessions/..%00",
        "/api/v1/tools/..%2f/%00",
        "/api/v1/../../etc/passwd",
        "/api/../api/v1/calls/x",
        "/assets/..%2f/app.css",
    ] {
        let response = request(gateway.admin, "GET", path).send().await;
        assert_eq!(response.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn who_called_what_and_what_goes_on_is_shown_by_verbs() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    assert_eq!(client.call("echo", json!({"nonce": "n"})).await.outcome(), "ok");
    assert_eq!(client.call("no-such-tool", json!({})).await.outcome(), "error");
    eventually("both are summed up", async || {
        let (_, stdout, _) = verb(&["top", "--json"], &gateway).await;
        (stdout.contains("\"echo\"") && stdout.contains("no-such-tool")).then_some(())
    })
    .await;
    let (code, stdout, _) =
        verb(&["logs", "--identity", "anonymous", "--errors", "--server", "tested"], &gateway).await;
    let lines: Vec<Value> = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!((code, lines.len(), &lines[0]["name"]), (Some(0), 1, &json!("no-such-tool")), "{stdout}");
    let (code, _, stderr) = verb(&["logs", "--tool", "never-called"], &gateway).await;
    assert!(code == Some(1) && stderr.contains("no such calls"), "{stderr}");
    let (code, stdout, _) = verb(&["top"], &gateway).await;
    assert!(code == Some(0) && stdout.starts_with("server/tool") && stdout.contains("tested/echo"), "{stdout}");
    for (view, word) in [("servers", "connected"), ("errors", "-32602"), ("sessions", "g_")] {
        let (code, stdout, _) = verb(&["top", "--view", view], &gateway).await;
        assert!(code == Some(0) && stdout.contains(word), "{view}: {stdout}");
    }
    let (code, _, stderr) = verb(&["top", "--since", "soon"], &gateway).await;
    assert!(code == Some(2) && stderr.contains("`range`"), "{stderr}");
}
