//! Whose conversation a call belongs to, as its record tells.

use serde_json::{Value, json};

use crate::client::{legacy, modern};
use crate::gateway::{Gateway, Process, gateway};
use crate::stdio::child;
use crate::upstream::{self, Server as _};
use crate::wait::until;

/// What the `nth` record says of the session: its id, the rule, how sure that is.
async fn session_of(process: &Process, nth: usize) -> (Value, Value, Value) {
    let extra = record(process, nth).await;
    (extra["session"].clone(), extra["session_source"].clone(), extra["session_confidence"].clone())
}

async fn record(process: &Process, nth: usize) -> Value {
    until("the call has left its record", || process.recorded() > nth).await;
    process.records()[nth]["extra"].clone()
}

fn is(id: &str, source: &str, confidence: &str) -> (Value, Value, Value) {
    (json!(id), json!(source), json!(confidence))
}

async fn served_by(path: &str, gateway: &Gateway) -> String {
    let client = modern(gateway).at(path);
    client.call("echo", json!({"nonce": "n"})).await.outcome()
}

#[tokio::test]
async fn a_record_names_the_conversation_and_the_rule_that_found_it() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    let codex = r#"{"session_id":"of-codex","turn_id":"turn-7","model":"some-model"}"#;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let calls = [
        (client.tool("echo").meta("x-codex-turn-metadata", codex), "of-codex", "x-codex-turn-metadata", "stated"),
        (client.tool("echo").meta("vscode.conversationId", "\"c\""), "c", "vscode.conversationId", "stated"),
        (client.tool("echo").field("baggage", "session.id=b"), "b", "baggage", "stated"),
        (client.tool("echo").field("Tollhouse-Session", "h"), "h", "header", "stated"),
        (client.tool("echo").field("traceparent", trace), "0af7651916cd43dd8448eb211c80319c", "trace", "turn"),
    ];
    for (nth, (call, id, source, confidence)) in calls.into_iter().enumerate() {
        assert_eq!(call.raw_arguments("{}").send().await.outcome(), "ok");
        assert_eq!(session_of(&gateway, nth).await, is(id, source, confidence));
    }
    let of_codex = record(&gateway, 0).await;
    assert_eq!(
        (&of_codex["x-codex-turn-metadata.turn_id"], &of_codex["x-codex-turn-metadata.model"]),
        (&json!("turn-7"), &json!("some-model"))
    );
    gateway.ends_well(&["ok"; 5]).await;
}

#[tokio::test]
async fn a_path_may_name_the_conversation_of_whoever_uses_it() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    assert_eq!(served_by("/s/plan-b/servers/tested/mcp", &gateway).await, "ok");
    assert_eq!(session_of(&gateway, 0).await, is("plan-b", "path", "stated"));
    for path in ["/s//mcp", "/s/mcp", "/s/a/b/mcp", &format!("/s/{}/mcp", "x".repeat(257))] {
        assert_eq!(served_by(path, &gateway).await, "0 finals", "{path}");
    }
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn the_protocols_own_session_is_a_hint_beside_a_better_one() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let own = client.session.clone().expect("initialize gave one");
    let (plain, better) = (client.tool("echo"), client.tool("echo").meta("threadId", "\"thread\""));
    assert_eq!(plain.raw_arguments("{}").send().await.outcome(), "ok");
    assert_eq!(better.raw_arguments("{}").send().await.outcome(), "ok");
    // The first record is that of `initialize`.
    assert_eq!(session_of(&gateway, 1).await, is(&own, "protocol", "connection"));
    assert_eq!(session_of(&gateway, 2).await, is("thread", "threadId", "stated"));
    assert_eq!(record(&gateway, 2).await["mcp-session-id"], json!(own));
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn the_order_of_the_rules_is_the_operators() {
    let upstream = upstream::echo().start().await;
    let yaml =
        format!("servers:\n  tested:\n    {}\nsessions: {{ rules: [path, meta] }}\n", upstream.yaml().join("\n    "));
    let gateway = gateway().alone().config(&yaml).start().await;
    let client = modern(&gateway).at("/s/of-path/mcp");
    let call = client.tool("echo").meta("threadId", "\"of-meta\"").raw_arguments("{}");
    assert_eq!(call.send().await.outcome(), "ok");
    assert_eq!(session_of(&gateway, 0).await, is("of-path", "path", "stated"));
    assert_eq!(record(&gateway, 0).await["threadId"], json!("of-meta"));
    let client = modern(&gateway).at("/mcp");
    let call = client.tool("echo").field("Tollhouse-Session", "unused").raw_arguments("{}");
    assert_eq!(call.send().await.outcome(), "ok");
    let (_, source, confidence) = session_of(&gateway, 1).await;
    assert_eq!((source, confidence), (json!("guess"), json!("guessed")));
}

#[tokio::test]
async fn a_process_is_one_conversation_and_its_environment_may_name_it() {
    let modern_call = |id: u64| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
        )
    };
    let server = child();
    let mut client = gateway().with(&server).env("CLAUDE_CODE_SESSION_ID", "of-claude").stdio();
    client.send(&modern_call(1)).await;
    assert!(client.message().await["result"].is_object());
    assert_eq!(session_of(&client.process, 0).await, is("of-claude", "CLAUDE_CODE_SESSION_ID", "stated"));
    client.ends_well(&["ok"]).await;
    let server = child();
    let mut client = gateway().with(&server).stdio();
    for id in [1, 2] {
        client.send(&modern_call(id)).await;
        assert!(client.message().await["result"].is_object());
    }
    let (first, second) = (session_of(&client.process, 0).await, session_of(&client.process, 1).await);
    assert_eq!((&first, &first.1), (&second, &json!("protocol")));
    client.ends_well(&["ok", "ok"]).await;
}
