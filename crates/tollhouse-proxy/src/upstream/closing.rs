//! The moment from which a server that was taken out has no more time.
//!
//! Every call waits for it beside its answer, and hardly any meets it, so waiting must cost next to nothing: a call
//! puts itself on a list once, when it first has to wait, and later wake-ups only look at a flag. There are several
//! lists, so that calls do not queue for one.

use std::array;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use tokio::sync::Notify;
use tollhouse_core::clock;

const LISTS: usize = 8;

/// Open until it is closed, once.
#[derive(Debug)]
pub(crate) struct Closing {
    closed: AtomicBool,
    waiting: [Notify; LISTS],
}

impl Closing {
    pub(crate) fn new() -> Self {
        Self { closed: AtomicBool::new(false), waiting: array::from_fn(|_| Notify::new()) }
    }

    /// Ends all waiting.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for list in &self.waiting {
            list.notify_waiters();
        }
    }

    /// Waits for `work`; `None` if it was closed first.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let list = usize::from(clock::distinct_u64().to_le_bytes()[0]) % LISTS;
        let (mut work, mut place, mut woken) = (pin!(work), pin!(None), None::<Waker>);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            // The work of a connection that ends goes on in other hands, which want to be woken instead.
            if !woken.as_ref().is_some_and(|woken| woken.will_wake(cx.waker())) {
                woken = Some(cx.waker().clone());
                place.set(Some(self.waiting[list].notified()));
                let place = place.as_mut().as_pin_mut().expect("it was just set");
                if place.poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
            }
            // After it is on the list: who closes sets the flag first and looks at the lists then.
            if self.closed.load(Ordering::SeqCst) { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::Closing;

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_when_it_closes_is_let_go_and_whoever_comes_later_does_not_wait() {
        let closing = Closing::new();
        let wait = || closing.or(sleep(Duration::from_mins(1)));
        let (done, first, second, ()) =
            tokio::join!(closing.or(sleep(Duration::from_secs(1))), wait(), wait(), async {
                sleep(Duration::from_secs(2)).await;
                closing.close();
            });
        assert_eq!((done, first, second, wait().await), (Some(()), None, None, None));
        assert_eq!(closing.or(async { 7 }).await, Some(7), "what is there already is taken");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_goes_on_in_other_hands_is_let_go_there() {
        let closing = Closing::new();
        let mut work = Box::pin(closing.or(std::future::pending::<()>()));
        // Polled by one task until that gives up, then by another.
        let gave_up = tokio::time::timeout(Duration::from_secs(1), work.as_mut()).await.is_err();
        let elsewhere = tokio::task::LocalSet::new();
        let (ended, ()) = elsewhere.run_until(async { tokio::join!(work, async { closing.close() }) }).await;
        assert_eq!((gave_up, ended), (true, None));
    }
}
