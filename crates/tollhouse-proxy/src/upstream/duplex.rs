//! A connection on which both sides talk at once: many calls at a time, told apart by ids of our own. A server that is a
//! child process is reached over one, and so is one that speaks HTTP+SSE.
//!
//! Modern callers share one process; each legacy session has a connection of its own, because `initialize` is a state
//! of it. Progress tokens often equal request ids and several clients use the same ones, so here the token is ours
//! too: the digits of our id. What a server sends that belongs to no call goes to its session.
//!
//! Path: call → **`duplex`** → `lines` or `post` → server → `stdio` or `sse` → **`duplex`** → outcome.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tollhouse_core::fault::Kind;
use tollhouse_core::wire::{Envelope, Form, Members, members};
use tracing::debug;

use super::http::answers;
use super::lines::{LineWriter, WriteError, one_line};
use super::post::Poster;
use super::{CANCELLED, LISTEN, Reply, ask};
use crate::answer;
use crate::call::Call;
use crate::clocks::Clocks;
use crate::failure::Failure;
use crate::meta::SUBSCRIPTION_ID;

/// Messages of one call that wait to be delivered. Full: further notifications are dropped and counted; the answer
/// always finds room.
const INBOX: usize = 256;
/// Messages that belong to no call and wait for their session. Full: dropped and counted.
const UNATTACHED: usize = 256;

/// A server that takes longer to say that it has a message may get the next one before; nobody waits for it any more.
const TOLD: Duration = Duration::from_secs(5);

/// What a server still has for the answer to a POST when its stream has ended.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How messages get to the server.
pub(crate) enum Writer {
    /// As lines, into the standard input of a process.
    Pipe(LineWriter),
    /// By POST.
    Post(Poster),
}

/// Whom a connection serves, which decides where its unattached messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// All modern callers: a message that names no call belongs to nobody.
    Shared,
    /// One legacy session: it gets everything.
    Session,
}

/// One connection and the calls on it.
pub(crate) struct Connection {
    writer: Writer,
    next_id: AtomicU64,
    open: Mutex<Open>,
    /// Messages that could not be delivered: late, foreign, or too many.
    undelivered: AtomicU64,
    life: AtomicU8,
    purpose: Use,
    started: Instant,
    unattached: mpsc::Sender<Envelope>,
    /// Cancelled to end it.
    stop: CancellationToken,
    /// Cancelled once it has ended.
    ended: CancellationToken,
}

/// Values of [`Connection::life`]: the server was heard since anybody doubted that it lives.
const HEARD: u8 = 0;
/// It was asked, and has said nothing yet.
const DOUBTED: u8 = 1;
/// It has said nothing for so long that it gets no more calls until it does.
const DUMB: u8 = 2;

#[derive(Default)]
struct Open {
    calls: HashMap<u64, Arc<Slot>>,
    /// Set once: no more calls.
    ended: Option<Failure>,
}

struct Slot {
    /// Whether a server may be logging or asking because of it: a client's call, and no listen.
    talks: bool,
    state: Mutex<SlotState>,
    arrived: Notify,
}

#[derive(Default)]
struct SlotState {
    messages: VecDeque<Envelope>,
    failure: Option<Failure>,
}

impl Writer {
    /// Sends a message that gets no answer.
    async fn tell(&self, message: Bytes) -> Result<(), Failure> {
        match self {
            Self::Pipe(pipe) => pipe.post(one_line(message)).await.map_err(unsent),
            // It is waited for, so that what is said next does not overtake it.
            Self::Post(poster) => timeout(TOLD, poster.send(message, HeaderMap::new())).await.unwrap_or(Ok(())),
        }
    }

    /// Sends a request whose answer will come into `inbox`.
    async fn ask(&self, message: Bytes, passed: &HeaderMap, inbox: &mut Inbox, clocks: &Clocks) -> Result<(), Failure> {
        match self {
            Self::Pipe(pipe) => clocks.within(pipe.send(one_line(message))).await?.map_err(unsent),
            Self::Post(poster) => {
                let taken = async {
                    let mut posting = std::pin::pin!(poster.send(message, passed.clone()));
                    let failed = tokio::select! {
                        biased;
                        taken = &mut posting => return taken,
                        failed = inbox.arrived() => failed,
                    };
                    // Some servers end the request only when they have done what was asked: the answer shows that it
                    // was taken. Where the stream has ended instead, the request may still tell that it was refused.
                    if failed { timeout(LAST_WORD, posting).await.unwrap_or(Ok(())) } else { Ok(()) }
                };
                clocks.within(taken).await?
            }
        }
    }

