//! What was given up at a limit, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of what clients lost at a limit.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    messages: AtomicU64,
    cut: AtomicU64,
    refused: AtomicU64,
}

/// What clients lost at a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that nobody fetched in time: notifications, and answers nobody came back for.
    pub messages_dropped: u64,
    /// Connections closed because their client was too slow: to send, or to take.
    pub connections_cut: u64,
    /// Connections refused because there were too many.
    pub connections_refused: u64,
}

impl Losses {
    /// A message goes unread.
    pub(crate) fn message(&self) {
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection is closed because its client is too slow.
    pub(crate) fn cut(&self) {
        self.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection is refused.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            messages_dropped: read(&self.messages),
            connections_cut: read(&self.cut),
            connections_refused: read(&self.refused),
        }
    }
}
