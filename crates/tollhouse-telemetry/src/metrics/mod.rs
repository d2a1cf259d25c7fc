//! What is counted of calls and of the gateway itself.
//!
//! Calls are counted from finished records, beside their path; what others have counted is read when it is asked for
//! ([`Standing`]). Everything comes together in a [`Snapshot`], from which text, aliases and exports are made, so that all of
//! them say the same. What there is stands in [`crate::catalogue`].
//!
//! A label's values come from closed sets: methods of the protocol, servers of the configuration, codes that are known,
//! tools that their servers have answered for. What a caller makes up is counted as `_OTHER`. What would be the 2,001st set
//! of labels of a metric is counted under `otel_metric_overflow="true"`.
//!
//! Path: `pipeline` → **`metrics`** → `/metrics`, and whoever exports.
//!
//! `MCP_METRICS_GROUPS=tool,session` chooses which of these two groups are told; the others always are.

mod calls;
mod coverage;
mod minutes;
mod process;
mod share;
mod sets;
mod standing;
mod cells;

pub mod compat;
pub mod export;
pub mod exposition;
pub mod otlp;
pub mod protobuf;
pub mod snapshot;
pub mod text;
pub mod word;

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use tollhouse_core::histogram::{Counted, Histogram};
use tollhouse_core::record::{CallRecord, Known};

use crate::catalogue::{Group, Id, METRICS};
use crate::compat::Set;

pub use minutes::Minute;
pub use standing::Standing;

use calls::Calls;
use cells::{Cells, lock};
use coverage::Coverage;
use exposition::Form;
use minutes::Minutes;
use sets::ours;
use share::Share;
use snapshot::{Family, Head, Series, Snapshot, Value};
use word::Word;

#[cfg(test)]
mod tests;

/// Which metrics are told, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Sets of other names that are told as well.
    pub compat: Vec<Set>,
    /// Groups that are left out.
    pub off: Vec<Group>,
    /// Whose traces stand as examples for the ranges they fell into.
    pub examples: Examples,
    /// Are calls counted in ranges that grow by a factor, too, for those who are told so over OTLP?
    pub exponential: bool,
    /// In which ranges a Prometheus is told of calls.
    pub histograms: Histograms,
    /// What this process is, for `target_info`.
    pub target: Target,
}

/// Whose traces stand as examples (`OTEL_METRICS_EXEMPLAR_FILTER`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Examples {
    /// Of every call.
    #[default]
    All,
    /// Of calls whose trace is recorded.
    Sampled,
    /// Of none.
    Off,
}

/// In which ranges a Prometheus is told of calls, if it takes both kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Histograms {
    /// In those of the table.
    #[default]
    Classic,
    /// In ranges that grow by a factor. Texts cannot say them, and keep to those of the table.
    Native,
    /// In both.
    Both,
}

/// What a process says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `service.name`.
    pub service: String,
    /// The program's version.
    pub version: String,
    /// `service.instance.id`.
    pub instance: String,
}

impl Config {
    /// Everything, of the program in this version.
    pub fn of(version: &str) -> Self {
        let target = Target { service: "tollhouse".to_owned(), version: version.to_owned(), instance: instance() };
        Self {
            compat: Vec::new(),
            off: Vec::new(),
            examples: Examples::default(),
            exponential: false,
            histograms: Histograms::default(),
            target,
        }
    }
}

impl Examples {
    /// By its name in `OTEL_METRICS_EXEMPLAR_FILTER`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "always_on" => Some(Self::All),
            "trace_based" => Some(Self::Sampled),
            "always_off" => Some(Self::Off),
            _ => None,
        }
    }
}

/// A name for this process that no other has.
pub fn instance() -> String {
    format!("{:016x}", tollhouse_core::clock::distinct_u64())
}

