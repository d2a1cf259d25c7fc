//! What the data plane is told: servers, limits, clocks. As meant, not as written: the program turns files and
//! flags into these values and has checked them.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, Uri};
use tollhouse_core::ids::ServerId;
use tollhouse_core::record::Roots;
use tollhouse_core::trace::Sampler;
use tollhouse_core::units::ByteSize;

use crate::retry;

/// Everything the data plane needs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// In the order of the configuration, which is the order of lists.
    pub servers: Vec<Server>,
    /// What their things are called where several of them stand behind one path.
    pub naming: Naming,
    /// Bounds of memory and work.
    pub limits: Limits,
    /// The names and origins under which the listeners may be addressed.
    pub front_door: FrontDoor,
    /// Whether trace headers go on to servers (`MCP_OTEL_INJECT_TRACEPARENT`). As long as no spans leave the gateway,
    /// they are the caller's.
    pub inject_trace: bool,
    /// What is read of traces, and whether spans leave the gateway.
    pub tracing: Tracing,
    /// How the session of a call is found: the first rule that finds one counts. Where none does, the same client at
    /// the same address without a pause of 30 min is taken for one session.
    pub session_rules: Box<[SessionRule]>,
}

/// What is read of traces, and whether spans leave the gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// Which traces are recorded; `None` if no spans leave. Then servers are told what callers say.
    pub spans: Option<Sampler>,
    /// Where spans leave: the roots that calls of a session stand below if their callers name no trace.
    pub roots: Roots,
    /// Is the trace read that a caller names? If not, each call starts one, and servers are told nothing.
    pub context: bool,
    /// Is baggage read?
    pub baggage: bool,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { spans: None, roots: Roots::default(), context: true, baggage: true }
    }
}

/// A way to find the session a call belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionRule {
    /// A member of `params._meta` that a known client sets.
    Meta,
    /// `session.id` or `gen_ai.conversation.id` in `baggage`.
    Baggage,
    /// The header `Tollhouse-Session` or `agent-session-id`.
    Header,
    /// The path `/s/<id>/mcp`.
    Path,
    /// A variable that a client sets for the servers it starts.
    Environment,
    /// The protocol's own session, or the stdio process.
    Protocol,
    /// The trace.
    Trace,
}

impl SessionRule {
    /// All, in the order that holds if nothing else is said.
    pub const ALL: [Self; 7] =
        [Self::Meta, Self::Baggage, Self::Header, Self::Path, Self::Environment, Self::Protocol, Self::Trace];
}

/// What tools and prompts are called at `/mcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Naming {
    /// When a name begins with its server's id.
    pub prefix: Prefix,
    /// Bytes of a name; a longer one is cut and told apart by a hash. Default 64: model APIs refuse more.
    pub max_length: usize,
}

impl Default for Naming {
    fn default() -> Self {
        Self { prefix: Prefix::Conditional, max_length: 64 }
    }
}

/// When a name begins with its server's id, as in `<server>__<tool>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// If there are several servers.
    Conditional,
    /// Also with a single server.
    Always,
    /// If two servers have the same name.
    OnCollision,
    /// Never: of two servers with the same name, the first has it.
    Never,
}

/// One MCP server.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Its name in paths, prefixes and records.
    pub id: ServerId,
    /// How it is reached.
    pub transport: Transport,
    /// Its clocks.
    pub timeouts: Timeouts,
    /// How calls to it that could not be sent are tried again.
    pub retry: retry::Config,
    /// Whether arguments are held against the input schemas of its tools.
    pub validate_arguments: bool,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Transport {
    /// A URL.
    Http {
        /// `http` or `https`.
        url: Uri,
        /// Sent with every request; no client header overrides them. Values are marked sensitive.
        headers: HeaderMap,
        /// Which of the two transports it speaks there; `None`: it is found out.
        over: Option<OverHttp>,
    },
    /// A child process that speaks lines of JSON.
    Stdio(Command),
}

/// The two transports over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverHttp {
    /// Streamable HTTP, of 2025-03-26 and later: one endpoint, each answer on its own request.
    Streamable,
    /// HTTP+SSE, of 2024-11-05: one event stream for all that the server says.
    Sse,
}

