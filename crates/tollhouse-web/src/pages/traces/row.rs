//! The rows of a waterfall: calls put into a tree, and of each what stands in its line.

use tollhouse_core::trace::Hex;
use tollhouse_store::Call;

use super::super::address::Address;
use super::super::text::{count, millis, seen};
use crate::charts::{Bar, Svg, bar};
use crate::tree::{Kind, Row as Shown, Span, Tree};

/// Levels that have an indentation of their own.
const INDENTS: usize = 12;

/// A line of the waterfall.
pub(super) struct Row {
    /// What it stands for, as it is written in the address.
    pub(super) key: String,
    pub(super) level: usize,
    pub(super) indent: usize,
    pub(super) place: usize,
    pub(super) siblings: usize,
    /// Open, closed, or nothing below it.
    pub(super) open: Option<bool>,
    /// Where it is the other way.
    pub(super) toggle: String,
    /// Where it is shown at the side.
    pub(super) href: String,
    pub(super) name: String,
    pub(super) server: Option<String>,
    /// Its colour among the servers.
    pub(super) class: &'static str,
    pub(super) error: Option<String>,
    /// Failed ones below it.
    pub(super) failed: String,
    pub(super) any_failed: bool,
    pub(super) from: String,
    pub(super) ms: String,
    pub(super) bar: Svg,
    pub(super) chosen: bool,
    /// It is no call, but stands for what is not known.
    pub(super) placeholder: bool,
}

/// Calls as spans of a tree.
pub(super) fn spans(calls: &[Call]) -> Vec<Span> {
    let span = |call: &Call| Span {
        id: None,
        parent: Some(call.parent).filter(|parent| *parent != [0; 8]),
        from_us: call.at_us,
        to_us: call.ended_us(),
        failed: call.failed(),
    };
    calls.iter().map(span).collect()
}

/// What a row stands for, as it is written in the address.
pub(super) fn key(kind: Kind, calls: &[Call]) -> String {
    match kind {
        Kind::Root => "root".to_owned(),
        Kind::Missing(span) => Hex(&span).to_string(),
        Kind::Span(at) => calls.get(at).map(|call| call.id.to_string()).unwrap_or_default(),
    }
}

/// Does a call say `text` somewhere? Small and capital letters are one.
pub(super) fn says(call: &Call, text: &str) -> bool {
    let text = text.to_lowercase();
    let maybe = [&call.name, &call.asked_as, &call.server, &call.client, &call.error, &call.fault, &call.shape];
    let always = [&call.method, &call.outcome, &call.request_id, &call.session];
    let content = call.seen.content.as_deref().into_iter().flat_map(|content| [&content.arguments, &content.result]);
    maybe.into_iter().chain(content).flatten().chain(always).any(|part| part.to_lowercase().contains(&text))
}

const SERVERS: [&str; 6] = ["s1", "s2", "s3", "s4", "s5", "s6"];

/// Makes the lines of what a tree shows.
pub(super) fn rows(address: &Address, tree: &Tree, shown: &[Shown], calls: &[Call], servers: &[String]) -> Vec<Row> {
    let [begin, end] = tree.bounds();
    let chosen = address.get("row").unwrap_or_default();
    let line = |row: &Shown| {
        let key = key(row.kind, calls);
        let call = match row.kind {
            Kind::Span(at) => calls.get(at),
            Kind::Root | Kind::Missing(_) => None,
        };
        let server = call.and_then(|call| call.server.as_deref()).map(seen);
        let place = server.as_ref().and_then(|server| servers.iter().position(|other| other == server));
        let class = match (call, place) {
            (Some(call), _) if call.failed() => "bad",
            (Some(_), Some(place)) => SERVERS[place % SERVERS.len()],
            (Some(_), None) => "call",
            (None, _) => "placeholder",
        };
        let long_us = row.to_us.saturating_sub(row.from_us);
        let drawn = Bar {
            from_us: row.from_us.saturating_sub(begin),
            long_us,
            within_us: call.map_or(long_us, |call| call.upstream_us),
            whole_us: end.saturating_sub(begin),
        };
        let toggled =
            |word: &str, other: &str| address.except(word, &key).except(other, &key).and(word, &key).to_string();
        Row {
            level: row.depth + 1,
            indent: row.depth.min(INDENTS),
            place: row.place,
            siblings: row.siblings,
            open: row.open,
            toggle: if row.open == Some(true) { toggled("closed", "open") } else { toggled("open", "closed") },
            href: address.with("row", &key).to_string(),
            name: match (row.kind, call) {
                (Kind::Root, _) => "caller".to_owned(),
                (Kind::Missing(span), _) => format!("caller's span {}", Hex(&span)),
                (_, Some(call)) => seen(call.name.as_deref().unwrap_or(&call.method)),
                (Kind::Span(_), None) => String::new(),
            },
            server,
            class,
            error: call.and_then(|call| call.error.as_deref()).map(seen),
            failed: count(row.failed as u64),
            any_failed: call.is_none() && row.failed > 0,
            from: millis(drawn.from_us),
            ms: millis(long_us),
            bar: bar(class, drawn),
            chosen: key == chosen,
            placeholder: call.is_none(),
            key,
        }
    };
    shown.iter().map(line).collect()
}
