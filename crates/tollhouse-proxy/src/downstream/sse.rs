//! Clients that speak HTTP+SSE, the transport of 2024-11-05: a GET opens an event stream, its first event names the URI
//! to post to, and everything that is said to the client comes on that one stream.
//!
//! The stream is the session: it cannot be taken up again, and when it ends the client begins anew with another. The
//! later legacy revisions may be spoken over it as well, the modern one not, which knows no such transport.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tollhouse_core::fault::Kind;
use tollhouse_core::record::{Listener, SessionRef};
use tollhouse_core::wire::sse::Event;
use tollhouse_core::wire::{Envelope, Form};

use super::body::{Body, KeepAlive, Messages};
use super::duplex::Client;
use super::outbox::{self, Worth, outbox};
use crate::answer::{Refusal, code};
use crate::gateway::Gateway;
use crate::session::legacy::{Endpoint, Full, Reserved};
use crate::session::mailbox::{Mailbox, Posted};
use crate::session::outbox::Outbox;
use crate::tally::Ended;
use crate::upstream::lines::one_line;

/// A POST waits this long for its client's earlier messages to be looked at.
const CROWDED: Duration = Duration::from_secs(30);

/// Where messages are posted to, below the path of the stream. The name in the query is that of the official SDKs, and
/// some clients look for it.
const MESSAGE: &str = "/message";
const SESSION: &str = "sessionId=";

/// What a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// It opens a stream.
    Stream,
    /// It takes messages.
    Message,
}

/// Where a path leads.
pub(crate) fn door(gateway: &Gateway, path: &str) -> Option<(Endpoint, Door)> {
    let (endpoint, rest) = if let Some(rest) = path.strip_prefix("/sse") {
        (Endpoint::All, rest)
    } else {
        let (server, rest) = path.strip_prefix("/servers/")?.split_once("/sse")?;
        (gateway.endpoint(server)?, rest)
    };
    match rest {
        "" => Some((endpoint, Door::Stream)),
        MESSAGE => Some((endpoint, Door::Message)),
        _ => None,
    }
}

/// The mailbox that a message for `endpoint` names in its query.
pub(crate) fn mailbox(gateway: &Gateway, endpoint: Endpoint, query: Option<&str>) -> Option<mpsc::Sender<Posted>> {
    let id = query?.split('&').find_map(|pair| pair.strip_prefix(SESSION))?;
    gateway.mailboxes.find(id, endpoint)
}

/// Opens the stream of a client that asked for it at `path`. `given` is the conversation that the path names.
///
/// # Errors
/// The gateway has as many sessions as it may.
pub(crate) async fn open(
    gateway: &Arc<Gateway>,
    endpoint: Endpoint,
    path: &str,
    peer: IpAddr,
    given: Option<SessionRef>,
) -> Result<Body, Full> {
    let (place, evicted) = gateway.sessions.reserve()?;
    if let Some(evicted) = evicted {
        gateway.end_session(evicted, Ended::Expired);
    }
    let mailbox = gateway.mailboxes.open(endpoint);
    // A reference without scheme and host: by which name the client came, and over which proxies, only it knows.
    let address = Event {
        data: format!("{path}{MESSAGE}?{SESSION}{}", mailbox.id).into(),
        event: Some("endpoint".into()),
        ..Event::default()
    };
    let (events, outgoing) = outbox(gateway.losses.clone());
    // There is room, and the other end is here.
    let _ = events.post(address.encode(), Worth::Needed).await;
    let (outbox, said) = Outbox::new();
    let client = Client::new(gateway.clone(), Listener::Sse, peer, endpoint, given, outbox.clone());
    let stream = Stream { gateway: gateway.clone(), client, outbox, said, events, mailbox, place };
    gateway.tasks.spawn(stream.serve());
    Ok(Body::Messages(Messages { outgoing, alive: KeepAlive::new() }))
}

/// Puts a message into its client's mailbox.
///
/// # Errors
/// The stream has ended meanwhile, or the client posts faster than its messages are looked at.
pub(crate) async fn post(mailbox: mpsc::Sender<Posted>, posted: Posted) -> Result<(), Refusal> {
    match timeout(CROWDED, mailbox.send(posted)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(unknown()),
        Err(_) => Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            code::LIMITED,
            Kind::Limited,
            "too many messages of this session wait to be looked at",
        )),
    }
}

/// What is said of a stream that is not, or no longer, there.
pub(crate) fn unknown() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, code::INVALID_REQUEST, Kind::Unknown, "this session is not known")
}

/// A client's stream, while it is open.
struct Stream {
    gateway: Arc<Gateway>,
    client: Arc<Client>,
    outbox: Outbox,
    said: mpsc::Receiver<Bytes>,
    events: outbox::Outbox,
    mailbox: Mailbox,
    place: Reserved,
}

impl Stream {
    async fn serve(self) {
        let Self { gateway, client, outbox, said, events, mut mailbox, place } = self;
        let mut writing = gateway.tasks.spawn(write(said, events, gateway.clone()));
        let left = loop {
            tokio::select! {
                biased;
                () = gateway.draining.cancelled() => break false,
                // The client closed its stream, or its connection was given up since it takes nothing.
                _ = &mut writing => break true,
                Some(posted) = mailbox.next() => client.take(posted.envelope, posted.headers, posted.received).await,
            }
        };
        drop(mailbox);
        // In the legacy era a disconnect is no cancellation: what is under way comes to its end, within its clocks, as
        // when a client of a pipe has gone. Only then does the session end at the servers, which could otherwise not
        // finish. Nobody can fetch the answers any more; the records say what became of the calls.
        client.finish().await;
        drop((client, outbox, place));
        if !left {
            // A drain: what was said until now is still written.
            let _ = writing.await;
        }
    }
}

/// Writes what is said to a client, until there is no more of it or the client has gone.
async fn write(mut said: mpsc::Receiver<Bytes>, events: outbox::Outbox, gateway: Arc<Gateway>) {
    loop {
        let message = tokio::select! {
            biased;
            () = events.gone() => return,
            message = said.recv() => message,
        };
        let Some(message) = message else { break };
        let worth = worth(&message);
        let event = Event { data: one_line(message), event: Some("message".into()), ..Event::default() };
        if events.post(event.encode(), worth).await.is_err() {
            return;
        }
    }
    let write_stall = gateway.limits().write_stall;
    events.finish(write_stall).await;
}

/// Nobody waits for a notification.
fn worth(message: &Bytes) -> Worth {
    match Envelope::parse(message.clone()) {
        Ok(envelope) if matches!(envelope.form, Form::Notification { .. }) => Worth::Expendable,
        _ => Worth::Needed,
    }
}
