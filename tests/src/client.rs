//! Clients over HTTP, of both eras, that see every message as it was written.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use serde_json::value::RawValue;

use crate::echo::MODERN;
use crate::gateway::Gateway;
use crate::http::{Head, Request, Response, Wire, post, request, status};
use crate::wait::soon;

/// A client that speaks 2026-07-28 to the tested server.
pub(crate) fn modern(gateway: &Gateway) -> Client {
    Client::new(gateway, MODERN)
}

/// A client of a legacy revision that has no session yet.
pub(crate) fn legacy_client(gateway: &Gateway, version: &str) -> Client {
    Client::new(gateway, version)
}

/// A client that has opened a session of this revision with the tested server.
pub(crate) async fn legacy(gateway: &Gateway, version: &str) -> Client {
    legacy_at(gateway, &gateway.path(), version).await
}

/// A client that has opened a session of this revision at `path`.
pub(crate) async fn legacy_at(gateway: &Gateway, path: &str, version: &str) -> Client {
    let mut client = legacy_client(gateway, version).at(path);
    let params = format!(
        r#"{{"protocolVersion":"{version}","capabilities":{{}},"clientInfo":{{"name":"tests","version":"1"}}}}"#
    );
    let answer = client.message("initialize").params(&params).send().await;
    assert_eq!(answer.status(), 200, "the answer to initialize: {answer:?}");
    client.session = Some(answer.head.get("mcp-session-id").to_owned());
    assert_ne!(client.session.as_deref(), Some(""), "initialize gives a session id: {answer:?}");
    let accepted = client.notify("notifications/initialized", "{}").await;
    assert_eq!(accepted.status(), 202, "the answer to notifications/initialized");
    client
}

/// A client of one endpoint.
#[derive(Debug)]
pub(crate) struct Client {
    template: Request,
    address: SocketAddr,
    path: String,
    version: String,
    /// The legacy session; a test may set another.
    pub(crate) session: Option<String>,
    next_id: AtomicU64,
    idle: Mutex<Option<Wire>>,
}

impl Client {
    fn new(gateway: &Gateway, version: &str) -> Self {
        Self {
            template: post(gateway.mcp, &gateway.path()),
            address: gateway.mcp,
            path: gateway.path(),
            version: version.to_owned(),
            session: None,
            next_id: AtomicU64::new(0),
            idle: Mutex::new(None),
        }
    }

    /// The same client at another path.
    pub(crate) fn at(mut self, path: &str) -> Self {
        self.template = self.template.to(path);
        path.clone_into(&mut self.path);
        self
    }

    /// The same client, in the same session, on another connection.
    pub(crate) fn afresh(&self) -> Self {
        Self {
            template: self.template.clone(),
            address: self.address,
            path: self.path.clone(),
            version: self.version.clone(),
            session: self.session.clone(),
            next_id: AtomicU64::new(1000),
            idle: Mutex::new(None),
        }
    }