/// The groups that `MCP_METRICS_GROUPS` leaves out: of those it may name, what it does not. `None` if it names none.
pub fn left_out(groups: &str) -> Option<Vec<Group>> {
    let named: Vec<_> = groups.split(',').map(|group| group.trim().to_ascii_lowercase()).collect();
    let known = [Group::Tool, Group::Session];
    // `cache` and `security` are names of groups without metrics.
    let every = |name: &String| {
        matches!(name.as_str(), "" | "cache" | "security" | "none") || known.iter().any(|group| group.as_str() == name)
    };
    if !named.iter().all(every) {
        return None;
    }
    Some(known.into_iter().filter(|group| !named.iter().any(|name| name == group.as_str())).collect())
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    config: Config,
    calls: Calls,
    observe: Cells<Histogram>,
    share: Share,
    coverage: Coverage,
    minutes: Minutes,
    /// What the spans of a call take.
    spans: Cells<Histogram>,
    /// The servers there were when it was last asked.
    servers: Mutex<HashSet<String>>,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(config: Config) -> Self {
        let exponential = config.exponential || config.histograms != Histograms::Classic;
        let calls = Calls::new(compat::bounds(&config.compat), exponential);
        Self {
            config,
            calls,
            observe: Cells::new(Id::Observe).exponential(exponential),
            share: Share::default(),
            coverage: Coverage::default(),
            minutes: Minutes::default(),
            spans: Cells::new(Id::TraceSize),
            servers: Mutex::default(),
        }
    }

    /// Counts a finished call.
    pub fn count(&self, record: &CallRecord) {
        let example = match self.config.examples {
            Examples::All => true,
            Examples::Sampled => record.sampled,
            Examples::Off => false,
        };
        self.calls.count(record, example);
        self.coverage.count(record);
        self.minutes.count(record);
    }

    /// Of which share of the last calls things are known.
    pub fn known(&self) -> Known {
        self.coverage.recent()
    }

    /// What was counted of the calls that arrived in this minute, one of the last few.
    pub fn minute(&self, number: u64) -> Minute {
        self.minutes.of(number)
    }

    /// So many calls, which took `calls` together, were told of in `took`.
    pub fn observed(&self, count: usize, took: Duration, calls: Duration) {
        let Some(mean) = u32::try_from(count).ok().and_then(|count| took.checked_div(count)) else { return };
        self.observe.of(vec![ours("pipeline")]).observe(mean.as_secs_f64());
        self.share.add(took, calls);
    }

    /// So many calls were told of in `bytes` of spans.
    pub fn told(&self, calls: usize, bytes: usize) {
        if let Some(mean) = bytes.checked_div(calls) {
            self.spans.of(vec![ours("own")]).observe(cells::number(mean as u64));
        }
    }

    /// Everything, with how things stand at this moment.
    pub fn snapshot(&self, standing: Standing) -> Snapshot {
        let mut standing = standing;
        process::tell(&mut standing);
        self.coverage.tell(&mut standing);
        if let Some(share) = self.share.value() {
            standing.number(Id::OverheadShare, [], share);
        }
        let Target { service, version, instance } = &self.config.target;
        let word = |text: &String| Some(Word::Known(text.as_str().into()));
        standing.number(Id::Target, [word(service), word(version), word(instance)], 1.0);
        standing.number(Id::Build, [word(version)], 1.0);
        self.forget(&standing.servers());
        let mut counted = self.calls.series().into_iter().collect::<std::collections::BTreeMap<_, _>>();
        counted.insert(Id::Observe, self.observe.series());
        counted.insert(Id::TraceSize, self.spans.series());
        let families = METRICS.iter().filter(|metric| !self.config.off.contains(&metric.group)).filter_map(|metric| {
            let mut series = counted.remove(&metric.id).unwrap_or_default();
            series.extend(standing.series(metric.id));
            (!series.is_empty()).then(|| Family { head: Head::of(metric), series })
        });
        let mut families: Vec<Family> = families.collect();
        compat::add(&mut families, &self.config.compat);
        for family in &mut families {
            family.settle();
        }
        Snapshot { families }
    }

    /// Everything, for who accepts this, by the header `Accept`: the media type and what is written in it.
    pub fn expose(&self, standing: Standing, accepted: &str) -> (&'static str, Vec<u8>) {
        let form = Form::of(accepted);
        (form.media_type(), form.write(&self.snapshot(standing), self.config.histograms))
    }

    /// Servers come and go; what was counted of one that is gone goes with it.
    fn forget(&self, now: &HashSet<String>) {
        let before = std::mem::replace(&mut *lock(&self.servers), now.clone());
        let gone: HashSet<_> = before.difference(now).cloned().collect();
        if !gone.is_empty() {
            self.calls.forget(&gone);
        }
    }
}

impl Family {
    /// Ranges that only other names need are put together.
    fn settle(&mut self) {
        let Some(id) = self.head.id else { return };
        for series in &mut self.series {
            if let Value::Ranges(counted) = &mut series.value
                && counted.bounds.len() != id.metric().bounds.len()
            {
                let mut settled = Counted::new(id.metric().bounds);
                settled.add(counted, 1.0);
                settled.exponential = counted.exponential.take();
                *counted = settled;
            }
        }
    }
}

impl Snapshot {
    /// The series of one metric.
    pub fn series(&self, id: Id) -> &[Series] {
        self.families.iter().find(|family| family.head.id == Some(id)).map_or(&[], |family| &family.series)
    }
}

impl Value {
    /// The number, or how many values were counted.
    pub fn total(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Ranges(counted) => cells::number(counted.count()),
        }
    }
}
