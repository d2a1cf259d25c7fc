//! Which part of the time of calls goes into telling of them, over the last minute.

use std::sync::Mutex;
use std::time::Duration;

use tollhouse_core::clock;

use super::cells::lock;

/// Milliseconds of one slot.
const SLOT: u64 = 5000;
/// Slots of a minute.
const SLOTS: usize = 12;

/// The last minute, by slots: which, time taken for telling, time of calls.
#[derive(Debug, Default)]
pub(super) struct Share(Mutex<[(u64, Duration, Duration); SLOTS]>);

impl Share {
    /// Calls that took `calls` together were told of in `took`.
    pub(super) fn add(&self, took: Duration, calls: Duration) {
        let now = slot();
        let mut slots = lock(&self.0);
        let place = &mut slots[usize::try_from(now).unwrap_or_default() % SLOTS];
        if place.0 != now {
            *place = (now, Duration::ZERO, Duration::ZERO);
        }
        place.1 += took;
        place.2 += calls;
    }

    /// The part; `None` if there were no calls.
    pub(super) fn value(&self) -> Option<f64> {
        let oldest = slot().saturating_sub(SLOTS as u64 - 1);
        let slots = lock(&self.0);
        let of = |part: fn(&(u64, Duration, Duration)) -> Duration| {
            slots.iter().filter(|slot| slot.0 >= oldest).map(part).sum::<Duration>().as_secs_f64()
        };
        let (took, calls) = (of(|slot| slot.1), of(|slot| slot.2));
        drop(slots);
        (calls > 0.0).then(|| took / calls)
    }
}

fn slot() -> u64 {
    clock::unix_millis(clock::wall()) / SLOT
}
