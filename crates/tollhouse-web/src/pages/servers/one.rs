//! One server: how it stands, its tools with what they did, what happened to it.

use askama::Template;
use axum::extract::{Path, State};
use http::Uri;
use tollhouse_store::event::{Event, Listed};
use tollhouse_store::question::{By, Figure, Happened, Sum};

use super::super::address::{Address, now_us};
use super::super::frame::{Frame, Missing, SERVERS};
use super::super::slots::Slots;
use super::super::text::{ago, count, rfc3339, seen};
use super::super::{Answer, Pages};
use super::{Figures, Happening, badge, last_error, tool_path};
use crate::health::{Report, Server};

/// Events shown.
const EVENTS: usize = 50;

#[derive(Template)]
#[template(path = "server.html")]
pub(super) struct Page {
    pub(super) frame: Frame,
    pub(super) id: String,
    pub(super) state: [&'static str; 2],
    pub(super) reason: Option<String>,
    pub(super) transport: String,
    pub(super) era: String,
    pub(super) restarts: String,
    pub(super) unvalidated: Option<u64>,
    pub(super) last_error: Option<[String; 3]>,
    pub(super) all: Figures,
    pub(super) calls_href: String,
    pub(super) errors_href: String,
    pub(super) tools: Vec<Tool>,
    pub(super) others: Vec<Tool>,
    pub(super) happened: Vec<Happening>,
}

/// A tool, or a method that was called.
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) href: String,
    pub(super) title: String,
    pub(super) changed: Option<[String; 2]>,
    pub(super) figures: Figures,
}

pub(in super::super) async fn page(State(pages): State<Pages>, Path(id): Path<String>, uri: Uri) -> Answer {
    let address = Address::read(uri.path(), uri.query());
    let report = Report::from(pages.health.snapshot());
    let server = report.servers.into_iter().find(|server| server.id == id);
    let server = server.ok_or_else(|| Missing::unknown(format!("No server is called {}.", seen(&id))))?;
    let now_us = now_us();
    let slots = Slots::of(address.span(), now_us);
    let wanted = Happened { server: Some(id.clone()), ..Happened::default() };
    let (listed, figures, events) = pages
        .recorded
        .store()
        .read(move |reader| {
            let mut listed = reader.tools()?;
            listed.retain(|tool| *tool.server == *id);
            let figures = reader.numbers(&slots.numbers(By::Tool, Some(id), false))?;
            Ok((listed, figures, reader.events(&wanted, None, EVENTS)?))
        })
        .await?;
    let page = Page::new(address, &server, &listed, &figures, &events, now_us);
    let nonce = page.frame.nonce().clone();
    Ok(Frame::answer(&page, &nonce))
}

impl Page {
    pub(super) fn new(
        address: Address,
        server: &Server,
        listed: &[Listed],
        figures: &[Figure],
        events: &[Event],
        now_us: u64,
    ) -> Self {
        let sum_of = |name: &str| figures.iter().find(|figure| *figure.group[1] == *name).map(|figure| &figure.sum);
        let tools = listed.iter().map(|tool| Tool {
            name: seen(&tool.name),
            href: tool_path(&address, &server.id, &tool.name),
            title: title(&tool.definition).unwrap_or_default(),
            changed: (tool.changes > 0).then(|| [rfc3339(tool.changed_us), ago(tool.changed_us, now_us)]),
            figures: Figures::of(sum_of(&tool.name)),
        });
        let unlisted = figures.iter().filter(|figure| listed.iter().all(|tool| tool.name != figure.group[1]));
        let chosen = |path: &str| address.plain(path).chosen("server", &server.id, false);
        let others = unlisted.map(|figure| {
            let name = &figure.group[1];
            let field = if name.contains('/') { "method" } else { "tool" };
            Tool {
                name: seen(name),
                href: chosen("/calls").chosen(field, name, false).to_string(),
                title: String::new(),
                changed: None,
                figures: Figures::of(Some(&figure.sum)),
            }
        });
        let mut all = Sum::default();
        figures.iter().for_each(|figure| all.merge(&figure.sum));
        let (tools, others) = (tools.collect(), others.collect());
        let happened = events.iter().map(|event| Happening::of(&address, event, now_us)).collect();
        let (calls_href, errors_href) = (chosen("/calls").to_string(), chosen("/errors").to_string());
        let mut frame = Frame::new(SERVERS, address);
        frame.title = seen(&server.id);
        frame.ranged = true;
        Self {
            frame,
            id: seen(&server.id),
            state: [server.state.as_str(), badge(server.state)],
            reason: server.reason.as_deref().map(seen),
            transport: seen(&server.transport),
            era: server.era.as_deref().map_or_else(|| "not known yet".to_owned(), seen),
            restarts: count(server.restarts),
            unvalidated: server.unvalidated_tools,
            last_error: last_error(server, now_us),
            all: Figures::of(Some(&all)),
            calls_href,
            errors_href,
            tools,
            others,
            happened,
        }
    }
}

/// What a definition says its tool does, in its first line.
fn title(definition: &str) -> Option<String> {
    let definition: serde_json::Value = serde_json::from_str(definition).ok()?;
    let text = definition["description"].as_str().or(definition["title"].as_str())?;
    Some(seen(text.trim().lines().next()?))
}
