//! What questions cost when a great deal was recorded: a store filled with calls of the last day, a gateway over it, and
//! every question of the API and every page asked many times over HTTP.
//!
//! The same is done with a tenth of the calls, so that what grows with calls shows. Beside it stands what it costs to put
//! calls down, against bare inserts of the same rows into the same engine, batch by batch in turn.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rusqlite::types::Value;
use rusqlite::{Connection as Database, params};
use tollhouse_core::era::Version;
use tollhouse_core::ids::CallId;
use tollhouse_core::record::{Digest, Listener, Seen};
use tollhouse_core::trace::Hex;
use tollhouse_store::engine::Write;
use tollhouse_store::sqlite::{self, Keep};
use tollhouse_store::{Call, Sending};

use crate::memory::Stage;
use crate::proc;
use crate::stats::percentile;
use crate::wire::Connection;

/// Calls of one commit.
const BATCH: u64 = 5000;
/// Calls a second, when it is measured what they take to be put down.
const RATE: u64 = 50_000;
/// Over which calls are spread.
const DAY_US: u64 = 86_400_000_000;
const SERVERS: [&str; 5] = ["files", "search", "github", "notes", "almanac"];
const CLIENTS: [&str; 3] = ["claude-code", "cursor", "planner"];
/// What an API answers within, and a page.
const GOALS: [(&str, u64); 2] = [("/api/", 100_000), ("/", 150_000)];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The `tollhouse` binary to measure.
    #[arg(long)]
    tollhouse: PathBuf,
    /// Calls in the store.
    #[arg(long, default_value_t = 1_000_000)]
    calls: u64,
    /// How often each question is asked, unless that takes longer than five seconds.
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// Does only what stores calls.
    #[arg(long)]
    only_rows: bool,
}

/// How a question went.
struct Asked {
    path: String,
    status: u16,
    bytes: usize,
    p50_us: u64,
    p99_us: u64,
}

pub(crate) async fn main(args: &Args) -> anyhow::Result<ExitCode> {
    let mut report = format!(
        "{}, Linux {}. Command: `tollhouse-bench store --calls {}`.\n",
        proc::processor(),
        proc::kernel(),
        args.calls
    );
    let (small, large) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let now_us = u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_micros())?;
    report.push_str(&rows(args.calls, now_us)?);
    if args.only_rows {
        print(&report);
        return Ok(ExitCode::SUCCESS);
    }
    fill(large.path(), args.calls, now_us)?;
    fill(small.path(), args.calls / 10, now_us)?;
    let few = ask_all(args, small.path(), args.calls / 10, now_us).await?;
    let many = ask_all(args, large.path(), args.calls, now_us).await?;
    write!(
        report,
        "\n| question | {} calls, p50 ms | p99 ms | {} calls, p50 ms | p99 ms | goal ms | | KiB |\n|---|--:|--:|--:|--:|--:|---|--:|\n",
        args.calls / 10,
        args.calls
    )?;
    let mut missed = false;
    for (few, many) in few.iter().zip(&many) {
        ensure!(many.status == 200, "{} is answered with {}", many.path, many.status);
        let goal = GOALS.iter().find(|(start, _)| many.path.starts_with(start)).map_or(0, |(_, goal)| *goal);
        let met = many.p99_us <= goal;
        missed |= !met;
        writeln!(
            report,
            "| `{}` | {} | {} | {} | {} | {} | {} | {} |",
            many.path.replace('|', "\\|"),
            ms(few.p50_us),
            ms(few.p99_us),
            ms(many.p50_us),
            ms(many.p99_us),
            goal / 1000,
            if met { "met" } else { "missed" },
            many.bytes.div_ceil(1024)
        )?;
    }
    print(&report);
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
fn print(report: &str) {
    println!("{report}");
}

fn ms(us: u64) -> String {
    format!("{}.{:02}", us / 1000, us % 1000 / 10)
}

