//! The rows of a waterfall: calls and what was sent of them put into a tree, and of each what stands in its row.

use tollhouse_core::trace::Hex;
use tollhouse_store::{Call, Sending};

use super::super::address::Address;
use super::super::text::{count, millis, seen};
use crate::charts::{Bar, Svg, bar};
use crate::tree::{Kind, Row as Shown, Span, Tree};

/// Levels that have an indentation of their own.
const INDENTS: usize = 12;

/// A row of the waterfall.
pub(super) struct Row {
    /// What it stands for, as it is written in the address.
    pub(super) key: String,
    /// The same, by its place among all lines; `None` for what is not known.
    pub(super) line: Option<usize>,
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

/// What a span of the tree is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Line<'c> {
    /// A call.
    Call(&'c Call),
    /// What was sent of it, the `nth` from 0.
    Sending(&'c Call, usize),
}

impl<'c> Line<'c> {
    pub(super) fn call(self) -> &'c Call {
        match self {
            Self::Call(call) | Self::Sending(call, _) => call,
        }
    }

    pub(super) fn sending(self) -> Option<&'c Sending> {
        match self {
            Self::Call(_) => None,
            Self::Sending(call, nth) => call.sendings.get(nth),
        }
    }

    /// Is it what one of several servers was asked?
    pub(super) fn leg(self) -> bool {
        self.sending().is_some_and(|sending| sending.leg.is_some())
    }

    /// As it is written in the address.
    fn key(self) -> String {
        match self {
            Self::Call(call) => call.id.to_string(),
            Self::Sending(call, nth) => format!("{}-{}", call.id, nth + 1),
        }
    }

    fn name(self) -> String {
        match (self, self.sending()) {
            (Self::Call(call), _) => seen(call.name.as_deref().unwrap_or(&call.method)),
            (Self::Sending(..), Some(Sending { leg: Some(leg), .. })) => seen(&leg.method),
            (Self::Sending(call, nth), _) => {
                let before = call.sendings.iter().take(nth).filter(|sending| sending.leg.is_none()).count();
                format!("attempt {}", before + 1)
            }
        }
    }

    pub(super) fn server(self) -> Option<&'c str> {
        match self.sending().and_then(|sending| sending.leg.as_ref()) {
            Some(leg) => Some(&leg.server),
            None => self.call().server.as_deref(),
        }
    }

    fn error(self) -> Option<&'c str> {
        match self {
            Self::Call(call) => call.error.as_deref(),
            Self::Sending(..) => self.sending().and_then(|sending| sending.error.as_deref()),
        }
    }

    fn span(self) -> Span {
        let call = self.call();
        let Some(sending) = self.sending() else {
            let sent = if shows_sendings(call) { None } else { call.sendings.first() };
            return Span {
                id: Some(call.span_id()),
                also: sent.map(|sent| sent.span).filter(|span| *span != [0; 8]),
                parent: Some(call.parent).filter(|parent| *parent != [0; 8]),
                from_us: call.at_us,
                to_us: call.ended_us(),
                failed: call.failed(),
            };
        };
        let from_us = call.at_us + sending.from_us;
        Span {
            id: Some(sending.span).filter(|span| *span != [0; 8]),
            also: None,
            parent: Some(call.span_id()),
            from_us,
            to_us: from_us + sending.long_us,
            // It is the call that counts.
            failed: false,
        }
    }
}

/// One sending is as good as the call; only several are shown, and what several servers were asked.
fn shows_sendings(call: &Call) -> bool {
    call.sendings.len() > 1 || call.sendings.iter().any(|sending| sending.leg.is_some())
}

/// Calls, and what was sent of them where there is more to say of that.
pub(super) fn lines(calls: &[Call]) -> Vec<Line<'_>> {
    let sent = |call| {
        let count = if shows_sendings(call) { call.sendings.len() } else { 0 };
        (0..count).map(move |nth| Line::Sending(call, nth))
    };
    calls.iter().flat_map(|call| std::iter::once(Line::Call(call)).chain(sent(call))).collect()
}

/// The same as spans of a tree.
pub(super) fn spans(lines: &[Line<'_>]) -> Vec<Span> {
    lines.iter().map(|line| line.span()).collect()
}

/// What a row stands for, as it is written in the address.
pub(super) fn key(kind: Kind, lines: &[Line<'_>]) -> String {
    match kind {
        Kind::Root => "root".to_owned(),
        Kind::Missing(span) => Hex(&span).to_string(),
        Kind::Span(at) => lines.get(at).map(|line| line.key()).unwrap_or_default(),
    }
}

/// Does a call say `text` somewhere? Small and capital letters are one.
pub(super) fn says(call: &Call, text: &str) -> bool {
    let text = text.to_lowercase();
    let maybe = [&call.name, &call.asked_as, &call.server, &call.client, &call.error, &call.fault, &call.seen.shape];
    let always = [&call.method, &call.outcome, &call.request_id, &call.session];
    let content = call.seen.content.as_deref().into_iter().flat_map(|content| [&content.arguments, &content.result]);
    maybe.into_iter().chain(content).flatten().chain(always).any(|part| part.to_lowercase().contains(&text))
}

const SERVERS: [&str; 6] = ["s1", "s2", "s3", "s4", "s5", "s6"];

/// Makes the rows of what a tree shows.
pub(super) fn rows(
    address: &Address,
    tree: &Tree,
    shown: &[Shown],
    lines: &[Line<'_>],
    servers: &[String],
) -> Vec<Row> {
    let [begin, end] = tree.bounds();
    let chosen = address.get("row").unwrap_or_default();
    let of = |row: &Shown| {
        let key = key(row.kind, lines);
        let line = match row.kind {
            Kind::Span(at) => lines.get(at).copied(),
            Kind::Root | Kind::Missing(_) => None,
        };
        let server = line.and_then(Line::server).map(seen);
        let place = server.as_ref().and_then(|server| servers.iter().position(|other| other == server));
        let class = match (line, place) {
            (Some(line), _) if line.error().is_some() => "bad",
            (Some(_), Some(place)) => SERVERS[place % SERVERS.len()],
            (Some(_), None) => "call",
            (None, _) => "placeholder",
        };
        let long_us = row.to_us.saturating_sub(row.from_us);
        let drawn = Bar {
            from_us: row.from_us.saturating_sub(begin),
            long_us,
            within_us: match line {
                Some(Line::Call(call)) => call.upstream_us,
                Some(Line::Sending(..)) | None => long_us,
            },
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
            name: match (row.kind, line) {
                (Kind::Root, _) => "caller".to_owned(),
                (Kind::Missing(span), _) => format!("caller's span {}", Hex(&span)),
                (Kind::Span(_), Some(line)) => line.name(),
                (Kind::Span(_), None) => String::new(),
            },
            server,
            class,
            error: line.and_then(Line::error).map(seen),
            failed: count(row.failed as u64),
            any_failed: line.is_none() && row.failed > 0,
            from: millis(drawn.from_us),
            ms: millis(long_us),
            bar: bar(class, drawn),
            chosen: key == chosen,
            placeholder: line.is_none(),
            line: match row.kind {
                Kind::Span(at) => Some(at),
                Kind::Root | Kind::Missing(_) => None,
            },
            key,
        }
    };
    shown.iter().map(of).collect()
}