    /// Calls a tool and reads the whole answer.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.tool(tool).arguments(&arguments).send().await
    }

    /// A `tools/call` about to be sent.
    pub(crate) fn tool(&self, name: &str) -> Message<'_> {
        let mut message = self.message("tools/call");
        message.name = Some(name.to_owned());
        message
    }

    /// A request about to be sent; ids count from 0.
    pub(crate) fn message(&self, method: &str) -> Message<'_> {
        Message {
            client: self,
            id: Some(self.next_id.fetch_add(1, Ordering::Relaxed).to_string()),
            method: method.to_owned(),
            name: None,
            params: None,
            arguments: None,
            meta: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// Sends a notification.
    pub(crate) async fn notify(&self, method: &str, params: &str) -> Response {
        let mut message = self.message(method).params(params);
        message.id = None;
        message.request().send().await
    }

    /// Cancels the request of that id, as it was written.
    pub(crate) async fn cancel(&self, id: &str) -> Response {
        self.notify("notifications/cancelled", &format!(r#"{{"requestId":{id}}}"#)).await
    }

    /// A request of another verb on the endpoint, in this session.
    pub(crate) fn verb(&self, verb: &str) -> Request {
        self.dressed(request(self.address, verb, &self.path).field("Accept", "text/event-stream"))
    }

    /// A POST with this body, in this session.
    pub(crate) fn body(&self, body: &str) -> Request {
        self.dressed(self.template.clone()).body(body)
    }

    fn modern(&self) -> bool {
        self.version == MODERN
    }

    fn dressed(&self, request: Request) -> Request {
        match &self.session {
            Some(session) => request.field("MCP-Protocol-Version", &self.version).field("Mcp-Session-Id", session),
            None if self.modern() => request.field("MCP-Protocol-Version", &self.version),
            None => request,
        }
    }
}

/// A message about to be sent.
#[derive(Debug)]
pub(crate) struct Message<'c> {
    client: &'c Client,
    id: Option<String>,
    method: String,
    name: Option<String>,
    params: Option<String>,
    arguments: Option<String>,
    meta: Vec<(String, String)>,
    fields: Vec<(String, String)>,
}

impl Message<'_> {
    /// Sets the id, as it shall stand on the wire.
    pub(crate) fn id(mut self, raw: &str) -> Self {
        self.id = Some(raw.to_owned());
        self
    }

    /// Sets all params but `_meta`, as an object that shall stand on the wire.
    pub(crate) fn params(mut self, raw: &str) -> Self {
        self.params = Some(raw.to_owned());
        self
    }

    /// Sets the arguments.
    pub(crate) fn arguments(self, arguments: &Value) -> Self {
        self.raw_arguments(&arguments.to_string())
    }

    /// Sets the arguments, as they shall stand on the wire.
    pub(crate) fn raw_arguments(mut self, raw: &str) -> Self {
        self.arguments = Some(raw.to_owned());
        self
    }

    /// Adds a member of `_meta`, as it shall stand on the wire.
    pub(crate) fn meta(mut self, name: &str, raw: &str) -> Self {
        self.meta.push((name.to_owned(), raw.to_owned()));
        self
    }

    /// Sets an HTTP field, in place of the client's own.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The JSON text.
    pub(crate) fn text(&self) -> String {
        let mut meta = self.meta.clone();
        if self.client.modern() {
            let own = [
                ("protocolVersion", format!("\"{}\"", self.client.version)),
                ("clientCapabilities", "{}".to_owned()),
                ("clientInfo", r#"{"name":"tests","version":"1"}"#.to_owned()),
            ];
            for (name, raw) in own {
                let name = format!("io.modelcontextprotocol/{name}");
                if !meta.iter().any(|(own, _)| *own == name) {
                    meta.push((name, raw));
                }
            }
        }
        let mut params: Vec<String> = Vec::new();
        if let Some(raw) = &self.params {
            params.push(raw.trim().trim_start_matches('{').strip_suffix('}').expect("an object").to_owned());
            params.retain(|inner| !inner.trim().is_empty());
        }
        params.extend(self.name.as_ref().map(|name| format!(r#""name":{}"#, Value::from(name.as_str()))));
        params.extend(self.arguments.as_ref().map(|raw| format!(r#""arguments":{raw}"#)));
        if !meta.is_empty() {
            let members: Vec<String> = meta.iter().map(|(name, raw)| format!(r#""{name}":{raw}"#)).collect();
            params.push(format!(r#""_meta":{{{}}}"#, members.join(",")));
        }
        let id = self.id.as_ref().map(|id| format!(r#""id":{id},"#)).unwrap_or_default();
        format!(r#"{{"jsonrpc":"2.0",{id}"method":"{}","params":{{{}}}}}"#, self.method, params.join(","))
    }

    /// The HTTP request.
    pub(crate) fn request(&self) -> Request {
        let mut request = self.client.body(&self.text());
        if self.client.modern() {
            request = request.field("Mcp-Method", &self.method);
            if let Some(name) = &self.name {
                request = request.field("Mcp-Name", name);
            }
        }
        self.fields.iter().fold(request, |request, (name, value)| request.field(name, value))
    }

    /// Sends it, on the client's idle connection if there is one, and reads the whole answer.
    pub(crate) async fn send(&self) -> Answer {
        let mut stream = self.open().await;
        let answer = stream.rest().await;
        if stream.wire.whole {
            *self.client.idle.lock().expect("no test panics while it holds the lock") = Some(stream.wire);
        }
        answer
    }

    /// Sends it and reads the answer's head only. Dropping the stream disconnects.
    pub(crate) async fn open(&self) -> Stream {
        let mut wire = self.sent().await;
        let head = soon("the head of an answer", wire.head(false)).await;
        let head = head.expect("the gateway answers before it closes the connection");
        Stream::new(wire, head)
    }

    /// Sends it on a connection of its own that has room for next to nothing, and reads nothing.
    pub(crate) async fn sent_narrowly(&self) -> Wire {
        let mut wire = Wire::narrow(self.client.address).await;
        wire.write(&self.request().bytes()).await;
        wire
    }

    /// Sends it and reads nothing. Dropping the connection disconnects.
    pub(crate) async fn sent(&self) -> Wire {
        let idle = self.client.idle.lock().expect("no test panics while it holds the lock").take();
        let mut wire = match idle {
            Some(wire) => wire,
            None => Wire::connect(self.client.address).await,
        };
        wire.write(&self.request().bytes()).await;
        wire
    }
}

/// An SSE event, or a JSON body as if it were one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) retry: Option<String>,
    pub(crate) data: String,
}

/// An answer being read.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) head: Head,
    wire: Wire,
    unread: Vec<u8>,
}

impl Stream {
    fn new(wire: Wire, head: Head) -> Self {
        Self { head, wire, unread: Vec::new() }
    }

    /// Goes on with an answer whose request was [sent](Message::sent).
    pub(crate) async fn of(mut wire: Wire) -> Self {
        let head = soon("the head of an answer", wire.head(false)).await;
        Self::new(wire, head.expect("the gateway answers before it closes the connection"))
    }

    /// The next event; `None` at the end of the answer. Comments are skipped.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let sse = self.head.get("content-type").starts_with("text/event-stream");
        let mut event = Event::default();
        let mut fields = 0;
        let mut searched = 0;
        loop {
            if sse && let Some(end) = self.unread[searched..].iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=searched + end).collect();
                searched = 0;
                let line = String::from_utf8(line).expect("the gateway writes UTF-8");
                let line = line.trim_end_matches(['\r', '\n']);
                if line.is_empty() && fields > 0 {
                    return Some(event);
                }
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
                match name {
                    "id" => event.id = Some(value),
                    "retry" => event.retry = Some(value),
                    "data" if event.data.is_empty() => event.data = value,
                    "data" => event.data = format!("{}\n{value}", event.data),
                    // `event: message` says nothing, and comments and blank lines say less.
                    _ => continue,
                }
                fields += 1;
                continue;
            }
            searched = self.unread.len();
            match soon("more of an answer", self.wire.piece()).await {
                Some(piece) => self.unread.extend(piece),
                None if sse || self.unread.is_empty() => return None,
                None => {
                    let data = String::from_utf8(std::mem::take(&mut self.unread)).expect("the gateway writes UTF-8");
                    return Some(Event { data, ..Event::default() });
                }
            }
        }
    }

    /// Everything up to the end of the answer.
    pub(crate) async fn rest(&mut self) -> Answer {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        Answer { head: self.head.clone(), events, whole: self.wire.whole }
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) events: Vec<Event>,
    /// It ended as its framing says it should.
    pub(crate) whole: bool,
}

impl Answer {
    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        status(&self.head)
    }

    /// Results and errors among its messages, as they were written.
    pub(crate) fn finals(&self) -> Vec<&str> {
        let is_final = |text: &&str| {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
            members.contains_key("result") || members.contains_key("error")
        };
        self.events.iter().map(|event| event.data.as_str()).filter(is_final).collect()
    }

    /// The messages that are no finals.
    pub(crate) fn others(&self) -> Vec<Value> {
        let finals = self.finals();
        let others =
            self.events.iter().filter(|event| !event.data.is_empty() && !finals.contains(&event.data.as_str()));
        others.map(|event| serde_json::from_str(&event.data).expect("every message is JSON")).collect()
    }

    /// The one final; `null` if there is none, or more than one. What no [`Value`] can hold, such as a number of 400
    /// digits in `structuredContent`, is `null` in it.
    pub(crate) fn json(&self) -> Value {
        let [only] = self.finals()[..] else { return Value::Null };
        let message: BTreeMap<String, &RawValue> = serde_json::from_str(only).expect("a final is an object");
        let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get());
        let shallow = |raw: &RawValue| {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
            members.into_iter().map(|(name, raw)| (name, value(raw).unwrap_or_default())).collect()
        };
        message.into_iter().map(|(name, raw)| (name, value(raw).unwrap_or_else(|_| shallow(raw)))).collect()
    }

    /// The id of the one final, as it was written.
    pub(crate) fn raw_id(&self) -> String {
        match self.finals()[..] {
            [only] => {
                let members: BTreeMap<String, &RawValue> = serde_json::from_str(only).expect("every message is JSON");
                members.get("id").map_or("none", |id| id.get()).to_owned()
            }
            _ => "no single final".to_owned(),
        }
    }

    /// HTTP status and JSON-RPC error code (0 without one).
    pub(crate) fn refusal(&self) -> (u16, i64) {
        (self.status(), self.json()["error"]["code"].as_i64().unwrap_or(0))
    }

    /// The first text of the result.
    pub(crate) fn text(&self) -> String {
        self.json()["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()
    }

    /// What became of the call, as the caller can tell: `ok`, `tool_error`, `not_executed`, `unknown`, `error`, or
    /// how many finals there are if it is not one.
    pub(crate) fn outcome(&self) -> String {
        let message = self.json();
        let told = |holder: &Value, name: &str| holder[name].as_str().map(ToOwned::to_owned);
        match (message.get("result"), message.get("error")) {
            (Some(result), _) => {
                let failed = if result["isError"] == true { "tool_error" } else { "ok" };
                told(&result["_meta"], "dev.tollhouse/outcome").unwrap_or_else(|| failed.to_owned())
            }
            (_, Some(error)) => told(&error["data"], "outcome").unwrap_or_else(|| "error".to_owned()),
            _ => format!("{} finals", self.finals().len()),
        }
    }
}
