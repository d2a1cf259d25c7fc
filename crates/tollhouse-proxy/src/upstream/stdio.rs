//! A server that is a child process: many calls over one pipe, told apart by ids of our own.
//!
//! Modern callers share one process; each legacy session has its own, because `initialize` is a state of the
//! process. Progress tokens often equal request ids and several clients use the same ones, so on a pipe the token
//! is ours too: the digits of our id. What a process sends that belongs to no call goes to its session.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollhouse_core::fault::Kind;
use tollhouse_core::ids::ServerId;
use tollhouse_core::units::ByteSize;
use tollhouse_core::wire::{Envelope, Form, Members, members};
use tracing::debug;

use super::child::{Child, Said, SpawnError, Spawner, Started, Stdout};
use super::http::answers;
use super::lines::{Line, LineWriter, WriteError, one_line};
use super::restart::{Noise, Verdict};
use super::{CANCELLED, Reply, SUBSCRIPTION_ID, ask};
use crate::answer;
use crate::call::Call;
use crate::clocks::Clocks;
use crate::failure::Failure;
use crate::settings::{Command, LiveLimits};

/// Messages of one call that wait to be delivered. Full: further notifications are dropped and counted; the answer
/// always finds room.
const INBOX: usize = 256;
/// Messages that belong to no call and wait for their session. Full: dropped and counted.
const UNATTACHED: usize = 256;
/// The last lines of standard error that explain an early end.
const STDERR_LINES: usize = 3;

/// One server that is started as a child.
pub(crate) struct Server {
    id: ServerId,
    command: Command,
    spawner: Spawner,
    limits: LiveLimits,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Whom a process serves, which decides where its unattached messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// All modern callers: a message that names no call belongs to nobody.
    Shared,
    /// One legacy session: it gets everything.
    Session,
}

/// One running process and the calls on its pipe.
pub(crate) struct Connection {
    writer: LineWriter,
    next_id: AtomicU64,
    open: Mutex<Open>,
    /// Messages that could not be delivered: late, foreign, or too many.
    undelivered: AtomicU64,
    purpose: Use,
    line_limit: ByteSize,
    started: Instant,
    unattached: mpsc::Sender<Envelope>,
    /// Cancelled to end the process.
    stop: CancellationToken,
    /// Cancelled once the process has ended.
    ended: CancellationToken,
}

#[derive(Default)]
struct Open {
    calls: HashMap<u64, Arc<Slot>>,
    /// Set once: no more calls.
    ended: Option<Failure>,
}

#[derive(Default)]
struct Slot {
    state: Mutex<SlotState>,
    arrived: Notify,
}

#[derive(Default)]
struct SlotState {
    messages: VecDeque<Envelope>,
    failure: Option<Failure>,
}

impl Server {
    pub(crate) fn new(
        id: ServerId,
        command: Command,
        spawner: Spawner,
        limits: LiveLimits,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self { id, command, spawner, limits, tasks, stop }
    }

    /// Starts a process. The receiver gets what belongs to no call.
    ///
    /// # Cancel safety
    /// Dropped half-way, the process ends.
    pub(crate) async fn open(&self, purpose: Use) -> Result<(Arc<Connection>, mpsc::Receiver<Envelope>), Failure> {
        // A process keeps to it for life.
        let line_limit = self.limits.load().line;
        let started = self.spawner.spawn(&self.id, &self.command, line_limit).await;
        let Started { child, stdin, stdout } = started.map_err(|error| not_started(&error))?;
        // Full: the message is dropped and counted (`Connection::route`).
        let (unattached, receiver) = mpsc::channel(UNATTACHED);
        let connection = Arc::new(Connection {
            writer: stdin,
            next_id: AtomicU64::new(1),
            open: Mutex::default(),
            undelivered: AtomicU64::new(0),
            purpose,
            line_limit,
            started: Instant::now(),
            unattached,
            stop: self.stop.child_token(),
            ended: CancellationToken::new(),
        });
        self.tasks.spawn(attend(child, stdout, connection.clone()));
        Ok((connection, receiver))
    }
}

