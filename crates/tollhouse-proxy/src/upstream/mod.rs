//! Towards the servers: one attempt of a call, over either HTTP transport or a pipe, in the server's own era.
//!
//! Which era a server speaks is found by asking, once, before any real call: some servers run a modern call they
//! do not understand, others lock themselves to the era of whatever comes first. So a process that was asked
//! becomes the shared modern one, and legacy sessions get fresh processes (the eras as real servers show them stand
//! in `docs/internals/eras.md`).

pub(crate) mod ask;
mod attend;
mod away;
pub mod child;
mod closing;
pub(crate) mod duplex;
pub(crate) mod http;
mod life;
pub mod lines;
pub(crate) mod pool;
mod post;
pub mod restart;
mod sse;
pub(crate) mod stdio;

pub(crate) mod connect;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ::http::StatusCode;
use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollhouse_core::clock;
use tollhouse_core::era::Era;
use tollhouse_core::fault::Kind;
use tollhouse_core::ids::ServerId;
use tollhouse_core::record::Listener;
use tollhouse_core::trace::Traceparent;
use tollhouse_core::wire::{Envelope, Form, Span, splice};
use tracing::{debug, info, warn};

use self::attend::accepted_version;
use self::child::Spawner;
use self::closing::Closing;
pub use self::connect::OriginError;
pub(crate) use self::http::Heard;
use self::restart::Decision;
use crate::arguments::Arguments;
use crate::call::Call;
use crate::clocks::Clocks;
use crate::definitions::Definitions;
use crate::failure::Failure;
use crate::mirrored::{self, Mirrored};
use crate::retry::Retry;
use crate::settings::{self, LiveLimits, Timeouts};

pub(crate) const CANCELLED: &str = "notifications/cancelled";
/// How a server stands is told by this name among events.
pub(crate) const CHANGED: &str = "tollhouse.server.state_changed";
pub(crate) const LISTEN: &str = "subscriptions/listen";
pub(crate) const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";

/// Items of a list, of all servers together; the rest is left out.
pub(crate) const ITEMS_MAX: usize = 10_000;
/// Pages of one server's list.
pub(crate) const PAGES_MAX: usize = 100;
/// A server that does not take a cancellation within this time does not get it.
const CANCEL: Duration = Duration::from_secs(5);

/// One configured server.
pub(crate) struct Upstream {
    pub(crate) id: ServerId,
    pub(crate) timeouts: Timeouts,
    /// How calls that could not be sent are tried again.
    pub(crate) retry: Retry,
    /// As it was configured.
    pub(crate) configured: settings::Server,
    /// Calls under way.
    pub(crate) calls: TaskTracker,
    /// Closed when it was taken out and its calls have had their time.
    pub(crate) closing: Closing,
    /// Its tools by its own words.
    pub(crate) definitions: Definitions,
    /// The headers its tools ask for.
    pub(crate) mirrored: Mirrored,
    /// The input schemas of its tools, if arguments are held against them.
    pub(crate) arguments: Option<Arguments>,
    wire: Wire,
    status: watch::Sender<Status>,
    /// Somebody wants to know whether it answers.
    wanted: Notify,
    created: Instant,
    tasks: TaskTracker,
    /// The process that modern callers share, while it lives.
    shared: Mutex<Option<Arc<duplex::Connection>>>,
    stop: CancellationToken,
}

enum Wire {
    Http(Remote),
    Stdio(stdio::Server),
}

/// A server behind a URL, over whichever of the two HTTP transports it speaks.
struct Remote {
    streamable: Arc<http::Server>,
    sse: sse::Server,
    /// As configured; else it is found out.
    given: Option<settings::OverHttp>,
    /// It speaks HTTP+SSE, as far as is known.
    over_sse: AtomicBool,
}

/// What is known of a server.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) state: State,
    /// Why it is in that state, if that is not plain.
    pub(crate) reason: Option<String>,
    pub(crate) eras: Option<Eras>,
    /// Tools it offers, as counted when it was asked.
    pub(crate) tools: Option<usize>,
    /// What a call is told that is not sent for it.
    fault: Kind,
    /// Since when it is in that state.
    since: Instant,
    /// When it is started again, if that is decided.
    again: Option<Instant>,
    /// How often its process ended unasked and was started again.
    pub(crate) restarts: u64,
    /// Why it last did not answer, and when that was.
    pub(crate) last_failure: Option<(SystemTime, String)>,
    /// How often it was found to answer or not to.
    verdicts: u64,
}

