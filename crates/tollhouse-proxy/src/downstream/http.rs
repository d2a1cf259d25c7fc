//! Streamable HTTP for clients of both eras, on one endpoint, decided per request; and the doors of HTTP+SSE.
//!
//! Path: `connection` → **`http`** → `dispatch`, and back.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use bytes::Bytes;
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tollhouse_core::clock;
use tollhouse_core::context;
use tollhouse_core::era::{Era, Version};
use tollhouse_core::fault::Kind;
use tollhouse_core::record::{Listener, SessionRef, SessionSource};
use tollhouse_core::wire::method::known;
use tollhouse_core::wire::sse::Event;
use tollhouse_core::wire::{Envelope, EnvelopeError, Form, members};

use super::body::{Body, KeepAlive, Log, Messages, ReadError, read_capped};
use super::front_door::TurnedAway;
use super::outbox::{Outbox, Worth, outbox};
use super::sse::{self, Door};
use crate::answer::{Refusal, code};
use crate::call::Params;
use crate::dispatch::{self, Arrived, Dispatched};
use crate::exchange::{Begun, Cancel, Message, Step, Steps};
use crate::gateway::Gateway;
use crate::links;
use crate::meta::{ID_MAX, Meta};
use crate::session::era;
use crate::session::legacy::{Endpoint, Full, Outlet, Session};
use crate::session::mailbox::Posted;
use crate::session::streams::{GENERAL, ResumeError};
use crate::tally::{self, Ended};
use crate::upstream::LISTEN;
use crate::upstream::http::{LAST_EVENT_ID, PROTOCOL_VERSION, SESSION_ID};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Headers of a request, all together.
pub(super) const HEAD_MAX: usize = 32 << 10;
/// Room for as many as a request usually has.
const HEADERS: usize = 12;

/// The client of one request.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) gateway: Arc<Gateway>,
    pub(super) peer: IpAddr,
    /// Where it arrived.
    pub(super) local: IpAddr,
    /// Set when the client has gone before its answer.
    pub(super) gone: Arc<AtomicBool>,
    /// The conversation that the request's path names; boxed, since few do.
    pub(super) given: Option<Box<SessionRef>>,
}

impl Client {
    /// Serves one request.
    ///
    /// # Cancel safety
    /// None: dropped, a call leaves no record. Whoever polls it sets `gone` when nobody waits any more, and goes on.
    pub(super) async fn serve(self, request: Request<Incoming>) -> Response<Body> {
        let received = Instant::now();
        let gateway = self.gateway.clone();
        let (method, route) =
            (tally::http_method(request.method()), tally::route(conversation(request.uri().path()).0));
        let response = context::scoped(self.answer(request, received)).await;
        gateway.tally.request(method, route, response.status(), received.elapsed());
        response
    }

    async fn answer(mut self, request: Request<Incoming>, received: Instant) -> Response<Body> {
        if let Err(why) = self.gateway.front_door.load().check(request.uri(), request.headers(), self.local) {
            let status = if why == TurnedAway::BadHost { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN };
            return plain(status, why.reason());
        }
        let (path, named) = conversation(request.uri().path());
        self.given = named.map(Box::new);
        let endpoint = match path {
            "/mcp" => Some(Endpoint::All),
            "/healthz" => {
                return match *request.method() {
                    Method::GET | Method::HEAD => plain(StatusCode::OK, "ok"),
                    _ => not_allowed("GET, HEAD"),
                };
            }
            path => path
                .strip_prefix("/servers/")
                .and_then(|rest| rest.strip_suffix("/mcp"))
                .and_then(|server| self.gateway.endpoint(server)),
        };
        let Some(endpoint) = endpoint else { return Box::pin(self.over_sse(request, received)).await };
        match *request.method() {
            Method::POST => self.post(request, endpoint, received).await,
            Method::GET => self.get(request.headers(), endpoint),
            Method::DELETE => self.delete(request.headers(), endpoint),
            _ => not_allowed("GET, POST, DELETE"),
        }
    }

