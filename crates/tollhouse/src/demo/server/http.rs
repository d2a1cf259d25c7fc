//! A demo server for many clients, as streamable HTTP at `/mcp`.
//!
//! A modern request is answered at once and forgotten: JSON, or an event stream when its caller wants to hear of
//! progress, and whoever closes the connection has cancelled. A legacy client has a session; in one of 2025-11-25 each
//! call is answered by a stream that begins with a priming event and can be resumed, and goes on without its client.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollhouse_core::era::{Era, Version};
use tollhouse_proxy::settings::FrontDoor;
use tollhouse_web::front_door::Names;

use self::agreement::check_headers;
use self::session::{Session, Sessions};
use self::stream::Follower;
use super::engine::{Notify, answer, negotiate};
use super::message::{Fault, Message, Notification, Request as Asked};
use super::program::Program;

mod agreement;
mod session;
mod stream;

const SESSION: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";
const BODY_MAX: usize = 4 << 20;
/// Connections at once; more wait in the listener's queue.
const CONNECTIONS_MAX: usize = 512;
/// Events of one modern answer waiting for its reader. Full: progress is dropped.
const EVENTS_WAITING: usize = 64;
/// After the stop, for answers under way.
const FINISH: Duration = Duration::from_secs(2);

type Body = BoxBody<Bytes, Infallible>;

/// Serves until `stop`, then finishes what takes no longer than [`FINISH`].
pub(super) async fn serve<S: Program>(
    program: S,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let bound = listener.local_addr().context("name the listener's address")?;
    let server = Arc::new(Server {
        program: Arc::new(program),
        names: Names::new(bound, &FrontDoor::default()),
        sessions: Sessions::default(),
        calls: TaskTracker::new(),
    });
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (server, stop) = (Arc::clone(&server), stop.clone());
                connections.spawn(async move {
                    connection(server, stream, stop).await;
                    drop(slot);
                });
            }
            // One connection's trouble, or no descriptors left for a moment: neither ends the listener.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    drop(listener);
    let finishing = async { while connections.join_next().await.is_some() {} };
    // What is not finished by then is dropped with the set.
    let _ = tokio::time::timeout(FINISH, finishing).await;
    Ok(())
}

async fn connection<S: Program>(server: Arc<Server<S>>, stream: TcpStream, stop: CancellationToken) {
    // Answers are small and whole; waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(server.respond(request).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    // A client that leaves mid-sentence is its own affair.
    drop(ended);
}

struct Server<S> {
    program: Arc<S>,
    names: Names,
    sessions: Sessions,
    /// Calls of legacy sessions, which go on when their client is gone.
    calls: TaskTracker,
}

