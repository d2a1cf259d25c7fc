//! `/errors`: what fails, since when. Failures by server, tool and kind; what a tool says of itself, what the protocol says, and what happened on the
//! way are told apart.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use http::Uri;
use tollhouse_core::trace::Hex;
use tollhouse_store::question::{By, ErrorGroup, Field, Figure, Filter, Numbers, Times};

use super::address::{Address, now_us};
use super::frame::{ERRORS, Frame};
use super::pick::Pick;
use super::slots::Slots;
use super::text::{ago, count, percent, rfc3339, seen};
use super::{Answer, Pages, offered};
use crate::charts::{Chart, Series, Slot, Svg, sparkline, stacked};

/// Groups of one page.
const GROUPS_MAX: usize = 100;
/// Traces shown of each.
const SAMPLES: usize = 3;

/// Where a failure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The tool answered that it failed.
    Tool,
    /// A JSON-RPC error.
    Protocol,
    /// There was no answer.
    Transport,
}

impl Class {
    const ALL: [Self; 3] = [Self::Tool, Self::Protocol, Self::Transport];

    /// By `error.type`: a code is the protocol's, and only tools say `tool_error`.
    pub(super) fn of(error: &str) -> Self {
        match error {
            "tool_error" => Self::Tool,
            code if code.parse::<i64>().is_ok() => Self::Protocol,
            _ => Self::Transport,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Tool => "isError",
            Self::Protocol => "protocol",
            Self::Transport => "transport",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Tool => "The call succeeded, the tool says that it failed.",
            Self::Protocol => "A JSON-RPC error was answered.",
            Self::Transport => "No answer came, or none that is one.",
        }
    }

    fn series(self) -> Series {
        match self {
            Self::Tool => Series { name: "isError", class: "s4" },
            Self::Protocol => Series { name: "protocol", class: "s2" },
            Self::Transport => Series { name: "transport", class: "bad" },
        }
    }
}

#[derive(Template)]
#[template(path = "errors.html")]
struct Page {
    frame: Frame,
    pick: Pick,
    tiles: Vec<Tile>,
    share: String,
    chart: Chart,
    marks: [String; 3],
    most: String,
    rows: Vec<Row>,
    cut: bool,
}

struct Tile {
    word: &'static str,
    meaning: &'static str,
    count: String,
    any: bool,
    class: &'static str,
}

struct Row {
    name: String,
    server: Option<String>,
    error: String,
    class: &'static str,
    meaning: &'static str,
    count: String,
    first: [String; 2],
    last: [String; 2],
    fresh: bool,
    spark: Svg,
    href: String,
    samples: Vec<[String; 2]>,
}

/// What the page is made of.
#[derive(Debug, Default)]
struct Found {
    groups: Vec<ErrorGroup>,
    figures: Vec<Figure>,
    /// The traces of the newest calls of each group.
    traces: Vec<Vec<[u8; 16]>>,
}

pub(super) async fn page(State(pages): State<Pages>, uri: Uri) -> Answer {
    let address = Address::read(uri.path(), uri.query());
    let (filter, now_us) = (address.filter(), now_us());
    let slots = Slots::of(filter.range, now_us);
    let found = pages.recorded.store().read(move |reader| {
        let mut groups = reader.errors(filter.range, GROUPS_MAX)?;
        groups.retain(|group| wants(&filter, group));
        let figures = reader.numbers(&Numbers { times: Times::None, ..slots.numbers(By::Tool, None, true) })?;
        let mut traces = Vec::with_capacity(groups.len());
        for group in &groups {
            let mut samples = Vec::new();
            for id in group.calls.iter().take(SAMPLES) {
                samples.extend(reader.call(*id)?.map(|call| call.trace));
            }
            samples.dedup();
            traces.push(samples);
        }
        Ok(Found { groups, figures, traces })
    });
    let found = found.await?;
    let (servers, tools) = offered(&pages, &address).await?;
    let pick = Pick::new(&address, "/errors", &servers, &tools);
    let page = Page::new(address, pick, &slots, &found, now_us);
    let nonce = page.frame.nonce().clone();
    Ok(Frame::answer(&page, &nonce))
}

