//! `/`: is anything wrong, how much and how fast, what runs at this moment.
//!
//! Every figure comes from kept sums, so the page costs the same whether a thousand calls are kept or a million; only the newest calls
//! are read themselves.

mod tables;
mod tiles;

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use http::Uri;
use tollhouse_core::record::Known;
use tollhouse_store::question::{Bounds, By, ErrorGroup, Figure, Filter, Numbers, Page as Some10, Sum, Times};

use super::address::{Address, now_us};
use super::calls::Row;
use super::frame::{Frame, OVERVIEW};
use super::slots::Slots;
use super::text::{bytes, count, percent, seconds};
use super::{Answer, Pages};
use crate::charts::{Chart, Percentiles, Series, Slot, latency, stacked};
use crate::health::{Report, Status};
use tables::{Failing, Ranked, Standing};
use tiles::Tile;

/// Newest calls that are shown.
const NEWEST: usize = 10;
/// Groups of failures that are shown.
const FAILING: usize = 5;
/// How long the page looks for the newest calls.
const LOOKING: Duration = Duration::from_millis(50);

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    frame: Frame,
    wrong: Option<String>,
    tiles: Vec<Tile>,
    traffic: Plot,
    times: Plot,
    zooms: Vec<Zoom>,
    servers: Vec<Standing>,
    ranked: Vec<Ranked>,
    newest: Vec<Row>,
    failing: Vec<Failing>,
    calls: String,
    errors: String,
    facts: Vec<[String; 2]>,
    known: Vec<Share>,
    begin: Option<Begin>,
}

/// A chart and what stands around it.
struct Plot {
    chart: Chart,
    marks: [String; 3],
    high: String,
    low: String,
    legend: Vec<[&'static str; 2]>,
}

/// A slot of a chart: where its time alone is shown.
struct Zoom {
    href: String,
    from: String,
    to: String,
    title: String,
}

/// Of which share of the last calls something is known.
struct Share {
    name: &'static str,
    figure: String,
    meaning: &'static str,
}

/// What somebody does who sees this for the first time.
struct Begin {
    listen: Option<String>,
    servers: usize,
    failed: usize,
}

/// What was found in the store.
struct Found {
    over_time: Vec<Figure>,
    by: [Vec<Figure>; 3],
    newest: Some10,
    failing: Vec<ErrorGroup>,
    /// Is anything kept at all?
    any: bool,
}

pub(super) async fn page(State(pages): State<Pages>, uri: Uri) -> Answer {
    // Before anything is read: what comes meanwhile is told by the stream.
    let after = pages.recorded.feed().attend();
    let (address, now_us) = (Address::read(uri.path(), uri.query()), now_us());
    let range = address.span();
    let slots = Slots::of(range, now_us);
    let store = pages.recorded.store();
    let found = store.read(move |reader| {
        let by = |by| Numbers { over_time: false, ..slots.numbers(by, None, false) };
        let bounds = |limit| Bounds { limit, time: LOOKING, ..Bounds::default() };
        let newest = reader.latest(&Filter { range, ..Filter::default() }, None, bounds(NEWEST))?;
        let any = !newest.calls.is_empty() || !reader.latest(&Filter::default(), None, bounds(1))?.calls.is_empty();
        Ok(Found {
            over_time: reader.numbers(&Numbers { times: Times::All, ..slots.numbers(By::All, None, true) })?,
            by: [reader.numbers(&by(By::Tool))?, reader.numbers(&by(By::Server))?, reader.numbers(&by(By::Client))?],
            newest,
            failing: reader.errors(range, FAILING)?,
            any,
        })
    });
    let found = found.await?;
    let counts = store.counts();
    let report = Report::from(pages.health.snapshot());
    let mut page = Page::new(&address, &slots, &found, &report, now_us);
    page.facts.push(["Recorded since the start".to_owned(), count(counts.written)]);
    let lost = counts.overflowed + counts.failed + report.records_dropped;
    page.facts.push(["Records lost".to_owned(), count(lost)]);
    page.known = pages.coverage.as_ref().map(|known| shares(&known())).unwrap_or_default();
    page.frame.stream =
        page.frame.address.live().then(|| format!("/events?view=overview&topics=calls,sums,health&after={after}"));
    let nonce = page.frame.nonce().clone();
    Ok(Frame::answer(&page, &nonce))
}

impl Page {
    fn new(address: &Address, slots: &Slots, found: &Found, report: &Report, now_us: u64) -> Self {
        let mut sums = vec![Sum::default(); slots.count()];
        for figure in &found.over_time {
            if let Some(sum) = slots.place(figure.from_us).and_then(|nth| sums.get_mut(nth)) {
                sum.merge(&figure.sum);
            }
        }
        let mut all = Sum::default();
        for sum in &sums {
            all.merge(sum);
        }
        let [tools, servers, clients] = &found.by;
        let zooms = (0..slots.count()).zip(&sums).map(|(nth, sum)| {
            let [from, to] = slots.ends(nth);
            Zoom {
                href: address.with("range", format!("{from}..{to}")).to_string(),
                title: format!("{}: {} calls, {} failed", slots.when(nth), count(sum.calls), count(sum.failed)),
                from,
                to,
            }
        });
        let failed = report.servers.iter().filter(|server| server.state == crate::health::State::Failed).count();
        let calls_at = address.at("/calls");
        let mut frame = Frame::new(OVERVIEW, address.clone());
        frame.ranged = true;
        Self {
            wrong: wrong(report),
            tiles: tiles::all(&sums, &all, slots, report, &calls_at),
            traffic: traffic(slots, &sums),
            times: times(slots, &sums),
            zooms: zooms.collect(),
            servers: tables::servers(&calls_at, report, servers),
            ranked: tables::ranked(&calls_at, tools, clients),
            newest: found.newest.calls.iter().map(|call| Row::of(&calls_at, None, call, now_us)).collect(),
            failing: found.failing.iter().map(|group| Failing::of(&calls_at, group, now_us)).collect(),
            calls: calls_at.to_string(),
            errors: calls_at.with("errors", "true").to_string(),
            facts: facts(&all, report),
            known: Vec::new(),
            begin: (!found.any).then(|| Begin {
                listen: report.listen.map(|listen| listen.to_string()),
                servers: report.servers.len(),
                failed,
            }),
            frame,
        }
    }
}

/// What should be looked at first, if anything.
fn wrong(report: &Report) -> Option<String> {
    let failed: Vec<_> = report
        .servers
        .iter()
        .filter(|server| server.state == crate::health::State::Failed)
        .map(|server| super::text::brief(&server.id))
        .collect();
    match report.status {
        _ if report.draining => {
            Some("The gateway is shutting down: it finishes what it has and takes nothing more.".to_owned())
        }
        Status::Ok => None,
        Status::Down => Some("No server can be reached.".to_owned()),
        Status::Degraded => Some(format!("Not reached: {}.", failed.join(", "))),
    }
}

fn traffic(slots: &Slots, sums: &[Sum]) -> Plot {
    const KINDS: [Series; 2] = [Series { name: "answered", class: "s1" }, Series { name: "failed", class: "bad" }];
    let drawn: Vec<Slot> = sums
        .iter()
        .enumerate()
        .map(|(nth, sum)| Slot {
            when: slots.when(nth),
            counts: vec![sum.calls - sum.failed.min(sum.calls), sum.failed],
        })
        .collect();
    let most = sums.iter().map(|sum| sum.calls).max().unwrap_or_default();
    Plot {
        chart: stacked("Calls over time", &KINDS, &drawn),
        marks: slots.marks(),
        high: count(most),
        low: "0".to_owned(),
        legend: KINDS.map(|kind| [kind.class, kind.name]).into(),
    }
}

fn times(slots: &Slots, sums: &[Sum]) -> Plot {
    let drawn: Vec<Percentiles> = sums
        .iter()
        .enumerate()
        .map(|(nth, sum)| {
            let at = |q| sum.total.quantile(q).map(milliseconds);
            let ms = (|| Some([at(0.5)?, at(0.95)?, at(0.99)?]))();
            Percentiles { when: slots.when(nth), ms }
        })
        .collect();
    let (chart, [low, high]) = latency("How long calls took", &drawn);
    let legend = vec![["p50", "p50"], ["p95", "p95"], ["p99", "p99"]];
    Plot { chart, marks: slots.marks(), high: format!("{high} ms"), low: format!("{low}"), legend }
}

#[expect(clippy::cast_precision_loss, reason = "a time for people")]
fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}

