//! Which call the code at hand works for, so that a line it logs can say so.
//!
//! The ids lie beside the work and not in it: whoever logs something deep inside need not be handed them. They are in the
//! thread's keeping while the work of a call is polled, and with the work while it waits. Work that is begun elsewhere
//! takes them along by [`carried`].

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::ids::CallId;

/// The call that is being worked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    /// Its id.
    pub call: CallId,
    /// Its trace.
    pub trace_id: [u8; 16],
    /// The span in it; zero if there is none.
    pub span_id: [u8; 8],
}

/// Where a call may be named.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Outside of scoped work, where nobody would take it away again.
    Nowhere,
    /// In scoped work, for this call if for any.
    Scoped(Option<Current>),
}

thread_local! {
    static CURRENT: Cell<Place> = const { Cell::new(Place::Nowhere) };
}

/// The call that is being worked for, if any.
pub fn current() -> Option<Current> {
    match CURRENT.get() {
        Place::Nowhere => None,
        Place::Scoped(call) => call,
    }
}

/// From here on the work that is being polled is for this call. Outside of [`scoped`] work it does nothing.
pub fn enter(call: Current) {
    if matches!(CURRENT.get(), Place::Scoped(_)) {
        CURRENT.set(Place::Scoped(Some(call)));
    }
}

/// `work` with a place of its own for the call it works for: none yet.
pub fn scoped<F: Future>(work: F) -> Scoped<F> {
    Scoped { current: None, work }
}

/// `work` for the call that is being worked for here, wherever it is polled.
pub fn carried<F: Future>(work: F) -> Scoped<F> {
    Scoped { current: current(), work }
}

pin_project_lite::pin_project! {
    /// Work that knows which call it is for.
    #[derive(Debug)]
    pub struct Scoped<F> {
        current: Option<Current>,
        #[pin]
        work: F,
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let outside = Outside(CURRENT.replace(Place::Scoped(*this.current)));
        let polled = this.work.poll(cx);
        *this.current = current();
        drop(outside);
        polled
    }
}

/// Puts back what was there before, also when the work panics.
struct Outside(Place);

impl Drop for Outside {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    fn call(n: u64) -> Current {
        Current { call: CallId::of(n, n), trace_id: [1; 16], span_id: [2; 8] }
    }

    #[test]
    fn each_work_knows_its_own_call_however_they_take_turns() {
        async fn work(n: u64) -> Option<Current> {
            assert_eq!(current(), None);
            enter(call(n));
            let mut polled = false;
            std::future::poll_fn(
                |_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending },
            )
            .await;
            current()
        }
        let (mut one, mut other) = (pin!(scoped(work(1))), pin!(scoped(work(2))));
        let mut cx = Context::from_waker(Waker::noop());
        for future in [one.as_mut(), other.as_mut()] {
            assert!(future.poll(&mut cx).is_pending());
            assert_eq!(current(), None);
        }
        assert_eq!(one.poll(&mut cx), Poll::Ready(Some(call(1))));
        assert_eq!(other.poll(&mut cx), Poll::Ready(Some(call(2))));
    }

    #[test]
    fn what_is_begun_elsewhere_takes_its_call_along() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut begun = None;
        let mut outer = pin!(scoped(async {
            enter(call(3));
            begun = Some(carried(async { current() }));
        }));
        assert!(outer.as_mut().poll(&mut cx).is_ready());
        enter(call(4));
        assert_eq!(current(), None, "nobody would take it away again");
        assert_eq!(pin!(begun.unwrap()).poll(&mut cx), Poll::Ready(Some(call(3))));
    }
}