    /// HTTP+SSE: the stream of a client, or a message that belongs to one.
    async fn over_sse(self, request: Request<Incoming>, received: Instant) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path();
        let Some((endpoint, door)) = sse::door(&self.gateway, conversation(path).0) else {
            return plain(StatusCode::NOT_FOUND, "nothing is served here; MCP is at /mcp and /servers/<id>/mcp");
        };
        if door == Door::Stream {
            if head.method != Method::GET {
                return not_allowed("GET");
            }
            if !accepts(&head.headers, "text/event-stream") {
                return plain(StatusCode::NOT_ACCEPTABLE, "`Accept` must allow text/event-stream");
            }
            let given = self.given.map(|given| *given);
            return match sse::open(&self.gateway, endpoint, path, self.peer, given).await {
                Ok(stream) => events(stream),
                Err(full) => {
                    let refusal = all_sessions_in_use(full);
                    too_many_sessions(Message { status: refusal.status, bytes: refusal.message(None) })
                }
            };
        }
        if head.method != Method::POST {
            return not_allowed("POST");
        }
        let Some(mailbox) = sse::mailbox(&self.gateway, endpoint, head.uri.query()) else {
            return refuse(&sse::unknown());
        };
        if !sends_json(&head.headers) {
            return not_json();
        }
        let bytes = match self.read(body).await {
            Ok(bytes) => bytes,
            Err(refused) => return refused,
        };
        let envelope = match Envelope::parse(bytes) {
            Ok(envelope) => envelope,
            Err(error) => return refuse(&Refusal::malformed(error.code(), error.to_string())),
        };
        // It is of the answer to this request, which says nothing; what is read on the stream is not asked by it.
        head.headers.remove(ACCEPT);
        match sse::post(mailbox, Posted { received, headers: head.headers, envelope }).await {
            Ok(()) => accepted(),
            Err(refusal) => refuse(&refusal),
        }
    }

    /// The body of a request, or what is said if it does not come as it must.
    async fn read(&self, body: Incoming) -> Result<Bytes, Response<Body>> {
        let (limit, idle) = {
            let limits = self.gateway.limits();
            (limits.request, limits.body_idle)
        };
        let error = match read_capped(body, limit, idle).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        let mut response = match error {
            ReadError::Broken => return Err(plain(StatusCode::BAD_REQUEST, "the body did not arrive")),
            ReadError::Stalled => {
                self.gateway.losses.cut();
                plain(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")
            }
            ReadError::TooLarge => refuse(&Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                code::TOO_LARGE,
                Kind::TooLarge,
                format!("the body is larger than {limit}"),
            )),
        };
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        Err(response)
    }

    /// A message from the client.
    async fn post(self, request: Request<Incoming>, endpoint: Endpoint, received: Instant) -> Response<Body> {
        let (head, body) = request.into_parts();
        if let Some(refused) = refuse_content(&head.headers) {
            return refused;
        }
        let bytes = match self.read(body).await {
            Ok(bytes) => bytes,
            Err(refused) => return refused,
        };
        let envelope = match Envelope::parse(bytes.clone()) {
            Ok(envelope) => envelope,
            Err(EnvelopeError::Batch) => {
                return Box::pin(self.batch(&head.headers, endpoint, &bytes, received)).await;
            }
            Err(error) => return refuse(&Refusal::malformed(error.code(), error.to_string())),
        };
        self.message(head.headers, envelope, endpoint, received).await
    }

    async fn message(
        self,
        headers: HeaderMap,
        envelope: Envelope,
        endpoint: Endpoint,
        received: Instant,
    ) -> Response<Body> {
        let understood = understand(&headers, &envelope);
        if matches!(envelope.form, Form::Request { .. }) {
            // A request that is not understood is a call all the same, refused.
            let (params, meta, era) = match &understood {
                Ok(understood) => *understood,
                Err(_) => (Params::default(), Meta::default(), claimed_era(&headers)),
            };
            let arrived = Box::new(Arrived {
                received,
                received_at: clock::wall(),
                listener: Listener::Http,
                peer: self.peer,
                endpoint,
                era,
                envelope,
                meta,
                params,
                headers,
                session: None,
                given: self.given.as_deref().cloned(),
            });
            return match (understood, era) {
                (Err(refusal), _) => json(arrived.refuse(&self.gateway, &refusal)),
                (Ok(_), Era::Modern) => self.modern(arrived).await,
                (Ok(_), Era::Legacy) => Box::pin(self.legacy(arrived)).await,
            };
        }
        let era = match understood {
            Ok((_, _, era)) => era,
            Err(refusal) => return refuse(&refusal),
        };
        match era {
            // The modern revision has no notification that a client sends over HTTP; unknown ones are ignored.
            Era::Modern => accepted(),
            Era::Legacy => match self.session(&headers, endpoint) {
                Ok(session) => {
                    match envelope.form {
                        Form::Notification { .. } => {
                            Box::pin(dispatch::notified(&self.gateway, &session, &envelope)).await;
                        }
                        _ => Box::pin(dispatch::answered(&self.gateway, &session, &envelope)).await,
                    }
                    accepted()
                }
                Err(refusal) => refuse(&refusal),
            },
        }
    }

    async fn modern(self, arrived: Box<Arrived>) -> Response<Body> {
        let attempt = match dispatch::dispatch(&self.gateway, arrived).await {
            Dispatched::Answered(message) => return json(message),
            Dispatched::One(attempt) => attempt,
            Dispatched::Listening(listening) => return streamed(&self.gateway, listening, LISTEN),
        };
        let (gateway, method) = (self.gateway.clone(), known(&attempt.call.method));
        match attempt.begin(&Cancel::Gone(self.gone)).await {
            Begun::Answered(message) => json(message),
            Begun::Cancelled => accepted(),
            Begun::Streaming(streaming) => streamed(&gateway, streaming, method),
        }
    }

    async fn legacy(self, mut arrived: Box<Arrived>) -> Response<Body> {
        if arrived.envelope.method().is_some_and(|method| method == "initialize") {
            return Box::pin(self.initialize(arrived)).await;
        }
        let session = match self.session(&arrived.headers, arrived.endpoint) {
            Ok(session) => session,
            Err(refusal) => return json(arrived.refuse(&self.gateway, &refusal)),
        };
        arrived.session = Some(session.clone());
        let Form::Request { id, .. } = arrived.envelope.form else { unreachable!("only requests come here") };
        let running = session.start(arrived.envelope.raw(id));
        let attempt = match dispatch::dispatch(&self.gateway, arrived).await {
            Dispatched::Answered(message) => return json(message),
            Dispatched::One(attempt) => attempt,
            Dispatched::Listening(_) => unreachable!("only modern clients listen"),
        };
        // 2025-11-25: a call is answered by a stream whose priming event lets the client come back for the answer.
        // Everything else is, if the client would rather have it so.
        let method = known(&attempt.call.method);
        let streamed = attempt.call.method == "tools/call" || prefers_stream(attempt.call.accept.as_ref());
        if session.version >= Version::V2025_11_25 && streamed {
            let stream = session.streams.open();
            let response = stream_response(&session, stream).expect("the stream was just opened");
            let (owner, gateway) = (session.clone(), self.gateway.clone());
            self.gateway.tasks.spawn(context::carried(async move {
                let opened = Instant::now();
                let cancel = Cancel::Token(running.cancelled.clone());
                let begun = attempt.begin(&cancel).await;
                finish_into(begun, &owner, stream, &cancel).await;
                drop(running);
                gateway.tally.stream(method, opened.elapsed());
            }));
            return response;
        }
        let cancel = Cancel::Token(running.cancelled.clone());
        match attempt.begin(&cancel).await {
            Begun::Answered(message) => json(message),
            Begun::Cancelled => accepted(),
            streaming @ Begun::Streaming(_) => {
                let stream = session.streams.open();
                let response = stream_response(&session, stream).expect("the stream was just opened");
                let gateway = self.gateway.clone();
                self.gateway.tasks.spawn(context::carried(async move {
                    let opened = Instant::now();
                    finish_into(streaming, &session, stream, &cancel).await;
                    drop(running);
                    gateway.tally.stream(method, opened.elapsed());
                }));
                response
            }
        }
    }

    async fn initialize(self, arrived: Box<Arrived>) -> Response<Body> {
        // Looked up beforehand, so that no server opens a session in vain; the last place may still be lost to another.
        if let Err(full) = self.gateway.sessions.look_for_room() {
            return too_many_sessions(arrived.refuse(&self.gateway, &all_sessions_in_use(full)));
        }
        let (message, session) = dispatch::open_session(&self.gateway, arrived, Outlet::Stream).await;
        let mut response = json(message);
        let Some(session) = session else { return response };
        let id = HeaderValue::from_str(&session.id).expect("a session id is base64");
        match self.gateway.sessions.insert(session) {
            Ok(evicted) => {
                if let Some(evicted) = evicted {
                    self.gateway.end_session(evicted, Ended::Expired);
                }
                response.headers_mut().insert(SESSION_ID, id);
                response
            }
            Err((session, full)) => {
                self.gateway.end_session(session, Ended::Failed);
                let refusal = all_sessions_in_use(full);
                too_many_sessions(Message { status: refusal.status, bytes: refusal.message(None) })
            }
        }
    }

    /// The legacy session a request names.
    fn session(&self, headers: &HeaderMap, endpoint: Endpoint) -> Result<Arc<Session>, Refusal> {
        let id = headers.get(SESSION_ID).ok_or_else(|| {
            Refusal::malformed(code::INVALID_REQUEST, "the header Mcp-Session-Id is missing; begin with `initialize`")
        })?;
        let session = id.to_str().ok().and_then(|id| self.gateway.sessions.get(id, endpoint));
        let session = session.ok_or_else(|| {
            // 2025-11-25, basic/transports: 404 tells the client to begin anew.
            Refusal::new(StatusCode::NOT_FOUND, code::INVALID_REQUEST, Kind::Unknown, "this session is not known")
        })?;
        session.touch();
        Ok(session)
    }

    /// The stream of messages that belong to no call, or an interrupted one from where it stopped.
    fn get(&self, headers: &HeaderMap, endpoint: Endpoint) -> Response<Body> {
        if !accepts(headers, "text/event-stream") {
            return plain(StatusCode::NOT_ACCEPTABLE, "`Accept` must allow text/event-stream");
        }
        if headers.get(PROTOCOL_VERSION).is_some_and(|version| version == Version::MODERN.as_str()) {
            return not_allowed("POST");
        }
        let session = match self.session(headers, endpoint) {
            Ok(session) => session,
            Err(refusal) => return refuse(&refusal),
        };
        links::listen(&self.gateway, &session);
        let Some(id) = headers.get(LAST_EVENT_ID) else {
            return stream_response(&session, GENERAL).expect("the general stream lives as long as its session");
        };
        match session.streams.resume(id.to_str().unwrap_or_default()) {
            Ok(reader) => {
                let log = Log { reader, first: None, alive: KeepAlive::new(), _occupied: session.occupy() };
                events(Body::Log(log))
            }
            Err(ResumeError::Malformed) => plain(StatusCode::BAD_REQUEST, "this is no event id"),
            Err(ResumeError::Unknown) => plain(StatusCode::NOT_FOUND, "this event is not, or no longer, known"),
        }
    }

    /// The client ends its session.
    fn delete(&self, headers: &HeaderMap, endpoint: Endpoint) -> Response<Body> {
        match self.session(headers, endpoint) {
            Ok(session) => {
                if let Some(session) = self.gateway.sessions.remove(&session.id) {
                    self.gateway.end_session(session, Ended::Success);
                }
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            Err(refusal) => refuse(&refusal),
        }
    }

    /// Several messages at once, which only the revision 2025-03-26 knows: each is served as if it came alone.
    async fn batch(self, headers: &HeaderMap, endpoint: Endpoint, bytes: &Bytes, received: Instant) -> Response<Body> {
        let refusal = Refusal::malformed(code::INVALID_REQUEST, EnvelopeError::Batch.to_string());
        let in_batch_era = self.session(headers, endpoint).is_ok_and(|session| session.version == Version::V2025_03_26);
        let start = bytes.iter().position(|byte| *byte == b'[').unwrap_or(0);
        let whole = tollhouse_core::wire::Span::new(start, bytes.len());
        let mut messages = Vec::new();
        for span in members::elements(bytes, whole) {
            match Envelope::parse(bytes.slice(span.start()..span.end())) {
                Ok(envelope) if in_batch_era => messages.push(envelope),
                _ => return refuse(&refusal),
            }
        }
        if messages.is_empty() || messages.len() > BATCH_MAX {
            return refuse(&refusal);
        }
        let mut answers: Vec<Bytes> = Vec::new();
        for envelope in messages {
            let response = Box::pin(self.clone().message(headers.clone(), envelope, endpoint, received)).await;
            answers.extend(collect(response.into_body()).await);
        }
        if answers.is_empty() {
            return accepted();
        }
        let joined = answers.join(&b","[..]);
        json(Message { status: StatusCode::OK, bytes: [b"[", joined.as_slice(), b"]"].concat().into() })
    }
}

