//! A server over HTTP, through real sockets.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::serve;
use crate::client::Client;
use crate::demo::server::almanac::Almanac;

struct Running {
    url: Uri,
    client: Client,
    _tasks: JoinSet<anyhow::Result<()>>,
}

async fn almanac() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Uri = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(Almanac, listener, CancellationToken::new()));
    Running { client: client(&url), url, _tasks: tasks }
}

fn client(url: &Uri) -> Client {
    Client::new(url, Duration::from_secs(20)).unwrap()
}

fn modern(method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": "p",
    });
    legacy(method, &params)
}

fn legacy(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

const MOON: [(&str, &str); 3] =
    [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "moon_phase")];

fn moon() -> Value {
    modern("tools/call", json!({"name": "moon_phase", "arguments": {"date": "2026-11-25"}}))
}

impl Running {
    async fn send(&mut self, method: Method, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(self.url.clone());
        for (name, value) in [("content-type", "application/json"), ("accept", "application/json, text/event-stream")]
            .iter()
            .chain(headers)
        {
            request = request.header(*name, *value);
        }
        self.client.send(request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()).await.unwrap()
    }

    async fn post(&mut self, headers: &[(&str, &str)], body: &Value) -> Response<Bytes> {
        self.send(Method::POST, headers, &body.to_string()).await
    }

    /// The id of a new session.
    async fn session(&mut self, version: &str) -> String {
        let hello = legacy("initialize", &json!({"protocolVersion": version, "capabilities": {}}));
        let response = self.post(&[], &hello).await;
        response.headers()["mcp-session-id"].to_str().unwrap().to_owned()
    }
}

