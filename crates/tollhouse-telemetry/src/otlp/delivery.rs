//! One batch from its items to the collector's answer, repeated where that may help.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::time::{Instant, sleep, timeout_at};
use tollhouse_core::clock;
use tracing::{info, warn};

use super::counts::Tally;
use super::json;
use super::wire::{Failure, Retry, Taken, Wire};
use super::{Items, Protocol, Reason, Resource, Signal};

/// The pause before the first repetition; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest, unless the collector asks for more.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// What stands before each message of gRPC: whether it is compressed, and its length.
const PREFIX: usize = 5;

pub(super) struct Delivery {
    signal: Signal,
    wire: Wire,
    resource: Resource,
    /// Repetitions and pauses together.
    patience: Duration,
    tally: Arc<Tally>,
    /// It was told that something is wrong, and not that it is over.
    failing: AtomicBool,
}

impl Delivery {
    pub(super) fn new(signal: Signal, wire: Wire, resource: Resource, patience: Duration, tally: Arc<Tally>) -> Self {
        Self { signal, wire, resource, patience, tally, failing: AtomicBool::new(false) }
    }

    /// Sends a batch until it is taken or given up; either is counted.
    ///
    /// # Cancel safety
    /// Dropped, it has counted nothing.
    pub(super) async fn deliver(self: Arc<Self>, batch: Vec<Items>) {
        let count = batch.iter().map(Items::count).sum();
        let ended: Vec<SystemTime> = batch.iter().filter_map(Items::first_ended).collect();
        let until = Instant::now() + self.patience;
        let body = self.body(batch).await;
        let mut pause = PAUSE;
        let failure = loop {
            let ends = until.min(Instant::now() + self.wire.timeout());
            let failure = match timeout_at(ends, self.wire.send(body.clone())).await {
                Ok(Ok(taken)) => return self.taken(count, &taken, &ended),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::timeout(),
            };
            let wait = match failure.retry {
                Retry::Never => break failure,
                Retry::After(asked) => asked.max(jittered(pause)),
                Retry::Soon => jittered(pause),
            };
            if Instant::now() + wait >= until {
                break failure;
            }
            self.tell(&failure);
            sleep(wait).await;
            pause = (pause * 2).min(PAUSE_MAX);
        };
        self.tell(&failure);
        self.tally.lose(count, failure.reason);
    }

    fn taken(&self, count: usize, taken: &Taken, ended: &[SystemTime]) {
        self.tally.accept(count, taken.rejected);
        let now = clock::wall();
        for at in ended {
            self.tally.delayed(*at, now);
        }
        let signal = self.signal.as_str();
        if taken.rejected > 0 {
            let (rejected, cause) = (taken.rejected, taken.message.as_str());
            if !self.failing.swap(true, Ordering::Relaxed) {
                warn!(target: "tollhouse.otel", signal, rejected, cause, "OTEL: the collector rejects some of what it is sent");
            }
        } else if self.failing.swap(false, Ordering::Relaxed) {
            info!(target: "tollhouse.otel", signal, "OTEL: the collector takes what it is sent again");
        }
    }

    /// Says once that something is wrong, not once per batch.
    fn tell(&self, failure: &Failure) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            let (signal, reason, cause) = (self.signal.as_str(), failure.reason.as_str(), failure.cause.as_str());
            warn!(target: "tollhouse.otel", signal, reason, cause, "OTEL: nothing is exported; what waits too long is dropped");
        }
    }

    /// The body of the request.
    async fn body(&self, batch: Vec<Items>) -> Bytes {
        let grpc = self.wire.protocol() == Protocol::Grpc;
        let room = if grpc { PREFIX } else { 0 };
        let mut body = self.resource.request(&batch, room);
        drop(batch);
        if self.wire.protocol() == Protocol::Json {
            // It reads all of it again, which is more work than packing it.
            let signal = self.signal;
            let written = tokio::task::spawn_blocking(move || json::request(signal, &body)).await;
            body = written.ok().and_then(Result::ok).unwrap_or_default();
        }
        if self.wire.gzip() {
            // Some hundred kilobytes are milliseconds: not on the threads of calls.
            let plain = Bytes::from(body);
            let packed = tokio::task::spawn_blocking(move || packed(&plain, room)).await;
            body = packed.unwrap_or_default();
        }
        if grpc && body.len() >= PREFIX {
            body[0] = u8::from(self.wire.gzip());
            let len = u32::try_from(body.len() - PREFIX).unwrap_or(u32::MAX);
            body[1..PREFIX].copy_from_slice(&len.to_be_bytes());
        }
        body.into()
    }
}

/// What stands behind `room` bytes, compressed.
fn packed(plain: &[u8], room: usize) -> Vec<u8> {
    let (front, message) = plain.split_at(room);
    let mut packed = GzEncoder::new(front.to_vec(), Compression::fast());
    packed.write_all(message).and_then(|()| packed.finish()).expect("memory takes what is written to it")
}

/// A fifth longer or shorter at random, so that gateways do not come back together.
fn jittered(pause: Duration) -> Duration {
    let thousandths = 800 + clock::distinct_u64() % 401;
    pause * u32::try_from(thousandths).unwrap_or(1000) / 1000
}

impl Failure {
    fn timeout() -> Self {
        Self { reason: Reason::Timeout, retry: Retry::Soon, cause: "no answer in time".to_owned() }
    }
}
