//! Tools that nobody offers, and arguments that do not fit a tool's schema.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Client, legacy, legacy_at, modern};
use crate::echo::Message;
use crate::gateway::{Gateway, gateway};
use crate::stdio::child;
use crate::upstream::echo;
use crate::wait::until;

/// Clients of both eras at the path of all servers and at that of the tested one, with the name of its tool there.
async fn everywhere(gateway: &Gateway) -> Vec<(Client, &'static str)> {
    vec![
        (modern(gateway).at("/mcp"), "tested__echo"),
        (legacy_at(gateway, "/mcp", "2025-11-25").await, "tested__echo"),
        (modern(gateway), "echo"),
        (legacy(gateway, "2025-06-18").await, "echo"),
    ]
}

#[tokio::test]
async fn a_15_an_unknown_tool_is_refused_with_one_text_and_reaches_nobody() {
    let upstream = echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    for client in [modern(&gateway).at("/mcp"), legacy_at(&gateway, "/mcp", "2025-06-18").await] {
        // That a tool which is hidden from the caller gets the same text waits for access control.
        for name in ["nothing", "tested__nothing", "nobody__echo", "echo"] {
            let answer = client.call(name, json!({"nonce": "n"})).await;
            let expected = format!("tool `{name}` is not offered here");
            assert_eq!(answer.refusal(), (200, -32602), "{answer:?}");
            assert_eq!(answer.json()["error"], json!({"code": -32602, "message": expected}));
        }
    }
    assert_eq!(upstream.received("tools/call").len(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_15_at_the_path_of_one_server_an_unknown_tool_is_for_that_server_to_refuse() {
    let child = child();
    let gateway = gateway().with(&child).start().await;
    for client in [modern(&gateway), legacy(&gateway, "2025-06-18").await] {
        let answer = client.call("nothing", json!({"nonce": "n"})).await;
        let error = answer.json()["error"].clone();
        assert_eq!((answer.status(), error), (200, json!({"code": -32602, "message": "no such tool"})));
    }
    gateway.ends_well(&["error", "error"]).await;
}

/// A list in which `echo` wants a path and knows an integer deep inside.
fn strict(message: &Message) -> String {
    let zone = json!({"type": "object", "properties": {"zone": {"type": "integer"}}});
    let schema = json!({
        "type": "object", "required": ["nonce"], "properties": {"nonce": {"type": "string"}, "where": zone},
    });
    list(message, &schema.to_string())
}

fn list(message: &Message, schema: &str) -> String {
    let hints = if message.modern() { r#","resultType":"complete","ttlMs":0,"cacheScope":"private""# } else { "" };
    format!(r#"{{"tools":[{{"name":"echo","inputSchema":{schema}}}]{hints}}}"#)
}

#[tokio::test]
async fn a_16_arguments_that_do_not_fit_get_a_result_with_the_path_and_reach_nobody() {
    let upstream = echo().lists(strict).validated().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let clients = everywhere(&gateway).await;
    for (client, tool) in &clients {
        for (arguments, path) in [
            (json!({"nonce": "n", "where": {"zone": "canary"}}), "at `/where/zone`: want integer, but got string"),
            (json!({"nonce": 7}), "at `/nonce`: want string, but got number"),
            (json!({}), "at `/`: missing properties 'nonce'"),
        ] {
            let answer = client.call(tool, arguments).await;
            let result = answer.json()["result"].clone();
            assert_eq!((answer.status(), &result["isError"]), (200, &json!(true)), "{answer:?}");
            let expected =
                format!("the arguments of tested.echo do not fit its input schema: {path}. The call was not sent.");
            assert!(answer.text().starts_with(&expected), "{}", answer.text());
            let meta = &result["_meta"];
            let told =
                ["outcome", "cause", "replaySafe", "attempts"].map(|name| &meta[format!("dev.tollhouse/{name}")]);
            assert_eq!(told, [&json!("not_executed"), &json!("invalid_arguments"), &json!(false), &json!(0)]);
        }
    }
    assert_eq!(upstream.executions(), 0);
    for (client, tool) in &clients {
        let answer = client.call(tool, json!({"nonce": "n", "where": {"zone": 7}})).await;
        assert_eq!(answer.text(), "n", "{answer:?}");
    }
    assert_eq!(upstream.executions(), clients.len());
    let told = gateway.stderr();
    assert!(!told.contains("canary"), "a value of an argument is logged");
    gateway.ends_well(&[vec!["not_executed"; 12], vec!["ok"; 4]].concat()).await;
}

#[tokio::test]
async fn a_16_arguments_are_held_against_the_schemas_of_a_child_as_well() {
    let child = child().validated();
    let gateway = gateway().with(&child).start().await;
    for (client, tool) in everywhere(&gateway).await {
        let answer = client.tool(tool).raw_arguments("[]").send().await;
        assert!(answer.text().contains("at `/`: want object, but got array"), "{answer:?}");
        assert_eq!(client.call(tool, json!({"nonce": "n"})).await.text(), "n");
    }
    assert_eq!(child.executions(), 4);
    gateway.ends_well(&[["not_executed"; 4], ["ok"; 4]].concat()).await;
}

#[tokio::test]
async fn a_16_unless_asked_for_arguments_are_forwarded_as_they_are() {
    let upstream = echo().lists(strict).start().await;
    let gateway = gateway().with(&upstream).start().await;
    for (client, tool) in everywhere(&gateway).await {
        let answer = client.call(tool, json!({"where": {"zone": "here"}})).await;
        assert_eq!(answer.outcome(), "ok", "{answer:?}");
        assert_eq!(upstream.last_arguments(), r#"{"where":{"zone":"here"}}"#);
    }
    gateway.ends_well(&["ok"; 4]).await;
}

/// A tool whose schema is not used can be called, soon and by everybody; its list passes, and it is told why.
async fn check_unused(lists: fn(&Message) -> String, why: &str) {
    let upstream = echo().lists(lists).validated().start().await;
    let gateway = gateway().with(&upstream).start().await;
    until("it is said that the tool is not validated", || {
        gateway
            .stderr()
            .lines()
            .any(|line| line.contains("the arguments of a tool are not validated") && line.contains(why))
    })
    .await;
    assert_eq!(gateway.becomes("tested", "connected").await["unvalidated_tools"], 1);
    for turn in 0..4 {
        // An idle connection is closed in the end, and a large list takes its time: each client comes when it is its turn.
        let (client, tool) = everywhere(&gateway).await.swap_remove(turn);
        // The list is large, so it is read apart from the time of a call.
        let list = client.message("tools/list").send().await;
        assert!(list.events.iter().any(|event| event.data.contains(&format!("\"{tool}\""))), "the tool is listed");
        let start = Instant::now();
        assert_eq!(client.call(tool, json!({"nonce": "n"})).await.text(), "n");
        // The row says 50 ms; a debug build on a machine with other work gets far more, and checking the schema would take minutes.
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
    assert_eq!(upstream.executions(), 4);
    gateway.ends_well(&["ok"; 4]).await;
}

#[tokio::test]
async fn a_16_a_schema_that_refers_to_the_network_is_not_used_and_nothing_is_fetched() {
    fn lists(message: &Message) -> String {
        list(message, r#"{"type":"object","properties":{"a":{"$ref":"http://127.0.0.1:1/schema.json"}}}"#)
    }
    check_unused(lists, "its schema refers to another document").await;
}

#[tokio::test]
async fn a_16_a_schema_of_a_thousand_levels_is_not_used() {
    fn lists(message: &Message) -> String {
        list(message, &format!("{}{{}}{}", r#"{"properties":{"a":"#.repeat(1000), "}}".repeat(1000)))
    }
    check_unused(lists, "recursion limit exceeded").await;
}

#[tokio::test]
async fn a_16_a_schema_of_a_million_parts_is_not_used() {
    fn lists(message: &Message) -> String {
        list(message, &format!(r#"{{"type":"object","anyOf":[{}]}}"#, vec!["{}"; 1_000_000].join(",")))
    }
    check_unused(lists, "its schema is longer than 256 KiB").await;
}

#[tokio::test]
async fn a_16_a_schema_that_asks_for_endless_work_is_not_used_for_what_would_take_it() {
    fn lists(message: &Message) -> String {
        list(message, r##"{"additionalProperties":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}"##)
    }
    let upstream = echo().lists(lists).validated().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let deep = (0..100).fold(json!("n"), |inner, _| json!({"nonce": inner}));
    let start = Instant::now();
    assert_eq!(modern(&gateway).call("echo", deep).await.outcome(), "ok");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    gateway.ends_well(&["ok"]).await;
}
