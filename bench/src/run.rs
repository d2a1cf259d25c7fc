//! The whole comparison: starts everything, pins it, measures in interleaved rounds, reports.
//!
//! Absolute times of a shared machine mean little an hour later; a ratio to the floor measured seconds apart means
//! much. So every cell (era, size, clients) measures all rows one after another, in the other direction every other
//! round, and a ratio is taken within one round before the median is taken over rounds.
//!
//! Generator and upstream share the first core, the measured gateway has the second to itself.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::call::Era;
use crate::load::{Fleet, Limit, Tally, Target, find_tool};
use crate::pipe::Pipe;
use crate::proc::{self, Cpu, Machine};
use crate::report::{Cell, Conditions, Loop, Process, Report, Sample};
use crate::sink;
use crate::stats::median;
use crate::wire::{Connection, Endpoint};

/// How long a gateway may take to answer its first call.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// How long after it is up a gateway may take until each of its rows answers; an upstream process may still start.
const ROW_PATIENCE: Duration = Duration::from_secs(20);
/// Between two tries of a first call: small beside the times reported.
const TRY_AGAIN: Duration = Duration::from_millis(1);
/// Calls per second before memory is read, if calls for that are asked for.
const SOAK_RATE: f64 = 10_000.0;
/// Connections of an open loop: more than are ever busy at a rate that is kept up with.
const OPEN_LOOP_CLIENTS: usize = 64;
/// Tools of each server of the gateway that has many.
const CROWD_TOOLS: usize = 50;
/// Stands for the sink's address in what is added to a configuration.
const SINK: &str = "{sink}";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The `tollhouse` binary to measure; without it only the rows `direct` and `floor` are.
    #[arg(long)]
    tollhouse: Option<PathBuf>,
    /// Servers, of 50 tools each, of a further gateway that has many; 0 leaves it out.
    #[arg(long, default_value_t = 10)]
    crowd: usize,
    /// Members added to each server of its configuration, as `limit: { max_concurrent: 1024 }`.
    #[arg(long, default_value = "")]
    server_config: String,
    /// File added to its configuration; `{sink}` in it becomes the address of an OTLP sink that counts.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Measures a further gateway that exports a span of each call and of each attempt to an OTLP sink.
    #[arg(long)]
    exporting: bool,
    /// Further gateways that already listen, as `name=http://127.0.0.1:9000/mcp`.
    #[arg(long, value_parser = named)]
    peer: Vec<(String, String)>,
    /// Process of a peer, as `name=1234`; it is pinned, and its CPU and memory count, with all that descend from it.
    #[arg(long, value_parser = named)]
    peer_pid: Vec<(String, String)>,
    /// Rows to measure, by the beginning of their names; all when left out.
    #[arg(long)]
    row: Vec<String>,
    /// Protocols to speak.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "modern")]
    eras: Vec<Era>,
    /// Bytes of text in a call.
    #[arg(long, value_delimiter = ',', default_value = "100,32768")]
    sizes: Vec<usize>,
    /// Connections in a closed loop.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    clients: Vec<usize>,
    /// Calls per second of the open loop; 0 leaves it out.
    #[arg(long, default_value_t = 2_000.0)]
    rate: f64,
    /// Rounds; figures are medians over them.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each row in each cell of a round.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Starts to take the median start time of.
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// Calls to send to each gateway, at 10,000 a second, before its memory is read the second time.
    #[arg(long, default_value_t = 0)]
    soak: u64,
    /// One short round, to see that everything works; its figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// File to write all samples to, as JSON.
    #[arg(long)]
    out: Option<PathBuf>,
    /// What was measured, as a commit; goes into the report.
    #[arg(long, default_value = "")]
    label: String,
}

/// Which core does what; one core for all where there is one only.
#[derive(Debug, Clone, Copy)]
struct Cores {
    /// All there are for us.
    count: usize,
    load: Option<usize>,
    gateway: Option<usize>,
}

/// One line of the tables.
struct Row {
    name: String,
    road: Road,
    /// Index into the gateways; none where the upstream is called with no gateway between.
    gateway: Option<usize>,
}

enum Road {
    Http {
        endpoint: Endpoint,
        /// Whose `echo` is meant, where a list holds several.
        server: Option<&'static str>,
    },
    Pipe(Box<Pipe>),
}

