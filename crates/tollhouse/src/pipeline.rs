//! The story of a record: what happens to a call once it is over.
//!
//! Records are taken in batches, some milliseconds apart, so that a call never wakes anybody: it puts its record down
//! and goes on. What may be kept of its content is worked out first. Each is shown to who follows, put down to be stored, told to collectors, counted, and written as a line.
//! Whatever is slow here makes records wait, then drops and counts them; calls do not notice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tollhouse_core::record::{CallRecord, Seen};
use tollhouse_proxy::record::Records;
use tollhouse_store::Call;
use tollhouse_telemetry::logs::Log;
use tollhouse_telemetry::metrics::Metrics;
use tollhouse_web::Recorded;

use crate::config::Capture;
use crate::exports::Telling;

/// Records taken at once: what they take is what a call on the same thread may have to wait, half a millisecond or less.
const BATCH: usize = 64;
/// Between two batches, at most: long enough that a busy gateway works in batches, short enough to watch calls live.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes records until the last sender is gone.
pub(crate) async fn run(
    mut records: Records,
    log: Log,
    metrics: Arc<Metrics>,
    recorded: Option<Recorded>,
    mut telling: Option<Telling>,
    capturing: Capturing,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while records.receive(&mut batch, BATCH).await > 0 {
        let (began, count, full) = (Instant::now(), batch.len(), batch.len() == BATCH);
        capturing.look(&mut batch);
        let took = batch.iter().map(|record| record.times.done).sum();
        if let Some(recorded) = &recorded {
            let calls: Vec<Call> = batch.iter().map(Call::from).collect();
            for call in &calls {
                recorded.show(call);
            }
            recorded.store().push(calls);
        }
        if let Some(telling) = &mut telling {
            let (calls, bytes) = telling.tell(&mut batch);
            metrics.told(calls, bytes);
        }
        for record in &batch {
            metrics.count(record);
            if capturing.told {
                log.content(record);
            }
        }
        log.calls(&batch);
        batch.clear();
        metrics.observed(count, began.elapsed(), took);
        if full {
            // There are more; calls go first.
            tokio::task::yield_now().await;
        } else {
            records.gather(PAUSE).await;
        }
    }
}

/// Whose content is captured.
pub(crate) struct Capturing {
    /// What the configuration says.
    pub(crate) wanted: watch::Receiver<Capture>,
    /// What holds where it says nothing.
    pub(crate) fallback: bool,
    /// It is told as an event of its own.
    pub(crate) told: bool,
}

impl Capturing {
    /// Works out what may be kept of the content of these calls.
    fn look(&self, records: &mut [CallRecord]) {
        let wanted = self.wanted.borrow();
        for record in records {
            record.seen = Seen::of(record, wanted.wants(record, self.fallback));
            // They are not needed any more, and may be large.
            (record.arguments, record.answer) = (None, None);
        }
    }
}
