//! Headers that repeat arguments: compared with the arguments wherever a tool asks for them, and nowhere else.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::client::{Client, legacy, modern};
use crate::echo::Message;
use crate::gateway::gateway;
use crate::message::modern_call;
use crate::stdio::child;
use crate::upstream::echo;

const REGION: &str = "Mcp-Param-Region";
const ZONE: &str = "Mcp-Param-Zone";
const HEADER_MISMATCH: (u16, i64) = (400, -32020);

/// HTTP status and error code of a call with these headers.
async fn called(client: &Client, tool: &str, arguments: &Value, headers: &[(&str, &str)]) -> (u16, i64) {
    let call = client.tool(tool).arguments(arguments);
    headers.iter().fold(call, |call, (name, value)| call.field(name, value)).send().await.refusal()
}

/// Calls of a tool that asks for `region` and `where.zone`, each with a header that does not say the same.
fn mismatches() -> Vec<(Value, Vec<(&'static str, &'static str)>)> {
    vec![
        (json!({"region": "eu"}), vec![]),
        (json!({"region": "eu"}), vec![(REGION, "us")]),
        (json!({"region": "eu"}), vec![(ZONE, "eu")]),
        (json!({"region": "Hello"}), vec![(REGION, "=?base64?SGVsbG8?=")]),
        (json!({"region": "Hello"}), vec![(REGION, "=?base64?SGVs!!!bG8=?=")]),
        (json!({"region": null}), vec![(REGION, "eu")]),
        (json!({}), vec![(REGION, "eu")]),
        (json!({"where": {"zone": 7}}), vec![]),
        (json!({"where": {"zone": 7}}), vec![(ZONE, "8")]),
        (json!({"where": {"zone": 7}, "region": "eu"}), vec![(ZONE, "7")]),
    ]
}

/// Calls of the same tool whose headers say what the arguments say.
fn matches() -> Vec<(Value, Vec<(&'static str, &'static str)>)> {
    vec![
        (json!({}), vec![]),
        (json!({"region": null}), vec![]),
        (json!({"region": "eu"}), vec![(REGION, "eu")]),
        (json!({"region": "Hello"}), vec![(REGION, "=?base64?SGVsbG8=?=")]),
        (json!({"region": "=?base64?SGVsbG8="}), vec![(REGION, "=?base64?SGVsbG8=")]),
        (json!({"region": "eu", "where": {"zone": 7.0}}), vec![(REGION, "eu"), (ZONE, "7")]),
        (json!({"zone": 7}), vec![("Mcp-Param-Unasked", "=?base64?%%%?=")]),
    ]
}

#[tokio::test]
async fn a_header_that_differs_from_its_argument_is_refused_before_a_child_is_asked() {
    let child = child().argument("mirrors");
    let gateway = gateway().with(&child).start().await;
    let (direct, merged) = (modern(&gateway), modern(&gateway).at("/mcp"));
    // No client has asked for a list yet.
    for (arguments, headers) in mismatches() {
        assert_eq!(called(&direct, "echo", &arguments, &headers).await, HEADER_MISMATCH, "{arguments} {headers:?}");
    }
    for (arguments, headers) in mismatches() {
        let refusal = called(&merged, "tested__echo", &arguments, &headers).await;
        assert_eq!(refusal, HEADER_MISMATCH, "{arguments} {headers:?}");
    }
    assert_eq!(child.executions(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_header_that_says_what_its_argument_says_lets_the_call_pass() {
    let child = child().argument("mirrors");
    let gateway = gateway().with(&child).start().await;
    let client = modern(&gateway);
    for (arguments, headers) in matches() {
        assert_eq!(called(&client, "echo", &arguments, &headers).await, (200, 0), "{arguments} {headers:?}");
    }
    assert_eq!(child.executions(), matches().len());
    gateway.ends_well(&vec!["ok"; matches().len()]).await;
}

#[tokio::test]
async fn a_server_over_http_gets_only_headers_that_agree() {
    let upstream = echo().lists(Message::mirroring).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    for (arguments, headers) in mismatches() {
        assert_eq!(called(&client, "echo", &arguments, &headers).await, HEADER_MISMATCH, "{arguments} {headers:?}");
    }
    assert_eq!(upstream.executions(), 0);
    let headers = [(REGION, "=?base64?ZXU=?="), ("Mcp-Param-Unasked", "x")];
    assert_eq!(called(&client, "echo", &json!({"region": "eu"}), &headers).await, (200, 0));
    let received = upstream.received("tools/call");
    let passed = headers.map(|(name, _)| received[0].head.get(name).to_owned());
    assert_eq!(passed, ["=?base64?ZXU=?=", "x"]);
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_list_that_a_client_gets_tells_the_gateway_what_counts_from_then_on() {
    static ASKS: AtomicBool = AtomicBool::new(false);
    fn list(message: &Message) -> String {
        let list = message.mirroring();
        if ASKS.load(Ordering::SeqCst) { list } else { list.replace("x-mcp-header", "x-other") }
    }
    let upstream = echo().lists(list).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let (direct, merged) = (modern(&gateway), modern(&gateway).at("/mcp"));
    let region = json!({"region": "eu"});
    assert_eq!(called(&direct, "echo", &region, &[]).await, (200, 0), "nothing is asked for");

    ASKS.store(true, Ordering::SeqCst);
    direct.message("tools/list").params(r#"{"cursor":"second"}"#).send().await;
    assert_eq!(called(&direct, "echo", &region, &[]).await, HEADER_MISMATCH, "listed by the server alone");

    ASKS.store(false, Ordering::SeqCst);
    merged.message("tools/list").send().await;
    assert_eq!(called(&direct, "echo", &region, &[]).await, (200, 0), "listed with others, no header any more");
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn who_sends_no_such_headers_by_nature_is_not_asked_for_them() {
    let server = child().argument("mirrors");
    let arguments = json!({"region": "eu", "nonce": "n"});

    let serving = gateway().with(&server).start().await;
    // Has the lists read.
    modern(&serving).message("tools/list").send().await;
    let answer = legacy(&serving, "2025-11-25").await.call("echo", arguments.clone()).await;
    assert_eq!(answer.text(), "n", "a legacy client");
    serving.ends_well(&["ok"]).await;

    let mut client = gateway().with(&server).alone().stdio();
    client.send(&modern_call("1", &arguments)).await;
    assert_eq!(client.message().await["result"]["content"][0]["text"], "n", "a modern client on stdio");
    client.ends_well(&["ok"]).await;
}
