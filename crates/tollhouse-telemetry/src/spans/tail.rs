//! Which calls are told: those that were sampled when they arrived, and those that turned out to matter.
//!
//! A record is complete, so nothing waits for its end. What is found here is too late for the servers of the call, which
//! were told that nothing is recorded; the gateway's own spans are there all the same. Only where the sampler is
//! `always_off` nothing is told.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use tollhouse_core::record::{CallRecord, Outcome};
use tollhouse_core::sketch::Sketch;
use tollhouse_core::trace::{Root, Sampler};

/// From here a call is slow, whatever is usual.
const SLOW: Duration = Duration::from_secs(5);
/// And from this many times what 95 % of the calls of its tool took, of so many calls.
const TIMES: u32 = 4;
const WINDOW: u64 = 200;
/// The first calls of a tool are told.
const NEW: u32 = 10;
/// So long the calls of a trace are told after one of them was, and so many traces are remembered.
const TRACE_KEPT: Duration = Duration::from_mins(5);
const TRACES_MAX: usize = 100_000;
/// Tools that are told apart. Only servers' answers make one known.
const TOOLS_MAX: usize = 10_000;

/// Why a call is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It was sampled on its arrival.
    Head,
    /// It failed, was tried again, or has not all that it was asked for.
    Error,
    /// It took long.
    Slow,
    /// Its tool is new.
    New,
    /// Another call of its trace was told.
    Trace,
}

impl Why {
    /// The word of `tollhouse.sampling.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Error => "error",
            Self::Slow => "slow",
            Self::New => "new",
            Self::Trace => "trace",
        }
    }

    /// Is it of a class that is kept where others are dropped?
    pub fn always(self) -> bool {
        matches!(self, Self::Error | Self::Slow)
    }
}

#[derive(Debug)]
pub(super) struct Tail {
    sampler: Sampler,
    tools: HashMap<Box<str>, HashMap<Box<str>, Tool>>,
    count: usize,
    traces: HashMap<[u8; 16], SystemTime>,
}

/// What is known of the calls of a tool.
#[derive(Debug, Default)]
struct Tool {
    calls: u32,
    /// Of the calls since the last window.
    micros: Sketch,
    /// From here a call is slow; `None` until enough is known.
    slow: Option<Duration>,
}

impl Tail {
    pub(super) fn new(sampler: Sampler) -> Self {
        Self { sampler, tools: HashMap::new(), count: 0, traces: HashMap::new() }
    }

    /// Looks at a call: why it is told, if it is. One that is `disabled` is not, but is looked at.
    pub(super) fn look(&mut self, record: &CallRecord, disabled: bool) -> Option<Why> {
        let (new, slow) = self.tool(record);
        let off = self.sampler == Sampler { root: Root::Off, by_parent: false };
        if disabled || off {
            return None;
        }
        let done = record.times.done;
        let why = match () {
            // What is always kept says so, even where it was sampled anyway: it may use the reserve of the queue.
            () if record.outcome.failed() || record.attempts.len() > 1 || record.missing() > 0 => Why::Error,
            () if done >= SLOW && !stays_open(record) || slow.is_some_and(|slow| done > slow) => Why::Slow,
            () if record.sampled => return Some(Why::Head),
            () if new => Why::New,
            () => {
                let ended = record.received_at + done;
                let kept = self.traces.get(&record.trace.trace_id)?;
                return (ended.duration_since(*kept).unwrap_or_default() < TRACE_KEPT).then_some(Why::Trace);
            }
        };
        if !record.sampled {
            if self.traces.len() >= TRACES_MAX {
                self.traces.clear();
            }
            self.traces.insert(record.trace.trace_id, record.received_at + done);
        }
        Some(why)
    }

    /// Is the name that the call used one that its server has?
    pub(super) fn listed(&self, record: &CallRecord) -> bool {
        record.local_name.is_some() || key(record).is_some_and(|(server, name)| self.find(server, name).is_some())
    }

    fn find(&self, server: &str, name: &str) -> Option<&Tool> {
        self.tools.get(server)?.get(name)
    }

    /// Counts the call for its tool: is that new, and from when is a call of it slow?
    fn tool(&mut self, record: &CallRecord) -> (bool, Option<Duration>) {
        let Some((server, name)) = key(record) else { return (false, None) };
        if self.find(server, name).is_none() {
            let answered =
                matches!(record.outcome, Outcome::Ok | Outcome::ToolError | Outcome::InputRequired | Outcome::Task);
            if !answered || self.count >= TOOLS_MAX {
                return (false, None);
            }
            self.count += 1;
            self.tools.entry(server.into()).or_default().insert(name.into(), Tool::default());
        }
        let Some(tool) = self.tools.get_mut(server).and_then(|tools| tools.get_mut(name)) else { return (false, None) };
        let (new, slow) = (tool.calls < NEW, tool.slow);
        tool.calls = tool.calls.saturating_add(1);
        tool.micros.add(u64::try_from(record.times.done.as_micros()).unwrap_or(u64::MAX));
        if tool.micros.count() >= WINDOW {
            let usual = tool.micros.quantile(0.95).unwrap_or_default();
            tool.slow = Some(Duration::from_micros(usual) * TIMES);
            tool.micros = Sketch::default();
        }
        (new, slow)
    }
}

/// A tool or prompt, by its server and the server's name for it.
fn key(record: &CallRecord) -> Option<(&str, &str)> {
    if !matches!(&*record.method, "tools/call" | "prompts/get") {
        return None;
    }
    let name = record.local_name.as_deref().or(record.name.as_deref())?;
    Some((record.server.as_ref()?.as_str(), name))
}

/// A call that is open for as long as somebody listens is not slow.
pub(super) fn stays_open(record: &CallRecord) -> bool {
    &*record.method == "subscriptions/listen"
}
