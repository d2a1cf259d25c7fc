//! A listen at one server, passed through: its notices as they are, equal ones of changed lists once a second.
//!
//! The gateway ends it when it drains, with the result that a server would send.

use bytes::Bytes;
use http::StatusCode;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tollhouse_core::record::{Listener, Outcome};

use super::{Cancel, Message, Step, Streaming};
use crate::answer;
use crate::failure::Failure;
use crate::kinds::Topic;
use crate::notices::pace::Pace;
use crate::upstream::{Heard, Reply, Upstream};

/// The notices of changed lists that wait.
#[derive(Default)]
pub(super) struct Paced {
    paces: [Pace; Topic::ALL.len()],
    held: [Option<Bytes>; Topic::ALL.len()],
    /// A client on a pipe was told that it ends.
    ending: bool,
}

/// What a listen waited for.
pub(super) enum Pass {
    /// What the server said; nothing if the client left.
    Through(Option<Result<Heard, Failure>>),
    /// A notice that had to wait.
    Held(Bytes),
    /// The gateway drains.
    End,
}

impl Paced {
    /// Waits for what comes next.
    pub(super) async fn next(
        &mut self,
        reply: &mut Reply,
        server: &Upstream,
        draining: &CancellationToken,
        cancel: &Cancel,
    ) -> Pass {
        loop {
            let now = Instant::now();
            if let Some(topic) = Topic::ALL.into_iter().find(|topic| self.paces[*topic as usize].take(now))
                && let Some(notice) = self.held[topic as usize].take()
            {
                return Pass::Held(notice);
            }
            let due = self.paces.iter().filter_map(|pace| pace.due(now)).min();
            let next = async {
                tokio::select! {
                    biased;
                    () = draining.cancelled() => Pass::End,
                    heard = server.while_open(reply.next()) => Pass::Through(Some(heard)),
                    () = sleep_until(due.unwrap_or(now)), if due.is_some() => Pass::Through(None),
                }
            };
            match cancel.or(next).await {
                None => return Pass::Through(None),
                Some(Pass::Through(None)) => {}
                Some(pass) => return pass,
            }
        }
    }

    /// A notice of the server: now, or none, because it has to wait.
    pub(super) fn pass(&mut self, method: &str, notice: Bytes) -> Option<Bytes> {
        let Some(topic) = Topic::of(method) else { return Some(notice) };
        let (pace, now) = (&mut self.paces[topic as usize], Instant::now());
        let waits = pace.due(now).is_some();
        pace.owe();
        if !waits && pace.take(now) {
            return Some(notice);
        }
        self.held[topic as usize] = Some(notice);
        None
    }
}

impl Streaming {
    /// The gateway drains: the client gets the result, the server is told that nobody listens.
    pub(super) fn end(mut self: Box<Self>) -> (Option<Box<Self>>, Step) {
        let call = &self.attempt.call;
        if call.listener == Listener::Stdio
            && let Some(paced) = self.paced.as_mut().filter(|paced| !paced.ending)
        {
            paced.ending = true;
            let message = answer::listen_cancelled(call.raw_id());
            return (Some(self), Step::Message(message));
        }
        self.attempt.tell_cancelled("the gateway is shutting down".to_owned());
        self.attempt.call.answered();
        let bytes = answer::listen_ended(self.attempt.call.raw_id());
        (None, Step::Answer(self.attempt.conclude(Message { status: StatusCode::OK, bytes }, Outcome::Ok)))
    }
}
