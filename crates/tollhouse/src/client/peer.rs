//! One MCP client of one server, over streamable HTTP, in one era.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use serde_json::{Value, json};
use tollhouse_core::era::{Era, Version};
use tollhouse_core::wire::header::encode_name;

use super::{Client, Error};

const SESSION: &str = "mcp-session-id";

/// A client that speaks one era.
pub(crate) struct Peer {
    client: Client,
    url: Uri,
    /// What it calls itself.
    name: &'static str,
    era: Era,
    session: Option<HeaderValue>,
    last_id: u64,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A result.
    Answered,
    /// A result in which the tool says no.
    Declined,
    /// A protocol error: its code, and what it says.
    Error(i64, String),
    /// An HTTP answer without a message for us.
    Status(StatusCode),
    /// No answer, and why.
    Lost(String),
}

impl Outcome {
    /// Whether the peer answered as a peer does.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(self, Self::Answered | Self::Declined)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => f.write_str("ok"),
            Self::Declined => f.write_str("the tool said no"),
            Self::Error(code, _) => write!(f, "error {code}"),
            Self::Status(status) => write!(f, "HTTP {}", status.as_u16()),
            Self::Lost(why) => write!(f, "no answer: {why}"),
        }
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    /// Of the bodies, both ways.
    pub(crate) bytes: usize,
    /// The result, or null.
    pub(crate) result: Value,
}

impl Peer {
    /// A client of that name of the server at `url`; each request may take `patience`. Nothing is sent yet.
    pub(crate) fn new(url: &Uri, era: Era, name: &'static str, patience: Duration) -> Result<Self, Error> {
        Ok(Self { client: Client::new(url, patience)?, url: url.clone(), name, era, session: None, last_id: 0 })
    }

    /// One that has found out which era is spoken at `url`: the modern one, or else the legacy one.
    ///
    /// # Errors
    /// What became of the modern greeting, where neither is answered.
    pub(crate) async fn greeted(
        url: &Uri,
        name: &'static str,
        patience: Duration,
    ) -> Result<Result<Self, Outcome>, Error> {
        let mut modern = Self::new(url, Era::Modern, name, patience)?;
        let outcome = modern.ask("server/discover", json!({})).await.outcome;
        if matches!(outcome, Outcome::Answered) {
            return Ok(Ok(modern));
        }
        if matches!(outcome, Outcome::Lost(_)) {
            return Ok(Err(outcome));
        }
        let mut legacy = Self::new(url, Era::Legacy, name, patience)?;
        let answered = legacy.ask("initialize", json!({})).await.outcome == Outcome::Answered;
        Ok(if answered { Ok(legacy) } else { Err(outcome) })
    }

    pub(crate) fn era(&self) -> Era {
        self.era
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Answer {
        self.ask_with(method, params, &[]).await
    }

    /// The same with more headers, as the modern era wants them beside some arguments.
    pub(crate) async fn ask_with(
        &mut self,
        method: &str,
        mut params: Value,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Answer {
        self.last_id += 1;
        self.introduce(method, &mut params);
        let name = params.get(if method == "resources/read" { "uri" } else { "name" });
        let name = name.and_then(Value::as_str).map(str::to_owned);
        let id = self.last_id;
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        let sent = body.len();
        let mut request = self.post(method, name.as_deref(), body);
        if self.era == Era::Modern {
            request.headers_mut().extend(headers.iter().cloned());
        }
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
    pub(crate) async fn leave(&mut self) -> Result<(), Error> {
        let Some(session) = self.session.take() else { return Ok(()) };
        let request = Request::builder().method(Method::DELETE).uri(self.url.clone()).header(SESSION, session);
        let request = request.body(Bytes::new()).expect("every header was accepted before");
        self.client.send(request).await.map(drop)
    }

    /// Adds what the era wants to know of its client.
    fn introduce(&self, method: &str, params: &mut Value) {
        let info = json!({"name": self.name, "version": env!("CARGO_PKG_VERSION")});
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
                params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(Version::MODERN.as_str());
                params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
                params["_meta"]["io.modelcontextprotocol/clientInfo"] = info;
            }
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
                    request = request.header("mcp-name", encode_name(name).as_ref());
                }
            }
            // MCP 2025-06-18, basic/transports: every request after the first names the revision agreed on.
            Era::Legacy if method != "initialize" => {
                request = request.header("mcp-protocol-version", Version::LATEST_LEGACY.as_str());
            }
            Era::Legacy => {}
        }
        request.body(Bytes::from(body)).expect("methods are visible ASCII, and names are written so")
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
        Some(code) => {
            let message = answer["error"]["message"].as_str().unwrap_or_default().to_owned();
            (Outcome::Error(code, message), Value::Null)
        }
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