/// A process under measurement.
struct Gateway {
    name: String,
    /// None for a peer that is not ours, or known by its address only.
    pid: Option<u32>,
    /// Whether what descends from it counts.
    with_children: bool,
    start_ms: Vec<f64>,
    rss_idle_kib: Option<u64>,
    calls: u64,
    /// Stopped when dropped.
    running: Option<Running>,
}

/// A child process, its log, and the end it gets.
pub(crate) struct Running {
    pub(crate) child: Child,
    log: PathBuf,
}

/// How to start a gateway, and the call that shows it is up.
pub(crate) struct Start<'a> {
    pub(crate) name: &'a str,
    pub(crate) program: &'a Path,
    pub(crate) arguments: Vec<String>,
    pub(crate) env: Vec<(&'static str, String)>,
    pub(crate) directory: &'a Path,
    pub(crate) probe: &'a Target,
}

/// The machine's and our own time over all windows measured, in ticks.
#[derive(Default)]
struct Share {
    total: u64,
    ours: u64,
    busy: u64,
    stolen: u64,
}

fn named(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not `name=value`"))?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) async fn main(mut args: Args) -> anyhow::Result<ExitCode> {
    if args.quick {
        (args.rounds, args.seconds, args.starts) = (1, 0.1, 1);
        args.clients.retain(|clients| *clients <= 16);
    }
    let report = Bench::prepare(args).await?.measure().await?;
    crate::report::print(&report.to_markdown())?;
    if let Some(file) = &report.out {
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(file, json).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(if report.faultless() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Bench {
    args: Args,
    cores: Cores,
    rows: Vec<Row>,
    gateways: Vec<Gateway>,
    /// The upstreams; stopped when dropped.
    _upstreams: Vec<Running>,
    sink: Option<(SocketAddr, Running)>,
    directory: TempDir,
    share: Share,
    report: Report,
}

impl Bench {
    /// Starts everything and waits until it answers.
    async fn prepare(args: Args) -> anyhow::Result<Self> {
        let allowed = proc::cores()?;
        let (load, gateway) = match *allowed.as_slice() {
            [load, gateway, ..] => (Some(load), Some(gateway)),
            _ => (None, None),
        };
        let cores = Cores { count: allowed.len(), load, gateway };
        proc::pin(cores.load)?;
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
        let mut upstreams = vec![start.run(cores.load, cores.load).await?.0];
        let mut rows =
            vec![Row { name: "direct".to_owned(), road: Road::http(probe.endpoint.clone(), None), gateway: None }];
        let mut gateways = Vec::new();

        let listen = free_address()?;
        let probe = target(Endpoint::parse(&format!("http://{listen}/mcp"))?);
        let arguments = ["floor", "--listen", &listen.to_string(), "--upstream", &upstream.to_string()];
        let arguments = arguments.map(str::to_owned).to_vec();
        let start = Start {
            name: "floor",
            program: &own,
            arguments,
            env: Vec::new(),
            directory: directory.path(),
            probe: &probe,
        };
        gateways.push(start.measured(args.starts, cores).await?);
        rows.push(Row { name: "floor".to_owned(), road: Road::http(probe.endpoint.clone(), None), gateway: Some(0) });

        let added = match &args.config {
            Some(file) => fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?,
            None => String::new(),
        };
        let mut sink = None;
        if added.contains(SINK) || args.exporting {
            let listen = free_address()?;
            let arguments = ["sink", "--listen", &listen.to_string()].map(str::to_owned).to_vec();
            let start = Start {
                name: "sink",
                program: &own,
                arguments,
                env: Vec::new(),
                directory: directory.path(),
                probe: &probe,
            };
            let running = start.spawn(cores.load, cores.load)?;
            healthy(listen).await?;
            sink = Some((listen, running));
        }

        if let Some(program) = &args.tollhouse {
            let (listen, admin) = (free_address()?, free_address()?);
            let config = directory.path().join("tollhouse.yaml");
            fs::write(
                &config,
                configuration(&args.server_config, upstream, &own, cores, &added, sink.as_ref().map(|(at, _)| *at))?,
            )
            .context("write the configuration")?;
            let arguments = vec![
                "serve".to_owned(),
                "--config".to_owned(),
                config.display().to_string(),
                "--listen".to_owned(),
                listen.to_string(),
                "--admin".to_owned(),
                admin.to_string(),
            ];
            let probe = target(Endpoint::parse(&format!("http://{listen}/servers/echo/mcp"))?);
            let start = Start {
                name: "tollhouse",
                program,
                arguments,
                env: Vec::new(),
                directory: directory.path(),
                probe: &probe,
            };
            gateways.push(start.measured(args.starts, cores).await?);
            healthy(admin).await?;
            let gateway = Some(gateways.len() - 1);
            for (name, path, server) in [
                ("tollhouse /servers/echo", "/servers/echo/mcp", None),
                ("tollhouse /mcp", "/mcp", Some("echo")),
                ("tollhouse /servers/pipe (stdio)", "/servers/pipe/mcp", None),
                ("tollhouse /mcp (stdio)", "/mcp", Some("pipe")),
            ] {
                let endpoint = Endpoint { address: listen, path: path.to_owned() };
                rows.push(Row { name: name.to_owned(), road: Road::http(endpoint, server), gateway });
            }
        }
        if let (Some(program), Some((sink, _))) = (&args.tollhouse, &sink)
            && args.exporting
        {
            let (listen, admin) = (free_address()?, free_address()?);
            let [config, data] =
                ["tollhouse.yaml", "exporting"].map(|name| directory.path().join(name).display().to_string());
            let [at, health] = [listen, admin].map(|address| address.to_string());
            let arguments = ["serve", "--config", &config, "--listen", &at, "--admin", &health, "--data-dir", &data]
                .map(str::to_owned);
            let env = vec![("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://{sink}/v1/traces"))];
            let probe = target(Endpoint::parse(&format!("http://{listen}/servers/echo/mcp"))?);
            let (arguments, directory) = (arguments.to_vec(), directory.path());
            let start = Start { name: "exporting", program, arguments, env, directory, probe: &probe };
            gateways.push(start.measured(args.starts, cores).await?);
            healthy(admin).await?;
            let endpoint = Endpoint { address: listen, path: "/servers/echo/mcp".to_owned() };
            let gateway = Some(gateways.len() - 1);
            rows.push(Row { name: "exporting /servers/echo".to_owned(), road: Road::http(endpoint, None), gateway });
        }
        if let Some(program) = args.tollhouse.as_ref().filter(|_| args.crowd > 0) {
            let (upstream, gateway, endpoint) = start_crowd(&args, program, &own, cores, directory.path()).await?;
            let name = format!("{} /mcp", gateway.name);
            upstreams.push(upstream);
            gateways.push(gateway);
            // The last one: no row gains by being found first.
            let last: &'static str = format!("s{}_", args.crowd - 1).leak();
            rows.push(Row { name, road: Road::http(endpoint, Some(last)), gateway: Some(gateways.len() - 1) });
        }
        for (name, url) in &args.peer {
            gateways.push(Gateway::peer(name, &args.peer_pid, cores)?);
            let gateway = Some(gateways.len() - 1);
            rows.push(Row { name: name.clone(), road: Road::http(Endpoint::parse(url)?, None), gateway });
        }
        let pipe = Road::Pipe(Box::new(Pipe::start(&own, cores.load)?));
        rows.push(Row { name: "direct (stdio)".to_owned(), road: pipe, gateway: None });
        if !args.row.is_empty() {
            // The floor stays: without it there is no ratio.
            rows.retain(|row| row.name == "floor" || args.row.iter().any(|wanted| row.name.starts_with(wanted)));
        }

        tokio::time::sleep(Duration::from_millis(500)).await;
        for gateway in &mut gateways {
            gateway.rss_idle_kib = gateway.rss_kib();
        }
        let report = Report::new(conditions(&args, cores), args.out.clone());
        let share = Share::default();
        Ok(Self { args, cores, rows, gateways, _upstreams: upstreams, sink, directory, share, report })
    }

    async fn measure(mut self) -> anyhow::Result<Report> {
        let duration = Duration::from_secs_f64(self.args.seconds);
        for era in self.args.eras.clone() {
            let tools = self.ready(era).await;
            for size in self.args.sizes.clone() {
                let mut loops: Vec<Loop> = self.args.clients.iter().map(|clients| Loop::Closed(*clients)).collect();
                // On a machine of one core it is what the cell of one client already is.
                if self.cores.count > 1 {
                    loops.insert(0, Loop::OneCore);
                }
                if self.args.rate > 0.0 && size == self.args.sizes[0] {
                    loops.push(Loop::Open(self.args.rate));
                }
                let first = self.report.cells.len();
                self.report.cells.extend(loops.iter().map(|of| Cell::new(era, size, *of)));
                for round in 0..self.args.rounds {
                    for (index, how) in loops.iter().enumerate() {
                        let mut order: Vec<usize> = (0..self.rows.len()).filter(|row| tools[*row].is_some()).collect();
                        if (round + index) % 2 == 1 {
                            order.reverse();
                        }
                        for row in order {
                            let tool = tools[row].clone().unwrap_or_default();
                            let sample = self.sample(row, era, size, tool, *how, duration).await?;
                            self.report.cells[first + index].add(&self.rows[row].name, round, sample);
                        }
                    }
                }
            }
        }
        self.finish().await
    }

    /// Waits until each row answers a call of this era, and learns what its tool is called there.
    async fn ready(&mut self, era: Era) -> Vec<Option<String>> {
        let mut tools = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let Road::Http { endpoint, server } = &row.road else {
                tools.push(Some("echo".to_owned()));
                continue;
            };
            let deadline = Instant::now() + ROW_PATIENCE;
            let tool = loop {
                let error = match first_call(endpoint, era, *server).await {
                    Ok(tool) => break Some(tool),
                    Err(error) => error,
                };
                if Instant::now() > deadline {
                    self.report.unanswered.push(format!("{} ({}): {error:#}", row.name, era.name()));
                    break None;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            tools.push(tool);
        }
        tools
    }

    /// One row in one cell of one round.
    async fn sample(
        &mut self,
        row: usize,
        era: Era,
        size: usize,
        tool: String,
        how: Loop,
        duration: Duration,
    ) -> anyhow::Result<Sample> {
        let warm_up = Limit::time((duration / 8).min(Duration::from_millis(250)));
        let gateway = self.rows[row].gateway;
        let pids = gateway.map(|gateway| self.gateways[gateway].pids()).unwrap_or_default();
        if let (Loop::OneCore, Some(core)) = (how, self.cores.load) {
            proc::move_to(&pids, core)?;
        }
        let (tally, cpu, warm_calls);
        match &mut self.rows[row].road {
            Road::Http { endpoint, .. } => {
                let target = Target { endpoint: endpoint.clone(), era, tool, size };
                let clients = match how {
                    Loop::OneCore => 1,
                    Loop::Closed(clients) => clients,
                    Loop::Open(_) => OPEN_LOOP_CLIENTS,
                };
                let mut fleet = Fleet::connect(&target, clients).await?;
                warm_calls = fleet.closed(warm_up).await?.latencies.len();
                let window = Share::window()?;
                let before = Cpu::read(&pids);
                tally = match how {
                    Loop::OneCore | Loop::Closed(_) => fleet.closed(Limit::time(duration)).await?,
                    Loop::Open(rate) => fleet.open(rate, Limit::time(duration)).await?,
                };
                cpu = Cpu::read(&pids).since(&before);
                self.share.close(&window)?;
                fleet.close().await;
            }
            Road::Pipe(pipe) => {
                let outstanding = match how {
                    Loop::OneCore => 1,
                    Loop::Closed(outstanding) => outstanding,
                    Loop::Open(_) => return Ok(Sample::default()),
                };
                warm_calls = pipe.closed(outstanding, era, size, warm_up).await?.latencies.len();
                let window = Share::window()?;
                tally = pipe.closed(outstanding, era, size, Limit::time(duration)).await?;
                cpu = Duration::ZERO;
                self.share.close(&window)?;
            }
        }
        if let (Loop::OneCore, Some(core)) = (how, self.cores.gateway) {
            proc::move_to(&pids, core)?;
        }
        let counted = !pids.is_empty();
        if let Some(gateway) = gateway {
            self.gateways[gateway].calls += (warm_calls + tally.latencies.len()) as u64;
        }
        Ok(sample(tally, counted.then_some(cpu)))
    }

    /// Reads memory a second time, when queues are empty, and what remains of the report.
    async fn finish(mut self) -> anyhow::Result<Report> {
        for (index, gateway) in self.gateways.iter_mut().enumerate() {
            let road = self.rows.iter().find(|row| row.gateway == Some(index)).map(|row| &row.road);
            if let Some(Road::Http { endpoint, server }) = road
                && self.args.soak > 0
            {
                let era = self.args.eras[0];
                let tool = find_tool(endpoint, era, *server).await?;
                let target = Target { endpoint: endpoint.clone(), era, tool, size: self.args.sizes[0] };
                let mut fleet = Fleet::connect(&target, OPEN_LOOP_CLIENTS).await?;
                let seconds = Duration::from_secs_f64(self.args.soak as f64 / SOAK_RATE);
                let tally = fleet.open(SOAK_RATE, Limit { duration: seconds, calls: self.args.soak }).await?;
                fleet.close().await;
                gateway.calls += tally.latencies.len() as u64;
                self.report.soak_errors += tally.errors;
            }
            gateway.settle().await;
            self.report.processes.push(Process {
                name: gateway.name.clone(),
                start_ms: median(gateway.start_ms.iter().copied()),
                starts_ms: gateway.start_ms.clone(),
                rss_idle_kib: gateway.rss_idle_kib,
                rss_after_kib: gateway.rss_kib(),
                calls: gateway.calls,
            });
        }
        let Share { total, ours, busy, stolen } = self.share;
        self.report.others_percent = busy.saturating_sub(ours) as f64 * 100.0 / total.max(1) as f64;
        self.report.stolen_percent = stolen as f64 * 100.0 / total.max(1) as f64;
        for gateway in &mut self.gateways {
            if let Some(running) = &mut gateway.running {
                running.stop(&gateway.name).await?;
            }
        }
        // A gateway exports the last of it as it ends.
        if let Some((address, _)) = &self.sink {
            self.report.exported = Some(sink::counts(*address).await?);
        }
        self.directory.close().context("remove the temporary directory")?;
        Ok(self.report)
    }
}

impl Road {
    fn http(endpoint: Endpoint, server: Option<&'static str>) -> Self {
        Self::Http { endpoint, server }
    }
}

impl Gateway {
    /// A gateway that already listens; pinned where its process is known.
    fn peer(name: &str, pids: &[(String, String)], cores: Cores) -> anyhow::Result<Self> {
        let pid = pids.iter().find(|(of, _)| of == name).map(|(_, pid)| pid.parse()).transpose();
        let pid = pid.with_context(|| format!("read the process id of `{name}`"))?;
        if let (Some(pid), Some(core)) = (pid, cores.gateway) {
            proc::move_to(&proc::tree(pid), core).with_context(|| format!("pin `{name}`"))?;
        }
        Ok(Self {
            name: name.to_owned(),
            pid,
            with_children: true,
            start_ms: Vec::new(),
            rss_idle_kib: None,
            calls: 0,
            running: None,
        })
    }

    /// The processes that count: a gateway's own, not the servers it starts; a peer may be a tree of workers.
    fn pids(&self) -> Vec<u32> {
        match (self.pid, self.with_children) {
            (Some(pid), true) => proc::tree(pid),
            (Some(pid), false) => vec![pid],
            (None, _) => Vec::new(),
        }
    }

    fn rss_kib(&self) -> Option<u64> {
        let each: Vec<u64> = self.pids().into_iter().filter_map(proc::rss_kib).collect();
        (!each.is_empty()).then(|| each.iter().sum())
    }

    /// Waits until the process has nothing left to do, 10 s at most.
    async fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            let before = Cpu::read(&self.pids());
            tokio::time::sleep(Duration::from_millis(500)).await;
            if Cpu::read(&self.pids()).since(&before) < Duration::from_millis(5) {
                return;
            }
        }
    }
}

impl Start<'_> {
    /// Starts the process `times` over, keeps the last, and notes how long each took to answer a first call.
    async fn measured(&self, times: usize, cores: Cores) -> anyhow::Result<Gateway> {
        let mut start_ms = Vec::new();
        loop {
            let (mut running, took) = self.run(cores.gateway, cores.load).await?;
            start_ms.push(took.as_secs_f64() * 1_000.0);
            if start_ms.len() < times {
                running.stop(self.name).await?;
                continue;
            }
            return Ok(Gateway {
                name: self.name.to_owned(),
                pid: running.child.id(),
                with_children: false,
                start_ms,
                rss_idle_kib: None,
                calls: 1,
                running: Some(running),
            });
        }
    }

    /// Starts the process on `core` and waits until it answers a call.
    pub(crate) async fn run(&self, core: Option<usize>, back_to: Option<usize>) -> anyhow::Result<(Running, Duration)> {
        let began = Instant::now();
        let mut running = self.spawn(core, back_to)?;
        loop {
            let error = match answered(self.probe).await {
                Ok(()) => return Ok((running, began.elapsed())),
                Err(error) => error,
            };
            if let Some(status) = running.child.try_wait()? {
                bail!("{} ended with {status} before it answered a call\n{}", self.name, running.log_end());
            }
            if began.elapsed() > START_PATIENCE {
                let end = running.log_end();
                bail!("{} answered no call within {START_PATIENCE:?}; last: {error:#}\n{end}", self.name);
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// Starts the process on `core`; this thread goes back to its own.
    fn spawn(&self, core: Option<usize>, back_to: Option<usize>) -> anyhow::Result<Running> {
        let log = self.directory.join(format!("{}.log", self.name));
        let stderr = File::create(&log).context("create a log")?;
        let mut command = Command::new(self.program);
        command.args(&self.arguments).current_dir(self.directory).env("MCP_LOG_LEVEL", "error");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        // What a gateway keeps between runs belongs to this run alone.
        command.env("HOME", self.directory);
        for variable in ["XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).kill_on_drop(true);
        // A process starts on the core of the thread that starts it, all its threads included.
        proc::pin(core)?;
        let child = command.spawn().with_context(|| format!("start {}", self.program.display()));
        proc::pin(back_to)?;
        Ok(Running { child: child?, log })
    }
}

impl Running {
    /// Asks the process to end, and makes it after ten seconds.
    pub(crate) async fn stop(&mut self, name: &str) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed())) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        if tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await.is_err() {
            eprintln!("warning: {name} did not end within 10 s of SIGTERM and was killed");
            self.child.kill().await?;
        }
        Ok(())
    }

    fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Share {
    fn window() -> anyhow::Result<(Machine, u64)> {
        Ok((Machine::read()?, own_ticks()))
    }

    fn close(&mut self, (machine, ours): &(Machine, u64)) -> anyhow::Result<()> {
        let after = Machine::read()?;
        self.total += after.total - machine.total;
        self.busy += after.busy - machine.busy;
        self.stolen += after.stolen - machine.stolen;
        self.ours += own_ticks().saturating_sub(*ours);
        Ok(())
    }
}

/// Ticks of this process and all it started.
fn own_ticks() -> u64 {
    proc::tree(std::process::id()).into_iter().filter_map(proc::ticks).sum()
}

fn sample(mut tally: Tally, cpu: Option<Duration>) -> Sample {
    let figures = tally.figures();
    let cpu_us = cpu.filter(|_| figures.calls > 0).map(|cpu| cpu.as_secs_f64() * 1e6 / figures.calls as f64);
    Sample { figures: Some(figures), cpu_us_per_call: cpu_us }
}

/// A modern call of a hundred bytes to `endpoint`.
pub(crate) fn target(endpoint: Endpoint) -> Target {
    Target { endpoint, era: Era::Modern, tool: "echo".to_owned(), size: 100 }
}

async fn first_call(endpoint: &Endpoint, era: Era, server: Option<&str>) -> anyhow::Result<String> {
    let tool = find_tool(endpoint, era, server).await?;
    answered(&Target { endpoint: endpoint.clone(), era, tool: tool.clone(), size: 100 }).await?;
    Ok(tool)
}

async fn answered(target: &Target) -> anyhow::Result<()> {
    let mut fleet = Fleet::connect(target, 1).await?;
    let tally = fleet.closed(Limit::calls(1)).await?;
    fleet.close().await;
    ensure!(tally.errors == 0, "{}", tally.first_error.unwrap_or_default());
    Ok(())
}

/// Waits until a listener answers its health check; the sink answers every GET.
async fn healthy(admin: SocketAddr) -> anyhow::Result<()> {
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {admin}\r\n\r\n");
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        let answer = Connection::new(admin).exchange(request.as_bytes()).await;
        if matches!(&answer, Ok(head) if head.status == 200) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "http://{admin}/healthz does not answer 200: {answer:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A port that is free as this is asked; who takes it in between makes the start fail, and says so.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr()?)
}

fn configuration(
    server_config: &str,
    upstream: SocketAddr,
    own: &Path,
    cores: Cores,
    added: &str,
    sink: Option<SocketAddr>,
) -> anyhow::Result<String> {
    let more = if server_config.is_empty() { String::new() } else { format!(", {server_config}") };
    let core = cores.load.map(|core| format!(r#", --core, "{core}""#)).unwrap_or_default();
    let own = serde_json::to_string(&own.display().to_string())?;
    let added = sink.map_or_else(|| added.to_owned(), |sink| added.replace(SINK, &sink.to_string()));
    Ok(format!(
        "servers:\n  echo: {{ url: \"http://{upstream}/mcp\"{more} }}\n  pipe: {{ command: {own}, args: [upstream, stdio{core}]{more} }}\n{added}"
    ))
}

/// Starts the gateway that has many servers: their upstream, the gateway, and where it lists all of them.
async fn start_crowd(
    args: &Args,
    program: &Path,
    own: &Path,
    cores: Cores,
    directory: &Path,
) -> anyhow::Result<(Running, Gateway, Endpoint)> {
    let [upstream, listen, admin] = [free_address()?, free_address()?, free_address()?];
    let probe = target(Endpoint::parse(&format!("http://{upstream}/mcp"))?);
    let arguments = ["upstream", "http", "--listen", &upstream.to_string(), "--tools", &CROWD_TOOLS.to_string()];
    let arguments = arguments.map(str::to_owned).to_vec();
    let start = Start { name: "tools", program: own, arguments, env: Vec::new(), directory, probe: &probe };
    let (running, _) = start.run(cores.load, cores.load).await?;

    let config = directory.join("crowd.yaml");
    fs::write(&config, crowd(args.crowd, &args.server_config, upstream)).context("write the configuration")?;
    let [config, at, health] = [config.display().to_string(), listen.to_string(), admin.to_string()];
    // The other gateway keeps its records in the usual place.
    let kept = directory.join("crowd").display().to_string();
    let arguments = ["serve", "--config", &config, "--listen", &at, "--admin", &health, "--data-dir", &kept];
    let arguments = arguments.map(str::to_owned).to_vec();
    let probe = target(Endpoint::parse(&format!("http://{listen}/servers/s0/mcp"))?);
    let name = format!("tollhouse of {} servers", args.crowd);
    let start = Start { name: &name, program, arguments, env: Vec::new(), directory, probe: &probe };
    let gateway = start.measured(args.starts, cores).await?;
    healthy(admin).await?;
    Ok((running, gateway, Endpoint { address: listen, path: "/mcp".to_owned() }))
}

/// A configuration with many servers, all of them one upstream.
fn crowd(servers: usize, server_config: &str, upstream: SocketAddr) -> String {
    let more = if server_config.is_empty() { String::new() } else { format!(", {server_config}") };
    let entries = (0..servers).map(|number| format!("  s{number}: {{ url: \"http://{upstream}/mcp\"{more} }}\n"));
    format!("servers:\n{}", entries.collect::<String>())
}

fn conditions(args: &Args, cores: Cores) -> Conditions {
    Conditions {
        label: args.label.clone(),
        command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        processor: proc::processor(),
        kernel: proc::kernel(),
        cores: cores.count,
        pinned: match (cores.load, cores.gateway) {
            (Some(load), Some(gateway)) => format!("generator and upstream on core {load}, gateway on core {gateway}"),
            _ => "not pinned: one core for everything, so CPU per call holds and latency does not".to_owned(),
        },
        rounds: args.rounds,
        seconds: args.seconds,
        quick: args.quick,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_name_and_what_stands_after_the_first_equals_sign() {
        let expected = ("other".to_owned(), "http://127.0.0.1:1/mcp?a=b".to_owned());
        assert_eq!(named("other=http://127.0.0.1:1/mcp?a=b"), Ok(expected));
        assert!(named("http://127.0.0.1:1/mcp").is_err());
    }

    #[test]
    fn what_is_added_reaches_both_servers_and_names_the_sink() {
        let cores = Cores { count: 2, load: Some(3), gateway: Some(4) };
        let text = configuration(
            "limit: { max_concurrent: 1024 }",
            ([127, 0, 0, 1], 80).into(),
            Path::new("/bin/bench"),
            cores,
            "otlp: { endpoint: \"http://{sink}\" }\n",
            Some(([127, 0, 0, 1], 81).into()),
        )
        .unwrap();
        assert_eq!(
            text,
            "servers:\n  echo: { url: \"http://127.0.0.1:80/mcp\", limit: { max_concurrent: 1024 } }\n  pipe: { \
             command: \"/bin/bench\", args: [upstream, stdio, --core, \"3\"], limit: { max_concurrent: 1024 } }\notlp: { endpoint: \"http://127.0.0.1:81\" }\n"
        );
    }
}
