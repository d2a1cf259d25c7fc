//! `tollhouse.yaml` as it is written: every key, its kind of value, its default and its meaning.
//!
//! These structs are the documentation too: `docs/reference/configuration.md` and the JSON Schema are made from
//! their comments. What the values mean together is said in `check`.

use tollhouse_core::units::ByteSize;
use tollhouse_proxy::retry;
use tollhouse_proxy::settings::{self, Prefix, SessionRule};
use tollhouse_store::sqlite::Keep;

use super::block::{List, Map, block};
use super::telemetry::{self, Telemetry, Tool};
use super::values::{Address, Age, Count, Kept, Length, OneOf, Rule, Share, Size, Template, Text, Words};

/// Where MCP clients connect, if nothing else is said.
pub(crate) const LISTEN_DEFAULT: &str = "127.0.0.1:7070";
/// Where health is answered, if nothing else is said.
pub(crate) const ADMIN_DEFAULT: &str = "127.0.0.1:7071";

/// A day, in the unit of keys that end in `_ms`.
const DAY_MS: u64 = 86_400_000;

block! {
    /// The keys of `tollhouse.yaml`. Unknown keys are refused.
    struct File {
        /// Where MCP clients connect. An address that other machines reach needs authentication.
        listen: Address = LISTEN_DEFAULT,
        /// Where health is answered: `/healthz`, `/readyz`, `/health`.
        admin: Address = ADMIN_DEFAULT,
        /// Whether the admin address asks who it is before it shows pages and answers the API: by a link that the program gives out, or
        /// the admin token. `false` lets in everybody on this machine, and is refused with an address that other machines reach.
        admin_login: bool = true,
        /// The MCP servers behind Tollhouse, each under its id: 1 to 24 of a-z, 0-9 and -. The id becomes part of
        /// tool names and paths; `tollhouse` is reserved.
        servers: Map<Server>,
        /// How calls that could not be sent are tried again, at every server that says nothing else.
        retry: Retry,
        /// What tools and prompts are called at `/mcp`, where several servers stand behind one path.
        names: Names,
        /// Bounds of memory and work.
        limits: Limits,
        /// Host names under which clients may address the listeners, beside loopback names and the bound address;
        /// without port.
        allowed_hosts: List<Kept<Host>>,
        /// Origins from which browsers may call, beside loopback ones: `https://app.example`.
        allowed_origins: List<Kept<Origin>>,
        /// How calls are grouped into sessions where the protocol has none.
        sessions: Sessions,
        /// What is logged, and how. The variables `MCP_LOG_LEVEL` and `MCP_LOG_FORMAT` go before it.
        log: Log,
        /// Where and for how long `serve` keeps what passed. Read when the program starts.
        store: Store,
        /// What others are told of calls, and how.
        telemetry: Telemetry,
        /// What is recorded of calls. Accepted, not yet in force.
        observability: Observability,
        /// How calls are bounded and repeated. Writing this block, even empty, sets the idle clock of every server
        /// to 30 s and its hard clock to 300 s. `timeout_ms` is in force, the other keys not yet.
        tool_config: ToolConfig,
        /// How long things may take. Writing this block, even empty, sets the idle clock of every server to 30 s, its
        /// hard clock to 300 s and the idle time of sessions to 5 min. The keys `tool_call_timeout_ms` and
        /// `session_timeout_ms` are in force, the others not yet.
        timeout_handling: TimeoutHandling,
        /// How session state survives. Accepted, not yet in force.
        session_recovery: SessionRecovery,
        /// When to alert, and whom. Accepted, not yet in force.
        alerts: List<Alert>,
    }
    later: [
        "journal", "otlp_receiver", "cost", "budgets", "auth", "acl", "pins", "alerting"
    ]
    foreign: [
        ("mcpServers", "in this file the key is `servers`; a client's own file is read as it stands, if it ends in .json"),
        ("mcp_servers", "in this file the key is `servers`"),
        ("upstreams", "in this file the key is `servers`"),
        ("host", "write `listen: address:port`"),
        ("port", "write `listen: address:port`"),
        ("bind", "write `listen: address:port`"),
        ("logging", "the key is `log`"),
        ("timeouts", "timeouts belong to a server: `servers.<id>.timeouts`"),
        ("include", "this version reads one file")
    ]
}

