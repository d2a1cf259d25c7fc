//! The list of traces.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use http::Uri;
use tollhouse_core::ids::CallId;
use tollhouse_store::engine::{Error, Read};
use tollhouse_store::question::{Bounds, Filter};

use super::super::address::{Address, now_us};
use super::super::frame::{Frame, TRACES};
use super::super::pick::Pick;
use super::super::text::{ago, count, millis, rfc3339, seen, time};
use super::super::{Answer, Pages, offered};
use super::{Summary, parsed};
use crate::charts::{Bar, Svg, bar};

/// Traces of one page.
const TRACES_MAX: usize = 40;
/// Calls that are looked at for them.
const CALLS_LOOKED_AT: usize = 1000;
/// Calls read of one trace.
const CALLS_OF_ONE: usize = 500;

#[derive(Template)]
#[template(path = "traces.html")]
pub(super) struct Page {
    pub(super) frame: Frame,
    pub(super) pick: Pick,
    pub(super) asked: Option<String>,
    pub(super) rows: Vec<Row>,
    pub(super) older: Option<String>,
    pub(super) newest: Option<String>,
    pub(super) cut_short: bool,
}

pub(super) struct Row {
    pub(super) id: String,
    pub(super) short: String,
    pub(super) href: String,
    pub(super) at: String,
    pub(super) when: String,
    pub(super) ago: String,
    pub(super) names: String,
    pub(super) client: Option<String>,
    pub(super) servers: Vec<String>,
    pub(super) calls: String,
    pub(super) failed: String,
    pub(super) any_failed: bool,
    pub(super) ms: String,
    pub(super) bar: Svg,
    pub(super) picture: Svg,
}

/// Traces that were found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) traces: Vec<Summary>,
    /// Where to go on.
    pub(super) next: Option<CallId>,
    pub(super) cut_short: bool,
}

pub(in super::super) async fn page(State(pages): State<Pages>, uri: Uri) -> Answer {
    let address = Address::read(uri.path(), uri.query());
    let asked = address.get("q").map(str::trim).filter(|asked| !asked.is_empty()).map(str::to_owned);
    if let Some(id) = asked.as_deref().filter(|asked| parsed(asked).is_some()) {
        let there = address.plain(&format!("/traces/{}", id.to_ascii_lowercase())).to_string();
        return Ok(Redirect::to(&there).into_response());
    }
    let filter = address.filter();
    let before = address.get("before").and_then(CallId::parse);
    let found = pages.recorded.store().read(move |reader| find(reader, &filter, before)).await?;
    let (servers, tools) = offered(&pages, &address).await?;
    let pick = Pick::new(&address, "/traces", &servers, &tools).errors(&address).min_ms(&address);
    let page = Page::new(address, pick, asked.as_deref(), &found, now_us());
    let nonce = page.frame.nonce().clone();
    Ok(Frame::answer(&page, &nonce))
}

impl Page {
    pub(super) fn new(address: Address, pick: Pick, asked: Option<&str>, found: &Found, now_us: u64) -> Self {
        let longest = found.traces.iter().map(|trace| trace.long_us).max().unwrap_or_default();
        let row = |trace: &Summary| Row {
            href: address.plain(&format!("/traces/{}", trace.id)).to_string(),
            short: trace.id.chars().take(8).collect(),
            id: trace.id.clone(),
            at: rfc3339(trace.from_us),
            when: time(trace.from_us, now_us),
            ago: ago(trace.from_us, now_us),
            names: trace.names.clone(),
            client: trace.client.clone(),
            servers: trace.servers.clone(),
            calls: count(trace.calls as u64),
            failed: count(trace.failed as u64),
            any_failed: trace.failed > 0,
            ms: millis(trace.long_us),
            bar: bar("call", Bar { from_us: 0, long_us: trace.long_us, within_us: trace.long_us, whole_us: longest }),
            picture: trace.picture.clone(),
        };
        let rows = found.traces.iter().map(row).collect();
        let older = found.next.map(|id| address.with("before", id).to_string());
        let newest = address.get("before").map(|_| address.without("before").to_string());
        let mut frame = Frame::new(TRACES, address);
        frame.ranged = true;
        Self { frame, pick, asked: asked.map(seen), rows, older, newest, cut_short: found.cut_short }
    }
}

/// The traces of the newest calls that are wanted. `min_us` is how long a trace takes, not one of its calls.
pub(super) fn find(reader: &mut dyn Read, filter: &Filter, before: Option<CallId>) -> Result<Found, Error> {
    let calls = Filter { min_us: 0, ..filter.clone() };
    let bounds = Bounds { limit: CALLS_LOOKED_AT, scan: 200_000, ..Bounds::default() };
    let page = reader.latest(&calls, before, bounds)?;
    let mut found = Found { traces: Vec::new(), next: page.next, cut_short: page.cut_short };
    let (mut met, mut last): (Vec<[u8; 16]>, _) = (Vec::new(), None);
    for call in &page.calls {
        if !met.contains(&call.trace) {
            if found.traces.len() == TRACES_MAX {
                found.next = last;
                break;
            }
            met.push(call.trace);
            let trace = reader.trace(call.trace, CALLS_OF_ONE)?;
            // It was shown on the page of its newest wanted call.
            let shown = before.is_some_and(|before| trace.iter().any(|other| other.id >= before && calls.wants(other)));
            let summary = Summary::of(call.trace, if trace.is_empty() { std::slice::from_ref(call) } else { &trace });
            if !shown && summary.long_us >= filter.min_us {
                found.traces.push(summary);
            }
        }
        last = Some(call.id);
    }
    Ok(found)
}
