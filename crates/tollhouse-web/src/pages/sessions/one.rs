//! One session: its calls in rounds, with the pauses between them, and what went on at once.

use askama::Template;
use axum::extract::{Path, State};
use http::Uri;
use tollhouse_core::ids::CallId;
use tollhouse_core::trace::Hex;
use tollhouse_store::Call;

use super::super::address::{Address, now_us};
use super::super::frame::{Frame, Missing, SESSIONS};
use super::super::text::{ago, count, lasted, millis, rfc3339, seen, time};
use super::super::traces::stretch;
use super::super::{Answer, Pages};
use super::round::{Round, rounds};
use super::{inferred, state};
use crate::charts::{Bar, Stretch, Svg, bar, lanes};

/// Calls of one page.
const CALLS_MAX: usize = 500;

#[derive(Template)]
#[template(path = "session.html")]
pub(super) struct Page {
    pub(super) frame: Frame,
    pub(super) id: String,
    pub(super) json: String,
    pub(super) state: [&'static str; 2],
    pub(super) inferred: String,
    pub(super) source: String,
    pub(super) confidence: String,
    pub(super) client: Option<String>,
    pub(super) principal: String,
    pub(super) calls: String,
    pub(super) failed: String,
    pub(super) any_failed: bool,
    pub(super) last: String,
    pub(super) last_at: String,
    pub(super) lasted: String,
    pub(super) last_ok: Option<(String, String)>,
    pub(super) picture: Svg,
    pub(super) parallel: usize,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) rounds: Vec<View>,
    pub(super) older: Option<String>,
    pub(super) newest: Option<String>,
}

/// A round as it is shown.
pub(super) struct View {
    pub(super) nth: usize,
    pub(super) pause: Option<String>,
    pub(super) at: String,
    pub(super) when: String,
    pub(super) ms: String,
    pub(super) parallel: usize,
    pub(super) rows: Vec<Row>,
}

pub(super) struct Row {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) name: String,
    pub(super) server: Option<String>,
    pub(super) outcome: String,
    pub(super) failed: bool,
    pub(super) ms: String,
    pub(super) bar: Svg,
    pub(super) trace: String,
    pub(super) trace_short: String,
}

pub(in super::super) async fn page(State(pages): State<Pages>, Path(id): Path<String>, uri: Uri) -> Answer {
    let address = Address::read(uri.path(), uri.query());
    let principal = address.get("principal").unwrap_or("anonymous").to_owned();
    let before = address.get("before").and_then(CallId::parse);
    let session = id.clone();
    let read =
        move |reader: &mut dyn tollhouse_store::engine::Read| reader.timeline(&principal, &session, before, CALLS_MAX);
    let found = pages.recorded.store().read(read).await?;
    if found.calls.is_empty() {
        return Err(Missing::unknown(format!("No call of the session {} is kept.", seen(&id))));
    }
    let mut calls = found.calls;
    calls.reverse();
    let page = Page::new(&address, &calls, found.next, now_us());
    let nonce = page.frame.nonce().clone();
    Ok(Frame::answer(&page, &nonce))
}

impl Page {
    /// `calls` are in order of their arrival and not empty.
    pub(super) fn new(address: &Address, calls: &[Call], next: Option<CallId>, now_us: u64) -> Self {
        let last = &calls[calls.len() - 1];
        let from_us = calls[0].at_us;
        let to_us = calls.iter().map(Call::ended_us).max().unwrap_or(from_us);
        let failed = calls.iter().filter(|call| call.failed()).count();
        let stretches: Vec<Stretch> = calls.iter().map(stretch).collect();
        let title = format!("{} calls of the session, in time", count(calls.len() as u64));
        let drawn = lanes(&title, [from_us, to_us], &stretches);
        let last_ok = calls.iter().rev().find(|call| &*call.method == "tools/call" && !call.failed()).map(|call| {
            let name = seen(call.name.as_deref().unwrap_or(&call.method));
            (name, address.plain("/calls").with("row", call.id).to_string())
        });
        let view = |(nth, round): (usize, &Round)| View::of(address, nth, round, calls, now_us);
        let session = seen(&last.session);
        let mut frame = Frame::new(SESSIONS, address.clone());
        "Session".clone_into(&mut frame.title);
        let encoded = super::super::address::encoded(&last.session);
        let principal = super::super::address::encoded(&last.principal);
        Self {
            id: session,
            json: format!("/api/v1/sessions/{encoded}?principal={principal}"),
            state: state(to_us, now_us),
            inferred: inferred(&last.session_source, &last.session_confidence),
            source: seen(&last.session_source),
            confidence: seen(&last.session_confidence),
            client: last.client.as_deref().map(seen),
            principal: seen(&last.principal),
            calls: format!("{}{}", count(calls.len() as u64), if next.is_some() { " of more" } else { "" }),
            failed: count(failed as u64),
            any_failed: failed > 0,
            last: ago(to_us, now_us),
            last_at: rfc3339(to_us),
            lasted: lasted(to_us.saturating_sub(from_us)),
            last_ok,
            picture: drawn.svg,
            parallel: drawn.parallel,
            from: time(from_us, now_us),
            to: time(to_us, now_us),
            rounds: rounds(calls).iter().enumerate().map(view).rev().collect(),
            older: next.map(|id| address.with("before", id).to_string()),
            newest: address.get("before").map(|_| address.without("before").to_string()),
            frame,
        }
    }
}

impl View {
    fn of(address: &Address, nth: usize, round: &Round, calls: &[Call], now_us: u64) -> Self {
        let whole_us = round.to_us.saturating_sub(round.from_us);
        let row = |call: &Call| {
            let trace = Hex(&call.trace).to_string();
            Row {
                id: call.id.to_string(),
                href: address.plain("/calls").with("row", call.id).to_string(),
                name: seen(call.name.as_deref().unwrap_or(&call.method)),
                server: call.server.as_deref().map(seen),
                outcome: seen(call.error.as_deref().unwrap_or(&call.outcome)),
                failed: call.failed(),
                ms: millis(call.total_us),
                bar: bar(
                    if call.failed() { "bad" } else { "call" },
                    Bar {
                        from_us: call.at_us.saturating_sub(round.from_us),
                        long_us: call.total_us,
                        within_us: call.upstream_us,
                        whole_us,
                    },
                ),
                trace_short: trace.chars().take(8).collect(),
                trace: address.plain(&format!("/traces/{trace}")).with("row", call.id).to_string(),
            }
        };
        Self {
            nth: nth + 1,
            pause: round.pause_us.map(lasted),
            at: rfc3339(round.from_us),
            when: time(round.from_us, now_us),
            ms: millis(whole_us),
            parallel: round.parallel,
            rows: calls[round.calls.clone()].iter().map(row).collect(),
        }
    }
}
