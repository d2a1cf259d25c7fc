//! `/api/v1/traces`: the traces of the newest calls, and the calls of one.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollhouse_core::trace::Hex;
use tollhouse_store::Call;
use tollhouse_store::question::Bounds;

use super::Asked;
use super::calls::CallView;
use super::otlp;
use super::problem::Problem;
use super::query::Query;

/// Calls of one trace that are shown, the newest.
const CALLS_MAX: usize = 1000;
/// Calls that are looked at for a list of traces.
const LOOKED_AT: usize = 1000;

/// The calls of a trace.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Trace {
    /// The form of this document; it only gains members.
    pub schema_version: u32,
    /// The trace.
    pub trace_id: String,
    /// Oldest first.
    pub calls: Vec<CallView>,
}

/// What some calls of one trace come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TraceView {
    /// The trace, in hexadecimal digits.
    pub trace_id: String,
    /// When the first of these calls arrived, in microseconds since 1970.
    pub first_us: u64,
    /// When the last of them ended.
    pub last_us: u64,
    /// These calls.
    pub calls: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// The servers they went to.
    pub servers: Vec<String>,
    /// The client.
    pub client: Option<String>,
    /// The caller named a span of its own.
    pub agent: bool,
}

/// Traces, the last used first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Traces {
    /// The form of this document; it only gains members.
    pub schema_version: u32,
    /// What the calls that were looked at come to.
    pub traces: Vec<TraceView>,
    /// Give it as `before` for what follows; null at the end.
    pub next: Option<String>,
}

pub(super) async fn list(State(asked): State<Asked>, RawQuery(raw): RawQuery) -> Result<Json<Traces>, Problem> {
    let mut query = Query::new(raw.as_deref());
    let (filter, before, limit) = (query.filter()?, query.before()?, query.limit(50)?);
    query.end()?;
    let bounds = Bounds::quick(LOOKED_AT);
    let page = asked.recorded.store().read(move |reader| reader.latest(&filter, before, bounds)).await?;
    let (mut traces, mut next): (Vec<TraceView>, _) = (Vec::new(), page.next);
    for (at, call) in page.calls.iter().enumerate() {
        let (id, full) = (Hex(&call.trace).to_string(), traces.len() == limit);
        match traces.iter_mut().find(|known| known.trace_id == id) {
            Some(known) => known.add(call),
            None if full => {
                // What follows begins with this call.
                next = page.calls.get(at.wrapping_sub(1)).map(|last| last.id);
                break;
            }
            None => traces.push(TraceView::begun(id, call)),
        }
    }
    Ok(Json(Traces { schema_version: 1, traces, next: next.map(|id| id.to_string()) }))
}

impl TraceView {
    fn begun(trace_id: String, call: &Call) -> Self {
        let mut view = Self {
            trace_id,
            first_us: call.at_us,
            last_us: 0,
            calls: 0,
            failed: 0,
            servers: Vec::new(),
            client: None,
            agent: false,
        };
        view.add(call);
        view
    }

    fn add(&mut self, call: &Call) {
        self.first_us = self.first_us.min(call.at_us);
        self.last_us = self.last_us.max(call.ended_us());
        self.calls += 1;
        self.failed += u64::from(call.failed());
        self.agent |= call.parent != [0; 8];
        if self.client.is_none() {
            self.client = call.client.as_deref().map(str::to_owned);
        }
        let servers: BTreeSet<_> = self.servers.drain(..).chain(call.server.as_deref().map(str::to_owned)).collect();
        self.servers.extend(servers);
    }
}

pub(super) async fn one(
    State(asked): State<Asked>,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::new(raw.as_deref());
    let as_otlp = match query.take("format").as_deref() {
        None | Some("calls") => false,
        Some("otlp") => true,
        Some(_) => return Err(Problem::question("`format` is `calls` or `otlp`")),
    };
    query.end()?;
    let trace = parsed(&id).ok_or_else(|| Problem::unknown("a trace id has 32 hexadecimal digits"))?;
    let calls = asked.recorded.store().read(move |reader| reader.trace(trace, CALLS_MAX)).await?;
    if calls.is_empty() {
        return Err(Problem::unknown(format!("no call of the trace {id} is kept")));
    }
    if as_otlp {
        return Ok(Json(otlp::document(&calls, asked.health.snapshot().version)).into_response());
    }
    let calls = calls.iter().map(CallView::from).collect();
    Ok(Json(Trace { schema_version: 1, trace_id: id.to_ascii_lowercase(), calls }).into_response())
}

/// A trace id as it is written.
pub(super) fn parsed(id: &str) -> Option<[u8; 16]> {
    let hexadecimal = id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    hexadecimal.then(|| u128::from_str_radix(id, 16).ok()).flatten().map(u128::to_be_bytes)
}
