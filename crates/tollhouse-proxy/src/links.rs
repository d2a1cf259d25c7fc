//! The links of a legacy session to its servers: opened with the client's own words, opened again when a server's
//! process or stream has ended, listened to.
//!
//! A session has one link to each server; [`crate::session::legacy`] keeps them, here they come about.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tollhouse_core::era::Version;
use tollhouse_core::fault::Kind;
use tollhouse_core::wire::{Envelope, Form};
use tracing::{debug, warn};

use crate::answer::{self, code};
use crate::call::quote;
use crate::clocks::Clocks;
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::kinds::Topic;
use crate::session::legacy::Session;
use crate::settings::Timeouts;
use crate::upstream::{Link, Opened, Upstream};

/// What a client says once its session is open. Said again on a link that took the place of another.
const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// Opens a server's session for a session that begins.
pub(crate) async fn open_link(gateway: &Arc<Gateway>, session: &Session, place: usize) -> Result<Opened, Failure> {
    let upstream = gateway.fleet.at(place);
    let start = upstream.timeouts.start;
    let clocks = Clocks::start(Instant::now(), &Timeouts { idle: start, hard: start, ..upstream.timeouts });
    let (initialize, id) = &*session.initialize;
    upstream.open(initialize, *id, &clocks).await
}

/// The session's link to a server, opened again if it has ended since.
pub(crate) async fn live_link(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    place: usize,
    clocks: &Clocks,
) -> Result<Link, Failure> {
    match session.link(place) {
        Some(link) if !link.has_ended() => Ok(link),
        lost => Box::pin(reopen(gateway, session, place, lost, clocks)).await,
    }
}

/// The session's link to a server, if it has one that lives.
pub(crate) fn link_at_hand(session: &Session, place: usize) -> Option<Link> {
    session.link(place).filter(|link| !link.has_ended())
}

/// A link in place of `lost`, whose session the server does not know any more.
pub(crate) async fn new_link(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    place: usize,
    lost: Link,
    clocks: &Clocks,
) -> Result<Link, Failure> {
    Box::pin(reopen(gateway, session, place, Some(lost), clocks)).await
}

/// Opens a session's link again.
async fn reopen(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    place: usize,
    lost: Option<Link>,
    clocks: &Clocks,
) -> Result<Link, Failure> {
    // One at a time: a second caller finds the link that the first has opened.
    let _turn = session.reopening().lock().await;
    match session.link(place) {
        Some(link) if !link.has_ended() && lost.as_ref().is_none_or(|lost| !link.is(lost)) => return Ok(link),
        _ => {}
    }
    if let Some(Link::Duplex(ended)) = &lost {
        clocks.within(session.pause_before_restart(place, ended)).await??;
    }
    let upstream = gateway.fleet.at(place);
    let (initialize, id) = &*session.initialize;
    let opened = upstream.open(initialize, *id, clocks).await?;
    upstream.tell(Bytes::from_static(INITIALIZED), Some(&opened.link), clocks).await?;
    let link = opened.link.clone();
    join(gateway, session, place, opened);
    for uri in session.subscriptions(place) {
        let params = [b"{\"uri\":", &quote(&uri)[..], b"}"].concat();
        // A resource that is gone since has nothing to tell; the link is open all the same.
        let _ = upstream.ask("resources/subscribe", &params, Some(&link), None, clocks).await;
    }
    Ok(link)
}

