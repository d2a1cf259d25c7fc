//! The dashboard: pages that show how things stand and what was recorded.
//!
//! A page is made on the server, whole, each time it is asked for: its address says all that is shown, links and forms change the address, and
//! so it works without a script. With one (`assets/`), a link fetches the page and changes what differs, and the stream `/events` says when to
//! fetch it again. There is one way from figures to markup, and no other beside it.
//!
//! A page is a module here, a template that extends `frame.html`, a place in [`frame::PLACES`] and a route below.

mod overview;
mod calls;
mod traces;
mod sessions;
mod errors;
mod servers;
mod settings;

mod pick;
mod slots;
mod frame;
mod assets;
mod address;
mod text;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use tollhouse_store::question::{By, Figure, Numbers, Times};

use crate::api::{Recorded, SLOTS_IN_ALL, fitting};
use crate::health::Health;
use crate::settings::Settings;
use crate::usage::Coverage;

/// What pages are made of.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) health: Arc<dyn Health>,
    pub(crate) recorded: Recorded,
    pub(crate) settings: Settings,
    pub(crate) coverage: Option<Coverage>,
}

/// A page, or why there is none.
type Answer = Result<Response, frame::Missing>;

/// The servers and tools that can be chosen: servers that are configured, and what was called in the range of `address`.
async fn offered(pages: &Pages, address: &address::Address) -> Result<(Vec<String>, Vec<String>), frame::Missing> {
    let range = address.span();
    let width = fitting(range, SLOTS_IN_ALL);
    let numbers = Numbers { range, width, by: By::Tool, server: None, over_time: false, times: Times::None };
    let called = pages.recorded.store().read(move |reader| reader.numbers(&numbers)).await?;
    let mut servers: BTreeSet<String> = pages.health.snapshot().servers.into_iter().map(|server| server.id).collect();
    let mut tools = BTreeSet::new();
    for Figure { group: [server, name], .. } in called {
        servers.extend((!server.is_empty()).then(|| server.into()));
        // Methods stand there too; only they have a slash.
        tools.extend((!name.is_empty() && !name.contains('/')).then(|| name.into()));
    }
    // What cannot be seen cannot be chosen from a list.
    let seen = |names: BTreeSet<String>| names.into_iter().filter(|name| text::seen(name) == *name).collect();
    Ok((seen(servers), seen(tools)))
}

pub(crate) fn routes(pages: Pages) -> Router {
    Router::new()
        .route("/", get(overview::page))
        .route("/calls", get(calls::page))
        .route("/traces", get(traces::list))
        .route("/traces/{id}", get(traces::one))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", get(sessions::one))
        .route("/errors", get(errors::page))
        .route("/settings", get(settings::page))
        .route("/servers", get(servers::list))
        .route("/servers/{id}", get(servers::one))
        .route("/servers/{id}/tools/{name}", get(servers::tool))
        .with_state(pages)
        .route("/assets/{hash}/{name}", get(assets::one))
}

/// Answers for somebody who has logged in.
pub(crate) async fn within<T>(answering: impl Future<Output = T>) -> T {
    frame::within(answering).await
}

/// The page that asks who it is; from there on to `next`.
pub(crate) fn login(status: StatusCode, next: &str, wrong: Option<&'static str>) -> Response {
    frame::login(status, next, wrong)
}

/// The page that says that there is none.
pub(crate) fn missing(kept: bool) -> Response {
    let detail = if kept {
        "There is no such page."
    } else {
        "This gateway keeps nothing of what passes, so there is nothing to show. Its store is switched off."
    };
    frame::Missing::unknown(detail).into_response()
}

/// The page that says that something of ours is broken.
pub(crate) fn broken() -> Response {
    frame::Missing::broken().into_response()
}

/// A moment as it stands in an address.
#[cfg(test)]
pub(crate) fn rfc3339(at_us: u64) -> String {
    text::rfc3339(at_us)
}

/// Foreign text as it may be shown.
#[cfg(test)]
pub(crate) fn seen(text: &str) -> String {
    text::seen(text)
}

/// Text as it may stand in an address.
#[cfg(test)]
pub(crate) fn encoded(text: &str) -> String {
    address::encoded(text)
}
