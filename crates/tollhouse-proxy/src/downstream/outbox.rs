//! Messages that wait for one client, bounded in number and bytes.
//!
//! A client that reads slowly holds its server back: whoever posts waits for room. A client that takes nothing at all
//! must not hold anything back for long, so then what can be missed is missed: the oldest notifications go, and are
//! counted. Answers, and questions of servers, are never dropped.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::losses::Losses;

/// Messages that wait for one client.
const MESSAGES: usize = 256;
/// Their bytes. One message may be larger.
const BYTES: usize = 1 << 20;
/// A client that takes nothing for so long does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// May a message be missed?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// Notifications: nobody waits for one.
    Expendable,
    /// Answers and questions.
    Needed,
}

/// The client has gone: nothing reaches it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// The side that posts. Dropped, the stream ends behind what waits.
pub(super) struct Outbox(Arc<Shared>);

/// The client's side. Dropped, whoever posts is told that the client has gone.
pub(super) struct Outgoing(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Something was taken, or the client has gone.
    changed: Notify,
    losses: Arc<Losses>,
}

struct State {
    waiting: VecDeque<(Bytes, Worth)>,
    bytes: usize,
    /// When something was last taken, or began to wait for an idle client.
    moved: Instant,
    reader: Option<Waker>,
    gone: bool,
    ended: bool,
}

/// The two ends of a client's outbox.
pub(super) fn outbox(losses: Arc<Losses>) -> (Outbox, Outgoing) {
    let state =
        State { waiting: VecDeque::new(), bytes: 0, moved: Instant::now(), reader: None, gone: false, ended: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Notify::new(), losses });
    (Outbox(shared.clone()), Outgoing(shared))
}

