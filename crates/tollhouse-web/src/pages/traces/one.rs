//! One trace: what happened in it, row by row, and one row of it in full.

use askama::Template;
use axum::extract::{Path, State};
use http::Uri;
use tokio::time::Instant;
use tollhouse_core::era::Era;
use tollhouse_core::trace::Hex;
use tollhouse_store::Call;

use super::super::address::{Address, now_us};
use super::super::frame::{Frame, Missing, TRACES};
use super::super::text::{ago, bytes, count, millis, rfc3339, seen, time};
use super::super::{Answer, Pages};
use super::row::{Line, Row, key, lines, rows, says, spans};
use super::{CALLS_MAX, parsed};
use crate::charts::{Svg, scale};
use crate::tree::{Kind, Tree, View};

/// Rows of one page.
const ROWS_MAX: usize = 1000;

#[derive(Template)]
#[template(path = "trace.html")]
#[expect(clippy::struct_excessive_bools, reason = "a template asks for each of them by itself")]
pub(super) struct Page {
    pub(super) frame: Frame,
    pub(super) id: String,
    pub(super) path: String,
    pub(super) at: String,
    pub(super) when: String,
    pub(super) ago: String,
    pub(super) ms: String,
    pub(super) calls: String,
    pub(super) cut: bool,
    pub(super) failed: String,
    pub(super) any_failed: bool,
    pub(super) servers: Vec<[String; 2]>,
    pub(super) client: Option<String>,
    pub(super) principal: String,
    pub(super) era: &'static str,
    pub(super) session: [String; 2],
    pub(super) missing: usize,
    pub(super) asked: String,
    pub(super) errors_only: bool,
    pub(super) errors_href: String,
    pub(super) all_href: String,
    pub(super) hidden: Vec<(String, String)>,
    pub(super) scale: Svg,
    pub(super) rows: Vec<Row>,
    pub(super) closed: bool,
    pub(super) more: Option<(String, String)>,
    pub(super) less: Option<String>,
    pub(super) peek: Option<Peek>,
}

/// A row in full.
pub(super) struct Peek {
    pub(super) name: String,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) call: Option<String>,
    pub(super) json: Option<String>,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
    pub(super) close: String,
}

pub(in super::super) async fn page(State(pages): State<Pages>, Path(id): Path<String>, uri: Uri) -> Answer {
    let trace = parsed(&id).ok_or_else(|| Missing::unknown("A trace id has 32 hexadecimal digits."))?;
    let asked = Instant::now();
    let calls = pages.recorded.store().read(move |reader| reader.trace(trace, CALLS_MAX)).await?;
    if calls.is_empty() {
        return Err(Missing::unknown(format!("No call of the trace {} is kept.", seen(&id))));
    }
    let page = Page::new(&Address::read(uri.path(), uri.query()), &trace, &calls, now_us());
    pages.recorded.usage().assembled(asked.elapsed());
    let nonce = page.frame.nonce().clone();
    Ok(Frame::answer(&page, &nonce))
}

impl Page {
    pub(super) fn new(address: &Address, trace: &[u8; 16], calls: &[Call], now_us: u64) -> Self {
        let id = Hex(trace).to_string();
        let path = format!("/traces/{id}");
        let asked = address.get("q").unwrap_or_default().trim().to_owned();
        let errors_only = address.get("errors").is_some_and(|value| value != "false");
        let lines = lines(calls);
        let tree = Tree::new(&spans(&lines));
        let listed = |word: &str| -> Vec<String> {
            address.hidden(&[]).into_iter().filter(|(key, _)| key == word).map(|(_, value)| value).collect()
        };
        let (opened, closed) = (listed("open"), listed("closed"));
        let opened = |kind: Kind| {
            let key = key(kind, &lines);
            if opened.contains(&key) { Some(true) } else { closed.contains(&key).then_some(false) }
        };
        let wanted = |at: usize| {
            let call = lines[at].call();
            (!errors_only || call.failed()) && (asked.is_empty() || says(call, &asked))
        };
        let chosen = errors_only || !asked.is_empty();
        let skip = address.get("from").and_then(|from| from.parse().ok()).unwrap_or(0_usize);
        let view = View { opened: &opened, wanted: chosen.then_some(&wanted as _), skip, limit: ROWS_MAX };
        let shown = tree.rows(&view);
        let mut servers: Vec<String> = calls.iter().flat_map(Call::servers).map(seen).collect();
        servers.sort_unstable();
        servers.dedup();
        let rows = rows(address, &tree, &shown.rows, &lines, &servers);
        let [begin, end] = tree.bounds();
        let failed = calls.iter().filter(|call| call.failed()).count();
        let first = &calls[0];
        let more = (shown.more > 0).then(|| {
            let count = shown.more.min(ROWS_MAX);
            (address.with("from", skip + ROWS_MAX).to_string(), count.to_string())
        });
        let classes = ["s1", "s2", "s3", "s4", "s5", "s6"];
        let session = seen(&first.session);
        let there = address.plain(&format!("/sessions/{}", super::super::address::encoded(&first.session)));
        let mut frame = Frame::new(TRACES, address.clone());
        frame.title = format!("Trace {}", id.get(..8).unwrap_or(&id));
        Self {
            peek: Peek::of(address, &rows, &lines),
            at: rfc3339(begin),
            when: time(begin, now_us),
            ago: ago(begin, now_us),
            ms: millis(end.saturating_sub(begin)),
            calls: count(calls.len() as u64),
            cut: calls.len() == CALLS_MAX,
            failed: count(failed as u64),
            any_failed: failed > 0,
            client: calls.iter().find_map(|call| call.client.as_deref()).map(seen),
            principal: seen(&first.principal),
            era: match first.version.era() {
                Era::Legacy => "legacy",
                Era::Modern => "modern",
            },
            session: [session, there.with("principal", &first.principal).to_string()],
            missing: tree.missing(),
            errors_href: address.without("from").with("errors", "true").to_string(),
            all_href: address.without("errors").without("q").without("from").to_string(),
            hidden: address.hidden(&["q", "from", "row"]),
            asked: seen(&asked),
            errors_only,
            scale: scale(end.saturating_sub(begin), millis),
            closed: shown.closed,
            less: (skip > 0).then(|| address.with("from", skip.saturating_sub(ROWS_MAX)).to_string()),
            servers: servers
                .into_iter()
                .zip(classes.into_iter().cycle())
                .map(|(id, class)| [id, class.to_owned()])
                .collect(),
            rows,
            more,
            id,
            path,
            frame,
        }
    }
}

