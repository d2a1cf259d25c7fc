//! `/api/v1/history`: what happened beside calls: servers came and went, tools changed, the configuration was read again.

use axum::Json;
use axum::extract::{RawQuery, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollhouse_store::event::{Event, Kind};
use tollhouse_store::question::Happened;

use super::Recorded;
use super::problem::Problem;
use super::query::Query;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventView {
    /// Later ones have higher numbers.
    pub number: u64,
    /// When it happened, in microseconds since 1970.
    pub at_us: u64,
    /// What: `server_down`, `tool_changed` and the like.
    pub kind: String,
    /// To which server.
    pub server: Option<String>,
    /// To which of its tools.
    pub tool: Option<String>,
    /// More about it, for people.
    pub detail: Option<String>,
    /// A tool's definition as its server wrote it, of one that was added or changed.
    pub definition: Option<String>,
}

impl From<&Event> for EventView {
    fn from(event: &Event) -> Self {
        let maybe = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        Self {
            number: event.number,
            at_us: event.at_us,
            kind: event.kind.as_str().to_owned(),
            server: maybe(&event.server),
            tool: maybe(&event.subject),
            detail: maybe(&event.detail),
            definition: maybe(&event.body),
        }
    }
}

/// What happened in a span of time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// The form of this document; it only gains members.
    pub schema_version: u32,
    /// The last first.
    pub events: Vec<EventView>,
    /// Give it as `before` for what follows; null at the end.
    pub next: Option<u64>,
}

pub(super) async fn list(State(recorded): State<Recorded>, RawQuery(raw): RawQuery) -> Result<Json<History>, Problem> {
    let mut query = Query::new(raw.as_deref());
    let mut wanted = Happened { range: query.range("7d")?, ..Happened::default() };
    (wanted.server, wanted.subject) = (query.take("server"), query.take("tool"));
    while let Some(word) = query.take("kind") {
        wanted.kinds.push(Kind::parse(&word).ok_or_else(|| {
            let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
            Problem::question(format!("`kind` is one of: {}", known.join(", ")))
        })?);
    }
    let (before, limit) = (query.number("before")?, query.limit(100)?);
    query.end()?;
    let events = recorded.store().read(move |reader| reader.events(&wanted, before, limit)).await?;
    let next = events.last().map(|event| event.number).filter(|_| events.len() == limit);
    Ok(Json(History { schema_version: 1, events: events.iter().map(EventView::from).collect(), next }))
}
