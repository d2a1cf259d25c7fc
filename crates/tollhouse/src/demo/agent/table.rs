//! The closing table: what each tool did and how long it took.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Played;
use crate::client::peer::Outcome;

/// Every call, by server and name.
#[derive(Default)]
pub(super) struct Table(BTreeMap<(String, String), Row>);

#[derive(Default)]
struct Row {
    times: Vec<Duration>,
    errors: u64,
    lost: u64,
    bytes: usize,
}

impl Table {
    /// Counts a call; one whose error was `expected` is not lost.
    pub(super) fn add(
        &mut self,
        server: &str,
        what: &str,
        outcome: &Outcome,
        expected: bool,
        took: Duration,
        bytes: usize,
    ) {
        let row = self.0.entry((server.to_owned(), what.to_owned())).or_default();
        // A demonstration that runs for days needs its count, not each of its times.
        if row.times.len() < TIMES_MAX {
            row.times.push(took);
        }
        row.errors += u64::from(*outcome != Outcome::Answered);
        row.lost += u64::from(!outcome.is_answer() && !expected);
        row.bytes += bytes;
    }

    pub(super) fn played(&self) -> Played {
        let calls = self.0.values().map(|row| row.times.len() as u64).sum();
        Played { calls, lost: self.0.values().map(|row| row.lost).sum() }
    }
}

/// A table of one play has a handful of times in each row.
const TIMES_MAX: usize = 10_000;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:8}  {:16}  {:>5}  {:>6}  {:>9}  {:>9}  {:>8}",
            "server", "tool", "calls", "errors", "p50 ms", "p95 ms", "bytes"
        )?;
        for ((server, what), row) in &self.0 {
            let mut times = row.times.clone();
            times.sort_unstable();
            let (calls, errors, bytes) = (times.len(), row.errors, row.bytes);
            let (p50, p95) = (millis(quantile(&times, 50)), millis(quantile(&times, 95)));
            writeln!(f, "{server:8}  {what:16}  {calls:>5}  {errors:>6}  {p50:>9}  {p95:>9}  {bytes:>8}")?;
        }
        Ok(())
    }
}

/// The time that so many percent of the calls did not exceed (nearest rank).
fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Milliseconds with three digits behind the point.
pub(super) fn millis(time: Duration) -> String {
    let micros = time.as_micros();
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_time_that_was_measured() {
        let times: Vec<Duration> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 50), Duration::from_millis(10));
        assert_eq!(quantile(&times, 95), Duration::from_millis(19));
        assert_eq!(quantile(&times[..1], 95), Duration::from_millis(1));
    }
}