/// The conversation a path begins with, and the rest of it: `/s/<id>/mcp` is `/mcp`, for clients that can be pointed at
/// an address of their own and do nothing else to name what they belong to.
fn conversation(path: &str) -> (&str, Option<SessionRef>) {
    let parts = path.strip_prefix("/s/").and_then(|rest| Some(rest.split_at(rest.find('/')?)));
    match parts {
        Some((id, rest)) if !id.is_empty() && id.len() <= ID_MAX => {
            (rest, Some(SessionRef { id: id.into(), source: SessionSource::Path }))
        }
        _ => (path, None),
    }
}

fn all_sessions_in_use(full: Full) -> Refusal {
    let (message, limit) = match full {
        Full::All => ("all sessions are in use, which is the limit", "sessions"),
        Full::Principal => ("all sessions of this principal are in use, which is the limit", "sessions_per_principal"),
    };
    let mut refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, code::LIMITED, Kind::Limited, message);
    refusal.data = Some(format!("\"limit\":\"{limit}\",\"retryAfterMs\":5000"));
    refusal
}

fn too_many_sessions(message: Message) -> Response<Body> {
    let mut response = json(message);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// The era a request claims by its header, where the whole of it is not understood.
fn claimed_era(headers: &HeaderMap) -> Era {
    let modern = headers.get(PROTOCOL_VERSION).is_some_and(|version| version == Version::MODERN.as_str());
    if modern { Era::Modern } else { Era::Legacy }
}

/// What the gateway reads of a message, and the era of its sender.
fn understand(headers: &HeaderMap, envelope: &Envelope) -> Result<(Params, Meta, Era), Refusal> {
    let malformed = |error: members::KeyError| Refusal::malformed(code::INVALID_REQUEST, error.to_string());
    let params = match envelope.method() {
        Some(method) => Params::read(envelope, method).map_err(malformed)?,
        None => Params::default(),
    };
    let meta = Meta::read(envelope, params.meta).map_err(malformed)?;
    let era = era::over_http(headers, envelope, &meta, params.subject)?;
    Ok((params, meta, era))
}

/// Messages of one batch; more are refused.
const BATCH_MAX: usize = 100;

/// The messages of a body, each by itself.
async fn collect(mut body: Body) -> Vec<Bytes> {
    use http_body::Body as _;
    let streamed = !matches!(body, Body::Whole(_));
    let mut decoder = tollhouse_core::wire::sse::Decoder::new(tollhouse_core::units::ByteSize::mib(16));
    let mut messages = Vec::new();
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.into_data() else { continue };
        if !streamed {
            messages.push(data);
            continue;
        }
        decoder.push(data);
        while let Ok(Some(event)) = decoder.next_event() {
            if !event.data.is_empty() {
                messages.push(event.data);
            }
        }
    }
    messages
}

