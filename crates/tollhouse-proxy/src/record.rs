//! Hands finished calls to the pipeline, and never waits for it.
//!
//! The channel is bounded twice, in records and in the bytes of bodies they hold. When the bodies are too many, a
//! record goes without its body; when the records are too many, the record is dropped. Both are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tollhouse_core::record::{Answer, CallRecord};

use crate::settings::Limits;

/// Bytes of bodies that are not left lying: a part of what a processor keeps at hand.
const PRESSING: usize = 512 << 10;

/// Creates the channel between the path of a call and the pipeline.
pub fn channel(limits: &Limits) -> (Recorder, Records) {
    // Full: the record is dropped and counted (`Recorder::record`).
    let (sender, receiver) = mpsc::channel(limits.records);
    let shared = Arc::new(Shared { body_limit: limits.record_bodies.bytes(), ..Shared::default() });
    (Recorder { sender, shared: shared.clone() }, Records { receiver, shared })
}

#[derive(Debug, Default)]
struct Shared {
    body_limit: usize,
    bodies: AtomicUsize,
    /// Told when so much is held that it should be looked at soon.
    pressed: Notify,
    recorded: AtomicU64,
    dropped: AtomicU64,
    bodies_dropped: AtomicU64,
}

/// The sending side.
#[derive(Debug, Clone)]
pub struct Recorder {
    sender: mpsc::Sender<CallRecord>,
    shared: Arc<Shared>,
}

/// How many records went which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Handed on.
    pub recorded: u64,
    /// Dropped because the channel was full.
    pub dropped: u64,
    /// Handed on without the body.
    pub bodies_dropped: u64,
}

impl Recorder {
    /// Hands on one record. Never waits.
    pub fn record(&self, mut record: CallRecord) {
        let held = held(&record);
        if held > 0 {
            let before = self.shared.bodies.fetch_add(held, Ordering::Relaxed);
            if before < PRESSING && before + held >= PRESSING {
                self.shared.pressed.notify_one();
            }
            if before + held > self.shared.body_limit {
                self.shared.bodies.fetch_sub(held, Ordering::Relaxed);
                self.shared.bodies_dropped.fetch_add(1, Ordering::Relaxed);
                (record.arguments, record.answer) = (None, None);
            }
        }
        match self.sender.try_send(record) {
            Ok(()) => _ = self.shared.recorded.fetch_add(1, Ordering::Relaxed),
            Err(mpsc::error::TrySendError::Full(lost) | mpsc::error::TrySendError::Closed(lost)) => {
                self.shared.release(&lost);
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// What happened to the records so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            recorded: read(&self.shared.recorded),
            dropped: read(&self.shared.dropped),
            bodies_dropped: read(&self.shared.bodies_dropped),
        }
    }
}

/// The receiving side.
#[derive(Debug)]
pub struct Records {
    receiver: mpsc::Receiver<CallRecord>,
    shared: Arc<Shared>,
}

impl Records {
    /// Lets records gather for so long, or until their bodies are much: what is in a processor's cache yet is looked at for
    /// half the price, and its memory serves for the next call.
    pub async fn gather(&self, pause: Duration) {
        // Either is good.
        let _ = timeout(pause, self.shared.pressed.notified()).await;
    }

    /// Waits for records and moves up to `limit` of them into `batch`; 0 when every sender is gone.
    pub async fn receive(&mut self, batch: &mut Vec<CallRecord>, limit: usize) -> usize {
        let received = self.receiver.recv_many(batch, limit).await;
        for record in batch.iter().rev().take(received) {
            self.shared.release(record);
        }
        received
    }
}

/// Bytes of bodies that a record holds.
fn held(record: &CallRecord) -> usize {
    record.arguments.as_ref().map_or(0, bytes::Bytes::len) + record.answer.as_ref().map_or(0, Answer::len)
}

impl Shared {
    fn release(&self, record: &CallRecord) {
        let held = held(record);
        if held > 0 {
            self.bodies.fetch_sub(held, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;
    use tollhouse_core::era::{Era, Version};
    use tollhouse_core::ids::CallId;
    use tollhouse_core::record::{
        Attempts, Listener, Outcome, Principal, Seen, SessionRef, SessionSource, Times, Traffic,
    };
    use tollhouse_core::trace::TraceContext;
    use tollhouse_core::units::ByteSize;

    use super::*;

    fn record(arguments: &'static [u8]) -> CallRecord {
        CallRecord {
            id: CallId::mint(SystemTime::UNIX_EPOCH),
            received_at: SystemTime::UNIX_EPOCH,
            listener: Listener::Http,
            request_id: "1".into(),
            principal: Principal::Anonymous,
            session: SessionRef { id: "s".into(), source: SessionSource::Guess },
            hints: Box::default(),
            era: Era::Modern,
            version: Version::MODERN,
            client: None,
            method: "tools/call".into(),
            name: None,
            local_name: None,
            server: None,
            trace: TraceContext::mint(),
            span: [0; 8],
            aside: None,
            sampled: true,
            times: Times::default(),
            bytes: Traffic::default(),
            arguments: Some(Bytes::from_static(arguments)),
            answer: None,
            seen: Seen::default(),
            attempts: Attempts::default(),
            legs: Box::default(),
            asked_back: Box::default(),
            outcome: Outcome::Ok,
        }
    }

    #[tokio::test]
    async fn records_that_find_no_room_are_dropped_and_counted() {
        let (recorder, mut records) = channel(&Limits { records: 2, ..Limits::default() });
        for _ in 0..5 {
            recorder.record(record(b"{}"));
        }
        assert_eq!(recorder.counts(), Counts { recorded: 2, dropped: 3, bodies_dropped: 0 });
        let mut batch = Vec::new();
        assert_eq!(records.receive(&mut batch, 10).await, 2);
        recorder.record(record(b"{}"));
        assert_eq!(recorder.counts().recorded, 3, "there is room again");
    }

    #[tokio::test]
    async fn bodies_beyond_their_limit_are_left_out_until_others_are_taken() {
        let limits = Limits { record_bodies: ByteSize(10), ..Limits::default() };
        let (recorder, mut records) = channel(&limits);
        for _ in 0..3 {
            recorder.record(record(b"[1,2]"));
        }
        let mut batch = Vec::new();
        records.receive(&mut batch, 10).await;
        let kept: Vec<_> = batch.iter().map(|record| record.arguments.is_some()).collect();
        assert_eq!((kept, recorder.counts().bodies_dropped), (vec![true, true, false], 1));
        recorder.record(record(b"[1,2]"));
        batch.clear();
        records.receive(&mut batch, 10).await;
        assert!(batch[0].arguments.is_some(), "what was taken makes room");
    }
}
