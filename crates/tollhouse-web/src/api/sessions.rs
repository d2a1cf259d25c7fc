//! `/api/v1/sessions`: which conversations there were, and what one of them did.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollhouse_store::question::Session;

use super::Recorded;
use super::calls::Calls;
use super::problem::Problem;
use super::query::Query;

/// A session as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionView {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub principal: String,
    /// The rule that found it.
    pub source: String,
    /// How sure that is.
    pub confidence: String,
    /// The client.
    pub client: Option<String>,
    /// The servers it called.
    pub servers: Vec<String>,
    /// When its first call arrived, in microseconds since 1970.
    pub first_us: u64,
    /// When its last call ended.
    pub last_us: u64,
    /// Its calls.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// The last tool call that succeeded.
    pub last_successful_call: Option<String>,
}

impl From<&Session> for SessionView {
    fn from(session: &Session) -> Self {
        Self {
            id: session.id.to_string(),
            principal: session.principal.to_string(),
            source: session.source.to_string(),
            confidence: session.confidence.to_string(),
            client: session.client.as_deref().map(str::to_owned),
            servers: session.servers.iter().map(ToString::to_string).collect(),
            first_us: session.first_us,
            last_us: session.last_us,
            calls: session.calls,
            failed: session.failed,
            last_successful_call: session.last_ok.map(|id| id.to_string()),
        }
    }
}

/// Sessions of a span of time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Sessions {
    /// The form of this document; it only gains members.
    pub schema_version: u32,
    /// The last used first.
    pub sessions: Vec<SessionView>,
}

pub(super) async fn list(State(recorded): State<Recorded>, RawQuery(raw): RawQuery) -> Result<Json<Sessions>, Problem> {
    let mut query = Query::new(raw.as_deref());
    let (range, limit) = (query.range("24h")?, query.limit(100)?);
    query.end()?;
    let sessions = recorded.store.read(move |reader| reader.sessions(range, limit)).await?;
    Ok(Json(Sessions { schema_version: 1, sessions: sessions.iter().map(SessionView::from).collect() }))
}

pub(super) async fn one(
    State(recorded): State<Recorded>,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Json<Calls>, Problem> {
    let mut query = Query::new(raw.as_deref());
    let principal = query.take("principal").unwrap_or_else(|| "anonymous".to_owned());
    let (before, limit) = (query.before()?, query.limit(100)?);
    query.end()?;
    let session = id.clone();
    let page = recorded.store.read(move |reader| reader.timeline(&principal, &session, before, limit)).await?;
    if page.calls.is_empty() && before.is_none() {
        return Err(Problem::unknown(format!("no call of the session `{}` is kept", id.escape_debug())));
    }
    Ok(Json(page.into()))
}