/// The messages of a modern call as they come.
fn streamed(gateway: &Arc<Gateway>, steps: Box<impl Steps + 'static>, method: &'static str) -> Response<Body> {
    let (outbox, outgoing) = outbox(gateway.losses.clone());
    let (opened, counting) = (Instant::now(), gateway.clone());
    let pumping = pump(steps, outbox, gateway.clone());
    gateway.tasks.spawn(context::carried(async move {
        pumping.await;
        counting.tally.stream(method, opened.elapsed());
    }));
    events(Body::Messages(Messages { outgoing, alive: KeepAlive::new() }))
}

/// Carries the messages of a modern call to its client, until either side is through.
async fn pump(streaming: Box<impl Steps>, outbox: Outbox, gateway: Arc<Gateway>) {
    let left = CancellationToken::new();
    let watch = left.clone();
    let pumping = async {
        let mut streaming = streaming;
        loop {
            let (rest, step) = streaming.next(&Cancel::Token(left.clone())).await;
            let (message, worth) = match step {
                // Of the modern revision's messages on the way of an answer all are notifications.
                Step::Message(bytes) => (bytes, Worth::Expendable),
                Step::Answer(message) => (message.bytes, Worth::Needed),
                // Only streams of sessions are taken up again.
                Step::Pause(_) => (Bytes::new(), Worth::Expendable),
                Step::Cancelled => return,
            };
            if !message.is_empty() && outbox.post(Event::message(message).encode(), worth).await.is_err() {
                left.cancel();
            }
            match rest {
                Some(rest) => streaming = rest,
                None => return,
            }
        }
    };
    // MCP 2026-07-28, streamable HTTP: a closed response stream is a cancellation.
    let watching = async {
        tokio::select! {
            () = outbox.gone() => {}
            () = gateway.stop.cancelled() => {}
        }
        watch.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = pumping => {}
        () = watching => {}
    }
    let write_stall = gateway.limits().write_stall;
    outbox.finish(write_stall).await;
}

