//! Both ends of HTTP+SSE: a client of the gateway, and a server behind it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::echo::{Eras, Message};
use crate::gateway::Gateway;
use crate::http::{Head, Reader, Response, Wire, post, request, status};
use crate::upstream::Server;
use crate::wait::{soon, until};

/// A client of HTTP+SSE. Dropping it closes its stream.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) head: Head,
    /// Where it posts to.
    pub(crate) address: String,
    gateway: SocketAddr,
    wire: Wire,
    unread: String,
}

/// A client whose stream is open at `path`.
pub(crate) async fn client(gateway: &Gateway, path: &str) -> Client {
    opened(gateway, path, Wire::connect(gateway.mcp).await).await
}

/// The same, over a connection that takes little ahead.
pub(crate) async fn narrow_client(gateway: &Gateway, path: &str) -> Client {
    opened(gateway, path, Wire::narrow(gateway.mcp).await).await
}

async fn opened(gateway: &Gateway, path: &str, mut wire: Wire) -> Client {
    wire.write(&request(gateway.mcp, "GET", path).field("Accept", "text/event-stream").bytes()).await;
    let head = soon("the head of a stream", wire.head(false)).await.expect("the gateway answers");
    assert_eq!(status(&head), 200, "a stream is opened: {head:?}");
    let mut client = Client { head, address: String::new(), gateway: gateway.mcp, wire, unread: String::new() };
    let (event, address) = client.event().await.expect("the first event");
    assert_eq!(event, "endpoint");
    client.address = address;
    client
}

impl Client {
    /// The next event: type and data; `None` at the end of the stream. Comments are skipped.
    pub(crate) async fn event(&mut self) -> Option<(String, String)> {
        loop {
            if let Some(end) = self.unread.find("\n\n") {
                let event: String = self.unread.drain(..end + 2).collect();
                let (mut kind, mut data) = (String::new(), Vec::new());
                for line in event.lines() {
                    match line.split_once(": ") {
                        Some(("event", value)) => value.clone_into(&mut kind),
                        Some(("data", value)) => data.push(value.to_owned()),
                        _ => {}
                    }
                }
                if !data.is_empty() {
                    return Some((kind, data.join("\n")));
                }
                continue;
            }
            let piece = soon("more of a stream", self.wire.piece()).await?;
            self.unread.push_str(&String::from_utf8(piece).expect("the gateway writes UTF-8, cut between messages"));
        }
    }

    /// The next message, as it was written.
    pub(crate) async fn raw(&mut self) -> String {
        let (event, data) = self.event().await.expect("the stream goes on");
        assert_eq!(event, "message");
        data
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Value {
        serde_json::from_str(&self.raw().await).expect("every message is JSON")
    }

    /// Posts a message, whatever it is.
    pub(crate) async fn post(&self, body: &str) -> Response {
        post(self.gateway, &self.address).without("Accept").body(body).send().await
    }

    /// Posts a message that is taken.
    pub(crate) async fn send(&self, body: &str) {
        let answer = self.post(body).await;
        assert_eq!(answer.status(), 202, "the answer to a POST: {answer:?}");
    }

    /// Opens a legacy conversation.
    pub(crate) async fn initialize(&mut self, version: &str) {
        let params = json!({
            "protocolVersion": version, "capabilities": {"roots": {}}, "clientInfo": {"name": "tests", "version": "1"}
        });
        self.send(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string()).await;
        let answer = self.message().await;
        assert_eq!(answer["result"]["protocolVersion"], version, "the answer to initialize: {answer}");
        self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    }

    /// Waits until the gateway ends the stream; what else it said.
    pub(crate) async fn rest(&mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        while let Some((_, data)) = self.event().await {
            messages.push(serde_json::from_str(&data).expect("every message is JSON"));
        }
        messages
    }

    /// Did the stream end as its framing says it should?
    pub(crate) fn whole(&self) -> bool {
        self.wire.whole
    }
}

/// A server of HTTP+SSE with the tool `echo`.
///
/// An argument `act` has a call do something else than to be answered at once: `progress` (two notifications first),
/// `ask` (a question first; the text of the result is what came back), `hold` (answered when
/// [released](Upstream::release)), `cut` (the stream ends instead), `big` (100 kB are answered).
pub(crate) fn server() -> Builder {
    Builder {
        transport: None,
        refuses: "404 Not Found",
        address: "/messages?session=$N",
        takes: "202 Accepted",
        late: false,
    }
}

/// A server about to be started.
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    transport: Option<&'static str>,
    refuses: &'static str,
    address: &'static str,
    takes: &'static str,
    late: bool,
}

