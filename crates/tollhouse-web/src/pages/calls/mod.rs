//! `/calls`: what happened, newest first, as it happens; one call beside the list (`row`).
//!
//! The list goes no further back than a page needs and no longer than a reader waits: what a rare filter has not found by then is found by
//! going on from there.

mod peek;
mod row;
mod words;

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::Uri;
use tollhouse_core::ids::CallId;
use tollhouse_store::question::{Bounds, By, Filter, Numbers, Range, Sum, Times, Width};

use super::address::{Address, now_us};
use super::frame::{CALLS, Frame};
use super::text::seen;
use super::{Answer, Pages};
use peek::Peek;
pub(super) use row::Row;

/// Calls of one page.
const ROWS: usize = 100;
/// How long a page looks for calls that a filter wants; then it shows those it has.
const LOOKING: Duration = Duration::from_millis(100);
/// A call is held against this much of its tool's time.
const COMPARED: Duration = Duration::from_hours(24);

#[derive(Template)]
#[template(path = "calls.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    /// What `row` names, if anything.
    peek: Option<Peek>,
    /// Text of the form that could not be understood.
    puzzling: Option<String>,
    hidden: Vec<(String, String)>,
    only_failed: bool,
    toggled: String,
    older: Option<String>,
    newest: Option<String>,
    cut_short: bool,
    chosen: bool,
    json: Option<[String; 2]>,
    /// Where everything is shown, over all time.
    wider: String,
}

pub(super) async fn page(State(pages): State<Pages>, uri: Uri) -> Response {
    let address = Address::read(uri.path(), uri.query());
    match address.get("add").map(|text| (words::added(&address.without("add"), text), text.to_owned())) {
        Some((Ok(there), _)) => Redirect::to(&there.to_string()).into_response(),
        Some((Err(puzzling), text)) => {
            shown(pages, address.without("add"), Some((puzzling, text))).await.into_response()
        }
        None => shown(pages, address, None).await.into_response(),
    }
}

async fn shown(pages: Pages, address: Address, puzzling: Option<(String, String)>) -> Answer {
    // Before anything is read: what comes meanwhile is told by the stream.
    let after = pages.recorded.feed().attend();
    let (filter, now_us) = (address.filter(), now_us());
    let before = address.get("before").and_then(CallId::parse);
    let asked = address.get("row").map(CallId::parse);
    let wanted = filter.clone();
    let found = pages.recorded.store().read(move |reader| {
        let page = reader.latest(&wanted, before, Bounds { limit: ROWS, time: LOOKING, ..Bounds::default() })?;
        let Some(id) = asked.flatten() else { return Ok((page, None)) };
        let Some(call) = reader.call(id)? else { return Ok((page, None)) };
        let others = reader.numbers(&others(call.server.as_deref(), now_us))?;
        let name = call.name.clone().unwrap_or_else(|| call.method.clone());
        let others = others.into_iter().find(|figure| figure.group[1] == name);
        Ok((page, Some((call, others.map_or_else(Sum::default, |figure| figure.sum)))))
    });
    let (found, one) = found.await?;
    let (mut frame, live) = (Frame::new(CALLS, address.clone()), address.live());
    frame.ranged = true;
    frame.stream = live.then(|| format!("/events?view=calls&topics=calls{}&after={after}", asked_of(&address)));
    let listen = pages.health.snapshot().listen;
    let peek = asked.map(|_| match one {
        Some((call, others)) => Peek::of(&address, &call, &others, &found.calls, listen, now_us),
        None => Peek::missing(&address),
    });
    let list = address.without("row").without("tab");
    let json = live.then(|| {
        let range = format!("range={}", address.range());
        let all = format!("/api/v1/calls?{range}{}", asked_of(&address));
        [all.clone(), format!("{all}&follow=true")]
    });
    let page = Page {
        rows: found.calls.iter().map(|call| Row::of(&list, address.get("row"), call, now_us)).collect(),
        peek,
        puzzling: puzzling.as_ref().map(|(_, text)| seen(text)),
        hidden: list.hidden(&["before", "row", "tab"]),
        only_failed: filter.failed,
        toggled: toggled(&list, &filter).to_string(),
        older: found.next.map(|next| list.with("before", next).to_string()),
        newest: before.is_some().then(|| list.without("before").to_string()),
        cut_short: found.cut_short,
        chosen: filter.failed || filter.min_us > 0 || !filter.terms.is_empty(),
        json,
        wider: Address::read("/calls", None).with("range", "30d").to_string(),
        frame,
    };
    let nonce = page.frame.nonce().clone();
    Ok(Frame::answer(&page, &nonce))
}

/// What else is known of the tool of a call.
fn others(server: Option<&str>, now_us: u64) -> Numbers {
    let from_us = now_us.saturating_sub(u64::try_from(COMPARED.as_micros()).unwrap_or(u64::MAX));
    Numbers {
        range: Range { from_us, to_us: u64::MAX },
        width: Width::Quarter,
        by: By::Tool,
        server: server.map(str::to_owned),
        over_time: false,
        times: Times::Total,
    }
}

/// Failed ones only, or all.
fn toggled(list: &Address, filter: &Filter) -> Address {
    let list = list.without("before").without("errors");
    if filter.failed { list } else { list.and("errors", "true") }
}

/// What calls are chosen by, as the stream and the API read it; what they would not understand is left out.
fn asked_of(address: &Address) -> String {
    use super::address::encoded;
    let filter = address.filter();
    let known = |text: &&(String, String)| text.0 == "f" && crate::api::query::term(&text.1).is_some();
    let mut query = String::new();
    for (_, text) in address.hidden(&[]).iter().filter(known) {
        query.push_str("&f=");
        query.push_str(&encoded(text));
    }
    if filter.failed {
        query.push_str("&errors=true");
    }
    if filter.min_us > 0 {
        query.push_str("&min_ms=");
        query.push_str(&(filter.min_us / 1000).to_string());
    }
    query
}
