//! Where clients of HTTP+SSE post to: each has an event stream open, and the URI it was told names that stream.
//!
//! The id in the URI is all that ties a message to its session, so nobody can guess it, and it is written nowhere else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tollhouse_core::wire::Envelope;

use super::legacy::{Endpoint, unguessable};

/// Messages of one client that wait to be looked at. Full: its next POST waits.
const POSTED: usize = 64;

/// The mailboxes of all streams that are open. Each has its place among the sessions, which bounds them.
#[derive(Default)]
pub(crate) struct Mailboxes {
    open: Mutex<Open>,
}

/// Where each was opened, and the way into it, by its id.
type Open = HashMap<Arc<str>, (Endpoint, mpsc::Sender<Posted>)>;

/// A message as it was posted.
pub(crate) struct Posted {
    pub(crate) received: Instant,
    pub(crate) headers: HeaderMap,
    pub(crate) envelope: Envelope,
}

/// The mailbox of one stream. Dropped, nothing more can be posted to it.
pub(crate) struct Mailbox {
    pub(crate) id: Arc<str>,
    posted: mpsc::Receiver<Posted>,
    all: Arc<Mailboxes>,
}

impl Mailboxes {
    /// A mailbox for a stream that was opened at `endpoint`.
    pub(crate) fn open(self: &Arc<Self>, endpoint: Endpoint) -> Mailbox {
        let (sender, posted) = mpsc::channel(POSTED);
        let id = unguessable();
        self.lock().insert(id.clone(), (endpoint, sender));
        Mailbox { id, posted, all: self.clone() }
    }

    /// The way into the mailbox `id`, if it belongs to `endpoint`.
    pub(crate) fn find(&self, id: &str, endpoint: Endpoint) -> Option<mpsc::Sender<Posted>> {
        self.lock().get(id).filter(|(of, _)| *of == endpoint).map(|(_, sender)| sender.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    /// The next message. There is always a sender, so this ends with the mailbox only.
    pub(crate) async fn next(&mut self) -> Option<Posted> {
        self.posted.recv().await
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}
