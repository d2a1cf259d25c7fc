//! A modern client before a server that knows only sessions.

use super::*;

async fn legacy_only() -> (Upstream, Gateway) {
    let upstream = upstream::echo().legacy_only().start().await;
    let gateway = gateway().with(&upstream).start().await;
    (upstream, gateway)
}

/// A gateway whose tested server answers `method` with this message.
async fn answering(method: &'static str, message: &str) -> (Upstream, Gateway) {
    let upstream = upstream::echo().legacy_only().to(method).answers([text(message)]).start().await;
    let gateway = gateway().with(&upstream).start().await;
    (upstream, gateway)
}

#[tokio::test]
async fn a_modern_client_calls_a_legacy_server_over_http() {
    let (upstream, gateway) = legacy_only().await;
    let client = modern(&gateway);
    let call = client.tool("echo").raw_arguments(r#"{"nonce": "n", "x":1.0}"#).meta("vendor", "7");
    let answer = call.send().await.json();
    let result = &answer["result"];
    assert_eq!(
        (&result["content"][0]["text"], &result["resultType"], &result["_meta"][SERVER_INFO]["name"]),
        (&json!("n"), &json!("complete"), &json!("echo"))
    );
    assert_eq!(upstream.last_arguments(), r#"{"nonce": "n", "x":1.0}"#);
    let seen = upstream.last_call();
    let meta = seen.message.as_ref().unwrap().params["_meta"].clone();
    assert_eq!((meta, seen.head.get("mcp-method")), (json!({"vendor": 7}), ""));
    assert!(seen.head.get("mcp-session-id").starts_with("upstream-session-"));
    let record = record(&gateway, "tools/call").await;
    assert_eq!(
        (&record["era"], &record["server"], &record["attempts"]),
        (&json!("modern"), &json!("tested"), &json!(1))
    );
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_modern_client_calls_a_legacy_server_over_stdio() {
    let child = child().argument("legacy");
    let gateway = gateway().with(&child).start().await;
    let client = modern(&gateway);
    let answer = client.tool("echo").arguments(&json!({"nonce": "n", "progress": 2})).meta("progressToken", "\"t\"");
    let answer = answer.send().await;
    assert_eq!((answer.text().as_str(), &answer.json()["result"]["resultType"]), ("n", &json!("complete")));
    let progress: Vec<_> = answer.others().iter().map(|other| other["params"]["progressToken"].clone()).collect();
    assert_eq!(progress, ["t", "t"]);
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_modern_client_on_a_pipe_calls_a_legacy_server() {
    let child = child().argument("legacy");
    let mut client = gateway().with(&child).stdio();
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"name": "echo", "arguments": {"nonce": "n"}, "_meta": meta});
    client.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string()).await;
    let answer = client.message().await;
    assert_eq!(answer["result"]["content"][0]["text"], "n", "{answer}");
    client.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn one_conversation_is_lent_one_session_and_another_one_another() {
    let (upstream, gateway) = legacy_only().await;
    let client = modern(&gateway);
    let call = async |thread: &str| {
        client.tool("echo").arguments(&json!({"nonce": "n"})).meta("threadId", thread).send().await;
        upstream.last_call().head.get("mcp-session-id").to_owned()
    };
    let (first, second, again) = (call("\"a\"").await, call("\"b\"").await, call("\"a\"").await);
    assert_eq!((first == again, first == second), (true, false));
    let opened = upstream.received("initialize");
    let by_client = opened.last().unwrap().message.clone().unwrap().params;
    // The first is the gateway's own, to find out what the server speaks.
    assert_eq!((opened.len(), &by_client["clientInfo"]["name"]), (3, &json!("tests")));
    gateway.ends_well(&["ok", "ok", "ok"]).await;
}

#[tokio::test]
async fn calls_that_come_at_once_open_one_session() {
    let child = child().argument("legacy");
    let gateway = gateway().with(&child).start().await;
    let (one, two, three) = (modern(&gateway), modern(&gateway), modern(&gateway));
    let call = async |client: &Client| client.call("echo", json!({"nonce": "n"})).await.outcome();
    let outcomes = tokio::join!(call(&one), call(&two), call(&three));
    assert_eq!(outcomes, ("ok".to_owned(), "ok".to_owned(), "ok".to_owned()));
    // One was asked what it speaks.
    assert_eq!(child.starts().len(), 2);
    gateway.ends_well(&["ok"; 3]).await;
}

#[tokio::test]
async fn what_cannot_be_asked_of_the_client_is_not_declared_in_its_name() {
    let (upstream, gateway) = legacy_only().await;
    let declared = r#"{"elicitation":{},"sampling":{"tools":{}},"experimental":{"x":{}},"roots":{}}"#;
    let client = modern(&gateway);
    let call = client.tool("echo").raw_arguments("{}").meta("io.modelcontextprotocol/clientCapabilities", declared);
    assert_eq!(call.send().await.outcome(), "ok");
    let opened = upstream.received("initialize").pop().unwrap();
    assert_eq!(opened.message.as_ref().unwrap().params["capabilities"], json!({"experimental": {"x": {}}}));
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn discovery_tells_what_the_server_said_of_itself() {
    let upstream = upstream::echo().legacy_only().introduces(
        r#"{"protocolVersion":"2025-11-25","instructions":"be kind","serverInfo":{"name":"s","version":"2"},
            "capabilities":{"tools":{"listChanged":true},"tasks":{"list":{}}}}"#,
    );
    let upstream = upstream.start().await;
    let gateway = gateway().with(&upstream).start().await;
    let result = modern(&gateway).message("server/discover").send().await.json()["result"].clone();
    let expected = json!({
        "resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0, "cacheScope": "private",
        "capabilities": {"tools": {"listChanged": true}}, "instructions": "be kind", "_meta": {SERVER_INFO: {"name": "s", "version": "2"}},
    });
    assert_eq!(result, expected);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_client_that_can_be_asked_is_told_to_go_on_in_the_servers_era() {
    let (_upstream, gateway) = legacy_only().await;
    for declared in [r#"{"elicitation":{}}"#, r#"{"sampling":{}}"#, r#"{"roots":{}}"#] {
        let client = modern(&gateway);
        let asked = client.message("server/discover").meta("io.modelcontextprotocol/clientCapabilities", declared);
        assert_eq!(asked.send().await.refusal(), (404, -32601));
    }
    assert_eq!(modern(&gateway).message("server/discover").send().await.refusal(), (200, 0));
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn lists_are_not_to_be_cached_and_lack_tools_that_run_only_as_tasks() {
    let tools = |_: &crate::echo::Message| {
        r#"{"tools":[{"name":"a","execution":{"taskSupport":"required"}},{"name":"b","execution":{"taskSupport":"optional"}}]}"#
            .to_owned()
    };
    let upstream = upstream::echo().legacy_only().lists(tools).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let result = modern(&gateway).message("tools/list").send().await.json()["result"].clone();
    assert_eq!(
        (&result["ttlMs"], &result["cacheScope"], &result["resultType"]),
        (&json!(0), &json!("private"), &json!("complete"))
    );
    assert_eq!(result["tools"], json!([{"name": "b", "execution": {"taskSupport": "optional"}}]));
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_resource_that_is_not_there_is_named_in_the_modern_way() {
    let gone = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32002,"message":"gone"}}"#;
    let (_upstream, gateway) = answering("resources/read", gone).await;
    let client = modern(&gateway);
    let read = client.message("resources/read").params(r#"{"uri":"file:///x"}"#).field("Mcp-Name", "file:///x");
    let answer = read.send().await;
    assert_eq!((answer.refusal(), &answer.json()["error"]["data"]["uri"]), ((200, -32602), &json!("file:///x")));
    assert_eq!(record(&gateway, "resources/read").await["outcome"], "error");
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn methods_that_the_server_or_the_revision_lacks_are_not_found() {
    let (upstream, gateway) = legacy_only().await;
    let client = modern(&gateway);
    assert_eq!(client.message("vendor/method").send().await.refusal(), (404, -32601));
    assert_eq!(upstream.received("vendor/method").len(), 1);
    for method in ["ping", "logging/setLevel", "resources/subscribe", "tasks/get"] {
        let refused = client.message(method).field("Mcp-Name", "").params("{}").send().await.refusal();
        assert_eq!((refused, upstream.received(method).len()), ((404, -32601), 0), "{method}");
    }
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_server_that_wants_a_url_visited_first_gives_a_result_that_says_so() {
    let wanted = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32042,"message":"visit","data":{"elicitations":[]}}}"#;
    let (_upstream, gateway) = answering("tools/call", wanted).await;
    let answer = modern(&gateway).call("echo", json!({})).await;
    assert_eq!(answer.outcome(), "not_executed");
    assert!(answer.text().contains("visit a URL"), "{}", answer.text());
    gateway.ends_well(&["not_executed"]).await;
}

/// A log message of this level, as an event.
fn log(level: &str) -> Step {
    event(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}","data":"x"}}}}"#))
}

#[tokio::test]
async fn log_messages_reach_who_asked_for_them_and_nobody_else() {
    let steps = [log("debug"), log("warning"), log("error"), honest()];
    let upstream = upstream::echo().legacy_only().streams(steps).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    let levels = |answer: &Answer| -> Vec<String> {
        answer.others().iter().map(|other| other["params"]["level"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let silent = client.call("echo", json!({"nonce": "n"})).await;
    assert_eq!((silent.text().as_str(), levels(&silent)), ("n", vec![]));
    let call = client.tool("echo").raw_arguments("{}").meta("io.modelcontextprotocol/logLevel", "\"warning\"");
    assert_eq!(levels(&call.send().await), ["warning", "error"]);
    // The server has not said that it takes levels.
    assert_eq!(upstream.received("logging/setLevel").len(), 0);
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_question_of_the_server_is_answered_with_an_error_and_the_call_goes_on() {
    let question = r#"{"jsonrpc":"2.0","id":"q1","method":"elicitation/create","params":{"message":"who?"}}"#;
    let upstream = upstream::echo().legacy_only().streams([event(question), Step::Released, honest()]).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    let call = client.tool("echo").raw_arguments(r#"{"nonce":"n"}"#).sent().await;
    until("the question is answered", || !upstream.answers().is_empty()).await;
    upstream.release(1);
    let answer = crate::client::Stream::of(call).await.rest().await;
    assert_eq!((answer.text().as_str(), answer.others().len()), ("n", 0));
    let told = &upstream.answers()[0];
    assert_eq!((&told["id"], &told["error"]["code"]), (&json!("q1"), &json!(-32601)));
    until("the operator is told", || gateway.stderr().contains("a question of the server was refused")).await;
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_session_that_the_server_has_forgotten_is_opened_anew_unseen() {
    let (upstream, gateway) = legacy_only().await;
    let client = modern(&gateway);
    assert_eq!(client.call("echo", json!({"nonce": "a"})).await.text(), "a");
    upstream.forget_sessions();
    assert_eq!(client.call("echo", json!({"nonce": "b"})).await.text(), "b");
    assert_eq!(upstream.executions(), 2);
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_31_a_modern_client_that_leaves_cancels_its_call_at_a_legacy_server_over_http() {
    let upstream = upstream::echo().legacy_only().held().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    let call = client.tool("echo").id("\"mine\"").raw_arguments("{}").sent().await;
    upstream.executed(1).await;
    drop(call);
    let start = std::time::Instant::now();
    until("the server is told", || !upstream.received("notifications/cancelled").is_empty()).await;
    assert!(start.elapsed() <= SOON, "after {:?}", start.elapsed());
    let told = upstream.received("notifications/cancelled")[0].message.clone().unwrap();
    let sent = upstream.last_call().message.clone().unwrap().id.unwrap();
    assert_eq!(told.params["requestId"].to_string(), sent);
    gateway.ends_well(&["cancelled"]).await;
}

#[tokio::test]
async fn a_31_a_modern_client_that_leaves_cancels_its_call_at_a_legacy_server_over_stdio() {
    let child = child().argument("legacy");
    let gateway = gateway().with(&child).start().await;
    let client = modern(&gateway);
    let call = client.tool("echo").arguments(&json!({"nonce": "n", "gate": child.gate()})).sent().await;
    until("the call is held", || child.held().len() == 1).await;
    drop(call);
    let start = std::time::Instant::now();
    until("the server is told", || !child.cancelled().is_empty()).await;
    assert!(start.elapsed() <= SOON, "after {:?}", start.elapsed());
    assert_eq!(child.cancelled(), child.held());
    gateway.ends_well(&["cancelled"]).await;
}

#[tokio::test]
async fn a_31_a_modern_client_that_leaves_its_stream_cancels_its_call_at_a_legacy_server() {
    let steps = [upstream::progress(1), Step::Silence];
    let upstream = upstream::echo().legacy_only().streams(steps).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    let mut stream = client.tool("echo").raw_arguments("{}").meta("progressToken", "1").open().await;
    assert!(stream.next().await.is_some_and(|event| event.data.contains("progress")));
    drop(stream);
    let start = std::time::Instant::now();
    until("the server is told", || !upstream.received("notifications/cancelled").is_empty()).await;
    assert!(start.elapsed() <= SOON, "after {:?}", start.elapsed());
    gateway.ends_well(&["cancelled"]).await;
}

#[tokio::test]
async fn state_that_no_server_gave_is_refused() {
    let (upstream, gateway) = legacy_only().await;
    let client = modern(&gateway);
    let params = r#"{"requestState":"forged","inputResponses":{}}"#;
    let refused = client.tool("echo").params(params).send().await.refusal();
    assert_eq!((refused, upstream.executions()), ((200, -32602), 0));
    let extra = client.tool("echo").params(r#"{"inputResponses":{"a":{}}}"#).send().await;
    assert_eq!((extra.refusal(), upstream.last_call().body.contains("inputResponses")), ((200, 0), false));
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn sessions_that_are_lent_are_bounded_and_an_idle_one_makes_room() {
    let child = child().argument("legacy");
    let gateway = gateway().with(&child).limits("{sessions: 1}").start().await;
    let client = modern(&gateway);
    for thread in ["\"a\"", "\"b\""] {
        let call = client.tool("echo").raw_arguments("{}").meta("threadId", thread);
        assert_eq!(call.send().await.outcome(), "ok");
    }
    let processes = child.starts();
    until("the first session's process is gone", || !stdio::exists(processes[1])).await;
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_server_that_is_taken_out_leaves_no_process_of_a_session_that_was_lent() {
    let (child, other) = (child().argument("legacy"), upstream::echo().start().await);
    let both = gateway().alone().with(&child).server("other", &other);
    let gateway = both.start().await;
    assert_eq!(modern(&gateway).call("echo", json!({"nonce": "n"})).await.text(), "n");
    let lent = *child.starts().last().unwrap();
    gateway.reload(&crate::gateway::gateway().alone().server("other", &other)).await;
    until("the process is gone", || !stdio::exists(lent)).await;
}

#[tokio::test]
async fn a_server_that_dies_is_started_again_for_the_next_call() {
    let child = child().argument("legacy").argument("exit").argument("1");
    let gateway = gateway().with(&child).start().await;
    let client = modern(&gateway);
    let first = client.call("echo", json!({"nonce": "a"})).await.outcome();
    let second = client.call("echo", json!({"nonce": "b"})).await.outcome();
    assert_eq!((first.as_str(), second.as_str(), child.ledger()), ("unknown", "unknown", vec!["a".into(), "b".into()]));
    gateway.ends_well(&["unknown", "unknown"]).await;
}

#[tokio::test]
async fn servers_of_both_eras_are_one_for_a_modern_client() {
    let (old, new) = (child().argument("legacy"), upstream::echo().modern_only().start().await);
    let gateway = gateway().alone().server("old", &old).server("new", &new).start().await;
    let client = modern(&gateway).at("/mcp");
    let listed = client.message("tools/list").send().await.json()["result"]["tools"].clone();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert_eq!(names, ["old__echo", "new__echo"]);
    let answers =
        [client.call("old__echo", json!({"nonce": "o"})).await, client.call("new__echo", json!({"nonce": "n"})).await];
    assert_eq!([answers[0].text(), answers[1].text()], ["o", "n"]);
    let discovered = client.message("server/discover").send().await.json()["result"]["capabilities"].clone();
    assert_eq!(discovered, json!({"tools": {"listChanged": true}}));
}