/// What the gateway itself costs, and how long it has been running.
fn shares(known: &Known) -> Vec<Share> {
    let share = |name, part: Option<f64>, meaning| {
        let figure = part.map_or_else(|| "–".to_owned(), |part| format!("{:.0} %", (part * 100.0).floor()));
        Share { name, figure, meaning }
    };
    vec![
        share(
            "root of the trace",
            known.trace_root,
            "Calls below a span that the caller named, or the root of their session.",
        ),
        share(
            "session",
            known.session_state,
            "Tool calls whose session the client or the protocol names; of the others it is guessed.",
        ),
        share(
            "input and output",
            known.tool_output,
            "Tool calls of which size and hash of arguments and answer are kept.",
        ),
        share("content", known.tool_content, "Tool calls whose arguments and result are captured, without secrets."),
    ]
}

fn facts(all: &Sum, report: &Report) -> Vec<[String; 2]> {
    let (total, upstream) = (all.total.sum(), all.upstream.sum());
    let own = total.saturating_sub(upstream);
    let mut facts = Vec::new();
    if all.calls > 0 {
        facts.push([
            "Gateway's own time".to_owned(),
            format!("{} of {} ms in the mean ({})", mean(own, all.calls), mean(total, all.calls), percent(own, total)),
        ]);
        facts.push([
            "Bytes in and out".to_owned(),
            format!("{} · {}", bytes(all.request_bytes), bytes(all.response_bytes)),
        ]);
    }
    facts.push(["Running since".to_owned(), format!("{}, version {}", seconds(report.uptime_s), report.version)]);
    if let Some(listen) = report.listen {
        facts.push(["Agents connect to".to_owned(), format!("http://{listen}/mcp")]);
    }
    facts
}

fn mean(sum_us: u64, calls: u64) -> String {
    super::text::millis(sum_us / calls.max(1))
}
