//! Reads servers' lists again when they may have changed, and tells legacy sessions which of them have.
//!
//! What is to be read and who is to be told is the state of the sessions ([`crate::session::changes`]); here it is done.
//! Modern clients are told by their listens ([`super::listen`]).

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tollhouse_core::fault::Kind as Fault;

use super::aggregate::{Question, read};
use super::listen::{Because, attend_all};
use super::{lifted, question_clocks};
use crate::crossing::{self, Asker, Beside};
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::kinds::Kind;
use crate::links::turned;
use crate::session::changes::Due;
use crate::session::legacy::Session;
use crate::upstream::{State, Upstream};

/// Tells sessions what is due, until the gateway stops.
pub(crate) async fn attend(gateway: Arc<Gateway>) {
    loop {
        let sessions = tokio::select! {
            () = gateway.stop.cancelled() => return,
            sessions = gateway.bell.answer() => sessions,
        };
        for session in sessions {
            let gateway_ = gateway.clone();
            gateway.server_tasks.spawn(async move {
                let stop = session.stop.clone();
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tell(&gateway_, &session) => {}
                }
            });
        }
    }
}

/// Notices when servers come and go, and when there are others, until the gateway stops.
pub(crate) async fn watch(gateway: Arc<Gateway>) {
    let mut generation = gateway.fleet.generation.subscribe();
    let mut watched = HashSet::new();
    loop {
        generation.mark_unchanged();
        let roster = gateway.fleet.roster();
        for (place, server) in roster.iter().filter(|(place, _)| watched.insert(*place)) {
            gateway.server_tasks.spawn(watch_one(gateway.clone(), place, server.clone()));
        }
        drop(roster);
        tokio::select! {
            () = gateway.stop.cancelled() => return,
            _ = generation.changed() => {}
        }
        let places: Vec<_> = gateway.fleet.roster().order.clone();
        for session in gateway.bell.entered() {
            session.changes.replaced(&places, Instant::now());
            gateway.bell.ring(&session);
        }
        attend_all(&gateway, Because::OthersJoined);
    }
}

/// Notices when the server at `place` comes and goes, until it ends.
async fn watch_one(gateway: Arc<Gateway>, place: usize, server: Arc<Upstream>) {
    let mut status = server.watch();
    let mut connected = status.borrow_and_update().state == State::Connected;
    loop {
        tokio::select! {
            () = server.ended() => return,
            changed = status.changed() => if changed.is_err() { return },
        }
        let before = std::mem::replace(&mut connected, status.borrow_and_update().state == State::Connected);
        if before != connected {
            for session in gateway.bell.entered() {
                turned(&gateway, &session, place);
            }
        }
    }
}

/// Does what is due for a session, until nothing is.
async fn tell(gateway: &Arc<Gateway>, session: &Arc<Session>) {
    loop {
        match session.changes.due(Instant::now()) {
            Due::Tell(notice) => session.deliver(notice).await,
            Due::Read(place, kind) => {
                let (gateway_, session) = (gateway.clone(), session.clone());
                gateway.server_tasks.spawn(async move {
                    let stop = session.stop.clone();
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = read_for(&gateway_, &session, place, kind) => {}
                    }
                });
            }
            Due::Hear(place) => _ = lifted::hear(gateway, session, place),
            Due::Later(due) => tokio::select! {
                () = session.changes.woken.notified() => {}
                () = sleep_until(due) => {}
            },
            Due::Nothing => return,
        }
    }
}

async fn read_for(gateway: &Arc<Gateway>, session: &Arc<Session>, place: usize, kind: Kind) {
    let clocks = question_clocks(&gateway.fleet.at(place));
    let asker = Asker::Session(session.clone());
    let found = async {
        let way = crossing::find(gateway, &asker, place, &clocks).await?;
        read(Question::new(gateway.clone(), place, way, Beside::default()), kind).await
    };
    match found.await {
        Ok(found) => session.changes.read(place, kind, found),
        Err(failure) => session.changes.not_read(place, kind, is_gone(&failure)),
    }
    gateway.bell.ring(session);
}

/// Does the failure mean that the server gives nobody its lists? A slow or broken answer does not.
fn is_gone(failure: &Failure) -> bool {
    matches!(failure.fault.kind, Fault::Unreachable | Fault::Tls | Fault::SessionGone | Fault::EraUnsupported)
}
