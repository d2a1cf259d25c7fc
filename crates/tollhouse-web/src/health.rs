//! What the program says of itself: is it alive, may it be sent work, which server stands how.
//!
//! Three questions, three answers. `/healthz` is for a supervisor: whoever does not answer is started again.
//! `/readyz` is for a load balancer: the program has started and is not draining. It does *not* ask whether servers
//! are connected: they are started again by themselves, and a broken one must not take the others off the air.
//! `/health` is for people and says all of it; its status code is always 200, since the answer itself is no failure.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the figures come from.
pub trait Health: Send + Sync + 'static {
    /// How things stand at this moment. Called on the admin listener, so it must not block or wait.
    fn snapshot(&self) -> Snapshot;
}

impl<F: Fn() -> Snapshot + Send + Sync + 'static> Health for F {
    fn snapshot(&self) -> Snapshot {
        self()
    }
}

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The version of the program.
    pub version: &'static str,
    /// Where agents are served, if anywhere but on a pipe.
    pub listen: Option<SocketAddr>,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Where it is in its life.
    pub phase: Phase,
    /// Legacy sessions that are open.
    pub sessions: u64,
    /// Calls received and not yet answered.
    pub calls_in_flight: u64,
    /// Records given up because the pipeline could not keep pace.
    pub records_dropped: u64,
    /// What clients lost at a limit.
    pub losses: Losses,
    /// How the configuration was read again.
    pub reloads: Reloads,
    /// The configured servers, in the order of the configuration.
    pub servers: Vec<Server>,
}

/// What clients lost at a limit, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Messages that nobody fetched in time: notifications, and answers nobody came back for.
    pub messages_dropped: u64,
    /// Connections closed because their client was too slow: to send, or to take.
    pub connections_cut: u64,
    /// Connections refused because there were too many.
    pub connections_refused: u64,
}

/// How the configuration was read again since the program started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloads {
    /// How often it was taken.
    pub applied: u64,
    /// How often it was refused, and the one in force stayed.
    pub refused: u64,
    /// The last time; `None` if there was none.
    pub last: Option<Reload>,
}

/// One time the configuration was read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// Milliseconds since 1970-01-01 UTC.
    pub at_unix_ms: u64,
    /// What came of it.
    pub result: Taken,
    /// The first mistake, if it was refused.
    pub error: Option<String>,
}

/// What came of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// It is in force.
    Applied,
    /// It has mistakes; the one before it stays in force.
    Refused,
}

/// Where the program is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It does not take calls yet.
    Starting,
    /// It takes calls.
    Serving,
    /// It finishes what it has and takes nothing more.
    Draining,
}

/// One configured server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Server {
    /// Its name.
    pub id: String,
    /// `stdio` or `http`.
    pub transport: String,
    /// `legacy`, `modern` or `both`; `None` until it has answered once.
    pub era: Option<String>,
    /// How it stands.
    pub state: State,
    /// Why it stands so, in words; `None` when there is nothing to say.
    pub reason: Option<String>,
    /// How often its process ended unasked and was started again.
    #[serde(default)]
    pub restarts: u64,
    /// Why it last did not answer, though it may since; `None` if it always has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When that was, in milliseconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_at_unix_ms: Option<u64>,
    /// How many tools it lists; `None` until it has listed them.
    pub tools: Option<u64>,
    /// Tools whose arguments are not validated although they should be; left out if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unvalidated_tools: Option<u64>,
}

/// How a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has no process or connection, and needs none until the next call.
    Idle,
    /// It is being started or reached.
    Starting,
    /// It has answered and is expected to answer again.
    Connected,
    /// The last try to start or reach it did not succeed.
    Failed,
}

impl State {
    /// The word used in the answer and the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Connected => "connected",
            Self::Failed => "failed",
        }
    }
}

/// The sum of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No server has failed.
    Ok,
    /// Some servers have failed.
    Degraded,
    /// Every server has failed.
    Down,
}

impl Status {
    /// The word used in the answer and the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }

    fn of(servers: &[Server]) -> Self {
        let failed = servers.iter().filter(|server| server.state == State::Failed).count();
        match failed {
            0 => Self::Ok,
            n if n == servers.len() => Self::Down,
            _ => Self::Degraded,
        }
    }
}

/// The answer to `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The sum of it.
    pub status: Status,
    /// The version of the program.
    pub version: String,
    /// Where agents are served, if anywhere but on a pipe.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Whether it takes nothing more.
    pub draining: bool,
    /// Legacy sessions that are open.
    pub sessions: u64,
    /// Calls received and not yet answered.
    pub calls_in_flight: u64,
    /// Records given up because the pipeline could not keep pace.
    pub records_dropped: u64,
    /// What clients lost at a limit.
    pub losses: Losses,
    /// How the configuration was read again.
    #[serde(default)]
    pub reloads: Reloads,
    /// The configured servers, in the order of the configuration.
    pub servers: Vec<Server>,
}

impl From<Snapshot> for Report {
    fn from(now: Snapshot) -> Self {
        Self {
            status: Status::of(&now.servers),
            version: now.version.to_owned(),
            listen: now.listen,
            uptime_s: now.uptime_s,
            draining: now.phase == Phase::Draining,
            sessions: now.sessions,
            calls_in_flight: now.calls_in_flight,
            records_dropped: now.records_dropped,
            losses: now.losses,
            reloads: now.reloads,
            servers: now.servers,
        }
    }
}
