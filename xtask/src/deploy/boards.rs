//! What the dashboards show: a table, from which `grafana` makes their files.

mod errors;
mod overview;
mod servers;
mod sessions;
mod telemetry;
mod tools;

use self::errors::ERRORS;
use self::overview::OVERVIEW;
use self::servers::SERVERS;
use self::sessions::SESSIONS;
use self::telemetry::TELEMETRY;
use self::tools::TOOLS;

/// Every dashboard.
pub(super) const BOARDS: &[Board] = &[OVERVIEW, TOOLS, SERVERS, SESSIONS, ERRORS, TELEMETRY];

/// A dashboard.
pub(super) struct Board {
    /// Part of its file's name and of its `uid`; never changed.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) rows: &'static [&'static [Panel]],
}

/// One of its panels.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) kind: Kind,
    /// As Grafana calls it.
    pub(super) unit: &'static str,
    /// What it says, and what to make of it.
    pub(super) about: &'static str,
    /// Legends and queries.
    pub(super) queries: &'static [(&'static str, &'static str)],
    /// Is it red above this?
    pub(super) warns_above: Option<f64>,
    /// Are there traces that stand for its figures?
    pub(super) exemplars: bool,
}

/// How figures are drawn.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// One figure.
    Figure,
    /// Lines over time.
    Lines,
    /// A table of the present.
    Table,
}

impl Kind {
    pub(super) const fn plugin(self) -> &'static str {
        match self {
            Self::Figure => "stat",
            Self::Lines => "timeseries",
            Self::Table => "table",
        }
    }

    /// In rows of Grafana's grid.
    pub(super) const fn height(self) -> u32 {
        match self {
            Self::Figure => 4,
            Self::Lines | Self::Table => 9,
        }
    }
}

const fn panel(
    kind: Kind,
    title: &'static str,
    unit: &'static str,
    about: &'static str,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, kind, unit, about, queries, warns_above: None, exemplars: false }
}

impl Panel {
    const fn warns_above(mut self, bound: f64) -> Self {
        self.warns_above = Some(bound);
        self
    }

    const fn with_exemplars(mut self) -> Self {
        self.exemplars = true;
        self
    }
}
