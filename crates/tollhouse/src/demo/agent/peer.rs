//! One MCP client of one server, over streamable HTTP, in one era.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use serde_json::{Value, json};
use tollhouse_core::era::{Era, Version};

use crate::client::{Client, Error};

/// The demonstration's slowest tool takes under a second; a child that has to start first, a few.
const PATIENCE: Duration = Duration::from_secs(40);
const SESSION: &str = "mcp-session-id";

/// A client that speaks one era.
pub(super) struct Peer {
    client: Client,
    url: Uri,
    era: Era,
    session: Option<HeaderValue>,
    last_id: u64,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A result.
    Answered,
    /// A result in which the tool says no.
    Declined,
    /// A protocol error, by its code.
    Error(i64),
    /// An HTTP answer without a message for us.
    Status(StatusCode),
    /// No answer, and why.
    Lost(String),
}

impl Outcome {
    /// Whether the peer answered as a peer does.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Self::Answered | Self::Declined)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => f.write_str("ok"),
            Self::Declined => f.write_str("the tool said no"),
            Self::Error(code) => write!(f, "error {code}"),
            Self::Status(status) => write!(f, "HTTP {}", status.as_u16()),
            Self::Lost(why) => write!(f, "no answer: {why}"),
        }
    }
}

/// What came back.
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// Of the bodies, both ways.
    pub(super) bytes: usize,
    /// The result, or null.
    pub(super) result: Value,
}

impl Peer {
    pub(super) fn new(url: &Uri, era: Era) -> Result<Self, Error> {
        Ok(Self { client: Client::new(url, PATIENCE)?, url: url.clone(), era, session: None, last_id: 0 })
    }

    pub(super) fn era(&self) -> Era {
        self.era
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn ask(&mut self, method: &str, mut params: Value) -> Answer {
        self.last_id += 1;
        self.introduce(method, &mut params);
        let name = params.get(if method == "resources/read" { "uri" } else { "name" });
        let name = name.and_then(Value::as_str).map(str::to_owned);
        let id = self.last_id;
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        let sent = body.len();
        let request = self.post(method, name.as_deref(), body);
        let response = match self.client.send(request).await {
            Ok(response) => response,
            Err(error) => {
                return Answer { outcome: Outcome::Lost(error.to_string()), bytes: sent, result: Value::Null };
            }
        };
        let bytes = sent + response.body().len();
        let (outcome, result) = read(&response, id);
        if method == "initialize" && outcome == Outcome::Answered {
            self.session = response.headers().get(SESSION).cloned();
            let greeting = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
            // Whether it was heard shows with the next request.
            let _ = self.client.send(self.post("notifications/initialized", None, greeting)).await;
        }
        Answer { outcome, bytes, result }
    }

    /// Ends the session, if there is one.
    pub(super) async fn leave(&mut self) -> Result<(), Error> {
        let Some(session) = self.session.take() else { return Ok(()) };
        let request = Request::builder().method(Method::DELETE).uri(self.url.clone()).header(SESSION, session);
        let request = request.body(Bytes::new()).expect("every header was accepted before");
        self.client.send(request).await.map(drop)
    }

    /// Adds what the era wants to know of its client.
    fn introduce(&self, method: &str, params: &mut Value) {
        let info = json!({"name": "tollhouse-demo", "version": env!("CARGO_PKG_VERSION")});
        match self.era {
            Era::Legacy if method == "initialize" => {
                *params = json!({
                    "protocolVersion": Version::LATEST_LEGACY.as_str(),
                    "capabilities": {},
                    "clientInfo": info,
                });
            }
            Era::Legacy => {}
            Era::Modern => {
                params["_meta"] = json!({
                    "io.modelcontextprotocol/protocolVersion": Version::MODERN.as_str(),
                    "io.modelcontextprotocol/clientCapabilities": {},
                    "io.modelcontextprotocol/clientInfo": info,
                });
            }
        }
        if params["name"] == "moon_calendar" {
            params["_meta"]["progressToken"] = json!(self.last_id);
        }
    }

    fn post(&self, method: &str, name: Option<&str>, body: String) -> Request<Bytes> {
        let mut request = Request::post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream");
        if let Some(session) = &self.session {
            request = request.header(SESSION, session);
        }
        match self.era {
            Era::Modern => {
                request = request.header("mcp-protocol-version", Version::MODERN.as_str()).header("mcp-method", method);
                if let Some(name) = name {
                    request = request.header("mcp-name", name);
                }
            }
            // MCP 2025-06-18, basic/transports: every request after the first names the revision agreed on.
            Era::Legacy if method != "initialize" => {
                request = request.header("mcp-protocol-version", Version::LATEST_LEGACY.as_str());
            }
            Era::Legacy => {}
        }
        request.body(Bytes::from(body)).expect("methods and names of the script are visible ASCII")
    }
}

fn read(response: &Response<Bytes>, id: u64) -> (Outcome, Value) {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let messages =
        if kind.starts_with("text/event-stream") { events(response.body()) } else { vec![response.body().to_vec()] };
    let answer = messages
        .iter()
        .filter_map(|message| serde_json::from_slice::<Value>(message).ok())
        .find(|message| message["id"] == id);
    let Some(mut answer) = answer else { return (Outcome::Status(response.status()), Value::Null) };
    match answer["error"]["code"].as_i64() {
        Some(code) => (Outcome::Error(code), Value::Null),
        None if answer["result"]["isError"] == true => (Outcome::Declined, answer["result"].take()),
        None => (Outcome::Answered, answer["result"].take()),
    }
}

/// The data of each event of a stream that has ended.
fn events(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    for line in stream.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        if line.is_empty() {
            events.push(std::mem::take(&mut data));
        } else if let Some(more) = line.strip_prefix(b"data:") {
            data.extend_from_slice(more);
        }
    }
    events.retain(|event| !event.is_empty());
    events
}