impl Outbox {
    /// Hands on a message. Waits while the outbox is full and the client reads.
    ///
    /// # Errors
    /// The client has gone.
    pub(super) async fn post(&self, message: Bytes, worth: Worth) -> Result<(), Gone> {
        loop {
            let mut changed = pin!(self.0.changed.notified());
            changed.as_mut().enable();
            let patient_until = {
                let mut state = self.0.lock();
                if state.gone {
                    return Err(Gone);
                }
                let asleep = state.moved.elapsed() >= PATIENCE;
                while asleep && !state.has_room_for(&message) && state.drop_oldest() {
                    self.0.losses.message();
                }
                if state.has_room_for(&message) {
                    let reader = state.push(message, worth);
                    drop(state);
                    wake(reader);
                    return Ok(());
                }
                if asleep && worth == Worth::Expendable {
                    self.0.losses.message();
                    return Ok(());
                }
                (!asleep).then(|| state.moved + PATIENCE)
            };
            match patient_until {
                None => changed.await,
                Some(until) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(until) => {}
                },
            }
        }
    }

    /// Waits until the client has gone.
    pub(super) async fn gone(&self) {
        loop {
            let mut changed = pin!(self.0.changed.notified());
            changed.as_mut().enable();
            if self.0.lock().gone {
                return;
            }
            changed.await;
        }
    }

    /// Ends the stream, and waits until the client has taken what is left, or nothing of it for `stall`: that is
    /// thrown away then.
    pub(super) async fn finish(self, stall: Duration) {
        self.0.end();
        loop {
            let mut changed = pin!(self.0.changed.notified());
            changed.as_mut().enable();
            let until = {
                let mut state = self.0.lock();
                if state.gone || state.waiting.is_empty() {
                    return;
                }
                let until = state.moved + stall;
                if until <= Instant::now() {
                    state.clear();
                    return;
                }
                until
            };
            tokio::select! {
                () = changed => {}
                () = sleep_until(until) => {}
            }
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Outgoing {
    /// The next message; `None` at the end.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.0.lock();
        let Some((message, _)) = state.waiting.pop_front() else {
            if state.ended {
                return Poll::Ready(None);
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.bytes -= message.len();
        state.moved = Instant::now();
        drop(state);
        self.0.changed.notify_waiters();
        Poll::Ready(Some(message))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.gone = true;
        state.clear();
        drop(state);
        self.0.changed.notify_waiters();
    }
}

impl Shared {
    fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room_for(&self, message: &Bytes) -> bool {
        self.waiting.is_empty() || (self.waiting.len() < MESSAGES && self.bytes + message.len() <= BYTES)
    }

    fn push(&mut self, message: Bytes, worth: Worth) -> Option<Waker> {
        if self.waiting.is_empty() {
            self.moved = Instant::now();
        }
        self.bytes += message.len();
        self.waiting.push_back((message, worth));
        self.reader.take()
    }

    /// Gives up the oldest message that may be missed.
    fn drop_oldest(&mut self) -> bool {
        let Some(at) = self.waiting.iter().position(|(_, worth)| *worth == Worth::Expendable) else { return false };
        let (message, _) = self.waiting.remove(at).expect("it was just found");
        self.bytes -= message.len();
        true
    }

    fn clear(&mut self) {
        self.waiting = VecDeque::new();
        self.bytes = 0;
    }
}

fn wake(reader: Option<Waker>) {
    if let Some(reader) = reader {
        reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(n: usize) -> Bytes {
        format!("{n}").into()
    }

    async fn take(outgoing: &mut Outgoing) -> Option<Bytes> {
        std::future::poll_fn(|cx| outgoing.poll_next(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_misses_nothing() {
        let losses = Arc::<Losses>::default();
        let (outbox, mut outgoing) = outbox(losses.clone());
        let posting = async {
            for n in 0..3 * MESSAGES {
                outbox.post(message(n), Worth::Expendable).await.unwrap();
            }
            drop(outbox);
        };
        let reading = async {
            let mut read = Vec::new();
            while let Some(message) = take(&mut outgoing).await {
                read.push(message);
                tokio::time::sleep(PATIENCE / 2).await;
            }
            read
        };
        let ((), read) = tokio::join!(posting, reading);
        assert_eq!(read, (0..3 * MESSAGES).map(message).collect::<Vec<_>>());
        assert_eq!(losses.counts().messages_dropped, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_misses_the_oldest_notifications_and_no_answer() {
        let losses = Arc::<Losses>::default();
        let (outbox, mut outgoing) = outbox(losses.clone());
        outbox.post("question".into(), Worth::Needed).await.unwrap();
        for n in 0..2 * MESSAGES {
            outbox.post(message(n), Worth::Expendable).await.unwrap();
        }
        outbox.post("answer".into(), Worth::Needed).await.unwrap();
        drop(outbox);
        let mut read = Vec::new();
        while let Some(message) = take(&mut outgoing).await {
            read.push(message);
        }
        assert_eq!(
            (read.len(), read[0].as_ref(), read[MESSAGES - 1].as_ref()),
            (MESSAGES, &b"question"[..], &b"answer"[..])
        );
        assert_eq!(read[1], message(MESSAGES + 2));
        assert_eq!(losses.counts().messages_dropped, MESSAGES as u64 + 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_client_does_not_take_in_time_is_thrown_away() {
        let (outbox, mut outgoing) = outbox(Arc::default());
        outbox.post(vec![b'x'; 8 * BYTES].into(), Worth::Needed).await.unwrap();
        let began = Instant::now();
        outbox.finish(Duration::from_secs(30)).await;
        assert_eq!((began.elapsed(), take(&mut outgoing).await), (Duration::from_secs(30), None));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_posts_is_told_that_the_client_has_gone() {
        let (outbox, outgoing) = outbox(Arc::default());
        outbox.post(vec![b'x'; BYTES].into(), Worth::Needed).await.unwrap();
        let posting = outbox.post(message(1), Worth::Needed);
        let leaving = async { drop(outgoing) };
        let (posted, ()) = tokio::join!(posting, leaving);
        assert_eq!(posted, Err(Gone));
        outbox.gone().await;
    }
}
