//! HTTP+SSE, the transport of 2024-11-05, on either side of the gateway.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{legacy, legacy_at, legacy_client, modern};
use crate::gateway::{Gateway, TESTED, gateway};
use crate::http::{post, request, status};
use crate::message::{cancel, legacy_call, modern_call};
use crate::sse::{Client, Upstream, client, server};
use crate::stdio::child;
use crate::upstream;
use crate::wait::until;

const FIRST: &str = "2024-11-05";

async fn sse_upstream() -> (Upstream, Gateway) {
    let upstream = server().start().await;
    let gateway = gateway().with(&upstream).start().await;
    (upstream, gateway)
}

/// The path of the tested server's stream.
fn one() -> String {
    format!("/servers/{TESTED}/sse")
}

/// A client with an open session at the tested server.
async fn at_one(gateway: &Gateway) -> Client {
    let mut client = client(gateway, &one()).await;
    client.initialize(FIRST).await;
    client
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_default()
}

/// A call that has the server do `act`.
fn act(id: &str, act: &str) -> String {
    legacy_call(id, &json!({"act": act, "nonce": id}))
}

/// What `/health` says of the tested server.
async fn health(gateway: &Gateway) -> Value {
    let health = request(gateway.admin, "GET", "/health").send().await.json();
    let servers = health["servers"].as_array().cloned().unwrap_or_default();
    servers.into_iter().find(|server| server["id"] == TESTED || server["server"] == TESTED).unwrap_or_default()
}

// Clients.

