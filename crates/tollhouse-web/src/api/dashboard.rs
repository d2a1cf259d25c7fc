//! `/api/v1/dashboard`: the whole of it in one document: the root of a trace, the servers, the states of sessions, what
//! things cost, and for how many calls each of these is known.
//!
//! What is not known is null, never 0. Nothing is priced yet, so every cost is null.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{RawQuery, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollhouse_core::trace::Hex;
use tollhouse_store::Call;
use tollhouse_store::engine::{Error, Read};
use tollhouse_store::question::{Bounds, By, Field, Figure, Filter, Numbers, Range, Session, Times};

use super::Asked;
use super::figures::{SLOTS_IN_ALL, fitting};
use super::problem::Problem;
use super::query::{Query, instant};
use super::traces::parsed;
use crate::health::{Server, State as Standing};

/// Sessions in the document, the last used.
const SESSIONS_MAX: usize = 100;
/// Sessions that are counted.
const SESSIONS_COUNTED: usize = 10_000;
/// Calls that are looked at for the shares; the newest of the span of time.
const LOOKED_AT: usize = 1000;
/// A session with a call in this time is active, else idle, until it is [`ENDED_US`] old.
const ACTIVE_US: u64 = 5 * 60_000_000;
/// A session without a call for this long has ended.
const ENDED_US: u64 = 30 * 60_000_000;

/// The document.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// The form of this document; it only gains members.
    pub schema_version: u32,
    /// What it is about.
    pub range: Span,
    /// Its four parts, and how much is known for each.
    pub dashboard: Dashboard,
}

/// A span of time, as RFC 3339 writes it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// Its beginning.
    pub from: String,
    /// Its end.
    pub to: String,
}

/// The parts of the document.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Dashboard {
    /// The trace that was asked for, else that of the newest call.
    pub trace_root: Option<TraceRoot>,
    /// In the order of the configuration.
    pub mcp_servers: Vec<McpServer>,
    /// Sessions by state.
    pub session_states: SessionStates,
    /// What it cost.
    pub cost_summary: CostSummary,
    /// For which share of calls things are known.
    pub coverage: Coverage,
}

/// The root of one trace.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TraceRoot {
    /// The trace, in hexadecimal digits.
    pub trace_id: String,
    /// The root's span: the caller's if it named one, else that of the first call.
    pub span_id: String,
    /// Who called what first.
    pub name: String,
    /// `placeholder` for a span that the caller named and did not send, else `local`.
    pub origin: String,
    /// From the first call's arrival to the last one's end.
    pub duration_ms: f64,
    /// Calls.
    pub spans: u64,
    /// The servers they went to.
    pub servers: Vec<String>,
    /// Calls that failed.
    pub errors: u64,
    /// Traces among the calls that were looked at.
    pub roots_in_range: u64,
}

/// One server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct McpServer {
    /// Its id.
    pub id: String,
    /// How it stands: `connected`, `starting`, `idle` or `failed`.
    pub state: String,
    /// `legacy`, `modern` or `both`; null until it has answered.
    pub era: Option<String>,
    /// Calls in the span of time.
    pub calls: u64,
    /// The share that failed; null without calls.
    pub error_rate: Option<f64>,
    /// Half of the calls took no longer.
    pub p50_ms: Option<f64>,
    /// 95 of 100 took no longer.
    pub p95_ms: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99_ms: Option<f64>,
    /// Tokens of its results.
    pub tokens: Option<u64>,
    /// What its calls cost, in dollars.
    pub cost_usd: Option<String>,
    /// How that is known.
    pub cost_basis: Option<String>,
}

/// Sessions by state.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SessionStates {
    /// How many there are of each.
    pub counts: StateCounts,
    /// The last used; at most a hundred.
    pub sessions: Vec<SessionState>,
}

/// How many sessions are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateCounts {
    /// With a call within five minutes.
    pub active: u64,
    /// With a call within half an hour.
    pub idle: u64,
    /// Being recovered.
    pub recovering: u64,
    /// Ended by time alone.
    pub timeout_only: u64,
    /// Without a call for half an hour.
    pub ended: u64,
}

