//! Of which share of calls things are known: their root, their session, what they carried.
//!
//! Counted since the start, and as shares of the last five minutes, which are not there without a call.

use std::sync::Mutex;

use tollhouse_core::clock;
use tollhouse_core::record::{CallRecord, Known, SessionSource};

use super::cells::{lock, number};
use super::standing::Standing;
use super::word::Word;
use crate::catalogue::Id;

/// Milliseconds of one slot.
const SLOT: u64 = 5000;
/// Slots of five minutes.
const SLOTS: usize = 60;
/// What may be known of a call.
const ASPECTS: [&str; 4] = ["trace_root", "session_state", "tool_output", "tool_content"];

/// By aspect: calls of which it is known, and calls of which it could be.
type Counts = [[u64; 2]; ASPECTS.len()];

/// See the module.
#[derive(Debug)]
pub(super) struct Coverage(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    total: Counts,
    slots: [(u64, Counts); SLOTS],
}

impl Default for Coverage {
    fn default() -> Self {
        Self(Mutex::new(Inner { total: Counts::default(), slots: [(0, Counts::default()); SLOTS] }))
    }
}

/// What is known of a call, by aspect; `None` where it has none.
fn known(record: &CallRecord) -> [Option<bool>; ASPECTS.len()] {
    let tool = &*record.method == "tools/call" && record.server.is_some();
    let of_tool = |known: bool| if tool { Some(known) } else { None };
    let seen = &record.seen;
    [
        // The caller's span, or the root of its session: without either, the call stands alone.
        Some(record.trace.parent != [0; 8]),
        of_tool(!matches!(record.session.source, SessionSource::Trace | SessionSource::Guess)),
        of_tool(seen.response_hash.is_some() && (seen.shape.is_none() || seen.request_hash.is_some())),
        of_tool(seen.content.is_some()),
    ]
}

impl Coverage {
    /// Counts a finished call.
    pub(super) fn count(&self, record: &CallRecord) {
        let now = slot();
        let known = known(record);
        let mut inner = lock(&self.0);
        let inner = &mut *inner;
        let place = &mut inner.slots[usize::try_from(now).unwrap_or_default() % SLOTS];
        if place.0 != now {
            *place = (now, Counts::default());
        }
        for (aspect, known) in known.into_iter().enumerate() {
            let Some(known) = known else { continue };
            for counts in [&mut inner.total, &mut place.1] {
                counts[aspect][0] += u64::from(known);
                counts[aspect][1] += 1;
            }
        }
    }

    /// Of which share of the last calls things are known.
    pub(super) fn recent(&self) -> Known {
        let oldest = slot().saturating_sub(SLOTS as u64 - 1);
        let mut recent = Counts::default();
        for (_, counts) in lock(&self.0).slots.iter().filter(|(at, _)| *at >= oldest) {
            for (sum, counts) in recent.iter_mut().zip(counts) {
                sum[0] += counts[0];
                sum[1] += counts[1];
            }
        }
        let [trace_root, session_state, tool_output, tool_content] =
            recent.map(|[known, all]| (all > 0).then(|| number(known) / number(all)));
        Known { trace_root, session_state, tool_output, tool_content }
    }

    /// Tells all of it.
    pub(super) fn tell(&self, standing: &mut Standing) {
        let total = lock(&self.0).total;
        let recent = self.recent();
        for (aspect, [known, all]) in ASPECTS.into_iter().zip(total) {
            for (covered, count) in [("yes", known), ("no", all - known)] {
                standing.count(Id::Coverage, [Some(Word::Ours(aspect)), Some(Word::Ours(covered))], count);
            }
        }
        for (id, share) in [(Id::TraceRootCoverage, recent.trace_root), (Id::SessionCoverage, recent.session_state)] {
            if let Some(share) = share {
                standing.number(id, [], share);
            }
        }
        for (captured, share) in [("no", recent.tool_output), ("yes", recent.tool_content)] {
            if let Some(share) = share {
                standing.number(Id::OutputVisibility, [Some(Word::Ours(captured))], share);
            }
        }
    }
}

fn slot() -> u64 {
    clock::unix_millis(clock::wall()) / SLOT
}
