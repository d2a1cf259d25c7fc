//! How a server is looked after from its first question on: asked what it speaks, started, and asked or started again
//! when it is gone. One task per server; calls only wake it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tollhouse_core::era::{Era, Version};
use tollhouse_core::fault::Kind;
use tollhouse_core::wire::{Envelope, Form, Members, Span, members};

use super::restart::{Decision, Restart};
use super::{Eras, ITEMS_MAX, Link, PAGES_MAX, Remote, Upstream, Wire, ask, duplex, http, sse, stdio};
use crate::clocks::Clocks;
use crate::failure::Failure;
use crate::settings::{self, Timeouts};

/// The pause before a server that could not be reached is asked again; doubles up to a minute.
const PROBE_PAUSE: Duration = Duration::from_secs(1);
const PROBE_PAUSE_MAX: Duration = Duration::from_mins(1);
/// Calls that want a server which is down have it asked at once, but not more often than this.
const PROBE_SPACING: Duration = Duration::from_millis(250);
/// When the pipe of a process breaks, its end is known a moment later.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl Upstream {
    /// Asks the server what it speaks, starts it where it must be started, and keeps doing so until the gateway
    /// stops. Runs as one task per server.
    pub(crate) async fn attend(self: Arc<Self>) {
        let stop = self.stop.clone();
        let attending = async {
            match &self.wire {
                Wire::Http(remote) => self.attend_http(remote).await,
                Wire::Stdio(server) => self.attend_stdio(server).await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = attending => {}
        }
    }

    /// Asks until it answers; a call that cannot reach it, or has waited for it in vain, starts the asking again.
    async fn attend_http(&self, remote: &Remote) {
        let mut pause = PROBE_PAUSE;
        loop {
            match self.probe_http(remote, &self.start_clocks()).await {
                Ok(()) => {
                    pause = PROBE_PAUSE;
                    self.watch_http(remote).await;
                }
                Err(failure) => self.down(&failure, None),
            }
            // Who wants it meanwhile need not wait for the end of the pause.
            let spacing = PROBE_SPACING.min(pause);
            sleep(spacing).await;
            let wanted = timeout(pause.saturating_sub(spacing), self.wanted.notified()).await.is_ok();
            if !wanted {
                pause = (pause * 2).min(PROBE_PAUSE_MAX);
            }
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
                    let silent = tokio::select! {
                        () = connection.ended() => None,
                        silent = self.watch_shared(&connection) => Some(silent),
                    };
                    connection.ended().await;
                    self.shared.lock().unwrap_or_else(PoisonError::into_inner).take();
                    (silent.or_else(|| connection.end_cause()), started.elapsed())
                }
                Err(failure) => (Some(failure), Duration::ZERO),
            };
            let failure = failure.unwrap_or_else(|| Failure::new(Kind::Lost, "the server's process ended"));
            let decision = restart.exited(uptime);
            self.down(&failure, Some(decision));
            match decision {
                Decision::Park => return,
                Decision::After(pause) => sleep(pause).await,
            }
        }
    }

    /// Starts a process and asks it what it speaks; the process, if it is now the shared one.
    async fn start_shared(&self, server: &stdio::Server) -> Result<Option<Arc<duplex::Connection>>, Failure> {
        let (connection, unattached) = server.open(duplex::Use::Shared).await?;
        // Nobody listens: what names no call belongs to nobody.
        drop(unattached);
        let probed = self.probe_stdio(&connection, &self.start_clocks()).await;
        if !matches!(probed, Ok(true)) {
            if probed.as_ref().is_err_and(|failure| matches!(failure.fault.kind, Kind::Unreachable | Kind::Lost)) {
                // How the process ended explains more than that its pipe is broken.
                let _ = timeout(LAST_WORDS, connection.ended()).await;
            }
            let ended = connection.end_cause();
            connection.close();
            connection.ended().await;
            return probed.map(|_| None).map_err(|failure| ended.unwrap_or(failure));
        }
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
        self.connected(Eras { modern: true, legacy: self.eras().and_then(|eras| eras.legacy) });
        Ok(Some(connection))
    }

    pub(super) fn start_clocks(&self) -> Clocks {
        self.clocks(self.timeouts.start)
    }

    pub(super) fn clocks(&self, limit: Duration) -> Clocks {
        // So that silence from the beginning is called that.
        let hard = limit + Duration::from_millis(10);
        Clocks::start(Instant::now(), &Timeouts { idle: limit, hard, ..self.timeouts })
    }

    async fn probe_http(&self, remote: &Remote, clocks: &Clocks) -> Result<(), Failure> {
        if remote.given == Some(settings::OverHttp::Sse) {
            let stream = remote.sse.stream(clocks).await?;
            return self.probe_sse(remote, stream, clocks).await;
        }
        let server = &remote.streamable;
        let id = server.mint_id();
        let discovered = match server.ask(ask::discover(id), id, "server/discover", None, None, clocks).await {
            Ok((answer, _)) => speaks_modern(&answer),
            // Refused without a message: an older server.
            Err(failure) if matches!(failure.fault.kind, Kind::Rejected | Kind::InvalidAnswer) => false,
            Err(failure) => return Err(failure),
        };
        if discovered {
            remote.over_sse.store(false, Ordering::Relaxed);
            self.list_tools(None, Era::Modern, clocks).await;
            self.connected(Eras { modern: true, legacy: None });
            return Ok(());
        }
        let id = server.mint_id();
        let (answer, head) = match server.ask(ask::initialize(id), id, "initialize", None, None, clocks).await {
            // 2025-11-25, basic/transports: where `initialize` is refused with a 4xx, a GET may still open the stream
            // of HTTP+SSE.
            Err(refused) if refused.fault.kind == Kind::Rejected && remote.given.is_none() => {
                let Ok(stream) = remote.sse.stream(clocks).await else { return Err(refused) };
                return self.probe_sse(remote, stream, clocks).await;
            }
            asked => asked?,
        };
        remote.over_sse.store(false, Ordering::Relaxed);
        let session = http::Session { id: http::session_id(&head), version: accepted_version(&answer)? };
        let _ = server.tell(ask::initialized(), Some(&session), clocks).await;
        self.list_tools(Some(&Link::Http(session.clone())), Era::Legacy, clocks).await;
        server.end(&session, clocks).await;
        self.connected(Eras { modern: false, legacy: Some(true) });
        Ok(())
    }

    /// Asks over HTTP+SSE, which is of the legacy era alone.
    async fn probe_sse(&self, remote: &Remote, stream: sse::Stream, clocks: &Clocks) -> Result<(), Failure> {
        // Shared, by nobody: the server's own questions are refused.
        let (connection, unattached) = remote.sse.connect(stream, duplex::Use::Shared).await?;
        drop(unattached);
        remote.over_sse.store(true, Ordering::Relaxed);
        let probed = self.introduce(&connection, clocks).await;
        connection.close();
        probed
    }

    /// True if the process is now the shared modern one.
    async fn probe_stdio(&self, connection: &Arc<duplex::Connection>, clocks: &Clocks) -> Result<bool, Failure> {
        let answer = connection.ask(ask::discover, clocks).await?;
        if speaks_modern(&answer) {
            self.list_tools(Some(&Link::Duplex(connection.clone())), Era::Modern, clocks).await;
            return Ok(true);
        }
        self.introduce(connection, clocks).await?;
        Ok(false)
    }

    /// Opens a legacy session of the gateway's own, to see that there can be any.
    async fn introduce(&self, connection: &Arc<duplex::Connection>, clocks: &Clocks) -> Result<(), Failure> {
        let answer = connection.ask(ask::initialize, clocks).await?;
        accepted_version(&answer)?;
        clocks.within(connection.tell(ask::initialized())).await??;
        self.list_tools(Some(&Link::Duplex(connection.clone())), Era::Legacy, clocks).await;
        self.connected(Eras { modern: false, legacy: Some(true) });
        Ok(())
    }

    /// Asks for all tools: how many there are, and, since a call may come before any list, the headers they ask for.
    async fn list_tools(&self, link: Option<&Link>, era: Era, clocks: &Clocks) {
        let (mut tools, mut cursor, mut pages) = (None, None, Vec::new());
        for _ in 0..PAGES_MAX {
            let params = ask::list_params(era, cursor.as_deref());
            let Ok(page) = self.ask("tools/list", &params, link, None, clocks).await else { break };
            let Form::Result { result, .. } = page.form else { break };
            let result = Members::of(&page.bytes, result);
            let Some(listed) = result.get("tools") else { break };
            let count = tools.unwrap_or(0) + members::elements(&page.bytes, listed).count();
            tools = Some(count);
            // Whatever becomes of its calls, somebody may have to look after headers.
            self.learn(&page, Era::Modern);
            let next = result.get("nextCursor").map(|span| page.slice(span)).filter(|next| next != "null");
            pages.push(page);
            if next.is_none() || next == cursor || count >= ITEMS_MAX {
                self.definitions.forget_others(&pages);
                break;
            }
            cursor = next;
        }
        self.status.send_modify(|status| status.tools = tools.or(status.tools));
    }
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
pub(super) fn accepted_version(answer: &Envelope) -> Result<Version, Failure> {
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
            let kind = if matches!(code, -32022..=-32020 | -32601) { Kind::EraUnsupported } else { Kind::Rejected };
            Err(Failure::new(kind, format_args!("the server refused the session: {message} ({code})")))
        }
        Form::Request { .. } | Form::Notification { .. } => {
            Err(Failure::new(Kind::InvalidAnswer, "the server answered `initialize` with a question"))
        }
    }
}
