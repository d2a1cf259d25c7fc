//! Bodies: request bodies read within their limit, and the three kinds of bodies that go out.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep, timeout_at};
use tollhouse_core::units::ByteSize;
use tollhouse_core::wire::sse;

use super::outbox::Outgoing;
use super::socket::PROGRESS;
use crate::session::legacy::Occupied;
use crate::session::streams::Reader;

/// Proxies cut streams that are silent for a minute; clients ignore comments.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Why a request body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadError {
    TooLarge,
    /// The client sent next to nothing for too long.
    Stalled,
    /// The client left, or sent what is not HTTP.
    Broken,
}

/// Reads a request body of at most `limit`, of which something has to arrive within `idle`, again and again.
pub(crate) async fn read_capped(mut body: Incoming, limit: ByteSize, idle: Duration) -> Result<Bytes, ReadError> {
    if body.size_hint().lower() > limit.0 {
        return Err(ReadError::TooLarge);
    }
    let mut first: Option<Bytes> = None;
    let mut whole: Option<BytesMut> = None;
    // Until when more has to have arrived, and what has arrived since that was settled. Set only when there is a wait.
    let mut patience: Option<(Instant, usize)> = None;
    loop {
        let next = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        // The usual body is there already, and then no clock is needed.
        let frame = match ready_now(next).await {
            Ok(frame) => frame,
            Err(next) => {
                let (until, _) = *patience.get_or_insert_with(|| (Instant::now() + idle, 0));
                timeout_at(until, next).await.map_err(|_| ReadError::Stalled)?
            }
        };
        let data = match frame {
            None => break,
            Some(Err(_)) => return Err(ReadError::Broken),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(_) => continue,
            },
        };
        if let Some((_, arrived)) = &mut patience {
            *arrived += data.len();
            if *arrived >= PROGRESS {
                patience = None;
            }
        }
        let read = first.as_ref().map_or(0, Bytes::len).max(whole.as_ref().map_or(0, BytesMut::len));
        if read + data.len() > limit.bytes() {
            return Err(ReadError::TooLarge);
        }
        match (&mut first, &mut whole) {
            (None, None) => first = Some(data),
            (Some(begun), None) => {
                let expected = usize::try_from(body.size_hint().lower()).unwrap_or(0);
                let mut joined = BytesMut::with_capacity(begun.len() + data.len() + expected);
                joined.extend_from_slice(begun);
                joined.extend_from_slice(&data);
                whole = Some(joined);
            }
            (_, Some(whole)) => whole.extend_from_slice(&data),
        }
    }
    Ok(whole.map(BytesMut::freeze).or(first).unwrap_or_default())
}

/// Polls `work` once; gives it back if it has to wait.
async fn ready_now<F: Future + Unpin>(work: F) -> Result<F::Output, F> {
    let mut work = Some(work);
    std::future::poll_fn(move |cx| {
        let polled = Pin::new(work.as_mut().expect("polled once")).poll(cx);
        Poll::Ready(match polled {
            Poll::Ready(done) => Ok(done),
            Poll::Pending => Err(work.take().expect("polled once")),
        })
    })
    .await
}

/// A body that goes to a client.
pub(crate) enum Body {
    /// All of it.
    Whole(Option<Bytes>),
    /// The messages of one modern call, as they come.
    Messages(Messages),
    /// A stream of a legacy session, from where its client is.
    Log(Log),
}

/// The messages of one modern call. Dropped, it tells the call that its caller left.
pub(crate) struct Messages {
    pub(crate) outgoing: Outgoing,
    pub(crate) alive: KeepAlive,
}

/// One reader of a session's stream.
pub(crate) struct Log {
    pub(crate) reader: Reader,
    /// Goes out before everything else.
    pub(crate) first: Option<Bytes>,
    pub(crate) alive: KeepAlive,
    pub(crate) _occupied: Occupied,
}

/// Says when a comment is due.
pub(crate) struct KeepAlive(Pin<Box<Sleep>>);

impl KeepAlive {
    pub(crate) fn new() -> Self {
        Self(Box::pin(sleep(KEEP_ALIVE)))
    }

    /// A comment, if the stream has been silent long enough. `said` is what it says instead, if anything.
    fn poll(&mut self, said: Poll<Option<Bytes>>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match said {
            Poll::Ready(said) => {
                self.0.as_mut().reset(Instant::now() + KEEP_ALIVE);
                Poll::Ready(said)
            }
            Poll::Pending => {
                std::task::ready!(self.0.as_mut().poll(cx));
                self.0.as_mut().reset(Instant::now() + KEEP_ALIVE);
                // The next wait must be registered, or nobody wakes us.
                cx.waker().wake_by_ref();
                Poll::Ready(Some(sse::comment("")))
            }
        }
    }
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }

    pub(crate) const fn empty() -> Self {
        Self::Whole(None)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Messages(messages) => {
                let said = messages.outgoing.poll_next(cx);
                messages.alive.poll(said, cx)
            }
            Self::Log(log) => {
                let said = match log.first.take() {
                    Some(first) => Poll::Ready(Some(first)),
                    None => log.reader.poll_next(cx),
                };
                log.alive.poll(said, cx)
            }
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Messages(_) | Self::Log(_) => SizeHint::default(),
        }
    }
}
