//! The admin listener: door, routes, the headers every answer carries.
//!
//! `GET /healthz`, `GET /readyz`, `GET /health`, `GET /metrics`; behind a login, if there is one, pages, `/events`, and what [`crate::api`]
//! lists; `HEAD` likewise. Anything else is 404, but only for who comes under a name of ours.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::FutureExt as _;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tollhouse_proxy::settings::FrontDoor;

use crate::api::{self, Recorded};
use crate::events::{self, Events};
use crate::front_door::Names;
use crate::health::{Health, Phase, Report};
use crate::login::{self, Entrance, Login};
use crate::pages::{self, Pages};
use crate::settings::Settings;
use crate::usage::{Coverage, Usage};

/// After the stop, an answer under way gets this long; a health answer takes microseconds.
const FINISH: Duration = Duration::from_secs(2);
/// Connections at once; more wait in the socket's queue. Probes and people need a handful.
const CONNECTIONS_MAX: usize = 128;
/// For the head of a request, the first or the next. Who says nothing for so long gives up his place.
const PATIENCE: Duration = Duration::from_secs(30);
/// After an accept that did not succeed.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers are read by probes and people, never by other sites' pages, and none may be kept.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// What counts, written when it is asked for: for what the header `Accept` says, the media type and what is written in it. Must not
/// block or wait.
pub type Figures = Arc<dyn Fn(&str) -> (&'static str, Vec<u8>) + Send + Sync>;

/// What the listener shows.
#[derive(Clone)]
pub struct Shown {
    /// How things stand.
    pub health: Arc<dyn Health>,
    /// What was recorded, if it is kept.
    pub recorded: Option<Recorded>,
    /// The configuration in force.
    pub settings: Settings,
    /// What is counted, if it is.
    pub metrics: Option<Figures>,
    /// Of which share of calls things are known, if that is counted.
    pub coverage: Option<Coverage>,
    /// What lets somebody see pages and ask the API; without it everybody who reaches the listener may.
    pub login: Option<Arc<Login>>,
}

impl Shown {
    /// Health alone.
    pub fn health(health: impl Health) -> Self {
        Self {
            health: Arc::new(health),
            recorded: None,
            settings: watch::channel(Arc::from([])).1,
            metrics: None,
            coverage: None,
            login: None,
        }
    }
}

/// Why the listener does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket does not know its own address, so that no name could be checked.
    #[error("name the admin listener's address")]
    Address(#[source] std::io::Error),
}

/// Serves the admin listener until `stop`, then finishes what is being answered. Who is let in is looked up in
/// `front_door` for each request.
///
/// # Errors
/// [`Error::Address`]: nothing is served.
///
/// # Cancel safety
/// Dropping it closes the listener and every connection.
pub async fn serve(
    listener: TcpListener,
    shown: Shown,
    front_door: watch::Receiver<FrontDoor>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let usage = shown.recorded.as_ref().map(|recorded| recorded.usage().clone());
    let door = Door { bound: listener.local_addr().map_err(Error::Address)?, configured: front_door, usage };
    let service = TowerToHyperService::new(routes(shown, door, stop.clone()));
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Taken out as they end, so that the set holds open ones alone.
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, service.clone(), stop.clone()));
            }
            // One connection's trouble, or no descriptors left for a moment: neither ends the listener.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    drop(listener);
    let finishing = async { while connections.join_next().await.is_some() {} };
    // What is not finished by then is dropped with the set.
    let _ = tokio::time::timeout(FINISH, finishing).await;
    Ok(())
}

async fn connection(stream: TcpStream, service: TowerToHyperService<Router>, stop: CancellationToken) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    // A probe that leaves mid-sentence is its own affair.
    drop(ended);
}

/// Which names are let in at this moment, and what is counted of who comes.
struct Door {
    bound: SocketAddr,
    configured: watch::Receiver<FrontDoor>,
    usage: Option<Arc<Usage>>,
}

fn routes(shown: Shown, door: Door, stop: CancellationToken) -> Router {
    let Shown { health, recorded, settings, metrics, coverage, login } = shown;
    let kept = recorded.is_some();
    let guarded = recorded.map(|recorded| {
        let events = Events::new(recorded.clone(), health.clone(), stop);
        let streams = Router::new().route("/events", get(events::follow)).with_state(events);
        let api = api::routes(recorded.clone(), health.clone(), settings.clone());
        pages::routes(Pages { health: health.clone(), recorded, settings, coverage }).merge(streams).merge(api)
    });
    let (mut guarded, mut entrance) = (guarded.unwrap_or_default(), Router::new());
    if let Some(login) = login.filter(|_| kept) {
        let state = Entrance::new(login, door.bound.port());
        guarded = guarded.layer(from_fn_with_state(state.clone(), login::guard));
        entrance = Router::new()
            .route("/login", get(login::enter).post(login::prove))
            .route("/login/link", post(login::link))
            .route("/logout", post(login::leave))
            .with_state(state);
    }
    let health = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/health", get(report))
        .with_state(health);
    let metrics =
        metrics.map(|figures| Router::new().route("/metrics", get(fetched)).with_state(figures)).unwrap_or_default();
    Router::new()
        .merge(health)
        .merge(guarded)
        .merge(entrance)
        .merge(metrics)
        .fallback(async move |request: Request| nothing(&request, kept))
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"))
        .layer(from_fn_with_state(Arc::new(door), check))
}

/// There is no such page: said as a page to a browser, in a line to a program.
fn nothing(request: &Request, kept: bool) -> Response {
    if login::wants_page(request.method(), request.headers()) {
        pages::missing(kept)
    } else {
        (StatusCode::NOT_FOUND, "no such page\n").into_response()
    }
}

async fn check(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    // A probe asks a few times a minute: the names need not be kept.
    let names = Names::new(door.bound, &door.configured.borrow());
    let path = door.usage.as_ref().map(|_| request.uri().path().to_owned());
    let mut response = match names.admit(request.uri(), request.headers()) {
        // Whatever breaks while one answer is made must not look like a listener that has gone.
        Ok(()) => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| pages::broken()),
        Err(refusal) => (StatusCode::FORBIDDEN, format!("{refusal}\n")).into_response(),
    };
    if let (Some(usage), Some(path)) = (&door.usage, path) {
        usage.asked(&path, response.status());
    }
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

async fn fetched(State(figures): State<Figures>, headers: HeaderMap) -> impl IntoResponse {
    let accepted: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let (media_type, written) = figures(&accepted.join(","));
    ([(CONTENT_TYPE, media_type)], written)
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

#[cfg(test)]
mod looked;