/// A number that looks like chance, and is always the same for `n`.
fn mixed(n: u64) -> u64 {
    // SplitMix64 (Steele, Lea, Flood).
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The trace of the `nth` call: four calls to each.
fn trace(nth: u64) -> [u8; 16] {
    ((u128::from(mixed(nth / 4)) << 64) | u128::from(mixed(nth / 4 + 1_000_000_007))).to_be_bytes()
}

/// The `nth` of `calls` calls of the time before `now_us`.
fn call(nth: u64, calls: u64, span_us: u64, now_us: u64) -> Call {
    let at_us =
        now_us - span_us + u64::try_from(u128::from(nth) * u128::from(span_us) / u128::from(calls)).unwrap_or_default();
    let chance = mixed(nth);
    let pick = |of: u64, shift: u32| usize::try_from((chance >> shift) % of).unwrap_or_default();
    let failed = chance.is_multiple_of(23);
    let total_us = 800 + (chance >> 20) % 30_000 * if chance.is_multiple_of(97) { 40 } else { 1 };
    Call {
        id: CallId::of(((at_us / 1000) << 16) | (nth % 60_000), chance | 1),
        at_us,
        listener: Listener::Http,
        version: Version::MODERN,
        principal: "anonymous".into(),
        session: format!("session-{}", nth * 500 / calls).into(),
        session_source: "threadId".into(),
        session_confidence: "stated".into(),
        hints: Vec::new(),
        client: Some(CLIENTS[pick(3, 3)].into()),
        method: "tools/call".into(),
        name: Some(format!("tool-{}", pick(10, 9)).into()),
        asked_as: None,
        server: Some(SERVERS[pick(5, 14)].into()),
        trace: trace(nth),
        parent: (nth | 1).to_be_bytes(),
        request_id: nth.to_string().into(),
        outcome: if failed { "tool_error".into() } else { "ok".into() },
        error: failed.then(|| "tool_error".into()),
        fault: None,
        attempts: 1,
        total_us,
        upstream_us: total_us - 300,
        first_us: Some(total_us - 200),
        request_bytes: 300 + chance % 500,
        response_bytes: 200 + chance % 20_000,
        seen: Seen {
            request_hash: Some(digest(chance)),
            response_hash: Some(digest(!chance)),
            shape: Some("{path:str(12),depth:int}".into()),
            content: None,
        },
        span: chance.to_be_bytes(),
        sendings: [Sending {
            span: mixed(chance).to_be_bytes(),
            leg: None,
            from_us: 90,
            long_us: total_us - 300,
            error: failed.then(|| "tool_error".into()),
        }]
        .into(),
    }
}

fn digest(chance: u64) -> Digest {
    Digest((u128::from(chance) << 64 | u128::from(mixed(chance))).to_be_bytes())
}

/// Fills a store in `dir` with calls of a day.
fn fill(dir: &Path, calls: u64, now_us: u64) -> anyhow::Result<()> {
    let (mut writer, _) = sqlite::open(&dir.join("store"), Keep::default())?;
    for batch in 0..calls.div_ceil(BATCH) {
        let rows: Vec<Call> =
            (batch * BATCH..((batch + 1) * BATCH).min(calls)).map(|nth| call(nth, calls, DAY_US, now_us)).collect();
        writer.append(&rows)?;
        writer.flush()?;
    }
    writer.close()?;
    Ok(())
}

/// What it takes to put calls down that come at [`RATE`], beside bare inserts, batch by batch in turn.
fn rows(calls: u64, now_us: u64) -> anyhow::Result<String> {
    let dir = tempfile::tempdir()?;
    let (mut writer, _) = sqlite::open(&dir.path().join("store"), Keep::default())?;
    let mut texts = Bare::open(&dir.path().join("texts.db"))?;
    let mut numbers = Bare::open(&dir.path().join("numbers.db"))?;
    let (mut ours, mut as_text, mut numbered) = (Took::default(), Took::default(), Took::default());
    let span_us = calls * 1_000_000 / RATE;
    for batch in 0..calls.div_ceil(BATCH) {
        let rows: Vec<Call> =
            (batch * BATCH..((batch + 1) * BATCH).min(calls)).map(|nth| call(nth, calls, span_us, now_us)).collect();
        as_text.measure(|| texts.insert(&rows, Texts::AsTheyAre))?;
        numbered.measure(|| numbers.insert(&rows, Texts::Numbered))?;
        ours.measure(|| {
            writer.append(&rows)?;
            // The store does so twice a second.
            if batch % (RATE / BATCH / 2) == 0 {
                writer.flush()?;
            }
            Ok(())
        })?;
    }
    writer.close()?;
    let line = |name: &str, took: &Took| {
        let (wall, cpu) = (took.wall.as_secs_f64(), took.cpu.as_secs_f64());
        format!(
            "| {name} | {:.0} | {:.2} | {:.0} % | {:.0} % |\n",
            number(calls) / wall,
            1e6 * cpu / number(calls),
            100.0 * wall / ours.wall.as_secs_f64(),
            100.0 * cpu / ours.cpu.as_secs_f64()
        )
    };
    Ok(format!(
        "\n| {calls} rows, in batches of {BATCH} | rows/s | CPU µs/row | store ÷ this, rows/s | by CPU |\n|---|--:|--:|--:|--:|\n\
         {}{}{}\n{} B a call on disk.\n",
        line("bare inserts of the same rows", &as_text),
        line("the same, every text already a number", &numbered),
        line("the store: texts numbered, trace and session noted, sums", &ours),
        size(&dir.path().join("store"))? / calls.max(1)
    ))
}

fn number(count: u64) -> f64 {
    count as f64
}

fn size(dir: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        sum += if kind.is_dir() { size(&entry.path())? } else { kind.len() };
    }
    Ok(sum)
}