fn not_started(error: &SpawnError) -> Failure {
    match error.hint() {
        Some(hint) => Failure::new(Kind::Unreachable, format_args!("{error}; {hint}")),
        None => Failure::new(Kind::Unreachable, error),
    }
}

/// Reads what a process says from its start to its end, and fails what is open the moment it is gone.
async fn attend(child: Child, mut stdout: Stdout, connection: Arc<Connection>) {
    let mut noise = Noise::default();
    let cause = loop {
        tokio::select! {
            biased;
            () = connection.stop.cancelled() => break "the server was stopped".to_owned(),
            said = stdout.next() => match said {
                Said::Line(line) => {
                    if connection.read(line, &mut noise) == Verdict::Restart {
                        break "the server writes something else than messages".to_owned();
                    }
                }
                Said::Closed => break "the server closed its standard output".to_owned(),
                Said::Exited(exit) => break format!("the server's process {exit}"),
            },
        }
    };
    let tail = child.stderr_tail(STDERR_LINES);
    let cause = if tail.is_empty() { cause } else { format!("{cause}; its last words: {}", tail.join(" | ")) };
    connection.end(&Failure::new(Kind::Lost, cause));
    child.stop().await;
}

impl Connection {
    /// Sends a call and waits for its first message.
    ///
    /// # Cancel safety
    /// Dropped, the call is forgotten here, but not by the server: see [`Self::cancel`].
    pub(crate) async fn call(self: &Arc<Self>, call: &mut Call, clocks: &Clocks) -> Result<Reply, Failure> {
        let mut inbox = self.register()?;
        let digits = inbox.id.to_string();
        let line = one_line(call.outbound(digits.as_bytes(), Some(digits.as_bytes())));
        call.sent_as(inbox.id);
        clocks.within(self.writer.send(line)).await?.map_err(unsent)?;
        let first = clocks.within(inbox.next()).await??;
        call.responded();
        if answers(&first, inbox.id) {
            return Ok(Reply::Whole { envelope: first, status: http::StatusCode::OK });
        }
        inbox.peeked = Some(first);
        Ok(Reply::Stdio(inbox))
    }

