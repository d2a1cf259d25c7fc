//! Other settings while calls go on: which servers stay, which join, and how one leaves.
//!
//! Servers are compared by id and settings, to the value. Whoever is unchanged notices nothing. Whoever leaves is not
//! routed to any more from one moment to the next, but what was routed to it before is brought to its end.
//!
//! ```text
//! settings → compared → the roster is replaced → names are made anew → clients may be told
//!                                  └→ each server that left: its calls finish → its sessions end → it ends
//! ```

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tollhouse_core::ids::ServerId;
use tracing::{info, warn};

use crate::clocks::Clocks;
use crate::fleet::Member;
use crate::gateway::Gateway;
use crate::session::legacy::Endpoint;
use crate::settings::Settings;
use crate::tally::Ended;
use crate::upstream::{CHANGED, OriginError, Upstream};

/// Sessions that are ended at a server at once.
const ENDINGS: usize = 16;
/// For ending all sessions at a server that leaves; it may not answer any more.
const ENDING: Duration = Duration::from_secs(10);
/// For calls that were cut off to be answered and recorded.
const CUT: Duration = Duration::from_secs(2);

/// What has become of the servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Those that joined.
    pub added: Vec<ServerId>,
    /// Those that left.
    pub removed: Vec<ServerId>,
    /// Those that were replaced by one with other settings under the same id.
    pub changed: Vec<ServerId>,
    /// Those that were not touched.
    pub unchanged: Vec<ServerId>,
}

/// Puts `settings` in force.
///
/// # Errors
/// A server's URL cannot be used. Nothing was changed.
pub(crate) fn reload(gateway: &Arc<Gateway>, settings: &Settings) -> Result<Report, OriginError> {
    let _turn = gateway.reloading.lock().unwrap_or_else(PoisonError::into_inner);
    let before = gateway.fleet.roster();
    let mut report = Report::default();
    let mut members = Vec::with_capacity(settings.servers.len());
    for server in &settings.servers {
        let known = before.iter().find(|(_, known)| known.id == server.id);
        let (member, told) = match known {
            Some((place, known)) if known.configured == *server => (Member::Kept(place), &mut report.unchanged),
            Some(_) => (Member::Joining(gateway.upstream(server)?), &mut report.changed),
            None => (Member::Joining(gateway.upstream(server)?), &mut report.added),
        };
        members.push(member);
        told.push(server.id.clone());
    }
    // From here on nothing can fail.
    gateway.set_limits(settings.limits);
    gateway.session_rules.store(Arc::new(settings.session_rules.clone()));
    gateway.front_door.store(Arc::new(settings.front_door.clone()));
    let after = before.followed_by(&members, settings.naming);
    if (&after.order, after.naming) == (&before.order, before.naming) {
        return Ok(report);
    }
    let ids = after.ids();
    let leaving: Vec<_> = before.iter().filter(|(place, _)| !after.order.contains(place)).collect();
    report.removed = leaving.iter().map(|(_, server)| server.id.clone()).collect();
    report.removed.retain(|id| !report.changed.contains(id));
    gateway.fleet.replace(after);
    gateway.names.configure(settings.naming, ids);
    for member in members {
        if let Member::Joining(server) = member {
            gateway.server_tasks.spawn(server.attend());
        }
    }
    for (place, server) in leaving {
        gateway.server_tasks.spawn(leave(gateway.clone(), place, server.clone()));
    }
    gateway.fleet.generation.send_modify(|generation| *generation += 1);
    Ok(report)
}

/// Brings a server that was taken out to its end.
async fn leave(gateway: Arc<Gateway>, place: usize, server: Arc<Upstream>) {
    server.calls.close();
    let limit = gateway.limits().drain;
    let finished = tokio::select! {
        finished = timeout(limit, server.calls.wait()) => finished.is_ok(),
        () = gateway.stop.cancelled() => return,
    };
    if !finished {
        warn!(target: "tollhouse.server", server = %server.id, calls = server.calls.len(), "cut off: calls took longer than the drain limit");
    }
    server.closing.close();
    let _ = timeout(CUT, server.calls.wait()).await;
    let _ = timeout(ENDING, end_sessions(&gateway, place, &server)).await;
    server.end();
    info!(target: "tollhouse.server", event = CHANGED, server = %server.id, state = "removed", "taken out");
}

/// Ends what sessions have with a server: those of its own endpoint as a whole.
async fn end_sessions(gateway: &Arc<Gateway>, place: usize, server: &Arc<Upstream>) {
    let mut ending = JoinSet::new();
    for session in gateway.sessions.every().into_iter().chain(gateway.lent.take_out(place)) {
        if session.endpoint == Endpoint::One(place) {
            gateway.sessions.remove(&session.id);
            gateway.count_ended(&session, Ended::Success);
            session.stop.cancel();
        }
        let Some(link) = session.unlink(place) else { continue };
        if ending.len() >= ENDINGS {
            ending.join_next().await;
        }
        let server = server.clone();
        ending.spawn(async move {
            let clocks = Clocks::start(Instant::now(), &server.timeouts);
            server.close(&link, &clocks).await;
        });
    }
    while ending.join_next().await.is_some() {}
}
