//! Towards the servers: one attempt of a call, over HTTP or a pipe, in the server's own era.
//!
//! Which era a server speaks is found by asking, once, before any real call: some servers run a modern call they
//! do not understand, others lock themselves to the era of whatever comes first. So a process that was asked
//! becomes the shared modern one, and legacy sessions get fresh processes (the eras as real servers show them stand
//! in `docs/internals/eras.md`).

pub mod child;
pub(crate) mod http;
pub mod lines;
pub(crate) mod pool;
pub mod restart;
pub(crate) mod stdio;

pub(crate) mod connect;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::StatusCode;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollhouse_core::era::{Era, Version};
use tollhouse_core::fault::Kind;
use tollhouse_core::ids::ServerId;
use tollhouse_core::wire::{Envelope, Form, Members, Span, members, splice};
use tracing::{debug, info, warn};

use self::child::Spawner;
pub use self::connect::OriginError;
pub(crate) use self::http::Heard;
use self::restart::{Decision, Restart};
use crate::call::Call;
use crate::clocks::Clocks;
use crate::failure::Failure;
use crate::mirrored::Mirrored;
use crate::settings::{self, LiveLimits, Timeouts};

pub(crate) const CANCELLED: &str = "notifications/cancelled";
pub(crate) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// Items of a list, of all servers together; the rest is left out.
pub(crate) const ITEMS_MAX: usize = 10_000;
/// Pages of one server's list.
pub(crate) const PAGES_MAX: usize = 100;
/// The pause before a server that could not be reached is asked again; doubles up to a minute.
const PROBE_PAUSE: Duration = Duration::from_secs(1);
/// A server that does not take a cancellation within this time does not get it.
const CANCEL: Duration = Duration::from_secs(5);
const PROBE_PAUSE_MAX: Duration = Duration::from_mins(1);

/// One configured server.
pub(crate) struct Upstream {
    pub(crate) id: ServerId,
    pub(crate) timeouts: Timeouts,
    /// As it was configured.
    pub(crate) configured: settings::Server,
    /// Calls under way.
    pub(crate) calls: TaskTracker,
    /// Cancelled when it was taken out and its calls have had their time.
    pub(crate) closed: CancellationToken,
    /// The headers its tools ask for.
    pub(crate) mirrored: Mirrored,
    wire: Wire,
    status: watch::Sender<Status>,
    /// The process that modern callers share, while it lives.
    shared: Mutex<Option<Arc<stdio::Connection>>>,
    stop: CancellationToken,
}

enum Wire {
    Http(Arc<http::Server>),
    Stdio(stdio::Server),
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
    Stdio(Arc<stdio::Connection>),
}

/// A legacy session that a server has accepted.
pub(crate) struct Opened {
    pub(crate) link: Link,
    /// The server's answer to `initialize`, under our id.
    pub(crate) answer: Envelope,
    /// What the process says outside of calls; none over HTTP, where a stream is opened for it.
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
    Stdio(stdio::Inbox),
}

impl Reply {
    /// What a stream brings next. The whole answer has no next.
    pub(crate) async fn next(&mut self) -> Result<Heard, Failure> {
        match self {
            Self::Whole { .. } => Err(Failure::new(Kind::Lost, "the answer has already been given")),
            Self::Http(events) => events.hear().await,
            Self::Stdio(inbox) => inbox.next().await.map(Heard::Message),
        }
    }

    /// The id under which the server knows the request.
    pub(crate) fn id(&self) -> Option<u64> {
        match self {
            Self::Whole { .. } => None,
            Self::Http(events) => Some(events.id),
            Self::Stdio(inbox) => Some(inbox.id),
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
            settings::Transport::Http { url, headers } => {
                Wire::Http(Arc::new(http::Server::new(url, headers.clone(), &server.timeouts, limits)?))
            }
            settings::Transport::Stdio(command) => Wire::Stdio(stdio::Server::new(
                server.id.clone(),
                command.clone(),
                spawner.clone(),
                limits,
                tasks,
                stop.clone(),
            )),
        };
        let status = Status { state: State::Connecting, reason: None, eras: None, tools: None };
        Ok(Self {
            id: server.id.clone(),
            timeouts: server.timeouts,
            configured: server.clone(),
            calls: TaskTracker::new(),
            closed: CancellationToken::new(),
            mirrored: Mirrored::default(),
            wire,
            status: watch::Sender::new(status),
            shared: Mutex::default(),
            stop,
        })
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The transport's word in logs and the API.
    pub(crate) fn transport(&self) -> &'static str {
        match self.wire {
            Wire::Http(_) => "http",
            Wire::Stdio(_) => "stdio",
        }
    }

