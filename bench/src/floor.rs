//! A plain pass-through proxy: the least that a hop can cost, to which every gateway is compared.
//!
//! It does what any HTTP proxy must and nothing else: take the request, drop the headers of the one connection,
//! forward it over a pooled keep-alive connection, stream the answer back. No byte of a body is looked at. One
//! thread, no lock.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self as client, SendRequest};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// Headers that speak of one connection, not of the message (RFC 9110, 7.6.1).
const HOP_BY_HOP: [header::HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Connections to the one upstream; the last one used is taken first, its memory is still warm.
struct Pool {
    upstream: SocketAddr,
    host: HeaderValue,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

/// The body of an answer; gives its connection back to the pool at its end, and drops it when cut off.
struct Relay {
    body: Option<Incoming>,
    lent: Option<(SendRequest<Incoming>, Rc<Pool>)>,
}

/// Forwards requests until the process is ended; must run within a `LocalSet`.
pub(crate) async fn serve(listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    let host = HeaderValue::from_str(&upstream.to_string()).context("an address is visible ASCII")?;
    let pool = Rc::new(Pool { upstream, host, idle: RefCell::default() });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let pool = Rc::clone(&pool);
        let service = service_fn(move |request| {
            let pool = Rc::clone(&pool);
            async move { Ok::<_, Infallible>(forward(request, pool).await.unwrap_or_else(|_| bad_gateway())) }
        });
        tokio::task::spawn_local(server::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn forward(mut request: Request<Incoming>, pool: Rc<Pool>) -> anyhow::Result<Response<Relay>> {
    drop_hop_by_hop(request.headers_mut());
    request.headers_mut().insert(header::HOST, pool.host.clone());
    *request.version_mut() = Version::HTTP_11;
    let mut sender = pool.take().await?;
    let (mut head, body) = sender.send_request(request).await?.into_parts();
    drop_hop_by_hop(&mut head.headers);
    let mut relay = Relay { body: Some(body), lent: Some((sender, pool)) };
    relay.give_back_at_end();
    Ok(Response::from_parts(head, relay))
}

fn bad_gateway() -> Response<Relay> {
    let mut response = Response::new(Relay { body: None, lent: None });
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_owned())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

impl Pool {
    async fn take(&self) -> anyhow::Result<SendRequest<Incoming>> {
        loop {
            let Some(mut sender) = self.idle.borrow_mut().pop() else { break };
            if sender.is_ready() || sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }
}

impl Relay {
    fn give_back_at_end(&mut self) {
        if self.is_end_stream()
            && let Some((sender, pool)) = self.lent.take()
        {
            pool.idle.borrow_mut().push(sender);
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => self.give_back_at_end(),
            Some(Err(_)) => self.lent = None,
            None => {
                self.body = None;
                self.give_back_at_end();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_connection_are_not_passed_on() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static("close, X-Private"));
        headers.insert("x-private", HeaderValue::from_static("1"));
        headers.insert("keep-alive", HeaderValue::from_static("timeout=5"));
        headers.insert("mcp-method", HeaderValue::from_static("tools/call"));
        drop_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["mcp-method"]);
    }
}
