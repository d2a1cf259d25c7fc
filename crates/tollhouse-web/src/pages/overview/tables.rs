//! The lists of the overview: servers, tools and clients, failures.

use tollhouse_store::question::{ErrorGroup, Figure};

use super::super::address::Address;
use super::super::text::{ago, brief, count, millis, percent, rfc3339};
use crate::health::{Report, State};

/// Lines of a list.
const LINES: usize = 5;
/// A tool is called failing or slow only if it was called so often.
const ENOUGH: u64 = 3;

/// A server and how it stands.
pub(super) struct Standing {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    pub(super) spoken: String,
    pub(super) calls: String,
    pub(super) failed: String,
    pub(super) any_failed: bool,
    pub(super) p95: String,
    pub(super) few: bool,
    pub(super) tools: String,
    pub(super) restarts: String,
    pub(super) reason: Option<String>,
}

/// A list of tools or clients in an order.
pub(super) struct Ranked {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) lines: Vec<Line>,
    pub(super) none: &'static str,
}

/// A line of such a list.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) of: Option<String>,
    pub(super) href: String,
    pub(super) figure: String,
    /// Of the longest, in thousandths.
    pub(super) share: u64,
    pub(super) red: bool,
}

/// Failures of one kind.
pub(super) struct Failing {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) server: String,
    pub(super) error: String,
    pub(super) count: String,
    pub(super) moment: String,
    pub(super) ago: String,
    pub(super) href: String,
}

pub(super) fn servers(calls: &Address, report: &Report, figures: &[Figure]) -> Vec<Standing> {
    report
        .servers
        .iter()
        .map(|server| {
            let sum = figures
                .iter()
                .find(|figure| *figure.group[0] == server.id)
                .map(|figure| figure.sum.clone())
                .unwrap_or_default();
            let class = match server.state {
                State::Connected => "good",
                State::Failed => "bad",
                State::Starting => "warn",
                State::Idle => "",
            };
            Standing {
                id: brief(&server.id),
                href: calls.chosen("server", &server.id, false).to_string(),
                state: server.state.as_str(),
                class,
                spoken: format!(
                    "{}{}",
                    brief(&server.transport),
                    server.era.as_deref().map(|era| format!(", {}", brief(era))).unwrap_or_default()
                ),
                calls: count(sum.calls),
                failed: percent(sum.failed, sum.calls),
                any_failed: sum.failed > 0,
                p95: sum.total.quantile(0.95).map_or_else(|| "–".to_owned(), millis),
                few: sum.calls < 20,
                tools: server.tools.map_or_else(|| "–".to_owned(), count),
                restarts: count(server.restarts),
                reason: server.reason.as_deref().or(server.last_error.as_deref()).map(brief),
            }
        })
        .collect()
}

pub(super) fn ranked(calls: &Address, tools: &[Figure], clients: &[Figure]) -> Vec<Ranked> {
    let often: Vec<&Figure> = tools.iter().filter(|figure| figure.sum.calls >= ENOUGH).collect();
    let tool = |figure: &Figure| {
        let [server, name] = &figure.group;
        let there = if server.is_empty() { calls.clone() } else { calls.chosen("server", server, false) };
        // A method that is no tool's has a slash in it.
        let field = if name.contains('/') { "method" } else { "tool" };
        (
            brief(name),
            Some(brief(server)).filter(|server| !server.is_empty()),
            there.chosen(field, name, false).to_string(),
        )
    };
    let client =
        |figure: &Figure| (brief(&figure.group[0]), None, calls.chosen("client", &figure.group[0], false).to_string());
    let p95 = |figure: &Figure| figure.sum.total.quantile(0.95).unwrap_or(0);
    let thousandths = |figure: &Figure| figure.sum.failed * 1000 / figure.sum.calls.max(1);
    let number = |figure: &Figure| count(figure.sum.calls);
    let named: Vec<&Figure> = clients.iter().filter(|figure| !figure.group[0].is_empty()).collect();
    let failing: Vec<&Figure> = often.iter().copied().filter(|figure| figure.sum.failed > 0).collect();
    let all: Vec<&Figure> = tools.iter().collect();
    vec![
        Ranked {
            id: "r-used",
            title: "Most used",
            unit: "calls",
            none: "No tool was called.",
            lines: top(&all, |figure| figure.sum.calls, tool, number, false),
        },
        Ranked {
            id: "r-slow",
            title: "Slowest",
            unit: "p95 ms",
            none: "No tool was called often enough to say.",
            lines: top(&often, p95, tool, |figure| millis(p95(figure)), false),
        },
        Ranked {
            id: "r-failing",
            title: "Most failing",
            unit: "failed",
            none: "No tool fails.",
            lines: top(&failing, thousandths, tool, |figure| percent(figure.sum.failed, figure.sum.calls), true),
        },
        Ranked {
            id: "r-clients",
            title: "Clients",
            unit: "calls",
            none: "No client has said its name.",
            lines: top(&named, |figure| figure.sum.calls, client, number, false),
        },
    ]
}

fn top(
    figures: &[&Figure],
    by: impl Fn(&Figure) -> u64,
    named: impl Fn(&Figure) -> (String, Option<String>, String),
    told: impl Fn(&Figure) -> String,
    red: bool,
) -> Vec<Line> {
    let mut order: Vec<&Figure> = figures.to_vec();
    order.sort_by_key(|figure| std::cmp::Reverse(by(figure)));
    let most = order.first().map_or(1, |figure| by(figure).max(1));
    let line = |figure: &&Figure| {
        let (name, of, href) = named(figure);
        Line { name, of, href, figure: told(figure), share: (by(figure).saturating_mul(1000) / most).max(8), red }
    };
    order.iter().take(LINES).map(line).collect()
}

impl Failing {
    pub(super) fn of(calls: &Address, group: &ErrorGroup, now_us: u64) -> Self {
        let there = if group.server.is_empty() { calls.clone() } else { calls.chosen("server", &group.server, false) };
        let field = if group.name.contains('/') { "method" } else { "tool" };
        Self {
            id: group.calls.first().map(ToString::to_string).unwrap_or_default(),
            name: brief(&group.name),
            server: brief(&group.server),
            error: brief(&group.error).replace('_', " "),
            count: count(group.count),
            moment: rfc3339(group.last_us),
            ago: ago(group.last_us, now_us),
            href: there.chosen(field, &group.name, false).chosen("error", &group.error, false).to_string(),
        }
    }
}
