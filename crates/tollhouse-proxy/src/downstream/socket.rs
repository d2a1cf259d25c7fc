//! A client's socket: which HTTP it begins with, and how long its client may take nothing.
//!
//! What is read to find out is given back to whoever serves the connection, so a first request costs no read more. A
//! client that opens a connection and says nothing costs a socket and a timer.
//!
//! A write that the client does not take stands still, and with it everything that is to follow: after a while the
//! connection is given up. There is a clock only while a write waits.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// What a client of HTTP/2 says first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Room for the first read: a usual request fits.
const FIRST: usize = 8 << 10;
/// Who takes less than this within the limit takes nothing: a client that reads a byte now and then would otherwise
/// never be given up.
pub(super) const PROGRESS: usize = 1 << 10;

/// Which HTTP a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Http {
    One,
    Two,
}

/// A client's socket.
pub(super) struct Socket {
    stream: TcpStream,
    /// Read already, and not yet handed on.
    begun: Bytes,
    /// How long a write may stand still.
    limit: Duration,
    stall: Option<Stall>,
}

/// A write stands still.
struct Stall {
    until: Pin<Box<Sleep>>,
    /// Taken since.
    taken: usize,
}

impl Socket {
    /// Waits until the client has said enough to tell which HTTP it speaks.
    pub(super) async fn begin(mut stream: TcpStream, write_stall: Duration) -> io::Result<(Self, Http)> {
        let mut begun = BytesMut::with_capacity(FIRST);
        let http = loop {
            let ended = stream.read_buf(&mut begun).await? == 0;
            if begun.starts_with(PREFACE) {
                break Http::Two;
            }
            if ended || !PREFACE.starts_with(&begun) {
                break Http::One;
            }
        };
        Ok((Self { stream, begun: begun.freeze(), limit: write_stall, stall: None }, http))
    }

    /// Passes on what a write brought, unless it stands still for too long.
    fn within_limit(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = written else {
            let limit = self.limit;
            let stall = self.stall.get_or_insert_with(|| Stall { until: Box::pin(sleep(limit)), taken: 0 });
            ready!(stall.until.as_mut().poll(cx));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")));
        };
        if let (Some(stall), Ok(taken)) = (&mut self.stall, &written) {
            stall.taken += taken;
            if stall.taken >= PROGRESS {
                self.stall = None;
            }
        }
        Poll::Ready(written)
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.begun.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.begun.len().min(buf.remaining());
        buf.put_slice(&self.begun[..length]);
        self.begun.advance(length);
        if self.begun.is_empty() {
            self.begun = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.within_limit(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.within_limit(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Asked for only when all is written.
        self.stall = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Did a connection end because its client took nothing for too long?
pub(super) fn took_nothing(error: &hyper::Error) -> bool {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let mut kinds = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.any(|kind| kind == io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn what_was_read_to_find_out_is_read_again() {
        let post = b"POST /mcp HTTP/1.1\r\n\r\n".as_slice();
        let odd = b"PRI * HTTP/1.1\r\n\r\n".as_slice();
        for (said, http) in [(PREFACE, Http::Two), (post, Http::One), (odd, Http::One), (b"P", Http::One)] {
            let (mut client, server) = connected().await;
            let said_bytes = said.to_vec();
            // Byte by byte: the preface may be cut anywhere.
            let saying = async {
                for byte in said_bytes {
                    client.write_all(&[byte]).await.unwrap();
                    tokio::task::yield_now().await;
                }
                client.shutdown().await.unwrap();
            };
            let (begun, ()) = tokio::join!(Socket::begin(server, Duration::from_secs(9)), saying);
            let (mut socket, found) = begun.unwrap();
            let mut read = Vec::new();
            socket.read_to_end(&mut read).await.unwrap();
            assert_eq!((found, read.as_slice()), (http, said));
        }
    }

    #[tokio::test]
    async fn a_client_that_takes_a_little_now_and_then_is_given_up_too() {
        let (mut client, server) = connected().await;
        client.write_all(b"x").await.unwrap();
        let (mut socket, _) = Socket::begin(server, Duration::from_millis(200)).await.unwrap();
        let sipping = async {
            let mut sip = [0; 1];
            loop {
                client.read_exact(&mut sip).await.unwrap();
                sleep(Duration::from_millis(1)).await;
            }
        };
        let all = vec![0; 64 << 20];
        let error = tokio::select! {
            written = socket.write_all(&all) => written.unwrap_err(),
            () = sipping => unreachable!("it reads on"),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
