//! The block `telemetry` as it is written, and as it is meant.

use tollhouse_telemetry::compat::Set;

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
    }
    later: [
        "session_root", "identity", "sampling", "adaptive", "profile", "critical_tools", "level", "logs", "metrics",
        "semconv", "error_threshold"
    ]
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
