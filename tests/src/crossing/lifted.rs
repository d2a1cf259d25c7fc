//! A legacy client before a server that knows no sessions.

use super::*;

async fn modern_only() -> (Upstream, Gateway) {
    let upstream = upstream::echo().modern_only().start().await;
    let gateway = gateway().with(&upstream).start().await;
    (upstream, gateway)
}

/// A gateway whose tested server answers `method` with this message.
async fn answering(method: &'static str, message: &str) -> (Upstream, Gateway) {
    let upstream = upstream::echo().modern_only().to(method).answers([text(message)]).start().await;
    let gateway = gateway().with(&upstream).start().await;
    (upstream, gateway)
}

const REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// What tells the modern revisions' results apart.
fn marks(result: &Value) -> Vec<&str> {
    ["resultType", "ttlMs", "cacheScope"].into_iter().filter(|mark| !result[*mark].is_null()).collect()
}

#[tokio::test]
async fn a_legacy_client_calls_a_modern_server_over_http() {
    for revision in REVISIONS {
        let (upstream, gateway) = modern_only().await;
        let client = legacy(&gateway, revision).await;
        let call = client.tool("echo").raw_arguments(r#"{"nonce": "n", "x":1.0}"#).meta("vendor", "7");
        let answer = call.send().await;
        assert_eq!((answer.text().as_str(), marks(&answer.json()["result"])), ("n", vec![]));
        assert_eq!(upstream.last_arguments(), r#"{"nonce": "n", "x":1.0}"#);
        let seen = upstream.last_call();
        assert_eq!((seen.head.get("mcp-name"), seen.head.get("mcp-session-id")), ("echo", ""));
        let said = seen.message.as_ref().unwrap().params["_meta"].clone();
        let expected = json!({
            "vendor": 7, "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        assert_eq!(said, expected);
        let record = record(&gateway, "tools/call").await;
        assert_eq!((&record["era"], &record["server"]), (&json!("legacy"), &json!("tested")));
        gateway.ends_well(&["ok"]).await;
    }
}

#[tokio::test]
async fn a_legacy_client_calls_a_modern_server_over_stdio() {
    let child = child().argument("modern");
    let gateway = gateway().with(&child).start().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let call = client.tool("echo").arguments(&json!({"nonce": "n", "progress": 2})).meta("progressToken", "7");
    let answer = call.send().await;
    let progress: Vec<_> = answer.others().iter().map(|other| other["params"]["progressToken"].clone()).collect();
    assert_eq!((answer.text(), progress), ("n".to_owned(), vec![json!(7), json!(7)]));
    // It was tried once whether the server has sessions, and no more.
    legacy(&gateway, "2025-06-18").await;
    assert_eq!(child.starts().len(), 2);
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_legacy_client_on_a_pipe_calls_a_modern_server() {
    let upstream = upstream::echo().modern_only().start().await;
    let mut client = gateway().with(&upstream).stdio();
    client.initialize("2025-06-18").await;
    client.send(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
    assert_eq!(client.message().await["result"]["tools"][0]["name"], "echo");
    client
        .send(r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"nonce":"n"}}}"#)
        .await;
    assert_eq!(client.message().await["result"]["content"][0]["text"], "n");
    client.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_session_begins_with_what_the_server_tells_when_it_is_discovered() {
    let upstream = upstream::echo().modern_only().introduces(
        r#"{"supportedVersions":["2026-07-28"],"instructions":"be kind","resultType":"complete","ttlMs":9,
            "cacheScope":"public","capabilities":{"tools":{"listChanged":true},"logging":{}},
            "_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"2"}}}"#,
    );
    let upstream = upstream.start().await;
    let gateway = gateway().with(&upstream).start().await;
    let params = r#"{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"tests","version":"1"}}"#;
    let client = legacy_client(&gateway, "2025-06-18");
    let result = client.message("initialize").params(params).send().await.json()["result"].clone();
    let expected = json!({
        "protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": true}, "logging": {}}, "instructions": "be kind",
        "serverInfo": {"name": "s", "version": "2"},
    });
    assert_eq!(result, expected);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn the_log_level_is_kept_and_told_with_every_request() {
    let (upstream, gateway) = modern_only().await;
    let client = legacy(&gateway, "2025-06-18").await;
    assert_eq!(client.message("logging/setLevel").params(r#"{"level":"loud"}"#).send().await.refusal(), (200, -32602));
    assert_eq!(client.message("logging/setLevel").params(r#"{"level":"warning"}"#).send().await.refusal(), (200, 0));
    client.call("echo", json!({})).await;
    assert_eq!(upstream.last_call().meta("io.modelcontextprotocol/logLevel"), "warning");
    assert_eq!(upstream.received("logging/setLevel").len(), 0);
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn methods_that_are_not_of_both_eras_are_refused_without_ending_the_session() {
    let (upstream, gateway) = modern_only().await;
    let client = legacy(&gateway, "2025-11-25").await;
    for method in ["tasks/list", "server/discover", "vendor/method"] {
        let refused = client.message(method).params(r#"{"uri":"file:///x"}"#).send().await.refusal();
        assert_eq!(refused, (200, -32601), "{method}");
    }
    assert_eq!(client.message("ping").send().await.refusal(), (200, 0));
    assert_eq!(upstream.received("notifications/initialized").len(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_resource_that_is_not_there_has_the_legacy_code() {
    let gone = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32602,"message":"gone","data":{"uri":"file:///x"}}}"#;
    let (_upstream, gateway) = answering("resources/read", gone).await;
    let client = legacy(&gateway, "2025-06-18").await;
    let answer = client.message("resources/read").params(r#"{"uri":"file:///x"}"#).send().await;
    assert_eq!(answer.refusal(), (200, -32002));
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn headers_that_a_tool_asks_for_are_written_for_clients_that_have_none() {
    let upstream = upstream::echo().modern_only().lists(crate::echo::Message::mirroring).start().await;
    let arguments = json!({"region": "Köln", "where": {"zone": 7}});
    let shown = |upstream: &Upstream| {
        let head = upstream.last_call().head.clone();
        (head.get("mcp-param-region").to_owned(), head.get("mcp-param-zone").to_owned())
    };
    let expected = ("=?base64?S8O2bG4=?=".to_owned(), "7".to_owned());
    let gateway_ = gateway().with(&upstream).start().await;
    let client = legacy(&gateway_, "2025-06-18").await;
    let call = client.tool("echo").arguments(&arguments).field("Mcp-Param-Region", "spoofed");
    assert_eq!((call.send().await.outcome().as_str(), shown(&upstream)), ("ok", expected.clone()));
    gateway_.ends_well(&["ok"]).await;

    let mut piped = gateway().with(&upstream).stdio();
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"name": "echo", "arguments": arguments, "_meta": meta});
    piped.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string()).await;
    assert_eq!((piped.message().await["result"]["isError"].clone(), shown(&upstream)), (json!(false), expected));
    piped.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_tool_whose_headers_nobody_can_write_is_not_listed() {
    let tools = |_: &crate::echo::Message| {
        r#"{"tools":[{"name":"bad","inputSchema":{"type":"object","properties":{"a":{"type":"object","x-mcp-header":"A"}}}},
            {"name":"good","inputSchema":{"type":"object"}}],"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#
            .to_owned()
    };
    let upstream = upstream::echo().modern_only().lists(tools).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let result = legacy(&gateway, "2025-06-18").await.message("tools/list").send().await.json()["result"].clone();
    assert_eq!(result, json!({"tools": [{"name": "good", "inputSchema": {"type": "object"}}]}));
    gateway.ends_well(&[]).await;
}

const QUESTION: &str = r#"{"resultType":"input_required","inputRequests":{"who":{"method":"elicitation/create",
    "params":{"message":"who?"}},"where":{"method":"roots/list"}},"requestState":"s\u002f1"}"#;

#[tokio::test]
async fn what_a_modern_server_asks_first_is_asked_of_the_legacy_client() {
    let upstream = upstream::echo().modern_only().asks(QUESTION).start().await;
    let gateway = gateway().with(&upstream).start().await;
    for revision in ["2025-06-18", "2025-11-25"] {
        let client = legacy(&gateway, revision).await;
        let mut stream = client.tool("echo").raw_arguments(r#"{"nonce":"n","x":1.0}"#).open().await;
        let mut asked = Vec::new();
        while asked.len() < 2 {
            let event = stream.next().await.expect("questions come before the end");
            asked.extend(serde_json::from_str::<Value>(&event.data).ok());
        }
        assert_eq!(
            (&asked[0]["method"], &asked[0]["params"]["message"]),
            (&json!("elicitation/create"), &json!("who?"))
        );
        for (question, result) in asked.iter().zip([r#"{"action":"accept","content":{"a":1.0}}"#, r#"{"roots":[]}"#]) {
            let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, question["id"]);
            assert_eq!(client.body(&answer).send().await.status(), 202);
        }
        assert_eq!(stream.rest().await.text(), "n");
        let sent = upstream.last_call();
        let expected = [
            r#""inputResponses":{"who":{"action":"accept","content":{"a":1.0}},"where":{"roots":[]}}"#,
            r#""requestState":"s\u002f1""#,
            r#""arguments":{"nonce":"n","x":1.0}"#,
        ];
        assert!(expected.iter().all(|part| sent.body.contains(part)), "{}", sent.body);
    }
    assert_eq!(upstream.executions(), 4);
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_client_that_answers_with_an_error_ends_its_call() {
    let upstream = upstream::echo().modern_only().asks(QUESTION).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let mut stream = client.tool("echo").raw_arguments("{}").open().await;
    let question: Value = serde_json::from_str(&stream.next().await.unwrap().data).unwrap();
    let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32601,"message":"no"}}}}"#, question["id"]);
    client.body(&answer).send().await;
    assert_eq!((stream.rest().await.outcome().as_str(), upstream.executions()), ("not_executed", 1));
    gateway.ends_well(&["not_executed"]).await;
}

#[tokio::test]
async fn a_server_that_never_stops_asking_is_given_up_after_ten_rounds() {
    let asking = r#"{"jsonrpc":"2.0","id":$ID,"result":{"resultType":"input_required","requestState":"again"}}"#;
    let (upstream, gateway) = answering("tools/call", asking).await;
    let answer = legacy(&gateway, "2025-06-18").await.call("echo", json!({})).await;
    assert_eq!((answer.outcome().as_str(), upstream.executions()), ("not_executed", 11));
    gateway.ends_well(&["not_executed"]).await;
}

#[tokio::test]
async fn an_answer_of_a_kind_that_nobody_asked_for_is_no_answer() {
    let task = r#"{"jsonrpc":"2.0","id":$ID,"result":{"resultType":"task","taskId":"t"}}"#;
    let (_upstream, gateway) = answering("tools/call", task).await;
    assert_eq!(legacy(&gateway, "2025-06-18").await.call("echo", json!({})).await.outcome(), "unknown");
    gateway.ends_well(&["unknown"]).await;
}

#[tokio::test]
async fn a_32_a_legacy_client_that_leaves_finds_the_answer_of_a_modern_server_when_it_comes_back() {
    let upstream = upstream::echo().modern_only().held().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = legacy(&gateway, "2025-11-25").await;
    let mut stream = client.tool("echo").raw_arguments(r#"{"nonce":"n"}"#).open().await;
    let priming = stream.next().await.unwrap().id.unwrap();
    upstream.executed(1).await;
    drop(stream);
    upstream.release(1);
    let resumed = client.verb("GET").field("Last-Event-ID", &priming).send().await;
    assert!(String::from_utf8_lossy(&resumed.body).contains(r#""text":"n""#), "{resumed:?}");
    assert!(!upstream.last_call().left(), "the server's stream stays open");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_legacy_client_that_cancels_closes_the_exchange_with_a_modern_server_over_http() {
    let upstream = upstream::echo().modern_only().held().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = legacy(&gateway, "2025-11-25").await;
    let _stream = client.tool("echo").id("\"mine\"").raw_arguments("{}").open().await;
    upstream.executed(1).await;
    client.cancel("\"mine\"").await;
    until("the exchange is closed", || upstream.last_call().left()).await;
    gateway.ends_well(&["cancelled"]).await;
}

#[tokio::test]
async fn a_legacy_client_that_cancels_is_heard_by_a_modern_server_over_stdio() {
    let child = child().argument("modern");
    let gateway = gateway().with(&child).start().await;
    let client = legacy(&gateway, "2025-11-25").await;
    let call = client.tool("echo").id("\"mine\"").arguments(&json!({"nonce": "n", "gate": child.gate()}));
    let _stream = call.open().await;
    until("the call is held", || child.held().len() == 1).await;
    client.cancel("\"mine\"").await;
    until("the server is told", || child.cancelled() == child.held()).await;
    gateway.ends_well(&["cancelled"]).await;
}

#[tokio::test]
async fn servers_of_both_eras_are_one_for_a_legacy_client() {
    let (old, new) = (upstream::echo().legacy_only().start().await, child().argument("modern"));
    let gateway = gateway().alone().server("old", &old).server("new", &new).start().await;
    for revision in REVISIONS {
        let client = legacy_at(&gateway, "/mcp", revision).await;
        let result = client.message("tools/list").send().await.json()["result"].clone();
        let names: Vec<_> = result["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
        assert_eq!(names, ["old__echo", "new__echo"]);
        let calls = [
            client.call("old__echo", json!({"nonce": "o"})).await,
            client.call("new__echo", json!({"nonce": "n"})).await,
        ];
        assert_eq!([calls[0].text(), calls[1].text()], ["o", "n"]);
        assert_eq!(client.message("logging/setLevel").params(r#"{"level":"info"}"#).send().await.refusal(), (200, 0));
    }
}
