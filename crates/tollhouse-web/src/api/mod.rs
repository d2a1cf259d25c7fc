//! What was recorded, as JSON: calls, traces, sessions, errors, figures.
//!
//! Everything is a `GET` below `/api/v1`; times are in microseconds since 1970 (`…_us`) or milliseconds (`…_ms`), as their
//! names say. Answers only ever gain members. What went wrong is `application/problem+json` (RFC 9457).
//!
//! | Path | Answers |
//! |---|---|
//! | `/api/v1/calls` | calls, newest first; `?follow=true` those that come, a line each |
//! | `/api/v1/calls/{id}` | one call |
//! | `/api/v1/traces/{id}` | the calls of a trace, oldest first |
//! | `/api/v1/sessions` | sessions, the last used first |
//! | `/api/v1/sessions/{id}` | the calls of a session, newest first |
//! | `/api/v1/errors` | failures by kind, the last first |
//! | `/api/v1/figures` | calls, failures, percentiles, over time or in all |

mod calls;
mod errors;
mod figures;
pub(crate) mod problem;
pub(crate) mod query;
mod sessions;
mod traces;

pub use calls::{CallView, Calls};
pub use errors::{ErrorView, Errors};
pub use figures::{FigureView, Figures};
pub use sessions::{SessionView, Sessions};
pub use traces::Trace;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio::sync::broadcast;
use tollhouse_store::{Call, Store};

use crate::feed::Feed;

/// Calls that a follower may be behind. Beyond that it misses some, and is told how many.
const FOLLOWED: usize = 1000;

/// Where the API finds what was recorded.
#[derive(Clone)]
pub struct Recorded {
    store: Arc<Store>,
    /// Calls as they are recorded, each to every follower.
    followers: broadcast::Sender<Arc<Call>>,
    /// The newest calls, for pages.
    feed: Arc<Feed>,
}

impl Recorded {
    /// What `store` keeps; nothing is followed yet.
    pub fn new(store: Arc<Store>) -> Self {
        // Full: followers miss the oldest, and are told.
        Self { store, followers: broadcast::Sender::new(FOLLOWED), feed: Arc::new(Feed::new()) }
    }

    /// Shows a call to whoever follows. Never waits.
    pub fn show(&self, call: &Call) {
        let (followed, watched) = (self.followers.receiver_count() > 0, self.feed.watched());
        let shared = (followed || watched).then(|| Arc::new(call.clone()));
        if let Some(call) = shared.clone().filter(|_| followed) {
            _ = self.followers.send(call);
        }
        self.feed.push(shared.filter(|_| watched));
    }

    /// The newest calls, as pages watch them.
    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The store itself.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

pub(crate) fn routes(recorded: Recorded) -> Router {
    Router::new()
        .route("/api/v1/calls", get(calls::list))
        .route("/api/v1/calls/{id}", get(calls::one))
        .route("/api/v1/traces/{id}", get(traces::one))
        .route("/api/v1/sessions", get(sessions::list))
        .route("/api/v1/sessions/{id}", get(sessions::one))
        .route("/api/v1/errors", get(errors::list))
        .route("/api/v1/figures", get(figures::list))
        .with_state(recorded)
}
