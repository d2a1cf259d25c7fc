//! What the rows take for granted: calls of both eras pass, over every pair of transports.

use serde_json::{Value, json};

use crate::client::{Stream, legacy, legacy_at, legacy_client, modern};
use crate::gateway::gateway;
use crate::message::{legacy_call, modern_call};
use crate::stdio::child;
use crate::upstream::{self, Server};
use crate::wait::until;

/// Every version and path gets the same answer.
async fn check_served(server: &impl Server) {
    let gateway = gateway().with(server).alone().start().await;
    let mut texts = Vec::new();
    for path in gateway.paths() {
        texts.push(modern(&gateway).at(&path).call("echo", json!({"nonce": "n"})).await.text());
        for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
            let client = legacy_at(&gateway, &path, version).await;
            texts.push(client.call("echo", json!({"nonce": "n"})).await.text());
        }
    }
    assert_eq!(texts, ["n"; 10]);
    gateway.ends_well(&["ok"; 10]).await;
}

#[tokio::test]
async fn every_revision_reaches_a_server_of_both_eras_over_http() {
    check_served(&upstream::echo().start().await).await;
}

#[tokio::test]
async fn every_revision_reaches_a_server_of_both_eras_over_stdio() {
    check_served(&child()).await;
}

#[tokio::test]
async fn a_client_on_stdio_reaches_a_server_over_http() {
    let upstream = upstream::echo().start().await;
    let mut client = gateway().with(&upstream).alone().stdio();
    client.initialize("2025-11-25").await;
    client.send(&legacy_call("1", &json!({"nonce": "n"}))).await;
    let answer = client.message().await;
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!(1), &json!("n")));
    client.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_modern_client_on_stdio_reaches_a_server_over_stdio() {
    let child = child();
    let mut client = gateway().with(&child).alone().stdio();
    client.send(&modern_call("\"a\"", &json!({"nonce": "n"}))).await;
    let answer = client.message().await;
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!("a"), &json!("n")));
    client.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_handshake_in_a_modern_request_is_refused_and_does_not_reach_the_process_that_all_share() {
    let server = child();
    let gateway = gateway().with(&server).start().await;
    let client = modern(&gateway);
    assert_eq!(client.message("initialize").send().await.refusal(), (404, -32601));
    assert_eq!(client.call("echo", json!({"nonce": "n"})).await.text(), "n");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_call_names_its_server_tool_and_outcome_in_its_record() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    modern(&gateway).tool("echo").raw_arguments("{}").id("\"seven\"").send().await;
    crate::wait::until("the record is there", || gateway.recorded() == 1).await;
    let record = &gateway.records()[0];
    let extra = &record["extra"];
    let told = json!([extra["method"], extra["server"], extra["tool"], extra["outcome"], record["level"]]);
    assert_eq!(told, json!(["tools/call", "tested", "echo", "ok", "INFO"]), "{record}");
    assert!(record["request_id"].is_string(), "{record}");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn lists_pass_as_the_server_gives_them() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let names = |answer: Value| answer["result"]["tools"][0]["name"].clone();
    let to_modern = names(modern(&gateway).message("tools/list").send().await.json());
    let to_legacy = names(legacy(&gateway, "2025-11-25").await.message("tools/list").send().await.json());
    assert_eq!([to_modern, to_legacy], ["echo", "echo"]);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn every_call_of_a_2025_11_25_session_is_a_stream_that_begins_with_a_priming_event() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let newest = legacy(&gateway, "2025-11-25").await.call("echo", json!({"nonce": "n"})).await;
    let priming = &newest.events[0];
    assert_eq!((priming.data.as_str(), priming.retry.as_deref(), priming.id.is_some()), ("", Some("3000"), true));
    assert_eq!((newest.text().as_str(), newest.events.len()), ("n", 2));
    // Clients of older revisions parse the empty data as JSON and fail.
    let older = legacy(&gateway, "2025-06-18").await.call("echo", json!({"nonce": "n"})).await;
    assert_eq!((older.head.get("content-type"), older.events.len()), ("application/json", 1));
    gateway.ends_well(&["ok", "ok"]).await;
}

// A client that speaks both eras takes −32022 for the word of a modern server, and does not try `initialize`.
#[tokio::test]
async fn a_client_that_asks_which_era_a_legacy_server_speaks_hears_what_the_server_would_say() {
    let upstream = upstream::echo().legacy_only().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    let asks =
        client.message("server/discover").meta("io.modelcontextprotocol/clientCapabilities", r#"{"elicitation":{}}"#);
    assert_eq!(asks.send().await.refusal(), (404, -32601));
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_modern_client_that_leaves_cancels_its_call() {
    let upstream = upstream::echo().held().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let call = modern(&gateway);
    let call = call.tool("echo").raw_arguments("{}").sent().await;
    upstream.executed(1).await;
    drop(call);
    crate::wait::until("the upstream's exchange is closed", || upstream.last_call().left()).await;
    gateway.ends_well(&["cancelled"]).await;
}

#[tokio::test]
async fn a_legacy_client_that_leaves_does_not_cancel_its_call() {
    let upstream = upstream::echo().held().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = legacy(&gateway, "2025-11-25").await;
    let mut call = client.tool("echo").arguments(&json!({"nonce": "n"})).open().await;
    let priming = call.next().await.and_then(|event| event.id).expect("the stream begins with a priming event");
    upstream.executed(1).await;
    drop(call);
    upstream.release(1);
    let resume = client.verb("GET").field("Last-Event-ID", &priming);
    let resumed = Stream::of(resume.sent().await).await.next().await;
    let text = resumed.map(|event| serde_json::from_str::<Value>(&event.data).expect("a message"));
    assert_eq!(text.map(|message| message["result"]["content"][0]["text"].clone()), Some(json!("n")));
    assert!(!upstream.last_call().left(), "the upstream's exchange was cut");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_request_that_is_refused_leaves_one_record_that_says_so() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let refused = modern(&gateway).tool("echo").raw_arguments("{}").request().field("Mcp-Name", "other").send().await;
    assert_eq!(refused.refusal(), (400, -32020));
    let stranger = legacy_client(&gateway, "2025-06-18").message("tools/list").send().await;
    assert_eq!(stranger.status(), 400, "without a session");
    let refusals = || {
        let records = gateway.records();
        let refused = records.iter().filter(|record| record["extra"]["outcome"] == "refused");
        refused.map(|record| record["extra"]["method"].clone()).collect::<Vec<_>>()
    };
    until("both are recorded", || refusals().len() == 2).await;
    assert_eq!(refusals(), ["tools/call", "tools/list"]);
    gateway.ends_well(&[]).await;
}
