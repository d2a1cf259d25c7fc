//! What became of the items of one signal.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tollhouse_core::histogram::{CALL, Counted, Histogram};

/// Why an item was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The queue held as many or as much as it may.
    QueueFull,
    /// The collector could not be reached, or said too often that it has no time.
    Unavailable,
    /// No answer came in time.
    Timeout,
    /// The collector does not want the request: its credentials, its path or its form.
    Refused,
    /// The program ended first.
    Shutdown,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::QueueFull, Self::Unavailable, Self::Timeout, Self::Refused, Self::Shutdown];

    /// The word of labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What became of the items of one signal so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items the collector took.
    pub accepted: u64,
    /// Items the collector took the request of, but not them.
    pub rejected: u64,
    /// Items that were dropped, in the order of [`Reason::ALL`].
    pub dropped: [u64; Reason::ALL.len()],
    /// Items that wait.
    pub queued: u64,
    /// Items that may wait.
    pub capacity: u64,
}

impl Counts {
    /// Items that were dropped for `reason`.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.dropped[reason as usize]
    }
}

/// The same while they are counted.
#[derive(Debug)]
pub(super) struct Tally {
    accepted: AtomicU64,
    rejected: AtomicU64,
    dropped: [AtomicU64; Reason::ALL.len()],
    delays: Histogram,
}

impl Default for Tally {
    fn default() -> Self {
        let (accepted, rejected, dropped) = Default::default();
        Self { accepted, rejected, dropped, delays: Histogram::new(&CALL) }
    }
}

impl Tally {
    /// What tells of a call that was over at `ended` was taken at `now`.
    pub(super) fn delayed(&self, ended: SystemTime, now: SystemTime) {
        self.delays.observe(now.duration_since(ended).unwrap_or_default().as_secs_f64());
    }

    pub(super) fn delays(&self) -> Counted {
        self.delays.counted()
    }

    pub(super) fn accept(&self, items: usize, rejected: u64) {
        let items = items as u64;
        let rejected = rejected.min(items);
        self.accepted.fetch_add(items - rejected, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
    }

    pub(super) fn lose(&self, items: usize, reason: Reason) {
        self.dropped[reason as usize].fetch_add(items as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self, queued: usize, capacity: usize) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            accepted: read(&self.accepted),
            rejected: read(&self.rejected),
            dropped: self.dropped.each_ref().map(read),
            queued: queued as u64,
            capacity: capacity as u64,
        }
    }
}