impl Peek {
    fn of(address: &Address, rows: &[Row], lines: &[Line<'_>]) -> Option<Self> {
        let at = rows.iter().position(|row| row.chosen)?;
        let row = &rows[at];
        let line = row.line.map(|at| lines[at]);
        let call = line.map(Line::call);
        let href = |row: &Row| row.href.clone();
        Some(Self {
            name: row.name.clone(),
            facts: match line {
                None => unknown(row),
                Some(Line::Call(call)) => facts(call),
                Some(line @ Line::Sending(..)) => sent(line, row),
            },
            call: call.map(|call| address.plain("/calls").with("row", call.id).to_string()),
            json: call.map(|call| format!("/api/v1/calls/{}", call.id)),
            previous: at.checked_sub(1).and_then(|at| rows.get(at)).map(href),
            next: rows.get(at + 1).map(href),
            close: address.without("row").to_string(),
        })
    }
}

fn unknown(row: &Row) -> Vec<(&'static str, String)> {
    vec![
        ("What it is", "a span of the caller, of which only the id is known here".to_owned()),
        ("Begins after", format!("{} ms", row.from)),
        ("Takes", format!("{} ms, as far as its calls show", row.ms)),
        ("Failed below it", row.failed.clone()),
    ]
}

/// What is known of a sending, in words.
fn sent(line: Line<'_>, row: &Row) -> Vec<(&'static str, String)> {
    let call = line.call();
    let span = line.sending().map(|sending| sending.span).filter(|span| *span != [0; 8]);
    let mut facts = vec![
        (
            "What it is",
            if line.leg() { "what one of several servers was asked" } else { "a sending of the call" }.to_owned(),
        ),
        ("Server", row.server.clone().unwrap_or_else(|| "–".to_owned())),
        ("Error", row.error.clone().unwrap_or_else(|| "none".to_owned())),
        ("Began after", format!("{} ms", row.from)),
        ("Took", format!("{} ms", row.ms)),
    ];
    facts.extend(span.map(|span| ("Span", Hex(&span).to_string())));
    facts.push(("Call", call.id.to_string()));
    facts
}

/// What is known of a call, in words.
fn facts(call: &Call) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut say = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    let text = |text: &Option<Box<str>>| text.as_deref().map(seen);
    say("Server", text(&call.server));
    say("Method", Some(seen(&call.method)));
    say("Asked as", text(&call.asked_as));
    say("Outcome", Some(seen(&call.outcome)));
    say("Error", text(&call.error));
    say("Fault", text(&call.fault));
    say("Arrived", Some(rfc3339(call.at_us)));
    say("Took", Some(format!("{} ms", millis(call.total_us))));
    say("At the server", Some(format!("{} ms", millis(call.upstream_us))));
    say("In the gateway", Some(format!("{} ms", millis(call.gateway_us()))));
    say("First output", call.first_us.map(|us| format!("after {} ms", millis(us))));
    let asked = call.sendings.iter().filter(|sending| sending.leg.is_some()).count();
    say(
        "Sent",
        Some(match call.attempts {
            0 if asked > 0 => format!("to {asked} servers, each its own question"),
            0 => "not at all".to_owned(),
            1 => "once".to_owned(),
            attempts => format!("{attempts} times"),
        }),
    );
    say("Request", Some(bytes(call.request_bytes)));
    say("Answer", Some(bytes(call.response_bytes)));
    say("Arguments", text(&call.seen.shape));
    say("Client", text(&call.client));
    say("Protocol", Some(call.version.as_str().to_owned()));
    say("Session", Some(seen(&call.session)));
    say("Span", Some(call.span).filter(|span| *span != [0; 8]).map(|span| Hex(&span).to_string()));
    say("Caller's span", Some(call.parent).filter(|parent| *parent != [0; 8]).map(|parent| Hex(&parent).to_string()));
    say("Request id", Some(seen(&call.request_id)));
    say("Id", Some(call.id.to_string()));
    facts
}
