//! What is done about a server that does not answer: who waits for it, how long, and who is told at once.
//!
//! A call waits for the first probe, since that will soon be over; it has a server that is down asked anew, for that may
//! be back. A question to several servers waits for none of them, or the slowest would decide for all. The whole of it
//! is told in `docs/internals/away.md`.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use tollhouse_core::era::Era;
use tollhouse_core::fault::Fault;

use super::{Eras, State, Upstream, Wire};
use crate::clocks::Clocks;
use crate::failure::Failure;
use crate::retry::Rounds;

/// How long a call waits for what comes of asking a server that was down.
const VERDICT: Duration = Duration::from_secs(1);
/// For so long after its start a server is waited for by questions that several servers are asked. Later its answer is
/// left out until it comes.
const SETTLING: Duration = Duration::from_secs(5);

impl Upstream {
    /// The same of a server that is not known to answer: its first probe is waited for; one that is down is asked
    /// anew, and what comes of that is waited for, too, but not long.
    pub(super) async fn found_eras(&self, clocks: &Clocks) -> Result<Eras, Failure> {
        let mut watch = self.status.subscribe();
        let before = watch.borrow_and_update().clone();
        match (&self.wire, before.state, before.eras) {
            (_, State::Connecting, _) => {
                let first = watch.wait_for(|status| status.state != State::Connecting);
                _ = clocks.within(first).await?;
            }
            // Which of its processes live is seen when one is wanted.
            (Wire::Stdio(_), _, Some(eras)) => return Ok(eras),
            (Wire::Http(_), State::Down, _) => {
                self.wanted.notify_one();
                let verdict = watch.wait_for(|status| status.verdicts != before.verdicts);
                _ = clocks.within(timeout(VERDICT, verdict)).await?;
            }
            _ => {}
        }
        let status = self.status();
        match (status.state, status.eras) {
            (State::Connected, Some(eras)) => Ok(eras),
            _ => Err(status.failure()),
        }
    }

    /// Is the server there for a caller of this era? For a question that several servers are asked: who is not there does
    /// not hold up the others, but for a moment after the start.
    ///
    /// # Errors
    /// It is not there; the question is not for it.
    pub(crate) async fn joins(&self, era: Era) -> Result<(), Failure> {
        let mut watch = self.status.subscribe();
        let settled = watch.wait_for(|status| status.state != State::Connecting);
        _ = timeout_at(self.created + SETTLING, settled).await;
        let status = self.status();
        match (&self.wire, status.state, status.eras) {
            (_, State::Connected, Some(_)) => Ok(()),
            // The processes of sessions are their own.
            (Wire::Stdio(_), _, Some(_)) if era == Era::Legacy => Ok(()),
            (wire, ..) => {
                // For the next question. When a process is started is not for callers to say.
                if matches!(wire, Wire::Http(_)) {
                    self.wanted.notify_one();
                }
                Err(status.failure())
            }
        }
    }

    /// Is the server known not to answer?
    pub(crate) fn is_away(&self) -> bool {
        self.status.borrow().state != State::Connected
    }

    /// How long a call waits until it is tried again; `None` if its failure stands. That is the policy's affair, except
    /// that nobody waits for a server that was away for longer than all pauses when the call came, or will not be
    /// started in time.
    pub(crate) fn pause_before_retry(&self, rounds: &mut Rounds<'_>, fault: Fault) -> Option<Duration> {
        let span = self.retry.span();
        let (requests, gone) = {
            let status = self.status.borrow();
            let late = status.again.is_some_and(|again| again > Instant::now() + span);
            let long = rounds.untouched() && status.since.elapsed() > span;
            (self.requests(), status.state == State::Down && (late || long))
        };
        if gone { None } else { rounds.next(fault, requests) }
    }

    /// How many requests it has been sent, by the ids they got.
    fn requests(&self) -> u64 {
        match &self.wire {
            Wire::Http(remote) => remote.streamable.minted(),
            Wire::Stdio(_) => {
                let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
                shared.as_ref().map_or(0, |connection| connection.minted())
            }
        }
    }
}
