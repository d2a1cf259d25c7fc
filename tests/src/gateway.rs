//! The gateway under test: its configuration, its process, what it tells.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::echo::MODERN;
use crate::http::{ADMIN_TOKEN, post, request};
use crate::message::modern_call;
use crate::upstream::{self, Server, Upstream};
use crate::wait::{PATIENCE, soon, until};

/// The id of the server a test is about.
pub(crate) const TESTED: &str = "tested";

/// The id of the healthy server beside it.
const NEIGHBOUR: &str = "neighbour";

/// The JSON-RPC id of the calls that [`Gateway::ends_well`] makes itself.
const STRANGER_ID: &str = "424242";

/// The binary under test: `TOLLHOUSE_BIN`, or the one of this workspace and profile, built once.
///
/// Without one there is nothing to test, and one message says so better than a hundred failures.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let found = std::env::var_os("TOLLHOUSE_BIN").map_or_else(build, |path| Ok(PathBuf::from(path)));
        let checked =
            found.and_then(|path| if path.is_file() { Ok(path) } else { Err(format!("no file {}", path.display())) });
        checked.unwrap_or_else(|why| {
            use std::io::Write as _;
            // Written around libtest's capture, which would keep it.
            let _ = writeln!(std::io::stderr(), "\nerror: there is no gateway to test: {why}");
            #[expect(clippy::exit, reason = "no other test can tell more")]
            std::process::exit(1)
        })
    })
}

