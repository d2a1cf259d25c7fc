//! As written → as meant: the rules that hold between keys, the defaults, and the values of variables.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use tollhouse_core::ids::ServerId;
use tollhouse_proxy::retry;
use tollhouse_proxy::settings::{
    Command, FrontDoor, Limits, Naming, Server, SessionRule, Settings, Timeouts, Tracing, Transport,
};
use tollhouse_store::sqlite::Keep;
use tollhouse_telemetry::compat::Set;
use tollhouse_telemetry::metrics::Histograms;
use tollhouse_web::Setting;

use super::block::List;
use super::blocks::{self, File, LogFormat};
use super::capture::Capture;
use super::client::slug;
use super::env::Environment;
use super::expand::{expand, holds_key, writes_out};
use super::finding::{Code, Finding, Findings, Place, Report, Severity};
use super::node::At;
use super::secret;
use super::values::{Age, Count, Kept, Length, Size, Template};

/// The idle clock where one of the blocks `tool_config` and `timeout_handling` is written.
const BLOCK_IDLE: Duration = Duration::from_secs(30);
/// The hard clock where one of them is written. The protocol asks for a maximum that progress does not move.
const BLOCK_HARD: Duration = Duration::from_mins(5);
/// The idle time of sessions where `timeout_handling` is written.
const BLOCK_SESSION_IDLE: Duration = Duration::from_mins(5);

/// Headers that belong to the connection or to the protocol.
const OUR_HEADERS: [&str; 16] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A configuration as meant.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// What the data plane is told.
    pub(crate) settings: Settings,
    /// What the file says about logging.
    pub(crate) log: Log,
    /// Where MCP clients connect, if the file says so.
    pub(crate) listen: Option<SocketAddr>,
    /// Where the admin side is, if the file says so.
    pub(crate) admin: Option<SocketAddr>,
    /// Whether the admin side asks who it is.
    pub(crate) admin_login: bool,
    /// Where and for how long what passed is kept.
    pub(crate) store: Store,
    /// Names that metrics and spans have beside their own.
    pub(crate) compat: Vec<Set>,
    /// In which ranges a Prometheus is told of calls.
    pub(crate) histograms: Histograms,
    /// Whose content is captured.
    pub(crate) capture: Capture,
    /// Every key with its value, to be shown.
    pub(crate) shown: Vec<Setting>,
    /// What the operator should know, in the order of the file.
    pub(crate) notices: Vec<Finding>,
}

/// Where and for how long what passed is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Store {
    /// Nothing is kept.
    pub(crate) off: bool,
    /// Its directory, if the file names one.
    pub(crate) path: Option<PathBuf>,
    /// For how long, and in how much room.
    pub(crate) keep: Keep,
}

/// What a file says about logging; `None` where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// A level, or levels per module.
    pub(crate) level: Option<String>,
    /// Text or JSON.
    pub(crate) format: Option<LogFormat>,
}

/// Whose file a server was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Ours: it is expected to keep to our rules.
    Us,
    /// A client's: it is taken as it is.
    Client,
}

/// Refuses an address that other machines reach: without authentication, whoever reaches it may call every tool.
///
/// # Errors
/// What to print; nothing was opened.
pub(crate) fn check_listen(address: SocketAddr, insecure: bool) -> Result<(), Report> {
    if loopback(address) || insecure {
        return Ok(());
    }
    let mut finding = Finding::new(
        Severity::Error,
        Code::OpenListener,
        format!("`{address}` can be reached from other machines, and nobody is asked who they are"),
    );
    finding.detail("this version has no authentication: whoever reaches the address may call every tool").hint(
        format!("listen on `127.0.0.1:{}`, or say `--insecure` if something in front of it asks", address.port()),
    );
    Err(Report { findings: vec![finding] })
}

/// Only this machine reaches it.
fn loopback(address: SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
    }
}

