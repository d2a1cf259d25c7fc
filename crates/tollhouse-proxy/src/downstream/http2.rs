//! One connection over HTTP/2 without TLS, to a client that knows beforehand that it may speak so.
//!
//! Each request is a stream. Its work is a task of its own, beside its stream as over HTTP/1 it is beside its
//! connection: when the client resets the stream or leaves, the work is told, and goes on to its end and its record.
//!
//! What a client may ask for is bounded: streams, headers, resets, and what it has opened but does not take. The last
//! is not seen at the socket, since a client can read every byte and still grant no stream room to send. So what is
//! handed on to be sent is counted until it has left.
//!
//! Path: `connection` → **`http2`** → `http`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::header::HOST;
use ::http::{HeaderValue, Request, Response};
use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::body::Body;
use super::http::{Client, HEAD_MAX};
use super::socket::{PROGRESS, Socket, took_nothing};

/// Streams at once.
const STREAMS: u32 = 100;
/// What a client may send ahead: on one stream, on all.
const STREAM_WINDOW: u32 = 256 << 10;
const WINDOW: u32 = 1 << 20;
/// Streams that the client may reset before they are looked at, and such that we reset for its errors.
const RESETS: usize = 20;
/// A client that does not answer a ping within this is gone.
const PING: Duration = Duration::from_secs(20);
/// How often a connection is looked at, at most.
const LOOK_MIN: Duration = Duration::from_millis(10);

/// Serves one connection.
pub(super) async fn serve(client: Client, socket: Socket, place: OwnedSemaphorePermit) {
    let (gateway, peer) = (client.gateway.clone(), client.peer);
    let flow = Arc::new(Flow::default());
    let tasks = gateway.tasks.clone();
    let service = hyper::service::service_fn(|request| {
        let gone = Arc::new(AtomicBool::new(false));
        let work = Client { gone: gone.clone(), ..client.clone() }.serve(with_host(request));
        let (answer, answered) = oneshot::channel();
        tasks.spawn(beside(work, gone, answer));
        let open = Open::new(&flow);
        async move {
            // Unanswered, the work broke: the stream is reset.
            let response = answered.await?;
            Ok::<_, oneshot::error::RecvError>(response.map(|body| Watched { body, open }))
        }
    });
    let connection = http2::Builder::new(Tasks(gateway.tasks.clone()))
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(u32::try_from(HEAD_MAX).expect("a few KiB"))
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    let (head, write_stall) = {
        let limits = gateway.limits();
        (limits.head, limits.write_stall)
    };
    let look = (head.min(write_stall) / 4).max(LOOK_MIN);
    let (mut draining, mut leaving) = (false, None::<Instant>);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    if took_nothing(&error) {
                        gateway.losses.cut();
                    }
                    debug!(target: "tollhouse.http", %peer, %error, "a connection ended early");
                }
                break;
            }
            () = gateway.draining.cancelled(), if !draining => {
                // What is under way is finished; no further request is read.
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = gateway.stop.cancelled() => break,
            () = sleep(look) => {
                let idle = flow.idle();
                let stalled = flow.stalled().is_some_and(|stalled| stalled >= write_stall);
                // A request that came before its client knew that we leave is served.
                let stays = idle.is_some() && leaving.is_some_and(|since| since.elapsed() >= head);
                if stalled || stays {
                    gateway.losses.cut();
                    break;
                }
                if leaving.is_none() && idle.is_some_and(|idle| idle >= head) {
                    leaving = Some(Instant::now());
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
    drop(place);
}

/// Brings the work of one request to its end, whether its client waits or not.
async fn beside(
    work: impl Future<Output = Response<Body>>,
    gone: Arc<AtomicBool>,
    mut answer: oneshot::Sender<Response<Body>>,
) {
    let mut work = pin!(work);
    let response = std::future::poll_fn(|cx| {
        if answer.poll_closed(cx).is_ready() {
            gone.store(true, Ordering::Relaxed);
        }
        work.as_mut().poll(cx)
    })
    .await;
    // The client has gone: nobody is told.
    let _ = answer.send(response);
}

/// RFC 9113, 8.3.1: `:authority` stands for `Host`, which a client need not send.
fn with_host(mut request: Request<Incoming>) -> Request<Incoming> {
    if !request.headers().contains_key(HOST)
        && let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    request
}

/// Where the streams of a connection are driven.
#[derive(Clone)]
struct Tasks(TaskTracker);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}

/// What a connection is busy with.
struct Flow(Mutex<State>);

struct State {
    /// Open streams, and how many there have been.
    open: usize,
    opened: u64,
    /// When the last of them ended.
    idle_since: Instant,
    /// What is handed on to be sent, by the number of its stream: a client that takes one stream may let others wait.
    unsent: BTreeMap<u64, Unsent>,
}

/// What is to be sent on one stream.
struct Unsent {
    bytes: usize,
    /// When some of it was last sent, and what was sent since.
    moved: Instant,
    sent: usize,
}

impl Default for Flow {
    fn default() -> Self {
        Self(Mutex::new(State { open: 0, opened: 0, idle_since: Instant::now(), unsent: BTreeMap::new() }))
    }
}

impl Flow {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long there has been no stream.
    fn idle(&self) -> Option<Duration> {
        let state = self.lock();
        (state.open == 0).then(|| state.idle_since.elapsed())
    }

    /// How long the client has taken next to nothing of what is to be sent on some stream.
    fn stalled(&self) -> Option<Duration> {
        self.lock().unsent.values().map(|unsent| unsent.moved.elapsed()).max()
    }

    fn queued(&self, stream: u64, bytes: usize) {
        if bytes > 0 {
            let mut state = self.lock();
            let fresh = || Unsent { bytes: 0, moved: Instant::now(), sent: 0 };
            state.unsent.entry(stream).or_insert_with(fresh).bytes += bytes;
        }
    }

    fn sent(&self, stream: u64, bytes: usize) {
        let mut state = self.lock();
        let Some(unsent) = state.unsent.get_mut(&stream) else { return };
        unsent.bytes -= bytes;
        unsent.sent += bytes;
        if unsent.bytes == 0 {
            state.unsent.remove(&stream);
        } else if unsent.sent >= PROGRESS {
            (unsent.moved, unsent.sent) = (Instant::now(), 0);
        }
    }
}

/// A stream is open.
struct Open {
    flow: Arc<Flow>,
    number: u64,
}

impl Open {
    fn new(flow: &Arc<Flow>) -> Self {
        let mut state = flow.lock();
        state.open += 1;
        state.opened += 1;
        Self { flow: flow.clone(), number: state.opened }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.flow.lock();
        state.open -= 1;
        state.idle_since = Instant::now();
    }
}

/// A body whose pieces are counted until they are sent.
struct Watched {
    body: Body,
    open: Open,
}

impl http_body::Body for Watched {
    type Data = Piece;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, Infallible>>> {
        let next = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Open { flow, number } = &self.open;
        Poll::Ready(next.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|bytes| {
                    flow.queued(*number, bytes.len());
                    Piece { bytes, flow: flow.clone(), stream: *number }
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A piece of a body on its way out.
struct Piece {
    bytes: Bytes,
    flow: Arc<Flow>,
    stream: u64,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.flow.sent(self.stream, count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // Thrown away with its stream.
        self.flow.sent(self.stream, self.bytes.len());
    }
}
