//! Accepts connections, as many as there is room for.
//!
//! Every connection needs a descriptor, and each call over it may need another towards its server. So clients get no
//! more than half of what the process may open: the rest keeps servers and the admin listener reachable while
//! connections come in floods. Who finds no room is told so, as far as that costs little.
//!
//! Path: socket → **`listener`** → `connection`.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::connection;
use crate::gateway::Gateway;

/// After an accept that failed for want of descriptors others get time to close theirs: so long the first time, and
/// twice as long each time again.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Connections, however many descriptors there are.
const PLACES_MAX: usize = 1_000_000;
/// Clients that are told at the same time that there is no room; more are just disconnected.
const REFUSALS: usize = 16;
/// For telling one.
const REFUSAL: Duration = Duration::from_secs(1);
/// What it is told, without a word of its request being read.
const REFUSED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Retry-After: 1\r\n\
    Connection: close\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 30\r\n\
    \r\n\
    there are too many connections";

/// Accepts connections until the gateway drains.
pub(crate) async fn serve(gateway: Arc<Gateway>, listener: TcpListener) {
    let places = (descriptors() / 2).clamp(1, PLACES_MAX);
    let room = Arc::new(Semaphore::new(places));
    let refusals = Arc::new(Semaphore::new(REFUSALS.min(places / 4)));
    let mut pause = PAUSE;
    loop {
        let accepted = tokio::select! {
            () = gateway.draining.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Said once for each time of trouble, however long it lasts.
                if pause == PAUSE {
                    warn!(target: "tollhouse.http", %error, "could not accept a connection");
                }
                sleep(pause).await;
                pause = (2 * pause).min(PAUSE_MAX);
                continue;
            }
        };
        pause = PAUSE;
        let wanted = places - room.available_permits() < gateway.limits().connections;
        let place = if wanted { room.clone().try_acquire_owned().ok() } else { None };
        if let Some(place) = place {
            gateway.tasks.spawn(connection::serve(gateway.clone(), stream, peer, place));
            continue;
        }
        gateway.losses.refused();
        if let Ok(turn) = refusals.clone().try_acquire_owned() {
            gateway.tasks.spawn(async move {
                let _ = timeout(REFUSAL, refuse(stream)).await;
                drop(turn);
            });
        }
    }
}

/// How many descriptors the process may open.
fn descriptors() -> usize {
    let current = getrlimit(Resource::Nofile).current;
    current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

async fn refuse(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(REFUSED).await?;
    stream.shutdown().await?;
    // A socket that is closed with something unread resets the connection, and the client may never see the answer.
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(REFUSED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    }
}
