//! Reads servers' lists again when they may have changed, and tells legacy sessions which of them have.
//!
//! What is to be read and who is to be told is the state of the sessions ([`crate::session::changes`]); here it is done.
//! Modern clients are told by their listens ([`super::listen`]).

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tollhouse_core::fault::Kind as Fault;

use super::aggregate::{Asker, digest, drain};
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::kinds::Kind;
use crate::links::turned;
use crate::notices::view::Shown;
use crate::session::changes::Due;
use crate::session::legacy::Session;
use crate::upstream::{State, ask};

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

/// Notices when the server at `place` comes and goes, until the gateway stops.
pub(crate) async fn watch(gateway: Arc<Gateway>, place: usize) {
    let mut status = gateway.fleet.at(place).watch();
    let mut connected = status.borrow_and_update().state == State::Connected;
    loop {
        tokio::select! {
            () = gateway.stop.cancelled() => return,
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
            Due::Later(due) => tokio::select! {
                () = session.changes.woken.notified() => {}
                () = sleep_until(due) => {}
            },
            Due::Nothing => return,
        }
    }
}

async fn read_for(gateway: &Arc<Gateway>, session: &Arc<Session>, place: usize, kind: Kind) {
    let asker = Asker { meta: None, session: Some(session.clone()) };
    match read(gateway, asker, place, kind).await {
        Ok(found) => session.changes.read(place, kind, found),
        Err(failure) => session.changes.not_read(place, kind, is_gone(&failure)),
    }
    gateway.bell.ring(session);
}

/// Reads a list on the gateway's own behalf.
pub(super) async fn read_own(gateway: &Arc<Gateway>, place: usize, kind: Kind) -> Result<Shown, Failure> {
    read(gateway, Asker { meta: Some(ask::own_meta().into()), session: None }, place, kind).await
}

async fn read(gateway: &Arc<Gateway>, asker: Asker, place: usize, kind: Kind) -> Result<Shown, Failure> {
    Ok(digest(&drain(gateway.clone(), asker, place, kind).await?, kind))
}

/// Does the failure mean that the server gives nobody its lists? A slow or broken answer does not.
fn is_gone(failure: &Failure) -> bool {
    matches!(failure.fault.kind, Fault::Unreachable | Fault::Tls | Fault::SessionGone | Fault::EraUnsupported)
}
