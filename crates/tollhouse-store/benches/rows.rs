//! What a kept call costs, beside a bare insert of the same row into the same engine, and what questions cost over many.
//!
//! `cargo bench -p tollhouse-store [-- <rows>]`; a million rows if nothing is said. Costs are processor time of this
//! thread, as the kernel counts it, so that other programs hardly matter; both ways of writing take turns.

use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, params};
use tollhouse_store::Call;
use tollhouse_store::conformance::{NOON_US, call};
use tollhouse_store::engine::{Read, Write};
use tollhouse_store::question::{Bounds, By, Field, Filter, Numbers, Range, Times, Width};
use tollhouse_store::sqlite::{self, Keep};

const BATCH: u64 = 5000;

fn main() {
    let rows = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(1_000_000_u64);
    let dir = tempfile::TempDir::with_prefix("tollhouse-bench-").expect("a temporary directory");
    let (mut writer, mut reader) = sqlite::open(&dir.path().join("store"), Keep::default()).expect("open the store");
    let mut bare = Bare::open(&dir.path().join("bare.db"));
    let (mut ours, mut theirs) = (0, 0);
    for batch in 0..rows / BATCH {
        let calls: Vec<Call> = (batch * BATCH..(batch + 1) * BATCH).map(call).collect();
        theirs += processor_ns(|| bare.insert(&calls));
        ours += processor_ns(|| {
            writer.append(&calls).expect("append");
            writer.flush().expect("flush");
        });
    }
    let per_row = |ns: u64| format!("{:.2}", micros(ns) / number(rows));
    say(&format!("{rows} rows in batches of {BATCH}"));
    say(&format!("bare insert        {} us of processor per row", per_row(theirs)));
    say(&format!("store, sums and all {} us of processor per row", per_row(ours)));
    say(&format!("bare / store       {:.0} %", 100.0 * number(theirs) / number(ours)));
    let bytes: u64 = size(&dir.path().join("store"));
    say(&format!("on disk            {} B per row", bytes / rows.max(1)));
    questions(&mut reader, rows);
}

/// Asks each question some times and says how long it took at most, but for one in a hundred.
fn questions(reader: &mut impl Read, rows: u64) {
    let page = Bounds { limit: 100, ..Bounds::default() };
    let failed = Filter { failed: true, ..Filter::default() };
    let rare = Filter::default().with(Field::Name, "tool-3").with(Field::Outcome, "tool_error");
    let none = Filter { min_us: 10_000_000, ..Filter::default() };
    let numbers =
        |by, width, over_time| Numbers { range: Range::ALL, width, by, server: None, over_time, times: Times::All };
    ask("newest 100", || reader.latest(&Filter::default(), None, page).expect("latest").calls.len());
    ask("newest 100 that failed", || reader.latest(&failed, None, page).expect("latest").calls.len());
    ask("newest 100 of a rare kind", || reader.latest(&rare, None, page).expect("latest").calls.len());
    ask("a filter nothing fits", || reader.latest(&none, None, page).expect("latest").calls.len());
    let mut nth = 0;
    ask("trace by id", || {
        nth = (nth + 7919) % rows;
        reader.trace(call(nth).trace, 1000).expect("trace").len()
    });
    ask("timeline of a session, 100 newest", || {
        reader.timeline("anonymous", "session-3", None, 100).expect("timeline").calls.len()
    });
    ask("figures by tool, all time", || {
        reader.numbers(&numbers(By::Tool, Width::Minute, false)).expect("numbers").len()
    });
    ask("figures by minute", || reader.numbers(&numbers(By::All, Width::Minute, true)).expect("numbers").len());
    ask("sessions", || reader.sessions(Range { from_us: NOON_US, to_us: u64::MAX }, 100).expect("sessions").len());
    ask("error groups", || reader.errors(Range::ALL, 100).expect("errors").len());
}

fn ask(what: &str, mut question: impl FnMut() -> usize) {
    let mut times = Vec::new();
    let mut found = 0;
    let began = now();
    while times.len() < 200 && (times.len() < 5 || began.elapsed().as_secs() < 5) {
        let start = now();
        found = question();
        times.push(start.elapsed().as_micros());
    }
    times.sort_unstable();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    say(&format!("{what:<36} p50 {p50:>8} us   p99 {p99:>8} us   {found} found"));
}

/// The reference: the same row, its texts numbered beforehand, into a table of the same columns.
struct Bare(Connection);

impl Bare {
    fn open(path: &Path) -> Self {
        let connection = Connection::open(path).expect("open");
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE calls (id INTEGER PRIMARY KEY, \
                 a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y)",
            )
            .expect("lay out");
        Self(connection)
    }

    fn insert(&mut self, calls: &[Call]) {
        let transaction = self.0.transaction().expect("begin");
        {
            let mut insert = transaction
                .prepare_cached(
                    "INSERT INTO calls VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
                     ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26)",
                )
                .expect("prepare");
            for call in calls {
                let row = i64::try_from(call.id.stamp() >> 8).expect("small");
                let salt = call.id.salt().cast_signed();
                insert
                    .execute(params![
                        row,
                        salt,
                        1_i64,
                        i64::try_from(call.at_us).expect("small"),
                        &call.trace[..],
                        i64::from_be_bytes(call.parent),
                        1_i64,
                        2_i64,
                        3_i64,
                        4_i64,
                        5_i64,
                        6_i64,
                        7_i64,
                        8_i64,
                        Option::<i64>::None,
                        Option::<i64>::None,
                        1_i64,
                        call.attempts,
                        i64::try_from(call.total_us).expect("small"),
                        i64::try_from(call.upstream_us).expect("small"),
                        80_i64,
                        i64::try_from(call.request_bytes).expect("small"),
                        i64::try_from(call.response_bytes).expect("small"),
                        &*call.request_id,
                        call.seen.shape.as_deref(),
                        Option::<String>::None,
                    ])
                    .expect("insert");
            }
        }
        transaction.commit().expect("commit");
    }
}

/// Nanoseconds of processor time that `work` takes on this thread.
fn processor_ns(work: impl FnOnce()) -> u64 {
    let before = consumed();
    work();
    consumed() - before
}

fn consumed() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells what a thread consumed");
    told.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("a number of nanoseconds")
}

fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("the directory is there").flatten();
    entries
        .map(|entry| {
            let kind = entry.metadata().expect("it is there");
            if kind.is_dir() { size(&entry.path()) } else { kind.len() }
        })
        .sum()
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn number(count: u64) -> f64 {
    count as f64
}

fn micros(ns: u64) -> f64 {
    number(ns) / 1000.0
}

#[expect(clippy::disallowed_methods, reason = "a bench measures with the clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
fn say(line: &str) {
    println!("{line}");
}
