//! Keep-alive connections to one server, driven by the calls that use them.
//!
//! A connection usually has a task of its own, and every request and answer then crosses two channels and two
//! wake-ups. Here the call that uses a connection polls it as well: no task, no hop, and a cancelled call takes its
//! half-used connection with it. The price is that nobody reads an idle connection; whether its server has closed
//! it is looked up when it is taken, and none is kept longer than servers usually keep theirs.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};
use tollhouse_core::fault::Kind;
use tollhouse_core::units::ByteSize;

use super::connect::{Origin, Stream};
use crate::clocks::Clocks;
use crate::failure::Failure;

/// Node.js and uvicorn close an idle connection after 5 s; ours must be gone before.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// Idle connections kept per server; beyond that they are closed.
const IDLE_COUNT: usize = 256;

type Driver = Pin<Box<http1::Connection<TokioIo<Stream>, Full<Bytes>>>>;

/// The connections to one server.
pub(crate) struct Pool {
    origin: Origin,
    connect_timeout: Duration,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once the connection has ended.
    driver: Option<Driver>,
}

impl Pool {
    pub(crate) fn new(origin: Origin, connect_timeout: Duration) -> Arc<Self> {
        Arc::new(Self { origin, connect_timeout, idle: Mutex::default() })
    }

    /// Sends `request` and waits for the head of the answer.
    ///
    /// `sent` is called right before the first byte may leave. A connection that turns out to be closed before
    /// anything was written is replaced without a word.
    ///
    /// # Cancel safety
    /// Dropped half-way, the connection is closed; the server may or may not have the request.
    pub(crate) async fn send(
        self: &Arc<Self>,
        mut request: Request<Full<Bytes>>,
        mut sent: impl FnMut(),
    ) -> Result<Answer, Failure> {
        loop {
            let (mut connection, reused) = match self.take() {
                Some(connection) => (connection, true),
                // Boxed: a handshake is large, rare, and would be moved with every call.
                None => (Box::pin(self.connect()).await?, false),
            };
            sent();
            match connection.send(request).await {
                Ok(response) => {
                    let (head, incoming) = response.into_parts();
                    return Ok(Answer {
                        head,
                        body: Body { incoming, connection: Some(connection), pool: self.clone() },
                    });
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    Some(_) => {
                        return Err(Failure::new(Kind::Unreachable, "the connection closed before the call was sent"));
                    }
                    None => return Err(lost(error.error())),
                },
            }
        }
    }

    /// Closes what is idle.
    pub(crate) fn close(&self) {
        self.lock().clear();
    }

    fn take(&self) -> Option<Connection> {
        loop {
            let Idle { mut connection, since } = self.lock().pop()?;
            if since.elapsed() < IDLE_MAX && connection.settle() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose answer was read. Whether it takes another request shows when it is taken: asking now
    /// would also let it read into fresh memory, since the answer still lies in the old.
    fn give_back(&self, connection: Connection) {
        let mut idle = self.lock();
        if idle.len() < IDLE_COUNT {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let open = async {
            let stream = self.origin.connect().await?;
            let (sender, driver) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|error| Failure::new(Kind::Unreachable, error))?;
            Ok(Connection { sender, driver: Some(Box::pin(driver)) })
        };
        timeout(self.connect_timeout, open)
            .await
            .unwrap_or_else(|_| Err(Failure::new(Kind::Unreachable, "no connection within the time allowed")))
    }
}

/// What hyper says of a connection that ended, in words for a caller.
fn lost(error: &hyper::Error) -> Failure {
    if error.is_parse() {
        return Failure::new(Kind::InvalidAnswer, "the answer was not HTTP");
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Failure::new(Kind::Lost, format_args!("the connection was lost: {cause}"))
}

impl Connection {
    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let mut response = pin!(self.sender.try_send_request(request));
        let driver = &mut self.driver;
        std::future::poll_fn(|cx| drive(driver, cx, |cx| response.as_mut().poll(cx))).await
    }

    /// Lets the connection finish what it has begun; true if it can take another request.
    fn settle(&mut self) -> bool {
        // Nobody waits for an idle connection, so nobody needs to be woken by it.
        let mut quiet = Context::from_waker(Waker::noop());
        let Some(driver) = &mut self.driver else { return false };
        if driver.as_mut().poll(&mut quiet).is_ready() {
            self.driver = None;
            return false;
        }
        self.sender.is_ready()
    }
}

/// Polls `step`, which waits for something only the connection can bring, and the connection beneath it.
///
/// `step` needs no waker: whatever makes it ready happens while the connection is polled, right here.
fn drive<T>(
    driver: &mut Option<Driver>,
    cx: &mut Context<'_>,
    mut step: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    let mut quiet = Context::from_waker(Waker::noop());
    let ready = step(&mut quiet);
    if ready.is_ready() {
        return ready;
    }
    if let Some(connection) = driver
        && connection.as_mut().poll(cx).is_ready()
    {
        *driver = None;
    }
    step(&mut quiet)
}

/// The head of an answer, its body still to be read.
pub(crate) struct Answer {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Body,
}

/// The body of an answer. Read to its end, it gives its connection back; dropped before, it closes it, which a
/// modern server takes as cancellation.
pub(crate) struct Body {
    incoming: Incoming,
    connection: Option<Connection>,
    pool: Arc<Pool>,
}

impl Body {
    /// The next piece; `None` at the end.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost when dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let Some(connection) = &mut self.connection else { return Ok(None) };
            let incoming = &mut self.incoming;
            let frame = std::future::poll_fn(|cx| {
                drive(&mut connection.driver, cx, |cx| Pin::new(&mut *incoming).poll_frame(cx))
            })
            .await;
            match frame {
                None => {
                    self.finish();
                    return Ok(None);
                }
                Some(Err(error)) => {
                    self.connection = None;
                    return Err(lost(&error));
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Reads the whole body, at most `limit`.
    pub(crate) async fn whole(mut self, limit: ByteSize, clocks: &Clocks) -> Result<Bytes, Failure> {
        let too_large = |size: u64| {
            Failure::new(
                Kind::AnswerTooLarge,
                format_args!("the answer has {} and more, {limit} are allowed", ByteSize(size)),
            )
        };
        if let Some(size) = self.incoming.size_hint().exact()
            && size > limit.0
        {
            return Err(too_large(size));
        }
        let Some(first) = clocks.within(self.next()).await?? else { return Ok(Bytes::new()) };
        // The usual answer came in one piece, which is then the body, uncopied.
        if self.incoming.is_end_stream() {
            self.finish();
            return Ok(first);
        }
        let mut whole = BytesMut::with_capacity(
            usize::try_from(self.incoming.size_hint().lower()).unwrap_or(0).min(limit.bytes()) + first.len(),
        );
        whole.extend_from_slice(&first);
        while let Some(piece) = clocks.within(self.next()).await?? {
            if whole.len() + piece.len() > limit.bytes() {
                return Err(too_large((whole.len() + piece.len()) as u64));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    fn finish(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.give_back(connection);
        }
    }
}
