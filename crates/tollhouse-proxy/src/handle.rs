//! The data plane as the program sees it: started, looked at, drained.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};
use tollhouse_core::record::SessionRef;

use crate::arguments::Arguments;
use crate::definitions::Tool;
use crate::downstream;
use crate::gateway::Gateway;
use crate::losses;
use crate::record::{Counts, Recorder};
use crate::reload;
pub use crate::reload::Report;
use crate::router::catalogue;
use crate::settings::Settings;
use crate::tally::{self, Ended};
use crate::upstream::child::Spawner;
use crate::upstream::{OriginError, State};

/// How often sessions are looked through for idle ones, at least; oftener where they may not be idle for long.
const SWEEP: Duration = Duration::from_secs(30);
/// At most.
const SWEEP_MIN: Duration = Duration::from_millis(100);

/// Why the data plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system gives no thread for children.
    #[error("start the thread that starts servers")]
    Spawner(#[source] std::io::Error),
    /// A server's URL cannot be used.
    #[error("use the URL of a server")]
    Origin(#[source] OriginError),
}

/// The running data plane. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    gateway: Arc<Gateway>,
    started: Instant,
}

/// What can be said of the data plane at a moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Since when it runs.
    pub uptime: Duration,
    /// No more calls are accepted.
    pub draining: bool,
    /// Legacy sessions: those of clients over HTTP, and those lent to modern clients.
    pub sessions: usize,
    /// Calls under way.
    pub calls_in_flight: usize,
    /// What happened to records.
    pub records: Counts,
    /// What clients lost at a limit.
    pub losses: losses::Counts,
    /// Sessions of clients, over HTTP and over pipes.
    pub sessions_by: [(&'static str, usize); 2],
    /// What happened beside calls.
    pub tally: tally::Counts,
    /// In the order of the configuration.
    pub servers: Vec<ServerSnapshot>,
}

/// What can be said of one server.
#[derive(Debug, Clone)]
pub struct ServerSnapshot {
    /// Its id.
    pub id: String,
    /// `http` or `stdio`.
    pub transport: &'static str,
    /// `modern`, `legacy`, `both`; `None` until it was asked.
    pub eras: Option<&'static str>,
    /// `connecting`, `connected`, `down` or `parked`.
    pub state: &'static str,
    /// Why, if that is not plain.
    pub reason: Option<String>,
    /// How often its process ended unasked and was started again.
    pub restarts: u64,
    /// Why it last did not answer, and when that was.
    pub last_failure: Option<(SystemTime, String)>,
    /// Tools it offers.
    pub tools: Option<usize>,
    /// Those of them whose arguments are not validated although they should be.
    pub unvalidated: usize,
}

impl Handle {
    /// Starts the data plane: servers are asked what they speak, and started where they must be.
    ///
    /// Runs in the current tokio runtime. Nothing listens yet: see [`Self::listen`] and [`Self::serve_pipe`].
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(settings: &Settings, recorder: Recorder) -> Result<Self, StartError> {
        let spawner = Spawner::start().map_err(StartError::Spawner)?;
        let gateway = Gateway::new(settings, recorder, spawner).map_err(StartError::Origin)?;
        let sweeping = gateway.clone();
        gateway.server_tasks.spawn(async move {
            loop {
                let pause = (sweeping.limits().session_idle / 4).clamp(SWEEP_MIN, SWEEP);
                tokio::select! {
                    () = sweeping.stop.cancelled() => return,
                    () = sleep(pause) => {}
                }
                for session in sweeping.sessions.expire().into_iter().chain(sweeping.lent.expire()) {
                    sweeping.end_session(session, Ended::Expired);
                }
            }
        });
        gateway.server_tasks.spawn(catalogue::attend(gateway.clone()));
        gateway.server_tasks.spawn(catalogue::watch(gateway.clone()));
        Ok(Self { gateway, started: Instant::now() })
    }

    /// Serves streamable HTTP on `listener` until the drain.
    pub fn listen(&self, listener: TcpListener) -> std::io::Result<SocketAddr> {
        let address = listener.local_addr()?;
        self.gateway.server_tasks.spawn(downstream::listener::serve(self.gateway.clone(), listener));
        Ok(address)
    }

    /// Puts other settings in force while calls go on.
    ///
    /// A server with the same id and the same settings is not touched. One that is gone is missing from lists and paths
    /// at once; its calls under way finish within the drain limit, then its sessions and processes end. One with other
    /// settings is another server in its place. Limits, allowed names and the rules for sessions hold from now on,
    /// `limits.line` for processes and `limits.head` and `limits.write_stall` for connections that begin from now on;
    /// `limits.records` and `limits.record_bodies` stay as they were.
    ///
    /// # Errors
    /// A server's URL cannot be used. Nothing was changed.
    pub fn reload(&self, settings: &Settings) -> Result<Report, OriginError> {
        reload::reload(&self.gateway, settings)
    }

    /// Serves one client over its pipes until its input ends. `conversation` is what the client's environment says its
    /// calls belong to.
    pub async fn serve_pipe(
        &self,
        conversation: Option<SessionRef>,
        input: impl AsyncRead + Unpin,
        output: impl AsyncWrite + Unpin + Send + 'static,
    ) {
        downstream::stdio::serve(self.gateway.clone(), conversation, input, output).await;
    }

    /// How things stand.
    pub fn snapshot(&self) -> Snapshot {
        let gateway = &self.gateway;
        Snapshot {
            uptime: self.started.elapsed(),
            draining: gateway.draining.is_cancelled(),
            sessions: gateway.sessions.len() + gateway.lent.len(),
            calls_in_flight: gateway.calls_in_flight(),
            records: gateway.recorder.counts(),
            losses: gateway.losses.counts(),
            sessions_by: [("tcp", gateway.sessions.len()), ("pipe", gateway.sessions.over_pipes())],
            tally: gateway.tally.counts(),
            servers: gateway
                .fleet
                .roster()
                .iter()
                .map(|(_, server)| {
                    let status = server.status();
                    ServerSnapshot {
                        id: server.id.to_string(),
                        transport: server.transport(),
                        eras: status.eras.map(|eras| match (eras.modern, eras.legacy) {
                            (true, Some(true)) => "both",
                            (true, _) => "modern",
                            (false, _) => "legacy",
                        }),
                        state: match status.state {
                            State::Connecting => "connecting",
                            State::Connected => "connected",
                            State::Down => "down",
                            State::Parked => "parked",
                        },
                        reason: status.reason,
                        restarts: status.restarts,
                        last_failure: status.last_failure,
                        tools: status.tools,
                        unvalidated: server.arguments.as_ref().map_or(0, Arguments::unvalidated),
                    }
                })
                .collect(),
        }
    }

    /// The tools of a server as it described them last, by name; none if there is no such server.
    pub fn tools(&self, server: &str) -> Vec<Tool> {
        let roster = self.gateway.fleet.roster();
        let found = roster.iter().find(|(_, known)| known.id.as_str() == server);
        found.map(|(_, server)| server.definitions.all()).unwrap_or_default()
    }

    /// Ends everything in order: no more calls, those under way finish within the drain limit, the rest is cancelled
    /// and recorded as such, sessions and servers' processes end.
    ///
    /// # Cancel safety
    /// Dropped half-way, what is left ends with the process.
    pub async fn drain(&self) {
        let gateway = &self.gateway;
        gateway.draining.cancel();
        let finished = async {
            while gateway.calls_in_flight() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let limit = gateway.limits().drain;
        let _ = timeout(limit, finished).await;
        // Each of them ends by itself when the gateway drains, and says so.
        let unheard = async {
            while gateway.listens() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(ENDING, unheard).await;
        for session in gateway.sessions.drain().into_iter().chain(gateway.lent.drain()) {
            gateway.end_session(session, Ended::Success);
        }
        gateway.tasks.close();
        // Sessions are ended at their servers, and cancelled calls leave their records.
        let _ = timeout(ENDING, gateway.tasks.wait()).await;
        gateway.stop.cancel();
        let _ = timeout(ENDING, gateway.tasks.wait()).await;
        gateway.server_tasks.close();
        // A process that ignores everything is killed after 5 s.
        let _ = timeout(PROCESSES, gateway.server_tasks.wait()).await;
    }
}

/// For what is left after the calls: ending sessions at their servers, writing last answers.
const ENDING: Duration = Duration::from_secs(2);
/// For children: 2 s after their input closed they are asked, 3 s later ended.
const PROCESSES: Duration = Duration::from_secs(7);