    /// Sends a message if that can be done without waiting. False if not.
    fn send_now(&self, message: Bytes) -> bool {
        match self {
            Self::Pipe(pipe) => {
                let mut posting = std::pin::pin!(pipe.post(message));
                let mut quiet = std::task::Context::from_waker(std::task::Waker::noop());
                matches!(posting.as_mut().poll(&mut quiet), std::task::Poll::Ready(Ok(())))
            }
            Self::Post(poster) => poster.send_later(message),
        }
    }
}

impl Connection {
    /// A connection that is open; whoever reads it gives each message to [`Self::route`]. The receiver gets what
    /// belongs to no call. `stop` is cancelled to end it.
    pub(crate) fn new(writer: Writer, purpose: Use, stop: CancellationToken) -> (Arc<Self>, mpsc::Receiver<Envelope>) {
        // Full: the message is dropped and counted (`Self::route`).
        let (unattached, receiver) = mpsc::channel(UNATTACHED);
        let connection = Arc::new(Self {
            writer,
            next_id: AtomicU64::new(1),
            open: Mutex::default(),
            undelivered: AtomicU64::new(0),
            life: AtomicU8::new(HEARD),
            purpose,
            started: Instant::now(),
            unattached,
            stop,
            ended: CancellationToken::new(),
        });
        (connection, receiver)
    }

    /// Sends a call and waits for its first message.
    ///
    /// # Cancel safety
    /// Dropped, the call is forgotten here, but not by the server: see [`Self::cancel`].
    pub(crate) async fn call(self: &Arc<Self>, call: &mut Call, clocks: &Clocks) -> Result<Reply, Failure> {
        let mut inbox = self.register(&*call.method != LISTEN)?;
        let digits = inbox.id.to_string();
        let message = call.outbound(digits.as_bytes(), Some(digits.as_bytes()));
        call.sent_as(inbox.id);
        self.writer.ask(message, &call.passed, &mut inbox, clocks).await?;
        let first = clocks.within(inbox.next()).await??;
        call.responded();
        if answers(&first, inbox.id) {
            return Ok(Reply::Whole { envelope: first, status: http::StatusCode::OK });
        }
        inbox.peeked = Some(first);
        Ok(Reply::Duplex(inbox))
    }