/// Whether a server can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Not asked yet.
    Connecting,
    /// It answered.
    Connected,
    /// It does not answer; it will be asked again.
    Down,
    /// It ended too often, and is not started again.
    Parked,
}

/// Which eras a server speaks, as far as it has been asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Eras {
    pub(crate) modern: bool,
    /// `None`: discovery never shows it; the first legacy session will.
    pub(crate) legacy: Option<bool>,
}

/// The server's side of one legacy session.
#[derive(Clone)]
pub(crate) enum Link {
    Http(http::Session),
    /// A process, or a stream of HTTP+SSE.
    Duplex(Arc<duplex::Connection>),
}

impl Link {
    /// Has the connection ended that it stands for? A session over streamable HTTP has none.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Http(_) => false,
            Self::Duplex(connection) => connection.has_ended(),
        }
    }

    /// Is it the same link as `other`?
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(one), Self::Http(other)) => one.id == other.id,
            (Self::Duplex(one), Self::Duplex(other)) => Arc::ptr_eq(one, other),
            (Self::Http(_), Self::Duplex(_)) | (Self::Duplex(_), Self::Http(_)) => false,
        }
    }
}

/// A legacy session that a server has accepted.
pub(crate) struct Opened {
    pub(crate) link: Link,
    /// The server's answer to `initialize`, under our id.
    pub(crate) answer: Envelope,
    /// What the server says outside of calls; none over streamable HTTP, where a stream is opened for it.
    pub(crate) unattached: Option<mpsc::Receiver<Envelope>>,
}

/// The first of an answer.
pub(crate) enum Reply {
    /// All of it.
    Whole {
        envelope: Envelope,
        status: StatusCode,
    },
    /// Messages, the last of which is the answer.
    Http(Box<http::Events>),
    Duplex(duplex::Inbox),
}

impl Reply {
    /// What a stream brings next. The whole answer has no next.
    pub(crate) async fn next(&mut self) -> Result<Heard, Failure> {
        match self {
            Self::Whole { .. } => Err(Failure::new(Kind::Lost, "the answer has already been given")),
            Self::Http(events) => events.hear().await,
            Self::Duplex(inbox) => inbox.next().await.map(Heard::Message),
        }
    }

    /// The id under which the server knows the request.
    pub(crate) fn id(&self) -> Option<u64> {
        match self {
            Self::Whole { .. } => None,
            Self::Http(events) => Some(events.id),
            Self::Duplex(inbox) => Some(inbox.id),
        }
    }
}

impl Upstream {
    /// A server, not yet asked for anything: see [`Self::attend`].
    pub(crate) fn new(
        server: &settings::Server,
        spawner: &Spawner,
        limits: &LiveLimits,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, OriginError> {
        let limits = limits.clone();
        let wire = match &server.transport {
            settings::Transport::Http { url, headers, over } => {
                let streamable = Arc::new(http::Server::new(url, headers.clone(), &server.timeouts, limits)?);
                Wire::Http(Remote {
                    sse: sse::Server::new(
                        streamable.clone(),
                        url.clone(),
                        &server.timeouts,
                        tasks.clone(),
                        stop.clone(),
                    ),
                    streamable,
                    given: *over,
                    over_sse: AtomicBool::new(*over == Some(settings::OverHttp::Sse)),
                })
            }
            settings::Transport::Stdio(command) => Wire::Stdio(stdio::Server::new(
                server.id.clone(),
                command.clone(),
                spawner.clone(),
                limits,
                tasks.clone(),
                stop.clone(),
            )),
        };
        let created = Instant::now();
        let status = Status {
            state: State::Connecting,
            reason: Some("it has not answered yet".to_owned()),
            eras: None,
            tools: None,
            fault: Kind::Unreachable,
            since: created,
            again: None,
            restarts: 0,
            last_failure: None,
            verdicts: 0,
        };
        Ok(Self {
            id: server.id.clone(),
            timeouts: server.timeouts,
            retry: Retry::new(server.retry),
            configured: server.clone(),
            calls: TaskTracker::new(),
            closing: Closing::new(),
            definitions: Definitions::default(),
            mirrored: Mirrored::default(),
            arguments: server.validate_arguments.then(|| Arguments::new(&server.id)).transpose()?,
            wire,
            status: watch::Sender::new(status),
            wanted: Notify::new(),
            created,
            tasks,
            shared: Mutex::default(),
            stop,
        })
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Notices changes of its status.
    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// The transport's word in logs and the API.
    pub(crate) fn transport(&self) -> &'static str {
        match &self.wire {
            Wire::Http(remote) if remote.speaks_sse() => "sse",
            Wire::Http(_) => "http",
            Wire::Stdio(_) => "stdio",
        }
    }

    /// Ends everything of a server that was taken out: its processes or connections, and the work that looks after it.
    pub(crate) fn end(&self) {
        self.closing.close();
        self.stop.cancel();
        if let Wire::Http(remote) = &self.wire {
            remote.streamable.close();
        }
    }

    /// Resolves when nothing of the server goes on.
    pub(crate) async fn ended(&self) {
        self.stop.cancelled().await;
    }

    /// Waits for `work` of a call that may have been sent, but not beyond the server's time.
    pub(crate) async fn while_open<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let done = self.closing.or(work).await;
        done.unwrap_or_else(|| Err(Failure::new(Kind::Lost, "the server was taken out of the configuration")))
    }

