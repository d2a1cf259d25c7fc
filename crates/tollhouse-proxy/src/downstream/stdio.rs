//! Clients that started the gateway themselves: one client, lines of JSON, either era.
//!
//! The process is the session. Requests run side by side and answer as they finish; standard output carries nothing
//! but messages.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollhouse_core::clock;
use tollhouse_core::era::Era;
use tollhouse_core::fault::Kind;
use tollhouse_core::record::{Listener, SessionRef, SessionSource};
use tollhouse_core::units::ByteSize;
use tollhouse_core::wire::{Envelope, Form, Members};

use crate::answer::{Refusal, code};
use crate::call::Params;
use crate::dispatch::{self, Arrived, Dispatched};
use crate::exchange::{Begun, Cancel, Step};
use crate::gateway::Gateway;
use crate::meta::Meta;
use crate::session::era;
use crate::session::legacy::{Endpoint, Outlet, Session};
use crate::upstream::CANCELLED;
use crate::upstream::lines::{Line, LineReader, LineWriter, one_line};

/// Messages that wait for the client to read. Full: their calls wait.
const OUTBOX: usize = 64;

/// Serves one client until its input ends. The process is one conversation: the one its environment names, if any.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    given: Option<SessionRef>,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
) {
    let (writer, pump) = LineWriter::new(output);
    let abort = CancellationToken::new();
    let tasks = TaskTracker::new();
    let writing = tasks.spawn(pump.run(CancellationToken::new(), abort.clone()));
    // Full: whoever has something to say waits.
    let (outbox, mut messages) = mpsc::channel::<Bytes>(OUTBOX);
    let forwarding = tasks.spawn(async move {
        while let Some(message) = messages.recv().await {
            // The client closed our output: what follows is said to nobody.
            if writer.post(one_line(message)).await.is_err() {
                return;
            }
        }
    });
    // A pipe keeps to it for life.
    let request_limit = gateway.limits().request;
    let client = Arc::new(Client {
        request_limit,
        endpoint: Endpoint::All,
        given: given.unwrap_or_else(process),
        calls: TaskTracker::new(),
        outbox,
        session: std::sync::Mutex::default(),
        running: std::sync::Mutex::default(),
        gateway: gateway.clone(),
    });
    let mut lines = LineReader::new(input, request_limit.bytes());
    loop {
        let line = tokio::select! {
            () = gateway.draining.cancelled() => break,
            line = lines.next() => line,
        };
        match line {
            Ok(Some(Line::Whole(line))) => client.take(line).await,
            Ok(Some(Line::TooLong { .. } | Line::Partial(_))) => {}
            Ok(Some(Line::TooLongEnd { .. })) => client.refuse_too_large().await,
            Ok(None) | Err(_) => break,
        }
    }
    // What is under way may still be answered; a drain bounds it.
    client.calls.close();
    client.calls.wait().await;
    if let Some(session) = client.session() {
        gateway.end_session(session);
    }
    drop(client);
    let _ = forwarding.await;
    let _ = writing.await;
}

/// The conversation of a process whose environment names none.
fn process() -> SessionRef {
    SessionRef { id: format!("p_{:016x}", clock::distinct_u64()).into(), source: SessionSource::Protocol }
}

struct Client {
    gateway: Arc<Gateway>,
    request_limit: ByteSize,
    endpoint: Endpoint,
    given: SessionRef,
    calls: TaskTracker,
    outbox: mpsc::Sender<Bytes>,
    /// Set by `initialize`.
    session: std::sync::Mutex<Option<Arc<Session>>>,
    /// Modern calls under way, by the client's id.
    running: std::sync::Mutex<std::collections::HashMap<Box<[u8]>, CancellationToken>>,
}

impl Client {
    fn session(&self) -> Option<Arc<Session>> {
        lock(&self.session).clone()
    }

    async fn say(&self, message: Bytes) {
        // The client is gone when this fails, and then its input ends too.
        let _ = self.outbox.send(message).await;
    }

    async fn refuse_too_large(&self) {
        let limit = self.request_limit;
        let message = format!("the message is larger than {limit}");
        let refusal = Refusal::new(http::StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, Kind::TooLarge, message);
        self.say(refusal.message(None)).await;
    }

