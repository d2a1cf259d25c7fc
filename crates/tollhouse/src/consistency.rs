//! Holds what is counted, what is summed up and what is stored of one minute against each other, so that figures that disagree are told
//! and not found by chance.
//!
//! Each minute one that has closed is looked at: its calls and failures as the metrics counted them, as the store's sums have them, and as its
//! records do. Where calls were lost, too many, or none at all, nothing is said of it.
//!
//! Path: `metrics`, store → **`consistency`** → `standing`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollhouse_core::clock;
use tollhouse_store::engine::Read;
use tollhouse_store::question::{Bounds, By, Filter, Numbers, Range, Times, Width};
use tollhouse_store::{Error, Store};
use tollhouse_telemetry::metrics::{Metrics, Minute};
use tollhouse_web::Recorded;
use tracing::warn;

/// A minute is looked at so many minutes after it began: calls that arrived in it have mostly ended, and their sums are written.
const BEHIND: u64 = 2;
/// Records of a minute that are read; a minute with more is left out, since reading them would be felt.
const CALLS_MAX: u64 = 20_000;
/// Records read at once.
const PAGE: usize = 1000;
/// Looks at a minute: what is being written at one is there at the next.
const LOOKS: usize = 3;
/// Between them.
const PAUSE: Duration = Duration::from_secs(3);

/// How a comparison came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared {
    /// All say the same.
    Equal,
    /// They do not.
    Different,
    /// There was nothing to be compared, or it would have said nothing.
    Skipped,
}

impl Compared {
    const ALL: [Self; 3] = [Self::Equal, Self::Different, Self::Skipped];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Different => "different",
            Self::Skipped => "skipped",
        }
    }
}

/// How comparisons came out so far.
#[derive(Debug, Default)]
pub(crate) struct Consistency([AtomicU64; Compared::ALL.len()]);

