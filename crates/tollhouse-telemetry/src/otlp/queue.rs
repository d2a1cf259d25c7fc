//! Items that wait to be sent: so many at most, and so many bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Batching, Items};

pub(super) struct Queue {
    limits: Batching,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Items>,
    count: usize,
    bytes: usize,
    /// When the program ends, and this with it.
    ends: Option<Instant>,
}

/// What to do next.
pub(super) enum Next {
    /// Send these.
    Batch(Vec<Items>),
    /// Nothing will come any more.
    Empty,
}

impl Queue {
    pub(super) fn new(limits: Batching) -> Self {
        Self { limits, waiting: Mutex::default(), changed: Notify::new() }
    }

    /// Puts items down, if there is room for them.
    pub(super) fn push(&self, items: Items) -> bool {
        let Batching { queue_items, queue_bytes, batch, .. } = self.limits;
        // A quarter is for what is always kept.
        let share = |limit: usize| if items.kept() { limit } else { limit - limit / 4 };
        let mut waiting = self.waiting();
        let (count, bytes) = (waiting.count + items.count(), waiting.bytes + items.size());
        if waiting.ends.is_some() || count > share(queue_items) || bytes > share(queue_bytes) {
            return false;
        }
        let wake = waiting.count == 0 || (waiting.count < batch && count >= batch);
        (waiting.count, waiting.bytes) = (count, bytes);
        waiting.items.push_back(items);
        drop(waiting);
        if wake {
            self.changed.notify_one();
        }
        true
    }

    /// Waits for a full batch, or for what has waited long enough.
    pub(super) async fn next(&self) -> Next {
        let mut due = None;
        loop {
            let changed = self.changed.notified();
            {
                let waiting = self.waiting();
                let ready = waiting.count >= self.limits.batch || due.is_some_and(|due| Instant::now() >= due);
                match (waiting.count, waiting.ends) {
                    (0, Some(_)) => return Next::Empty,
                    (0, None) => due = None,
                    (_, None) if !ready => _ = due.get_or_insert_with(|| Instant::now() + self.limits.delay),
                    _ => return Next::Batch(self.take(waiting)),
                }
            }
            match due {
                Some(due) => _ = timeout_at(due, changed).await,
                None => changed.await,
            }
        }
    }

    fn take(&self, mut waiting: MutexGuard<'_, Waiting>) -> Vec<Items> {
        let (mut batch, mut count) = (Vec::new(), 0);
        while let Some(items) = waiting.items.front() {
            if count > 0 && count + items.count() > self.limits.batch {
                break;
            }
            count += items.count();
            waiting.bytes -= items.size();
            batch.extend(waiting.items.pop_front());
        }
        waiting.count -= count;
        batch
    }

    /// Takes nothing any more; what waits is to be sent until `ends`.
    pub(super) fn close(&self, ends: Instant) {
        self.waiting().ends = Some(ends);
        self.changed.notify_one();
    }

    /// When everything must be over; known once the queue is closed.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.waiting().ends
    }

    /// Gives up what waits: how many there were.
    pub(super) fn clear(&self) -> usize {
        let mut waiting = self.waiting();
        waiting.items.clear();
        waiting.bytes = 0;
        std::mem::take(&mut waiting.count)
    }

    pub(super) fn count(&self) -> usize {
        self.waiting().count
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry_proto::tonic::trace::v1::Span;

    use super::*;

    fn items(count: usize, kept: bool) -> Items {
        let mut items = Items::new(kept);
        (0..count).for_each(|_| items.push(&Span { name: "x".repeat(96), ..Span::default() }));
        items
    }

    fn queue(queue_items: usize, queue_bytes: usize, batch: usize) -> Queue {
        Queue::new(Batching { batch, queue_items, queue_bytes, ..Batching::default() })
    }

    async fn next(queue: &Queue) -> Vec<usize> {
        match queue.next().await {
            Next::Batch(batch) => batch.iter().map(Items::count).collect(),
            Next::Empty => Vec::new(),
        }
    }

    #[test]
    fn a_quarter_is_held_for_what_is_always_kept() {
        let queue = queue(8, 1 << 20, 512);
        let taken: Vec<_> = (0..8).map(|_| queue.push(items(1, false))).collect();
        assert_eq!(taken, [true, true, true, true, true, true, false, false]);
        let taken: Vec<_> = (0..3).map(|_| queue.push(items(1, true))).collect();
        assert_eq!(taken, [true, true, false]);
    }

    #[test]
    fn bytes_are_limited_too() {
        let queue = queue(1000, 400, 512);
        let taken: Vec<_> = (0..4).map(|_| queue.push(items(1, false))).collect();
        assert_eq!(taken, [true, true, true, false], "of 100 bytes each, in three quarters of 400");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_less_than_a_batch_waits_for_the_delay() {
        let queue = queue(1000, 1 << 20, 4);
        queue.push(items(2, false));
        let start = Instant::now();
        assert_eq!(next(&queue).await, [2]);
        assert_eq!(start.elapsed().as_secs(), 5);
        (0..5).for_each(|_| _ = queue.push(items(2, false)));
        let start = Instant::now();
        assert_eq!([next(&queue).await, next(&queue).await], [[2, 2], [2, 2]]);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn closed_it_gives_what_it_has_and_takes_nothing() {
        let queue = queue(1000, 1 << 20, 4);
        queue.push(items(1, false));
        queue.close(Instant::now());
        assert!(!queue.push(items(1, true)));
        let start = Instant::now();
        assert_eq!([next(&queue).await, next(&queue).await], [vec![1], vec![]]);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
