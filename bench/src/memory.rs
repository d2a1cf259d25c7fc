//! What becomes of a gateway's memory: while idle sessions gather, and over a great many calls.
//!
//! Resident memory is what an operator sees, and it comes in steps: an allocator takes more than it is asked for. So
//! a session's share is taken between two large numbers of sessions, and calls are counted in stretches that should
//! all show the same.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::call::Era;
use crate::load::{Fleet, Limit, Target, find_tool};
use crate::proc;
use crate::report;
use crate::run::{Running, Start, free_address, target};
use crate::wire::{Connection, Endpoint};

/// Memory is read when the last call has been over for this long.
const REST: Duration = Duration::from_secs(1);
/// How long a stretch of calls may take.
const STRETCH: Duration = Duration::from_mins(30);

#[derive(Debug, clap::Args)]
pub(crate) struct OfSessions {
    /// The `tollhouse` binary to measure.
    #[arg(long)]
    tollhouse: PathBuf,
    /// Sessions to open, beyond a tenth of them that does not count.
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// Programs that open them; each says the same every time.
    #[arg(long, default_value_t = 8)]
    clients: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OfCalls {
    /// The `tollhouse` binary to measure.
    #[arg(long)]
    tollhouse: PathBuf,
    /// Calls to send.
    #[arg(long, default_value_t = 1_000_000)]
    calls: u64,
    /// After how many of them memory is read.
    #[arg(long, default_value_t = 100_000)]
    every: u64,
    /// Connections, each with one call at a time.
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// Bytes of text in a call.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Protocol of the calls.
    #[arg(long, value_enum, default_value_t = Era::Modern)]
    era: Era,
}

/// A gateway in front of an upstream, both ours.
pub(crate) struct Stage {
    endpoint: Endpoint,
    /// Where its admin listener is.
    pub(crate) admin: SocketAddr,
    gateway: Running,
    pid: u32,
    _upstream: Running,
    _directory: TempDir,
}

impl Stage {
    async fn set(tollhouse: &Path) -> anyhow::Result<Self> {
        Self::over(tollhouse, None).await
    }

    /// One that goes on with what was recorded in `data`.
    pub(crate) async fn over(tollhouse: &Path, data: Option<&Path>) -> anyhow::Result<Self> {
        // It is started in a directory of its own.
        let tollhouse = tollhouse.canonicalize().with_context(|| format!("find {}", tollhouse.display()))?;
        let directory = tempfile::Builder::new().prefix("tollhouse-bench-").tempdir()?;
        let own = std::env::current_exe().context("find this binary")?;
        let upstream = free_address()?;
        let probe = target(Endpoint::parse(&format!("http://{upstream}/mcp"))?);
        let arguments = ["upstream", "http", "--listen", &upstream.to_string()].map(str::to_owned).to_vec();
        let start = Start {
            name: "upstream",
            program: &own,
            arguments,
            env: Vec::new(),
            directory: directory.path(),
            probe: &probe,
        };
        let (upstream_process, _) = start.run(None, None).await?;

        let config = directory.path().join("tollhouse.yaml");
        let text = format!(
            "servers:\n  echo: {{ url: \"http://{upstream}/mcp\" }}\n\
             limits: {{ sessions: 10000000, sessions_per_principal: 10000000, session_idle: 1d }}\n"
        );
        std::fs::write(&config, text).context("write the configuration")?;
        let listen = free_address()?;
        let probe = target(Endpoint::parse(&format!("http://{listen}/mcp"))?);
        let arguments = ["serve", "--config", &config.display().to_string(), "--listen", &listen.to_string()];
        let mut arguments = arguments.map(str::to_owned).to_vec();
        let admin = free_address()?;
        arguments.extend(["--admin".to_owned(), admin.to_string()]);
        if let Some(data) = data {
            arguments.extend(["--data-dir".to_owned(), data.display().to_string()]);
        }
        let start = Start {
            name: "tollhouse",
            program: &tollhouse,
            arguments,
            env: Vec::new(),
            directory: directory.path(),
            probe: &probe,
        };
        let (gateway, _) = start.run(None, None).await?;
        let pid = gateway.child.id().context("the gateway runs")?;
        Ok(Self { endpoint: probe.endpoint, admin, gateway, pid, _upstream: upstream_process, _directory: directory })
    }

    async fn memory_kib(&self) -> anyhow::Result<u64> {
        tokio::time::sleep(REST).await;
        proc::rss_kib(self.pid).context("read the gateway's memory")
    }

    /// How long records took to be seen, from the end of their call, as the gateway itself counts: the upper ends of the
    /// ranges in which lie half, 99 of 100 and all of the calls; and how many there were.
    async fn seen_after(&self) -> anyhow::Result<String> {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", self.admin);
        let mut connection = Connection::new(self.admin);
        let head = connection.exchange(request.as_bytes()).await?;
        ensure!(head.status == 200, "the metrics are answered with {}", head.status);
        let text = String::from_utf8_lossy(connection.body()).into_owned();
        let bucket = |line: &str| {
            let (labels, value) =
                line.strip_prefix("tollhouse_trace_delay_seconds_bucket{stage=\"stored\",le=\"")?.split_once("\"} ")?;
            Some((labels.to_owned(), value.split(' ').next()?.parse::<f64>().ok()?))
        };
        let buckets: Vec<_> = text.lines().filter_map(bucket).collect();
        let (_, count) = buckets.last().context("find how long records took")?;
        let within = |share: f64| {
            let found = buckets.iter().find(|(_, below)| *below >= share * count);
            found.map_or_else(String::new, |(end, _)| end.clone())
        };
        let [half, most, all] = [0.5, 0.99, 1.0].map(within);
        Ok(format!("half within {half} s, 99 of 100 within {most} s, all within {all} s, of {count} calls"))
    }