/// The meaning of our own file.
pub(crate) fn own(file: &File, root: &Place, env: &dyn Environment, findings: &mut Findings) -> Loaded {
    let shared =
        Shared { timeouts: shared_timeouts(file), retry: retry(file.retry.as_ref(), retry::Config::default()) };
    let mut servers = Vec::new();
    if let Some(written) = &file.servers {
        for (name, server) in &written.value.0 {
            let id = own_id(name, findings);
            servers.extend(meant(id, server, Owner::Us, shared, env, findings));
        }
    }
    if servers.is_empty() && !findings.any_within("servers") {
        findings
            .error(Code::Empty, file.servers.as_ref().map_or(root, |servers| &servers.place), "no server is configured")
            .hint("name one: `servers: { time: { command: uvx, args: [mcp-server-time] } }`");
    }
    if let (Some(listen), Some(admin)) = (&file.listen, &file.admin)
        && listen.value == admin.value
        && listen.value.0.port() != 0
    {
        findings
            .error(Code::Conflict, &admin.place, "`listen` and `admin` are one address")
            .value(Some(admin.value.0.to_string()))
            .hint("give `admin` a port of its own");
    }
    if let (Some(admin), Some(asks)) = (&file.admin, &file.admin_login)
        && !asks.value
        && !loopback(admin.value.0)
    {
        findings
            .error(
                Code::OpenListener,
                &asks.place,
                "nobody would be asked who they are at an address that other machines reach",
            )
            .value(Some(admin.value.0.to_string()))
            .hint("leave `admin_login` out, or let `admin` be a loopback address");
    }
    note_what_is_not_in_force(file, findings);
    check_spellings(file, findings);
    check_alerts(file, findings);
    Loaded {
        settings: Settings {
            servers,
            naming: naming(file),
            limits: limits(file),
            front_door: FrontDoor {
                hosts: texts(file.allowed_hosts.as_ref()),
                origins: texts(file.allowed_origins.as_ref()),
            },
            inject_trace: inject_trace(env),
            tracing: Tracing::default(),
            session_rules: session_rules(file),
        },
        log: file.log.as_ref().map(|log| log_of(&log.value)).unwrap_or_default(),
        listen: file.listen.as_ref().map(|listen| listen.value.0),
        admin: file.admin.as_ref().map(|admin| admin.value.0),
        admin_login: file.admin_login.as_ref().is_none_or(|asks| asks.value),
        store: file.store.as_ref().map(|store| store_of(&store.value, findings)).unwrap_or_default(),
        compat: file.telemetry.as_ref().map(|telemetry| telemetry.value.compat()).unwrap_or_default(),
        histograms: file.telemetry.as_ref().map(|telemetry| telemetry.value.histograms()).unwrap_or_default(),
        capture: Capture::of(file),
        shown: Vec::new(),
        notices: Vec::new(),
    }
}

/// The meaning of a client's file: its servers, and our defaults.
pub(crate) fn client(
    written: &[(At<ServerId>, At<blocks::Server>)],
    env: &dyn Environment,
    findings: &mut Findings,
) -> Loaded {
    let mut servers = Vec::new();
    for (id, server) in written {
        servers.extend(meant(Some(id.value.clone()), server, Owner::Client, Shared::default(), env, findings));
    }
    if servers.is_empty() && !findings.any_error() {
        findings
            .file_error(Code::Empty, "this file leaves no server to serve")
            .detail("its entries are none, or switched off");
    }
    defaults(servers, env)
}

/// One server that no file describes.
pub(crate) fn one(id: ServerId, command: Command, env: &dyn Environment) -> Loaded {
    let (timeouts, retry) = (Timeouts::default(), retry::Config::default());
    let server = Server { id, transport: Transport::Stdio(command), timeouts, retry, validate_arguments: false };
    defaults(vec![server], env)
}

/// These servers, and our defaults for the rest.
fn defaults(servers: Vec<Server>, env: &dyn Environment) -> Loaded {
    Loaded {
        settings: Settings {
            servers,
            naming: Naming::default(),
            limits: Limits::default(),
            front_door: FrontDoor::default(),
            inject_trace: inject_trace(env),
            tracing: Tracing::default(),
            session_rules: SessionRule::ALL.into(),
        },
        log: Log::default(),
        listen: None,
        admin: None,
        admin_login: true,
        store: Store::default(),
        compat: Vec::new(),
        histograms: Histograms::default(),
        capture: Capture::default(),
        shown: super::defaults(),
        notices: Vec::new(),
    }
}