block! {
    /// One MCP server: either `command`, a program that is started and speaks on its standard input and output, or
    /// `url`, a server that is called over HTTP. In `command`, `args`, `env`, `cwd`, `url` and `headers`, `${NAME}`
    /// and `${env:NAME}` stand for a variable, `${NAME:-text}` for the variable or else the text, and `$${` for `${`
    /// itself.
    struct Server {
        /// The program: a path, or a name found in `PATH`. No shell is involved.
        command: Template,
        /// Its arguments.
        args: List<Template>,
        /// Variables for it, beside PATH, HOME, USER, LANG and the like, which it inherits.
        env: Map<Template>,
        /// Its working directory.
        cwd: Template,
        /// The URL of the server's MCP endpoint, `http` or `https`.
        url: Template,
        /// What is spoken at the URL: `http`, streamable HTTP, or `sse`, the older HTTP+SSE. Default: found out by asking.
        transport: OneOf<settings::OverHttp>,
        /// Headers sent with every request to it. A secret is not written here but named: `Bearer ${TOKEN}`.
        headers: Map<Template>,
        /// Its clocks. They go before those of `tool_config` and `timeout_handling`.
        timeouts: Timeouts,
        /// How calls to it that could not be sent are tried again. What is not written here is taken from the `retry`
        /// of all servers.
        retry: Retry,
        /// Holds the arguments of calls against the input schemas of its tools, and answers itself where they do not fit.
        /// Else they pass as they are.
        validate_arguments: bool = false,
        /// What is kept of the content of its calls, arguments and results: `none` or `redacted`. Goes before that of
        /// `telemetry`.
        capture: OneOf<telemetry::Kept>,
        /// What holds for single tools, by the server's own names for them.
        tools: Map<Tool>,
        /// Takes secrets that are written out in this server's entry, with a warning instead of an error.
        allow_literal_secrets: bool = false,
    }
    later: ["class", "trusted", "stateful", "inject"]
    foreign: [
        ("type", "leave it out, or write `transport: http` or `transport: sse` beside `url`"),
        ("timeout", "write `timeouts: { idle: … }`"),
        ("disabled", "remove the entry or put it in comments"),
        ("enabled", "remove the entry or put it in comments"),
        ("environment", "the key is `env`")
    ]
}

block! {
    /// What tools and prompts are called at `/mcp`. At `/servers/<id>/mcp` they keep their names.
    struct Names {
        /// When a name begins with its server's id, `<id>__<name>`: `conditional`, if there are several servers;
        /// `always`, also with one; `on_collision`, if two servers have the same name; `never`, and then the first
        /// server in this file keeps a name that two have.
        prefix: OneOf<Prefix> = "conditional",
        /// Bytes of a name. What is longer is cut and gets a hash, which is always the same. Model APIs refuse more
        /// than 64, some clients more than 60 with the name they know the gateway by.
        max_length: Count<40, 128> = settings::Naming::default().max_length,
    }
}

block! {
    /// The clocks of a server and of each call to it.
    struct Timeouts {
        /// To reach the server: DNS, TCP, TLS.
        connect: Length = Length::written(settings::Timeouts::default().connect),
        /// For a started program to answer its handshake.
        start: Length = Length::written(settings::Timeouts::default().start),
        /// Silence since the last byte of the answer or the last progress.
        idle: Length = Length::written(settings::Timeouts::default().idle),
        /// The whole call.
        hard: Length = Length::written(settings::Timeouts::default().hard),
    }
}

