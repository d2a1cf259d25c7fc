//! The load generator: callers on their own connections, in a closed or an open loop.
//!
//! In a closed loop each caller sends its next call when the last is answered; it shows what a call costs. In an
//! open loop calls begin at a fixed rate whatever happens, and the time counts from when the call should have
//! begun: a stall is felt by all who came meanwhile, as it is in life. No answer goes unchecked.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::call::{Call, Era, FIRST, last_event};
use crate::proc;
use crate::stats::Latency;
use crate::wire::{Connection, Endpoint, Head};

/// How long calls may hang beyond the end of a phase before the phase is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// After this many errors a caller stops: the endpoint is broken, and hammering it measures nothing.
const ERRORS_BEFORE_STOP: u64 = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Endpoint to call, as `http://127.0.0.1:7070/servers/echo/mcp`.
    #[arg(long)]
    url: String,
    /// Protocol of the calls.
    #[arg(long, value_enum, default_value_t = Era::Modern)]
    era: Era,
    /// Tool to call; looked up in the list of tools when left out.
    #[arg(long)]
    tool: Option<String>,
    /// Bytes of text in each call.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Connections, each with one call at a time.
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// Calls begun per second, whatever happens (open loop).
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds to call.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Calls after which to stop, if earlier.
    #[arg(long)]
    calls: Option<u64>,
    /// Seconds to call before anything counts.
    #[arg(long, default_value_t = 0.2)]
    warm_up: f64,
    /// Core to run on.
    #[arg(long)]
    core: Option<usize>,
}

/// What is called and how.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) endpoint: Endpoint,
    pub(crate) era: Era,
    pub(crate) tool: String,
    pub(crate) size: usize,
}

/// When a phase ends: at whichever comes first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) duration: Duration,
    pub(crate) calls: u64,
}

impl Limit {
    pub(crate) fn time(duration: Duration) -> Self {
        Self { duration, calls: u64::MAX }
    }

    pub(crate) fn calls(calls: u64) -> Self {
        Self { duration: PATIENCE, calls }
    }
}

/// What one phase found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Nanoseconds of each call answered right.
    pub(crate) latencies: Vec<u64>,
    /// Nanoseconds that the generator itself was late with each call of an open loop.
    pub(crate) lateness: Vec<u64>,
    /// Answers that came as a stream of events.
    pub(crate) event_answers: u64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) duration: Duration,
}

impl Tally {
    pub(crate) fn error(&mut self, error: String) {
        self.errors += 1;
        self.first_error.get_or_insert(error);
    }

    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.lateness.extend(other.lateness);
        self.event_answers += other.event_answers;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    pub(crate) fn figures(&mut self) -> Figures {
        let calls = self.latencies.len() as u64;
        Figures {
            calls,
            event_answers: self.event_answers,
            errors: self.errors,
            first_error: self.first_error.clone(),
            seconds: self.duration.as_secs_f64(),
            calls_per_second: calls as f64 / self.duration.as_secs_f64().max(f64::MIN_POSITIVE),
            latency: Latency::of(&mut self.latencies),
            generator_late_p99_us: (!self.lateness.is_empty()).then(|| Latency::of(&mut self.lateness).p99_us),
        }
    }
}

/// One phase in figures.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) calls: u64,
    pub(crate) event_answers: u64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) calls_per_second: f64,
    #[serde(flatten)]
    pub(crate) latency: Latency,
    pub(crate) generator_late_p99_us: Option<f64>,
}

/// Callers with open connections and, in a legacy era, a session each.
pub(crate) struct Fleet {
    callers: Vec<Caller>,
    next: Arc<AtomicU64>,
}

struct Caller {
    connection: Connection,
    call: Call,
    target: Target,
    session: Option<String>,
}

/// Calls of an open loop that should have begun: a permit for each time in the line.
struct Due {
    times: Mutex<VecDeque<Instant>>,
    count: Semaphore,
}