/// Carries the messages of a legacy call into its stream, whether anybody reads it or not: in this era a disconnect
/// is no cancellation.
async fn finish_into(begun: Begun, session: &Session, stream: u32, cancel: &Cancel) {
    let mut streaming = match begun {
        Begun::Answered(message) => return session.streams.append(stream, &message.bytes, true),
        Begun::Cancelled => return session.streams.end(stream),
        Begun::Streaming(streaming) => streaming,
    };
    loop {
        let (rest, step) = streaming.next(cancel).await;
        match step {
            Step::Message(bytes) => session.streams.append(stream, &bytes, false),
            Step::Answer(message) => session.streams.append(stream, &message.bytes, true),
            // Older clients would fail on the empty data of the event that says when to come back.
            Step::Pause(retry) if session.version >= Version::V2025_11_25 => session.streams.pause(stream, retry),
            Step::Pause(_) => {}
            Step::Cancelled => session.streams.end(stream),
        }
        match rest {
            Some(rest) => streaming = rest,
            None => return,
        }
    }
}

fn stream_response(session: &Arc<Session>, stream: u32) -> Option<Response<Body>> {
    let reader = session.streams.attach(stream)?;
    // Older clients parse the empty data of a priming event as a message and fail.
    let first = (session.version >= Version::V2025_11_25).then(|| reader.priming());
    Some(events(Body::Log(Log { reader, first, alive: KeepAlive::new(), _occupied: session.occupy() })))
}