block! {
    /// How a call is tried again that could not be sent: the server refused the connection, could not be found, or is
    /// being started. A call of which a byte was sent is never repeated.
    struct Retry {
        /// How often, after the first attempt.
        attempts: Count<0, 10> = retry::Config::default().attempts,
        /// The pause before the first repetition; it doubles, and varies by a fifth.
        backoff: Length = Length::written(retry::Config::default().backoff),
        /// None begins later than this after the call arrived: most clients give up after a minute.
        patience: Length = Length::written(retry::Config::default().patience),
    }
}

block! {
    /// Whose conversation a call belongs to. What a client says of it groups calls of one principal; it grants nothing.
    struct Sessions {
        /// The rules, best first; one that is left out is not used. `meta`: a member of `_meta` that a known client sets.
        /// `baggage`: `session.id` or `gen_ai.conversation.id`. `header`: `Tollhouse-Session` or `agent-session-id`.
        /// `path`: `/s/<id>/mcp`. `environment`: `CLAUDE_CODE_SESSION_ID` of `tollhouse stdio`. `protocol`:
        /// `Mcp-Session-Id`, or the stdio process. `trace`: the trace id, which is one turn. Default: all, in this order.
        /// Where none finds a session, the same client at the same address without a pause of 30 min is taken for one.
        rules: List<OneOf<SessionRule>>,
    }
}

block! {
    /// Bounds of memory and work. What happens at each of them is counted.
    struct Limits {
        /// A request body.
        request: Size = Size::written(settings::Limits::default().request),
        /// One message of an answer.
        answer: Size = Size::written(settings::Limits::default().answer),
        /// A line that a started server writes.
        line: Size = Size::written(settings::Limits::default().line),
        /// Calls in flight over all servers.
        calls: Count<1, 1_000_000> = settings::Limits::default().calls,
        /// Subscriptions (`subscriptions/listen`) of clients that speak 2026-07-28.
        listens: Count<1, 1_000_000> = settings::Limits::default().listens,
        /// For the head of a request, the first or the next on its connection; who is later is disconnected.
        head: Length = Length::written(settings::Limits::default().head),
        /// How long a request body may stand still; then it is refused and the connection closed.
        body_idle: Length = Length::written(settings::Limits::default().body_idle),
        /// How long a client may take nothing of what is sent to it; then it is disconnected.
        write_stall: Length = Length::written(settings::Limits::default().write_stall),
        /// Connections of clients over HTTP; more are answered by 503. Never more than half of the descriptors that the
        /// process may open (`ulimit -n`).
        connections: Count<1, 1_000_000> = settings::Limits::default().connections,
        /// Sessions of clients that speak the older, stateful protocol.
        sessions: Count<1, 10_000_000> = settings::Limits::default().sessions,
        /// The same, of one principal.
        sessions_per_principal: Count<1, 10_000_000> = settings::Limits::default().sessions_per_principal,
        /// Events kept for resumption, per session.
        events: Count<0, 1_000_000> = settings::Limits::default().events,
        /// Bytes of events kept for resumption, per session.
        event_bytes: Size = Size::written(settings::Limits::default().event_bytes),
        /// A session without a request for this long is forgotten. Goes before `timeout_handling`.
        session_idle: Length = Length::written(settings::Limits::default().session_idle),
        /// Records of finished calls that wait to be written.
        records: Count<1, 10_000_000> = settings::Limits::default().records,
        /// Bodies held by those records.
        record_bodies: Size = Size::written(settings::Limits::default().record_bodies),
        /// How long calls in flight may take to finish when the program is told to stop.
        drain: Length = Length::written(settings::Limits::default().drain),
    }
}

block! {
    /// What is logged, and how. Lines go to standard error.
    struct Log {
        /// `error`, `warn`, `info`, `debug`, `trace` or `off`; also per module: `info,tollhouse_proxy=debug`.
        level: Kept<Filter> = "info",
        /// `text` or `json`. Default: text on a terminal, json elsewhere.
        format: OneOf<LogFormat>,
    }
}