/// How a child is started. There is no shell in between.
///
/// Its `Debug` names the variables and keeps their values to itself: they are where secrets are.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// A path, or a name to be found in `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables declared for it, beside the inherited allow-list.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory; ours if `None`.
    pub cwd: Option<PathBuf>,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &names)
            .field("cwd", &self.cwd)
            .finish()
    }
}

/// Three clocks of a call, and those of what carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To reach the server: DNS, TCP, TLS. Default 10 s.
    pub connect: Duration,
    /// For a child to start and answer its handshake. Default 30 s.
    pub start: Duration,
    /// Silence since the last answer byte or real progress. Default 300 s.
    pub idle: Duration,
    /// The whole call. Default 900 s.
    pub hard: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            start: Duration::from_secs(30),
            idle: Duration::from_mins(5),
            hard: Duration::from_mins(15),
        }
    }
}

/// Bounds of memory and work. What happens at each is documented where it is enforced, and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A request body. Default 10 MiB.
    pub request: ByteSize,
    /// One message of an answer. Default 10 MiB.
    pub answer: ByteSize,
    /// A line of a child's standard output. Default 16 MiB.
    pub line: ByteSize,
    /// Calls in flight over all servers. Default 1,024.
    pub calls: usize,
    /// Subscriptions (`subscriptions/listen`) of modern clients at once. Default 1,024.
    pub listens: usize,
    /// For the head of a request, the first or the next on its connection. Default 10 s.
    pub head: Duration,
    /// How long a request body may stand still. Default 30 s.
    pub body_idle: Duration,
    /// How long a client may take nothing of what is sent to it. Default 30 s.
    pub write_stall: Duration,
    /// Connections of clients over HTTP; never more than half of the descriptors the process may open. Default 16,384.
    pub connections: usize,
    /// Legacy sessions. Default 20,000.
    pub sessions: usize,
    /// Legacy sessions of one principal. Default 1,000.
    pub sessions_per_principal: usize,
    /// Events kept for resumption per session. Default 1,000.
    pub events: usize,
    /// Bytes of events kept for resumption per session. Default 1 MiB.
    pub event_bytes: ByteSize,
    /// A session without a request for this long is forgotten. Default 30 min.
    pub session_idle: Duration,
    /// Records waiting for the pipeline. Default 16,384.
    pub records: usize,
    /// Bodies held by waiting records. Default 64 MiB.
    pub record_bodies: ByteSize,
    /// How long a drain may take. Default 30 s.
    pub drain: Duration,
}

/// The limits in force: a reload may change them.
pub(crate) type LiveLimits = Arc<ArcSwap<Limits>>;

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: ByteSize::mib(10),
            answer: ByteSize::mib(10),
            line: ByteSize::mib(16),
            calls: 1024,
            listens: 1024,
            head: Duration::from_secs(10),
            body_idle: Duration::from_secs(30),
            write_stall: Duration::from_secs(30),
            connections: 16_384,
            sessions: 20_000,
            sessions_per_principal: 1000,
            events: 1000,
            event_bytes: ByteSize::mib(1),
            session_idle: Duration::from_mins(30),
            records: 16_384,
            record_bodies: ByteSize::mib(64),
            drain: Duration::from_secs(30),
        }
    }
}

/// Under which names the listeners may be addressed, against DNS rebinding.
#[derive(Debug, Clone, Default)]
pub struct FrontDoor {
    /// Host names allowed beside loopback names and the bound address (`gateway.example`), without port.
    pub hosts: Vec<String>,
    /// Origins allowed beside loopback ones (`https://app.example`).
    pub origins: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debugging_output_shows_no_value_of_a_variable() {
        let command = Command {
            program: "server".into(),
            args: vec!["--stdio".into()],
            env: vec![("API_KEY".into(), "hunter2".into())],
            cwd: None,
        };
        let server = Server {
            id: ServerId::new("files").unwrap(),
            transport: Transport::Stdio(command),
            timeouts: Timeouts::default(),
            retry: retry::Config::default(),
            validate_arguments: false,
        };
        let shown = format!("{server:?}");
        assert_eq!((shown.contains("API_KEY"), shown.contains("hunter2")), (true, false), "{shown}");
    }
}