    /// Sends a request of the gateway's own; `body` gets the id, and what comes back goes into the inbox.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        body: impl FnOnce(u64) -> Bytes,
        clocks: &Clocks,
    ) -> Result<Inbox, Failure> {
        let mut inbox = self.register(false)?;
        let message = body(inbox.id);
        self.writer.ask(message, &HeaderMap::new(), &mut inbox, clocks).await?;
        Ok(inbox)
    }

    /// Sends a request of the gateway's own and waits for the answer; `body` gets the id.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        body: impl FnOnce(u64) -> Bytes,
        clocks: &Clocks,
    ) -> Result<Envelope, Failure> {
        let mut inbox = self.begin(body, clocks).await?;
        loop {
            let message = clocks.within(inbox.next()).await??;
            if answers(&message, inbox.id) {
                return Ok(message);
            }
        }
    }

    /// Delivers a notification or an answer.
    pub(crate) async fn tell(&self, message: Bytes) -> Result<(), Failure> {
        self.writer.tell(message).await
    }

    /// Tells the server that nobody waits for `id` any more.
    pub(crate) async fn cancel(&self, id: u64, reason: &str) {
        // A server that is gone needs no cancellation.
        let _ = self.writer.tell(ask::cancelled(id, reason)).await;
    }

    /// Asks it to end, and with it the process at its other end.
    pub(crate) fn close(&self) {
        self.stop.cancel();
    }

    /// Resolves once it was asked to end.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Resolves once it has ended.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Does a process of ours stand at its other end?
    pub(crate) fn is_pipe(&self) -> bool {
        matches!(self.writer, Writer::Pipe(_))
    }

    /// Has it ended?
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// The server has said something, whatever it was.
    pub(crate) fn heard(&self) {
        self.life.store(HEARD, Ordering::Relaxed);
    }

    /// Begins to doubt that the server lives; false if somebody does already.
    pub(crate) fn doubt(&self) -> bool {
        self.life.compare_exchange(HEARD, DOUBTED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Asks the server something. True if nothing at all is heard of it before `clocks` end the wait.
    pub(crate) async fn is_dumb(self: &Arc<Self>, body: impl FnOnce(u64) -> Bytes, clocks: &Clocks) -> bool {
        self.life.store(DOUBTED, Ordering::Relaxed);
        let asked = self.ask(body, clocks).await;
        let heard = self.life.swap(HEARD, Ordering::Relaxed) == HEARD;
        !heard && asked.is_err_and(|failure| failure.fault.kind == Kind::Timeout)
    }

    /// Takes no calls until the server is heard.
    pub(crate) fn refuse_calls(&self) {
        _ = self.life.compare_exchange(DOUBTED, DUMB, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Is it worth while to send a call?
    pub(crate) fn takes_calls(&self) -> bool {
        self.life.load(Ordering::Relaxed) != DUMB
    }

    /// How many ids were minted.
    pub(crate) fn minted(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed) - 1
    }

    /// How long ago it was opened.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Why it ended.
    pub(crate) fn end_cause(&self) -> Option<Failure> {
        self.lock().ended.clone()
    }

    fn register(self: &Arc<Self>, talks: bool) -> Result<Inbox, Failure> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::new(Slot { talks, state: Mutex::default(), arrived: Notify::new() });
        let mut open = self.lock();
        if let Some(ended) = &open.ended {
            return Err(Failure::new(Kind::Unreachable, &ended.cause));
        }
        open.calls.insert(id, slot.clone());
        Ok(Inbox { id, slot, connection: self.clone(), peeked: None })
    }

    /// Ends the wait for the call `id`: there will be no answer.
    pub(crate) fn fail(&self, id: u64, failure: Failure) {
        let slot = self.lock().calls.get(&id).cloned();
        if let Some(slot) = slot {
            slot.fail(failure);
        }
    }

    /// Ends the wait for the call that is open, if there is no more than one.
    pub(crate) fn fail_only(&self, failure: Failure) {
        if let Some(slot) = self.only(|_| true) {
            slot.fail(failure);
        }
    }

    /// Gives a message to the call it belongs to, else to the session.
    pub(crate) fn route(&self, envelope: Envelope) {
        let slot = match &envelope.form {
            Form::Result { id, .. } | Form::Error { id: Some(id), .. } => {
                let id = number(envelope.raw(*id));
                let slot = id.and_then(|id| self.lock().calls.get(&id).cloned());
                match slot {
                    Some(slot) => _ = slot.push(envelope, usize::MAX),
                    None => self.lose(&envelope, "an answer nobody waits for"),
                }
                return;
            }
            Form::Error { id: None, .. } => return self.lose(&envelope, "an error that names no request"),
            Form::Request { method, .. } if self.purpose == Use::Shared => {
                // MCP 2026-07-28, basic/transports/stdio: servers send no requests.
                let Form::Request { id, .. } = &envelope.form else { unreachable!("matched above") };
                let refusal = answer::error(
                    Some(envelope.raw(*id)),
                    answer::code::METHOD_NOT_FOUND,
                    &format!("`{method}` is not accepted from a server of this revision"),
                    None,
                );
                if !self.writer.send_now(refusal) {
                    self.lose(&envelope, "a request of a server that does not read");
                }
                return;
            }
            Form::Request { .. } => self.only(|slot| slot.talks),
            Form::Notification { method } => self.addressee(&envelope, method),
        };
        match slot {
            Some(slot) => {
                if !slot.push(envelope, INBOX) {
                    self.undelivered.fetch_add(1, Ordering::Relaxed);
                }
            }
            None if self.purpose == Use::Session => {
                if self.unattached.try_send(envelope).is_err() {
                    self.undelivered.fetch_add(1, Ordering::Relaxed);
                }
            }
            None => self.lose(&envelope, "a notification that names no call"),
        }
    }

    /// The call a notification belongs to.
    fn addressee(&self, envelope: &Envelope, method: &str) -> Option<Arc<Slot>> {
        let params = envelope.params?;
        let named = |id: Option<u64>| id.and_then(|id| self.lock().calls.get(&id).cloned());
        let member = |key| Members::of(&envelope.bytes, params).get(key).and_then(|span| number(envelope.raw(span)));
        match method {
            "notifications/progress" => named(member("progressToken")),
            // A modern server ends a subscription this way; a legacy one withdraws a request of its own.
            CANCELLED if self.purpose == Use::Shared => {
                if let Some(slot) = named(member("requestId")) {
                    slot.fail(Failure::new(Kind::Lost, "the server ended the subscription"));
                }
                None
            }
            // Nothing says which call a log line belongs to; with one open that may cause one there is no doubt.
            "notifications/message" => self.only(|slot| slot.talks),
            _ => {
                let meta = envelope.meta()?;
                let id = Members::of(&envelope.bytes, meta).get(SUBSCRIPTION_ID)?;
                named(number(envelope.raw(id)))
            }
        }
    }

    /// The one open call that is like this, if it is one.
    fn only(&self, like: impl Fn(&Slot) -> bool) -> Option<Arc<Slot>> {
        let open = self.lock();
        let mut calls = open.calls.values().filter(|slot| like(slot));
        let first = calls.next()?;
        calls.next().is_none().then(|| first.clone())
    }

    fn lose(&self, envelope: &Envelope, what: &'static str) {
        self.undelivered.fetch_add(1, Ordering::Relaxed);
        debug!(target: "tollhouse.server", method = envelope.method().map(AsRef::as_ref), what, "a message was not delivered");
    }

    /// It has ended: what is open fails, and nothing more is taken.
    pub(crate) fn end(&self, failure: &Failure) {
        let calls = {
            let mut open = self.lock();
            open.ended.get_or_insert_with(|| failure.clone());
            std::mem::take(&mut open.calls)
        };
        for slot in calls.into_values() {
            slot.fail(failure.clone());
        }
        self.ended.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// False if the message had to be dropped.
    fn push(&self, envelope: Envelope, limit: usize) -> bool {
        let mut state = self.lock();
        let room = state.messages.len() < limit;
        if room {
            state.messages.push_back(envelope);
        }
        drop(state);
        self.arrived.notify_one();
        room
    }

    fn fail(&self, failure: Failure) {
        self.lock().failure.get_or_insert(failure);
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The messages of one call.
pub(crate) struct Inbox {
    pub(crate) id: u64,
    slot: Arc<Slot>,
    connection: Arc<Connection>,
    peeked: Option<Envelope>,
}

impl Inbox {
    /// The next message.
    ///
    /// # Errors
    /// The connection ended, or the server said that there will be no answer.
    ///
    /// # Cancel safety
    /// Safe: a message that was not returned is still there.
    pub(crate) async fn next(&mut self) -> Result<Envelope, Failure> {
        if let Some(peeked) = self.peeked.take() {
            return Ok(peeked);
        }
        loop {
            {
                let mut state = self.slot.lock();
                if let Some(message) = state.messages.pop_front() {
                    return Ok(message);
                }
                if let Some(failure) = &state.failure {
                    return Err(failure.clone());
                }
            }
            self.slot.arrived.notified().await;
        }
    }

    /// Waits until [`Self::next`] has something to return; true if that is a failure.
    async fn arrived(&self) -> bool {
        loop {
            {
                let state = self.slot.lock();
                if self.peeked.is_some() || !state.messages.is_empty() {
                    return false;
                }
                if state.failure.is_some() {
                    return true;
                }
            }
            self.slot.arrived.notified().await;
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.connection.lock().calls.remove(&self.id);
    }
}

fn number(raw: &[u8]) -> Option<u64> {
    members::integer(raw).and_then(|id| u64::try_from(id).ok())
}

fn unsent(error: WriteError) -> Failure {
    match error {
        WriteError::Unsent(why) => Failure::new(Kind::Unreachable, why),
        WriteError::Cut(why) => Failure::new(Kind::Lost, why),
    }
}
