//! `/api/v1/servers` and `/api/v1/tools`: how each server stands and what its tools did, with their definitions.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollhouse_store::engine::{Error, Read};
use tollhouse_store::event::Listed;
use tollhouse_store::question::{By, Figure, Happened, Numbers, Range, Times};

use super::figures::{FigureView, SLOTS_IN_ALL, fitting};
use super::history::EventView;
use super::problem::Problem;
use super::query::Query;
use super::{Asked, Recorded};
use crate::health::{Report, Server};

/// Events shown with one tool.
const EVENTS: usize = 50;

/// A server and what it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerView {
    /// How it stands.
    pub server: Server,
    /// What it did in the span of time; null without calls.
    pub figures: Option<FigureView>,
}

/// All servers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Servers {
    /// The form of this document; it only gains members.
    pub schema_version: u32,
    /// In the order of the configuration.
    pub servers: Vec<ServerView>,
}

/// A tool and what it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolView {
    /// Its server.
    pub server: String,
    /// Its name there.
    pub name: String,
    /// When it was first listed, in microseconds since 1970.
    pub first_us: u64,
    /// When its definition last became another one.
    pub changed_us: u64,
    /// How often it became another one.
    pub changes: u64,
    /// How long its definition is.
    pub definition_bytes: u64,
    /// What it did in the span of time; null without calls.
    pub figures: Option<FigureView>,
}

/// Tools as their servers list them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tools {
    /// The form of this document; it only gains members.
    pub schema_version: u32,
    /// By server and name.
    pub tools: Vec<ToolView>,
}

/// All that is known of one tool.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// The form of this document; it only gains members.
    pub schema_version: u32,
    /// The tool.
    pub tool: ToolView,
    /// Its definition as its server wrote it; null if it was too long to be kept.
    pub definition: Value,
    /// How it came to be, the last first.
    pub history: Vec<EventView>,
}

pub(super) async fn list(State(asked): State<Asked>, RawQuery(raw): RawQuery) -> Result<Json<Servers>, Problem> {
    let mut query = Query::new(raw.as_deref());
    let range = query.range("1h")?;
    query.end()?;
    let numbers = by(By::Server, range, None);
    let figures = asked.recorded.store().read(move |reader| reader.numbers(&numbers)).await?;
    let report = Report::from(asked.health.snapshot());
    let with_figures = |server: Server| {
        let figure = figures.iter().find(|figure| *figure.group[0] == *server.id).map(FigureView::from);
        ServerView { server, figures: figure }
    };
    Ok(Json(Servers { schema_version: 1, servers: report.servers.into_iter().map(with_figures).collect() }))
}

pub(super) async fn tools(State(recorded): State<Recorded>, RawQuery(raw): RawQuery) -> Result<Json<Tools>, Problem> {
    let mut query = Query::new(raw.as_deref());
    let (range, server) = (query.range("24h")?, query.take("server"));
    query.end()?;
    let (mut tools, figures) = recorded.store().read(move |reader| found(reader, range, server)).await?;
    let tools = tools.drain(..).map(|tool| view(&tool, &figures)).collect();
    Ok(Json(Tools { schema_version: 1, tools }))
}

pub(super) async fn tool(
    State(recorded): State<Recorded>,
    Path((server, name)): Path<(String, String)>,
    RawQuery(raw): RawQuery,
) -> Result<Json<Tool>, Problem> {
    let mut query = Query::new(raw.as_deref());
    let range = query.range("24h")?;
    query.end()?;
    let unknown = Problem::unknown(format!("`{}` lists no tool `{}`", server.escape_debug(), name.escape_debug()));
    let wanted = Happened { server: Some(server.clone()), subject: Some(name.clone()), ..Happened::default() };
    let looked_up = recorded.store().read(move |reader| {
        let (tools, figures) = found(reader, range, Some(server))?;
        let Some(tool) = tools.into_iter().find(|tool| *tool.name == *name) else { return Ok(None) };
        let events = reader.events(&wanted, None, EVENTS)?;
        Ok(Some((view(&tool, &figures), tool.definition, events)))
    });
    let (tool, definition, events) = looked_up.await?.ok_or(unknown)?;
    let definition = serde_json::from_str(&definition).unwrap_or_default();
    let history = events.iter().map(EventView::from).collect();
    Ok(Json(Tool { schema_version: 1, tool, definition, history }))
}

fn by(by: By, range: Range, server: Option<String>) -> Numbers {
    Numbers { range, width: fitting(range, SLOTS_IN_ALL), by, server, over_time: false, times: Times::All }
}

/// Tools that are listed, and what tools did.
fn found(reader: &mut dyn Read, range: Range, server: Option<String>) -> Result<(Vec<Listed>, Vec<Figure>), Error> {
    let mut tools = reader.tools()?;
    tools.retain(|tool| server.as_ref().is_none_or(|server| **server == *tool.server));
    let figures = reader.numbers(&by(By::Tool, range, server))?;
    Ok((tools, figures))
}

fn view(tool: &Listed, figures: &[Figure]) -> ToolView {
    let figure = figures.iter().find(|figure| figure.group == [tool.server.clone(), tool.name.clone()]);
    ToolView {
        server: tool.server.to_string(),
        name: tool.name.to_string(),
        first_us: tool.first_us,
        changed_us: tool.changed_us,
        changes: tool.changes,
        definition_bytes: tool.definition.len() as u64,
        figures: figure.map(FigureView::from),
    }
}
