//! Both servers through a pipe, as a client sees them.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;

use super::serve;
use crate::demo::server::almanac::Almanac;
use crate::demo::server::notes::Notes;
use crate::demo::server::program::Program;

struct Client {
    input: WriteHalf<DuplexStream>,
    output: Lines<BufReader<ReadHalf<DuplexStream>>>,
    server: JoinHandle<anyhow::Result<()>>,
    last_id: u64,
}

fn client<S: Program>(program: S) -> Client {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (far_read, far_write) = tokio::io::split(far);
    #[expect(clippy::disallowed_methods, reason = "the test awaits the task itself")]
    let server = tokio::spawn(serve(program, far_read, far_write));
    let (read, input) = tokio::io::split(near);
    Client { input, output: BufReader::new(read).lines(), server, last_id: 0 }
}

impl Client {
    async fn write(&mut self, line: &str) {
        self.input.write_all(line.as_bytes()).await.unwrap();
        self.input.write_all(b"\n").await.unwrap();
    }

    async fn read(&mut self) -> Value {
        serde_json::from_str(&self.output.next_line().await.unwrap().unwrap()).unwrap()
    }

    async fn raw(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params});
        self.write(&request.to_string()).await;
        let answer = self.read().await;
        assert_eq!(answer["id"], self.last_id);
        answer
    }

    async fn modern(&mut self, method: &str, mut params: Value) -> Value {
        params["_meta"] = meta();
        self.raw(method, params).await
    }

    async fn tool(&mut self, name: &str, arguments: Value) -> Value {
        self.modern("tools/call", json!({"name": name, "arguments": arguments})).await["result"].take()
    }
}

fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

#[tokio::test]
async fn a_note_is_kept_listed_read_as_a_resource_and_gone_after_its_deletion() {
    let mut client = client(Notes::default());
    let added = client.tool("add_note", json!({"title": "milk", "text": "two litres"})).await;
    assert_eq!(added["structuredContent"], json!({"id": 1}));
    let listed = client.modern("resources/list", json!({})).await;
    assert_eq!(listed["result"]["resources"][0]["uri"], "notes://1");
    let read = client.modern("resources/read", json!({"uri": "notes://1"})).await;
    assert_eq!(read["result"]["contents"][0]["text"], "two litres");
    assert_eq!(client.tool("delete_note", json!({"id": 1})).await["structuredContent"], json!({"deleted": true}));
    let gone = client.tool("read_note", json!({"id": 1})).await;
    assert_eq!((&gone["isError"], &gone["content"][0]["text"]), (&json!(true), &json!("there is no note 1")));
    let unread = client.modern("resources/read", json!({"uri": "notes://1"})).await;
    assert_eq!((&unread["error"]["code"], &unread["error"]["data"]["uri"]), (&json!(-32602), &json!("notes://1")));
}

#[tokio::test]
async fn a_legacy_client_gets_the_revision_it_asks_for_and_results_of_its_era() {
    for (asked, given) in [("2024-11-05", "2024-11-05"), ("2025-11-25", "2025-11-25"), ("2026-07-28", "2025-11-25")] {
        let mut client = client(Almanac);
        let hello = client.raw("initialize", json!({"protocolVersion": asked, "capabilities": {}})).await;
        assert_eq!(hello["result"]["protocolVersion"], given);
        client.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        assert_eq!(client.raw("ping", json!({})).await["result"], json!({}));
        let listed = client.raw("tools/list", json!({})).await;
        assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 5);
        assert_eq!(listed["result"].as_object().unwrap().keys().collect::<Vec<_>>(), ["tools"]);
    }
}

