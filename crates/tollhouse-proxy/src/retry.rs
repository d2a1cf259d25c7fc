//! Tries a call again that could not be sent.
//!
//! Only a failure before the first byte of a request left us is repeated: no name, no connection, no process. Whatever
//! the tool does, it did not do it, so that is safe for all of them; a call of which a byte left is never sent again.
//! A certificate that is not accepted does not get better by waiting, and a server that is known to be away for longer
//! than these pauses is not waited for: the caller learns that at once.
//!
//! ```yaml
//! servers:
//!   search:
//!     url: https://search.example/mcp
//!     retry: { attempts: 3, backoff: 1s, patience: 55s }
//! ```
//!
//! When a server goes away, everybody's calls fail at once, and repeating them all would hinder its return. So of one
//! server's calls at most three are being repeated at a time, or one in ten of those it gets in ten seconds; the
//! others fail unrepeated (the budgets of Envoy and linkerd, with a smaller share).
//!
//! Path: `exchange`, where an attempt failed → **`retry`** → `exchange`, the next attempt.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tollhouse_core::clock;
use tollhouse_core::fault::{Fault, Kind};

/// How a server's calls are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Repetitions of one call. Default 3; none with 0.
    pub attempts: u32,
    /// The pause before the first; it doubles. Default 1 s.
    pub backoff: Duration,
    /// None begins later than this after the call arrived: most clients give up after a minute. Default 55 s.
    pub patience: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { attempts: 3, backoff: Duration::from_secs(1), patience: Duration::from_secs(55) }
    }
}

/// A pause is made longer or shorter by up to so many thousandths at random, so that callers do not come back together.
const JITTER: u64 = 200;
/// Calls of one server that may be repeated at a time, however few it gets.
const FLOOR: u32 = 3;
/// One in so many calls of a server may be repeated beyond that.
const SHARE: u64 = 10;
/// The time in which calls and repetitions are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// The repetitions of one server's calls.
pub(crate) struct Retry {
    config: Config,
    budget: Mutex<Budget>,
}

/// Looked at only where a call has failed.
struct Budget {
    since: Instant,
    /// Requests the server had been sent by then.
    requests: u64,
    /// Repetitions that a window may hold.
    allowed: u64,
    repeated: u64,
    under_way: u32,
}

impl Retry {
    pub(crate) fn new(config: Config) -> Self {
        let budget = Budget { since: Instant::now(), requests: 0, allowed: 0, repeated: 0, under_way: 0 };
        Self { config, budget: Mutex::new(budget) }
    }

    /// The pauses of one call together: who is away for longer is not waited for.
    pub(crate) fn span(&self) -> Duration {
        self.config.backoff * (2_u32.saturating_pow(self.config.attempts.min(31)) - 1)
    }

    /// The repetitions of a call that arrived at `received` and must end at `hard`.
    pub(crate) fn rounds(&self, received: Instant, hard: Option<Instant>) -> Rounds<'_> {
        let patience = received + self.config.patience;
        let until = hard.map_or(patience, |hard| hard.min(patience));
        Rounds { retry: self, until, done: 0 }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The repetitions of one call. Dropped, it gives its place back.
pub(crate) struct Rounds<'a> {
    retry: &'a Retry,
    until: Instant,
    done: u32,
}

impl Rounds<'_> {
    /// Has the call not been repeated yet?
    pub(crate) fn untouched(&self) -> bool {
        self.done == 0
    }

    /// The pause before the call is tried again; `None` if its failure stands. `requests` is how many the server has
    /// been sent so far.
    pub(crate) fn next(&mut self, fault: Fault, requests: u64) -> Option<Duration> {
        let config = &self.retry.config;
        if fault.kind != Kind::Unreachable || self.done >= config.attempts {
            return None;
        }
        let pause = jittered(config.backoff * 2_u32.saturating_pow(self.done));
        if Instant::now() + pause >= self.until || !self.retry.budget().take(self.done == 0, requests) {
            return None;
        }
        self.done += 1;
        Some(pause)
    }
}

impl Drop for Rounds<'_> {
    fn drop(&mut self) {
        if self.done > 0 {
            self.retry.budget().under_way -= 1;
        }
    }
}

