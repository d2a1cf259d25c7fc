//! `/api/v1/calls`: calls, newest first, as they come, or one.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tollhouse_core::era::Era;
use tollhouse_core::ids::CallId;
use tollhouse_core::record::Listener;
use tollhouse_core::trace::Hex;
use tollhouse_store::question::{Filter, Page};
use tollhouse_store::{Call, Sending};

use super::Recorded;
use super::problem::Problem;
use super::query::Query;

/// A call as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallView {
    /// Its id.
    pub id: String,
    /// When it arrived, in microseconds since 1970.
    pub at_us: u64,
    /// `http` or `stdio`.
    pub transport: String,
    /// `legacy` or `modern`.
    pub era: String,
    /// The protocol revision.
    pub version: String,
    /// Who asked.
    pub principal: String,
    /// Whose conversation it belongs to.
    pub session: String,
    /// The rule that found the session.
    pub session_source: String,
    /// How sure that is.
    pub session_confidence: String,
    /// Other ids the request bore.
    pub hints: Vec<(String, String)>,
    /// The client's name.
    pub client: Option<String>,
    /// The JSON-RPC method.
    pub method: String,
    /// The tool, prompt or resource by its server's name.
    pub name: Option<String>,
    /// The name the client used, where that is another.
    pub asked_as: Option<String>,
    /// The server.
    pub server: Option<String>,
    /// The trace, in hexadecimal digits.
    pub trace_id: String,
    /// The caller's span, if there was one.
    pub parent_span_id: Option<String>,
    /// The call's own span, where spans leave.
    pub span_id: Option<String>,
    /// What was sent of it, if there is more to say than how often: where spans leave, after repetitions, and where several
    /// servers were asked.
    pub sendings: Vec<SendingView>,
    /// The caller's JSON-RPC id, as it was written.
    pub request_id: String,
    /// What became of it.
    pub outcome: String,
    /// `error.type`, if it failed.
    pub error: Option<String>,
    /// The gateway's own word for what went wrong.
    pub fault: Option<String>,
    /// How often it was sent.
    pub attempts: u32,
    /// From its arrival to the end of its answer.
    pub total_us: u64,
    /// Of that, at the server.
    pub upstream_us: u64,
    /// Of that, in the gateway.
    pub gateway_us: u64,
    /// Until the first output.
    pub first_output_us: Option<u64>,
    /// Bytes of the request.
    pub request_bytes: u64,
    /// Bytes of the answer.
    pub response_bytes: u64,
    /// The shape of the arguments.
    pub arguments: Option<String>,
    /// A hash of the arguments: equal ones have the same, while the gateway runs.
    pub request_hash: Option<String>,
    /// A hash of the result or the error.
    pub response_hash: Option<String>,
    /// What the call carried, without secrets, where that is captured.
    pub content: Option<ContentView>,
}

/// What was sent of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SendingView {
    /// Its span, where spans leave.
    pub span_id: Option<String>,
    /// The server.
    pub server: Option<String>,
    /// The JSON-RPC method.
    pub method: String,
    /// It is what one of several servers was asked, not the call itself.
    pub leg: bool,
    /// When it began, from the call's arrival.
    pub from_us: u64,
    /// How long it took.
    pub long_us: u64,
    /// `error.type`, if it failed.
    pub error: Option<String>,
}

impl SendingView {
    fn of(call: &Call, sending: &Sending) -> Self {
        let leg = sending.leg.as_ref();
        Self {
            span_id: id(sending.span),
            server: leg.map(|leg| &leg.server).or(call.server.as_ref()).map(ToString::to_string),
            method: leg.map_or(&call.method, |leg| &leg.method).to_string(),
            leg: leg.is_some(),
            from_us: sending.from_us,
            long_us: sending.long_us,
            error: sending.error.as_ref().map(ToString::to_string),
        }
    }
}

/// A span's id as it is written, if there is one.
fn id(span: [u8; 8]) -> Option<String> {
    (span != [0; 8]).then(|| Hex(&span).to_string())
}

/// What a call carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContentView {
    /// The arguments, as JSON text.
    pub arguments: Option<String>,
    /// The result or the error, as JSON text.
    pub result: Option<String>,
    /// Something was left out because it was too long.
    pub truncated: bool,
    /// Secrets that were replaced.
    pub redactions: u32,
}