#[tokio::test]
async fn a_client_gets_everything_on_the_stream_it_opened() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).alone().start().await;
    for path in ["/sse".to_owned(), one()] {
        let mut client = client(&gateway, &path).await;
        let head = &client.head;
        assert_eq!(
            [head.get("content-type"), head.get("cache-control"), head.get("x-accel-buffering")],
            ["text/event-stream", "no-store", "no"]
        );
        assert!(client.address.starts_with(&format!("{path}/message?sessionId=")), "{}", client.address);
        client.initialize(FIRST).await;
        client.send(r#"{"jsonrpc":"2.0","id":"list","method":"tools/list"}"#).await;
        let listed = client.message().await;
        assert_eq!((&listed["id"], &listed["result"]["tools"][0]["name"]), (&json!("list"), &json!("echo")));
        client.send(&legacy_call("\"1\"", &json!({"nonce": "a\nb"}))).await;
        let called = client.raw().await;
        assert!(called.contains(r#""id":"1""#), "the id comes back as it was written: {called}");
        assert_eq!(text(&serde_json::from_str(&called).unwrap()), "a\nb");
        client.send(r#"{"jsonrpc":"2.0","id":3,"method":"ping"}"#).await;
        assert_eq!(client.message().await, json!({"jsonrpc": "2.0", "id": 3, "result": {}}));
    }
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn what_a_client_accepts_as_the_answer_to_a_post_is_not_said_to_the_server() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let mut client = at_one(&gateway).await;
    let call = post(gateway.mcp, &client.address).without("Accept").field("Accept", "text/html").body(act("1", ""));
    assert_eq!(call.send().await.status(), 202);
    assert_eq!(text(&client.message().await), "1");
    assert_eq!(upstream.last_call().head.get("accept"), "application/json, text/event-stream");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn every_legacy_revision_is_granted_and_an_unknown_one_answered_with_the_newest() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    for (asked, granted) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let mut client = client(&gateway, &one()).await;
        let params = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        client.send(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string()).await;
        assert_eq!(client.message().await["result"]["protocolVersion"], granted, "{asked}");
        client.send(&legacy_call("1", &json!({"nonce": asked}))).await;
        assert_eq!(text(&client.message().await), asked);
    }
    gateway.ends_well(&["ok"; 5]).await;
}

#[tokio::test]
async fn the_modern_revision_is_not_spoken_over_this_transport() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let mut client = client(&gateway, &one()).await;
    client.send(&modern_call("1", &json!({"nonce": "n"}))).await;
    let refused = client.message().await;
    assert_eq!((&refused["error"]["code"], upstream.executions()), (&json!(-32022), 0), "{refused}");
    assert!(refused["error"]["data"]["supported"].as_array().is_some_and(|all| all.contains(&json!(FIRST))));
    client.initialize(FIRST).await;
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_call_before_initialize_is_refused_and_a_busy_id_too() {
    let (upstream, gateway) = sse_upstream().await;
    let mut client = client(&gateway, &one()).await;
    client.send(&act("1", "")).await;
    assert_eq!(client.message().await["error"]["code"], -32600);
    client.initialize(FIRST).await;
    client.send(&act("1", "hold")).await;
    upstream.called(1).await;
    client.send(&act("1", "")).await;
    assert_eq!(client.message().await["error"]["code"], -32600);
    upstream.release(1);
    assert_eq!(text(&client.message().await), "1");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_on_its_own_request() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).limits("{request: 64KiB}").start().await;
    let mut client = at_one(&gateway).await;
    let call = legacy_call("1", &json!({"nonce": "n"}));
    let to = |path: &str| post(gateway.mcp, path).without("Accept").body(call.clone());
    for query in ["", "?", "?sessionId=", "?sessionId=AAAAAAAAAAAAAAAAAAAAAA", "?session=AAAAAAAAAAAAAAAAAAAAAA"] {
        let unknown = to(&format!("{}/message{query}", one())).send().await;
        assert_eq!((unknown.refusal(), unknown.has_id()), ((404, -32600), false), "{query}");
    }
    let elsewhere = to(&client.address.replace(&one(), "/sse")).send().await;
    let other_server = to(&client.address.replace(TESTED, "neighbour")).send().await;
    assert_eq!([elsewhere.status(), other_server.status()], [404, 404], "an id means nothing at another endpoint");
    assert_eq!(client.post("{").await.refusal(), (400, -32700));
    assert_eq!(client.post("[]").await.refusal(), (400, -32600));
    assert_eq!(client.post(r#"{"jsonrpc":"2.0"}"#).await.refusal(), (400, -32600));
    let big = legacy_call("2", &json!({"nonce": "x".repeat(100_000)}));
    assert_eq!(client.post(&big).await.refusal(), (413, 4130));
    let typeless = to(&client.address).field("Content-Type", "text/plain").send().await.status();
    let get = request(gateway.mcp, "GET", &client.address).field("Accept", "text/event-stream").send().await.status();
    let put = request(gateway.mcp, "PUT", "/sse").send().await.status();
    let streamable = to("/sse").send().await;
    let no_server = request(gateway.mcp, "GET", "/servers/none/sse").send().await.status();
    let no_stream = request(gateway.mcp, "GET", "/sse").field("Accept", "application/json").send().await.status();
    assert_eq!([typeless, get, put, streamable.status(), no_server, no_stream], [415, 405, 405, 405, 404, 406]);
    assert_eq!(streamable.head.get("allow"), "GET", "a client that tries streamable HTTP first is sent on");
    client.send(&call).await;
    assert_eq!((text(&client.message().await), upstream.executions()), ("n", 1));
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn all_servers_are_behind_one_stream() {
    let (upstream, gateway) = sse_upstream().await;
    let mut client = client(&gateway, "/sse").await;
    client.initialize(FIRST).await;
    client.send(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
    let listed = client.message().await;
    let names: Vec<_> = listed["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert_eq!(names, ["tested__echo", "neighbour__echo"]);
    for (id, name) in [("2", "tested__echo"), ("3", "neighbour__echo")] {
        client.send(&legacy_call(id, &json!({"nonce": name})).replace(r#""echo""#, &format!(r#""{name}""#))).await;
        assert_eq!(text(&client.message().await), name);
    }
    assert_eq!(upstream.received("tools/call").len(), 1);
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_session_ends_with_its_stream_also_at_the_server() {
    let child = child();
    let gateway = gateway().with(&child).start().await;
    let client = at_one(&gateway).await;
    let address = client.address.clone();
    // The one that was asked what it speaks, shared by modern callers, and the session's own.
    until("the session has a process", || gateway.children().len() == 2).await;
    drop(client);
    until("the session's process has ended", || gateway.children().len() == 1).await;
    let late = post(gateway.mcp, &address).body(legacy_call("1", &json!({}))).send().await;
    assert_eq!(late.status(), 404);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_call_whose_client_has_left_comes_to_its_end_and_is_not_cancelled() {
    let (upstream, gateway) = sse_upstream().await;
    let client = at_one(&gateway).await;
    client.send(&act("1", "hold")).await;
    upstream.called(1).await;
    let address = client.address.clone();
    drop(client);
    // Once the gateway has noticed.
    loop {
        let answer = post(gateway.mcp, &address).body(cancel("\"none\"")).send().await;
        if answer.status() == 404 {
            break;
        }
    }
    assert_eq!((gateway.outcomes().len(), upstream.open()), (0, 1), "it is still under way, in its session");
    upstream.release(1);
    until("the session has ended at the server", || upstream.open() == 0).await;
    assert_eq!(upstream.received("notifications/cancelled").len(), 0);
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn streams_count_as_sessions() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).limits("{sessions: 2}").start().await;
    let first = at_one(&gateway).await;
    let second = client(&gateway, &one()).await;
    let refused = request(gateway.mcp, "GET", &one()).field("Accept", "text/event-stream").send().await;
    assert_eq!(refused.refusal(), (429, 4290));
    let initialize = json!({"protocolVersion": FIRST, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let http = legacy_client(&gateway, FIRST);
    let http = http.message("initialize").params(&initialize.to_string()).send().await.status();
    assert_eq!(http, 429, "over streamable HTTP neither");
    drop(second);
    loop {
        let mut again = request(gateway.mcp, "GET", &one()).field("Accept", "text/event-stream").sent().await;
        let head = again.head(false).await.unwrap();
        if status(&head) == 200 {
            break;
        }
    }
    drop(first);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_drain_lets_calls_finish_and_then_ends_the_stream() {
    let (upstream, mut gateway) = sse_upstream().await;
    let mut client = at_one(&gateway).await;
    client.send(&act("1", "hold")).await;
    upstream.called(1).await;
    gateway.process.signal(Signal::TERM);
    until("it drains", || gateway.stderr().contains("drain") || gateway.stderr().contains("shutting down")).await;
    upstream.release(1);
    let rest = client.rest().await;
    assert_eq!((rest.len(), rest.first().map(text), client.whole()), (1, Some("1"), true), "{rest:?}");
    assert_eq!(gateway.process.exit().await.code(), Some(0));
    assert_eq!(gateway.outcomes(), ["ok"]);
}

#[tokio::test]
async fn a_path_that_names_a_conversation_leads_to_a_stream_too() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let path = format!("/s/thread-7{}", one());
    let mut client = client(&gateway, &path).await;
    assert!(client.address.starts_with(&path), "{}", client.address);
    client.initialize(FIRST).await;
    client.send(&act("1", "")).await;
    assert_eq!(text(&client.message().await), "1");
    let is_call = |record: &Value| record["extra"]["method"] == "tools/call";
    until("the call has left its record", || gateway.records().iter().any(is_call)).await;
    let record = gateway.records().into_iter().find(is_call).unwrap();
    assert_eq!([&record["extra"]["session"], &record["extra"]["session_source"]], ["thread-7", "path"]);
    gateway.ends_well(&["ok"]).await;
}

// Servers.

#[tokio::test]
async fn a_session_over_streamable_http_reaches_a_server_of_http_sse() {
    let (upstream, gateway) = sse_upstream().await;
    let client = legacy(&gateway, "2025-06-18").await;
    assert_eq!(health(&gateway).await["transport"], "sse");
    let listed = client.message("tools/list").send().await.json();
    assert_eq!(listed["result"]["tools"][0]["name"], "echo");
    let called = client.tool("echo").id("\"x\"").arguments(&json!({"nonce": "n"})).send().await;
    assert_eq!((called.raw_id(), called.text()), ("\"x\"".to_owned(), "n".to_owned()));
    let progressed =
        client.tool("echo").arguments(&json!({"act": "progress", "nonce": "p"})).meta("progressToken", "\"t\"");
    let progressed = progressed.send().await;
    let tokens: Vec<_> = progressed.others().iter().map(|message| message["params"]["progressToken"].clone()).collect();
    assert_eq!((tokens, progressed.text()), (vec![json!("t"), json!("t")], "p".to_owned()));
    let initialized = upstream.received("initialize");
    assert_eq!(initialized.last().unwrap()["params"]["clientInfo"]["name"], "tests", "in the client's own words");
    assert_eq!(upstream.received("notifications/initialized").len(), 2, "once for the gateway, once for the client");
    client.verb("DELETE").send().await;
    until("the stream has ended with the session", || upstream.open() == 0).await;
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_question_of_the_server_is_put_to_the_client_and_answered() {
    let (upstream, gateway) = sse_upstream().await;
    let mut client = at_one(&gateway).await;
    client.send(&act("7", "ask")).await;
    let question = client.message().await;
    assert_eq!(question["method"], "roots/list");
    let roots = json!({"roots": [{"uri": "file:///srv"}]});
    client.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": roots}).to_string()).await;
    assert_eq!(text(&client.message().await), roots.to_string());
    // And the same on the stream of a call over streamable HTTP.
    let http = legacy_at(&gateway, &gateway.path(), "2025-06-18").await;
    let call = http.tool("echo").arguments(&json!({"act": "ask"}));
    let mut stream = call.open().await;
    let question: Value = serde_json::from_str(&stream.next().await.unwrap().data).unwrap();
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": roots});
    assert_eq!(http.body(&answer.to_string()).send().await.status(), 202);
    assert_eq!(stream.rest().await.text(), roots.to_string());
    assert_eq!(upstream.opened(), 3, "the gateway's own, and one for each session");
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn several_calls_at_once_are_answered_as_they_finish() {
    let (upstream, gateway) = sse_upstream().await;
    let mut client = at_one(&gateway).await;
    client.send(&act("1", "hold")).await;
    upstream.called(1).await;
    client.send(&act("\"1\"", "")).await;
    assert_eq!(client.message().await["id"], "1", "`1` and `\"1\"` are two ids");
    client.send(&act("2", "progress").replace(r#""name""#, r#""_meta":{"progressToken":1},"name""#)).await;
    for value in [1, 2] {
        let progress = client.message().await;
        assert_eq!((&progress["params"]["progressToken"], &progress["params"]["progress"]), (&json!(1), &json!(value)));
    }
    assert_eq!(client.message().await["id"], 2);
    upstream.release(1);
    assert_eq!(client.message().await["id"], 1);
    gateway.ends_well(&["ok", "ok", "ok"]).await;
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_at_the_server_and_not_answered() {
    let (upstream, gateway) = sse_upstream().await;
    let mut client = at_one(&gateway).await;
    client.send(&act("5", "hold")).await;
    upstream.called(1).await;
    client.send(&cancel("5")).await;
    until("the server knows", || !upstream.received("notifications/cancelled").is_empty()).await;
    let asked = upstream.received("tools/call")[0]["id"].clone();
    assert_eq!(upstream.received("notifications/cancelled")[0]["params"]["requestId"], asked);
    upstream.release(1);
    client.send(&act("6", "")).await;
    assert_eq!(client.message().await["id"], 6, "nothing is said of the one that was cancelled");
    gateway.ends_well(&["cancelled", "ok"]).await;
}

#[tokio::test]
async fn what_belongs_to_no_call_reaches_the_client() {
    let (upstream, gateway) = sse_upstream().await;
    let mut client = at_one(&gateway).await;
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    upstream.say(notice).await;
    assert_eq!(client.raw().await, notice);
    upstream.say(r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#).await;
    assert_eq!(client.message().await["method"], "ping");
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_stream_cut_in_a_call_leaves_its_outcome_unknown_and_the_next_call_opens_another() {
    let (upstream, gateway) = sse_upstream().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let held = client.tool("echo").arguments(&json!({"act": "hold"}));
    let cut = client.tool("echo").arguments(&json!({"act": "cut"}));
    let cutting = async {
        upstream.called(1).await;
        cut.send().await
    };
    let (held, cut) = tokio::join!(held.send(), cutting);
    assert_eq!([held.outcome(), cut.outcome()], ["unknown", "unknown"]);
    let next = client.call("echo", json!({"nonce": "n"})).await;
    assert_eq!((next.text(), upstream.opened()), ("n".to_owned(), 3), "the gateway's own, and two of the session");
    let words: Vec<_> = upstream.received("initialize").iter().skip(1).map(|it| it["params"].clone()).collect();
    assert_eq!(words[0], words[1], "the second is opened with the same words");
    gateway.ends_well(&["unknown", "unknown", "ok"]).await;
}

#[tokio::test]
async fn an_answer_over_the_limit_ends_the_stream_and_its_call_is_told_why() {
    let upstream = server().start().await;
    let gateway = gateway().with(&upstream).limits("{answer: 64KiB}").start().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let answer = client.call("echo", json!({"act": "big"})).await;
    assert_eq!(answer.outcome(), "unknown");
    assert_eq!(answer.json()["result"]["_meta"]["dev.tollhouse/cause"], "response_too_large", "{answer:?}");
    assert_eq!(client.call("echo", json!({"nonce": "n"})).await.text(), "n");
    gateway.ends_well(&["unknown", "ok"]).await;
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_session_gets_it_anew_with_the_next_call() {
    let (upstream, gateway) = sse_upstream().await;
    let client = legacy(&gateway, "2025-06-18").await;
    assert_eq!(client.call("echo", json!({"nonce": "n"})).await.outcome(), "ok");
    upstream.cut();
    until("the next call finds a session", || upstream.open() == 0).await;
    let mut outcomes = vec!["ok"];
    loop {
        match client.call("echo", json!({"nonce": "n"})).await.outcome().as_str() {
            "ok" => break outcomes.push("ok"),
            // It may have been refused before the gateway saw the end of the stream, but it did not run.
            outcome => assert_eq!(outcome, "not_executed"),
        }
        outcomes.push("not_executed");
    }
    gateway.ends_well(&outcomes).await;
}

#[tokio::test]
async fn a_modern_caller_is_lent_a_session_which_is_opened_anew_when_its_stream_was_cut() {
    let (upstream, gateway) = sse_upstream().await;
    let client = modern(&gateway);
    for nonce in ["1", "2"] {
        assert_eq!(client.call("echo", json!({"nonce": nonce})).await.text(), nonce);
    }
    assert_eq!((upstream.open(), upstream.received("tools/call").len()), (1, 2));
    upstream.cut();
    until("the stream has ended", || upstream.open() == 0).await;
    assert_eq!(client.call("echo", json!({"nonce": "3"})).await.text(), "3");
    gateway.ends_well(&["ok"; 3]).await;
}

#[tokio::test]
async fn tollhouse_stdio_reaches_a_server_of_http_sse() {
    let upstream = server().transport("sse").start().await;
    let mut client = gateway().with(&upstream).stdio();
    client.initialize(FIRST).await;
    client.send(&act("1", "")).await;
    assert_eq!(text(&client.message().await), "1");
    client.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn the_transport_is_found_by_asking_however_a_server_refuses_to_be_posted_to() {
    for refusal in ["400 Bad Request", "404 Not Found", "405 Method Not Allowed"] {
        let upstream = server().refuses(refusal).start().await;
        let gateway = gateway().with(&upstream).start().await;
        let client = legacy(&gateway, FIRST).await;
        assert_eq!(client.call("echo", json!({"nonce": refusal})).await.text(), refusal);
        gateway.ends_well(&["ok"]).await;
    }
}

#[tokio::test]
async fn a_transport_that_is_named_is_not_looked_for() {
    let upstream = server().transport("http").start().await;
    let gateway = gateway().with(&upstream).start().await;
    until("it is down", || gateway.stderr().contains("not connected")).await;
    assert_eq!((upstream.opened(), &health(&gateway).await["transport"]), (0, &json!("http")));
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn servers_differ_in_where_and_how_they_want_to_be_posted_to() {
    for upstream in [
        server().address("messages?session=$N"),
        server().address("?session=$N"),
        server().takes("200 OK"),
        server().takes("204 No Content"),
        server().late(),
    ] {
        let upstream = upstream.transport("sse").start().await;
        let gateway = gateway().with(&upstream).start().await;
        let mut client = at_one(&gateway).await;
        client.send(&act("1", "progress").replace(r#""name""#, r#""_meta":{"progressToken":1},"name""#)).await;
        for _ in 0..2 {
            assert_eq!(client.message().await["method"], "notifications/progress", "{upstream:?}");
        }
        assert_eq!(text(&client.message().await), "1", "{upstream:?}");
        gateway.ends_well(&["ok"]).await;
    }
}

#[tokio::test]
async fn a_server_that_sends_its_messages_elsewhere_is_refused() {
    for address in
        ["http://127.0.0.2:9/messages?session=$N", "//attacker.example/messages", "https://127.0.0.1/messages"]
    {
        let upstream = server().transport("sse").address(address).start().await;
        let gateway = gateway().with(&upstream).start().await;
        until("it says why", || gateway.stderr().contains("another origin")).await;
        let client = legacy_client(&gateway, FIRST);
        let initialize =
            json!({"protocolVersion": FIRST, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let refused = client.message("initialize").params(&initialize.to_string()).send().await;
        assert_eq!(refused.outcome(), "not_executed", "{address}");
        assert_eq!(upstream.received("initialize").len(), 0);
        gateway.ends_well(&[]).await;
    }
}

#[tokio::test]
async fn the_trace_of_a_caller_goes_on_in_headers_and_nothing_else_does() {
    let (upstream, gateway) = sse_upstream().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let call = client.tool("echo").arguments(&json!({"nonce": "n"})).field("traceparent", trace);
    assert_eq!(call.field("Authorization", "Bearer canary").send().await.text(), "n");
    let (head, _) = upstream.heads("tools/call").pop().unwrap();
    assert_eq!([head.get("traceparent"), head.get("authorization"), head.get("mcp-session-id")], [trace, "", ""]);
    gateway.ends_well(&["ok"]).await;
}
