//! The clocks of one call: silence and the whole.
//!
//! Silence is counted anew for every wait, so whoever waits for the next message restarts it by receiving one;
//! comments of an event stream do not end such a wait and therefore do not restart it. The hard limit stands from
//! the start (MCP 2026-07-28, basic/patterns/cancellation: always enforce a maximum).

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tollhouse_core::fault::Kind;

use crate::failure::Failure;
use crate::settings::Timeouts;

/// When waiting ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    idle: Duration,
    /// `None` for what lives as long as its reader: subscriptions.
    hard: Option<Instant>,
}

impl Clocks {
    /// The clocks of a call that arrived at `received`.
    pub(crate) fn start(received: Instant, timeouts: &Timeouts) -> Self {
        Self { idle: timeouts.idle, hard: Some(received + timeouts.hard) }
    }

    /// For a stream that ends when its reader leaves.
    pub(crate) fn unlimited() -> Self {
        Self { idle: Duration::from_secs(u64::from(u32::MAX)), hard: None }
    }

    /// When the call ends at the latest.
    pub(crate) fn hard(&self) -> Option<Instant> {
        self.hard
    }

    /// Waits for `work`, but not beyond either clock.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let Some(hard) = self.hard else { return Ok(work.await) };
        let idle = Instant::now() + self.idle;
        let (mut work, mut timer) = (pin!(work), pin!(None));
        let waiting = std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            // Set only when there is something to wait for: what is there already needs none.
            if timer.is_none() {
                timer.set(Some(sleep_until(idle.min(hard))));
            }
            let timer = timer.as_mut().as_pin_mut().expect("it was just set");
            timer.poll(cx).map(|()| None)
        });
        waiting.await.ok_or_else(|| {
            if idle < hard {
                Failure::new(Kind::Timeout, format_args!("no answer within {}", Readable(self.idle)))
            } else {
                Failure::new(Kind::Timeout, "the call reached its hard time limit")
            }
        })
    }
}

/// A duration as people write it: `30 s`, `500 ms`.
struct Readable(Duration);

impl std::fmt::Display for Readable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.subsec_millis() == 0 {
            write!(f, "{} s", self.0.as_secs())
        } else {
            write!(f, "{} ms", self.0.as_millis())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_anew_and_the_whole_is_not() {
        let timeouts = Timeouts { idle: Duration::from_secs(3), hard: Duration::from_secs(5), ..Timeouts::default() };
        let clocks = Clocks::start(Instant::now(), &timeouts);
        for _ in 0..2 {
            clocks.within(tokio::time::sleep(Duration::from_secs(2))).await.unwrap();
        }
        let late = clocks.within(tokio::time::sleep(Duration::from_secs(2))).await.unwrap_err();
        assert_eq!(late.cause, "the call reached its hard time limit");
        let clocks = Clocks::start(Instant::now(), &timeouts);
        let silent = clocks.within(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(silent.cause, "no answer within 3 s");
    }
}