block! {
    /// Where and for how long `serve` keeps what passed. It is read when the program starts; a change of it waits for the
    /// next start.
    struct Store {
        /// Whether anything is kept.
        enabled: bool = true,
        /// The directory, as an absolute path. One process at a time has it open. Default: `store` in the data directory.
        /// `--data-dir` goes before it.
        path: Text,
        /// For how long each call is kept.
        calls: Age = kept_for(Keep::default().calls_us),
        /// For how long sessions are kept after their last call.
        sessions: Age = kept_for(Keep::default().sessions_us),
        /// For how long sums per minute are kept.
        minutes: Age = kept_for(Keep::default().minutes_us),
        /// For how long sums per quarter of an hour are kept.
        quarters: Age = kept_for(Keep::default().quarters_us),
        /// For how long sums per day, kinds of errors and events are kept.
        days: Age = kept_for(Keep::default().days_us),
        /// What all files of calls may take together; beyond it the oldest calls go, whatever their age.
        disk_budget: Size = Size::written(ByteSize(Keep::default().disk)),
    }
}

/// A time of the store as it is written in a file.
fn kept_for(us: u64) -> String {
    Length::written(std::time::Duration::from_micros(us))
}

block! {
    /// What is recorded of calls. `cost_tracking` and `track_cost` are two spellings of one switch, as are
    /// `tool_tracking` and `track_tools`.
    struct Observability {
        /// Whether calls are recorded at all.
        enabled: bool = true,
        /// Whether trace context is read and passed on.
        trace_propagation: bool = true,
        /// Whether calls are priced.
        cost_tracking: bool = true,
        /// Whether names and shapes of tools are recorded.
        tool_tracking: bool = true,
        /// Whether the reason of a call is recorded.
        track_decisions: bool = true,
        /// The same as `cost_tracking`.
        track_cost: bool,
        /// The same as `tool_tracking`.
        track_tools: bool,
    }
}

block! {
    /// How calls are bounded and repeated.
    struct ToolConfig {
        /// Calls at work in one server at once. Not yet in force.
        max_concurrent: Count<1, 10_000> = 5,
        /// The idle clock of calls, in milliseconds. Goes before `timeout_handling`.
        timeout_ms: Count<1, DAY_MS> = 30_000,
        /// How often a call that may be repeated is repeated. Not yet in force.
        retry_attempts: Count<0, 10> = 3,
        /// The share of failures above which nothing is repeated. Not yet in force.
        error_threshold: Share = 0.05,
    }
}

block! {
    /// How long things may take.
    struct TimeoutHandling {
        /// The idle clock of calls, in milliseconds.
        tool_call_timeout_ms: Count<1, DAY_MS> = 30_000,
        /// A session without a request for this long is forgotten, in milliseconds.
        session_timeout_ms: Count<1, DAY_MS> = 300_000,
        /// The wait before the first repetition, in milliseconds; it doubles. Not yet in force.
        retry_backoff_ms: Count<1, 600_000> = 1000,
        /// How often a call that may be repeated is repeated. Not yet in force.
        max_retries: Count<0, 10> = 3,
        /// The share of failures above which nothing is repeated. Not yet in force.
        error_threshold: Share = 0.05,
    }
}

block! {
    /// How session state survives.
    struct SessionRecovery {
        /// Whether state is kept.
        enabled: bool = true,
        /// Between two checkpoints, in seconds.
        checkpoint_interval: Count<1, 86_400> = 60,
        /// Checkpoints kept per session.
        max_checkpoints: Count<1, 1000> = 10,
    }
    later: ["mode", "replay", "max_recoveries", "recovery_window"]
}

block! {
    /// One rule of alerting.
    struct Alert {
        /// How people call it.
        name: Text,
        /// A measure, a comparison and a number: `error_rate > 0.05`, `token_cost > 100`, `session_recovery > 3`.
        condition: Kept<Condition>,
        /// What is done: `notify`.
        action: OneOf<Action>,
    }
}

