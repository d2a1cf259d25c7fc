//! What modern servers tell legacy sessions that use them.
//!
//! A session has no listen at such a server: it puts up on the board what it wants to hear, and what the gateway's one
//! listen there brings is told to it in its own era's words.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::timeout;
use tollhouse_core::fault::Kind;
use tollhouse_core::record::Outcome;

use super::listen::{Because, attend};
use super::question_clocks;
use crate::answer::{self, Refusal, code};
use crate::call::Call;
use crate::crossing::{self, Asker, Way};
use crate::exchange::{Message, conclude};
use crate::gateway::Gateway;
use crate::kinds::Topics;
use crate::links::changed;
use crate::notices::board::{PutUp, Told};
use crate::notices::view::FIRST;
use crate::session::legacy::Session;

/// Hears the modern server at `place` on a session's behalf, from here on if it was not done before.
pub(super) fn hear(gateway: &Arc<Gateway>, session: &Arc<Session>, place: usize) -> Arc<PutUp> {
    let put_up = || {
        let uris = session.subscriptions(place).into_iter().map(|uri| (uri, place)).collect();
        gateway.board.put_up(Some(place), Topics::all(), uris)
    };
    let (listen, first) = session.listen_at(place, put_up);
    if first {
        let (gateway, session, listen) = (gateway.clone(), session.clone(), listen.clone());
        gateway.server_tasks.clone().spawn(async move {
            let server = gateway.fleet.at(place);
            tokio::select! {
                () = session.stop.cancelled() => {}
                () = server.ended() => {}
                () = pass_on(&gateway, &session, place, &listen) => {}
            }
            session.take_down(place);
        });
    }
    attend(gateway, place, Because::ClientListens);
    listen
}

async fn pass_on(gateway: &Gateway, session: &Arc<Session>, place: usize, listen: &PutUp) {
    let server = gateway.fleet.at(place);
    loop {
        let message = match listen.next().await {
            // An only server that is away is no reason to look at its lists: it is told of once it is back.
            Told::Changed(_) if gateway.sole(session.endpoint).is_some() && server.eras_at_hand().is_none() => None,
            Told::Changed(topic) => changed(gateway, session, place, topic, &topic.notice(None)),
            Told::Updated(notice) => Some(crossing::updated(&notice)),
        };
        if let Some(message) = message {
            session.deliver(message).await;
        }
    }
}

/// Takes a legacy client's subscription, or the end of one, at a modern server. The call is given back if the server
/// takes it itself.
pub(crate) async fn subscribe(
    gateway: &Arc<Gateway>,
    mut call: Box<Call>,
    session: &Arc<Session>,
    place: usize,
) -> Result<Message, Box<Call>> {
    if session.link(place).is_some() {
        return Err(call);
    }
    let server = gateway.fleet.at(place);
    let clocks = question_clocks(&server);
    let Ok(Way::Lifted(_)) = crossing::find(gateway, &Asker::Session(session.clone()), place, &clocks).await else {
        return Err(call);
    };
    call.server = Some(server.id.clone());
    Ok(match take(gateway, &call, session, place).await {
        Ok(()) => {
            let bytes: Bytes = answer::result(call.raw_id(), b"{}");
            conclude(gateway, call, Message { status: StatusCode::OK, bytes }, Outcome::Ok)
        }
        Err(refusal) => {
            let bytes = refusal.message(Some(call.raw_id()));
            conclude(gateway, call, Message { status: refusal.status, bytes }, refusal.outcome())
        }
    })
}

async fn take(gateway: &Arc<Gateway>, call: &Call, session: &Arc<Session>, place: usize) -> Result<(), Refusal> {
    let Some(uri) = call.name() else {
        let why = format!("`{}` needs a `uri`", call.method);
        return Err(Refusal::new(StatusCode::OK, code::INVALID_PARAMS, Kind::Malformed, why));
    };
    let on = call.method == "resources/subscribe";
    if !session.subscribed(place, &uri, on) {
        let why = "the session has as many subscriptions as it may";
        return Err(Refusal::new(StatusCode::OK, code::LIMITED, Kind::Limited, why));
    }
    let listen = hear(gateway, session, place);
    listen.want(&uri, place, on);
    if on {
        // What changes once this is answered is told. It is not kept waiting longer for a server that is slow.
        let _ = timeout(FIRST, listen.asked()).await;
    }
    Ok(())
}