    /// Ends everything of a server that was taken out: its processes or connections, and the work that looks after it.
    pub(crate) fn end(&self) {
        self.closed.cancel();
        self.stop.cancel();
        if let Wire::Http(server) = &self.wire {
            server.close();
        }
    }

    /// Resolves when nothing of the server goes on.
    pub(crate) async fn ended(&self) {
        self.stop.cancelled().await;
    }

    /// Waits for `work` of a call that may have been sent, but not beyond the server's time.
    pub(crate) async fn while_open<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.closed.cancelled() => Err(Failure::new(Kind::Lost, "the server was taken out of the configuration")),
        }
    }

    /// Asks the server what it speaks, starts it where it must be started, and keeps doing so until the gateway
    /// stops. Runs as one task per server.
    pub(crate) async fn attend(self: Arc<Self>) {
        let stop = self.stop.clone();
        let attending = async {
            match &self.wire {
                Wire::Http(server) => self.attend_http(server).await,
                Wire::Stdio(server) => self.attend_stdio(server).await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = attending => {}
        }
    }

    /// Asks until it answers; a call that cannot reach it starts the asking again.
    async fn attend_http(&self, server: &Arc<http::Server>) {
        let mut lost = self.status.subscribe();
        let mut pause = PROBE_PAUSE;
        loop {
            match self.probe_http(server, &self.start_clocks()).await {
                Ok(()) => {
                    pause = PROBE_PAUSE;
                    // The sender lives as long as `self`.
                    let _ = lost.wait_for(|status| status.state == State::Down).await;
                }
                Err(failure) => self.down(&failure, false),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PROBE_PAUSE_MAX);
        }
    }

    /// Starts the process modern callers share, again and again as it ends. A legacy server needs none: its
    /// sessions have processes of their own.
    async fn attend_stdio(&self, server: &stdio::Server) {
        let mut restart = Restart::default();
        loop {
            let started = Instant::now();
            let (failure, uptime) = match self.start_shared(server).await {
                Ok(None) => return,
                Ok(Some(connection)) => {
                    connection.ended().await;
                    self.shared.lock().unwrap_or_else(PoisonError::into_inner).take();
                    (connection.end_cause(), started.elapsed())
                }
                Err(failure) => (Some(failure), Duration::ZERO),
            };
            let failure = failure.unwrap_or_else(|| Failure::new(Kind::Lost, "the server's process ended"));
            let decision = restart.exited(uptime);
            self.down(&failure, decision == Decision::Park);
            match decision {
                Decision::Park => return,
                Decision::After(pause) => sleep(pause).await,
            }
        }
    }

    /// Starts a process and asks it what it speaks; the process, if it is now the shared one.
    async fn start_shared(&self, server: &stdio::Server) -> Result<Option<Arc<stdio::Connection>>, Failure> {
        let (connection, unattached) = server.open(stdio::Use::Shared).await?;
        // Nobody listens: what names no call belongs to nobody.
        drop(unattached);
        let probed = self.probe_stdio(&connection, &self.start_clocks()).await;
        if !matches!(probed, Ok(true)) {
            connection.close();
            connection.ended().await;
            return probed.map(|_| None);
        }
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
        self.connected(Eras { modern: true, legacy: self.eras().and_then(|eras| eras.legacy) });
        Ok(Some(connection))
    }

    fn start_clocks(&self) -> Clocks {
        let start = self.timeouts.start;
        Clocks::start(Instant::now(), &Timeouts { idle: start, hard: start, ..self.timeouts })
    }

    async fn probe_http(&self, server: &Arc<http::Server>, clocks: &Clocks) -> Result<(), Failure> {
        let id = server.mint_id();
        let discovered = match server.ask(ask::discover(id), id, "server/discover", None, clocks).await {
            Ok((answer, _)) => speaks_modern(&answer),
            // Refused without a message: an older server.
            Err(failure) if matches!(failure.fault.kind, Kind::Rejected | Kind::InvalidAnswer) => false,
            Err(failure) => return Err(failure),
        };
        if discovered {
            self.list_tools(None, Era::Modern, clocks).await;
            self.connected(Eras { modern: true, legacy: None });
            return Ok(());
        }
        let id = server.mint_id();
        let (answer, head) = server.ask(ask::initialize(id), id, "initialize", None, clocks).await?;
        let session = http::Session { id: http::session_id(&head), version: accepted_version(&answer)? };
        let _ = server.tell(ask::initialized(), Some(&session), clocks).await;
        self.list_tools(Some(&Link::Http(session.clone())), Era::Legacy, clocks).await;
        server.end(&session, clocks).await;
        self.connected(Eras { modern: false, legacy: Some(true) });
        Ok(())
    }

    /// True if the process is now the shared modern one.
    async fn probe_stdio(&self, connection: &Arc<stdio::Connection>, clocks: &Clocks) -> Result<bool, Failure> {
        let answer = connection.ask(ask::discover, clocks).await?;
        if speaks_modern(&answer) {
            self.list_tools(Some(&Link::Stdio(connection.clone())), Era::Modern, clocks).await;
            return Ok(true);
        }
        let answer = connection.ask(ask::initialize, clocks).await?;
        accepted_version(&answer)?;
        connection.tell(ask::initialized()).await?;
        self.list_tools(Some(&Link::Stdio(connection.clone())), Era::Legacy, clocks).await;
        self.connected(Eras { modern: false, legacy: Some(true) });
        Ok(false)
    }

    /// Asks for all tools: how many there are, and, since a call may come before any list, the headers they ask for.
    async fn list_tools(&self, link: Option<&Link>, era: Era, clocks: &Clocks) {
        let (mut tools, mut cursor) = (None, None);
        for _ in 0..PAGES_MAX {
            let params = ask::list_params(era, cursor.as_deref());
            let Ok(page) = self.ask("tools/list", &params, link, clocks).await else { break };
            let Form::Result { result, .. } = page.form else { break };
            let result = Members::of(&page.bytes, result);
            let Some(listed) = result.get("tools") else { break };
            let count = tools.unwrap_or(0) + members::elements(&page.bytes, listed).count();
            tools = Some(count);
            if era == Era::Modern {
                self.mirrored.learn(&page);
            }
            let next = result.get("nextCursor").map(|span| page.slice(span)).filter(|next| next != "null");
            if next.is_none() || next == cursor || count >= ITEMS_MAX {
                break;
            }
            cursor = next;
        }
        self.status.send_modify(|status| status.tools = tools.or(status.tools));
    }

    fn connected(&self, eras: Eras) {
        let before = self.status();
        self.status.send_modify(|status| {
            status.state = State::Connected;
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
            info!(target: "tollhouse.server", server = %self.id, speaks, tools, "connected");
        }
    }

    fn down(&self, failure: &Failure, parked: bool) {
        // Said once: it is tried again and again, and fails for the same reason every time.
        let said = self.status.borrow().reason.as_ref() == Some(&failure.cause);
        match (parked, said) {
            (true, _) => {
                warn!(target: "tollhouse.server", server = %self.id, cause = %failure.cause, "not connected, and not tried again");
            }
            (false, false) => {
                warn!(target: "tollhouse.server", server = %self.id, cause = %failure.cause, "not connected; it is tried again");
            }
            (false, true) => {
                debug!(target: "tollhouse.server", server = %self.id, cause = %failure.cause, "still not connected");
            }
        }
        self.status.send_modify(|status| {
            status.state = if parked { State::Parked } else { State::Down };
            status.reason = Some(failure.cause.clone());
        });
    }

    fn eras(&self) -> Option<Eras> {
        self.status.borrow().eras
    }

    /// Which eras the server speaks; waits for the first probe.
    async fn known_eras(&self, clocks: &Clocks) -> Result<Eras, Failure> {
        match self.eras() {
            Some(eras) => Ok(eras),
            None => Box::pin(self.first_probe(clocks)).await,
        }
    }

    async fn first_probe(&self, clocks: &Clocks) -> Result<Eras, Failure> {
        let mut watch = self.status.subscribe();
        let probed = clocks
            .within(watch.wait_for(|status| status.eras.is_some() || status.state != State::Connecting))
            .await?
            .map(|status| status.clone());
        match probed {
            Ok(Status { eras: Some(eras), .. }) => Ok(eras),
            Ok(status) => Err(Failure::new(Kind::Unreachable, status.reason.as_deref().unwrap_or("not connected"))),
            Err(_) => Err(Failure::new(Kind::Draining, "the gateway is shutting down")),
        }
    }

    /// Does the server speak the era of the caller? Waits for the first probe if need be.
    pub(crate) async fn speaks(&self, era: Era, clocks: &Clocks) -> Result<bool, Failure> {
        let eras = self.known_eras(clocks).await?;
        Ok(match era {
            Era::Modern => eras.modern,
            Era::Legacy => eras.legacy.unwrap_or(true),
        })
    }

    /// Sends a call: in `link`'s session, or by itself in the modern era.
    ///
    /// # Cancel safety
    /// Dropped, the call is forgotten here; [`Self::cancel`] tells the server.
    pub(crate) async fn call(&self, call: &mut Call, link: Option<&Link>, clocks: &Clocks) -> Result<Reply, Failure> {
        let reply = match (&self.wire, link) {
            (Wire::Http(server), None) => server.call(call, None, clocks).await,
            (Wire::Http(server), Some(Link::Http(session))) => server.call(call, Some(session), clocks).await,
            // Boxed: this way is the larger one, and both are moved with every call.
            (Wire::Stdio(_), None) => match self.shared_process() {
                Ok(connection) => Box::pin(connection.call(call, clocks)).await,
                Err(failure) => Err(failure),
            },
            (Wire::Stdio(_), Some(Link::Stdio(connection))) => Box::pin(connection.call(call, clocks)).await,
            (Wire::Http(_), Some(Link::Stdio(_))) | (Wire::Stdio(_), Some(Link::Http(_))) => {
                unreachable!("a link belongs to the server that opened it")
            }
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
                status.state = State::Down;
                status.reason = Some(failure.cause.clone());
            }
            first
        });
        if first {
            warn!(target: "tollhouse.server", server = %self.id, cause = %failure.cause, "lost");
        }
    }

    fn shared_process(&self) -> Result<Arc<stdio::Connection>, Failure> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        shared.filter(|connection| !connection.has_ended()).ok_or_else(|| {
            let status = self.status();
            Failure::new(Kind::Unreachable, status.reason.as_deref().unwrap_or("the server's process is being started"))
        })
    }

    /// Tells the server that nobody waits for the call it knows as `id`. Over HTTP in the modern era the closed
    /// connection has said so.
    pub(crate) async fn cancel(&self, id: u64, link: Option<&Link>, reason: &str) {
        // The call's own clocks may be what ran out.
        let clocks = &Clocks::start(Instant::now(), &Timeouts { idle: CANCEL, hard: CANCEL, ..self.timeouts });
        match (&self.wire, link) {
            (_, Some(Link::Stdio(connection))) => connection.cancel(id, reason).await,
            (Wire::Stdio(_), None | Some(Link::Http(_))) => {
                if let Ok(connection) = self.shared_process() {
                    connection.cancel(id, reason).await;
                }
            }
            (Wire::Http(server), Some(Link::Http(session))) => {
                let _ = server.tell(ask::cancelled(id, reason), Some(session), clocks).await;
            }
            (Wire::Http(_), None) => {}
        }
    }

    /// Opens a legacy session with the client's own `initialize`: its capabilities, its name.
    ///
    /// # Errors
    /// [`Kind::EraUnsupported`]: the server speaks the modern era only.
    pub(crate) async fn open(&self, initialize: &Envelope, id: Span, clocks: &Clocks) -> Result<Opened, Failure> {
        self.known_eras(clocks).await?;
        let opened = match &self.wire {
            Wire::Http(server) => {
                let upstream_id = server.mint_id();
                let body = with_id(initialize, id, upstream_id);
                let (answer, head) = server.ask(body, upstream_id, "initialize", None, clocks).await?;
                let version = self.accepted(&answer)?;
                let session = http::Session { id: http::session_id(&head), version };
                Opened { link: Link::Http(session), answer, unattached: None }
            }
            Wire::Stdio(server) => {
                let (connection, unattached) = server.open(stdio::Use::Session).await?;
                let asked = connection.ask(|upstream_id| with_id(initialize, id, upstream_id), clocks).await;
                match asked.and_then(|answer| self.accepted(&answer).map(|_| answer)) {
                    Ok(answer) => Opened { link: Link::Stdio(connection), answer, unattached: Some(unattached) },
                    Err(failure) => {
                        connection.close();
                        return Err(failure);
                    }
                }
            }
        };
        self.status.send_if_modified(|status| match &mut status.eras {
            Some(eras) if eras.legacy.is_none() => {
                eras.legacy = Some(true);
                true
            }
            _ => false,
        });
        Ok(opened)
    }

    /// Asks something on a caller's behalf: in `link`'s session, or by itself in the modern era. `params` is an object.
    pub(crate) async fn ask(
        &self,
        method: &'static str,
        params: &[u8],
        link: Option<&Link>,
        clocks: &Clocks,
    ) -> Result<Envelope, Failure> {
        let body = |id: u64| Bytes::from(ask::request(id, method, params));
        match (&self.wire, link) {
            (Wire::Http(server), link) => {
                let session = match link {
                    Some(Link::Http(session)) => Some(session),
                    _ => None,
                };
                let id = server.mint_id();
                server.ask(body(id), id, method, session, clocks).await.map(|(answer, _)| answer)
            }
            (Wire::Stdio(_), Some(Link::Stdio(connection))) => connection.ask(body, clocks).await,
            (Wire::Stdio(_), _) => self.shared_process()?.ask(body, clocks).await,
        }
    }

    fn accepted(&self, answer: &Envelope) -> Result<Version, Failure> {
        let version = accepted_version(answer);
        if let Err(failure) = &version
            && failure.fault.kind == Kind::EraUnsupported
        {
            self.status.send_modify(|status| {
                if let Some(eras) = &mut status.eras {
                    eras.legacy = Some(false);
                }
            });
        }
        version
    }

    /// Delivers a notification or an answer of the client, as it is.
    pub(crate) async fn tell(&self, message: Bytes, link: Option<&Link>, clocks: &Clocks) -> Result<(), Failure> {
        match (&self.wire, link) {
            (Wire::Http(server), Some(Link::Http(session))) => server.tell(message, Some(session), clocks).await,
            (Wire::Http(server), None) => server.tell(message, None, clocks).await,
            (_, Some(Link::Stdio(connection))) => connection.tell(message).await,
            (Wire::Stdio(_), None | Some(Link::Http(_))) => self.shared_process()?.tell(message).await,
        }
    }

    /// Opens the stream of messages that belong to no call of an HTTP session; `None` if there is no such thing.
    pub(crate) async fn listen(&self, link: &Link, after: Option<&str>) -> Result<Option<http::Events>, Failure> {
        match (&self.wire, link) {
            (Wire::Http(server), Link::Http(session)) => server.listen(session, after).await,
            _ => Ok(None),
        }
    }

    /// Ends a legacy session.
    pub(crate) async fn close(&self, link: &Link, clocks: &Clocks) {
        match (&self.wire, link) {
            (Wire::Http(server), Link::Http(session)) => server.end(session, clocks).await,
            (_, Link::Stdio(connection)) => connection.close(),
            (Wire::Stdio(_), Link::Http(_)) => {}
        }
    }
}

