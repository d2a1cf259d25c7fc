//! Fake upstreams over HTTP: honest in everything but the answer to one method, `tools/call`, which a test may script.
//!
//! An upstream knows both eras unless told otherwise. It counts a call as executed as soon as it has read the whole
//! request, before a byte of the answer leaves: what an effect in the real world would do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::echo::{Eras, Message};
use crate::http::{Head, Reader};
use crate::wait::until;

/// Something that can stand below `servers` in `tollhouse.yaml`.
pub(crate) trait Server {
    /// The lines of its entry, without indentation.
    fn yaml(&self) -> Vec<String>;
}

/// Filler is written in pieces of this size.
const PIECE: usize = 64 * 1024;

/// One act of a scripted answer.
///
/// In texts `$ID` stands for the request's id, `$RESULT` for the honest result, `$FINAL` for the honest answer,
/// `$TOKEN` for the progress token, `$NONCE` for the nonce, `$N` for the number of the repetition.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Writes a text, as one chunk.
    Text(String),
    /// Writes so many bytes `x`.
    Filler(usize),
    /// Writes a text again and again, with a pause in between, until the gateway leaves.
    Endless(String, Duration),
    /// Waits until so many calls have arrived.
    Gathered(usize),
    /// Waits until the test [releases](Upstream::release) a call.
    Released,
    /// Says nothing more until the gateway leaves.
    Silence,
    /// Closes the connection at once, without a proper end of the body.
    Cut,
    /// Resets the connection.
    Reset,
}

/// Writes `text` as one chunk.
pub(crate) fn text(text: &str) -> Step {
    Step::Text(text.to_owned())
}

/// An SSE event with that message.
pub(crate) fn event(message: &str) -> Step {
    Step::Text(format!("data: {message}\n\n"))
}

/// A progress notification of the call, as an SSE event.
pub(crate) fn progress(value: u64) -> Step {
    event(&format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":$TOKEN,"progress":{value},"message":$NONCE}}}}"#
    ))
}

/// The honest answer, as an SSE event.
pub(crate) fn honest() -> Step {
    event("$FINAL")
}

/// An upstream that gives arguments back.
pub(crate) fn echo() -> Builder {
    Builder { eras: Eras::Dual, scripted: "tools/call", answer: Answer::Honest, list: None, fields: String::new() }
}

#[derive(Debug, Clone)]
enum Answer {
    /// JSON with a length.
    Honest,
    /// A head, then steps; chunks if the head says so.
    Scripted(String, Vec<Step>),
}

/// An upstream about to be started.
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    eras: Eras,
    /// The method that `answer` is about.
    scripted: &'static str,
    answer: Answer,
    list: Option<fn(&Message) -> String>,
    fields: String,
}

impl Builder {
    /// Knows `initialize` only.
    pub(crate) fn legacy_only(mut self) -> Self {
        self.eras = Eras::Legacy;
        self
    }

    /// Knows 2026-07-28 only.
    pub(crate) fn modern_only(mut self) -> Self {
        self.eras = Eras::Modern;
        self
    }

    /// Answers calls with a stream of these steps.
    pub(crate) fn streams(self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.scripted("200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked", steps)
    }

    /// Answers calls with JSON, sent in chunks by these steps.
    pub(crate) fn answers(self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.scripted("200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked", steps)
    }

    /// Answers calls with this status line and these fields, then the steps.
    pub(crate) fn scripted(mut self, head: &str, steps: impl IntoIterator<Item = Step>) -> Self {
        self.answer = Answer::Scripted(head.to_owned(), steps.into_iter().collect());
        self
    }

    /// Scripts the answers to another method than `tools/call`.
    pub(crate) fn to(mut self, method: &'static str) -> Self {
        self.scripted = method;
        self
    }

    /// Executes calls, then answers none before the test [releases](Upstream::release) it.
    pub(crate) fn held(self) -> Self {
        self.answers([Step::Released, text("$FINAL")])
    }

    /// Executes calls, then dies so many bytes into the answer.
    pub(crate) fn dies_after_bytes(self, bytes: usize) -> Self {
        let head = "200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000";
        self.scripted(head, [Step::Filler(bytes), Step::Cut])
    }

    /// Executes calls, then resets the connection before any byte of the answer.
    pub(crate) fn resets(self) -> Self {
        self.scripted("", [Step::Reset])
    }

    /// Answers `tools/list` with that result.
    pub(crate) fn lists(mut self, list: fn(&Message) -> String) -> Self {
        self.list = Some(list);
        self
    }