fn texts<R>(written: Option<&At<List<Kept<R>>>>) -> Vec<String> {
    written.into_iter().flat_map(|list| &list.value.0).map(|text| text.value.text.clone()).collect()
}

/// `MCP_OTEL_INJECT_TRACEPARENT=0` lets trace context pass as it came.
fn inject_trace(env: &dyn Environment) -> bool {
    let off = |value: OsString| ["0", "false", "no"].iter().any(|off| value.eq_ignore_ascii_case(off));
    !env.var("MCP_OTEL_INJECT_TRACEPARENT").is_some_and(off)
}

/// How sessions are found. An empty list means that none is looked for.
fn session_rules(file: &File) -> Box<[SessionRule]> {
    let written = file.sessions.as_ref().and_then(|sessions| sessions.value.rules.as_ref());
    match written {
        Some(rules) => rules.value.0.iter().map(|rule| rule.value.0).collect(),
        None => SessionRule::ALL.into(),
    }
}

fn log_of(log: &blocks::Log) -> Log {
    Log {
        level: log.level.as_ref().map(|level| level.value.text.clone()),
        format: log.format.as_ref().map(|format| format.value.0),
    }
}

fn store_of(store: &blocks::Store, findings: &mut Findings) -> Store {
    let default = Keep::default();
    let us = |written: &Option<At<Age>>, default| {
        written.as_ref().map_or(default, |at| u64::try_from(at.value.0.as_micros()).unwrap_or(u64::MAX))
    };
    let path = store.path.as_ref().map(|at| PathBuf::from(&at.value.0));
    if let (Some(at), Some(false)) = (&store.path, path.as_ref().map(|path| path.is_absolute())) {
        // What it is relative to would differ from one start to the next.
        findings
            .error(Code::Value, &at.place, "the path of the store is relative")
            .detail("expected an absolute path such as `/var/lib/tollhouse/store`")
            .value(Some(at.value.0.clone()));
    }
    Store {
        off: store.enabled.as_ref().is_some_and(|enabled| !enabled.value),
        path,
        keep: Keep {
            calls_us: us(&store.calls, default.calls_us),
            sessions_us: us(&store.sessions, default.sessions_us),
            minutes_us: us(&store.minutes, default.minutes_us),
            quarters_us: us(&store.quarters, default.quarters_us),
            days_us: us(&store.days, default.days_us),
            disk: store.disk_budget.as_ref().map_or(default.disk, |at| at.value.0.0),
            ..default
        },
    }
}

/// The clocks of every server that has none of its own.
fn shared_timeouts(file: &File) -> Timeouts {
    if file.tool_config.is_none() && file.timeout_handling.is_none() {
        return Timeouts::default();
    }
    let tool_config = file.tool_config.as_ref().and_then(|block| block.value.timeout_ms.as_ref());
    let handling = file.timeout_handling.as_ref().and_then(|block| block.value.tool_call_timeout_ms.as_ref());
    let idle = tool_config.or(handling).map_or(BLOCK_IDLE, |written| Duration::from_millis(written.value.0));
    // Who asks for a longer silence than our maximum means the longer one.
    Timeouts { idle, hard: BLOCK_HARD.max(idle), ..Timeouts::default() }
}

fn count<const MIN: u64, const MAX: u64>(written: Option<&At<Count<MIN, MAX>>>, default: usize) -> usize {
    written.map_or(default, |at| usize::try_from(at.value.0).expect("the bounds fit any machine word"))
}

fn naming(file: &File) -> Naming {
    let default = Naming::default();
    let Some(At { value: written, .. }) = &file.names else { return default };
    Naming {
        prefix: written.prefix.as_ref().map_or(default.prefix, |at| at.value.0),
        max_length: count(written.max_length.as_ref(), default.max_length),
    }
}