fn with_id(request: &Envelope, id: Span, upstream_id: u64) -> Bytes {
    splice::splice(&request.bytes, &[(id, upstream_id.to_string().as_bytes())])
}

/// Does the answer to `server/discover` show the modern revision? Its own error codes do so as well; any other
/// error says nothing but "not that".
fn speaks_modern(answer: &Envelope) -> bool {
    let text = &answer.bytes;
    let lists_modern = |versions: Span| {
        members::elements(text, versions)
            .any(|version| members::text(version.of(text)).as_deref() == Some(Version::MODERN.as_str()))
    };
    match &answer.form {
        Form::Result { result, .. } => Members::of(text, *result).get("supportedVersions").is_some_and(lists_modern),
        Form::Error { error, .. } => {
            let code = Members::of(text, *error).get("code").and_then(|code| members::integer(code.of(text)));
            match code {
                Some(-32020 | -32021) => true,
                Some(-32022) => Members::of(text, *error)
                    .get("data")
                    .and_then(|data| Members::of(text, data).get("supported"))
                    .is_none_or(lists_modern),
                _ => false,
            }
        }
        Form::Request { .. } | Form::Notification { .. } => false,
    }
}

/// The revision a server chose in its answer to `initialize`.
fn accepted_version(answer: &Envelope) -> Result<Version, Failure> {
    let text = &answer.bytes;
    match &answer.form {
        Form::Result { result, .. } => {
            let version =
                Members::of(text, *result).get("protocolVersion").and_then(|span| members::text(span.of(text)));
            match version.as_deref().and_then(Version::parse) {
                Some(version) if version.era() == Era::Legacy => Ok(version),
                _ => Err(Failure::new(
                    Kind::InvalidAnswer,
                    format_args!("the server chose protocol version {}", version.as_deref().unwrap_or("none")),
                )),
            }
        }
        Form::Error { error, .. } => {
            let members = Members::of(text, *error);
            let code = members.get("code").and_then(|code| members::integer(code.of(text))).unwrap_or_default();
            let message = members.get("message").and_then(|span| members::text(span.of(text))).unwrap_or_default();
            let kind = if matches!(code, -32022 | -32601) { Kind::EraUnsupported } else { Kind::Rejected };
            Err(Failure::new(kind, format_args!("the server refused the session: {message} ({code})")))
        }
        Form::Request { .. } | Form::Notification { .. } => {
            Err(Failure::new(Kind::InvalidAnswer, "the server answered `initialize` with a question"))
        }
    }
}