impl<S: Program> Server<S> {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        if let Err(refusal) = self.names.admit(request.uri(), request.headers()) {
            return plain(StatusCode::FORBIDDEN, &format!("{refusal}\n"));
        }
        if request.uri().path() != "/mcp" {
            return plain(StatusCode::NOT_FOUND, "MCP is at /mcp\n");
        }
        let (head, body) = request.into_parts();
        match head.method {
            Method::POST => self.post(&head.headers, body).await,
            Method::GET => self.resume(&head.headers),
            Method::DELETE => self.end(&head.headers),
            _ => not_allowed(),
        }
    }

    async fn post(&self, headers: &HeaderMap, body: Incoming) -> Response<Body> {
        if !names_type(headers, CONTENT_TYPE.as_str(), "application/json") {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json\n");
        }
        let takes = |kind| names_type(headers, ACCEPT.as_str(), kind) || names_type(headers, ACCEPT.as_str(), "*/*");
        if !takes("application/json") || !takes("text/event-stream") {
            return plain(StatusCode::NOT_ACCEPTABLE, "accept application/json and text/event-stream\n");
        }
        let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "the message is too large, or ended early\n");
        };
        match Message::read(&body.to_bytes()) {
            Err((fault, id)) => json(StatusCode::BAD_REQUEST, &fault.response(id.as_ref())),
            Ok(Message::Response) => empty(StatusCode::ACCEPTED),
            Ok(Message::Notification(notification)) => self.hear(headers, &notification),
            Ok(Message::Request(request)) => {
                let modern_header = text(headers, VERSION) == Some(Version::MODERN.as_str());
                match request.claims() {
                    Some(Era::Modern) => self.modern(headers, request).await,
                    None if modern_header => self.modern(headers, request).await,
                    Some(Era::Legacy) => self.initialize(&request).await,
                    None => self.legacy(headers, request).await,
                }
            }
        }
    }

    async fn modern(&self, headers: &HeaderMap, request: Asked) -> Response<Body> {
        if let Err(fault) = check_headers(headers, &request) {
            return json(status(&fault), &fault.response(Some(&request.id)));
        }
        if request.progress_token().is_some() && request.method == "tools/call" {
            return self.modern_stream(request);
        }
        match answer(&*self.program, Era::Modern, &request, &Deaf).await {
            Ok(result) => json(StatusCode::OK, &request.response(Ok(result))),
            Err(fault) => json(status(&fault), &request.response(Err(fault))),
        }
    }

    /// MCP 2026-07-28, streamable HTTP: a closed response stream is a cancellation.
    fn modern_stream(&self, request: Asked) -> Response<Body> {
        let (events, body) = mpsc::channel(EVENTS_WAITING);
        let program = Arc::clone(&self.program);
        self.calls.spawn(async move {
            let outbox = Events(events.clone());
            tokio::select! {
                answered = answer(&*program, Era::Modern, &request, &outbox) => {
                    // The reader may have left in this very moment, which is the same as a moment later.
                    let _ = events.send(stream::event(None, &request.response(answered).to_string())).await;
                }
                () = events.closed() => {}
            }
        });
        event_stream(Follower(body))
    }

    async fn initialize(&self, request: &Asked) -> Response<Body> {
        match answer(&*self.program, Era::Legacy, request, &Deaf).await {
            Ok(result) => {
                let session = self.sessions.open(negotiate(request));
                let mut response = json(StatusCode::OK, &request.response(Ok(result)));
                let id = HeaderValue::from_str(&session.id).expect("the id is hexadecimal");
                response.headers_mut().insert(SESSION, id);
                response
            }
            Err(fault) => json(StatusCode::OK, &request.response(Err(fault))),
        }
    }

    async fn legacy(&self, headers: &HeaderMap, request: Asked) -> Response<Body> {
        let session = match self.session(headers) {
            Ok(session) => session,
            Err(status) => return lost_session(status, Some(&request.id)),
        };
        let Some(cancelled) = session.begin(&request.id) else {
            let fault = Fault::malformed(format!("id {} is still being answered", request.id));
            return json(StatusCode::BAD_REQUEST, &fault.response(Some(&request.id)));
        };
        let primed = session.version >= Version::V2025_11_25;
        let streamed = request.method == "tools/call" && (primed || request.progress_token().is_some());
        let log = session.open_stream(streamed && primed);
        let (program, writing) = (Arc::clone(&self.program), Arc::clone(&log));
        // MCP 2025-11-25, basic/transports: a disconnect is no cancellation, so the call has a task of its own.
        let call = self.calls.spawn(async move {
            let answered = tokio::select! {
                answered = answer(&*program, Era::Legacy, &request, &*writing) => Some(request.response(answered)),
                () = cancelled.cancelled() => None,
            };
            if let Some(message) = answered.as_ref().filter(|_| streamed) {
                writing.push(&message.to_string());
            }
            session.finish(&request.id);
            writing.end();
            answered
        });
        if streamed {
            return event_stream(log.follow(0, &self.calls));
        }
        match call.await {
            Ok(Some(message)) => json(StatusCode::OK, &message),
            // Cancelled: the answer to the request is silence, and HTTP's word for that is this.
            Ok(None) | Err(_) => empty(StatusCode::ACCEPTED),
        }
    }

    fn hear(&self, headers: &HeaderMap, notification: &Notification) -> Response<Body> {
        if headers.contains_key(SESSION) && text(headers, VERSION) != Some(Version::MODERN.as_str()) {
            let session = match self.session(headers) {
                Ok(session) => session,
                Err(status) => return lost_session(status, None),
            };
            if notification.method == "notifications/cancelled"
                && let Some(id) = notification.params.get("requestId")
            {
                session.cancel(id);
            }
        }
        empty(StatusCode::ACCEPTED)
    }

    /// Without a `Last-Event-ID` there is nothing to hear: this server says nothing of its own accord.
    fn resume(&self, headers: &HeaderMap) -> Response<Body> {
        let Some(last) = text(headers, "last-event-id") else { return not_allowed() };
        match self.session(headers) {
            Err(status) => lost_session(status, None),
            Ok(session) => match session.find_stream(last) {
                Some((log, from)) => event_stream(log.follow(from, &self.calls)),
                None => plain(StatusCode::BAD_REQUEST, "no such event is kept here\n"),
            },
        }
    }

    fn end(&self, headers: &HeaderMap) -> Response<Body> {
        match self.session(headers) {
            Ok(session) => {
                self.sessions.close(&session.id);
                empty(StatusCode::NO_CONTENT)
            }
            Err(status) => lost_session(status, None),
        }
    }

    /// MCP 2025-11-25, basic/transports: no session id is 400, one that is over or never was is 404.
    fn session(&self, headers: &HeaderMap) -> Result<Arc<Session>, StatusCode> {
        if text(headers, VERSION).is_some_and(|version| Version::parse(version).is_none()) {
            return Err(StatusCode::BAD_REQUEST);
        }
        let id = text(headers, SESSION).ok_or(StatusCode::BAD_REQUEST)?;
        self.sessions.find(id).ok_or(StatusCode::NOT_FOUND)
    }
}

/// For answers without a stream: nobody hears of progress.
struct Deaf;

impl Notify for Deaf {
    fn notify(&self, _: Value) {}
}

struct Events(mpsc::Sender<Bytes>);

impl Notify for Events {
    fn notify(&self, message: Value) {
        // A reader that does not keep pace loses signs of progress, never the answer.
        let _ = self.0.try_send(stream::event(None, &message.to_string()));
    }
}

fn lost_session(status: StatusCode, id: Option<&Value>) -> Response<Body> {
    let why = if status == StatusCode::NOT_FOUND { "this session is over or never was" } else { "no session is named" };
    json(status, &Fault::malformed(why).response(id))
}

fn status(fault: &Fault) -> StatusCode {
    StatusCode::from_u16(fault.status).expect("every fault has a status")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Whether a header lists this media type, whatever its parameters.
fn names_type(headers: &HeaderMap, header: &str, kind: &str) -> bool {
    let values = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| {
        let name = one.split(';').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case(kind)
    })
}

fn json(status: StatusCode, message: &Value) -> Response<Body> {
    let mut response = full(status, message.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = full(status, text.to_owned());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    full(status, String::new())
}

fn not_allowed() -> Response<Body> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "send a message with POST\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, DELETE"));
    response
}

fn full(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed());
    *response.status_mut() = status;
    response
}

fn event_stream(body: Follower) -> Response<Body> {
    let mut response = Response::new(body.boxed());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests;