/// One session.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SessionState {
    /// Its id.
    pub id: String,
    /// `active`, `idle` or `ended`.
    pub state: String,
    /// The rule that found it.
    pub source: String,
    /// Its calls.
    pub calls: u64,
    /// How often it was recovered.
    pub recoveries: u64,
    /// The last tool call that succeeded.
    pub last_successful_call: Option<String>,
    /// Where it would go on from.
    pub recovery_point: Option<String>,
    /// What its calls cost, in dollars.
    pub cost_usd: Option<String>,
    /// How that is known.
    pub cost_basis: Option<String>,
}

/// What it cost, in dollars.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct CostSummary {
    /// All together.
    pub total_usd: Option<String>,
    /// It may be more, because some is not known.
    pub at_least: bool,
    /// For tokens of definitions and results.
    pub token_usd: Option<String>,
    /// For what models made of them.
    pub inference_usd: Option<String>,
    /// For the tools themselves.
    pub tool_usd: Option<String>,
    /// By how it is known.
    pub by_label: CostLabels,
    /// What came of it for each dollar.
    pub roi: Option<f64>,
    /// Calls of which no cost is known.
    pub unknown_calls: u64,
}

/// Cost by how it is known, in dollars.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct CostLabels {
    /// Told by the model's side.
    pub reported: Option<String>,
    /// Measured here.
    pub measured: Option<String>,
    /// Estimated.
    pub estimated: Option<String>,
}

/// For which share of the newest calls things are known; null without any.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Calls whose trace the caller began.
    pub trace_root: Option<Share>,
    /// Tool calls whose session was found by another rule than their trace.
    pub session_state: Option<Share>,
    /// Tool calls that were sent and whose answer's size is known, or why there is none.
    pub tool_output: Option<Share>,
    /// Calls with a known cost.
    pub cost_monitoring: Option<Share>,
}

/// A share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// So many of them.
    pub covered: u64,
    /// All of them.
    pub total: u64,
    /// The one by the other.
    pub ratio: f64,
}

pub(super) async fn document(State(asked): State<Asked>, RawQuery(raw): RawQuery) -> Result<Json<Document>, Problem> {
    let mut query = Query::new(raw.as_deref());
    let range = query.range("1h")?;
    let trace = query.take("trace").map(|id| parsed(&id));
    let session = query.take("session");
    query.end()?;
    if trace == Some(None) {
        return Err(Problem::question("`trace` has 32 hexadecimal digits"));
    }
    let trace = trace.flatten();
    let seen = asked.recorded.store().read(move |reader| Seen::of(reader, range, trace, session.as_deref())).await?;
    if trace.is_some() && seen.trace.is_empty() {
        return Err(Problem::unknown("no call of the trace is kept"));
    }
    let now_us = super::query::now_us();
    let servers = asked.health.snapshot().servers;
    Ok(Json(Document {
        schema_version: 1,
        range: Span { from: instant(range.from_us), to: instant(range.to_us.min(now_us)) },
        dashboard: Dashboard {
            trace_root: seen.root(),
            mcp_servers: servers.iter().map(|server| mcp_server(server, &seen.servers)).collect(),
            session_states: states(&seen.sessions, now_us),
            cost_summary: CostSummary {
                unknown_calls: seen.servers.iter().map(|figure| figure.sum.calls).sum(),
                ..CostSummary::default()
            },
            coverage: coverage(&seen.calls),
        },
    }))
}

/// What the store knows of it.
struct Seen {
    calls: Vec<Call>,
    trace: Vec<Call>,
    servers: Vec<Figure>,
    sessions: Vec<Session>,
}

impl Seen {
    fn of(reader: &mut dyn Read, range: Range, trace: Option<[u8; 16]>, session: Option<&str>) -> Result<Self, Error> {
        let mut filter = Filter { range, ..Filter::default() };
        if let Some(session) = session {
            filter = filter.with(Field::Session, session);
        }
        let calls = reader.latest(&filter, None, Bounds::quick(LOOKED_AT))?.calls;
        let shown = trace.or_else(|| calls.first().map(|call| call.trace));
        let trace = shown.map_or(Ok(Vec::new()), |trace| reader.trace(trace, LOOKED_AT))?;
        let width = fitting(range, SLOTS_IN_ALL);
        let numbers = Numbers { range, width, by: By::Server, server: None, over_time: false, times: Times::Total };
        let servers = reader.numbers(&numbers)?;
        let mut sessions = reader.sessions(range, SESSIONS_COUNTED)?;
        sessions.retain(|known| session.is_none_or(|session| *session == *known.id));
        Ok(Self { calls, trace, servers, sessions })
    }

