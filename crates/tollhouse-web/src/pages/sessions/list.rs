//! The list of sessions.

use askama::Template;
use axum::extract::State;
use http::Uri;
use tollhouse_store::question::{Field, Filter, Session};

use super::super::address::{Address, encoded, now_us};
use super::super::frame::{Frame, SESSIONS};
use super::super::pick::Pick;
use super::super::text::{ago, count, lasted, rfc3339, seen};
use super::super::{Answer, Pages, offered};
use super::{inferred, state};

/// Sessions that are looked at.
const SESSIONS_MAX: usize = 500;

#[derive(Template)]
#[template(path = "sessions.html")]
pub(super) struct Page {
    pub(super) frame: Frame,
    pub(super) pick: Pick,
    pub(super) states: [(&'static str, String, &'static str); 3],
    pub(super) cut: bool,
    pub(super) rows: Vec<Row>,
}

pub(super) struct Row {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) href: String,
    pub(super) state: [&'static str; 2],
    pub(super) client: Option<String>,
    pub(super) source: String,
    pub(super) confidence: String,
    pub(super) inferred: String,
    pub(super) calls: String,
    pub(super) failed: String,
    pub(super) any_failed: bool,
    pub(super) servers: Vec<String>,
    pub(super) lasted: String,
    pub(super) at: String,
    pub(super) ago: String,
}

pub(in super::super) async fn page(State(pages): State<Pages>, uri: Uri) -> Answer {
    let address = Address::read(uri.path(), uri.query());
    let range = address.span();
    let sessions = pages.recorded.store().read(move |reader| reader.sessions(range, SESSIONS_MAX)).await?;
    let (servers, _) = offered(&pages, &address).await?;
    let pick = Pick::new(&address, "/sessions", &servers, &[]).errors(&address);
    let page = Page::new(address, pick, &sessions, now_us());
    let nonce = page.frame.nonce().clone();
    Ok(Frame::answer(&page, &nonce))
}

impl Page {
    pub(super) fn new(address: Address, pick: Pick, sessions: &[Session], now_us: u64) -> Self {
        let filter = address.filter();
        let chosen: Vec<&Session> = sessions.iter().filter(|session| wants(&filter, session)).collect();
        let states = ["active", "idle", "ended"].map(|word| {
            let found = chosen.iter().filter(|session| state(session.last_us, now_us)[0] == word).count();
            let class = if word == "active" { "good" } else { "" };
            (word, count(found as u64), class)
        });
        let rows = chosen.into_iter().map(|session| Row::of(&address, session, now_us)).collect();
        let mut frame = Frame::new(SESSIONS, address);
        frame.ranged = true;
        Self { frame, pick, states, cut: sessions.len() == SESSIONS_MAX, rows }
    }
}

impl Row {
    fn of(address: &Address, session: &Session, now_us: u64) -> Self {
        let there = address.plain(&format!("/sessions/{}", encoded(&session.id)));
        Self {
            key: format!("{}-{}", seen(&session.principal), seen(&session.id)),
            id: seen(&session.id),
            href: there.with("principal", &session.principal).to_string(),
            state: state(session.last_us, now_us),
            client: session.client.as_deref().map(seen),
            source: seen(&session.source),
            confidence: seen(&session.confidence),
            inferred: inferred(&session.source, &session.confidence),
            calls: count(session.calls),
            failed: count(session.failed),
            any_failed: session.failed > 0,
            servers: session.servers.iter().map(|server| seen(server)).collect(),
            lasted: lasted(session.last_us.saturating_sub(session.first_us)),
            at: rfc3339(session.last_us),
            ago: ago(session.last_us, now_us),
        }
    }
}

/// Does a session fit what is chosen, as far as that says something of sessions?
fn wants(filter: &Filter, session: &Session) -> bool {
    (!filter.failed || session.failed > 0)
        && filter.terms.iter().all(|term| {
            let fits = match term.field {
                Field::Server => session.servers.iter().any(|server| **server == term.value),
                Field::Client => session.client.as_deref() == Some(&term.value),
                Field::Principal => *session.principal == term.value,
                Field::Session => *session.id == term.value,
                Field::Name | Field::Method | Field::Outcome | Field::Error => return true,
            };
            fits != term.exclude
        })
}
