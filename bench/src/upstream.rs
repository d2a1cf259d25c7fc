//! The MCP echo server that every row of the comparison calls in the end.
//!
//! It must cost little and the same for every row, so answers are put together from the request's own bytes: the
//! id and the text go back exactly as they came, in any spelling. It speaks both eras, locks none, keeps no
//! session (an id is handed out and never asked for), and always answers plain JSON.

use std::cell::Cell;
use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use crate::call::{LEGACY_VERSIONS, META_VERSION, MODERN_VERSION};

/// Read from stdin at once: what a pipe holds.
const PIPE_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    method: String,
    #[serde(borrow, default)]
    params: Params<'a>,
}

/// The members of all methods served; which of them count depends on the method.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Params<'a> {
    name: Option<String>,
    #[serde(borrow)]
    arguments: Arguments<'a>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(rename = "protocolVersion")]
    protocol_version: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Arguments<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

/// What goes back for one message.
struct Reply {
    status: StatusCode,
    opens_session: bool,
    /// Empty for a message that has no answer.
    body: Vec<u8>,
}

/// Answers messages over streamable HTTP until the process is ended.
pub(crate) async fn http(listen: SocketAddr, tools: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    let tools = Rc::new(tool_list(tools));
    let sessions = Rc::new(Cell::new(0_u64));
    let local = LocalSet::new();
    local
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let (tools, sessions) = (Rc::clone(&tools), Rc::clone(&sessions));
                let service = service_fn(move |request| exchange(request, Rc::clone(&tools), Rc::clone(&sessions)));
                tokio::task::spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        })
        .await
}

async fn exchange(
    request: Request<Incoming>,
    tools: Rc<String>,
    sessions: Rc<Cell<u64>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    match *request.method() {
        Method::POST => {}
        Method::DELETE => return Ok(response),
        _ => {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, DELETE"));
            return Ok(response);
        }
    }
    let Ok(body) = request.into_body().collect().await else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(response);
    };
    let reply = answer(&body.to_bytes(), &tools);
    *response.status_mut() = reply.status;
    if reply.opens_session {
        sessions.set(sessions.get() + 1);
        let id =
            HeaderValue::from_str(&format!("bench-{:016x}", sessions.get())).expect("hex digits are visible ASCII");
        response.headers_mut().insert("mcp-session-id", id);
    }
    if !reply.body.is_empty() {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *response.body_mut() = Full::new(Bytes::from(reply.body));
    }
    Ok(response)
}

/// Answers one message a line until stdin ends; the answers to what was read at once are written at once.
pub(crate) fn stdio(tools: usize) -> anyhow::Result<()> {
    let tools = tool_list(tools);
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut unread = Vec::new();
    let mut block = vec![0; PIPE_BYTES];
    let mut answers = Vec::new();
    loop {
        let count = input.read(&mut block).context("read stdin")?;
        if count == 0 {
            return Ok(());
        }
        // What is left from before holds no line end: only the new bytes are searched.
        let searched = unread.len();
        unread.extend_from_slice(&block[..count]);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &unread[searched..]) {
            let end = searched + end;
            let reply = answer(&unread[start..end], &tools);
            if !reply.body.is_empty() {
                answers.extend_from_slice(&reply.body);
                answers.push(b'\n');
            }
            start = end + 1;
        }
        unread.drain(..start);
        if !answers.is_empty() {
            output.write_all(&answers).and_then(|()| output.flush()).context("write stdout")?;
            answers.clear();
        }
    }
}