/// What some work took: time, and processor time of this thread as the kernel counts it.
#[derive(Default)]
struct Took {
    wall: Duration,
    cpu: Duration,
}

impl Took {
    fn measure(&mut self, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let (began, before) = (Instant::now(), consumed()?);
        work()?;
        self.wall += began.elapsed();
        self.cpu += consumed()?.saturating_sub(before);
        Ok(())
    }
}

fn consumed() -> anyhow::Result<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").context("read what this thread consumed")?;
    let ns = told.split_whitespace().next().context("find nanoseconds")?.parse()?;
    Ok(Duration::from_nanos(ns))
}

/// How texts stand in a bare table.
#[derive(Clone, Copy)]
enum Texts {
    AsTheyAre,
    Numbered,
}

/// The reference: the same row into a table of the same columns, without any index.
struct Bare(Database);

impl Bare {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let database = Database::open(path)?;
        database.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4096; CREATE TABLE calls (id INTEGER PRIMARY KEY, \
             a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, bb, cc, dd)",
        )?;
        Ok(Self(database))
    }

    fn insert(&mut self, calls: &[Call], texts: Texts) -> anyhow::Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO calls VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
                 ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31)",
            )?;
            for call in calls {
                let text = |text: Option<&str>, number: i64| match (texts, text) {
                    (_, None) => Value::Null,
                    (Texts::AsTheyAre, Some(text)) => Value::Text(text.to_owned()),
                    (Texts::Numbered, Some(_)) => Value::Integer(number),
                };
                insert.execute(params![
                    i64::try_from(call.id.stamp())?,
                    call.id.salt().cast_signed(),
                    1_i64,
                    i64::try_from(call.at_us)?,
                    &call.trace[..],
                    i64::from_be_bytes(call.parent),
                    text(Some(&call.session), 1),
                    text(Some(&call.session_source), 2),
                    text(Some(&call.principal), 3),
                    text(call.client.as_deref(), 4),
                    text(Some(&call.method), 5),
                    text(call.name.as_deref(), 6),
                    text(call.server.as_deref(), 7),
                    text(Some(&call.outcome), 8),
                    text(call.error.as_deref(), 9),
                    text(call.fault.as_deref(), 10),
                    1_i64,
                    call.attempts,
                    i64::try_from(call.total_us)?,
                    i64::try_from(call.upstream_us)?,
                    call.first_us.map(i64::try_from).transpose()?,
                    i64::try_from(call.request_bytes)?,
                    i64::try_from(call.response_bytes)?,
                    &*call.request_id,
                    call.seen.shape.as_deref(),
                    Option::<String>::None,
                    Option::<i64>::None,
                    hashes(call),
                    Option::<String>::None,
                    i64::from_be_bytes(call.span),
                    sendings(call),
                ])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

/// Both hashes of a call, in one.
fn hashes(call: &Call) -> [u8; 32] {
    let [request, response] = [&call.seen.request_hash, &call.seen.response_hash];
    let mut both = [0; 32];
    for (into, hash) in both.chunks_exact_mut(16).zip([request, response]) {
        into.copy_from_slice(&hash.as_ref().map_or([0; 16], |hash| hash.0));
    }
    both
}

/// What was sent of a call, in as many bytes as the store writes.
fn sendings(call: &Call) -> Vec<u8> {
    let one = |sending: &Sending| {
        let error = sending.error.as_deref().unwrap_or_default();
        [&sending.span[..], &[90, 0xff, 0x7f, 0], error.as_bytes(), &[0]].concat()
    };
    call.sendings.iter().flat_map(one).collect()
}

/// The questions: each path, in which `{trace}` and `{call}` become another one each time.
const QUESTIONS: [&str; 40] = [
    "/api/v1/calls",
    "/api/v1/calls?limit=1000",
    "/api/v1/calls?f=server:eq:files",
    "/api/v1/calls?f=tool:eq:tool-3&f=server:eq:files&f=client:eq:planner&errors=true",
    "/api/v1/calls?errors=true",
    "/api/v1/calls?range=1h&errors=true",
    "/api/v1/calls?min_ms=900",
    "/api/v1/calls?f=tool:eq:no-such-tool",
    "/api/v1/calls?min_ms=100000",
    "/api/v1/calls/{call}",
    "/api/v1/traces",
    "/api/v1/traces?errors=true",
    "/api/v1/traces/{trace}",
    "/api/v1/traces/{trace}?format=otlp",
    "/api/v1/sessions",
    "/api/v1/sessions/session-7",
    "/api/v1/errors",
    "/api/v1/figures",
    "/api/v1/figures?by=tool&range=1h",
    "/api/v1/figures?by=tool&range=24h",
    "/api/v1/figures?by=all&range=6h&over_time=true",
    "/api/v1/figures?by=server&range=24h&over_time=true",
    "/api/v1/figures?by=tool&range=7d",
    "/api/v1/servers?range=24h",
    "/api/v1/tools",
    "/api/v1/tools/echo/echo",
    "/api/v1/history",
    "/api/v1/dashboard?range=24h",
    "/",
    "/?range=24h",
    "/calls",
    "/calls?errors=true",
    "/traces",
    "/traces/{trace}",
    "/sessions",
    "/errors",
    "/sessions/session-7",
    "/servers",
    "/servers/echo",
    "/servers/echo/tools/echo",
];

/// Starts a gateway over the store in `data` and asks it everything.
async fn ask_all(args: &Args, data: &Path, calls: u64, now_us: u64) -> anyhow::Result<Vec<Asked>> {
    let stage = Stage::over(&args.tollhouse, Some(data)).await?;
    let mut connection = Connection::new(stage.admin);
    // A gateway that asks who it is has put down what lets somebody in.
    let token = std::fs::read_to_string(data.join("admin-token")).unwrap_or_default();
    let known = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {}\r\n", token.trim()) };
    let mut answers = Vec::new();
    for path in QUESTIONS {
        let (mut times, mut nth, mut last) = (Vec::new(), 0_u64, (0, 0));
        let began = Instant::now();
        // Two before it counts: what is asked again is asked of a reader that has the files open.
        while times.len() < args.rounds + 2 && (times.len() < 20 || began.elapsed() < Duration::from_secs(5)) {
            nth = (nth + 7919) % calls;
            let call = call(nth, calls, DAY_US, now_us);
            let asked = path.replace("{trace}", &Hex(&call.trace).to_string()).replace("{call}", &call.id.to_string());
            let request = format!("GET {asked} HTTP/1.1\r\nHost: localhost\r\n{known}\r\n");
            let start = Instant::now();
            let head = connection.exchange(request.as_bytes()).await.with_context(|| format!("ask {asked}"))?;
            times.push(u64::try_from(start.elapsed().as_micros())?);
            last = (head.status, connection.body().len());
        }
        times.drain(..2);
        times.sort_unstable();
        let of = |per_mille| percentile(&times, per_mille).unwrap_or_default();
        let (p50_us, p99_us) = (of(500), of(990));
        answers.push(Asked { path: path.to_owned(), status: last.0, bytes: last.1, p50_us, p99_us });
    }
    stage.end().await?;
    Ok(answers)
}