/// What the gateway itself asks a server, under its own name, to learn what it speaks. Calls of clients never go
/// under it.
mod ask {
    use bytes::Bytes;
    use tollhouse_core::era::{Era, Version};

    use super::CANCELLED;
    use crate::call::quote;

    const ME: &str = concat!(r#"{"name":"tollhouse","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

    fn meta() -> String {
        format!(
            r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"{}","io.modelcontextprotocol/clientInfo":{ME},"io.modelcontextprotocol/clientCapabilities":{{}}}}"#,
            Version::MODERN
        )
    }

    pub(super) fn discover(id: u64) -> Bytes {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"server/discover","params":{{{}}}}}"#, meta()).into()
    }

    pub(super) fn initialize(id: u64) -> Bytes {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"{}","capabilities":{{}},"clientInfo":{ME}}}}}"#,
            Version::LATEST_LEGACY
        )
        .into()
    }

    pub(super) fn initialized() -> Bytes {
        Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
    }

    /// What is said beside `tools/list`; `cursor` as the server wrote it.
    pub(super) fn list_params(era: Era, cursor: Option<&[u8]>) -> Vec<u8> {
        let meta = if era == Era::Modern { meta() } else { String::new() };
        let comma: &[u8] = if meta.is_empty() { b"" } else { b"," };
        match cursor {
            Some(cursor) => [b"{", meta.as_bytes(), comma, b"\"cursor\":", cursor, b"}"].concat(),
            None => [b"{", meta.as_bytes(), b"}"].concat(),
        }
    }

    pub(super) fn request(id: u64, method: &str, params: &[u8]) -> Vec<u8> {
        let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":"#);
        [head.as_bytes(), params, b"}"].concat()
    }

    pub(super) fn cancelled(id: u64, reason: &str) -> Bytes {
        let reason = String::from_utf8(quote(reason)).expect("quoting keeps UTF-8");
        format!(r#"{{"jsonrpc":"2.0","method":"{CANCELLED}","params":{{"requestId":{id},"reason":{reason}}}}}"#).into()
    }
}
