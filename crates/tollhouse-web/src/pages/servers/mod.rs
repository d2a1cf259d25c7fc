//! `/servers`: how the servers stand, what their tools are and what they did. A list, one server, one tool of it.

mod list;
mod one;
mod tool;

pub(super) use list::page as list;
pub(super) use one::page as one;
pub(super) use tool::page as tool;

use tollhouse_store::event::{Event, Kind};
use tollhouse_store::question::Sum;

use super::address::{Address, encoded};
use super::text::{ago, count, millis, percent, rfc3339, seen};
use crate::health::{Server, State};

/// What calls did, in words.
pub(super) struct Figures {
    pub(super) calls: String,
    pub(super) failed: String,
    pub(super) any_failed: bool,
    pub(super) p50: String,
    pub(super) p95: String,
    pub(super) p99: String,
}

impl Figures {
    fn of(sum: Option<&Sum>) -> Self {
        let sum = sum.filter(|sum| sum.calls > 0);
        let quantile = |of: f64| sum.and_then(|sum| sum.total.quantile(of)).map_or_else(|| "–".to_owned(), millis);
        Self {
            calls: count(sum.map_or(0, |sum| sum.calls)),
            failed: sum.map_or_else(|| "–".to_owned(), |sum| percent(sum.failed, sum.calls)),
            any_failed: sum.is_some_and(|sum| sum.failed > 0),
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
        }
    }
}

/// The class of the badge of a state.
fn badge(state: State) -> &'static str {
    match state {
        State::Connected => "good",
        State::Starting => "warn",
        State::Failed => "bad",
        State::Idle => "",
    }
}

/// Why a server last did not answer, and when that was.
fn last_error(server: &Server, now_us: u64) -> Option<[String; 3]> {
    let at_us = server.last_error_at_unix_ms?.saturating_mul(1000);
    Some([seen(server.last_error.as_deref()?), rfc3339(at_us), ago(at_us, now_us)])
}

/// Something that happened, as a line.
pub(super) struct Happening {
    pub(super) number: u64,
    pub(super) at: String,
    pub(super) ago: String,
    pub(super) word: &'static str,
    pub(super) class: &'static str,
    pub(super) subject: Option<[String; 2]>,
    pub(super) detail: Option<String>,
}

impl Happening {
    fn of(address: &Address, event: &Event, now_us: u64) -> Self {
        let (word, class) = told(event.kind);
        let subject = event.server.as_deref().map(|server| match event.subject.as_deref() {
            None => [seen(server), path(address, server)],
            Some(tool) => [format!("{} / {}", seen(server), seen(tool)), tool_path(address, server, tool)],
        });
        Self {
            number: event.number,
            at: rfc3339(event.at_us),
            ago: ago(event.at_us, now_us),
            word,
            class,
            subject,
            detail: event.detail.as_deref().map(seen),
        }
    }
}

fn told(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Started => ("gateway started", ""),
        Kind::Stopped => ("gateway stopped", ""),
        Kind::ServerUp => ("answers", "good"),
        Kind::ServerDown => ("does not answer", "bad"),
        Kind::ServerParked => ("is not started again for a while", "bad"),
        Kind::ServerRestarted => ("process restarted", "warn"),
        Kind::ServerAdded => ("added to the configuration", ""),
        Kind::ServerRemoved => ("removed from the configuration", ""),
        Kind::ToolAdded => ("tool added", ""),
        Kind::ToolChanged => ("tool changed", "warn"),
        Kind::ToolRemoved => ("tool removed", "warn"),
        Kind::ConfigurationApplied => ("configuration applied", "good"),
        Kind::ConfigurationRefused => ("configuration refused", "bad"),
        Kind::CallsLost => ("calls not kept", "bad"),
    }
}

fn path(address: &Address, server: &str) -> String {
    address.plain(&format!("/servers/{}", segment(server))).to_string()
}

fn tool_path(address: &Address, server: &str, tool: &str) -> String {
    address.plain(&format!("/servers/{}/tools/{}", segment(server), segment(tool))).to_string()
}

/// One segment of a path: a slash in it is none of the path's.
fn segment(text: &str) -> String {
    encoded(text).replace('/', "%2F")
}