fn build() -> Result<PathBuf, String> {
    let test = std::env::current_exe().map_err(|error| error.to_string())?;
    // <target>/<profile>/deps/gateway-<hash>
    let profile = test.parent().and_then(Path::parent).ok_or("the test executable lies outside a target directory")?;
    let target = profile.parent().ok_or("the test executable lies outside a target directory")?;
    let name = profile.file_name().and_then(|name| name.to_str()).ok_or("the profile's directory has an odd name")?;
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package", "tollhouse", "--bin", "tollhouse"])
        .args(["--profile", if name == "debug" { "dev" } else { name }])
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = cargo.output().map_err(|error| format!("run cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo build failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(profile.join("tollhouse"))
}

/// Runs a verb that asks `gateway` to its end: exit code, standard output and standard error.
pub(crate) async fn verb(arguments: &[&str], gateway: &Gateway) -> (Option<i32>, String, String) {
    let mut command = Command::new(binary());
    command.args(arguments).arg("--admin").arg(gateway.admin.to_string()).stdin(Stdio::null());
    command.env("TOLLHOUSE_ADMIN_TOKEN", ADMIN_TOKEN).kill_on_drop(true);
    let output = soon("the end of a verb", command.output()).await.expect("the binary can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A table that the program writes as JSON.
pub(crate) async fn tables(name: &str) -> Value {
    let output = Command::new(binary()).args(["reference", name]).output();
    let output = soon("the end of a verb", output).await.expect("the binary can be run");
    serde_json::from_slice(&output.stdout).expect("a table is JSON")
}

/// A gateway with one healthy server beside those a test adds.
pub(crate) fn gateway() -> Builder {
    Builder::default()
}

/// A gateway about to be started.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    servers: Vec<(String, Vec<String>)>,
    timeouts: Option<String>,
    retry: Option<String>,
    limits: Option<String>,
    names: Option<String>,
    telemetry: Option<String>,
    alone: bool,
    raw: Option<String>,
    arguments: Vec<String>,
    dropped: Option<String>,
    descriptors: Option<usize>,
    env: Vec<(String, String)>,
}

impl Builder {
    /// Adds the server a test is about.
    pub(crate) fn with(self, server: &impl Server) -> Self {
        self.server(TESTED, server)
    }

    /// Adds one more server.
    pub(crate) fn server(mut self, id: &str, server: &(impl Server + ?Sized)) -> Self {
        self.servers.push((id.to_owned(), server.yaml()));
        self
    }

    /// Leaves the healthy server out, so that `/mcp` speaks for one server only.
    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Sets the clocks of the tested server, written as a YAML mapping.
    pub(crate) fn timeouts(mut self, yaml: &str) -> Self {
        self.timeouts = Some(yaml.to_owned());
        self
    }

    /// Sets how calls that could not be sent are tried again, at every server, written as a YAML mapping.
    pub(crate) fn retry(mut self, yaml: &str) -> Self {
        self.retry = Some(yaml.to_owned());
        self
    }

    /// Sets limits, written as a YAML mapping.
    pub(crate) fn limits(mut self, yaml: &str) -> Self {
        self.limits = Some(yaml.to_owned());
        self
    }

    /// Says what tools are called, written as a YAML mapping.
    pub(crate) fn names(mut self, yaml: &str) -> Self {
        self.names = Some(yaml.to_owned());
        self
    }

    /// Says how others are told of calls, written as a YAML mapping.
    pub(crate) fn telemetry(mut self, yaml: &str) -> Self {
        self.telemetry = Some(yaml.to_owned());
        self
    }

    /// Replaces the whole configuration.
    pub(crate) fn config(mut self, yaml: &str) -> Self {
        self.raw = Some(yaml.to_owned());
        self
    }

    /// Leaves out a flag that the harness gives.
    pub(crate) fn without(mut self, flag: &str) -> Self {
        self.dropped = Some(flag.to_owned());
        self
    }

    /// Adds a command line argument.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Limits the descriptors it may open.
    pub(crate) fn descriptors(mut self, limit: usize) -> Self {
        self.descriptors = Some(limit);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn yaml(&self) -> String {
        if let Some(yaml) = &self.raw {
            return yaml.clone();
        }
        let mut yaml = String::from("servers:\n");
        for (id, lines) in &self.servers {
            let _ = writeln!(yaml, "  {id}:");
            for line in lines {
                let _ = writeln!(yaml, "    {line}");
            }
            if let Some(timeouts) = self.timeouts.as_ref().filter(|_| id == TESTED) {
                let _ = writeln!(yaml, "    timeouts: {timeouts}");
            }
        }
        if let Some(retry) = &self.retry {
            let _ = writeln!(yaml, "retry: {retry}");
        }
        if let Some(limits) = &self.limits {
            let _ = writeln!(yaml, "limits: {limits}");
        }
        if let Some(names) = &self.names {
            let _ = writeln!(yaml, "names: {names}");
        }
        if let Some(telemetry) = &self.telemetry {
            let _ = writeln!(yaml, "telemetry: {telemetry}");
        }
        yaml
    }

    /// Starts `tollhouse <verb>` with everything told so far.
    pub(crate) fn run(&self, verb: &str, stdin: Stdio) -> Process {
        let dir = TempDir::with_prefix("tollhouse-test-").expect("the temporary directory is writable");
        let config = dir.path().join("tollhouse.yaml");
        std::fs::write(&config, self.yaml()).expect("the new directory is writable");
        let mut command = match self.descriptors {
            None => Command::new(binary()),
            Some(limit) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]).arg(binary());
                shell
            }
        };
        command.arg(verb);
        if verb != "wrap" {
            command.arg("--config").arg(&config);
        }
        if verb == "serve" {
            for flag in ["--listen", "--admin"].into_iter().filter(|&flag| self.dropped.as_deref() != Some(flag)) {
                command.args([flag, "127.0.0.1:0"]);
            }
            if self.dropped.as_deref() != Some("--data-dir") {
                command.arg("--data-dir").arg(dir.path().join("data"));
            }
        }
        command.env("TOLLHOUSE_ADMIN_TOKEN", ADMIN_TOKEN);
        command.args(&self.arguments).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.env("MCP_LOG_LEVEL", "info").env("MCP_LOG_FORMAT", "json");
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the binary can be run");
        let told = Arc::new(Mutex::new(Told::default()));
        let mut collectors = JoinSet::new();
        collectors.spawn(collect(child.stderr.take().expect("it is piped"), Arc::clone(&told)));
        Process { child, told, collectors, dir }
    }

    /// Starts `tollhouse serve` and waits until it says where it listens.
    pub(crate) async fn start(mut self) -> Gateway {
        let neighbour = if self.alone { None } else { Some(upstream::echo().start().await) };
        if let Some(neighbour) = &neighbour {
            self = self.server(NEIGHBOUR, neighbour);
        }
        let mut process = self.run("serve", Stdio::null());
        let mcp = process.announced("mcp listening on http://").await;
        let admin = process.announced("admin listening on http://").await;
        let path = format!("/servers/{TESTED}/mcp");
        Gateway { process, mcp, admin, path, neighbour, strangers: AtomicUsize::new(0) }
    }

    /// Runs `tollhouse serve` until it ends by itself: exit code and everything on stderr.
    pub(crate) async fn refused(self) -> (Option<i32>, String) {
        let mut process = self.run("serve", Stdio::null());
        let status = process.exit().await;
        (status.code(), process.stderr())
    }
}

/// What a process has told on stderr.
#[derive(Debug, Default)]
struct Told {
    lines: Vec<String>,
    /// The lines of the logger `tollhouse.call`.
    records: Vec<Value>,
}

/// Collects lines until the stream ends.
async fn collect(stream: impl AsyncRead + Unpin, told: Arc<Mutex<Told>>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let record = text.contains("tollhouse.call").then(|| serde_json::from_str::<Value>(&text).unwrap_or_default());
        let mut told = told.lock().expect("no test panics while it holds the lock");
        told.records.extend(record.filter(|record| record["logger"] == "tollhouse.call"));
        told.lines.push(text);
        line.clear();
    }
}

