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
use tokio_util::sync::CancellationToken;
use tollhouse_core::fault::Kind;
use tollhouse_core::record::{Listener, SessionRef};
use tollhouse_core::wire::sse::Event;
use tracing::{debug, warn};

use super::body::{Body, KeepAlive, Messages};
use super::duplex::Client;
use crate::answer::{Refusal, code};
use crate::gateway::Gateway;
use crate::session::legacy::{Endpoint, Reserved};
use crate::session::mailbox::{Mailbox, Posted};
use crate::session::outbox::{Outbox, WhenFull};
use crate::upstream::lines::one_line;

/// A client that reads nothing for this long is ended.
const STALL: Duration = Duration::from_secs(30);
/// A message goes out in pieces of this size, so that a slow reader of a long one is told from one that reads nothing.
const PIECE: usize = 64 << 10;
/// Pieces that wait for the connection. Full: the next waits, for as long as [`STALL`].
const PIECES: usize = 1;
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

/// Opens the stream of a client that asked for it at `path`. `given` is the conversation that the path names; `hang_up`
/// ends the connection it came over.
///
/// # Errors
/// The gateway has as many sessions as it may.
pub(crate) fn open(
    gateway: &Arc<Gateway>,
    endpoint: Endpoint,
    path: &str,
    peer: IpAddr,
    given: Option<SessionRef>,
    hang_up: Arc<CancellationToken>,
) -> Result<Body, Refusal> {
    let Some((place, evicted)) = gateway.sessions.reserve() else {
        return Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            code::LIMITED,
            Kind::Limited,
            "all sessions are in use, which is the limit",
        ));
    };
    if let Some(evicted) = evicted {
        gateway.end_session(evicted);
    }
    let mailbox = gateway.mailboxes.open(endpoint);
    // A reference without scheme and host: by which name the client came, and over which proxies, only it knows.
    let address = Event {
        data: format!("{path}{MESSAGE}?{SESSION}{}", mailbox.id).into(),
        event: Some("endpoint".into()),
        ..Event::default()
    };
    let (pieces, receiver) = mpsc::channel(PIECES);
    let first = pieces.try_send(address.encode());
    debug_assert!(first.is_ok(), "it is empty");
    let (outbox, said) = Outbox::new(WhenFull::DropNotifications);
    let client = Client::new(gateway.clone(), Listener::Sse, peer, endpoint, given, outbox.clone());
    let stream = Stream { gateway: gateway.clone(), client, outbox, said, pieces, mailbox, hang_up, place };
    gateway.tasks.spawn(stream.serve());
    Ok(Body::Messages(Messages { receiver, alive: KeepAlive::new() }))
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
    pieces: mpsc::Sender<Bytes>,
    mailbox: Mailbox,
    hang_up: Arc<CancellationToken>,
    place: Reserved,
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// There is nothing more to say.
    Finished,
    /// The client closed it.
    Left,
    /// The client does not read.
    Unread,
}

impl Stream {
    async fn serve(self) {
        let Self { gateway, client, outbox, said, pieces, mut mailbox, hang_up, place } = self;
        let mut writing = gateway.tasks.spawn(write(said, pieces));
        let ended = loop {
            tokio::select! {
                biased;
                () = gateway.draining.cancelled() => break None,
                ended = &mut writing => break Some(ended.unwrap_or(Ended::Left)),
                Some(posted) = mailbox.next() => client.take(posted.envelope, posted.headers, posted.received).await,
            }
        };
        drop(mailbox);
        if ended == Some(Ended::Unread) {
            let (dropped, streams) = (outbox.dropped(), gateway.mailboxes.unread());
            warn!(target: "tollhouse.http", dropped, streams, "a client that did not read its event stream was ended");
            hang_up.cancel();
        } else if outbox.dropped() > 0 {
            debug!(target: "tollhouse.http", dropped = outbox.dropped(), "notifications found no room in an event stream");
        }
        // In the legacy era a disconnect is no cancellation: what is under way comes to its end, within its clocks, as
        // when a client of a pipe has gone. Only then does the session end at the servers, which could otherwise not
        // finish. Nobody can fetch the answers any more; the records say what became of the calls.
        client.finish().await;
        drop((client, outbox, place));
        if ended.is_none() {
            // A drain: what was said until now is still written.
            let _ = writing.await;
        }
    }
}

/// Writes what is said to a client, until there is no more of it or nobody reads.
async fn write(mut said: mpsc::Receiver<Bytes>, pieces: mpsc::Sender<Bytes>) -> Ended {
    loop {
        let message = tokio::select! {
            biased;
            () = pieces.closed() => return Ended::Left,
            message = said.recv() => message,
        };
        let Some(message) = message else { return Ended::Finished };
        let event = Event { data: one_line(message), event: Some("message".into()), ..Event::default() };
        let mut frame = event.encode();
        while !frame.is_empty() {
            let piece = frame.split_to(frame.len().min(PIECE));
            match timeout(STALL, pieces.send(piece)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Ended::Left,
                Err(_) => return Ended::Unread,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How the writing of messages ends for a client that takes so many pieces, one after each pause.
    async fn written(messages: &[usize], pieces: usize, pause: Duration) -> Ended {
        let (outbox, said) = Outbox::new(WhenFull::DropNotifications);
        for length in messages {
            outbox.say("x".repeat(*length).into()).await;
        }
        drop(outbox);
        let (sender, mut receiver) = mpsc::channel(PIECES);
        let reading = async move {
            for _ in 0..pieces {
                tokio::time::sleep(pause).await;
                receiver.recv().await;
            }
            // It stays, and reads no more.
            tokio::time::sleep(STALL * 10).await;
        };
        tokio::select! {
            ended = write(said, sender) => ended,
            () = reading => panic!("it is noticed before"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_given_up_and_a_slow_one_is_not() {
        assert_eq!(written(&[10, 10, 10], 0, STALL).await, Ended::Unread);
        assert_eq!(written(&[10], 0, STALL).await, Ended::Finished, "what fits is not waited for");
        assert_eq!(written(&[10 * PIECE], 11, STALL / 2).await, Ended::Finished);
        assert_eq!(written(&[10 * PIECE], 5, STALL / 2).await, Ended::Unread);
    }
}