    /// Sends a request of the gateway's own; `body` gets the id.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        body: impl FnOnce(u64) -> Bytes,
        clocks: &Clocks,
    ) -> Result<Envelope, Failure> {
        let mut inbox = self.register()?;
        let line = one_line(body(inbox.id));
        clocks.within(self.writer.send(line)).await?.map_err(unsent)?;
        loop {
            let message = clocks.within(inbox.next()).await??;
            if answers(&message, inbox.id) {
                return Ok(message);
            }
        }
    }

    /// Delivers a notification or an answer.
    pub(crate) async fn tell(&self, message: Bytes) -> Result<(), Failure> {
        self.writer.post(one_line(message)).await.map_err(unsent)
    }

    /// Tells the server that nobody waits for `id` any more.
    pub(crate) async fn cancel(&self, id: u64, reason: &str) {
        // A server that is gone needs no cancellation.
        let _ = self.writer.post(ask::cancelled(id, reason)).await;
    }

    /// Asks the process to end.
    pub(crate) fn close(&self) {
        self.stop.cancel();
    }

    /// Resolves once the process has ended.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Has the process ended?
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// How long it has been running.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Why it ended.
    pub(crate) fn end_cause(&self) -> Option<Failure> {
        self.lock().ended.clone()
    }

    fn register(self: &Arc<Self>) -> Result<Inbox, Failure> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::<Slot>::default();
        let mut open = self.lock();
        if let Some(ended) = &open.ended {
            return Err(Failure::new(Kind::Unreachable, &ended.cause));
        }
        open.calls.insert(id, slot.clone());
        Ok(Inbox { id, slot, connection: self.clone(), peeked: None })
    }

    /// Reads one line of the process's standard output.
    fn read(&self, line: Line, noise: &mut Noise) -> Verdict {
        match line {
            Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace) => Verdict::Skip,
            Line::Whole(line) => {
                let length = line.len();
                match Envelope::parse(line) {
                    Ok(envelope) => {
                        noise.good();
                        self.route(envelope);
                        Verdict::Skip
                    }
                    Err(error) => {
                        debug!(target: "tollhouse.server", length, %error, "skipped a line that is no message");
                        noise.bad(length)
                    }
                }
            }
            Line::TooLong { head, length } if !head.starts_with(b"{") => noise.bad(length),
            Line::TooLong { head: excerpt, .. } | Line::TooLongEnd { tail: excerpt, .. } => {
                self.too_long(&excerpt);
                Verdict::Skip
            }
            Line::Partial(line) => noise.bad(line.len()),
        }
    }

    /// An answer beyond the limit is not kept, but whose it was is: its envelope shows at one of its ends.
    fn too_long(&self, excerpt: &[u8]) {
        if let Some(slot) = find_id(excerpt).and_then(|id| self.lock().calls.get(&id).cloned()) {
            let limit = self.line_limit;
            slot.fail(Failure::new(Kind::AnswerTooLarge, format_args!("the answer is larger than {limit}")));
        }
    }

    /// Gives a message to the call it belongs to, else to the session.
    fn route(&self, envelope: Envelope) {
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
                let writer = self.writer.clone();
                if let Some(Err(_)) = futures_now(writer.post(refusal)) {
                    self.lose(&envelope, "a request of a server that does not read");
                }
                return;
            }
            Form::Request { .. } => self.only_call(),
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
            // Nothing says which call a log line belongs to; with one call open there is no doubt.
            "notifications/message" => self.only_call(),
            _ => {
                let meta = envelope.meta()?;
                let id = Members::of(&envelope.bytes, meta).get(SUBSCRIPTION_ID)?;
                named(number(envelope.raw(id)))
            }
        }
    }

    fn only_call(&self) -> Option<Arc<Slot>> {
        let open = self.lock();
        let mut calls = open.calls.values();
        let first = calls.next()?;
        calls.next().is_none().then(|| first.clone())
    }

    fn lose(&self, envelope: &Envelope, what: &'static str) {
        self.undelivered.fetch_add(1, Ordering::Relaxed);
        debug!(target: "tollhouse.server", method = envelope.method().map(AsRef::as_ref), what, "a message was not delivered");
    }

    fn end(&self, failure: &Failure) {
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
    /// The process ended, or said that there will be no answer.
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
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.connection.lock().calls.remove(&self.id);
    }
}

/// Polls `work` once: it is done, or it would have to wait.
fn futures_now<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    match work.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(done) => Some(done),
        std::task::Poll::Pending => None,
    }
}

fn number(raw: &[u8]) -> Option<u64> {
    members::integer(raw).and_then(|id| u64::try_from(id).ok())
}

/// The id in a piece of an envelope that was too long to keep.
fn find_id(excerpt: &[u8]) -> Option<u64> {
    let at = memchr::memmem::rfind(excerpt, b"\"id\":")? + 5;
    let digits = excerpt[at..].trim_ascii_start();
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    number(&digits[..end])
}

fn unsent(error: WriteError) -> Failure {
    match error {
        WriteError::Unsent(why) => Failure::new(Kind::Unreachable, why),
        WriteError::Cut(why) => Failure::new(Kind::Lost, why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_answer_was_too_long_shows_at_either_end() {
        assert_eq!(find_id(br#"{"jsonrpc":"2.0","id":17,"result":{"content":["#), Some(17));
        assert_eq!(find_id(br#"xxx"]},"jsonrpc":"2.0","id": 18}"#), Some(18));
        assert_eq!(find_id(br#"{"result":"#), None);
    }
}