fn limits(file: &File) -> Limits {
    let handling = file.timeout_handling.as_ref().map(|block| {
        block.value.session_timeout_ms.as_ref().map_or(BLOCK_SESSION_IDLE, |at| Duration::from_millis(at.value.0))
    });
    let default = Limits::default();
    let default = Limits { session_idle: handling.unwrap_or(default.session_idle), ..default };
    let Some(At { value: written, .. }) = &file.limits else { return default };
    let size = |written: &Option<At<Size>>, default| written.as_ref().map_or(default, |at| at.value.0);
    let length = |written: &Option<At<Length>>, default| written.as_ref().map_or(default, |at| at.value.0);
    Limits {
        request: size(&written.request, default.request),
        answer: size(&written.answer, default.answer),
        line: size(&written.line, default.line),
        calls: count(written.calls.as_ref(), default.calls),
        listens: count(written.listens.as_ref(), default.listens),
        head: length(&written.head, default.head),
        body_idle: length(&written.body_idle, default.body_idle),
        write_stall: length(&written.write_stall, default.write_stall),
        connections: count(written.connections.as_ref(), default.connections),
        sessions: count(written.sessions.as_ref(), default.sessions),
        sessions_per_principal: count(written.sessions_per_principal.as_ref(), default.sessions_per_principal),
        events: count(written.events.as_ref(), default.events),
        event_bytes: size(&written.event_bytes, default.event_bytes),
        session_idle: length(&written.session_idle, default.session_idle),
        records: count(written.records.as_ref(), default.records),
        record_bodies: size(&written.record_bodies, default.record_bodies),
        drain: length(&written.drain, default.drain),
    }
}

fn own_id(name: &At<String>, findings: &mut Findings) -> Option<ServerId> {
    match ServerId::new(&name.value) {
        Ok(id) => Some(id),
        Err(error) => {
            let finding =
                findings.error(Code::ServerId, &name.place, format!("`{}` cannot be the id of a server", name.value));
            finding.detail(error.to_string());
            finding.hint(match slug(&name.value) {
                Ok(slug) => format!("write `{slug}`"),
                Err(_) => "choose another".to_owned(),
            });
            None
        }
    }
}

/// What holds for every server that says nothing else.
#[derive(Debug, Clone, Copy, Default)]
struct Shared {
    timeouts: Timeouts,
    retry: retry::Config,
}

/// One server; `None` after a finding, of which a missing `id` is one.
fn meant(
    id: Option<ServerId>,
    server: &At<blocks::Server>,
    owner: Owner,
    shared: Shared,
    env: &dyn Environment,
    findings: &mut Findings,
) -> Option<Server> {
    check_literals(&server.value, owner, findings);
    let timeouts = timeouts(server, shared.timeouts, findings);
    let transport = transport(server, owner, env, findings)?;
    Some(Server {
        id: id?,
        transport,
        timeouts,
        retry: retry(server.value.retry.as_ref(), shared.retry),
        validate_arguments: server.value.validate_arguments.as_ref().is_some_and(|at| at.value),
    })
}

fn retry(written: Option<&At<blocks::Retry>>, shared: retry::Config) -> retry::Config {
    let Some(At { value: written, .. }) = written else { return shared };
    retry::Config {
        attempts: written
            .attempts
            .as_ref()
            .map_or(shared.attempts, |at| u32::try_from(at.value.0).expect("at most 10")),
        backoff: written.backoff.as_ref().map_or(shared.backoff, |at| at.value.0),
        patience: written.patience.as_ref().map_or(shared.patience, |at| at.value.0),
    }
}