    /// The gateway's configuration sends these fields with every request, written as a YAML mapping.
    pub(crate) fn configured_headers(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.fields);
        self
    }

    /// Starts it on a port of its own.
    pub(crate) async fn start(self) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            plan: self,
            requests: Mutex::default(),
            executed: AtomicUsize::new(0),
            written: AtomicUsize::new(0),
            released: Semaphore::new(0),
            sessions: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Upstream { address, shared, _tasks: tasks }
    }
}

/// A running upstream; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    plan: Builder,
    requests: Mutex<Vec<Arc<Received>>>,
    executed: AtomicUsize,
    written: AtomicUsize,
    released: Semaphore,
    sessions: AtomicUsize,
}

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) head: Head,
    pub(crate) message: Option<Message>,
    /// The message as it was written.
    pub(crate) body: String,
    left: AtomicBool,
}

impl Received {
    fn method(&self) -> &str {
        self.message.as_ref().map_or("", |message| &message.method)
    }

    /// Did the gateway close the connection before the answer was whole?
    pub(crate) fn left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    /// A member of the message's `_meta`; `null` if there is none.
    pub(crate) fn meta(&self, name: &str) -> Value {
        self.message.as_ref().map_or(Value::Null, |message| message.params["_meta"][name].clone())
    }
}

impl Upstream {
    /// How many calls it has executed.
    pub(crate) fn executions(&self) -> usize {
        self.shared.executed.load(Ordering::SeqCst)
    }

    /// Bytes of scripted answers written so far.
    pub(crate) fn written(&self) -> usize {
        self.shared.written.load(Ordering::SeqCst)
    }

    /// Lets `calls` held calls go on.
    pub(crate) fn release(&self, calls: usize) {
        self.shared.released.add_permits(calls);
    }

    /// The messages of that method, in the order they arrived.
    pub(crate) fn received(&self, method: &str) -> Vec<Arc<Received>> {
        let requests = self.shared.requests.lock().expect("no test panics while it holds the lock");
        requests.iter().filter(|request| request.method() == method).cloned().collect()
    }

    /// How many sessions the gateway has ended.
    pub(crate) fn deleted(&self) -> usize {
        let requests = self.shared.requests.lock().expect("no test panics while it holds the lock");
        requests.iter().filter(|request| request.head.line.starts_with("DELETE")).count()
    }

    /// The last call it got.
    pub(crate) fn last_call(&self) -> Arc<Received> {
        self.received("tools/call").pop().expect("a call has arrived")
    }

    /// The arguments of the last call, byte by byte.
    pub(crate) fn last_arguments(&self) -> String {
        self.last_call().message.as_ref().expect("a call is a message").arguments.clone()
    }

    /// Waits until so many calls have been executed.
    pub(crate) async fn executed(&self, calls: usize) {
        until("the calls have reached the upstream", || self.executions() >= calls).await;
    }
}

impl Server for Upstream {
    fn yaml(&self) -> Vec<String> {
        let mut lines = vec![format!("url: http://{}/mcp", self.address)];
        if !self.shared.plan.fields.is_empty() {
            lines.push(format!("headers: {}", self.shared.plan.fields));
        }
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
        let message = Message::parse(&body);
        let received = Arc::new(Received { message, body, head, left: AtomicBool::new(false) });
        shared.requests.lock().expect("no test panics while it holds the lock").push(Arc::clone(&received));
        let call = received.message.as_ref().filter(|message| message.method == shared.plan.scripted);
        match (call, &shared.plan.answer) {
            (Some(call), Answer::Scripted(head, steps))
                if call.id.is_some() && refusal(&received, &shared).is_none() =>
            {
                shared.executed.fetch_add(1, Ordering::SeqCst);
                let mut script = Script { call, shared: &shared, write: &mut write, chunked: head.contains("chunked") };
                let done = tokio::select! {
                    done = script.play(head, steps) => done,
                    // A pipelined request would end this, too, but no client pipelines.
                    () = reader.closed() => Err(()),
                };
                if done.is_err() {
                    received.left.store(true, Ordering::SeqCst);
                    return;
                }
                if steps.iter().any(|step| matches!(step, Step::Reset)) {
                    let stream = reader.into_stream().reunite(write).expect("both halves are of one stream");
                    let _ = stream.set_zero_linger();
                    return;
                }
                if steps.iter().any(|step| matches!(step, Step::Cut)) {
                    return;
                }
            }
            _ => {
                if write.write_all(honest_answer(&received, &shared).as_bytes()).await.is_err() {
                    return;
                }
            }
        }
        if received.head.get("connection").eq_ignore_ascii_case("close") {
            return;
        }
    }
}

