//! Calls and failures by the minute in which calls arrived, of the last minutes: what the store has is held against it.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tollhouse_core::clock;
use tollhouse_core::record::CallRecord;

use super::cells::lock;

/// Minutes that are kept.
const KEPT: usize = 8;

/// What was counted of the calls that arrived within one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Minute {
    /// Minutes since 1970.
    pub number: u64,
    /// Calls.
    pub calls: u64,
    /// Those of them that failed.
    pub failed: u64,
}

impl Minute {
    /// The minute that this moment lies in.
    pub fn of(at: SystemTime) -> u64 {
        clock::unix_millis(at) / 60_000
    }

    /// When it began.
    pub fn began(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.number * 60)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Minutes(Mutex<[Minute; KEPT]>);

impl Minutes {
    /// Counts a finished call; one that lasted longer than minutes are kept is not.
    pub(super) fn count(&self, record: &CallRecord) {
        let number = Minute::of(record.received_at);
        let mut kept = lock(&self.0);
        let minute = &mut kept[place(number)];
        if minute.number < number {
            *minute = Minute { number, ..Minute::default() };
        }
        if minute.number == number {
            minute.calls += 1;
            minute.failed += u64::from(record.outcome.failed());
        }
    }

    /// What was counted of this minute.
    pub(super) fn of(&self, number: u64) -> Minute {
        let minute = lock(&self.0)[place(number)];
        if minute.number == number { minute } else { Minute { number, ..Minute::default() } }
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number).unwrap_or_default() % KEPT
}