fn timeouts(server: &At<blocks::Server>, shared: Timeouts, findings: &mut Findings) -> Timeouts {
    let Some(At { value: written, place }) = &server.value.timeouts else { return shared };
    let length = |written: &Option<At<Length>>, shared| written.as_ref().map_or(shared, |at| at.value.0);
    let meant = Timeouts {
        connect: length(&written.connect, shared.connect),
        start: length(&written.start, shared.start),
        idle: length(&written.idle, shared.idle),
        hard: length(&written.hard, shared.hard),
    };
    if meant.idle > meant.hard {
        let [idle, hard] = [meant.idle, meant.hard].map(Length::written);
        findings
            .warning(Code::Conflict, place, format!("the idle clock ({idle}) is longer than the hard clock ({hard})"))
            .detail(format!("every call ends after {hard}, however lively it is"))
            .hint(if written.hard.is_some() {
                "give a shorter `idle`".into()
            } else {
                format!("add `hard: {idle}` or more")
            });
    }
    meant
}

fn transport(
    server: &At<blocks::Server>,
    owner: Owner,
    env: &dyn Environment,
    findings: &mut Findings,
) -> Option<Transport> {
    let At { value: written, place } = server;
    match (&written.command, &written.url) {
        (Some(_), Some(url)) => {
            findings
                .error(Code::Conflict, &url.place, format!("`{}` has both `command` and `url`", place.path))
                .detail("a server is either started or called")
                .hint("remove one of the two");
            None
        }
        (None, None) => {
            // A misspelt `command` is already reported.
            if !findings.any_within(&place.path) {
                findings
                    .error(Code::Missing, place, format!("`{}` has neither `command` nor `url`", place.path))
                    .hint("say how to start the server (`command`), or where it is (`url`)");
            }
            None
        }
        (Some(command), None) => {
            let strays = [
                written.headers.as_ref().filter(|at| !at.value.0.is_empty()).map(|at| &at.place),
                written.transport.as_ref().map(|at| &at.place),
            ];
            note_strays(strays, owner, "it belongs to a server with `url`; this one has `command`", findings);
            self::command(command, written, env, findings).map(Transport::Stdio)
        }
        (None, Some(url)) => {
            let strays = [
                written.args.as_ref().filter(|at| !at.value.0.is_empty()).map(|at| &at.place),
                written.env.as_ref().filter(|at| !at.value.0.is_empty()).map(|at| &at.place),
                written.cwd.as_ref().map(|at| &at.place),
            ];
            note_strays(strays, owner, "it belongs to a server with `command`; this one has `url`", findings);
            let url = self::url(url, env, findings);
            let headers = headers(written, env, findings);
            let over = written.transport.as_ref().map(|at| at.value.0);
            url.zip(headers).map(|(url, headers)| Transport::Http { url, headers, over })
        }
    }
}

/// Reports keys that say nothing beside the others. Clients write them empty, or keep them from an earlier entry.
fn note_strays<const N: usize>(strays: [Option<&Place>; N], owner: Owner, why: &str, findings: &mut Findings) {
    for place in strays.into_iter().flatten() {
        let found = format!("`{}` is without effect", place.path);
        match owner {
            Owner::Us => findings.error(Code::Conflict, place, found).detail(why).hint("remove it"),
            Owner::Client => findings.warning(Code::Conflict, place, found).detail(why),
        };
    }
}

fn command(
    program: &At<Template>,
    written: &blocks::Server,
    env: &dyn Environment,
    findings: &mut Findings,
) -> Option<Command> {
    let mut text = |template: &At<Template>| {
        let text = expand(template, env, findings)?;
        if text.contains('\0') {
            findings.error(Code::Value, &template.place, format!("`{}` has a NUL character", template.place.path));
            return None;
        }
        Some(OsString::from(text))
    };
    let path = text(program);
    let args: Option<Vec<_>> = collect(written.args.iter().flat_map(|args| &args.value.0).map(&mut text));
    let variables = written.env.iter().flat_map(|env| &env.value.0);
    let values: Option<Vec<_>> =
        collect(variables.map(|(name, value)| text(value).map(|value| (OsString::from(&name.value), value))));
    let cwd = written.cwd.as_ref().map(text);
    for (name, _) in written.env.iter().flat_map(|env| &env.value.0) {
        if name.value.is_empty() || name.value.contains(['=', '\0']) {
            findings.error(Code::Value, &name.place, "a variable's name is empty or has `=` in it");
        }
    }
    let path = path?;
    if path.is_empty() {
        findings
            .error(Code::Value, &program.place, format!("`{}` is empty", program.place.path))
            .hint("name the program");
        return None;
    }
    let shown = path.to_string_lossy();
    if shown.contains(' ') && !shown.contains(['/', '\\']) && written.args.is_none() {
        findings
            .error(Code::Value, &program.place, format!("`{}` is a whole command line", program.place.path))
            .detail("no shell takes it apart: a program of that name, with the spaces, would be looked for")
            .hint("keep the program in `command` and put each argument into `args`");
        return None;
    }
    Some(Command {
        program: PathBuf::from(path),
        args: args?,
        env: values?,
        cwd: match cwd {
            Some(cwd) => Some(PathBuf::from(cwd?)),
            None => None,
        },
    })
}

