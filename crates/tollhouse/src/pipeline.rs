//! The story of a record: what happens to a call once it is over.
//!
//! Records are taken in batches, some milliseconds apart, so that a call never wakes anybody: it puts its record down
//! and goes on. Each is written as a line, put down to be stored, and shown to who follows. Whatever is slow here makes
//! records wait, then drops and counts them; calls do not notice.

use std::time::Duration;

use tollhouse_proxy::record::Records;
use tollhouse_store::Call;
use tollhouse_telemetry::logs::Log;
use tollhouse_web::Recorded;

/// Records taken at once.
const BATCH: usize = 512;
/// Between two batches: long enough that a busy gateway works in batches, short enough to watch calls live.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes records until the last sender is gone.
pub(crate) async fn run(mut records: Records, log: Log, recorded: Option<Recorded>) {
    let mut batch = Vec::with_capacity(BATCH);
    while records.receive(&mut batch, BATCH).await > 0 {
        let full = batch.len() == BATCH;
        if let Some(recorded) = &recorded {
            let calls: Vec<Call> = batch.iter().map(Call::from).collect();
            for call in &calls {
                recorded.show(call);
            }
            recorded.store().push(calls);
        }
        for record in batch.drain(..) {
            log.call(&record);
        }
        if !full {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
