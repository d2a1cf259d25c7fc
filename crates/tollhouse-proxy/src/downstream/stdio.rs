//! Clients that started the gateway themselves: one client, lines of JSON, either era.
//!
//! The process is the session; standard output carries nothing but messages.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollhouse_core::clock;
use tollhouse_core::fault::Kind;
use tollhouse_core::record::{Listener, SessionRef, SessionSource};
use tollhouse_core::wire::Envelope;

use super::duplex::Client;
use crate::answer::{Refusal, code};
use crate::gateway::Gateway;
use crate::session::legacy::Endpoint;
use crate::session::outbox::Outbox;
use crate::upstream::lines::{Line, LineReader, LineWriter, one_line};

/// Serves one client until its input ends. The process is one conversation: the one its environment names, if any.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    given: Option<SessionRef>,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
) {
    let (writer, pump) = LineWriter::new(output);
    let abort = CancellationToken::new();
    let tasks = TaskTracker::new();
    let writing = tasks.spawn(pump.run(CancellationToken::new(), abort.clone()));
    let (outbox, mut messages) = Outbox::new();
    let forwarding = tasks.spawn(async move {
        while let Some(message) = messages.recv().await {
            // The client closed our output: what follows is said to nobody.
            if writer.post(one_line(message)).await.is_err() {
                return;
            }
        }
    });
    let given = given.unwrap_or_else(process);
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let client = Client::new(gateway.clone(), Listener::Stdio, peer, Endpoint::All, Some(given), outbox.clone());
    // A pipe keeps to it for life.
    let limit = gateway.limits().request;
    let mut lines = LineReader::new(input, limit.bytes());
    loop {
        let line = tokio::select! {
            () = gateway.draining.cancelled() => break,
            line = lines.next() => line,
        };
        match line {
            Ok(Some(Line::Whole(line))) if line.iter().all(u8::is_ascii_whitespace) => {}
            Ok(Some(Line::Whole(line))) => {
                let received = Instant::now();
                match Envelope::parse(line) {
                    Ok(envelope) => client.take(envelope, HeaderMap::new(), received).await,
                    Err(error) => {
                        outbox.say(Refusal::malformed(error.code(), error.to_string()).message(None)).await;
                    }
                }
            }
            Ok(Some(Line::TooLong { .. } | Line::Partial(_))) => {}
            Ok(Some(Line::TooLongEnd { .. })) => {
                let message = format!("the message is larger than {limit}");
                let refusal = Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, Kind::TooLarge, message);
                outbox.say(refusal.message(None)).await;
            }
            Ok(None) | Err(_) => break,
        }
    }
    if !gateway.draining.is_cancelled() {
        client.hang_up();
    }
    // What is under way may still be answered; a drain bounds it.
    client.finish().await;
    drop((client, outbox));
    let _ = forwarding.await;
    let _ = writing.await;
}

/// The conversation of a process whose environment names none.
fn process() -> SessionRef {
    SessionRef { id: format!("p_{:016x}", clock::distinct_u64()).into(), source: SessionSource::Protocol }
}
