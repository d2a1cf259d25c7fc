//! `/`: is anything wrong, what runs at this moment.

use askama::Template;
use axum::extract::State;
use http::Uri;
use tollhouse_store::question::{By, Numbers, Width};

use super::address::Address;
use super::frame::{Frame, OVERVIEW};
use super::text::{count, millis, percent, seen};
use super::{Answer, Pages};
use crate::health::Report;

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    frame: Frame,
    calls: String,
    errors: String,
    p50: String,
    servers: Vec<[String; 2]>,
}

pub(super) async fn page(State(pages): State<Pages>, uri: Uri) -> Answer {
    let address = Address::read(uri.path(), uri.query());
    let mut frame = Frame::new(OVERVIEW, address);
    frame.ranged = true;
    let range = frame.address.span();
    let numbers = Numbers { range, width: Width::Minute, by: By::All, server: None, over_time: false };
    let figures = pages.recorded.store().read(move |reader| reader.numbers(&numbers)).await?;
    let sum = figures.into_iter().next().map(|figure| figure.sum).unwrap_or_default();
    let report = Report::from(pages.health.snapshot());
    let nonce = frame.nonce().clone();
    let page = Page {
        frame,
        calls: count(sum.calls),
        errors: percent(sum.failed, sum.calls),
        p50: sum.total.quantile(0.5).map_or_else(|| "–".to_owned(), millis),
        servers: report.servers.iter().map(|server| [seen(&server.id), server.state.as_str().to_owned()]).collect(),
    };
    Ok(Frame::answer(&page, &nonce))
}
