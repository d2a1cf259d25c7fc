//! A small HTTP/1.1 client for asking our own listeners: health, tools, and the demonstration's agent.
//!
//! One connection, kept open and opened again when it is gone. It reads whole bodies and has a limit for each.

pub(crate) mod peer;

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What we ask ourselves is small.
const ANSWER_MAX: usize = 16 << 20;

/// The answer about health takes microseconds; who needs longer is as good as not there.
const HEALTH_PATIENCE: Duration = Duration::from_secs(5);

/// What a gateway says of itself at its admin address, as it came.
///
/// # Errors
/// Nobody answers there, or somebody else does.
pub(crate) async fn health(admin: SocketAddr) -> anyhow::Result<Bytes> {
    let url: Uri = format!("http://{admin}/health").parse().expect("an address makes a URL");
    let request = Request::get(url.clone()).body(Bytes::new()).expect("nothing in it is foreign");
    let response = Client::new(&url, HEALTH_PATIENCE)?.send(request).await?;
    anyhow::ensure!(response.status() == StatusCode::OK, "it answers {}", response.status());
    Ok(response.into_body())
}

/// A client of one address.
pub(crate) struct Client {
    authority: Authority,
    timeout: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// The task that drives the connection; it ends with the client.
    connection: JoinSet<()>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The URL is not one this client can ask.
    #[error("`{0}` is not a URL of the form http://host:port/path")]
    Url(Uri),
    /// Nobody listens there; nothing was sent.
    #[error("connect to {0}")]
    Connect(Authority, #[source] std::io::Error),
    /// The exchange broke.
    #[error("exchange with {0}")]
    Exchange(Authority, #[source] hyper::Error),
    /// The answer is larger than [`ANSWER_MAX`], or ended early.
    #[error("read the answer of {0}")]
    Body(Authority, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("{0} did not answer within {1:?}")]
    Timeout(Authority, Duration),
}

impl Client {
    /// A client for the host and port of `url`; each request may take `timeout`. Nothing is sent yet.
    pub(crate) fn new(url: &Uri, timeout: Duration) -> Result<Self, Error> {
        match (url.scheme(), url.authority()) {
            (Some(scheme), Some(authority)) if *scheme == Scheme::HTTP => {
                Ok(Self { authority: authority.clone(), timeout, sender: None, connection: JoinSet::new() })
            }
            _ => Err(Error::Url(url.clone())),
        }
    }

    /// Sends a request, whose URI may be a path, and reads the whole answer.
    ///
    /// # Cancel safety
    /// Dropped half-way, the request may have been sent; the next one uses a new connection.
    pub(crate) async fn send(&mut self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(answered) => answered,
            Err(_) => Err(Error::Timeout(self.authority.clone(), timeout)),
        }
    }

    /// Sends a request and hands each line of the answer to `line`, until it ends or `line` has enough. There is no
    /// limit of time; a line is bounded by [`ANSWER_MAX`].
    ///
    /// # Cancel safety
    /// Dropped, the connection is closed.
    pub(crate) async fn follow(
        &mut self,
        request: Request<Bytes>,
        mut line: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<StatusCode, Error> {
        let (head, mut body) = self.begin(request).await?.into_parts();
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Error::Exchange(self.authority.clone(), error))?;
            rest.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let whole: Vec<u8> = rest.drain(..=end).collect();
                if line(&whole[..end]).is_break() {
                    return Ok(head.status);
                }
            }
            if rest.len() > ANSWER_MAX {
                break;
            }
        }
        if !rest.is_empty() {
            _ = line(&rest);
        }
        Ok(head.status)
    }

    async fn exchange(&mut self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let (head, body) = self.begin(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body.map_err(|error| Error::Body(self.authority.clone(), error))?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    /// Sends a request and reads the head of its answer.
    async fn begin(&mut self, request: Request<Bytes>) -> Result<Response<Incoming>, Error> {
        let broke = |error| Error::Exchange(self.authority.clone(), error);
        // Taken out until the answer begins: one that was dropped half-way is not used again. Nor is one whose last answer
        // was not read to its end, which shows only when it is to be ready.
        let kept = match self.sender.take() {
            Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let mut sender = match kept {
            Some(sender) => sender,
            None => connect(&self.authority, &mut self.connection).await?,
        };
        sender.ready().await.map_err(broke)?;
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        head.uri = Uri::from(path);
        let host = HeaderValue::from_str(self.authority.as_str()).expect("an authority is visible ASCII");
        head.headers.insert(HOST, host);
        let response = sender.send_request(Request::from_parts(head, Full::new(body))).await.map_err(broke)?;
        // Not ready before the answer was read to its end, for which the next request waits.
        self.sender = Some(sender);
        Ok(response)
    }
}

async fn connect(authority: &Authority, connection: &mut JoinSet<()>) -> Result<SendRequest<Full<Bytes>>, Error> {
    let port = authority.port_u16().unwrap_or(80);
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port)).await.map_err(|error| Error::Connect(authority.clone(), error))?;
    // Requests are small and whole; waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let (sender, driver) =
        handshake(TokioIo::new(stream)).await.map_err(|error| Error::Exchange(authority.clone(), error))?;
    connection.abort_all();
    connection.spawn(async move {
        // The same error reaches whoever waits for the answer.
        let _ = driver.await;
    });
    Ok(sender)
}