fn text(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

fn value(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test]
async fn headers_that_do_not_agree_with_the_body_are_refused() {
    let mut server = almanac().await;
    let encoded = [MOON[0], MOON[1], ("Mcp-Name", "=?base64?bW9vbl9waGFzZQ==?=")];
    assert_eq!(server.post(&encoded, &moon()).await.status(), 200);
    for headers in [
        &MOON[..2],
        &MOON[1..],
        &[MOON[0], MOON[2]],
        &[MOON[0], MOON[1], ("mcp-name", "convert")],
        &[MOON[0], MOON[1], ("mcp-name", "=?base64?%%%?=")],
        &[MOON[0], ("mcp-method", "tools/list"), MOON[2]],
        &[("mcp-protocol-version", "2025-11-25"), MOON[1], MOON[2]],
    ] {
        let response = server.post(headers, &moon()).await;
        let code = value(&response)["error"]["code"].clone();
        assert_eq!((response.status().as_u16(), code), (400, json!(-32020)), "{headers:?}");
    }
}

#[tokio::test]
async fn each_error_of_a_modern_request_has_its_status() {
    let mut server = almanac().await;
    let version = ("mcp-protocol-version", "2026-07-28");
    for (method, params, status, code) in [
        ("ping", json!({}), 404, -32601),
        ("resources/list", json!({}), 404, -32601),
        ("tools/list", json!({"cursor": "x"}), 200, -32602),
    ] {
        let response = server.post(&[version, ("mcp-method", method)], &modern(method, params)).await;
        let found = (response.status().as_u16(), value(&response)["error"]["code"].clone());
        assert_eq!(found, (status, json!(code)), "{method}");
    }
    let bare = server.post(&[version, ("mcp-method", "tools/list")], &legacy("tools/list", &json!({}))).await;
    assert_eq!((bare.status().as_u16(), value(&bare)["error"]["code"].clone()), (400, json!(-32602)));
    let broken = server.send(Method::POST, &[], "{").await;
    assert_eq!((broken.status().as_u16(), value(&broken)["error"]["code"].clone()), (400, json!(-32700)));
}

#[tokio::test]
async fn a_call_of_the_newest_legacy_revision_is_a_stream_that_can_be_resumed() {
    let mut server = almanac().await;
    let session = server.session("2025-11-25").await;
    let headers = [("mcp-session-id", session.as_str()), ("mcp-protocol-version", "2025-11-25")];
    let call = legacy(
        "tools/call",
        &json!({"name": "moon_calendar", "arguments": {"date": "2026-11-25", "days": 2},
        "_meta": {"progressToken": 5}}),
    );
    let stream = server.post(&headers, &call).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let events: Vec<&str> = text(&stream).split_terminator("\n\n").collect();
    assert_eq!(events.len(), 4, "priming, two of progress, the answer: {events:?}");
    assert_eq!(events[0], "id: 1-0\nretry: 1000\ndata:");
    assert!(events[3].starts_with("id: 1-3\ndata: {"), "{events:?}");
    let resumed = server.send(Method::GET, &[headers[0], ("last-event-id", "1-2")], "").await;
    assert_eq!(text(&resumed), format!("{}\n\n", events[3]));
    for unknown in ["1-9", "7-0", "x"] {
        let refused = server.send(Method::GET, &[headers[0], ("last-event-id", unknown)], "").await;
        assert_eq!(refused.status(), 400, "{unknown}");
    }
}

#[tokio::test]
async fn older_legacy_revisions_get_json_or_a_stream_without_priming() {
    let mut server = almanac().await;
    let session = server.session("2025-06-18").await;
    let headers = [("mcp-session-id", session.as_str())];
    let mut call =
        legacy("tools/call", &json!({"name": "moon_calendar", "arguments": {"date": "2026-11-25", "days": 1}}));
    let plain = server.post(&headers, &call).await;
    assert_eq!(plain.headers()["content-type"], "application/json");
    assert_eq!(value(&plain)["result"]["isError"], false);
    call["params"]["_meta"]["progressToken"] = json!("p");
    let stream = server.post(&headers, &call).await;
    assert!(text(&stream).starts_with("data: {") && !text(&stream).contains("id: "), "{}", text(&stream));
}

#[tokio::test]
async fn a_session_must_be_named_and_ends_with_delete() {
    let mut server = almanac().await;
    let list = legacy("tools/list", &json!({}));
    assert_eq!(server.post(&[], &list).await.status(), 400);
    assert_eq!(server.post(&[("mcp-session-id", "unknown")], &list).await.status(), 404);
    let session = server.session("2025-11-25").await;
    let headers = [("mcp-session-id", session.as_str())];
    assert_eq!(server.post(&headers, &list).await.status(), 200);
    assert_eq!(server.send(Method::DELETE, &headers, "").await.status(), 204);
    assert_eq!(server.post(&headers, &list).await.status(), 404);
}

#[tokio::test]
async fn a_legacy_call_goes_on_without_its_client_and_its_answer_is_kept() {
    let mut server = almanac().await;
    let session = server.session("2025-11-25").await;
    let headers = [("mcp-session-id", session.as_str())];
    let call = legacy("tools/call", &json!({"name": "moon_calendar", "arguments": {"date": "2026-11-25", "days": 4}}));
    let leaving = tokio::time::timeout(Duration::from_millis(80), server.post(&headers, &call)).await;
    assert!(leaving.is_err(), "four days take longer than that");
    let resumed = server.send(Method::GET, &[headers[0], ("last-event-id", "1-0")], "").await;
    assert!(text(&resumed).contains("structuredContent"), "{}", text(&resumed));
}

#[tokio::test]
async fn a_cancelled_legacy_call_ends_without_an_answer() {
    let mut server = almanac().await;
    let session = server.session("2025-11-25").await;
    let headers = [("mcp-session-id", session.as_str())];
    let call = legacy("tools/call", &json!({"name": "moon_calendar", "arguments": {"date": "2026-11-25", "days": 60}}));
    let mut other = Running { client: client(&server.url), url: server.url.clone(), _tasks: JoinSet::new() };
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let cancelling = async {
        // Until the call is at work, its id may be used by another; then it may not.
        while other.post(&headers, &legacy("ping", &json!({}))).await.status() == 200 {
            tokio::task::yield_now().await;
        }
        other.post(&headers, &cancel).await
    };
    let (stream, cancelled) = tokio::join!(server.post(&headers, &call), cancelling);
    assert_eq!(cancelled.status(), 202);
    assert_eq!(text(&stream), "id: 1-0\nretry: 1000\ndata:\n\n");
}

#[tokio::test]
async fn foreign_hosts_and_origins_methods_and_types_are_refused() {
    let mut server = almanac().await;
    let evil = [MOON[0], MOON[1], MOON[2], ("origin", "https://evil.example")];
    assert_eq!(server.post(&evil, &moon()).await.status(), 403);
    assert_eq!(server.send(Method::PUT, &[], "").await.status(), 405);
    assert_eq!(server.send(Method::GET, &[], "").await.status(), 405);
    let mut request = Request::post(server.url.clone()).header("content-type", "text/plain");
    assert_eq!(server.client.send(request.body(Bytes::new()).unwrap()).await.unwrap().status(), 415);
    request = Request::post(server.url.clone()).header("content-type", "application/json");
    assert_eq!(server.client.send(request.body(Bytes::new()).unwrap()).await.unwrap().status(), 406);
}
