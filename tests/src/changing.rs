//! A server over HTTP whose lists and resources change when a test says so, and that tells of it in either era.
//!
//! It takes as many words for it as a test wants, or says it with every list it gives.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::echo::{Eras, Message};
use crate::http::{Head, Reader};
use crate::upstream::Server;

/// Messages that wait for a reader: more than any storm here has.
const WAITING: usize = 50_000;

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A server that offers the tool `echo`, and whatever else it is told to.
pub(crate) async fn changing(eras: Eras) -> Changing {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound listener has an address");
    let shared = Arc::new(Shared { eras, state: Mutex::default(), lists: AtomicUsize::new(0) });
    let mut changing = Changing { address, shared, tasks: JoinSet::new() };
    changing.tasks.spawn(accept(listener, Arc::clone(&changing.shared)));
    changing
}

/// A running server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Changing {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    eras: Eras,
    state: Mutex<State>,
    lists: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    tools: Vec<String>,
    resources: Vec<String>,
    echoes: bool,
    /// Sessions and the resources they have subscribed to.
    sessions: BTreeMap<String, Vec<String>>,
    begun: usize,
    readers: Vec<Reads>,
}

/// Somebody who is told of changes.
#[derive(Debug)]
struct Reads {
    told: mpsc::Sender<String>,
    by: By,
}

#[derive(Debug)]
enum By {
    /// A modern listen: its id, and what it asked for.
    Listen(String, Value),
    /// The stream of a session.
    Session(String),
}

impl Changing {
    /// Has these tools from here on, beside `echo`.
    pub(crate) fn set_tools(&self, tools: &[&str]) {
        self.state().tools = tools.iter().map(|&name| name.to_owned()).collect();
    }

    /// Has these resources from here on.
    pub(crate) fn set_resources(&self, uris: &[&str]) {
        self.state().resources = uris.iter().map(|&uri| uri.to_owned()).collect();
    }

    /// Says with every list of tools that it has changed.
    pub(crate) fn echo_lists(&self) {
        self.state().echoes = true;
    }

    /// Says that a list has changed: `tools`, `prompts` or `resources`.
    pub(crate) fn announce(&self, what: &str) {
        self.state().announce(what);
    }

    /// Says that a resource has changed.
    pub(crate) fn update(&self, uri: &str) {
        let mut state = self.state();
        let State { sessions, readers, .. } = &mut *state;
        readers.retain(|reader| {
            let asked = match &reader.by {
                By::Listen(_, filter) => filter["resourceSubscriptions"]
                    .as_array()
                    .is_some_and(|asked| asked.iter().any(|asked| asked == uri)),
                By::Session(id) => sessions.get(id).is_some_and(|uris| uris.iter().any(|asked| asked == uri)),
            };
            !asked || reader.tell("notifications/resources/updated", json!({"uri": uri}))
        });
    }

    /// How many lists of tools it has given.
    pub(crate) fn lists(&self) -> usize {
        self.shared.lists.load(Ordering::SeqCst)
    }

    /// The filters of the modern listens that are open.
    pub(crate) fn listens(&self) -> Vec<Value> {
        let mut state = self.state();
        state.readers.retain(|reader| !reader.told.is_closed());
        let filter = |reader: &Reads| match &reader.by {
            By::Listen(_, filter) => Some(filter.clone()),
            By::Session(_) => None,
        };
        state.readers.iter().filter_map(filter).collect()
    }

    /// How many streams of sessions are read.
    pub(crate) fn streams(&self) -> usize {
        let mut state = self.state();
        state.readers.retain(|reader| !reader.told.is_closed());
        state.readers.iter().filter(|reader| matches!(reader.by, By::Session(_))).count()
    }

    /// Dies: nobody is answered, all connections break, all sessions are forgotten.
    pub(crate) async fn die(&mut self) {
        self.tasks.shutdown().await;
        let mut state = self.state();
        state.sessions.clear();
        state.readers.clear();
    }

