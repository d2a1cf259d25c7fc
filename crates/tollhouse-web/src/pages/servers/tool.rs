//! One tool: what it says of itself, how fast it is and how often it fails, how it came to be.

use askama::Template;
use axum::extract::{Path, State};
use http::Uri;
use serde_json::Value;
use tollhouse_store::event::{Event, Listed};
use tollhouse_store::question::{By, Figure, Happened, Sum};

use super::super::address::{Address, now_us};
use super::super::frame::{Frame, Missing, SERVERS};
use super::super::slots::Slots;
use super::super::text::{ago, bytes, rfc3339, seen, seen_lines};
use super::super::{Answer, Pages};
use super::{Figures, Happening, path, segment};
use crate::charts::{Chart, Percentiles, latency};

/// Events shown.
const EVENTS: usize = 50;

#[derive(Template)]
#[template(path = "tool.html")]
pub(super) struct Page {
    pub(super) frame: Frame,
    pub(super) server: [String; 2],
    pub(super) json: String,
    pub(super) description: Option<String>,
    pub(super) hints: Vec<[String; 2]>,
    pub(super) size: String,
    pub(super) first: [String; 2],
    pub(super) changed: Option<[String; 2]>,
    pub(super) figures: Figures,
    pub(super) calls_href: String,
    pub(super) errors_href: String,
    pub(super) chart: Chart,
    pub(super) ends: [String; 2],
    pub(super) marks: [String; 3],
    pub(super) input: Option<String>,
    pub(super) output: Option<String>,
    pub(super) happened: Vec<Happening>,
}

pub(in super::super) async fn page(
    State(pages): State<Pages>,
    Path((server, name)): Path<(String, String)>,
    uri: Uri,
) -> Answer {
    let address = Address::read(uri.path(), uri.query());
    let now_us = now_us();
    let slots = Slots::of(address.span(), now_us);
    let unknown = Missing::unknown(format!("The server {} lists no tool {}.", seen(&server), seen(&name)));
    let wanted = Happened { server: Some(server.clone()), subject: Some(name.clone()), ..Happened::default() };
    let found = pages.recorded.store().read(move |reader| {
        let tool = reader.tools()?.into_iter().find(|tool| *tool.server == *server && *tool.name == *name);
        let Some(tool) = tool else { return Ok(None) };
        let mut figures = reader.numbers(&slots.numbers(By::Tool, Some(server), true))?;
        figures.retain(|figure| figure.group[1] == tool.name);
        Ok(Some((tool, figures, reader.events(&wanted, None, EVENTS)?)))
    });
    let (tool, figures, events) = found.await?.ok_or(unknown)?;
    let page = Page::new(address, &tool, &slots, &figures, &events, now_us);
    let nonce = page.frame.nonce().clone();
    Ok(Frame::answer(&page, &nonce))
}

impl Page {
    pub(super) fn new(
        address: Address,
        tool: &Listed,
        slots: &Slots,
        figures: &[Figure],
        events: &[Event],
        now_us: u64,
    ) -> Self {
        let mut over_time = vec![Sum::default(); slots.count()];
        let mut all = Sum::default();
        for figure in figures {
            if let Some(sum) = slots.place(figure.from_us).and_then(|place| over_time.get_mut(place)) {
                sum.merge(&figure.sum);
                all.merge(&figure.sum);
            }
        }
        let percentiles = |(nth, sum): (usize, &Sum)| Percentiles { when: slots.when(nth), ms: quantiles(sum) };
        let drawn: Vec<_> = over_time.iter().enumerate().map(percentiles).collect();
        let (chart, ends) = latency("How long calls took: half, 95 and 99 of 100", &drawn);
        let definition: Value = serde_json::from_str(&tool.definition).unwrap_or_default();
        let chosen = |path| {
            address.plain(path).chosen("server", &tool.server, false).chosen("tool", &tool.name, false).to_string()
        };
        let (calls_href, errors_href) = (chosen("/calls"), chosen("/errors"));
        let pretty = |key: &str| {
            let schema = definition.get(key).filter(|schema| !schema.is_null())?;
            Some(seen_lines(&serde_json::to_string_pretty(schema).unwrap_or_default()))
        };
        let moment = |us| [rfc3339(us), ago(us, now_us)];
        let happened = events.iter().map(|event| Happening::of(&address, event, now_us)).collect();
        let server = [seen(&tool.server), path(&address, &tool.server)];
        let mut frame = Frame::new(SERVERS, address);
        frame.title = seen(&tool.name);
        frame.ranged = true;
        Self {
            frame,
            server,
            json: format!("/api/v1/tools/{}/{}", segment(&tool.server), segment(&tool.name)),
            description: definition["description"].as_str().map(seen_lines),
            hints: hints(&definition["annotations"]),
            size: bytes(tool.definition.len() as u64),
            first: moment(tool.first_us),
            changed: (tool.changes > 0).then(|| moment(tool.changed_us)),
            figures: Figures::of(Some(&all)),
            calls_href,
            errors_href,
            chart,
            ends: ends.map(|ms| format!("{ms} ms")),
            marks: slots.marks(),
            input: pretty("inputSchema"),
            output: pretty("outputSchema"),
            happened,
        }
    }
}

fn quantiles(sum: &Sum) -> Option<[f64; 3]> {
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|of| sum.total.quantile(of));
    // Far below 2^53 microseconds.
    #[expect(clippy::cast_precision_loss)]
    Some([p50?, p95?, p99?].map(|us| us as f64 / 1000.0))
}

/// What a server says a tool does, which nobody has checked.
fn hints(annotations: &Value) -> Vec<[String; 2]> {
    let members = annotations.as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    members.map(|(name, value)| [seen(name), seen(&text(value))]).collect()
}
