//! The rounds of a session: calls that belong together because little time lies between them, and the pauses between rounds.
//!
//! An agent calls some tools, at once or one after the other, then thinks. Where it thinks nothing is called, so a round ends where nothing
//! is under way for longer than a moment.

use tollhouse_store::Call;

/// A longer pause ends a round.
const PAUSE_US: u64 = 1_000_000;

/// Calls that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Round {
    /// Where its calls stand among all of them.
    pub(super) calls: std::ops::Range<usize>,
    /// When the first arrived.
    pub(super) from_us: u64,
    /// When the last was over.
    pub(super) to_us: u64,
    /// How many were under way at once, at most.
    pub(super) parallel: usize,
    /// How long nothing was called before it.
    pub(super) pause_us: Option<u64>,
}

/// Cuts calls, which are in order of their arrival, into rounds.
pub(super) fn rounds(calls: &[Call]) -> Vec<Round> {
    let mut rounds: Vec<Round> = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        match rounds.last_mut() {
            Some(round) if call.at_us <= round.to_us.saturating_add(PAUSE_US) => {
                round.calls.end = at + 1;
                round.to_us = round.to_us.max(call.ended_us());
            }
            last => {
                let pause_us = last.map(|round| call.at_us.saturating_sub(round.to_us));
                let (from_us, to_us) = (call.at_us, call.ended_us());
                rounds.push(Round { calls: at..at + 1, from_us, to_us, parallel: 1, pause_us });
            }
        }
    }
    for round in &mut rounds {
        round.parallel = parallel(&calls[round.calls.clone()]);
    }
    rounds
}

/// How many were under way at once, at most.
fn parallel(calls: &[Call]) -> usize {
    let mut moments: Vec<(u64, bool)> =
        calls.iter().flat_map(|call| [(call.at_us, true), (call.ended_us().max(call.at_us + 1), false)]).collect();
    // Who ends makes room for who begins at the same moment.
    moments.sort_unstable();
    let (mut under_way, mut most) = (0_usize, 0);
    for (_, begins) in moments {
        under_way = if begins { under_way + 1 } else { under_way.saturating_sub(1) };
        most = most.max(under_way);
    }
    most
}
