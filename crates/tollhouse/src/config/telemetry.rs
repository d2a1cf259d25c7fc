//! The block `telemetry` as it is written, and as it is meant.

use std::collections::HashMap;

use tollhouse_core::record::CallRecord;
use tollhouse_telemetry::compat::Set;

use super::block::{List, block};
use super::blocks::File;
use super::node::At;
use super::values::{OneOf, Words};

block! {
    /// What others are told of calls, and how.
    struct Telemetry {
        /// Names of earlier documents and tools that are told beside our own, for dashboards and alerts that know them.
        /// `dashboard`: span attributes `mcp.server`, `mcp.latency_ms` and the like. `gateway`: metrics `mcp_tool_calls_total`
        /// and the like. `proxy`: `mcp.proxy.…`. `tools`: `mcp.tool.…`, `mcp.session.…`. Metrics exist as recording rules
        /// too, in `deploy/prometheus/compat-<set>.yml`, which cost the gateway nothing; use one of both.
        compat: List<OneOf<Set>>,
        /// What is kept of the content of calls, arguments and results, at servers and tools that say nothing else: `none`, or
        /// `redacted`, up to 32 KiB of each side with secrets replaced. Sizes, hashes and the shape of arguments are always kept.
        capture: OneOf<Kept> = "none",
    }
    later: [
        "session_root", "identity", "sampling", "adaptive", "profile", "critical_tools", "level", "logs", "metrics",
        "semconv", "error_threshold"
    ]
}

block! {
    /// One tool of a server, by the server's own name for it.
    struct Tool {
        /// What is kept of the content of its calls: `none` or `redacted`.
        capture: OneOf<Kept>,
    }
    later: ["class", "timeouts"]
}

/// What is kept of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing.
    None,
    /// What is no secret.
    Redacted,
}

impl Words for Kept {
    const NAME: &'static str = "Capture";
    const WORDS: &'static [(&'static str, Self)] = &[("none", Self::None), ("redacted", Self::Redacted)];
}

/// What is said of one server, and of its tools.
type OfServer = (Option<bool>, HashMap<Box<str>, bool>);

/// Whose content is captured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Capture {
    /// Of whom nothing else is said; `None` if nothing is said of anybody.
    all: Option<bool>,
    /// By server, then by tool.
    servers: HashMap<Box<str>, OfServer>,
}

impl Capture {
    /// What a file says.
    pub(crate) fn of(file: &File) -> Self {
        let wanted = |word: &Option<At<OneOf<Kept>>>| word.as_ref().map(|word| word.value.0 == Kept::Redacted);
        let mut capture = Self {
            all: file.telemetry.as_ref().and_then(|block| wanted(&block.value.capture)),
            servers: HashMap::new(),
        };
        for (id, server) in file.servers.iter().flat_map(|servers| &servers.value.0) {
            let tools = server.value.tools.iter().flat_map(|tools| &tools.value.0);
            let tools: HashMap<_, _> = tools
                .filter_map(|(name, tool)| Some((name.value.as_str().into(), wanted(&tool.value.capture)?)))
                .collect();
            let own = wanted(&server.value.capture);
            if own.is_some() || !tools.is_empty() {
                capture.servers.insert(id.value.as_str().into(), (own, tools));
            }
        }
        capture
    }

    /// Is the content of this call captured? `fallback` holds where the file says nothing.
    pub(crate) fn wants(&self, record: &CallRecord, fallback: bool) -> bool {
        let all = self.all.unwrap_or(fallback);
        let Some((own, tools)) = record.server.as_ref().and_then(|server| self.servers.get(server.as_str())) else {
            return all;
        };
        let tool = record.local_name.as_deref().or(record.name.as_deref()).filter(|_| &*record.method == "tools/call");
        tool.and_then(|tool| tools.get(tool)).copied().or(*own).unwrap_or(all)
    }
}

impl Words for Set {
    const NAME: &'static str = "NameSet";
    const WORDS: &'static [(&'static str, Self)] =
        &[("dashboard", Self::Dashboard), ("gateway", Self::Gateway), ("proxy", Self::Proxy), ("tools", Self::Tools)];
}

impl Telemetry {
    /// The sets of other names, each once.
    pub(crate) fn compat(&self) -> Vec<Set> {
        let written = self.compat.iter().flat_map(|list| &list.value.0);
        Set::ALL.into_iter().filter(|set| written.clone().any(|word| word.value.0 == *set)).collect()
    }
}