impl Consistency {
    fn count(&self, compared: Compared) {
        self.0[compared as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Each outcome, and how often there was.
    pub(crate) fn counts(&self) -> [(&'static str, u64); Compared::ALL.len()] {
        Compared::ALL.map(|compared| (compared.as_str(), self.0[compared as usize].load(Ordering::Relaxed)))
    }
}

/// Compares a minute each minute, until `stop`.
pub(crate) async fn watch(
    metrics: Arc<Metrics>,
    recorded: Recorded,
    consistency: Arc<Consistency>,
    stop: CancellationToken,
) {
    // Of the minute in which the program began, an earlier one may have stored calls.
    let began = Minute::of(clock::wall());
    let mut lost = 0;
    loop {
        let next = UNIX_EPOCH + Duration::from_secs((Minute::of(clock::wall()) + 1) * 60);
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(next.duration_since(clock::wall()).unwrap_or_default()) => {}
        }
        let number = Minute::of(clock::wall()) - BEHIND;
        let counts = recorded.store().counts();
        let before = std::mem::replace(&mut lost, counts.overflowed + counts.failed);
        let compared = if number <= began || lost != before {
            Compared::Skipped
        } else {
            compare(&metrics, recorded.store(), number).await
        };
        consistency.count(compared);
    }
}

/// Compares one minute.
async fn compare(metrics: &Metrics, store: &Store, number: u64) -> Compared {
    let mut last = None;
    for _ in 0..LOOKS {
        let counted = metrics.minute(number);
        if counted.calls == 0 || counted.calls > CALLS_MAX {
            return Compared::Skipped;
        }
        let Ok((summed, stored)) = store.read(move |reader| kept(reader, number)).await else {
            return Compared::Skipped;
        };
        if summed == counted && stored == counted {
            return Compared::Equal;
        }
        last = Some((counted, summed, stored));
        sleep(PAUSE).await;
    }
    let Some((counted, summed, stored)) = last else { return Compared::Skipped };
    if metrics.minute(number) != counted {
        // Calls that arrived then still come to their end.
        return Compared::Skipped;
    }
    let minute = clock::unix_millis(counted.began());
    warn!(
        target: "tollhouse.store",
        minute, counted = counted.calls, summed = summed.calls, stored = stored.calls,
        counted_failed = counted.failed, summed_failed = summed.failed, stored_failed = stored.failed,
        "figures of one minute do not agree: some page or metric shows wrong numbers"
    );
    Compared::Different
}

/// What the store has of a minute: summed up, and in its records.
fn kept(reader: &mut dyn Read, number: u64) -> Result<(Minute, Minute), Error> {
    let us = Width::Minute.us();
    let range = Range { from_us: number * us, to_us: (number + 1) * us };
    let numbers =
        Numbers { range, width: Width::Minute, by: By::All, server: None, over_time: false, times: Times::None };
    let mut summed = Minute { number, ..Minute::default() };
    for figure in reader.numbers(&numbers)? {
        summed.calls += figure.sum.calls;
        summed.failed += figure.sum.failed;
    }
    let mut stored = Minute { number, ..Minute::default() };
    let (filter, mut before) = (Filter { range, ..Filter::default() }, None);
    loop {
        let page = reader.latest(&filter, before, Bounds { limit: PAGE, ..Bounds::default() })?;
        stored.calls += page.calls.len() as u64;
        stored.failed += page.calls.iter().filter(|call| call.failed()).count() as u64;
        before = page.next;
        if before.is_none() || stored.calls > CALLS_MAX {
            return Ok((summed, stored));
        }
    }
}

#[cfg(test)]
mod tests {
    use tollhouse_core::era::{Era, Version};
    use tollhouse_core::ids::CallId;
    use tollhouse_core::record::{
        Attempts, CallRecord, Listener, Outcome, Principal, Seen, SessionRef, SessionSource, Times, Traffic,
    };
    use tollhouse_core::trace::TraceContext;
    use tollhouse_store::Call;
    use tollhouse_telemetry::metrics::Config;

    use super::*;

    const NUMBER: u64 = 29_833_333;

    fn record(second: u64, outcome: Outcome) -> CallRecord {
        let received_at = UNIX_EPOCH + Duration::from_secs(NUMBER * 60 + second);
        CallRecord {
            id: CallId::mint(received_at),
            received_at,
            listener: Listener::Http,
            request_id: "1".into(),
            principal: Principal::Anonymous,
            session: SessionRef { id: "s-1".into(), source: SessionSource::Protocol },
            hints: Box::default(),
            era: Era::Legacy,
            version: Version::V2025_11_25,
            client: None,
            method: "tools/call".into(),
            name: Some("read".into()),
            local_name: None,
            server: None,
            trace: TraceContext::mint(),
            span: [0; 8],
            aside: None,
            sampled: false,
            times: Times::default(),
            bytes: Traffic::default(),
            arguments: None,
            answer: None,
            seen: Seen::default(),
            attempts: Attempts::default(),
            legs: Box::default(),
            asked_back: Box::default(),
            outcome,
        }
    }

    /// Compares a minute of which `counted` were counted, and `stored` stored.
    async fn compared(counted: &[CallRecord], stored: &[CallRecord]) -> Compared {
        let metrics = Metrics::new(Config::of("0.0.0"));
        for record in counted {
            metrics.count(record);
        }
        let (writer, reader) = tollhouse_store::memory::open();
        let store = Store::over(writer, &reader).unwrap();
        store.push(stored.iter().map(Call::from));
        while store.counts().summed < stored.len() as u64 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::pause();
        let compared = compare(&metrics, &store, NUMBER).await;
        tokio::time::resume();
        compared
    }

    #[tokio::test]
    async fn a_minute_is_equal_where_all_say_the_same_of_it() {
        let all = [record(0, Outcome::Ok), record(59, Outcome::ToolError), record(60, Outcome::ToolError)];
        assert_eq!(compared(&all, &all).await, Compared::Equal);
    }

    #[tokio::test]
    async fn a_call_that_is_missing_and_a_failure_that_is_none_are_found() {
        let all = [record(1, Outcome::Ok), record(2, Outcome::Ok), record(2, Outcome::ToolError)];
        assert_eq!(compared(&all[..2], &all[..1]).await, Compared::Different);
        assert_eq!(compared(&all[..1], &all[..2]).await, Compared::Different);
        assert_eq!(compared(&all[1..2], &all[2..]).await, Compared::Different);
    }

    #[tokio::test]
    async fn of_a_minute_without_calls_nothing_is_said() {
        assert_eq!(compared(&[record(60, Outcome::Ok)], &[]).await, Compared::Skipped);
    }
}
