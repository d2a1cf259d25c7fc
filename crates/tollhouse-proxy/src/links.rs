//! The links of a legacy session to its servers: opened with the client's own words, opened again when a server's
//! process has ended, listened to.
//!
//! A session has one link to each server; [`crate::session::legacy`] keeps them, here they come about.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tollhouse_core::fault::Kind;

use crate::clocks::Clocks;
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::session::legacy::Session;
use crate::settings::Timeouts;
use crate::upstream::{Link, Opened, Upstream};

/// What a client says once its session is open. Said again for a process that took the place of another.
const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// Opens a server's session for a session that begins.
pub(crate) async fn open_link(gateway: &Arc<Gateway>, session: &Session, place: usize) -> Result<Opened, Failure> {
    let upstream = gateway.fleet.at(place);
    let start = upstream.timeouts.start;
    let clocks = Clocks::start(Instant::now(), &Timeouts { idle: start, hard: start, ..upstream.timeouts });
    let (initialize, id) = &*session.initialize;
    upstream.open(initialize, *id, &clocks).await
}

/// The session's link to a server, opened again if the server's process has ended since.
pub(crate) async fn live_link(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    place: usize,
    clocks: &Clocks,
) -> Result<Link, Failure> {
    match session.link(place) {
        Some(Link::Stdio(connection)) if connection.has_ended() => {
            Box::pin(reopen(gateway, session, place, Some(connection.uptime()), clocks)).await
        }
        Some(link) => Ok(link),
        None => Box::pin(reopen(gateway, session, place, None, clocks)).await,
    }
}

/// Opens a session's link again, `uptime` after its process was started.
async fn reopen(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    place: usize,
    uptime: Option<Duration>,
    clocks: &Clocks,
) -> Result<Link, Failure> {
    // One at a time: a second caller finds the link that the first has opened.
    let _turn = session.reopening.lock().await;
    match session.link(place) {
        Some(Link::Stdio(connection)) if connection.has_ended() => {}
        Some(link) => return Ok(link),
        None => {}
    }
    if let Some(uptime) = uptime {
        clocks.within(session.pause_before_restart(place, uptime)).await??;
    }
    let upstream = gateway.fleet.at(place);
    let (initialize, id) = &*session.initialize;
    let opened = upstream.open(initialize, *id, clocks).await?;
    upstream.tell(Bytes::from_static(INITIALIZED), Some(&opened.link), clocks).await?;
    let link = opened.link.clone();
    join(gateway, session, place, opened);
    Ok(link)
}

/// Makes an opened link part of the session: what the process says outside of calls goes to the client.
pub(crate) fn join(gateway: &Arc<Gateway>, session: &Arc<Session>, place: usize, opened: Opened) {
    session.set_link(place, opened.link.clone());
    if session.is_listening() {
        attend(gateway, session, place, opened.link);
    }
    if let Some(mut unattached) = opened.unattached {
        let session = session.clone();
        gateway.server_tasks.spawn(async move {
            let stop = session.stop.clone();
            let relaying = async {
                while let Some(envelope) = unattached.recv().await {
                    if let Some(message) = session.relay(place, &envelope) {
                        session.deliver(message).await;
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = relaying => {}
            }
        });
    }
}

/// Opens the streams of messages that belong to no call, at every server that is reached over HTTP. Once per session.
pub(crate) fn listen(gateway: &Arc<Gateway>, session: &Arc<Session>) {
    if !session.begin_listening() {
        return;
    }
    for (place, link) in session.links() {
        attend(gateway, session, place, link);
    }
}

/// Follows the stream of one server until the session or the server ends. A process needs none: it has a pipe.
fn attend(gateway: &Arc<Gateway>, session: &Arc<Session>, place: usize, link: Link) {
    if let Link::Stdio(_) = link {
        return;
    }
    let (upstream, session) = (gateway.fleet.at(place), session.clone());
    gateway.server_tasks.spawn(async move {
        tokio::select! {
            () = session.stop.cancelled() => {}
            () = upstream.ended() => {}
            () = follow(&upstream, &session, place, &link) => {}
        }
    });
}

async fn follow(upstream: &Upstream, session: &Session, place: usize, link: &Link) {
    let mut after: Option<String> = None;
    let mut pause = Duration::from_secs(1);
    loop {
        let opened = upstream.listen(link, after.as_deref()).await;
        match opened {
            // It offers no such stream.
            Ok(None) => return,
            Ok(Some(mut events)) => {
                while let Ok(envelope) = events.next().await {
                    if let Some(message) = session.relay(place, &envelope) {
                        session.deliver(message).await;
                    }
                }
                after = events.last_event_id().map(ToOwned::to_owned);
                pause = events.retry();
            }
            Err(failure) if failure.fault.kind == Kind::SessionGone => return,
            Err(_) => pause = (pause * 2).min(Duration::from_mins(1)),
        }
        tokio::time::sleep(pause).await;
    }
}