    /// Learns from an answer to `tools/list` what its tools are and what they ask of their calls.
    pub(crate) fn learn(&self, page: &Envelope, era: Era) {
        self.definitions.learn(page);
        if era == Era::Modern {
            self.mirrored.learn(page);
        }
        if let Some(arguments) = &self.arguments {
            arguments.learn(page);
        }
    }

    fn connected(&self, eras: Eras) {
        let before = self.status();
        self.status.send_modify(|status| {
            status.enter(State::Connected);
            status.reason = None;
            status.eras = Some(eras);
        });
        if before.state != State::Connected {
            let tools = self.status().tools;
            let speaks = match eras {
                Eras { modern: true, legacy: Some(true) } => "both eras",
                Eras { modern: true, .. } => "modern",
                Eras { modern: false, .. } => "legacy",
            };
            info!(target: "tollhouse.server", event = CHANGED, server = %self.id, state = "connected", speaks, tools, "connected");
        }
    }

    /// The server does not answer; `decision` says when its process is started again.
    fn down(&self, failure: &Failure, decision: Option<Decision>) {
        let parked = decision == Some(Decision::Park);
        // Said once: it is tried again and again, and fails for the same reason every time.
        let said = self.status.borrow().reason.as_ref() == Some(&failure.cause);
        match (parked, said) {
            (true, _) => {
                warn!(target: "tollhouse.server", event = CHANGED, server = %self.id, state = "parked", cause = %failure.cause, "not connected, and not tried again");
            }
            (false, false) => {
                warn!(target: "tollhouse.server", event = CHANGED, server = %self.id, state = "down", cause = %failure.cause, "not connected; it is tried again");
            }
            (false, true) => {
                debug!(target: "tollhouse.server", server = %self.id, cause = %failure.cause, "still not connected");
            }
        }
        self.status.send_modify(|status| {
            status.enter(if parked { State::Parked } else { State::Down });
            status.fault = match failure.fault.kind {
                _ if parked => Kind::Parked,
                // These do not get better by waiting.
                Kind::Tls | Kind::Unauthorized => failure.fault.kind,
                _ => Kind::Unreachable,
            };
            status.reason = Some(failure.cause.clone());
            status.last_failure = Some((clock::wall(), failure.cause.clone()));
            if let Some(Decision::After(pause)) = decision {
                status.restarts += 1;
                status.again = Some(Instant::now() + pause);
            }
        });
    }

    /// Which eras the server speaks, if it has been asked.
    pub(crate) fn eras(&self) -> Option<Eras> {
        self.status.borrow().eras
    }

    /// Which eras the server speaks; waits for the first probe.
    pub(crate) async fn known_eras(&self, clocks: &Clocks) -> Result<Eras, Failure> {
        match self.eras_at_hand() {
            Some(eras) => Ok(eras),
            None => Box::pin(self.found_eras(clocks)).await,
        }
    }

    /// The same, if the server is there and nothing has to be waited for.
    pub(crate) fn eras_at_hand(&self) -> Option<Eras> {
        let status = self.status.borrow();
        status.eras.filter(|_| status.state == State::Connected)
    }