/// MCP, streamable HTTP: JSON comes in, and the client takes JSON and event streams.
fn refuse_content(headers: &HeaderMap) -> Option<Response<Body>> {
    // What clients usually send, word for word.
    let usual = |name, value: &str| headers.get(name).is_some_and(|sent: &HeaderValue| sent == value);
    if usual(CONTENT_TYPE, "application/json") && usual(ACCEPT, "application/json, text/event-stream") {
        return None;
    }
    if !sends_json(headers) {
        return Some(not_json());
    }
    if !accepts(headers, "application/json") || !accepts(headers, "text/event-stream") {
        return Some(plain(
            StatusCode::NOT_ACCEPTABLE,
            "`Accept` must allow both application/json and text/event-stream",
        ));
    }
    None
}

fn sends_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn not_json() -> Response<Body> {
    plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "`Content-Type` must be application/json")
}

fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let (group, _) = wanted.split_once('/').unwrap_or((wanted, ""));
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(
        |range| {
            let range = range.split(';').next().unwrap_or_default().trim();
            range.eq_ignore_ascii_case(wanted)
                || range == "*/*"
                || range.strip_suffix("/*").is_some_and(|prefix| prefix.eq_ignore_ascii_case(group))
        },
    )
}

/// Does the client name event streams before JSON?
fn prefers_stream(accept: Option<&HeaderValue>) -> bool {
    let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.trim_start().starts_with("text/event-stream")
}

fn json(message: Message) -> Response<Body> {
    let mut response = Response::new(Body::whole(message.bytes));
    *response.status_mut() = message.status;
    // The connection reads its next request into the map of this answer.
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

fn events(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENT_STREAM);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

fn accepted() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// A refusal of a message that wants no answer, or whose id cannot be told.
fn refuse(refusal: &Refusal) -> Response<Body> {
    json(Message { status: refusal.status, bytes: refusal.message(None) })
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn not_allowed(allow: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use super::*;

    /// It is moved to where it lives with every call, and most of what it may become is rare: that stands in boxes.
    #[test]
    fn the_future_of_a_call_stays_small() {
        fn size<A, F: Future>(_: impl Fn(A) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = size(|(client, request): (Client, Request<Incoming>)| client.serve(request));
        assert!(bytes <= 7 << 10, "{bytes} bytes");
    }
}