pub(crate) async fn main(args: Args) -> anyhow::Result<ExitCode> {
    proc::pin(args.core)?;
    let endpoint = Endpoint::parse(&args.url)?;
    let tool = match args.tool {
        Some(tool) => tool,
        None => find_tool(&endpoint, args.era, None).await?,
    };
    let target = Target { endpoint, era: args.era, tool, size: args.size };
    let mut fleet = Fleet::connect(&target, args.clients).await?;
    fleet.closed(Limit::time(Duration::from_secs_f64(args.warm_up))).await?;
    let limit = Limit { duration: Duration::from_secs_f64(args.seconds), calls: args.calls.unwrap_or(u64::MAX) };
    let mut tally = match args.rate {
        Some(rate) => fleet.open(rate, limit).await?,
        None => fleet.closed(limit).await?,
    };
    fleet.close().await;
    let figures = tally.figures();
    crate::report::print(&serde_json::to_string_pretty(&figures)?)?;
    Ok(if figures.errors == 0 && figures.calls > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The name under which `echo` is offered; `server` says whose, where a list holds the tools of several.
pub(crate) async fn find_tool(endpoint: &Endpoint, era: Era, server: Option<&str>) -> anyhow::Result<String> {
    let target = Target { endpoint: endpoint.clone(), era, tool: String::new(), size: 0 };
    let mut caller = Caller::connect(&target).await?;
    let message = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{}}}}}"#, meta_alone(era));
    let answer = caller.request("tools/list", &message).await?;
    caller.close().await;
    let tools = answer["result"]["tools"].as_array().cloned().unwrap_or_default();
    let names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    // Where several servers are listed together, a bare `echo` may be anyone's.
    let found = match server {
        Some(server) => names.iter().find(|name| name.len() > 4 && name.starts_with(server) && name.ends_with("echo")),
        None => names.iter().find(|name| **name == "echo").or_else(|| names.iter().find(|name| name.ends_with("echo"))),
    };
    found.map(|name| (*name).to_owned()).with_context(|| {
        format!("no tool `echo` of {} is listed, only: {}", server.unwrap_or("any server"), names.join(" "))
    })
}

impl Fleet {
    pub(crate) async fn connect(target: &Target, clients: usize) -> anyhow::Result<Self> {
        let mut callers = Vec::with_capacity(clients);
        for _ in 0..clients {
            callers.push(Caller::connect(target).await?);
        }
        Ok(Self { callers, next: Arc::new(AtomicU64::new(FIRST)) })
    }

    /// Calls in a closed loop; each caller finishes the call it has begun when the limit is reached.
    pub(crate) async fn closed(&mut self, limit: Limit) -> anyhow::Result<Tally> {
        let start = Instant::now();
        let end = start + limit.duration;
        let last = self.next.load(Ordering::Relaxed).saturating_add(limit.calls);
        let mut tasks = JoinSet::new();
        for mut caller in self.callers.drain(..) {
            let next = Arc::clone(&self.next);
            tasks.spawn(async move {
                let mut tally = Tally::default();
                while tally.errors < ERRORS_BEFORE_STOP {
                    let began = Instant::now();
                    if began >= end {
                        break;
                    }
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= last {
                        break;
                    }
                    caller.call_from(began, number, &mut tally).await;
                }
                (caller, tally)
            });
        }
        self.gather(tasks, start, limit.duration).await
    }

    /// Begins `rate` calls a second, each by the next caller that is free.
    pub(crate) async fn open(&mut self, rate: f64, limit: Limit) -> anyhow::Result<Tally> {
        ensure!(rate > 0.0, "the rate {rate} is not above 0");
        let due = Arc::new(Due { times: Mutex::default(), count: Semaphore::new(0) });
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for mut caller in self.callers.drain(..) {
            let (due, next) = (Arc::clone(&due), Arc::clone(&self.next));
            tasks.spawn(async move {
                let mut tally = Tally::default();
                while let Ok(permit) = due.count.acquire().await {
                    permit.forget();
                    let intended = due.times.lock().expect("no holder panics").pop_front();
                    let intended = intended.expect("each permit stands for one time");
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    tally.lateness.push(nanoseconds(intended.elapsed()));
                    if tally.errors < ERRORS_BEFORE_STOP {
                        caller.call_from(intended, number, &mut tally).await;
                    } else {
                        tally.error("not sent: too many errors before".to_owned());
                    }
                }
                (caller, tally)
            });
        }
        let paced = pace(rate, limit, start, &due);
        let gathered = self.gather(tasks, start, limit.duration);
        let (paced, tally) = tokio::join!(paced, gathered);
        paced?;
        tally
    }

    /// Ends the sessions, as a client should.
    pub(crate) async fn close(self) {
        for caller in self.callers {
            caller.close().await;
        }
    }

    async fn gather(
        &mut self,
        mut tasks: JoinSet<(Caller, Tally)>,
        start: Instant,
        expected: Duration,
    ) -> anyhow::Result<Tally> {
        let mut sum = Tally::default();
        let all = async {
            while let Some(joined) = tasks.join_next().await {
                let (caller, tally) = joined.context("a caller broke")?;
                self.callers.push(caller);
                sum.add(tally);
            }
            anyhow::Ok(())
        };
        let in_time = tokio::time::timeout(expected + PATIENCE, all).await;
        in_time.context("calls are still unanswered 30 s after the phase should have ended")??;
        sum.duration = start.elapsed();
        Ok(sum)
    }
}

