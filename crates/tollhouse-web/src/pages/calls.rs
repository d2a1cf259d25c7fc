//! `/calls`: what happened.

use askama::Template;
use axum::extract::State;
use http::Uri;

use super::address::Address;
use super::frame::{CALLS, Frame};
use super::{Answer, Pages};

#[derive(Template)]
#[template(path = "calls.html")]
struct Page {
    frame: Frame,
}

pub(super) async fn page(State(_): State<Pages>, uri: Uri) -> Answer {
    let mut frame = Frame::new(CALLS, Address::read(uri.path(), uri.query()));
    frame.ranged = true;
    let nonce = frame.nonce().clone();
    Ok(Frame::answer(&Page { frame }, &nonce))
}
