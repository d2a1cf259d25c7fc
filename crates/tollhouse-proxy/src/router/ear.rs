//! How a legacy server is heard for modern clients: in a session of the gateway's own.
//!
//! One for each server, whoever listens; it asks nothing of the server but to be told of changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tollhouse_core::era::Version;
use tollhouse_core::fault::Kind;
use tollhouse_core::wire::{Envelope, Form, members, splice};

use crate::call::quote;
use crate::clocks::Clocks;
use crate::crossing::{self, Beside, Way};
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::links::{listen, live_link, refuse_question};
use crate::session::legacy::{Asked, Endpoint, Outlet, Session};
use crate::session::outbox::Outbox;
use crate::tally::Ended;

/// A session in which a server is heard; it ends when this is dropped.
pub(super) struct Ear {
    gateway: Arc<Gateway>,
    place: usize,
    pub(super) session: Arc<Session>,
    said: mpsc::Receiver<Bytes>,
}

impl Ear {
    pub(super) async fn open(gateway: &Arc<Gateway>, place: usize, clocks: &Clocks) -> Result<Self, Failure> {
        let (outbox, said) = Outbox::new();
        let (endpoint, outlet, stop) = (Endpoint::One(place), Outlet::Channel(outbox), gateway.stop.child_token());
        let (version, bounds) = (Version::LATEST_LEGACY, gateway.stream_bounds.clone());
        let initialize = Arc::new(crossing::own_initialize());
        let session = Arc::new(Session::new(endpoint, version, None, initialize, outlet, bounds, stop));
        let ear = Self { gateway: gateway.clone(), place, session, said };
        listen(gateway, &ear.session);
        live_link(gateway, &ear.session, place, clocks).await?;
        Ok(ear)
    }

    /// The server's next message that is no question.
    ///
    /// # Errors
    /// The server's end of the session is gone.
    ///
    /// # Cancel safety
    /// Safe, but for the answer to a question.
    pub(super) async fn next(&mut self) -> Result<Envelope, Failure> {
        loop {
            let said = tokio::select! {
                () = self.session.turned().notified() => None,
                said = self.said.recv() => said,
            };
            let said = said.ok_or_else(|| Failure::new(Kind::Lost, "the session in which it was heard is gone"))?;
            let Ok(message) = Envelope::parse(said) else { continue };
            let Form::Request { id, .. } = message.form else { return Ok(message) };
            let ours = members::integer(message.raw(id)).and_then(|id| u64::try_from(id).ok());
            let Some(Asked::Server { id: own, .. }) = ours.and_then(|id| self.session.answered(id)) else { continue };
            if let Some(link) = self.session.link(self.place)
                && let Ok(question) = Envelope::parse(splice::splice(&message.bytes, &[(id, &own)]))
            {
                refuse_question(&self.gateway, self.place, &link, &question).await;
            }
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.gateway.end_session(self.session.clone(), Ended::Success);
    }
}

/// The way to ask the server something in this session.
pub(super) fn way(session: &Arc<Session>, place: usize) -> Result<Way, Failure> {
    let link = session.link(place).ok_or_else(|| Failure::new(Kind::Lost, "the session is gone"))?;
    Ok(Way::Linked(session.clone(), link))
}

/// Subscribes to these resources, and to no others; those that the server accepts.
pub(super) async fn subscribe(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    place: usize,
    uris: &BTreeSet<Box<str>>,
    clocks: &Clocks,
) -> Result<BTreeSet<Box<str>>, Failure> {
    let before: BTreeSet<_> = session.subscriptions(place).into_iter().collect();
    let mut way = way(session, place)?;
    for uri in before.symmetric_difference(uris) {
        let on = uris.contains(uri);
        let method = if on { "resources/subscribe" } else { "resources/unsubscribe" };
        let params = [b"\"uri\":", &quote(uri)[..]].concat();
        let answer = crossing::ask(gateway, &mut way, place, method, &params, &Beside::default(), clocks).await?;
        if !on || matches!(answer.form, Form::Result { .. }) {
            session.subscribed(place, uri, on);
        }
    }
    Ok(session.subscriptions(place).into_iter().collect())
}
