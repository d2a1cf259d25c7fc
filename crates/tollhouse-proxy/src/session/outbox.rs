//! What waits for a client to which everything goes over one channel: a pipe, or the event stream of HTTP+SSE.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use tollhouse_core::wire::{Envelope, Form};

/// Messages that wait for the client to read. See [`WhenFull`].
const OUTBOX: usize = 64;

/// The way to one client. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Bytes>,
    full: WhenFull,
    dropped: Arc<AtomicU64>,
}

/// What happens to a message for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// It waits, and with it the call it belongs to.
    Wait,
    /// Answers and questions wait; notifications are dropped and counted.
    DropNotifications,
}

impl Outbox {
    /// An outbox, and what comes out of it.
    pub(crate) fn new(full: WhenFull) -> (Self, mpsc::Receiver<Bytes>) {
        let (queue, messages) = mpsc::channel(OUTBOX);
        (Self { queue, full, dropped: Arc::default() }, messages)
    }

    /// Sends a message to the client. One that is gone gets nothing, and its calls end all the same.
    pub(crate) async fn say(&self, message: Bytes) {
        match self.queue.try_send(message) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(message)) => {
                if self.full == WhenFull::DropNotifications && is_notification(&message) {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                } else {
                    // It fails when the client is gone.
                    let _ = self.queue.send(message).await;
                }
            }
        }
    }

    /// Notifications that were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

fn is_notification(message: &Bytes) -> bool {
    Envelope::parse(message.clone()).is_ok_and(|envelope| matches!(envelope.form, Form::Notification { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn when_nobody_reads_notifications_are_dropped_and_answers_wait() {
        let notification = || Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/message"}"#);
        let answer = || Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        let (outbox, mut messages) = Outbox::new(WhenFull::DropNotifications);
        for _ in 0..OUTBOX + 5 {
            outbox.say(notification()).await;
        }
        assert_eq!(outbox.dropped(), 5);
        let reading = async {
            let mut read = Vec::new();
            while read.len() <= OUTBOX {
                read.push(messages.recv().await.unwrap());
            }
            read
        };
        let ((), read) = tokio::join!(outbox.say(answer()), reading);
        assert_eq!((read.last(), outbox.dropped()), (Some(&answer()), 5));
    }
}
