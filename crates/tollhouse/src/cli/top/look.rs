//! One look at a gateway: what is asked of it for a view, and what stands in the table then.

use anyhow::Context as _;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tollhouse_web::api::{ErrorView, Errors, FigureView, Figures, SessionView, Sessions};
use tollhouse_web::{Report, State, Status};

use super::super::recorded::{encoded, length, now_us, question};
use super::super::{Common, Tone};
use super::table::{Cell, Column, Row, Table, number, word};
use super::view::View;
use crate::config::without_controls;

/// Rows that are asked for.
const ROWS_MAX: usize = 500;

/// What was seen.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) status: Status,
    pub(super) servers: usize,
    pub(super) sessions: u64,
    pub(super) in_flight: u64,
    pub(super) uptime_s: u64,
    /// Of all calls in the span of time.
    pub(super) all: Option<FigureView>,
    /// Calls, and those that failed, minute by minute.
    pub(super) minutes: Vec<(u64, u64)>,
    pub(super) table: Table,
    /// The same as objects.
    pub(super) objects: Vec<Value>,
}

/// What comes of a look.
pub(super) enum Looked {
    Seen(Box<Look>),
    /// The gateway does not understand or does not record; its words.
    Refused(String),
}

impl Look {
    /// Asks for all that `view` shows.
    ///
    /// # Errors
    /// Nobody answers.
    pub(super) async fn at(common: &Common, view: View, since: &str) -> anyhow::Result<Looked> {
        let since = encoded(since);
        let report: Report = match get(common, "/health").await? {
            Ok((report, _)) => report,
            Err(detail) => return Ok(Looked::Refused(detail)),
        };
        let path = match view {
            View::Tools => format!("/api/v1/figures?by=tool&range={since}"),
            View::Servers => format!("/api/v1/figures?by=server&range={since}"),
            View::Sessions => format!("/api/v1/sessions?limit={ROWS_MAX}&range={since}"),
            View::Errors => format!("/api/v1/errors?limit={ROWS_MAX}&range={since}"),
        };
        let (table, objects) = match view {
            View::Tools | View::Servers => match get::<Figures>(common, &path).await? {
                Ok((found, body)) if view == View::Tools => (tools(&found.figures, &since), listed(&body, "figures")),
                Ok((found, body)) => (servers(&report, &found.figures), listed(&body, "figures")),
                Err(detail) => return Ok(Looked::Refused(detail)),
            },
            View::Sessions => match get::<Sessions>(common, &path).await? {
                Ok((found, body)) => (sessions(&found.sessions), listed(&body, "sessions")),
                Err(detail) => return Ok(Looked::Refused(detail)),
            },
            View::Errors => match get::<Errors>(common, &path).await? {
                Ok((found, body)) => (errors(&found.errors), listed(&body, "errors")),
                Err(detail) => return Ok(Looked::Refused(detail)),
            },
        };
        let all = get::<Figures>(common, &format!("/api/v1/figures?by=all&range={since}")).await?;
        let over = get::<Figures>(common, "/api/v1/figures?by=all&range=30m&over_time=true&width=minute").await?;
        Ok(Looked::Seen(Box::new(Self {
            status: report.status,
            servers: report.servers.len(),
            sessions: report.sessions,
            in_flight: report.calls_in_flight,
            uptime_s: report.uptime_s,
            all: all.ok().and_then(|(found, _)| found.figures.into_iter().next()),
            minutes: over.map(|(found, _)| minutes(&found.figures)).unwrap_or_default(),
            table,
            objects,
        })))
    }
}

/// What the gateway answers at `path`, or why it does not.
async fn get<T: DeserializeOwned>(common: &Common, path: &str) -> anyhow::Result<Result<(T, Value), String>> {
    let (mut client, request) = question(common, path)?;
    let response = client.send(request).await?;
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    if response.status() != StatusCode::OK {
        let detail = body["detail"].as_str().map(without_controls);
        let silent = || "this gateway records nothing; `tollhouse serve` does".to_owned();
        return Ok(Err(detail.unwrap_or_else(silent)));
    }
    let read = T::deserialize(&body).context("read the gateway's answer")?;
    Ok(Ok((read, body)))
}

/// The members of a list, as objects.
fn listed(body: &Value, list: &str) -> Vec<Value> {
    body[list].as_array().cloned().unwrap_or_default()
}