/// A running `tollhouse`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) child: Child,
    told: Arc<Mutex<Told>>,
    collectors: JoinSet<()>,
    dir: TempDir,
}

impl Process {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("no test panics while it holds the lock")
    }

    /// Puts another configuration in the place of its own, as editors do: by renaming.
    pub(crate) fn rewrite(&self, builder: &Builder) {
        self.rewrite_raw(&builder.yaml());
    }

    /// The same with a text.
    pub(crate) fn rewrite_raw(&self, yaml: &str) {
        let (new, config) = (self.dir.path().join("new.yaml"), self.dir.path().join("tollhouse.yaml"));
        std::fs::write(&new, yaml).and_then(|()| std::fs::rename(&new, config)).expect("the directory is writable");
    }

    /// Writes another configuration into its own file.
    pub(crate) fn overwrite(&self, builder: &Builder) {
        std::fs::write(self.dir.path().join("tollhouse.yaml"), builder.yaml()).expect("the directory is writable");
    }

    /// The fields of the lines that tell that its configuration was read again.
    pub(crate) fn reloads(&self) -> Vec<Value> {
        let told = self.told();
        let lines = told.lines.iter().filter(|line| line.contains("the configuration was read again"));
        lines.map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON")["extra"].clone()).collect()
    }

    /// Has it read another configuration, and waits until it is in force.
    pub(crate) async fn reload(&self, builder: &Builder) {
        let before = self.reloads().len();
        self.rewrite(builder);
        self.signal(Signal::HUP);
        until("the configuration was read again", || self.reloads().len() > before).await;
    }

    /// Everything it wrote to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.told().lines.join("\n")
    }

    /// The records of finished calls so far.
    pub(crate) fn records(&self) -> Vec<Value> {
        self.told().records.clone()
    }

    /// How many records there are, those of strangers and of other methods included.
    pub(crate) fn recorded(&self) -> usize {
        self.told().records.len()
    }

    /// The outcomes of the `tools/call`s that were admitted, in alphabetical order.
    ///
    /// Refusals are left out: whether a message that is no call leaves a record is the gateway's affair.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let told = self.told();
        let calls = told.records.iter().filter(|record| {
            let extra = &record["extra"];
            extra["method"] == "tools/call" && extra["outcome"] != "refused" && !by_stranger(record)
        });
        let outcome = |record: &Value| record["extra"]["outcome"].as_str().unwrap_or_default().to_owned();
        let mut outcomes: Vec<String> = calls.map(outcome).collect();
        outcomes.sort();
        outcomes
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        let pid = self.child.id().expect("it has not been waited for");
        i32::try_from(pid).expect("process ids are small")
    }

    /// Does it still run?
    pub(crate) fn alive(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid()).expect("no process has id 0"), signal).expect("it is ours to signal");
    }

    /// Waits until it ends, and has told everything.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        let status = soon("the end of the process", self.child.wait()).await.expect("a child can be waited for");
        soon("the end of stderr", self.collectors.join_next()).await;
        status
    }

    /// Its children: process id and state (`Z` for a zombie).
    pub(crate) fn children(&self) -> Vec<(i32, char)> {
        let parent = self.pid();
        let processes = std::fs::read_dir("/proc").expect("/proc is there").flatten();
        let stats = processes.filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name in parentheses may hold anything, so fields are counted from its end.
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            let state = fields.next()?.chars().next()?;
            (fields.next()?.parse::<i32>().ok()? == parent).then_some((pid, state))
        });
        stats.collect()
    }

    /// The most memory it ever held, in bytes.
    pub(crate) fn peak_memory(&self) -> usize {
        self.status("VmHWM:")
    }

    /// The memory it holds, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.status("VmRSS:")
    }

    fn status(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells it");
        let kib: usize = line.trim().trim_end_matches("kB").trim().parse().expect("a number of KiB");
        kib * 1024
    }

    /// Descriptors it has open.
    pub(crate) fn open_descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count()
    }

    /// Processor time it has taken.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        // The name in parentheses may hold anything, so fields are counted from its end.
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
        Duration::from_millis(1000 * ticks.sum::<u64>() / rustix::param::clock_ticks_per_second())
    }

    async fn announced(&mut self, prefix: &str) -> SocketAddr {
        let find = |stderr: &str| -> Option<SocketAddr> {
            let (_, rest) = stderr.split_once(prefix)?;
            let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
            rest.get(..end)?.parse().ok()
        };
        let what = format!("it says: {prefix}");
        let mut address = None;
        let mut status = None;
        until(&what, || {
            status = self.child.try_wait().ok().flatten();
            address = find(&self.stderr());
            address.is_some() || status.is_some()
        })
        .await;
        address.unwrap_or_else(|| panic!("it ended ({status:?}) before it said where it listens:\n{}", self.stderr()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        if std::thread::panicking() {
            let stderr = self.stderr();
            let lines: Vec<&str> = stderr.lines().collect();
            eprintln!("the gateway's last lines:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}

fn by_stranger(record: &Value) -> bool {
    record["extra"]["server"] == NEIGHBOUR || record["extra"]["jsonrpc_id"] == STRANGER_ID
}

/// A running `tollhouse serve`.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) mcp: SocketAddr,
    pub(crate) admin: SocketAddr,
    path: String,
    neighbour: Option<Upstream>,
    strangers: AtomicUsize,
}

impl Deref for Gateway {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Gateway {
    /// The path that leads to the tested server alone.
    pub(crate) fn path(&self) -> String {
        self.path.clone()
    }

    /// Both ways to the tested server of a gateway that has no other.
    pub(crate) fn paths(&self) -> [String; 2] {
        ["/mcp".to_owned(), self.path()]
    }

    /// What `/health` tells of that server.
    pub(crate) async fn health_of(&self, server: &str) -> Value {
        let servers = self.health().await["servers"].as_array().cloned().unwrap_or_default();
        servers.into_iter().find(|told| told["id"] == server).unwrap_or_default()
    }

    /// Waits until `/health` tells that state of a server; what it then tells.
    pub(crate) async fn becomes(&self, server: &str, state: &str) -> Value {
        let told = async {
            loop {
                let told = self.health_of(server).await;
                if told["state"] == state {
                    return told;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        soon(&format!("{server} to be {state}"), told).await
    }

    /// What the admin listener says of it.
    pub(crate) async fn health(&self) -> Value {
        request(self.admin, "GET", "/health").send().await.json()
    }

    /// Waits until one of its losses, as the admin listener names them, has come to `count`.
    pub(crate) async fn lost(&self, name: &str, count: u64) -> u64 {
        let start = Instant::now();
        loop {
            let health = self.health().await;
            let lost = health["losses"][name].as_u64().unwrap_or_default();
            if lost >= count {
                return lost;
            }
            assert!(start.elapsed() < PATIENCE, "waited in vain for {count} {name}: {health}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Holds what every row demands: the process lives, a stranger's call succeeds, and the admitted calls left
    /// exactly one record each, with these outcomes in any order.
    pub(crate) async fn ends_well(mut self, outcomes: &[&str]) {
        assert!(self.process.alive(), "the process has ended");
        self.stranger_is_served().await;
        let mut expected: Vec<String> = outcomes.iter().map(|&outcome| outcome.to_owned()).collect();
        expected.sort();
        let mut seen = Vec::new();
        let start = std::time::Instant::now();
        // The wrong records are shown instead of an empty-handed wait.
        while start.elapsed() < std::time::Duration::from_secs(5) {
            seen = self.outcomes();
            if seen.len() >= expected.len() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(summary(&seen), summary(&expected), "outcomes in the records");
    }

    /// Calls the healthy server as somebody else, and waits for that call's record, behind all earlier ones.
    pub(crate) async fn stranger_is_served(&self) {
        let path = if self.neighbour.is_some() { format!("/servers/{NEIGHBOUR}/mcp") } else { self.path() };
        let calls = self.strangers.fetch_add(1, Ordering::SeqCst) + 1;
        let call = post(self.mcp, &path).body(modern_call(STRANGER_ID, &json!({"nonce": "stranger"})));
        let call =
            call.field("MCP-Protocol-Version", MODERN).field("Mcp-Method", "tools/call").field("Mcp-Name", "echo");
        let answer = call.send().await;
        let text = answer.json()["result"]["content"][0]["text"].clone();
        assert_eq!(text, "stranger", "the answer to somebody else's call: {answer:?}");
        until("a stranger's call has left its record", || {
            self.told().records.iter().filter(|record| by_stranger(record)).count() >= calls
        })
        .await;
    }
}

/// Counts of equal neighbours, for messages one can read.
fn summary(outcomes: &[String]) -> Vec<(usize, &str)> {
    outcomes.chunk_by(|a, b| a == b).map(|same| (same.len(), same[0].as_str())).collect()
}