/// Does a group fit what is chosen, as far as that says something of groups?
fn wants(filter: &Filter, group: &ErrorGroup) -> bool {
    filter.terms.iter().all(|term| {
        let value: &str = match term.field {
            Field::Server => &group.server,
            Field::Name | Field::Method => &group.name,
            Field::Error => &group.error,
            Field::Client | Field::Principal | Field::Session | Field::Outcome => return true,
        };
        (value == term.value) != term.exclude
    })
}

impl Page {
    fn new(address: Address, pick: Pick, slots: &Slots, found: &Found, now_us: u64) -> Self {
        let filter = address.filter();
        let (mut over_time, mut calls) = (vec![[0; 3]; slots.count()], 0);
        let mut sparks = BTreeMap::<(&str, &str, &str), Vec<u64>>::new();
        for figure in &found.figures {
            let [server, name] = &figure.group;
            let Some(place) = slots.place(figure.from_us) else { continue };
            calls += figure.sum.calls;
            for (error, failed) in &figure.sum.errors {
                let group = ErrorGroup {
                    server: server.clone(),
                    name: name.clone(),
                    error: error.clone(),
                    first_us: 0,
                    last_us: 0,
                    count: 0,
                    calls: Vec::new(),
                };
                if wants(&filter, &group) {
                    over_time[place][Class::of(error) as usize] += failed;
                    let spark = sparks.entry((server, name, error)).or_insert_with(|| vec![0; slots.count()]);
                    spark[place] += failed;
                }
            }
        }
        let totals = Class::ALL.map(|class| over_time.iter().map(|counts| counts[class as usize]).sum::<u64>());
        let most = over_time.iter().map(|counts| counts.iter().sum::<u64>()).max().unwrap_or_default();
        let drawn: Vec<Slot> = over_time
            .iter()
            .enumerate()
            .map(|(nth, counts)| Slot { when: slots.when(nth), counts: counts.to_vec() })
            .collect();
        let row = |(group, traces): (&ErrorGroup, &Vec<[u8; 16]>)| {
            let class = Class::of(&group.error);
            let none = vec![0; slots.count()];
            let spark = sparks.get(&(&*group.server, &*group.name, &*group.error)).unwrap_or(&none);
            let short = |trace: &[u8; 16]| {
                let id = Hex(trace).to_string();
                [
                    id.chars().take(8).collect(),
                    address.plain(&format!("/traces/{id}")).with("errors", "true").to_string(),
                ]
            };
            let mut there = address.plain("/calls");
            if !group.server.is_empty() {
                there = there.chosen("server", &group.server, false);
            }
            let field = if group.name.contains('/') { "method" } else { "tool" };
            Row {
                name: seen(&group.name),
                server: Some(seen(&group.server)).filter(|server| !server.is_empty()),
                error: seen(&group.error),
                class: class.word(),
                meaning: class.meaning(),
                count: count(group.count),
                first: [rfc3339(group.first_us), ago(group.first_us, now_us)],
                last: [rfc3339(group.last_us), ago(group.last_us, now_us)],
                fresh: filter.range.from_us > 0 && filter.range.holds(group.first_us),
                spark: sparkline(&format!("{} in the range, over time", count(spark.iter().sum())), spark),
                href: there.chosen(field, &group.name, false).chosen("error", &group.error, false).to_string(),
                samples: traces.iter().map(short).collect(),
            }
        };
        let rows = found.groups.iter().zip(&found.traces).map(row).collect();
        let tiles = Class::ALL.into_iter().zip(totals).map(|(class, total)| Tile {
            word: class.word(),
            meaning: class.meaning(),
            count: count(total),
            any: total > 0,
            class: class.series().class,
        });
        let tiles = tiles.collect();
        let mut frame = Frame::new(ERRORS, address);
        frame.ranged = true;
        Self {
            frame,
            pick,
            tiles,
            share: percent(totals.iter().sum(), calls),
            chart: stacked("Failures over time", &Class::ALL.map(Class::series), &drawn),
            marks: slots.marks(),
            most: count(most),
            rows,
            cut: found.groups.len() == GROUPS_MAX,
        }
    }
}