    /// Ends the gateway in order.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.gateway.stop("tollhouse").await
    }
}

/// What the figures are of.
fn heading() -> String {
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    format!("{}, Linux {}. Command: `tollhouse-bench {command}`.\n", proc::processor(), proc::kernel())
}

/// Opens sessions and prints the share of each in the gateway's memory.
pub(crate) async fn sessions(args: &OfSessions) -> anyhow::Result<()> {
    let stage = Stage::set(&args.tollhouse).await?;
    let mut clients: Vec<_> = (0..args.clients.max(1)).map(|n| Client::new(&stage.endpoint, n)).collect();
    let first = args.sessions / 10;
    let mut open = Vec::with_capacity(first + args.sessions);
    let mut text = heading() + "\n| sessions | resident memory, KiB | bytes a session |\n|--:|--:|--:|\n";
    let mut before = 0;
    for (count, wanted) in [first, args.sessions].into_iter().enumerate() {
        for n in 0..wanted {
            let client = n % clients.len();
            open.push((client, clients[client].open().await?));
        }
        let now = stage.memory_kib().await?;
        let share = (now.saturating_sub(before) * 1024) as f64 / wanted as f64;
        let share = if count == 0 { String::new() } else { format!("{share:.0}") };
        writeln!(text, "| {} | {now} | {share} |", open.len())?;
        before = now;
    }
    for (client, session) in &open {
        clients[*client].call(session).await?;
    }
    let now = stage.memory_kib().await?;
    let more = (now.saturating_sub(before) * 1024) as f64 / open.len() as f64;
    writeln!(text, "| {}, after a call in each | {now} | {more:.0} more |", open.len())?;
    report::print(&text)?;
    stage.end().await
}

/// A program that opens sessions, on one connection.
struct Client {
    connection: Connection,
    endpoint: Endpoint,
    initialize: String,
}

impl Client {
    fn new(endpoint: &Endpoint, number: usize) -> Self {
        let initialize = format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"2025-06-18","capabilities":{{"roots":{{"listChanged":true}},"sampling":{{}},"elicitation":{{}}}},"clientInfo":{{"name":"bench-{number}","title":"A benchmark","version":"1.0.0"}}}}}}"#
        );
        Self { connection: Connection::new(endpoint.address), endpoint: endpoint.clone(), initialize }
    }

    async fn open(&mut self) -> anyhow::Result<String> {
        let initialize = self.initialize.clone();
        let session = self.post(&initialize, None).await?.context("`initialize` gave no session")?;
        self.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, Some(&session)).await?;
        Ok(session)
    }

    async fn call(&mut self, session: &str) -> anyhow::Result<()> {
        let call =
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}"#;
        self.post(call, Some(session)).await.map(drop)
    }

    /// Sends a message; the session its answer names.
    async fn post(&mut self, message: &str, session: Option<&str>) -> anyhow::Result<Option<String>> {
        let Endpoint { address, path } = &self.endpoint;
        let own = session.map_or_else(String::new, |session| {
            format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-06-18\r\n")
        });
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{own}Content-Length: {}\r\n\r\n{message}",
            message.len()
        );
        let head = self.connection.exchange(request.as_bytes()).await?;
        let body = || String::from_utf8_lossy(self.connection.body()).into_owned();
        ensure!(head.status < 300, "a message was answered by status {}: {}", head.status, body());
        Ok(head.session)
    }
}

/// Sends calls and prints how the gateway's memory goes.
pub(crate) async fn soak(args: &OfCalls) -> anyhow::Result<ExitCode> {
    let stage = Stage::set(&args.tollhouse).await?;
    let tool = find_tool(&stage.endpoint, args.era, None).await?;
    let target = Target { endpoint: stage.endpoint.clone(), era: args.era, tool, size: args.size };
    let mut text = heading() + "\n| calls | resident memory, KiB | calls/s | errors |\n|--:|--:|--:|--:|\n";
    writeln!(text, "| 0 | {} | | |", stage.memory_kib().await?)?;
    let (mut done, mut errors) = (0, 0);
    while done < args.calls && errors == 0 {
        let stretch = args.every.clamp(1, args.calls - done);
        let mut fleet = Fleet::connect(&target, args.clients).await?;
        let mut tally = fleet.closed(Limit { duration: STRETCH, calls: stretch }).await?;
        fleet.close().await;
        let figures = tally.figures();
        done += stretch;
        errors += figures.errors;
        let memory = stage.memory_kib().await?;
        writeln!(text, "| {done} | {memory} | {:.0} | {} |", figures.calls_per_second, figures.errors)?;
    }
    writeln!(text, "\nFrom the end of a call to its record being seen: {}.", stage.seen_after().await?)?;
    report::print(&text)?;
    stage.end().await?;
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