    /// Sees to it that headers repeat the arguments which a tool asks for: those of a modern client over HTTP are held
    /// against the arguments, for everybody else they are written, where the server can see them.
    ///
    /// # Errors
    /// See [`Mirrored::judge`].
    pub(crate) fn mirror(&self, call: &mut Call) -> Result<(), Failure> {
        match (&self.wire, call.listener, call.era()) {
            (_, Listener::Http, Era::Modern) => self.mirrored.judge(call),
            (Wire::Http(_), ..) => self.mirrored.write(call),
            (Wire::Stdio(_), ..) => Ok(()),
        }
    }

    /// The tools of a page that nobody can call over HTTP, since the headers they ask for are not as they must be.
    pub(crate) fn unmirrored_tools(&self, page: &Envelope) -> Vec<Span> {
        match self.wire {
            Wire::Http(_) => mirrored::malformed(page),
            Wire::Stdio(_) => Vec::new(),
        }
    }

    /// Sends a call: in `link`'s session, or by itself in the modern era.
    ///
    /// # Cancel safety
    /// Dropped, the call is forgotten here; [`Self::cancel`] tells the server.
    pub(crate) async fn call(&self, call: &mut Call, link: Option<&Link>, clocks: &Clocks) -> Result<Reply, Failure> {
        let reply = match (&self.wire, link) {
            (Wire::Http(remote), None) => remote.streamable.call(call, None, clocks).await,
            (Wire::Http(remote), Some(Link::Http(session))) => {
                remote.streamable.call(call, Some(session), clocks).await
            }
            // Boxed: this way is the larger one, and both are moved with every call.
            (Wire::Stdio(_), None) => match self.shared_process() {
                Ok(connection) => Box::pin(connection.call(call, clocks)).await,
                Err(failure) => Err(failure),
            },
            (_, Some(Link::Duplex(connection))) => Box::pin(connection.call(call, clocks)).await,
            (Wire::Stdio(_), Some(Link::Http(_))) => unreachable!("a link belongs to the server that opened it"),
        };
        if let Err(failure) = &reply {
            self.heed(failure);
        }
        reply
    }

    /// An unreachable HTTP server is asked again until it answers.
    fn heed(&self, failure: &Failure) {
        let unreachable = matches!(failure.fault.kind, Kind::Unreachable | Kind::Tls);
        if !unreachable || !matches!(self.wire, Wire::Http(_)) {
            return;
        }
        let first = self.status.send_if_modified(|status| {
            let first = status.state == State::Connected;
            if first {
                status.enter(State::Down);
                status.fault = failure.fault.kind;
                status.reason = Some(failure.cause.clone());
            }
            first
        });
        if first {
            warn!(target: "tollhouse.server", event = CHANGED, server = %self.id, state = "down", cause = %failure.cause, "lost");
        }
    }