    /// Comes back at the same address.
    pub(crate) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("its port is still free");
        self.tasks.spawn(accept(listener, Arc::clone(&self.shared)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Server for Changing {
    fn yaml(&self) -> Vec<String> {
        vec![format!("url: http://{}/mcp", self.address)]
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the lock")
    }
}

impl State {
    fn announce(&mut self, what: &str) {
        self.readers.retain(|reader| {
            let asked = match &reader.by {
                By::Listen(_, filter) => filter[format!("{what}ListChanged")] == true,
                By::Session(_) => true,
            };
            !asked || reader.tell(&format!("notifications/{what}/list_changed"), json!({}))
        });
    }
}

impl Reads {
    /// False if it has left.
    fn tell(&self, method: &str, mut params: Value) -> bool {
        if let By::Listen(id, _) = &self.by {
            let id: Value = serde_json::from_str(id).expect("an id is JSON");
            params["_meta"] = json!({SUBSCRIPTION: id});
        }
        self.told.try_send(json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()).is_ok()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a bound listener accepts");
        connections.spawn(serve(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// Serves one connection, request after request.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let (read, mut write) = stream.into_split();
    let mut reader = Reader::new(read);
    while let Some(head) = reader.head(true).await {
        let body = String::from_utf8_lossy(&reader.rest().await).into_owned();
        let answer = match answer(&head, &body, &shared) {
            Answer::Whole(text) => text,
            Answer::Stream(first, told) => {
                // Whichever ends first: the client has left, or nobody tells any more.
                tokio::select! {
                    () = stream_to(&mut write, first, told) => {}
                    () = reader.closed() => {}
                }
                return;
            }
        };
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

enum Answer {
    Whole(String),
    /// What is said first, and then.
    Stream(Option<String>, mpsc::Receiver<String>),
}

async fn stream_to(write: &mut OwnedWriteHalf, first: Option<String>, mut told: mpsc::Receiver<String>) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    if write.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    let mut next = first;
    loop {
        let message = match next.take() {
            Some(message) => message,
            None => match told.recv().await {
                Some(message) => message,
                None => return,
            },
        };
        let event = format!("data: {message}\n\n");
        if write.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(head: &Head, body: &str, shared: &Shared) -> Answer {
    let whole = |status: &str, fields: &str, body: &str| {
        let length = body.len();
        Answer::Whole(format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        ))
    };
    let session = head.get("mcp-session-id").to_owned();
    let known = shared.state().sessions.contains_key(&session);
    if head.line.starts_with("GET") {
        if !known {
            return whole("404 Not Found", "", "");
        }
        let (told, receiver) = mpsc::channel(WAITING);
        shared.state().readers.push(Reads { told, by: By::Session(session) });
        return Answer::Stream(None, receiver);
    }
    let Some(message) = Message::parse(body) else { return whole("200 OK", "", "") };
    let Some(id) = message.id.clone() else { return whole("202 Accepted", "", "") };
    let modern = message.modern() && shared.eras != Eras::Legacy;
    if !modern && message.method == "initialize" && shared.eras != Eras::Modern {
        let mut state = shared.state();
        state.begun += 1;
        let session = format!("session-{}", state.begun);
        state.sessions.insert(session.clone(), Vec::new());
        let version = message.params["protocolVersion"].clone();
        let result = json!({"protocolVersion": version, "capabilities": capabilities(), "serverInfo": {"name": "changing", "version": "1"}});
        return whole("200 OK", &format!("Mcp-Session-Id: {session}\r\n"), &message.result(&result.to_string()));
    }
    if !modern && !known {
        let status = if session.is_empty() { "400 Bad Request" } else { "404 Not Found" };
        return whole(status, "", &message.error(-32600, "no such session"));
    }
    if modern && message.method == "subscriptions/listen" {
        let filter = message.params["notifications"].clone();
        let raw_id: Value = serde_json::from_str(&id).expect("an id is JSON");
        let params = json!({"notifications": filter, "_meta": {SUBSCRIPTION: raw_id}});
        let acknowledged =
            json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params});
        let (told, receiver) = mpsc::channel(WAITING);
        shared.state().readers.push(Reads { told, by: By::Listen(id, filter) });
        return Answer::Stream(Some(acknowledged.to_string()), receiver);
    }
    whole("200 OK", "", &result(&message, &session, shared))
}

fn capabilities() -> Value {
    json!({"tools": {"listChanged": true}, "resources": {"listChanged": true, "subscribe": true}})
}

fn result(message: &Message, session: &str, shared: &Shared) -> String {
    let mut state = shared.state();
    let finished = |mut result: Value| {
        if message.modern() {
            result["resultType"] = json!("complete");
            result["ttlMs"] = json!(0);
            result["cacheScope"] = json!("private");
        }
        message.result(&result.to_string())
    };
    match message.method.as_str() {
        "server/discover" if shared.eras != Eras::Legacy => {
            finished(json!({"supportedVersions": [crate::echo::MODERN], "capabilities": capabilities()}))
        }
        "tools/list" => {
            shared.lists.fetch_add(1, Ordering::SeqCst);
            let names = ["echo"].into_iter().chain(state.tools.iter().map(String::as_str));
            let tools: Vec<Value> =
                names.map(|name| json!({"name": name, "inputSchema": {"type": "object"}})).collect();
            if state.echoes {
                state.announce("tools");
            }
            finished(json!({"tools": tools}))
        }
        "resources/list" => {
            let resources: Vec<Value> = state.resources.iter().map(|uri| json!({"uri": uri, "name": uri})).collect();
            finished(json!({"resources": resources}))
        }
        "resources/subscribe" => {
            let uri = message.params["uri"].as_str().unwrap_or_default().to_owned();
            state.sessions.entry(session.to_owned()).or_default().push(uri);
            finished(json!({}))
        }
        _ => message.answer(shared.eras).unwrap_or_default(),
    }
}
