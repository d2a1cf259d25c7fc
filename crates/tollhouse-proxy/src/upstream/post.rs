//! What is said to a server by POST, one message a request, while it answers on an event stream: the sending half of
//! HTTP+SSE.
//!
//! A request that has begun goes on to its end, whoever waited for it: in the legacy era a disconnect is no
//! cancellation, and half a request would leave open what became of it.
//!
//! Path: call → `duplex` → **`post`** → server → `sse` → outcome.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollhouse_core::context;
use tollhouse_core::fault::Kind;

use super::http::{Server, refused};
use crate::clocks::Clocks;
use crate::failure::Failure;

/// Requests under way over one connection. Full: who may wait waits, everything else is dropped and counted.
const POSTS: usize = 256;

/// Posts to the URI that a server named. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Poster {
    server: Arc<Server>,
    target: Uri,
    /// Some servers end their answer only when they have done what was asked.
    patience: Duration,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Cancelled when the connection is to end, also since the server does not know it any more or takes nothing.
    stop: CancellationToken,
}

impl Poster {
    pub(crate) fn new(
        server: Arc<Server>,
        target: Uri,
        patience: Duration,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self { server, target, patience, room: Arc::new(Semaphore::new(POSTS)), tasks, stop }
    }

    /// Posts `message` and returns once the server has taken it; `passed` are headers of the caller.
    ///
    /// # Errors
    /// The server could not be reached or refused it; [`Kind::SessionGone`] means that it has forgotten the connection.
    ///
    /// # Cancel safety
    /// Dropped while it waits for room, the message is not sent; later it is sent all the same.
    pub(crate) async fn send(&self, message: Bytes, passed: HeaderMap) -> Result<(), Failure> {
        let permit = self.room.clone().acquire_owned().await.expect("it is never closed");
        let (taken, answer) = oneshot::channel();
        self.tasks.spawn(context::carried(self.clone().carry(message, passed, permit, taken)));
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Posts `message` and waits for nothing. False if there is no room for it.
    pub(crate) fn send_later(&self, message: Bytes) -> bool {
        let Ok(permit) = self.room.clone().try_acquire_owned() else { return false };
        let (taken, _) = oneshot::channel();
        self.tasks.spawn(context::carried(self.clone().carry(message, HeaderMap::new(), permit, taken)));
        true
    }

    async fn carry(
        self,
        message: Bytes,
        passed: HeaderMap,
        _permit: OwnedSemaphorePermit,
        taken: oneshot::Sender<Result<(), Failure>>,
    ) {
        let posting = timeout(self.patience, self.post(message, passed));
        let result = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(closed()),
            posted = posting => posted
                .unwrap_or_else(|_| Err(Failure::new(Kind::Timeout, "the server did not take the message"))),
        };
        let of_no_use = |failure: &Failure| matches!(failure.fault.kind, Kind::SessionGone | Kind::Timeout);
        if result.as_ref().is_err_and(of_no_use) {
            self.stop.cancel();
        }
        // Who left needs no answer.
        let _ = taken.send(result);
    }

    async fn post(&self, message: Bytes, passed: HeaderMap) -> Result<(), Failure> {
        let answer = self.server.bare(Method::POST, self.target.clone(), passed, message).await?;
        let status = answer.head.status;
        // 2024-11-05 says nothing of what is in it, and nobody reads it; read, it gives its connection back.
        let _ = answer.body.whole(self.server.answer_limit(), &Clocks::unlimited()).await;
        match status {
            status if status.is_success() => Ok(()),
            // The URI names the connection, so it is that which the server does not know.
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                Err(Failure::new(Kind::SessionGone, format_args!("the server answered HTTP {status}")))
            }
            status => Err(refused(status, None)),
        }
    }
}

fn closed() -> Failure {
    Failure::new(Kind::Lost, "the connection to the server was closed")
}