/// Makes calls due at their times, on a thread of its own: the runtime's timers wake to the millisecond only.
async fn pace(rate: f64, limit: Limit, start: Instant, due: &Arc<Due>) -> anyhow::Result<()> {
    let line = Arc::clone(due);
    let count = (rate * limit.duration.as_secs_f64()).round().min(limit.calls as f64);
    let paced = tokio::task::spawn_blocking(move || {
        // The kernel may otherwise wake a sleeper 50 µs late, which is more than a gateway adds.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        let mut done = 0_u32;
        while f64::from(done) < count {
            let next = start + Duration::from_secs_f64(f64::from(done) / rate);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            line.times.lock().expect("no holder panics").push_back(next);
            line.count.add_permits(1);
            done += 1;
        }
        anyhow::Ok(())
    });
    paced.await.context("the pacing thread broke")??;
    // A closed semaphore refuses at once: it is closed when all that was due is taken.
    while !due.times.lock().expect("no holder panics").is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    due.count.close();
    Ok(())
}

impl Caller {
    /// Opens the connection and, in a legacy era, its session.
    async fn connect(target: &Target) -> anyhow::Result<Self> {
        let connection = Connection::new(target.endpoint.address);
        let call = Call::new(&target.tool, target.era, target.size, |_| String::new(), "");
        let mut caller = Self { connection, call, target: target.clone(), session: None };
        if target.era != Era::Modern {
            let version = target.era.version();
            let initialize = format!(
                r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{{}},"clientInfo":{{"name":"bench","version":"1"}}}}}}"#
            );
            let answer = caller.request("initialize", &initialize).await?;
            let agreed = answer["result"]["protocolVersion"].as_str();
            ensure!(agreed == Some(version), "asked for version {version}, the server agreed to {agreed:?}");
            caller
                .request("notifications/initialized", r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
                .await?;
        }
        let (tool, era) = (&target.tool, target.era);
        caller.call = Call::new(tool, era, target.size, |length| caller.head("POST", "tools/call", tool, length), "");
        Ok(caller)
    }

    fn head(&self, verb: &str, method: &str, name: &str, length: usize) -> String {
        let Endpoint { address, path } = &self.target.endpoint;
        let version = self.target.era.version();
        let own = match (self.target.era, &self.session) {
            (Era::Modern, _) if name.is_empty() => format!("Mcp-Method: {method}\r\n"),
            (Era::Modern, _) => format!("Mcp-Method: {method}\r\nMcp-Name: {name}\r\n"),
            (_, Some(session)) => format!("Mcp-Session-Id: {session}\r\n"),
            (_, None) => String::new(),
        };
        // MCP 2025-06-18: the version header is sent once the version is agreed on.
        let version =
            if method == "initialize" { String::new() } else { format!("MCP-Protocol-Version: {version}\r\n") };
        format!(
            "{verb} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{version}{own}Content-Length: {length}\r\n\r\n"
        )
    }

    /// Sends a message that is not one of the many, and reads its answer; null where there is none.
    async fn request(&mut self, method: &str, message: &str) -> anyhow::Result<Value> {
        let request = format!("{}{message}", self.head("POST", method, "", message.len()));
        let head = self.connection.exchange(request.as_bytes()).await.with_context(|| format!("send `{method}`"))?;
        let body = message_of(&head, self.connection.body());
        ensure!(
            head.status < 300,
            "`{method}` was answered by status {}: {}",
            head.status,
            String::from_utf8_lossy(body)
        );
        self.session = head.session.or(self.session.take());
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(body).with_context(|| format!("read the answer to `{method}`"))
    }

    /// Sends one call and checks its answer; the time counts from `began`.
    async fn call_from(&mut self, began: Instant, number: u64, tally: &mut Tally) {
        let head = match self.connection.exchange(self.call.numbered(number)).await {
            Ok(head) => head,
            Err(error) => return tally.error(format!("{error:#}")),
        };
        let elapsed = began.elapsed();
        let message = message_of(&head, self.connection.body());
        if head.status != 200 {
            return tally.error(format!("status {}: {}", head.status, String::from_utf8_lossy(message)));
        }
        match self.call.check(number, message) {
            Ok(()) => {
                tally.latencies.push(nanoseconds(elapsed));
                tally.event_answers += u64::from(head.events);
            }
            Err(error) => tally.error(error),
        }
    }

    /// Ends the session; that a server will not have it ended is no fault of the load.
    async fn close(mut self) {
        if self.session.is_some() {
            let request = self.head("DELETE", "", "", 0);
            drop(self.connection.exchange(request.as_bytes()).await);
        }
    }
}

fn message_of<'a>(head: &Head, body: &'a [u8]) -> &'a [u8] {
    if head.events { last_event(body).unwrap_or_default() } else { body }
}

fn meta_alone(era: Era) -> &'static str {
    era.meta().trim_start_matches(',')
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