    fn shared_process(&self) -> Result<Arc<duplex::Connection>, Failure> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let living = shared.filter(|connection| !connection.has_ended() && connection.takes_calls());
        living.ok_or_else(|| self.status().failure())
    }

    /// Tells the server that nobody waits for the call it knows as `id`. Over HTTP in the modern era the closed
    /// connection has said so.
    pub(crate) async fn cancel(&self, id: u64, link: Option<&Link>, reason: &str) {
        // The call's own clocks may be what ran out.
        let clocks = &self.clocks(CANCEL);
        let telling = async {
            match (&self.wire, link) {
                (_, Some(Link::Duplex(connection))) => connection.cancel(id, reason).await,
                (Wire::Stdio(_), None | Some(Link::Http(_))) => {
                    if let Ok(connection) = self.shared_process() {
                        connection.cancel(id, reason).await;
                    }
                }
                (Wire::Http(remote), Some(Link::Http(session))) => {
                    let _ = remote.streamable.tell(ask::cancelled(id, reason), Some(session), clocks).await;
                }
                (Wire::Http(_), None) => {}
            }
        };
        // Who does not even read is not told.
        let _ = clocks.within(telling).await;
    }

    /// Opens a legacy session with the client's own `initialize`: its capabilities, its name.
    ///
    /// # Errors
    /// [`Kind::EraUnsupported`]: the server speaks the modern era only, which is remembered.
    pub(crate) async fn open(&self, initialize: &Envelope, id: Span, clocks: &Clocks) -> Result<Opened, Failure> {
        let eras = self.known_eras(clocks).await?;
        if eras.legacy == Some(false) {
            return Err(Failure::new(Kind::EraUnsupported, "the server has no sessions"));
        }
        match self.try_open(initialize, id, clocks).await {
            Err(failure) if eras.modern && eras.legacy.is_none() && has_no_sessions(&failure, initialize) => {
                self.learn_legacy(false);
                Err(Failure { fault: Kind::EraUnsupported.fault(), ..failure })
            }
            Ok(opened) => {
                self.learn_legacy(true);
                Ok(opened)
            }
            // There is no other way to a server that is not modern.
            Err(failure) if failure.fault.kind == Kind::EraUnsupported && !eras.modern => {
                Err(Failure { fault: Kind::Rejected.fault(), ..failure })
            }
            Err(failure) => Err(failure),
        }
    }

    /// What the first legacy session has shown. What is known stays until the server is asked anew.
    fn learn_legacy(&self, served: bool) {
        self.status.send_if_modified(|status| match &mut status.eras {
            Some(eras) if eras.legacy.is_none() => {
                eras.legacy = Some(served);
                true
            }
            _ => false,
        });
    }

    async fn try_open(&self, initialize: &Envelope, id: Span, clocks: &Clocks) -> Result<Opened, Failure> {
        let opened = match &self.wire {
            Wire::Http(remote) if remote.speaks_sse() => {
                match Box::pin(remote.sse.open(duplex::Use::Session, clocks)).await {
                    Ok(opened) => self.begin(opened, initialize, id, clocks).await?,
                    Err(failure) => {
                        self.heed(&failure);
                        return Err(failure);
                    }
                }
            }
            Wire::Http(Remote { streamable: server, .. }) => {
                let upstream_id = server.mint_id();
                let body = with_id(initialize, id, upstream_id);
                let (answer, head) = server.ask(body, upstream_id, "initialize", None, None, clocks).await?;
                let version = accepted_version(&answer)?;
                let session = http::Session { id: http::session_id(&head), version };
                Opened { link: Link::Http(session), answer, unattached: None }
            }
            Wire::Stdio(server) => {
                let opened = server.open(duplex::Use::Session).await?;
                self.begin(opened, initialize, id, clocks).await?
            }
        };
        Ok(opened)
    }

    /// Begins a legacy session on a connection of its own, which ends if the server refuses it.
    async fn begin(
        &self,
        (connection, unattached): (Arc<duplex::Connection>, mpsc::Receiver<Envelope>),
        initialize: &Envelope,
        id: Span,
        clocks: &Clocks,
    ) -> Result<Opened, Failure> {
        let asked = connection.ask(|upstream_id| with_id(initialize, id, upstream_id), clocks).await;
        match asked.and_then(|answer| accepted_version(&answer).map(|_| answer)) {
            Ok(answer) => Ok(Opened { link: Link::Duplex(connection), answer, unattached: Some(unattached) }),
            Err(failure) => {
                connection.close();
                Err(failure)
            }
        }
    }

    /// Asks something on a caller's behalf: in `link`'s session, or by itself in the modern era. `params` is an object;
    /// `told` goes into a header where there are headers.
    pub(crate) async fn ask(
        &self,
        method: &'static str,
        params: &[u8],
        link: Option<&Link>,
        told: Option<Traceparent>,
        clocks: &Clocks,
    ) -> Result<Envelope, Failure> {
        let body = |id: u64| Bytes::from(ask::request(id, method, params));
        match (&self.wire, link) {
            (_, Some(Link::Duplex(connection))) => connection.ask(body, clocks).await,
            (Wire::Http(Remote { streamable: server, .. }), link) => {
                let session = match link {
                    Some(Link::Http(session)) => Some(session),
                    _ => None,
                };
                let id = server.mint_id();
                let answer = server.ask(body(id), id, method, session, told, clocks).await.map(|(answer, _)| answer);
                answer.inspect_err(|failure| self.heed(failure))
            }
            (Wire::Stdio(_), _) => self.shared_process()?.ask(body, clocks).await,
        }
    }

    /// Delivers a notification or an answer of the client, as it is.
    pub(crate) async fn tell(&self, message: Bytes, link: Option<&Link>, clocks: &Clocks) -> Result<(), Failure> {
        match (&self.wire, link) {
            (Wire::Http(remote), Some(Link::Http(session))) => {
                remote.streamable.tell(message, Some(session), clocks).await
            }
            (Wire::Http(remote), None) => remote.streamable.tell(message, None, clocks).await,
            (_, Some(Link::Duplex(connection))) => clocks.within(connection.tell(message)).await?,
            (Wire::Stdio(_), None | Some(Link::Http(_))) => self.shared_process()?.tell(message).await,
        }
    }

    /// Opens the stream of messages that belong to no call of an HTTP session; `None` if there is no such thing.
    pub(crate) async fn listen(&self, link: &Link, after: Option<&str>) -> Result<Option<http::Events>, Failure> {
        match (&self.wire, link) {
            (Wire::Http(remote), Link::Http(session)) => {
                remote.streamable.listen(session, after).await.inspect_err(|failure| self.heed(failure))
            }
            _ => Ok(None),
        }
    }

    /// Opens a listen of the gateway's own at a modern server, for the filter `notifications`, written out; with it the
    /// server's acknowledgement. `None` if it serves no such listen.
    ///
    /// # Cancel safety
    /// Dropped, the listen ends at a server over HTTP.
    pub(crate) async fn subscribe(
        &self,
        notifications: &str,
        clocks: &Clocks,
    ) -> Result<Option<(Reply, Envelope)>, Failure> {
        let body = |id| Bytes::from(ask::request(id, LISTEN, ask::listen_params(notifications).as_bytes()));
        let mut reply = match &self.wire {
            Wire::Http(server) => {
                let id = server.streamable.mint_id();
                let begun = server.streamable.begin(body(id), id, LISTEN, None, None, clocks).await;
                match begun.inspect_err(|failure| self.heed(failure)) {
                    Ok((reply, _)) => reply,
                    Err(failure) if failure.fault.kind == Kind::Rejected => return Ok(None),
                    Err(failure) => return Err(failure),
                }
            }
            Wire::Stdio(_) => Reply::Duplex(self.shared_process()?.begin(body, clocks).await?),
        };
        loop {
            let message = match reply {
                Reply::Whole { envelope, .. } => return refused_listen(&envelope),
                _ => clocks.within(reply.next()).await??,
            };
            match message {
                Heard::Message(envelope) if envelope.method().is_some_and(|method| method == ACKNOWLEDGED) => {
                    return Ok(Some((reply, envelope)));
                }
                Heard::Message(envelope) if matches!(envelope.form, Form::Result { .. } | Form::Error { .. }) => {
                    return refused_listen(&envelope);
                }
                _ => {}
            }
        }
    }

    /// Ends a legacy session.
    pub(crate) async fn close(&self, link: &Link, clocks: &Clocks) {
        match (&self.wire, link) {
            (Wire::Http(remote), Link::Http(session)) => remote.streamable.end(session, clocks).await,
            (_, Link::Duplex(connection)) => connection.close(),
            (Wire::Stdio(_), Link::Http(_)) => {}
        }
    }
}