/// All of them, or `None`; but only after each has been looked at, so that every finding is made.
fn collect<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    items.collect::<Vec<_>>().into_iter().collect()
}

fn url(template: &At<Template>, env: &dyn Environment, findings: &mut Findings) -> Option<Uri> {
    const EXPECTED: &str = "expected a URL such as `https://mcp.example/mcp`";
    let place = &template.place;
    let text = expand(template, env, findings)?;
    let Ok(url) = text.trim().parse::<Uri>() else {
        let found = if text.contains("://") { "is no URL" } else { "has no scheme" };
        findings.error(Code::Value, place, format!("`{}` {found}", place.path)).detail(EXPECTED);
        return None;
    };
    let found = match (url.scheme_str(), url.host()) {
        (Some("ws" | "wss"), _) => "is a WebSocket, and MCP is spoken over HTTP",
        (Some("http" | "https"), Some(host)) if !host.is_empty() => {
            if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
                findings
                    .error(Code::LiteralSecret, place, format!("`{}` has a user name or a password in it", place.path))
                    .hint("send it as a header: `headers: { Authorization: \"Basic ${CREDENTIALS}\" }`");
                return None;
            }
            return Some(url);
        }
        (Some("http" | "https"), _) => "names no host",
        (Some(_), _) => "has a scheme that is neither http nor https",
        (None, _) => "has no scheme",
    };
    findings.error(Code::Value, place, format!("`{}` {found}", place.path)).detail(EXPECTED);
    None
}

fn headers(written: &blocks::Server, env: &dyn Environment, findings: &mut Findings) -> Option<HeaderMap> {
    let mut headers = Some(HeaderMap::new());
    for (name, template) in written.headers.iter().flat_map(|headers| &headers.value.0) {
        let header = header(name, template, env, findings);
        let Some((map, (header, value))) = headers.as_mut().zip(header) else {
            headers = None;
            continue;
        };
        if map.insert(header, value).is_some() {
            findings
                .error(Code::Duplicate, &name.place, format!("`{}` is written twice", name.place.path))
                .detail("small and capital letters are one in the name of a header")
                .hint("keep one of the two");
        }
    }
    headers
}

fn header(
    name: &At<String>,
    template: &At<Template>,
    env: &dyn Environment,
    findings: &mut Findings,
) -> Option<(HeaderName, HeaderValue)> {
    let place = &name.place;
    let header = HeaderName::from_bytes(name.value.as_bytes()).ok();
    if header.is_none() {
        findings.error(Code::Value, place, format!("`{}` is no name of a header", place.path));
    }
    if header.as_ref().is_some_and(|header| OUR_HEADERS.contains(&header.as_str())) {
        findings.error(Code::Value, place, format!("`{}` is set by Tollhouse itself", place.path)).hint("remove it");
    }
    let text = expand(template, env, findings)?;
    if secret::named(&name.value) && !secret::beyond_scheme(&text) {
        findings
            .error(Code::Value, &template.place, format!("`{}` is empty", template.place.path))
            .detail("it holds a credential, or the variable that should hold it is set to nothing");
        return None;
    }
    let Ok(mut value) = HeaderValue::from_str(&text) else {
        findings
            .error(
                Code::Value,
                &template.place,
                format!("`{}` has a character that no header may hold", template.place.path),
            )
            .detail("expected visible characters and spaces on one line")
            .hint("a line end at the end of a variable is a frequent cause");
        return None;
    };
    value.set_sensitive(true);
    header.map(|header| (header, value))
}