impl Words for settings::OverHttp {
    const NAME: &'static str = "Transport";
    const WORDS: &'static [(&'static str, Self)] = &[("http", Self::Streamable), ("sse", Self::Sse)];
}

impl Words for Prefix {
    const NAME: &'static str = "Prefix";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("conditional", Self::Conditional),
        ("always", Self::Always),
        ("on_collision", Self::OnCollision),
        ("never", Self::Never),
    ];
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For eyes.
    Text,
    /// For machines.
    Json,
}

impl Words for LogFormat {
    const NAME: &'static str = "LogFormat";
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Words for SessionRule {
    const NAME: &'static str = "SessionRule";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("meta", Self::Meta),
        ("baggage", Self::Baggage),
        ("header", Self::Header),
        ("path", Self::Path),
        ("environment", Self::Environment),
        ("protocol", Self::Protocol),
        ("trace", Self::Trace),
    ];
}

/// What an alert does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Tells every channel there is.
    Notify,
}

impl Words for Action {
    const NAME: &'static str = "Action";
    const WORDS: &'static [(&'static str, Self)] = &[("notify", Self::Notify)];
}

/// A host name without port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Host;

impl Rule for Host {
    const EXPECTED: &'static str = "a host name such as `gateway.example`";
    const NAME: &'static str = "host name";

    fn accept(text: &str) -> Result<String, &'static str> {
        if text.contains("://") {
            return Err("is an origin or a URL");
        }
        if text.contains('*') {
            return Err("has a wildcard, and names are compared whole");
        }
        if text.contains(':') && text.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("has a port");
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "-.:_".contains(c);
        if text.is_empty() || !text.chars().all(fits) { Err("is no host name") } else { Ok(text.to_ascii_lowercase()) }
    }
}

/// An origin as browsers send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin;

impl Rule for Origin {
    const EXPECTED: &'static str = "an origin such as `https://app.example` or `http://app.example:8080`";
    const NAME: &'static str = "origin";

    fn accept(text: &str) -> Result<String, &'static str> {
        if text.contains('*') {
            return Err("has a wildcard, and origins are compared whole");
        }
        let Some((_, authority)) = text.split_once("://") else { return Err("has no scheme") };
        if authority.contains(['/', '?', '#', '@']) {
            return Err("is more than scheme, host and port");
        }
        match text.parse::<http::Uri>() {
            Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => Ok(text.to_ascii_lowercase()),
            _ => Err("is no origin"),
        }
    }
}

/// Which log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filter;

impl Rule for Filter {
    const EXPECTED: &'static str = "a level (error, warn, info, debug, trace, off), or levels per module such as \
                                    `info,tollhouse_proxy=debug`";
    const NAME: &'static str = "filter";

    fn accept(text: &str) -> Result<String, &'static str> {
        const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
        for part in text.split(',').map(str::trim) {
            let (module, level) = part.split_once('=').unwrap_or(("tollhouse", part));
            if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
                return Err("names a level that is not known");
            }
            if module.is_empty() || !module.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':') {
                return Err("names no module before `=`");
            }
        }
        Ok(text.to_ascii_lowercase())
    }
}

/// When an alert fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition;

impl Rule for Condition {
    const EXPECTED: &'static str = "a measure, a comparison and a number, such as `error_rate > 0.05`";
    const NAME: &'static str = "condition";

    fn accept(text: &str) -> Result<String, &'static str> {
        let mut words = text.split_whitespace();
        let (Some(measure), Some(comparison), Some(number), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("has not three parts with spaces between them");
        };
        if !measure.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            return Err("begins with what is no measure");
        }
        if ![">", ">=", "<", "<="].contains(&comparison) {
            return Err("compares by something else than >, >=, < or <=");
        }
        match number.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(text.to_owned()),
            _ => Err("compares with something else than a number"),
        }
    }
}
