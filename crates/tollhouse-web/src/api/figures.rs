//! `/api/v1/figures`: how many, how fast, how many failed; by server, tool, client or method; over time or in all.

use axum::Json;
use axum::extract::{RawQuery, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollhouse_store::question::{By, Figure, Numbers, Range, Times, Width};

use super::Recorded;
use super::problem::Problem;
use super::query::Query;

/// Slots that a question may be answered with, if nothing is said about their width.
const SLOTS: u64 = 400;
/// Slots that are added up where they are not told apart: whole ones count, so that they may make a range longer by a
/// hundredth.
pub(crate) const SLOTS_IN_ALL: u64 = 100;

/// Figures of one group in one span of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FigureView {
    /// When it begins, in microseconds since 1970.
    pub from_us: u64,
    /// The server, client or method, or nothing.
    pub group: String,
    /// The tool, prompt or method, where they are told apart.
    pub name: String,
    /// Calls.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// The share that failed; null without calls.
    pub error_rate: Option<f64>,
    /// How often each `error.type` occurred.
    pub errors: Vec<(String, u64)>,
    /// Half of the calls took no longer, in milliseconds, within 1.6 %.
    pub p50_ms: Option<f64>,
    /// 95 of 100 took no longer.
    pub p95_ms: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99_ms: Option<f64>,
    /// The longest.
    pub max_ms: f64,
    /// Half had a first output by then.
    pub first_output_p50_ms: Option<f64>,
    /// Half were at the server for no longer.
    pub upstream_p50_ms: Option<f64>,
    /// Bytes of requests.
    pub request_bytes: u64,
    /// Bytes of answers.
    pub response_bytes: u64,
}

impl From<&Figure> for FigureView {
    fn from(figure: &Figure) -> Self {
        let sum = &figure.sum;
        let [group, name] = &figure.group;
        Self {
            from_us: figure.from_us,
            group: group.to_string(),
            name: name.to_string(),
            calls: sum.calls,
            failed: sum.failed,
            error_rate: (sum.calls > 0).then(|| number(sum.failed) / number(sum.calls)),
            errors: sum.errors.iter().map(|(error, count)| (error.to_string(), *count)).collect(),
            p50_ms: sum.total.quantile(0.5).map(millis),
            p95_ms: sum.total.quantile(0.95).map(millis),
            p99_ms: sum.total.quantile(0.99).map(millis),
            max_ms: millis(sum.total.max()),
            first_output_p50_ms: sum.first.quantile(0.5).map(millis),
            upstream_p50_ms: sum.upstream.quantile(0.5).map(millis),
            request_bytes: sum.request_bytes,
            response_bytes: sum.response_bytes,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn number(count: u64) -> f64 {
    count as f64
}

fn millis(micros: u64) -> f64 {
    number(micros) / 1000.0
}

/// Figures of a span of time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// The form of this document; it only gains members.
    pub schema_version: u32,
    /// `minute`, `quarter` or `day`.
    pub width: String,
    /// By time, then by group.
    pub figures: Vec<FigureView>,
}

pub(super) async fn list(State(recorded): State<Recorded>, RawQuery(raw): RawQuery) -> Result<Json<Figures>, Problem> {
    let mut query = Query::new(raw.as_deref());
    let (range, over_time, server) = (query.range("1h")?, query.flag("over_time")?, query.take("server"));
    let by = match query.take("by").as_deref() {
        None | Some("all") => By::All,
        Some("server") => By::Server,
        Some("tool") => By::Tool,
        Some("client") => By::Client,
        Some("method") => By::Method,
        Some(_) => return Err(Problem::question("`by` is one of: all, server, tool, client, method")),
    };
    let width = match query.take("width").as_deref() {
        None if over_time => fitting(range, SLOTS),
        None => fitting(range, SLOTS_IN_ALL),
        Some("minute") => Width::Minute,
        Some("quarter") => Width::Quarter,
        Some("day") => Width::Day,
        Some(_) => return Err(Problem::question("`width` is one of: minute, quarter, day")),
    };
    query.end()?;
    let numbers = Numbers { range, width, by, server, over_time, times: Times::All };
    let figures = recorded.store.read(move |reader| reader.numbers(&numbers)).await?;
    let width = match width {
        Width::Minute => "minute",
        Width::Quarter => "quarter",
        Width::Day => "day",
    };
    let width = width.to_owned();
    Ok(Json(Figures { schema_version: 1, width, figures: figures.iter().map(FigureView::from).collect() }))
}

/// The finest width that cuts the time since `range` begins into no more than `slots`.
pub(crate) fn fitting(range: Range, slots: u64) -> Width {
    let now_us = tollhouse_core::clock::unix_millis(tollhouse_core::clock::wall()) * 1000;
    let length = range.to_us.min(now_us).saturating_sub(range.from_us);
    Width::ALL.into_iter().find(|width| length / width.us() <= slots).unwrap_or(Width::Day)
}