/// Reports secrets that are written out: refused in our file, since it is meant to be shared and kept in version
/// control; taken from a client's, which is as the client made it.
fn check_literals(server: &blocks::Server, owner: Owner, findings: &mut Findings) {
    let allowed = server.allow_literal_secrets.as_ref().is_some_and(|allowed| allowed.value);
    let named = |(name, value): &(At<String>, At<Template>)| {
        (secret::named(&name.value) && writes_out(&value.value) || holds_key(&value.value)).then(|| value.place.clone())
    };
    let formed = |value: &At<Template>| holds_key(&value.value).then(|| value.place.clone());
    let places = std::iter::empty()
        .chain(server.command.iter().filter_map(formed))
        .chain(server.args.iter().flat_map(|args| &args.value.0).filter_map(formed))
        .chain(server.env.iter().flat_map(|env| &env.value.0).filter_map(named))
        .chain(server.url.iter().filter_map(formed))
        .chain(server.headers.iter().flat_map(|headers| &headers.value.0).filter_map(named));
    for place in places {
        let found = format!("`{}` has a secret written out", place.path);
        if owner == Owner::Us && !allowed {
            findings.error(Code::LiteralSecret, &place, found).detail("expected the name of a variable").hint(
                "put it into a variable and write `${NAME}`; `allow_literal_secrets: true` at the server takes it as it is",
            );
        } else {
            findings
                .warning(Code::LiteralSecret, &place, found)
                .detail("whoever reads the file has it")
                .hint("put it into a variable and write `${NAME}`");
        }
    }
}

fn note_what_is_not_in_force(file: &File, findings: &mut Findings) {
    let parts = [
        (file.observability.as_ref().map(|at| &at.place), "observability"),
        (
            file.tool_config.as_ref().map(|at| &at.place),
            "tool_config (max_concurrent, retry_attempts, error_threshold)",
        ),
        (
            file.timeout_handling.as_ref().map(|at| &at.place),
            "timeout_handling (retry_backoff_ms, max_retries, error_threshold)",
        ),
        (file.session_recovery.as_ref().map(|at| &at.place), "session_recovery"),
        (file.alerts.as_ref().map(|at| &at.place), "alerts"),
    ];
    for (place, part) in parts {
        if let Some(place) = place {
            findings
                .warning(Code::NotInForce, place, format!("accepted, not yet in force: {part}"))
                .detail("it is checked, and has no effect in this version");
        }
    }
}

/// Two spellings of one switch must not say different things.
fn check_spellings(file: &File, findings: &mut Findings) {
    let Some(At { value: block, .. }) = &file.observability else { return };
    let pairs = [
        (&block.cost_tracking, &block.track_cost, "`cost_tracking` and `track_cost`"),
        (&block.tool_tracking, &block.track_tools, "`tool_tracking` and `track_tools`"),
    ];
    for (one, other, names) in pairs {
        if let (Some(one), Some(other)) = (one, other)
            && one.value != other.value
        {
            findings
                .error(Code::Conflict, &other.place, format!("{names} say different things"))
                .detail("they are two spellings of one switch")
                .value(Some(other.value.to_string()))
                .hint("keep one of the two");
        }
    }
}

fn check_alerts(file: &File, findings: &mut Findings) {
    for At { value: alert, place } in file.alerts.iter().flat_map(|alerts| &alerts.value.0) {
        let missing = [
            ("name", alert.name.is_none()),
            ("condition", alert.condition.is_none()),
            ("action", alert.action.is_none()),
        ];
        for (key, missing) in missing {
            if missing && !findings.any_within(&place.path) {
                findings.error(Code::Missing, place, format!("`{}` has no `{key}`", place.path));
            }
        }
    }
}