#[tokio::test]
async fn a_modern_client_gets_result_type_server_info_and_cache_hints() {
    let mut client = client(Notes::default());
    let found = client.modern("server/discover", json!({})).await["result"].take();
    assert_eq!(found["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "notes");
    for (method, ttl, scope) in [
        ("server/discover", 3_600_000, "public"),
        ("tools/list", 3_600_000, "public"),
        ("resources/templates/list", 3_600_000, "public"),
        ("resources/list", 0, "private"),
    ] {
        let result = client.modern(method, json!({})).await["result"].take();
        assert_eq!(
            (&result["resultType"], &result["ttlMs"], &result["cacheScope"]),
            (&json!("complete"), &json!(ttl), &json!(scope)),
            "{method}"
        );
    }
}

#[tokio::test]
async fn each_error_has_the_code_of_the_protocol() {
    let mut client = client(Almanac);
    let codes = [
        (client.raw("tools/list", json!({})).await, -32602),
        (client.raw("server/discover", json!({})).await, -32602),
        (
            client.raw("tools/list", json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}})).await,
            -32602,
        ),
        (
            client.raw("tools/list", json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "1900-01-01"}})).await,
            -32022,
        ),
        (client.modern("ping", json!({})).await, -32601),
        (client.modern("resources/list", json!({})).await, -32601),
        (client.modern("tools/call", json!({"name": "no_such"})).await, -32602),
        (client.modern("tools/list", json!({"cursor": "x"})).await, -32602),
    ];
    for (at, (answer, code)) in codes.iter().enumerate() {
        assert_eq!(answer["error"]["code"], *code, "{at}: {answer}");
    }
    client.write("not json").await;
    assert_eq!(
        client.read().await,
        json!({"jsonrpc": "2.0", "error": {"code": -32700, "message": "this is not JSON"}})
    );
}

#[tokio::test]
async fn wrong_arguments_are_the_tools_own_error() {
    let mut client = client(Almanac);
    for (tool, arguments, says) in [
        ("moon_phase", json!({}), "`date` must be a text"),
        ("moon_phase", json!({"date": "2026-02-30"}), "is not a date"),
        ("moon_phase", json!({"date": "2026-02-20", "moon": 2}), "there is no argument `moon`"),
        ("convert", json!({"value": 1, "from": "m", "to": "kg"}), "`m` is a length and `kg` a mass"),
        ("convert", json!({"value": 1, "from": "m", "to": "cubit"}), "there is no unit `cubit`"),
        ("day_length", json!({"date": "2026-02-20", "latitude": 91}), "must be a number from -90 to 90"),
    ] {
        let result = client.tool(tool, arguments).await;
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(result["isError"] == true && text.contains(says), "{tool}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_tool_tells_its_progress_to_who_asked_for_it() {
    let mut client = client(Almanac);
    let mut params = json!({"name": "moon_calendar", "arguments": {"date": "2026-11-25", "days": 3}});
    params["_meta"] = meta();
    params["_meta"]["progressToken"] = json!("p");
    client.write(&json!({"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": params}).to_string()).await;
    for at in 1..=3 {
        let notice = client.read().await;
        assert_eq!(
            (&notice["method"], &notice["params"]["progressToken"], &notice["params"]["progress"]),
            (&json!("notifications/progress"), &json!("p"), &json!(at))
        );
    }
    let answer = client.read().await;
    assert_eq!(answer["id"], "c");
    assert_eq!(answer["result"]["structuredContent"]["days"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_cancelled_call_is_never_answered_and_others_go_on() {
    let mut client = client(Almanac);
    client.raw("initialize", json!({"protocolVersion": "2025-11-25"})).await;
    let slow = json!({"name": "moon_calendar", "arguments": {"date": "2026-11-25", "days": 60}});
    client.write(&json!({"jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": slow}).to_string()).await;
    client.write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"slow"}}"#).await;
    client.raw("ping", json!({})).await;
    // The same id is free again: the cancelled call is not at work any more.
    client.write(r#"{"jsonrpc":"2.0","id":"slow","method":"ping"}"#).await;
    assert_eq!(client.read().await, json!({"jsonrpc": "2.0", "id": "slow", "result": {}}));
}

#[tokio::test]
async fn an_id_in_flight_is_not_taken_twice() {
    let mut client = client(Almanac);
    let slow = json!({"name": "moon_calendar", "arguments": {"date": "2026-11-25", "days": 60}, "_meta": meta()});
    let request = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": slow}).to_string();
    client.write(&request).await;
    client.write(&request).await;
    let refused = client.read().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(7), &json!(-32600)));
}

#[tokio::test]
async fn the_end_of_the_input_is_the_end_of_the_server() {
    let mut client = client(Notes::default());
    client.input.shutdown().await.unwrap();
    client.server.await.unwrap().unwrap();
}
