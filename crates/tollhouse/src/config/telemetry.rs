//! The block `telemetry` as it is written.

use tollhouse_telemetry::compat::Set;
use tollhouse_telemetry::metrics::Histograms;

use super::block::{List, block};
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
        /// How metrics are told.
        metrics: Metrics,
    }
    later: [
        "session_root", "identity", "sampling", "adaptive", "profile", "critical_tools", "level", "logs", "semconv",
        "error_threshold"
    ]
}

block! {
    /// How metrics are told. Read when the program starts.
    struct Metrics {
        /// In which ranges calls are counted for a Prometheus that fetches protobuf: `classic`, those of the table; `native`,
        /// ranges that grow by a factor and become as fine as 160 of them allow; `both`. Text has the classic ones
        /// in any case. With `classic` the others are not counted.
        histograms: OneOf<Histograms> = "classic",
    }
    later: ["off"]
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

impl Words for Set {
    const NAME: &'static str = "NameSet";
    const WORDS: &'static [(&'static str, Self)] =
        &[("dashboard", Self::Dashboard), ("gateway", Self::Gateway), ("proxy", Self::Proxy), ("tools", Self::Tools)];
}

impl Words for Histograms {
    const NAME: &'static str = "Histograms";
    const WORDS: &'static [(&'static str, Self)] =
        &[("classic", Self::Classic), ("native", Self::Native), ("both", Self::Both)];
}

impl Telemetry {
    /// In which ranges a Prometheus is told of calls.
    pub(crate) fn histograms(&self) -> Histograms {
        let written = self.metrics.as_ref().and_then(|metrics| metrics.value.histograms.as_ref());
        written.map(|word| word.value.0).unwrap_or_default()
    }

    /// The sets of other names, each once.
    pub(crate) fn compat(&self) -> Vec<Set> {
        let written = self.compat.iter().flat_map(|list| &list.value.0);
        Set::ALL.into_iter().filter(|set| written.clone().any(|word| word.value.0 == *set)).collect()
    }
}