impl Budget {
    /// Takes room for one repetition, of a call that is repeated for the `first` time or is under way already.
    fn take(&mut self, first: bool, requests: u64) -> bool {
        let elapsed = self.since.elapsed();
        if elapsed >= WINDOW {
            // What came in a longer time, as if it had come evenly.
            let per_window =
                u128::from(requests.saturating_sub(self.requests)) * WINDOW.as_millis() / elapsed.as_millis();
            let allowed = u64::try_from(per_window).unwrap_or(u64::MAX) / SHARE;
            *self = Self { since: Instant::now(), requests, allowed, repeated: 0, ..*self };
        }
        // Those under way may use the floor again and again: each of them is one.
        let others = self.under_way - u32::from(!first);
        if others >= FLOOR && self.repeated >= self.allowed {
            return false;
        }
        self.repeated += 1;
        self.under_way += u32::from(first);
        true
    }
}

fn jittered(pause: Duration) -> Duration {
    let thousandths = 1000 - JITTER + clock::distinct_u64() % (2 * JITTER + 1);
    pause * u32::try_from(thousandths).expect("it is below 2,000") / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNSENT: Fault = Kind::Unreachable.fault();

    fn retry() -> Retry {
        Retry::new(Config::default())
    }

    /// The pauses of a call that fails again and again, each waited for.
    async fn pauses(retry: &Retry, received: Instant, hard: Option<Instant>) -> Vec<f64> {
        let mut rounds = retry.rounds(received, hard);
        let mut pauses = Vec::new();
        while let Some(pause) = rounds.next(UNSENT, 0) {
            tokio::time::sleep(pause).await;
            pauses.push(pause.as_secs_f64());
        }
        pauses
    }

    #[tokio::test(start_paused = true)]
    async fn a_48_a_call_that_was_not_sent_is_repeated_after_one_two_and_four_seconds() {
        for _ in 0..200 {
            let pauses = pauses(&retry(), Instant::now(), None).await;
            let right = |(pause, nominal): (&f64, f64)| (pause / nominal - 1.0).abs() <= 0.2 + 1e-9;
            assert!(pauses.len() == 3 && pauses.iter().zip([1.0, 2.0, 4.0]).all(right), "{pauses:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn none_begins_after_the_patience_of_the_caller_or_the_end_of_the_call() {
        let long_ago = Instant::now() - Duration::from_secs(53);
        assert_eq!(pauses(&retry(), long_ago, None).await.len(), 1, "the second would begin after 56 s");
        let soon = Instant::now() + Duration::from_secs(3);
        assert!(pauses(&retry(), Instant::now(), Some(soon)).await.len() < 3);
        assert_eq!(pauses(&retry(), Instant::now(), Some(Instant::now())).await.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_or_does_not_get_better_is_not_repeated() {
        let retry = retry();
        for kind in [Kind::Lost, Kind::Timeout, Kind::Tls, Kind::ServerError, Kind::Limited, Kind::Cancelled] {
            assert_eq!(retry.rounds(Instant::now(), None).next(kind.fault(), 0), None, "{kind:?}");
        }
    }

    /// How many calls that fail now may be repeated, when the server has been sent so many requests.
    fn allowed<'a>(retry: &'a Retry, requests: u64, held: &mut Vec<Rounds<'a>>) -> usize {
        let before = held.len();
        while held.len() < 1000 {
            let mut rounds = retry.rounds(Instant::now(), None);
            if rounds.next(UNSENT, requests).is_none() {
                break;
            }
            held.push(rounds);
        }
        held.len() - before
    }

    #[tokio::test(start_paused = true)]
    async fn three_calls_are_repeated_at_a_time_or_one_in_ten() {
        let retry = retry();
        let mut held = Vec::new();
        assert_eq!(allowed(&retry, 0, &mut held), 3, "the floor");
        held.pop();
        assert_eq!(allowed(&retry, 0, &mut held), 1, "a place is free again");
        tokio::time::advance(Duration::from_secs(20)).await;
        // 400 in 20 s are 200 in 10 s, of which one in ten may be repeated.
        assert_eq!(allowed(&retry, 400, &mut held), 20);
        held.clear();
        assert_eq!(allowed(&retry, 400, &mut held), 3, "the share is used up, the floor is not");
        tokio::time::advance(Duration::from_secs(20)).await;
        held.clear();
        assert_eq!(allowed(&retry, 400, &mut held), 3, "nothing came since");
    }

    #[test]
    fn the_span_is_the_sum_of_the_pauses() {
        assert_eq!(retry().span(), Duration::from_secs(7));
        let none = Retry::new(Config { attempts: 0, ..Config::default() });
        assert_eq!(none.span(), Duration::ZERO);
    }
}
