//! Whether a connected server still lives, asked when a call has waited for it in vain.
//!
//! Asking from time to time would cost every server something and find little: most of those that go away are found by
//! the next call. What that cannot tell from slowness is silence, so silence is what is followed up.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tollhouse_core::fault::Kind;
use tracing::warn;

use super::{Link, Remote, State, Upstream, ask, duplex};
use crate::clocks::Clocks;
use crate::failure::Failure;

/// A server that may have fallen silent has this long to answer.
const LIVENESS: Duration = Duration::from_secs(10);

impl Upstream {
    /// A call has waited for the server in vain: is it still there?
    pub(crate) fn doubt(self: &Arc<Self>, link: Option<&Link>) {
        let Some(Link::Duplex(connection)) = link else { return self.wanted.notify_one() };
        if !connection.doubt() {
            return;
        }
        // The process or stream of one session, which nobody attends.
        let (upstream, connection) = (self.clone(), connection.clone());
        self.tasks.spawn(async move {
            let clocks = upstream.start_clocks();
            tokio::select! {
                () = connection.ended() => {}
                dumb = connection.is_dumb(ask::ping, &clocks) => if dumb {
                    warn!(target: "tollhouse.server", server = %upstream.id, "the connection of a session says nothing any more, so it is ended");
                    connection.close();
                }
            }
        });
    }

    /// Returns once the server is down.
    pub(super) async fn watch_http(&self, remote: &Remote) {
        let mut status = self.status.subscribe();
        loop {
            tokio::select! {
                // The sender lives as long as `self`.
                _ = status.wait_for(|status| status.state == State::Down) => return,
                () = self.wanted.notified() => {}
            }
            // Whatever it says, it lives.
            if let Err(failure) = remote.ask_anything(&self.liveness_clocks()).await
                && matches!(failure.fault.kind, Kind::Unreachable | Kind::Tls | Kind::Timeout | Kind::Lost)
            {
                return self.down(&failure, None);
            }
        }
    }

    /// Asks the process whether it lives whenever a call has waited for it in vain. One that says nothing at all for
    /// as long as its start may take is ended, so that another can take its place: the failure says so.
    pub(super) async fn watch_shared(&self, connection: &Arc<duplex::Connection>) -> Failure {
        loop {
            self.wanted.notified().await;
            let (limit, start) = (self.liveness_clocks(), self.start_clocks());
            let mut silent = pin!(connection.is_dumb(ask::discover, &start));
            let dumb = match limit.within(silent.as_mut()).await {
                Ok(dumb) => dumb,
                Err(failure) => {
                    connection.refuse_calls();
                    self.down(&failure, None);
                    silent.await
                }
            };
            if dumb {
                connection.close();
                return Failure::new(Kind::Lost, "it said nothing any more, so its process was ended");
            }
            if let Some(eras) = self.eras().filter(|_| self.is_away() && !connection.has_ended()) {
                self.connected(eras);
            }
        }
    }

    fn liveness_clocks(&self) -> Clocks {
        self.clocks(LIVENESS.min(self.timeouts.start))
    }
}

impl Remote {
    /// Asks for something that costs little, over the transport the server speaks.
    async fn ask_anything(&self, clocks: &Clocks) -> Result<(), Failure> {
        if self.speaks_sse() {
            return self.sse.stream(clocks).await.map(drop);
        }
        let id = self.streamable.mint_id();
        self.streamable.ask(ask::discover(id), id, "server/discover", None, None, clocks).await.map(drop)
    }
}
