//! Other names for what is told: those of earlier documents and tools, for dashboards and alerts that know them.
//!
//! `telemetry: { compat: [gateway, tools] }` chooses sets of them. Here are the attributes of spans, which are added when a
//! span is made; the metrics are views of the same cells, in `metrics::compat`.
//!
//! Path: `spans` → **`compat`** → `otlp`.

use std::time::Duration;

#[cfg(test)]
mod tests;

/// A set of names that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// Span attributes of an agent dashboard: `mcp.server`, `mcp.latency_ms`. It has no metrics.
    Dashboard,
    /// `mcp_…` of a gateway: calls, requests, errors, what is offered.
    Gateway,
    /// `mcp.proxy.…`, and the attributes of its request span.
    Proxy,
    /// `mcp.tool.…` and `mcp.session.…` of a tool server.
    Tools,
}

impl Set {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Dashboard, Self::Gateway, Self::Proxy, Self::Tools];

    /// The word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dashboard => "dashboard",
            Self::Gateway => "gateway",
            Self::Proxy => "proxy",
            Self::Tools => "tools",
        }
    }
}

/// What an attribute under another name says.
#[derive(Debug, Clone, Copy)]
enum From {
    /// The first of these that the span has.
    Any(&'static [&'static str]),
    /// The first, if it is there; else size and hash, which the others are, as JSON.
    Content([&'static str; 3]),
    /// How long the span took, in milliseconds.
    Millis,
    /// `ok` or `error`.
    Status,
    /// Did it succeed?
    Success,
    /// The sum of these, if there is any.
    Sum([&'static str; 2]),
    /// By the transport.
    Served,
}

const SERVER: From = From::Any(&["tollhouse.server.name"]);
const TOOL: From = From::Any(&["tollhouse.server.tool.name", "gen_ai.tool.name"]);
const SESSION: From = From::Any(&["mcp.session.id", "tollhouse.session.id"]);
const INPUT: From =
    From::Content(["gen_ai.tool.call.arguments", "tollhouse.request.size", "tollhouse.content.request.hash"]);
const OUTPUT: From =
    From::Content(["gen_ai.tool.call.result", "tollhouse.response.size", "tollhouse.content.response.hash"]);
/// What went wrong, in a word; nothing if nothing did.
const FAILURE: From = From::Any(&["error.type"]);
const TRUNCATED: From = From::Any(&["tollhouse.content.truncated"]);
const SIZE: From = From::Any(&["tollhouse.response.size"]);

/// Every attribute of the sets. `mcp.token_count` and `mcp.cost_usd` are there where tokens and prices are known.
const ATTRIBUTES: &[(Set, &str, From)] = &[
    (Set::Dashboard, "mcp.server", SERVER),
    (Set::Dashboard, "mcp.tool", TOOL),
    (Set::Dashboard, "mcp.session_id", SESSION),
    (Set::Dashboard, "mcp.tool_input", INPUT),
    (Set::Dashboard, "mcp.tool_output", OUTPUT),
    (Set::Dashboard, "mcp.error", FAILURE),
    (Set::Dashboard, "mcp.latency_ms", From::Millis),
    (Set::Dashboard, "mcp.token_count", From::Sum(["tollhouse.request.tokens", "tollhouse.response.tokens"])),
    (Set::Dashboard, "mcp.cost_usd", From::Any(&["tollhouse.cost.amount"])),
    (Set::Gateway, "tool_name", From::Any(&["gen_ai.tool.name"])),
    (Set::Gateway, "arguments", INPUT),
    (Set::Gateway, "result_size", SIZE),
    (Set::Gateway, "status_description", FAILURE),
    (Set::Proxy, "mcp.server", SERVER),
    (Set::Proxy, "mcp.tool", TOOL),
    (Set::Proxy, "mcp.method", From::Any(&["mcp.method.name"])),
    (Set::Proxy, "mcp.transport", From::Served),
    (Set::Proxy, "mcp.status", From::Status),
    (Set::Proxy, "mcp.identity", From::Any(&["user.id", "enduser.pseudo.id"])),
    (Set::Tools, "mcp.session.id", SESSION),
    (Set::Tools, "mcp.tool.name", From::Any(&["gen_ai.tool.name"])),
    (Set::Tools, "mcp.tool.arguments", INPUT),
    (Set::Tools, "mcp.tool.arguments.truncated", TRUNCATED),
    (Set::Tools, "mcp.tool.result.success", From::Success),
    (Set::Tools, "mcp.tool.result.error", FAILURE),
    (Set::Tools, "mcp.tool.result.truncated", TRUNCATED),
    (Set::Tools, "http.method", From::Any(&["http.request.method"])),
    (Set::Tools, "http.url", From::Any(&["url.full"])),
    (Set::Tools, "http.status_code", From::Any(&["http.response.status_code"])),
    (Set::Tools, "http.response.size", From::Any(&["http.response.body.size"])),
    (Set::Tools, "net.peer.name", From::Any(&["server.address"])),
    (Set::Tools, "security.action", From::Any(&["tollhouse.policy.action"])),
    (Set::Tools, "security.content.size", From::Any(&["tollhouse.policy.content.size"])),
    (Set::Tools, "security.risk.factor", From::Any(&["tollhouse.policy.risk_factor"])),
];

/// The value of an attribute that was written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Said {
    /// Where its text stands, and how long it is.
    Text(usize, usize),
    /// A whole number.
    Number(u64),
    /// One with a fraction.
    Fraction(f64),
    /// Yes or no.
    Truth(bool),
}

/// A span in the making, as far as its attributes go.
pub(crate) trait Attributes {
    /// What was said under this name, if anything was.
    fn find(&self, key: &str) -> Option<Said>;
    /// The text of an attribute; empty if it has another value.
    fn said(&self, said: Said) -> &str;
    /// Says the same under another name.
    fn again(&mut self, key: &'static str, said: Said);
    /// Says a text, shortened if it is too long.
    fn text(&mut self, key: &'static str, value: &str);
    /// Says a whole number.
    fn number(&mut self, key: &'static str, value: u64);
    /// Says a number with a fraction.
    fn fraction(&mut self, key: &'static str, value: f64);
    /// Says yes or no.
    fn truth(&mut self, key: &'static str, value: bool);
    /// How long it took, in nanoseconds.
    fn nanos(&self) -> u64;
    /// Did it fail?
    fn has_failed(&self) -> bool;
}

/// The attributes of some sets, each name once.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<(&'static str, From)>);

impl Names {
    pub(crate) fn of(sets: &[Set]) -> Self {
        let mut names: Vec<(&str, From)> = Vec::new();
        for (_, name, from) in ATTRIBUTES.iter().filter(|(set, ..)| sets.contains(set)) {
            if names.iter().all(|(known, _)| known != name) {
                names.push((name, *from));
            }
        }
        Self(names)
    }

    /// Adds them to a span that has all attributes of its own.
    pub(crate) fn add(&self, span: &mut impl Attributes) {
        for (name, from) in &self.0 {
            if span.find(name).is_none() {
                from.add(span, name);
            }
        }
    }
}

impl From {
    /// Says it by this name, if the span has what it is made of.
    fn add(self, span: &mut impl Attributes, name: &'static str) {
        match self {
            Self::Any(names) => {
                if let Some(said) = names.iter().find_map(|name| span.find(name)) {
                    span.again(name, said);
                }
            }
            Self::Content([content, size, hash]) => {
                if let Some(said) = span.find(content) {
                    span.again(name, said);
                } else if let Some(Said::Number(size)) = span.find(size) {
                    let hash = span.find(hash).map(|hash| span.said(hash));
                    let json = match hash {
                        Some(hash) => format!("{{\"size\":{size},\"hash\":\"{hash}\"}}"),
                        None => format!("{{\"size\":{size}}}"),
                    };
                    span.text(name, &json);
                }
            }
            Self::Millis => span.fraction(name, Duration::from_nanos(span.nanos()).as_secs_f64() * 1000.0),
            Self::Status => span.text(name, if span.has_failed() { "error" } else { "ok" }),
            // What is said of tools is said of calls of them, with an answer or without.
            Self::Success => {
                if span.find("gen_ai.tool.name").is_some() {
                    span.truth(name, !span.has_failed());
                }
            }
            Self::Sum(names) => {
                let parts = || names.iter().filter_map(|name| span.find(name));
                let number = |said| if let Said::Number(number) = said { number } else { 0 };
                if parts().next().is_some() {
                    let sum = parts().map(number).sum();
                    span.number(name, sum);
                }
            }
            Self::Served => {
                if let Some(transport) = span.find("network.transport") {
                    let pipe = span.said(transport) == "pipe";
                    span.text(name, if pipe { "serve:stdio" } else { "serve:http" });
                }
            }
        }
    }
}
