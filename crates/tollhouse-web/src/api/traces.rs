//! `/api/v1/traces/{id}`: the calls of one trace.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

use super::Recorded;
use super::calls::CallView;
use super::problem::Problem;

/// Calls of one trace that are shown, the newest.
const CALLS_MAX: usize = 1000;

/// The calls of a trace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trace {
    /// The form of this document; it only gains members.
    pub schema_version: u32,
    /// The trace.
    pub trace_id: String,
    /// Oldest first.
    pub calls: Vec<CallView>,
}

pub(super) async fn one(State(recorded): State<Recorded>, Path(id): Path<String>) -> Result<Json<Trace>, Problem> {
    let trace = parsed(&id).ok_or_else(|| Problem::question("a trace id has 32 hexadecimal digits"))?;
    let calls = recorded.store.read(move |reader| reader.trace(trace, CALLS_MAX)).await?;
    if calls.is_empty() {
        return Err(Problem::unknown(format!("no call of the trace {id} is kept")));
    }
    let calls = calls.iter().map(CallView::from).collect();
    Ok(Json(Trace { schema_version: 1, trace_id: id.to_ascii_lowercase(), calls }))
}

fn parsed(id: &str) -> Option<[u8; 16]> {
    let hexadecimal = id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    hexadecimal.then(|| u128::from_str_radix(id, 16).ok()).flatten().map(u128::to_be_bytes)
}