/// Why an honest server refuses a request before it looks at the method: status and error.
fn refusal(received: &Received, shared: &Shared) -> Option<(&'static str, String)> {
    let message = received.message.as_ref()?;
    let eras = shared.plan.eras;
    if message.modern() && eras != Eras::Legacy {
        let mirrored = received.head.get("mcp-method") == message.method
            && received.head.get("mcp-protocol-version") == crate::echo::MODERN;
        return (!mirrored).then(|| ("400 Bad Request", message.error(-32020, "the headers differ from the body")));
    }
    if message.method == "initialize" {
        return (eras == Eras::Modern).then(|| ("400 Bad Request", message.error(-32022, "initialize is not served")));
    }
    if eras == Eras::Modern {
        return Some(("400 Bad Request", message.error(-32602, "no protocol version in _meta")));
    }
    let session = received.head.get("mcp-session-id").strip_prefix("upstream-session-");
    let known = session
        .and_then(|number| number.parse().ok())
        .is_some_and(|n: usize| (1..=shared.sessions.load(Ordering::SeqCst)).contains(&n));
    (!known).then(|| ("400 Bad Request", message.error(-32000, "no valid session id")))
}

fn honest_answer(received: &Received, shared: &Shared) -> String {
    let json = |status: &str, fields: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{fields}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let empty = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    let Some(message) = &received.message else {
        let delete = received.head.line.starts_with("DELETE");
        return empty(if delete { "200 OK" } else { "405 Method Not Allowed" });
    };
    if let Some((status, error)) = refusal(received, shared) {
        return json(status, "", &error);
    }
    if message.method == "tools/call" && message.id.is_some() {
        shared.executed.fetch_add(1, Ordering::SeqCst);
    }
    let listed = shared.plan.list.filter(|_| message.method == "tools/list").map(|list| message.result(&list(message)));
    let Some(answer) = listed.or_else(|| message.answer(shared.plan.eras)) else { return empty("202 Accepted") };
    match message.method.as_str() {
        "initialize" => {
            let number = shared.sessions.fetch_add(1, Ordering::SeqCst) + 1;
            json("200 OK", &format!("Mcp-Session-Id: upstream-session-{number}\r\n"), &answer)
        }
        _ if message.modern() && answer.contains(r#""code":-32601"#) => json("404 Not Found", "", &answer),
        _ => json("200 OK", "", &answer),
    }
}

/// A scripted answer being played.
struct Script<'a> {
    call: &'a Message,
    shared: &'a Shared,
    write: &'a mut OwnedWriteHalf,
    chunked: bool,
}

impl Script<'_> {
    async fn play(&mut self, head: &str, steps: &[Step]) -> Result<(), ()> {
        if !head.is_empty() {
            self.raw(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes()).await?;
        }
        for step in steps {
            match step {
                Step::Text(text) => self.body(self.filled(text, 0).as_bytes()).await?,
                Step::Filler(bytes) => {
                    let mut left = *bytes;
                    while left > 0 {
                        let piece = left.min(PIECE);
                        self.body("x".repeat(piece).as_bytes()).await?;
                        left -= piece;
                    }
                }
                Step::Endless(text, pause) => {
                    for round in 1.. {
                        self.body(self.filled(text, round).as_bytes()).await?;
                        tokio::time::sleep(*pause).await;
                    }
                }
                Step::Gathered(calls) => {
                    until("enough calls have arrived", || self.shared.executed.load(Ordering::SeqCst) >= *calls).await;
                }
                Step::Released => self.shared.released.acquire().await.expect("it is never closed").forget(),
                Step::Silence => std::future::pending().await,
                Step::Cut | Step::Reset => return Ok(()),
            }
        }
        if self.chunked { self.raw(b"0\r\n\r\n").await } else { Ok(()) }
    }

    fn filled(&self, text: &str, round: u64) -> String {
        if !text.contains('$') {
            return text.to_owned();
        }
        let call = self.call;
        text.replace("$FINAL", &call.result("$RESULT"))
            .replace("$RESULT", &call.echoed())
            .replace("$TOKEN", call.token().as_deref().unwrap_or("null"))
            .replace("$NONCE", &Value::from(call.argument("nonce")).to_string())
            .replace("$N", &round.to_string())
            .replace("$ID", call.id.as_deref().unwrap_or("null"))
    }

    async fn body(&mut self, bytes: &[u8]) -> Result<(), ()> {
        if !self.chunked {
            return self.raw(bytes).await;
        }
        self.raw(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()).await
    }

    async fn raw(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.write.write_all(bytes).await.map_err(drop)?;
        self.shared.written.fetch_add(bytes.len(), Ordering::SeqCst);
        Ok(())
    }
}
