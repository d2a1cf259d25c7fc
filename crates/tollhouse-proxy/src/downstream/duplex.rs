//! Clients with which everything is said over one channel, there and back: a pipe, or the event stream of HTTP+SSE with
//! the POSTs beside it.
//!
//! One channel is one client. Requests run side by side and answer as they finish.
//!
//! Path: `stdio` or `sse` → **`duplex`** → `dispatch` → … → **`duplex`** → `outbox`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollhouse_core::clock;
use tollhouse_core::context;
use tollhouse_core::era::{Era, Version};
use tollhouse_core::record::{Listener, SessionRef};
use tollhouse_core::wire::{Envelope, Form, Members};

use crate::answer::{Refusal, code};
use crate::call::Params;
use crate::dispatch::{self, Arrived, Dispatched};
use crate::exchange::{Begun, Cancel, Step, Steps};
use crate::gateway::Gateway;
use crate::meta::Meta;
use crate::session::era;
use crate::session::legacy::{Endpoint, Outlet, Session};
use crate::session::outbox::Outbox;
use crate::tally::Ended;
use crate::upstream::{CANCELLED, LISTEN};

/// One client.
pub(crate) struct Client {
    gateway: Arc<Gateway>,
    listener: Listener,
    peer: IpAddr,
    endpoint: Endpoint,
    given: Option<SessionRef>,
    calls: TaskTracker,
    /// Cancelled when the client has hung up.
    left: CancellationToken,
    outbox: Outbox,
    /// Set by `initialize`.
    session: std::sync::Mutex<Option<Arc<Session>>>,
    /// Modern calls under way, by the client's id.
    running: std::sync::Mutex<HashMap<Box<[u8]>, CancellationToken>>,
}

impl Client {
    /// A client that came over `listener` to `endpoint` and gets what is said to it from `outbox`. `given` is the
    /// conversation it was started or pointed here with.
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        listener: Listener,
        peer: IpAddr,
        endpoint: Endpoint,
        given: Option<SessionRef>,
        outbox: Outbox,
    ) -> Arc<Self> {
        let left = gateway.stop.child_token();
        Arc::new(Self {
            gateway,
            listener,
            peer,
            endpoint,
            given,
            calls: TaskTracker::new(),
            left,
            outbox,
            session: std::sync::Mutex::default(),
            running: std::sync::Mutex::default(),
        })
    }

    /// Takes a message of the client. Requests are answered later; `headers` are those it came with, if any.
    pub(crate) async fn take(self: &Arc<Self>, envelope: Envelope, headers: HeaderMap, received: Instant) {
        match &envelope.form {
            Form::Request { .. } => context::scoped(self.request(envelope, headers, received)).await,
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

    /// The client has hung up: nobody is left who could listen.
    pub(crate) fn hang_up(&self) {
        self.left.cancel();
    }

    /// Nothing more comes from the client: waits for what is under way, then ends its session.
    pub(crate) async fn finish(&self) {
        self.calls.close();
        self.calls.wait().await;
        if let Some(session) = self.session() {
            self.gateway.end_session(session, Ended::Success);
        }
    }

    fn session(&self) -> Option<Arc<Session>> {
        lock(&self.session).clone()
    }

    async fn say(&self, message: Bytes) {
        self.outbox.say(message).await;
    }

    async fn cancel(&self, envelope: &Envelope) {
        let id = envelope.params.and_then(|params| Members::of(&envelope.bytes, params).get("requestId"));
        if let Some(cancelled) = id.and_then(|id| lock(&self.running).get(envelope.raw(id)).cloned()) {
            cancelled.cancel();
        } else if let Some(session) = self.session() {
            dispatch::notified(&self.gateway, &session, envelope).await;
        }
    }

    async fn request(self: &Arc<Self>, envelope: Envelope, headers: HeaderMap, received: Instant) {
        let Form::Request { id, method } = &envelope.form else { unreachable!("matched by the caller") };
        let raw_id = Bytes::copy_from_slice(envelope.raw(*id));
        let refuse = |refusal: Refusal| self.say(refusal.message(Some(&raw_id)));
        let read = Params::read(&envelope, method)
            .and_then(|params| Meta::read(&envelope, params.meta).map(|meta| (params, meta)));
        let (params, meta) = match read {
            Ok(read) => read,
            Err(error) => return refuse(Refusal::malformed(code::INVALID_REQUEST, error.to_string())).await,
        };
        let decided = era::over_stdio(&envelope, &meta).and_then(|era| match era {
            Era::Legacy => Ok(era),
            // MCP 2026-07-28, basic/transports: stdio and streamable HTTP are all it has.
            Era::Modern if self.listener == Listener::Sse => {
                Err(Refusal::version(Version::MODERN.as_str(), &Version::ALL[..4]))
            }
            Era::Modern => era::check_version(&envelope, &meta).map(|()| era),
        });
        let era = match decided {
            Ok(era) => era,
            Err(refusal) => return refuse(refusal).await,
        };
        let session = if era == Era::Legacy { self.session() } else { None };
        // On one channel only the id tells answers apart (JSON-RPC 2.0, request object).
        let busy = lock(&self.running).contains_key(&raw_id[..])
            || session.as_ref().is_some_and(|session| session.is_running(&raw_id));
        let initialize = method == "initialize" && era == Era::Legacy;
        let arrived = Box::new(Arrived {
            received,
            received_at: clock::wall(),
            listener: self.listener,
            peer: self.peer,
            endpoint: self.endpoint,
            era,
            envelope,
            meta,
            params,
            headers,
            session: session.clone(),
            given: self.given.clone(),
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
        let outlet = Outlet::Channel(self.outbox.clone());
        let (message, session) = dispatch::open_session(&self.gateway, arrived, outlet).await;
        if let Some(session) = session {
            self.gateway.sessions.note_channel(&session);
            let former = lock(&self.session).replace(session);
            if let Some(former) = former {
                self.gateway.end_session(former, Ended::Success);
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
            let listens = arrived.envelope.method().is_some_and(|method| method == LISTEN);
            let cancelled = if listens { self.left.child_token() } else { self.gateway.stop.child_token() };
            lock(&self.running).insert(raw_id.as_ref().into(), cancelled.clone());
            cancelled
        };
        self.calls.spawn(context::scoped(async move {
            let cancel = Cancel::Token(cancelled);
            client.answer(arrived, &cancel).await;
            if in_session.is_none() {
                lock(&client.running).remove(&raw_id[..]);
            }
            drop(in_session);
        }));
    }

    async fn answer(&self, arrived: Box<Arrived>, cancel: &Cancel) {
        let attempt = match dispatch::dispatch(&self.gateway, arrived).await {
            Dispatched::Answered(message) => return self.say(message.bytes).await,
            Dispatched::One(attempt) => attempt,
            Dispatched::Listening(listening) => return self.pass_on(listening, cancel).await,
        };
        match attempt.begin(cancel).await {
            Begun::Answered(message) => self.say(message.bytes).await,
            Begun::Cancelled => {}
            Begun::Streaming(streaming) => self.pass_on(streaming, cancel).await,
        }
    }

    async fn pass_on(&self, mut streaming: Box<impl Steps>, cancel: &Cancel) {
        loop {
            let (rest, step) = streaming.next(cancel).await;
            match step {
                Step::Message(bytes) => self.say(bytes).await,
                Step::Answer(message) => self.say(message.bytes).await,
                // A channel stays open.
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
