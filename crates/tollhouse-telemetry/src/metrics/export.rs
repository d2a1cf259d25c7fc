//! Tells all metrics to a collector, again and again.

use std::io::Write as _;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tollhouse_core::clock;

use super::otlp::{Encoder, Temporality};
use super::snapshot::Snapshot;
use super::text::open_metrics;
use crate::otlp::Exporter;

/// Where metrics go.
#[derive(Clone)]
pub struct Destinations {
    /// To a collector.
    pub otlp: Option<Exporter>,
    /// To standard error, as text.
    pub console: bool,
}

/// How often and in which form they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How often everything is told.
    pub interval: Duration,
    /// Since when what is told was counted.
    pub temporality: Temporality,
    /// Are histograms of calls told in ranges that grow by a factor?
    pub exponential: bool,
}

/// Tells what `take` finds every interval, and once more at the end, when `stop` is cancelled. Waits for no collector: the
/// exporter, which its owner closes, does.
pub async fn run(to: Destinations, settings: Settings, take: impl Fn() -> Snapshot, stop: CancellationToken) {
    let mut encoder = Encoder::new(settings.temporality, settings.exponential, clock::wall());
    let period = settings.interval.max(Duration::from_millis(1));
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let last = tokio::select! {
            _ = ticks.tick() => false,
            () = stop.cancelled() => true,
        };
        let snapshot = take();
        if let Some(exporter) = &to.otlp {
            exporter.offer(encoder.items(&snapshot, clock::wall()));
        }
        if to.console {
            // There is nowhere left to tell of an error here.
            _ = std::io::stderr().lock().write_all(open_metrics(&snapshot).as_bytes());
        }
        if last {
            return;
        }
    }
}