/// Does the refusal of `initialize` by a modern server mean that it has no sessions? It says so by one of its era's own
/// codes, or else by any refusal of a request that nothing is wrong with.
fn has_no_sessions(failure: &Failure, initialize: &Envelope) -> bool {
    match failure.fault.kind {
        Kind::EraUnsupported => true,
        Kind::Rejected => initialize.pick_params(["capabilities", "clientInfo"]).is_ok_and(|picked| {
            picked.iter().all(|span| span.is_some_and(|span| initialize.raw(span).starts_with(b"{")))
        }),
        _ => false,
    }
}

impl Status {
    fn enter(&mut self, state: State) {
        if self.state != state {
            (self.state, self.since) = (state, Instant::now());
        }
        self.again = None;
        self.verdicts += 1;
    }

    /// Why a call is not sent to the server.
    fn failure(&self) -> Failure {
        Failure::new(self.fault, self.reason.as_deref().unwrap_or("the server's process is being started"))
    }
}

/// A listen that was answered before it was acknowledged: refused for good, or ended at once.
fn refused_listen<T>(answer: &Envelope) -> Result<Option<T>, Failure> {
    match answer.form {
        Form::Error { .. } => Ok(None),
        _ => Err(Failure::new(Kind::Lost, "the server ended the subscription")),
    }
}

impl Remote {
    fn speaks_sse(&self) -> bool {
        self.over_sse.load(Ordering::Relaxed)
    }
}

fn with_id(request: &Envelope, id: Span, upstream_id: u64) -> Bytes {
    splice::splice(&request.bytes, &[(id, upstream_id.to_string().as_bytes())])
}