impl Builder {
    /// The configuration names its transport.
    pub(crate) fn transport(mut self, word: &'static str) -> Self {
        self.transport = Some(word);
        self
    }

    /// Answers a POST to the URL of its stream with this status.
    pub(crate) fn refuses(mut self, status: &'static str) -> Self {
        self.refuses = status;
        self
    }

    /// Names this as where to post to. `$N` stands for the number of the stream.
    pub(crate) fn address(mut self, reference: &'static str) -> Self {
        self.address = reference;
        self
    }

    /// Answers a POST that it takes with this status.
    pub(crate) fn takes(mut self, status: &'static str) -> Self {
        self.takes = status;
        self
    }

    /// Answers a POST only after what was asked in it.
    pub(crate) fn late(mut self) -> Self {
        self.late = true;
        self
    }

    /// Starts it on a port of its own.
    pub(crate) async fn start(self) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            plan: self,
            streams: Mutex::default(),
            opened: AtomicUsize::new(0),
            received: Mutex::default(),
            asked: Mutex::default(),
            released: Semaphore::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Upstream { address, shared, _tasks: tasks }
    }
}

/// A running server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    plan: Builder,
    /// Open streams by their number; dropping a sender ends one.
    streams: Mutex<BTreeMap<usize, mpsc::Sender<String>>>,
    opened: AtomicUsize,
    /// Every message, with the number of its stream and the head it came with.
    received: Mutex<Vec<(usize, Head, String)>>,
    /// Calls that wait for the client's answer to a question, by the question's id.
    asked: Mutex<BTreeMap<String, Message>>,
    released: Semaphore,
}

impl Upstream {
    /// The messages of that method, as they came.
    pub(crate) fn received(&self, method: &str) -> Vec<Value> {
        self.heads(method).into_iter().map(|(_, message)| message).collect()
    }

    /// The same, each with the head of its request.
    pub(crate) fn heads(&self, method: &str) -> Vec<(Head, Value)> {
        let received = self.shared.received.lock().expect("no test panics while it holds the lock");
        let parsed =
            received.iter().map(|(_, head, text)| (head.clone(), serde_json::from_str(text).unwrap_or_default()));
        parsed.filter(|(_, message): &(Head, Value)| message["method"] == method).collect()
    }

    /// How often a stream was opened.
    pub(crate) fn opened(&self) -> usize {
        self.shared.opened.load(Ordering::SeqCst)
    }

    /// How many streams are open.
    pub(crate) fn open(&self) -> usize {
        self.shared.streams.lock().expect("no test panics while it holds the lock").len()
    }

    /// Ends every stream.
    pub(crate) fn cut(&self) {
        self.shared.streams.lock().expect("no test panics while it holds the lock").clear();
    }

    /// Lets `calls` held calls go on.
    pub(crate) fn release(&self, calls: usize) {
        self.shared.released.add_permits(calls);
    }

    /// Says something on every stream.
    pub(crate) async fn say(&self, message: &str) {
        let streams: Vec<_> =
            self.shared.streams.lock().expect("no test panics while it holds the lock").values().cloned().collect();
        for stream in streams {
            let _ = stream.send(message.to_owned()).await;
        }
    }

    /// Waits until so many calls have arrived.
    pub(crate) async fn called(&self, calls: usize) {
        until("the calls have reached the server", || self.received("tools/call").len() >= calls).await;
    }
}

