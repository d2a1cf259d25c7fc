//! The dashboard: pages that show how things stand and what was recorded.
//!
//! A page is made on the server, whole, each time it is asked for: its address says all that is shown, links and forms change the address, and
//! so it works without a script. With one (`assets/`), a link fetches the page and changes what differs, and the stream `/events` says when to
//! fetch it again. There is one way from figures to markup, and no other beside it.
//!
//! A page is a module here, a template that extends `frame.html`, a place in [`frame::PLACES`] and a route below.

mod calls;
mod overview;

mod frame;
mod assets;
mod slots;
mod address;
mod text;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::get;

use crate::api::Recorded;
use crate::health::Health;

/// What pages are made of.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) health: Arc<dyn Health>,
    pub(crate) recorded: Recorded,
}

/// A page, or why there is none.
type Answer = Result<Response, frame::Missing>;

pub(crate) fn routes(pages: Pages) -> Router {
    Router::new()
        .route("/", get(overview::page))
        .route("/calls", get(calls::page))
        .with_state(pages)
        .route("/assets/{hash}/{name}", get(assets::one))
}