/// The last thirty minutes, those without calls too.
fn minutes(figures: &[FigureView]) -> Vec<(u64, u64)> {
    const MINUTE_US: u64 = 60_000_000;
    let newest = now_us() / MINUTE_US;
    let of = |minute: u64| figures.iter().find(|figure| figure.from_us / MINUTE_US == minute);
    (newest.saturating_sub(29)..=newest)
        .map(|minute| of(minute).map_or((0, 0), |figure| (figure.calls, figure.failed)))
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn float(count: u64) -> f64 {
    count as f64
}

fn count(n: u64) -> Cell {
    Cell::new(n.to_string(), float(n))
}

fn share(failed: u64, calls: u64) -> Cell {
    let share = if calls == 0 { 0.0 } else { 100.0 * float(failed) / float(calls) };
    let tone = match share {
        0.0 => Some(Tone::Faint),
        share if share < 5.0 => Some(Tone::Fair),
        _ => Some(Tone::Bad),
    };
    Cell::new(format!("{share:.1} %"), share).tone(tone)
}

fn took(ms: Option<f64>) -> Cell {
    match ms {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time in milliseconds")]
        Some(ms) => Cell::new(length((ms * 1000.0) as u64), ms),
        None => Cell::new("-", -1.0).tone(Some(Tone::Faint)),
    }
}

fn bytes(n: u64) -> Cell {
    let text = match n {
        0..10_000 => format!("{n} B"),
        10_000..10_240_000 => format!("{} KiB", n >> 10),
        _ => format!("{} MiB", n >> 20),
    };
    Cell::new(text, float(n))
}

fn ago(at_us: u64) -> Cell {
    let seconds = now_us().saturating_sub(at_us) / 1_000_000;
    let text = match seconds {
        0..2 => "now".to_owned(),
        2..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    };
    Cell::new(text, float(at_us))
}

fn place(server: &str, name: &str) -> String {
    let whole = match (server, name) {
        ("", name) => name.to_owned(),
        (server, "") => server.to_owned(),
        (server, name) => format!("{server}/{name}"),
    };
    without_controls(&whole)
}

const TOOLS: [Column; 7] = [
    number("calls", 8),
    number("/min", 7),
    number("failed", 8),
    number("p50", 9),
    number("p95", 9),
    number("p99", 9),
    number("out", 9),
];

fn tools(figures: &[FigureView], since: &str) -> Table {
    let minutes = minutes_of(since);
    let row = |figure: &FigureView| Row {
        name: place(&figure.group, &figure.name),
        cells: vec![
            count(figure.calls),
            Cell::new(format!("{:.1}", float(figure.calls) / minutes), float(figure.calls)),
            share(figure.failed, figure.calls),
            took(figure.p50_ms),
            took(figure.p95_ms),
            took(figure.p99_ms),
            bytes(figure.response_bytes),
        ],
    };
    Table { name: "server/tool", columns: &TOOLS, rows: figures.iter().map(row).collect() }
}

/// How many minutes a length such as `15m` has.
fn minutes_of(since: &str) -> f64 {
    let digits: String = since.chars().take_while(char::is_ascii_digit).collect();
    let number: f64 = digits.parse().unwrap_or(1.0);
    let unit = match since.chars().last() {
        Some('s') => 1.0 / 60.0,
        Some('h') => 60.0,
        Some('d') => 1440.0,
        _ => 1.0,
    };
    (number * unit).max(1.0 / 60.0)
}

const SERVERS: [Column; 8] = [
    word("state", 9),
    word("era", 6),
    number("tools", 5),
    number("restarts", 8),
    number("calls", 8),
    number("failed", 8),
    number("p50", 9),
    number("p95", 9),
];

fn servers(report: &Report, figures: &[FigureView]) -> Table {
    let row = |server: &tollhouse_web::Server| {
        let figure = figures.iter().find(|figure| figure.group == server.id);
        let (calls, failed) = figure.map_or((0, 0), |figure| (figure.calls, figure.failed));
        let (tone, rank) = match server.state {
            State::Connected => (Tone::Good, 0.0),
            State::Idle | State::Starting => (Tone::Fair, 1.0),
            State::Failed => (Tone::Bad, 2.0),
        };
        Row {
            name: without_controls(&server.id),
            cells: vec![
                Cell::new(server.state.as_str(), rank).tone(Some(tone)),
                Cell::new(server.era.as_deref().unwrap_or("-"), 0.0),
                server.tools.map_or(Cell::new("-", -1.0), count),
                count(server.restarts),
                count(calls),
                share(failed, calls),
                took(figure.and_then(|figure| figure.p50_ms)),
                took(figure.and_then(|figure| figure.p95_ms)),
            ],
        }
    };
    Table { name: "server", columns: &SERVERS, rows: report.servers.iter().map(row).collect() }
}

const SESSIONS: [Column; 6] = [
    word("client", 16),
    number("calls", 7),
    number("failed", 8),
    number("lasted", 10),
    word("last used", 10),
    word("servers", 24),
];

fn sessions(sessions: &[SessionView]) -> Table {
    let row = |session: &SessionView| {
        let lasted = session.last_us.saturating_sub(session.first_us);
        Row {
            name: without_controls(&session.id),
            cells: vec![
                Cell::new(without_controls(session.client.as_deref().unwrap_or("-")), 0.0),
                count(session.calls),
                share(session.failed, session.calls),
                Cell::new(length(lasted), float(lasted)),
                ago(session.last_us),
                Cell::new(session.servers.join(", "), 0.0),
            ],
        }
    };
    Table { name: "session", columns: &SESSIONS, rows: sessions.iter().map(row).collect() }
}

const ERRORS: [Column; 4] = [word("error", 20), number("count", 7), word("first", 10), word("last", 10)];

fn errors(errors: &[ErrorView]) -> Table {
    let row = |error: &ErrorView| Row {
        name: place(&error.server, &error.name),
        cells: vec![
            Cell::new(without_controls(&error.error), 0.0).tone(Some(Tone::Bad)),
            count(error.count),
            ago(error.first_us),
            ago(error.last_us),
        ],
    };
    Table { name: "server/tool", columns: &ERRORS, rows: errors.iter().map(row).collect() }
}
