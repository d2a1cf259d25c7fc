//! One connection of a client: found out which HTTP it speaks, served, and left without losing a call.
//!
//! Over HTTP/1 a connection serves one request at a time. The request's work lives beside the connection, not inside
//! it: when the client goes away in the middle, the connection's owner still has the work and takes it to its end,
//! which is cancellation in the modern era and completion in the legacy one. So every call ends in its own code and
//! leaves its record there, and nothing has to happen in a destructor. For HTTP/2 see `http2`.
//!
//! Path: `listener` → **`connection`** → `http`.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use ::http::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::debug;

use super::body::Body;
use super::http::{Client, HEAD_MAX};
use super::http2;
use super::socket::{Http, Socket, took_nothing};
use crate::gateway::Gateway;

/// Headers of a request.
const HEADERS_MAX: usize = 100;

/// Serves one connection; its `place` is free again as soon as it is closed.
pub(super) async fn serve(gateway: Arc<Gateway>, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
    // A message is one write; waiting for more to send would only add latency.
    let _ = stream.set_nodelay(true);
    // Without an address it is already gone.
    let Ok(local) = stream.local_addr().map(|local| local.ip().to_canonical()) else { return };
    let client = Client { gateway: gateway.clone(), peer: peer.ip(), local, gone: Arc::default(), given: None };
    let (head, write_stall) = {
        let limits = gateway.limits();
        (limits.head, limits.write_stall)
    };
    let begun = tokio::select! {
        begun = timeout(head, Socket::begin(stream, write_stall)) => begun,
        () = gateway.draining.cancelled() => return,
    };
    match begun {
        Ok(Ok((socket, Http::One))) => http1(client, socket, place).await,
        Ok(Ok((socket, Http::Two))) => Box::pin(http2::serve(client, socket, place)).await,
        Ok(Err(_)) => {}
        Err(_) => gateway.losses.cut(),
    }
}

/// The work of the request that a connection is busy with.
type Work = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Where the work lives, so that it outlives the connection.
#[derive(Clone, Default)]
struct Bench(Arc<Mutex<Option<Work>>>);

/// What the connection waits for: the work on the bench.
struct Pending(Bench);

impl Future for Pending {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut bench = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken away: the connection has ended, and nobody looks at this any more.
        let Some(work) = bench.as_mut() else { return Poll::Pending };
        let response = std::task::ready!(work.as_mut().poll(cx));
        *bench = None;
        Poll::Ready(Ok(response))
    }
}

async fn http1(client: Client, socket: Socket, place: OwnedSemaphorePermit) {
    let gateway = client.gateway.clone();
    let gone = client.gone.clone();
    let peer = client.peer;
    let bench = Bench::default();
    let served = AtomicBool::new(false);
    {
        let service = hyper::service::service_fn(|request| {
            served.store(true, Ordering::Relaxed);
            let work: Work = Box::pin(client.clone().serve(request));
            *bench.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
            Pending(bench.clone())
        });
        let head = gateway.limits().head;
        let mut connection = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(head)
                .max_buf_size(HEAD_MAX)
                .max_headers(HEADERS_MAX)
                .serve_connection(TokioIo::new(socket), service)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = gateway.draining.cancelled() => {
                // What is under way is finished; no further request is read.
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = gateway.stop.cancelled() => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            // Who has asked something and then rests is not slow.
            let headless = error.is_timeout() && !served.load(Ordering::Relaxed);
            if headless || took_nothing(&error) {
                gateway.losses.cut();
            }
            debug!(target: "tollhouse.http", %peer, %error, "a connection ended early");
        }
    }
    drop(place);
    let unfinished = bench.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(work) = unfinished {
        gone.store(true, Ordering::Relaxed);
        drop(work.await);
    }
}