    fn root(&self) -> Option<TraceRoot> {
        let first = self.trace.iter().min_by_key(|call| call.at_us)?;
        let ended = self.trace.iter().map(Call::ended_us).max().unwrap_or_default();
        let caller = self.trace.iter().map(|call| call.parent).find(|parent| *parent != [0; 8]);
        let servers: BTreeSet<&str> = self.trace.iter().filter_map(|call| call.server.as_deref()).collect();
        let traces: BTreeSet<_> = self.calls.iter().map(|call| call.trace).collect();
        let what = first.name.as_deref().map_or_else(String::new, |name| format!(" {name}"));
        Some(TraceRoot {
            trace_id: Hex(&first.trace).to_string(),
            span_id: Hex(&caller.unwrap_or_else(|| first.id.salt().to_be_bytes())).to_string(),
            name: match (caller, &first.client) {
                (Some(_), Some(client)) => client.to_string(),
                _ => format!("{}{what}", first.method),
            },
            origin: if caller.is_some() { "placeholder" } else { "local" }.to_owned(),
            duration_ms: float(ended.saturating_sub(first.at_us)) / 1000.0,
            spans: self.trace.len() as u64,
            servers: servers.into_iter().map(str::to_owned).collect(),
            errors: self.trace.iter().filter(|call| call.failed()).count() as u64,
            roots_in_range: traces.len() as u64,
        })
    }
}

fn mcp_server(server: &Server, figures: &[Figure]) -> McpServer {
    let sum = figures.iter().find(|figure| *figure.group[0] == *server.id).map(|figure| &figure.sum);
    let ms = |quantile: f64| sum.and_then(|sum| sum.total.quantile(quantile)).map(|us| float(us) / 1000.0);
    McpServer {
        state: match server.state {
            Standing::Idle => "idle",
            Standing::Starting => "starting",
            Standing::Connected => "connected",
            Standing::Failed => "failed",
        }
        .to_owned(),
        era: server.era.clone(),
        calls: sum.map_or(0, |sum| sum.calls),
        error_rate: sum.filter(|sum| sum.calls > 0).map(|sum| float(sum.failed) / float(sum.calls)),
        p50_ms: ms(0.5),
        p95_ms: ms(0.95),
        p99_ms: ms(0.99),
        tokens: None,
        cost_usd: None,
        cost_basis: None,
        id: server.id.clone(),
    }
}

fn states(sessions: &[Session], now_us: u64) -> SessionStates {
    let mut counts = StateCounts::default();
    let mut shown = Vec::new();
    for session in sessions {
        let state = match now_us.saturating_sub(session.last_us) {
            0..ACTIVE_US => {
                counts.active += 1;
                "active"
            }
            ACTIVE_US..ENDED_US => {
                counts.idle += 1;
                "idle"
            }
            _ => {
                counts.ended += 1;
                "ended"
            }
        };
        if shown.len() < SESSIONS_MAX {
            shown.push(SessionState {
                id: session.id.to_string(),
                state: state.to_owned(),
                source: session.source.to_string(),
                calls: session.calls,
                recoveries: 0,
                last_successful_call: session.last_ok.map(|id| id.to_string()),
                recovery_point: None,
                cost_usd: None,
                cost_basis: None,
            });
        }
    }
    SessionStates { counts, sessions: shown }
}

fn coverage(calls: &[Call]) -> Coverage {
    let tools = || calls.iter().filter(|call| &*call.method == "tools/call");
    Coverage {
        trace_root: share(calls.iter().map(|call| call.parent != [0; 8])),
        session_state: share(tools().map(|call| !matches!(&*call.session_source, "trace" | "guess"))),
        tool_output: share(tools().map(|call| {
            call.seen.response_hash.is_some() && (call.seen.shape.is_none() || call.seen.request_hash.is_some())
        })),
        cost_monitoring: None,
    }
}

/// The share of those that are true; `None` of none.
fn share(known: impl Iterator<Item = bool>) -> Option<Share> {
    let (mut covered, mut total) = (0, 0);
    for known in known {
        total += 1;
        covered += u64::from(known);
    }
    (total > 0).then(|| Share { covered, total, ratio: float(covered) / float(total) })
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn float(count: u64) -> f64 {
    count as f64
}