impl From<&Call> for CallView {
    fn from(call: &Call) -> Self {
        let maybe = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        Self {
            id: call.id.to_string(),
            at_us: call.at_us,
            transport: match call.listener {
                Listener::Http => "http".to_owned(),
                Listener::Sse => "sse".to_owned(),
                Listener::Stdio => "stdio".to_owned(),
            },
            era: match call.version.era() {
                Era::Legacy => "legacy".to_owned(),
                Era::Modern => "modern".to_owned(),
            },
            version: call.version.as_str().to_owned(),
            principal: call.principal.to_string(),
            session: call.session.to_string(),
            session_source: call.session_source.to_string(),
            session_confidence: call.session_confidence.to_string(),
            hints: call.hints.iter().map(|(key, id)| (key.to_string(), id.to_string())).collect(),
            client: maybe(&call.client),
            method: call.method.to_string(),
            name: maybe(&call.name),
            asked_as: maybe(&call.asked_as),
            server: maybe(&call.server),
            trace_id: Hex(&call.trace).to_string(),
            parent_span_id: id(call.parent),
            span_id: id(call.span),
            sendings: call.sendings.iter().map(|sending| SendingView::of(call, sending)).collect(),
            request_id: call.request_id.to_string(),
            outcome: call.outcome.to_string(),
            error: maybe(&call.error),
            fault: maybe(&call.fault),
            attempts: call.attempts,
            total_us: call.total_us,
            upstream_us: call.upstream_us,
            gateway_us: call.gateway_us(),
            first_output_us: call.first_us,
            request_bytes: call.request_bytes,
            response_bytes: call.response_bytes,
            arguments: maybe(&call.seen.shape),
            request_hash: call.seen.request_hash.map(|hash| Hex(&hash.0).to_string()),
            response_hash: call.seen.response_hash.map(|hash| Hex(&hash.0).to_string()),
            content: call.seen.content.as_deref().map(|content| ContentView {
                arguments: maybe(&content.arguments),
                result: maybe(&content.result),
                truncated: content.truncated,
                redactions: content.redactions,
            }),
        }
    }
}

/// Calls and where to go on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Calls {
    /// The form of this document; it only gains members.
    pub schema_version: u32,
    /// Newest first.
    pub calls: Vec<CallView>,
    /// Give it as `before` for what follows; null at the end.
    pub next: Option<String>,
    /// The answer ends where a bound on work was reached, not because it is full.
    pub cut_short: bool,
}

impl From<Page> for Calls {
    fn from(page: Page) -> Self {
        Self {
            schema_version: 1,
            calls: page.calls.iter().map(CallView::from).collect(),
            next: page.next.map(|id| id.to_string()),
            cut_short: page.cut_short,
        }
    }
}

pub(super) async fn list(State(recorded): State<Recorded>, RawQuery(raw): RawQuery) -> Result<Response, Problem> {
    let mut query = Query::new(raw.as_deref());
    let (filter, follow) = (query.filter()?, query.flag("follow")?);
    let (bounds, before) = (query.bounds()?, query.before()?);
    query.end()?;
    if follow {
        return Ok(followed(&recorded, filter));
    }
    let page = recorded.store.read(move |reader| reader.latest(&filter, before, bounds)).await?;
    Ok(Json(Calls::from(page)).into_response())
}

/// Calls as they are recorded, a line of JSON each. Whoever is too slow misses some, and gets a line that says how many.
fn followed(recorded: &Recorded, filter: Filter) -> Response {
    let feed = recorded.followers.subscribe();
    let lines = futures_util::stream::unfold((feed, filter), |(mut feed, filter)| async move {
        loop {
            let line = match feed.recv().await {
                Ok(call) if filter.wants(&call) => line(&call),
                Ok(_) => continue,
                Err(broadcast::error::RecvError::Lagged(missed)) => format!("{{\"missed\":{missed}}}\n"),
                Err(broadcast::error::RecvError::Closed) => return None,
            };
            return Some((Ok::<_, std::convert::Infallible>(Bytes::from(line)), (feed, filter)));
        }
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

fn line(call: &Arc<Call>) -> String {
    let mut line = serde_json::to_string(&CallView::from(&**call)).expect("a view has nothing that JSON has not");
    line.push('\n');
    line
}

pub(super) async fn one(State(recorded): State<Recorded>, Path(id): Path<String>) -> Result<Json<CallView>, Problem> {
    let id = CallId::parse(&id).ok_or_else(|| Problem::unknown("an id has 26 letters and digits"))?;
    let call = recorded.store.read(move |reader| reader.call(id)).await?;
    let call = call.ok_or_else(|| Problem::unknown(format!("no call {id} is kept")))?;
    Ok(Json(CallView::from(&call)))
}
