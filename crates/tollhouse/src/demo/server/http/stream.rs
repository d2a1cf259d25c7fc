//! Event streams: a log that may be read from any place, and the body that reads it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use super::super::engine::Notify;

/// Events of one stream handed to the connection ahead of its reader; more wait in the log.
const AHEAD: usize = 8;
/// How long a client waits before it resumes.
const RETRY: &str = "retry: 1000\n";

/// One event. Messages are JSON on one line, so one `data` line holds them.
pub(super) fn event(id: Option<&str>, data: &str) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    Bytes::from(format!("{id}data: {data}\n\n"))
}

/// All events of one answer, from the first.
pub(super) struct Log {
    number: u64,
    /// Whether events have ids. Before 2025-11-25 clients take the priming event's empty data for a message.
    primed: bool,
    events: Mutex<Vec<Bytes>>,
    /// Whether more may come; each change wakes the readers.
    open: watch::Sender<bool>,
}

impl Log {
    pub(super) fn new(number: u64, primed: bool) -> Self {
        let first = Bytes::from(format!("id: {number}-0\n{RETRY}data:\n\n"));
        let events = if primed { vec![first] } else { Vec::new() };
        Self { number, primed, events: Mutex::new(events), open: watch::Sender::new(true) }
    }

    pub(super) fn push(&self, data: &str) {
        {
            let mut events = self.events();
            let id = self.primed.then(|| format!("{}-{}", self.number, events.len()));
            events.push(event(id.as_deref(), data));
        }
        self.open.send_replace(true);
    }

    /// Says that nothing more will come.
    pub(super) fn end(&self) {
        self.open.send_replace(false);
    }

    pub(super) fn len(&self) -> usize {
        self.events().len()
    }

    /// Reads from event number `from` to the end, also of what is still to come.
    pub(super) fn follow(self: &Arc<Self>, from: usize, tasks: &TaskTracker) -> Follower {
        let (sender, body) = mpsc::channel(AHEAD);
        let (log, mut open) = (Arc::clone(self), self.open.subscribe());
        tasks.spawn(async move {
            let mut at = from;
            loop {
                // Looked at before the events: what ended after this look is seen in the next round.
                let more = *open.borrow_and_update();
                let next: Vec<Bytes> = log.events().iter().skip(at).cloned().collect();
                at += next.len();
                for event in next {
                    if sender.send(event).await.is_err() {
                        return;
                    }
                }
                if !more {
                    return;
                }
                let gone = tokio::select! {
                    changed = open.changed() => changed.is_err(),
                    () = sender.closed() => true,
                };
                if gone {
                    return;
                }
            }
        });
        Follower(body)
    }

    fn events(&self) -> std::sync::MutexGuard<'_, Vec<Bytes>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notify for Log {
    fn notify(&self, message: Value) {
        self.push(&message.to_string());
    }
}

/// A response body that ends when its sender is gone.
pub(super) struct Follower(pub(super) mpsc::Receiver<Bytes>);

impl Body for Follower {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
