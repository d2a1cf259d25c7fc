//! `/api/v1/errors`: what fails, since when.

use axum::Json;
use axum::extract::{RawQuery, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollhouse_store::question::ErrorGroup;

use super::Recorded;
use super::problem::Problem;
use super::query::Query;

/// Failures of one kind, as they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorView {
    /// The server; empty if none was involved.
    pub server: String,
    /// The tool, prompt or method.
    pub name: String,
    /// `error.type`.
    pub error: String,
    /// When it first occurred, in microseconds since 1970.
    pub first_us: u64,
    /// When it last did.
    pub last_us: u64,
    /// How often.
    pub count: u64,
    /// The last few calls.
    pub calls: Vec<String>,
}

impl From<&ErrorGroup> for ErrorView {
    fn from(group: &ErrorGroup) -> Self {
        Self {
            server: group.server.to_string(),
            name: group.name.to_string(),
            error: group.error.to_string(),
            first_us: group.first_us,
            last_us: group.last_us,
            count: group.count,
            calls: group.calls.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Failures of a span of time, by kind.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Errors {
    /// The form of this document; it only gains members.
    pub schema_version: u32,
    /// The last first.
    pub errors: Vec<ErrorView>,
}

pub(super) async fn list(State(recorded): State<Recorded>, RawQuery(raw): RawQuery) -> Result<Json<Errors>, Problem> {
    let mut query = Query::new(raw.as_deref());
    let (range, limit) = (query.range("24h")?, query.limit(100)?);
    query.end()?;
    let groups = recorded.store.read(move |reader| reader.errors(range, limit)).await?;
    Ok(Json(Errors { schema_version: 1, errors: groups.iter().map(ErrorView::from).collect() }))
}