fn answer(message: &[u8], tools: &str) -> Reply {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(message) else {
        let body = br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"not a message"}}"#;
        return Reply { status: StatusCode::BAD_REQUEST, opens_session: false, body: body.to_vec() };
    };
    let Some(id) = envelope.id.map(RawValue::get) else {
        return Reply { status: StatusCode::ACCEPTED, opens_session: false, body: Vec::new() };
    };
    let params = envelope.params;
    let modern = params.meta.is_some_and(|meta| memchr::memmem::find(meta.get().as_bytes(), META_VERSION).is_some());
    let complete = if modern { r#""resultType":"complete","# } else { "" };
    let cached = if modern { r#","ttlMs":60000,"cacheScope":"public""# } else { "" };
    let reply = |body: Vec<u8>| Reply { status: StatusCode::OK, opens_session: false, body };
    let result = |members: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{members}}}}}"#).into_bytes();

    match (envelope.method.as_str(), params.name.as_deref(), params.arguments.text) {
        ("tools/call", Some("echo"), Some(text)) => {
            let text = text.get();
            let mut body = Vec::with_capacity(text.len() + id.len() + 128);
            for part in [
                r#"{"jsonrpc":"2.0","id":"#,
                id,
                r#","result":{"#,
                complete,
                r#""content":[{"type":"text","text":"#,
                text,
                r#"}],"isError":false}}"#,
            ] {
                body.extend_from_slice(part.as_bytes());
            }
            reply(body)
        }
        ("tools/call", ..) => reply(fault(id, -32602, "name is not `echo`, or no argument `text`")),
        ("tools/list", ..) => reply(result(&format!(r#"{complete}"tools":{tools}{cached}"#))),
        ("server/discover", ..) => reply(result(&format!(
            r#"{complete}"supportedVersions":["{MODERN_VERSION}"],"capabilities":{{"tools":{{}}}},"_meta":{{"io.modelcontextprotocol/serverInfo":{{"name":"bench","version":"1"}}}}{cached}"#
        ))),
        ("initialize", ..) => {
            let asked = params.protocol_version.unwrap_or_default();
            let version = LEGACY_VERSIONS.iter().find(|known| **known == asked).unwrap_or(&"2025-11-25");
            let body = result(&format!(
                r#""protocolVersion":"{version}","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"bench","version":"1"}}"#
            ));
            Reply { status: StatusCode::OK, opens_session: true, body }
        }
        ("ping", ..) => reply(result("")),
        _ => {
            // MCP 2026-07-28, streamable HTTP: an unknown method is 404; to a legacy client that ends its session.
            let status = if modern { StatusCode::NOT_FOUND } else { StatusCode::OK };
            Reply { status, opens_session: false, body: fault(id, -32601, "method not found") }
        }
    }
}

fn fault(id: &str, code: i32, message: &str) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#).into_bytes()
}

/// `echo` first, then as many more as asked for, each with the description and schema a real tool carries.
fn tool_list(count: usize) -> String {
    let tools: Vec<String> = (0..count.max(1))
        .map(|number| {
            let name = if number == 0 { "echo".to_owned() } else { format!("tool_{number:04}") };
            format!(
                r#"{{"name":"{name}","description":"Returns its text unchanged; number {number} of the list.","inputSchema":{{"type":"object","properties":{{"text":{{"type":"string","description":"What to return."}}}},"required":["text"]}},"annotations":{{"readOnlyHint":true,"idempotentHint":true}}}}"#
            )
        })
        .collect();
    format!("[{}]", tools.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn json(message: &str, tools: usize) -> (u16, Value) {
        let reply = answer(message.as_bytes(), &tool_list(tools));
        (reply.status.as_u16(), serde_json::from_slice(&reply.body).expect("an answer is JSON"))
    }

    #[test]
    fn an_id_and_a_text_come_back_as_they_were_spelled() {
        let call =
            r#"{"id":"a\u0062","method":"tools/call","params":{"name":"echo","arguments":{"text":"x\u00e9\n"}}}"#;
        let reply = answer(call.as_bytes(), "[]");
        let body = String::from_utf8(reply.body).unwrap();
        assert!(body.contains(r#""id":"a\u0062","#) && body.contains(r#""text":"x\u00e9\n""#), "{body}");
    }

    #[test]
    fn only_a_modern_request_gets_a_result_type() {
        let modern = r#"{"id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        assert_eq!(json(modern, 3).1["result"]["resultType"], "complete");
        let (_, legacy) = json(r#"{"id":1,"method":"tools/list"}"#, 3);
        assert_eq!(legacy["result"]["resultType"], Value::Null);
        assert_eq!(legacy["result"]["tools"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn an_initialize_opens_a_session_in_the_version_asked_for() {
        let message = br#"{"id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;
        let reply = answer(message, "[]");
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert!(reply.opens_session);
        assert_eq!(body["result"]["protocolVersion"], "2025-06-18");
    }

    #[test]
    fn a_notification_has_no_answer_and_an_unknown_method_an_error_of_its_era() {
        let notification = answer(br#"{"method":"notifications/initialized"}"#, "[]");
        assert_eq!((notification.status.as_u16(), notification.body.len()), (202, 0));
        let (status, body) = json(r#"{"id":1,"method":"nope"}"#, 1);
        assert_eq!((status, &body["error"]["code"]), (200, &Value::from(-32601)));
        let modern =
            r#"{"id":1,"method":"nope","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        assert_eq!(json(modern, 1).0, 404);
        assert_eq!(json("{", 1).0, 400);
    }
}
