//! The admin listener: door, routes, the headers every answer carries.
//!
//! `GET /healthz`, `GET /readyz`, `GET /health`; `HEAD` likewise. Anything else is 404, but only for who is let in.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tollhouse_proxy::settings::FrontDoor;

use crate::front_door::Names;
use crate::health::{Health, Phase, Report};

/// After the stop, an answer under way gets this long; a health answer takes microseconds.
const FINISH: Duration = Duration::from_secs(2);

/// Answers are read by probes and people, never by other sites' pages, and none may be kept.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Why the listener does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket gave an error that is not one connection's.
    #[error("the admin listener stopped")]
    Listener(#[source] std::io::Error),
}

/// Serves the admin listener until `stop`, then finishes what is being answered.
///
/// # Errors
/// [`Error::Listener`]: the socket is of no more use; nothing is served.
///
/// # Cancel safety
/// Dropping it closes the listener; connections end with the runtime.
pub async fn serve(
    listener: TcpListener,
    health: Arc<dyn Health>,
    front_door: &FrontDoor,
    stop: CancellationToken,
) -> Result<(), Error> {
    let names = Names::new(listener.local_addr().map_err(Error::Listener)?, front_door);
    let serving = axum::serve(listener, routes(health, names)).with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(FINISH).await;
    };
    tokio::select! {
        ended = async { serving.await } => ended.map_err(Error::Listener),
        () = overdue => Ok(()),
    }
}

fn routes(health: Arc<dyn Health>, names: Names) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/health", get(report))
        .fallback(async || (StatusCode::NOT_FOUND, "no such page\n"))
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"))
        .layer(from_fn_with_state(Arc::new(names), door))
        .with_state(health)
}

async fn door(State(names): State<Arc<Names>>, request: Request, next: Next) -> Response {
    let mut response = match names.admit(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => (StatusCode::FORBIDDEN, format!("{refusal}\n")).into_response(),
    };
    response.headers_mut().extend(HEADERS);
    response
}

async fn ready(State(health): State<Arc<dyn Health>>) -> (StatusCode, &'static str) {
    match health.snapshot().phase {
        Phase::Serving => (StatusCode::OK, "ready\n"),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn report(State(health): State<Arc<dyn Health>>) -> Json<Report> {
    Json(Report::from(health.snapshot()))
}

#[cfg(test)]
mod tests;
