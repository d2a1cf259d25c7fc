//! How often one client is told the same: once a second, and the last is never lost.

use std::time::Duration;

use tokio::time::Instant;

/// Equal notices for one client keep this distance.
const DISTANCE: Duration = Duration::from_secs(1);

/// The notices of one topic to one client.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    owed: bool,
    /// The earliest moment for the next.
    free: Option<Instant>,
}

impl Pace {
    /// The client is to be told, once, however often this is said before it is.
    pub(crate) fn owe(&mut self) {
        self.owed = true;
    }

    /// When the notice is to go out, if one is owed.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        self.owed.then(|| self.free.map_or(now, |free| free.max(now)))
    }

    /// Takes the notice that is due: true if there is one, which goes out now.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let due = self.due(now).is_some_and(|due| due <= now);
        if due {
            *self = Self { owed: false, free: Some(now + DISTANCE) };
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_is_told_at_its_begin_and_after_its_end() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let mut told = Vec::new();
        for millis in 0..1500 {
            pace.owe();
            if pace.take(start + Duration::from_millis(millis)) {
                told.push(millis);
            }
        }
        assert_eq!(told, [0, 1000]);
        let last = start + Duration::from_millis(1499);
        assert_eq!(pace.due(last), Some(start + Duration::from_secs(2)));
        assert!(pace.take(start + Duration::from_secs(2)));
        assert_eq!(pace.due(start + Duration::from_secs(9)), None);
    }
}