    async fn take(self: &Arc<Self>, line: Bytes) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let received = Instant::now();
        let envelope = match Envelope::parse(line) {
            Ok(envelope) => envelope,
            Err(error) => return self.say(Refusal::malformed(error.code(), error.to_string()).message(None)).await,
        };
        match &envelope.form {
            Form::Request { .. } => self.request(envelope, received).await,
            Form::Notification { method } if method == CANCELLED => self.cancel(&envelope).await,
            Form::Notification { .. } => {
                if let Some(session) = self.session() {
                    dispatch::notified(&self.gateway, &session, &envelope).await;
                }
            }
            Form::Result { .. } | Form::Error { .. } => {
                if let Some(session) = self.session() {
                    dispatch::answered(&self.gateway, &session, &envelope).await;
                }
            }
        }
    }

    async fn cancel(&self, envelope: &Envelope) {
        let id = envelope.params.and_then(|params| Members::of(&envelope.bytes, params).get("requestId"));
        if let Some(cancelled) = id.and_then(|id| lock(&self.running).get(envelope.raw(id)).cloned()) {
            cancelled.cancel();
        } else if let Some(session) = self.session() {
            dispatch::notified(&self.gateway, &session, envelope).await;
        }
    }

    async fn request(self: &Arc<Self>, envelope: Envelope, received: Instant) {
        let Form::Request { id, method } = &envelope.form else { unreachable!("matched by the caller") };
        let raw_id = Bytes::copy_from_slice(envelope.raw(*id));
        let refuse = |refusal: Refusal| self.say(refusal.message(Some(&raw_id)));
        let read = Params::read(&envelope, method)
            .and_then(|params| Meta::read(&envelope, params.meta).map(|meta| (params, meta)));
        let (params, meta) = match read {
            Ok(read) => read,
            Err(error) => return refuse(Refusal::malformed(code::INVALID_REQUEST, error.to_string())).await,
        };
        let decided = era::over_stdio(&envelope, &meta).and_then(|era| {
            if era == Era::Modern { era::check_version(&envelope, &meta).map(|()| era) } else { Ok(era) }
        });
        let era = match decided {
            Ok(era) => era,
            Err(refusal) => return refuse(refusal).await,
        };
        let session = if era == Era::Legacy { self.session() } else { None };
        // On one pipe only the id tells answers apart (JSON-RPC 2.0, request object).
        let busy = lock(&self.running).contains_key(&raw_id[..])
            || session.as_ref().is_some_and(|session| session.is_running(&raw_id));
        let initialize = method == "initialize" && era == Era::Legacy;
        let arrived = Box::new(Arrived {
            received,
            received_at: clock::wall(),
            listener: Listener::Stdio,
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            endpoint: self.endpoint,
            era,
            envelope,
            meta,
            params,
            headers: http::HeaderMap::new(),
            session: session.clone(),
            given: Some(self.given.clone()),
        });
        if busy {
            let refusal = Refusal::malformed(code::INVALID_REQUEST, "a request with this id is still under way");
            return self.say(arrived.refuse(&self.gateway, &refusal).bytes).await;
        }
        if initialize {
            return self.initialize(arrived).await;
        }
        if era == Era::Legacy && session.is_none() {
            let refusal = Refusal::malformed(code::INVALID_REQUEST, "begin with `initialize`");
            return self.say(arrived.refuse(&self.gateway, &refusal).bytes).await;
        }
        self.run(arrived, session, raw_id);
    }

    async fn initialize(self: &Arc<Self>, arrived: Box<Arrived>) {
        let outlet = Outlet::Pipe(self.outbox.clone());
        let (message, session) = dispatch::open_session(&self.gateway, arrived, outlet).await;
        if let Some(session) = session {
            self.gateway.sessions.note_pipe(&session);
            let former = lock(&self.session).replace(session);
            if let Some(former) = former {
                self.gateway.end_session(former);
            }
        }
        self.say(message.bytes).await;
    }

    /// Runs a call beside the others.
    fn run(self: &Arc<Self>, arrived: Box<Arrived>, session: Option<Arc<Session>>, raw_id: Bytes) {
        let client = self.clone();
        let in_session = session.map(|session| session.start(&raw_id));
        let cancelled = if let Some(running) = &in_session {
            running.cancelled.clone()
        } else {
            let cancelled = self.gateway.stop.child_token();
            lock(&self.running).insert(raw_id.as_ref().into(), cancelled.clone());
            cancelled
        };
        self.calls.spawn(async move {
            let cancel = Cancel::Token(cancelled);
            client.answer(arrived, &cancel).await;
            if in_session.is_none() {
                lock(&client.running).remove(&raw_id[..]);
            }
            drop(in_session);
        });
    }

    async fn answer(&self, arrived: Box<Arrived>, cancel: &Cancel) {
        let attempt = match dispatch::dispatch(&self.gateway, arrived).await {
            Dispatched::Answered(message) => return self.say(message.bytes).await,
            Dispatched::One(attempt) => attempt,
        };
        let mut streaming = match attempt.begin(cancel).await {
            Begun::Answered(message) => return self.say(message.bytes).await,
            Begun::Cancelled => return,
            Begun::Streaming(streaming) => streaming,
        };
        loop {
            let (rest, step) = streaming.next(cancel).await;
            match step {
                Step::Message(bytes) => self.say(bytes).await,
                Step::Answer(message) => self.say(message.bytes).await,
                // A pipe stays open.
                Step::Pause(_) | Step::Cancelled => {}
            }
            match rest {
                Some(rest) => streaming = rest,
                None => return,
            }
        }
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