/// Makes an opened link part of the session: what the server says outside of calls goes to the client.
pub(crate) fn join(gateway: &Arc<Gateway>, session: &Arc<Session>, place: usize, opened: Opened) {
    if session.is_lent() {
        session.greet(opened.answer);
    }
    session.set_link(place, opened.link.clone());
    match (opened.link, opened.unattached) {
        (Link::Duplex(connection), Some(mut unattached)) => {
            let (gateway_, session) = (gateway.clone(), session.clone());
            gateway.server_tasks.spawn(async move {
                let stop = session.stop.clone();
                let relaying = async {
                    let link = Link::Duplex(connection.clone());
                    while let Some(envelope) = unattached.recv().await {
                        if session.is_lent() {
                            if matches!(envelope.form, Form::Request { .. }) {
                                refuse_question(&gateway_, place, &link, &envelope).await;
                            }
                            continue;
                        }
                        if let Some(message) = heard(&gateway_, &session, place, &envelope) {
                            session.deliver(message).await;
                        }
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = relaying => {}
                    () = connection.ended() => turned(&gateway_, &session, place),
                }
            });
        }
        (link, _) => {
            if session.is_listening() {
                follow(gateway, session, place, link);
            }
        }
    }
}

/// A message of a server on its way to the session's client; nothing if it is not, or not yet, for it.
pub(crate) fn heard(gateway: &Gateway, session: &Arc<Session>, place: usize, envelope: &Envelope) -> Option<Bytes> {
    let Form::Notification { method } = &envelope.form else { return session.relay(place, envelope) };
    let Some(topic) = Topic::of(method) else { return session.relay(place, envelope) };
    changed(gateway, session, place, topic, &envelope.bytes)
}

/// Lists of a server have changed, which it says in these words: those for the client, if it is to hear them now.
pub(crate) fn changed(
    gateway: &Gateway,
    session: &Arc<Session>,
    place: usize,
    topic: Topic,
    words: &Bytes,
) -> Option<Bytes> {
    if gateway.sole(session.endpoint).is_some() {
        let passed = session.changes.pass(topic, words, Instant::now());
        if passed.is_some() {
            return passed;
        }
    } else {
        session.changes.announce(place, topic, Instant::now());
    }
    gateway.bell.ring(session);
    None
}

/// A server came or went: whatever the client was shown of it may be another by now.
pub(crate) fn turned(gateway: &Gateway, session: &Arc<Session>, place: usize) {
    session.turned().notify_one();
    // What a sole server offers, its clients learn from itself.
    if gateway.sole(session.endpoint).is_none() {
        session.changes.turned(place, Instant::now());
        gateway.bell.ring(session);
    }
}

/// Answers a server's question in a lent session: nobody can be asked. Counted, and told to the operator.
pub(crate) async fn refuse_question(gateway: &Gateway, place: usize, link: &Link, question: &Envelope) {
    let Form::Request { id, method } = &question.form else { return };
    let upstream = gateway.fleet.at(place);
    let message = if method == "ping" {
        answer::result(question.raw(*id), b"{}")
    } else {
        let refused = gateway.lent.count_question();
        warn!(target: "tollhouse.server", server = %upstream.id, %method, refused, "a question of the server was refused: its client speaks another era");
        let why = format!("`{method}` is not carried to a client of revision {}", Version::MODERN);
        answer::error(Some(question.raw(*id)), code::METHOD_NOT_FOUND, &why, None)
    };
    let clocks = Clocks::start(Instant::now(), &upstream.timeouts);
    if let Err(failure) = upstream.tell(message, Some(link), &clocks).await {
        debug!(target: "tollhouse.server", server = %upstream.id, cause = %failure.cause, "an answer was not delivered");
    }
}

/// Opens the streams of messages that belong to no call, at every server that is reached over streamable HTTP. Once per
/// session.
pub(crate) fn listen(gateway: &Arc<Gateway>, session: &Arc<Session>) {
    if !session.begin_listening() {
        return;
    }
    if session.changes.hear() {
        gateway.bell.ring(session);
    }
    for (place, link) in session.links() {
        if let Link::Http(_) = link {
            follow(gateway, session, place, link);
        }
    }
}

/// Reads a link's stream until the session or the server ends. A process and a server of HTTP+SSE say everything where
/// they answer.
fn follow(gateway: &Arc<Gateway>, session: &Arc<Session>, place: usize, link: Link) {
    if let Link::Duplex(_) = link {
        return;
    }
    let (gateway_, upstream, session) = (gateway.clone(), gateway.fleet.at(place), session.clone());
    gateway.server_tasks.spawn(async move {
        tokio::select! {
            () = session.stop.cancelled() => {}
            () = upstream.ended() => {}
            () = read(&gateway_, &upstream, &session, place, &link) => {}
        }
    });
}

async fn read(gateway: &Gateway, upstream: &Upstream, session: &Arc<Session>, place: usize, link: &Link) {
    let mut after: Option<String> = None;
    let mut pause = Duration::from_secs(1);
    loop {
        let opened = upstream.listen(link, after.as_deref()).await;
        match opened {
            // It offers no such stream.
            Ok(None) => return,
            Ok(Some(mut events)) => {
                while let Ok(envelope) = events.next().await {
                    if let Some(message) = heard(gateway, session, place, &envelope) {
                        session.deliver(message).await;
                    }
                }
                after = events.last_event_id().map(ToOwned::to_owned);
                pause = events.retry();
            }
            // Whoever asks next opens another session there, and its stream.
            Err(failure) if failure.fault.kind == Kind::SessionGone => return turned(gateway, session, place),
            Err(_) => pause = (pause * 2).min(Duration::from_mins(1)),
        }
        tokio::time::sleep(pause).await;
    }
}
