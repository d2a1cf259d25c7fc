//! `/events`: says that something has changed, as server-sent events.
//!
//! A message says how many calls came that the page shows, never what they said: the page is then fetched again. `after`, or the header
//! `Last-Event-ID`, which goes before it, is how far the page has seen; what came since is told at once. If that cannot be told any more, the
//! event `reset` says so. A watcher gets four messages a second at most, what came between them in one; one that reads slowly gets
//! fewer, and misses nothing that it would not fetch anyway.
//!
//! `view` names the page that asks, for the figures of the dashboard itself. `topics=sums` waits until calls are summed up too, and `topics=health` tells of servers beside; `f`, `errors` and `min_ms` choose calls as in the API.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tollhouse_store::question::Filter;

use crate::api::Recorded;
use crate::api::problem::Problem;
use crate::api::query::Query;
use crate::feed::Seen;
use crate::health::{Health, Server};
use crate::usage::{Open, View};

/// Between two messages.
const PACE: Duration = Duration::from_millis(250);
/// Between two signs of life.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Between two looks at how servers stand.
const GLANCE: Duration = Duration::from_secs(1);
/// How long a message waits for the store to keep the calls it tells of. A store that stands still must not silence the stream.
const KEPT_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks at what the store keeps.
const LOOK: Duration = Duration::from_millis(20);
/// Streams at once: half of the connections, so that probes are answered whatever pages are open.
const STREAMS_MAX: usize = 64;

/// What a stream is made of.
#[derive(Clone)]
pub(crate) struct Events {
    recorded: Recorded,
    health: Arc<dyn Health>,
    stop: CancellationToken,
    places: Arc<Semaphore>,
}

impl Events {
    /// Streams that end with `stop`.
    pub(crate) fn new(recorded: Recorded, health: Arc<dyn Health>, stop: CancellationToken) -> Self {
        Self { recorded, health, stop, places: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }
}

/// `GET /events`.
pub(crate) async fn follow(
    State(events): State<Events>,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::new(raw.as_deref());
    let topics = query.take("topics").unwrap_or_default();
    let filter = Filter { range: tollhouse_store::question::Range::ALL, ..query.filter()? };
    let after = query.take("after");
    let view = query.take("view").and_then(|word| View::parse(&word));
    query.end()?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let Ok(place) = events.places.clone().try_acquire_owned() else {
        return Ok((StatusCode::SERVICE_UNAVAILABLE, "too many pages are open\n").into_response());
    };
    let feed = events.recorded.feed();
    let topic = |name: &str| topics.split(',').any(|topic| topic == name);
    let now = feed.attend();
    let wanted = last.or(after);
    let watcher = Watcher {
        moved: feed.moved(),
        // Without a number it begins here; with one that cannot be read, something is amiss, and all is fetched again.
        seen: match &wanted {
            None => Some(now),
            Some(text) => Seen::parse(text),
        },
        sums: topic("sums"),
        open: view.map(|view| Open::new(events.recorded.usage().clone(), view)),
        servers: topic("health").then(|| events.health.snapshot().servers),
        filter,
        events,
        begun: false,
        next: Instant::now(),
        _place: place,
    };
    let lines = stream::unfold(watcher, async |mut watcher| {
        let line = watcher.line().await?;
        Some((Ok::<_, Infallible>(Bytes::from(line)), watcher))
    });
    Ok((
        [(CONTENT_TYPE, "text/event-stream"), (HeaderName::from_static("x-accel-buffering"), "no")],
        Body::from_stream(lines),
    )
        .into_response())
}

/// Who is not let in, for a page that was open when its login ended: it asks for no more than to be told.
pub(crate) fn login() -> Response {
    ([(CONTENT_TYPE, "text/event-stream")], "event: login\ndata: {}\n\n").into_response()
}

/// One stream: how far it has got.
struct Watcher {
    events: Events,
    moved: watch::Receiver<()>,
    /// `None`: what was seen is not known here.
    seen: Option<Seen>,
    filter: Filter,
    sums: bool,
    /// How servers stood, if that is told.
    servers: Option<Vec<Server>>,
    /// The page that asks, if it says which.
    open: Option<Open>,
    begun: bool,
    /// When the next message may be sent.
    next: Instant,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    /// The next lines; `None` at the end.
    async fn line(&mut self) -> Option<String> {
        if !std::mem::replace(&mut self.begun, true) {
            // At once, so that a browser knows that it is connected, and what it missed.
            return Some(format!("retry: 1000\n\n{}", self.told().await.unwrap_or_default()));
        }
        let alive = Instant::now() + HEARTBEAT;
        loop {
            let glance = if self.servers.is_some() { GLANCE } else { HEARTBEAT };
            tokio::select! {
                () = self.events.stop.cancelled() => return None,
                moved = self.moved.changed() => moved.ok()?,
                () = sleep(glance.min(alive.saturating_duration_since(Instant::now()))) => {}
            }
            sleep_until(self.next).await;
            if let Some(news) = self.told().await {
                return Some(news);
            }
            if Instant::now() >= alive {
                let feed = self.events.recorded.feed();
                // Also a sign that somebody is there; and an id without data is only remembered.
                feed.attend();
                let seen = self.seen.map(|seen| format!("id: {seen}\n")).unwrap_or_default();
                return Some(format!(": alive\n{seen}\n"));
            }
        }
    }

    /// What is to be told, counted as a change of the page.
    async fn told(&mut self) -> Option<String> {
        let news = self.news().await?;
        if let Some(open) = &self.open {
            open.refreshed();
        }
        Some(news)
    }

    /// What has changed, if anything has that this stream tells of.
    async fn news(&mut self) -> Option<String> {
        self.moved.borrow_and_update();
        let recorded = self.events.recorded.clone();
        recorded.feed().attend();
        let Some(seen) = self.seen else {
            let until = recorded.feed().attend();
            return Some(self.reset(until));
        };
        let since = recorded.feed().since(seen);
        let until = since.until;
        let Some(calls) = since.calls else {
            self.kept(until).await;
            return Some(self.reset(until));
        };
        self.seen = Some(until);
        let calls = calls.iter().filter(|call| self.filter.wants(call)).count();
        let health = self.health_moved();
        if calls == 0 && !health {
            return None;
        }
        self.kept(until).await;
        self.next = Instant::now() + PACE;
        Some(format!("id: {until}\ndata: {{\"calls\":{calls},\"health\":{health}}}\n\n"))
    }

    fn reset(&mut self, until: Seen) -> String {
        self.seen = Some(until);
        self.next = Instant::now() + PACE;
        format!("event: reset\nid: {until}\ndata: {{}}\n\n")
    }

    /// Do servers stand otherwise than a moment ago?
    fn health_moved(&mut self) -> bool {
        let Some(known) = &mut self.servers else { return false };
        let now = self.events.health.snapshot().servers;
        let moved = *known != now;
        *known = now;
        moved
    }

    /// Waits until the store keeps what was recorded: whoever is told fetches at once.
    async fn kept(&self, until: Seen) {
        let store = self.events.recorded.store();
        let late = Instant::now() + KEPT_WITHIN;
        while Instant::now() < late && !self.events.stop.is_cancelled() {
            let counts = store.counts();
            let lost = counts.overflowed + counts.failed;
            let kept = if self.sums { counts.summed } else { counts.written };
            if kept + lost >= until.number() {
                return;
            }
            sleep(LOOK).await;
        }
    }
}