impl Server for Upstream {
    fn yaml(&self) -> Vec<String> {
        let mut lines = vec![format!("url: http://{}/sse", self.address)];
        lines.extend(self.shared.plan.transport.map(|word| format!("transport: {word}")));
        lines
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
        let mut words = head.line.split(' ');
        let (verb, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let session = path.split_once("session=").and_then(|(_, number)| number.parse::<usize>().ok());
        let answer = match (verb, path, session) {
            ("GET", "/sse", _) => {
                let number = shared.opened.fetch_add(1, Ordering::SeqCst) + 1;
                let (sender, messages) = mpsc::channel(64);
                shared.streams.lock().expect("no test panics while it holds the lock").insert(number, sender);
                tokio::select! {
                    () = stream_out(number, messages, &mut write, &shared) => {}
                    () = reader.closed() => {}
                }
                shared.streams.lock().expect("no test panics while it holds the lock").remove(&number);
                return;
            }
            ("POST", _, Some(number)) => {
                shared.received.lock().expect("no test panics while it holds the lock").push((
                    number,
                    head,
                    body.clone(),
                ));
                let known =
                    shared.streams.lock().expect("no test panics while it holds the lock").contains_key(&number);
                if known {
                    let work = answer(number, body, Arc::clone(&shared));
                    if shared.plan.late {
                        work.await;
                    } else {
                        tokio::spawn(work);
                    }
                    format!("HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n", shared.plan.takes)
                } else {
                    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()
                }
            }
            _ => {
                let text = "<!DOCTYPE html><title>Error</title>";
                let (status, length) = (shared.plan.refuses, text.len());
                format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{text}")
            }
        };
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Writes a stream until its sender is dropped.
async fn stream_out(number: usize, mut messages: mpsc::Receiver<String>, write: &mut OwnedWriteHalf, shared: &Shared) {
    // CRLF and comments, as servers in Python write them.
    let address = shared.plan.address.replace("$N", &number.to_string());
    let mut text = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\nevent: endpoint\r\ndata: {address}\r\n\r\n: ping\r\n\r\n"
    );
    loop {
        if write.write_all(text.as_bytes()).await.is_err() {
            return;
        }
        let Some(message) = messages.recv().await else { return };
        text = format!("event: message\r\ndata: {message}\r\n\r\n");
    }
}

/// Answers a message on its stream.
async fn answer(number: usize, body: String, shared: Arc<Shared>) {
    // Looked up each time: who kept a sender would keep the stream open.
    let say = async |text: String| {
        let stream = shared.streams.lock().expect("no test panics while it holds the lock").get(&number).cloned();
        if let Some(stream) = stream {
            let _ = stream.send(text).await;
        }
    };
    let Some(message) = Message::parse(&body) else {
        // An answer to a question of ours.
        let answered: Value = serde_json::from_str(&body).unwrap_or_default();
        let call = shared
            .asked
            .lock()
            .expect("no test panics while it holds the lock")
            .remove(answered["id"].as_str().unwrap_or_default());
        if let Some(call) = call {
            say(call.result(&call.said(&answered["result"].to_string()))).await;
        }
        return;
    };
    let act = if message.method == "tools/call" { message.argument("act") } else { "" };
    match act {
        "progress" => {
            for value in 1..=2 {
                let token = message.token().unwrap_or_default();
                say(format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{value}}}}}"#
                ))
                .await;
            }
        }
        "ask" => {
            let id = format!("q-{number}");
            shared.asked.lock().expect("no test panics while it holds the lock").insert(id.clone(), message);
            say(format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"roots/list"}}"#)).await;
            return;
        }
        "big" => return say(message.result(&message.said(&"x".repeat(100_000)))).await,
        "hold" => shared.released.acquire().await.expect("it is never closed").forget(),
        "cut" => {
            shared.streams.lock().expect("no test panics while it holds the lock").remove(&number);
            return;
        }
        _ => {}
    }
    if let Some(answer) = message.answer(Eras::Legacy) {
        say(answer).await;
    }
}
