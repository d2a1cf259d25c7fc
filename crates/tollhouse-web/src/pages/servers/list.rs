//! All servers, and what happened to them last.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use http::Uri;
use tollhouse_store::event::Event;
use tollhouse_store::question::{By, Figure, Happened, Sum};

use super::super::address::{Address, now_us};
use super::super::frame::{Frame, SERVERS};
use super::super::slots::Slots;
use super::super::text::{count, seen};
use super::super::{Answer, Pages};
use super::{Figures, Happening, badge, last_error, path};
use crate::charts::{Svg, sparkline};
use crate::health::{Report, Server};

/// Events shown.
const EVENTS: usize = 20;

#[derive(Template)]
#[template(path = "servers.html")]
pub(super) struct Page {
    pub(super) frame: Frame,
    pub(super) tiles: [(&'static str, String, &'static str); 4],
    pub(super) rows: Vec<Row>,
    pub(super) happened: Vec<Happening>,
}

pub(super) struct Row {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) state: [&'static str; 2],
    pub(super) reason: String,
    pub(super) transport: String,
    pub(super) era: String,
    pub(super) tools: String,
    pub(super) restarts: u64,
    pub(super) figures: Figures,
    pub(super) spark: Svg,
    pub(super) last_error: Option<[String; 3]>,
}

pub(in super::super) async fn page(State(pages): State<Pages>, uri: Uri) -> Answer {
    let address = Address::read(uri.path(), uri.query());
    let now_us = now_us();
    let slots = Slots::of(address.span(), now_us);
    let (figures, events) = pages
        .recorded
        .store()
        .read(move |reader| {
            let figures = reader.numbers(&slots.numbers(By::Server, None, true))?;
            Ok((figures, reader.events(&Happened::default(), None, EVENTS)?))
        })
        .await?;
    let report = Report::from(pages.health.snapshot());
    let page = Page::new(address, &report.servers, &slots, &figures, &events, now_us);
    let nonce = page.frame.nonce().clone();
    Ok(Frame::answer(&page, &nonce))
}

impl Page {
    pub(super) fn new(
        address: Address,
        servers: &[Server],
        slots: &Slots,
        figures: &[Figure],
        events: &[Event],
        now_us: u64,
    ) -> Self {
        let mut sums = BTreeMap::<&str, (Sum, Vec<u64>)>::new();
        for figure in figures {
            let Some(place) = slots.place(figure.from_us) else { continue };
            let (sum, spark) = sums.entry(&figure.group[0]).or_insert_with(|| (Sum::default(), vec![0; slots.count()]));
            sum.merge(&figure.sum);
            spark[place] += figure.sum.calls;
        }
        let none = vec![0; slots.count()];
        let row = |server: &Server| {
            let (sum, spark) = sums.get(&*server.id).map_or((None, &none), |(sum, spark)| (Some(sum), spark));
            Row {
                id: seen(&server.id),
                href: path(&address, &server.id),
                state: [server.state.as_str(), badge(server.state)],
                reason: server.reason.as_deref().map(seen).unwrap_or_default(),
                transport: seen(&server.transport),
                era: server.era.as_deref().map_or_else(|| "–".to_owned(), seen),
                tools: server.tools.map_or_else(|| "–".to_owned(), count),
                restarts: server.restarts,
                figures: Figures::of(sum),
                spark: sparkline(&format!("{} calls, over time", count(spark.iter().sum())), spark),
                last_error: last_error(server, now_us),
            }
        };
        let with = |word: &str| servers.iter().filter(|server| server.state.as_str() == word).count() as u64;
        let tile = |name, word, class| (name, count(with(word)), if with(word) > 0 { class } else { "" });
        let tools = servers.iter().filter_map(|server| server.tools).sum();
        let tiles = [
            tile("Connected", "connected", "good"),
            tile("Failed", "failed", "bad"),
            ("Not started", count(with("idle") + with("starting")), ""),
            ("Tools", count(tools), ""),
        ];
        let rows = servers.iter().map(row).collect();
        let happened = events.iter().map(|event| Happening::of(&address, event, now_us)).collect();
        let mut frame = Frame::new(SERVERS, address);
        frame.ranged = true;
        Self { frame, tiles, rows, happened }
    }
}
