//! What waits for a client to which everything goes over one channel: a pipe, or the event stream of HTTP+SSE.

use bytes::Bytes;
use tokio::sync::mpsc;

/// Messages that wait to be written. Full: the next waits, and with it the call it belongs to.
const OUTBOX: usize = 64;

/// The way to one client. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outbox(mpsc::Sender<Bytes>);

impl Outbox {
    /// An outbox, and what comes out of it.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Bytes>) {
        let (queue, messages) = mpsc::channel(OUTBOX);
        (Self(queue), messages)
    }

    /// Sends a message to the client. One that is gone gets nothing, and its calls end all the same.
    pub(crate) async fn say(&self, message: Bytes) {
        let _ = self.0.send(message).await;
    }
}
