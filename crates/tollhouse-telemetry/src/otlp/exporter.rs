//! The export of one signal: a queue, and a task that empties it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;
use tollhouse_core::histogram::Counted;
use tracing::debug;

use super::counts::Tally;
use super::delivery::Delivery;
use super::queue::{Next, Queue};
use super::wire::Wire;
use super::{Counts, Items, Reason, Resource, Signal, Transport};

/// How items are put together and how long they are tried for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// Items of one request.
    pub batch: usize,
    /// What is less than that waits for so long; nothing waits with zero.
    pub delay: Duration,
    /// A request may take so long, repetitions and their pauses together.
    pub timeout: Duration,
    /// Items that may wait. Full: they are dropped and counted.
    pub queue_items: usize,
    /// Bytes that may wait.
    pub queue_bytes: usize,
    /// Requests under way at once.
    pub concurrency: usize,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            batch: 512,
            delay: Duration::from_secs(5),
            timeout: Duration::from_mins(1),
            queue_items: 65_536,
            queue_bytes: 32 << 20,
            concurrency: 4,
        }
    }
}

/// Takes what is to be told of one signal. Cheap to clone.
#[derive(Clone)]
pub struct Exporter {
    shared: Arc<Shared>,
}

struct Shared {
    signal: Signal,
    capacity: usize,
    concurrency: usize,
    queue: Queue,
    tally: Arc<Tally>,
    /// Items under way.
    flying: AtomicUsize,
    closing: Notify,
    ended: Semaphore,
}

impl Exporter {
    /// Starts the export of `signal` on `tasks`. It connects once there is something to tell.
    pub fn start(
        signal: Signal,
        transport: Transport,
        batching: Batching,
        resource: Resource,
        tasks: &TaskTracker,
    ) -> Self {
        let tally = Arc::<Tally>::default();
        let wire = Wire::new(signal, transport, tasks.clone());
        let delivery = Arc::new(Delivery::new(signal, wire, resource, batching.timeout, tally.clone()));
        let shared = Arc::new(Shared {
            signal,
            capacity: batching.queue_items,
            concurrency: batching.concurrency.max(1),
            queue: Queue::new(batching),
            tally,
            flying: AtomicUsize::new(0),
            closing: Notify::new(),
            ended: Semaphore::new(0),
        });
        tasks.spawn(run(shared.clone(), delivery));
        Self { shared }
    }

    /// Puts items down to be sent. Never waits: without room they are dropped and counted.
    ///
    /// Items that are offered together are sent together, so offer no more at once than a request should hold.
    pub fn offer(&self, items: Items) {
        let count = items.count();
        if count > 0 && !self.shared.queue.push(items) {
            let reason = if self.shared.queue.ends().is_some() { Reason::Shutdown } else { Reason::QueueFull };
            self.shared.tally.lose(count, reason);
        }
    }

    /// Sends what waits, for as long as `within`, and ends. The rest is dropped and counted.
    pub async fn close(&self, within: Duration) {
        self.shared.queue.close(Instant::now() + within);
        self.shared.closing.notify_one();
        // Closed at the end of the task, it gives no permit but an error.
        let _ = self.shared.ended.acquire().await;
        let counts = self.counts();
        let dropped: u64 = counts.dropped.iter().sum();
        let (signal, accepted, rejected) = (self.shared.signal.as_str(), counts.accepted, counts.rejected);
        debug!(target: "tollhouse.otel", signal, accepted, rejected, dropped, "OTEL: export ended");
    }

    /// What became of all items so far.
    pub fn counts(&self) -> Counts {
        self.shared.tally.read(self.shared.queue.count(), self.shared.capacity)
    }

    /// Seconds from the end of calls until what tells of them was taken: of those told together, the longest.
    pub fn delays(&self) -> Counted {
        self.shared.tally.delays()
    }

    /// The signal it tells of.
    pub fn signal(&self) -> Signal {
        self.shared.signal
    }
}

/// Empties the queue until it is closed and empty, or its time is up.
async fn run(shared: Arc<Shared>, delivery: Arc<Delivery>) {
    let mut under_way = JoinSet::new();
    let sending = async {
        loop {
            while under_way.len() >= shared.concurrency {
                under_way.join_next().await;
            }
            while under_way.try_join_next().is_some() {}
            let Next::Batch(batch) = shared.queue.next().await else { break };
            let count = batch.iter().map(Items::count).sum();
            shared.flying.fetch_add(count, Ordering::Relaxed);
            let (shared, delivery) = (shared.clone(), delivery.clone());
            under_way.spawn(async move {
                delivery.deliver(batch).await;
                shared.flying.fetch_sub(count, Ordering::Relaxed);
            });
        }
        while under_way.join_next().await.is_some() {}
    };
    tokio::select! {
        () = sending => {}
        () = time_is_up(&shared) => {}
    }
    under_way.shutdown().await;
    let left = shared.queue.clear() + shared.flying.load(Ordering::Relaxed);
    shared.tally.lose(left, Reason::Shutdown);
    shared.ended.close();
}

async fn time_is_up(shared: &Shared) {
    shared.closing.notified().await;
    if let Some(ends) = shared.queue.ends() {
        sleep_until(ends).await;
    }
}
