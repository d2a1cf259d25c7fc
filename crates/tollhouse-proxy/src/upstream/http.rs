//! A server behind streamable HTTP, in both eras: one POST a request, answered by JSON or by an event stream.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use tollhouse_core::era::Version;
use tollhouse_core::fault::Kind;
use tollhouse_core::trace::Traceparent;
use tollhouse_core::units::ByteSize;
use tollhouse_core::wire::sse::{Decoder, SseError};
use tollhouse_core::wire::{Envelope, Form, Members, header, members, method};

use super::connect::{Origin, OriginError};
use super::pool::{Answer, Body, Pool};
use super::{Link, Reply};
use crate::call::{Call, TRACEPARENT};
use crate::clocks::Clocks;
use crate::failure::Failure;
use crate::settings::{LiveLimits, Timeouts};

pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub(crate) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub(crate) const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
pub(crate) const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const BOTH_KINDS: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const MODERN: HeaderValue = HeaderValue::from_static(Version::MODERN.as_str());
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Room for what a request usually carries.
const HEADERS: usize = 12;
/// How long to wait before a stream is taken up again when the server did not say.
const RETRY_DEFAULT: Duration = Duration::from_secs(1);
/// The longest wait a server may ask for.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A stream that was taken up this often without bringing a single event is lost.
const FRUITLESS_RESUMES: u32 = 3;

/// One HTTP server.
pub(crate) struct Server {
    pool: Arc<Pool>,
    target: Uri,
    host: HeaderValue,
    headers: HeaderMap,
    next_id: AtomicU64,
    limits: LiveLimits,
}

/// A legacy session with it.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// `None` if the server keeps none.
    pub(crate) id: Option<HeaderValue>,
    pub(crate) version: Version,
}

impl Server {
    pub(crate) fn new(
        url: &Uri,
        headers: HeaderMap,
        timeouts: &Timeouts,
        limits: LiveLimits,
    ) -> Result<Self, OriginError> {
        let authority = url.authority().ok_or_else(|| OriginError::Url(url.to_string()))?;
        // Userinfo in a URL is a credential, not a part of the host.
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let path = url.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self {
            pool: Pool::new(Origin::of(url)?, timeouts.connect),
            target: Uri::from(path),
            host: HeaderValue::from_str(host).map_err(|_| OriginError::Url(url.to_string()))?,
            headers,
            next_id: AtomicU64::new(1),
            limits,
        })
    }

    /// How large one message of an answer may be.
    pub(crate) fn answer_limit(&self) -> ByteSize {
        self.limits.load().answer
    }

    /// Closes the connections that no call uses.
    pub(crate) fn close(&self) {
        self.pool.close();
    }

    /// An id no other request to this server has.
    pub(crate) fn mint_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// How many ids were minted.
    pub(crate) fn minted(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed) - 1
    }

    /// Sends a call and waits for the first of its answer.
    ///
    /// # Cancel safety
    /// Dropped, the connection closes: a modern server takes that as cancellation, a legacy one must not.
    pub(crate) async fn call(
        self: &Arc<Self>,
        call: &mut Call,
        session: Option<&Session>,
        clocks: &Clocks,
    ) -> Result<Reply, Failure> {
        let id = self.mint_id();
        let body = call.outbound(Digits::of(id).as_bytes(), None);
        let mut request = match session {
            None => self.modern(call, body),
            Some(session) => self.legacy(session, call, body),
        };
        let sent = {
            // Pinned here and lent: passed on by value, it would be part of two futures.
            let mut sending = pin!(self.pool.send(&mut request, || call.sent_as(id)));
            clocks.within(sending.as_mut()).await?
        };
        let answer = match sent {
            Ok(answer) => answer,
            Err(failure) => {
                take_back(call, session, request);
                return Err(failure);
            }
        };
        call.responded();
        self.reply(answer, id, session, clocks).await
    }

    /// A modern request: its headers repeat what the body says.
    fn modern(&self, call: &mut Call, body: Bytes) -> Request<Full<Bytes>> {
        let mut headers = std::mem::take(&mut call.passed);
        self.base(&mut headers, call.accept.take());
        headers.insert(PROTOCOL_VERSION, MODERN);
        let method = match &call.method {
            Cow::Borrowed(known) => Ok(HeaderValue::from_static(known)),
            Cow::Owned(name) => HeaderValue::from_str(name),
        };
        if let Ok(name) = method {
            headers.insert(MCP_METHOD, name);
        }
        if method::names_in_header(&call.method)
            && let Some(name) = call.upstream_name()
            && let Ok(value) = HeaderValue::from_str(&header::encode_name(&name))
        {
            headers.insert(MCP_NAME, value);
        }
        self.post(headers, body)
    }

    fn legacy(&self, session: &Session, call: &Call, body: Bytes) -> Request<Full<Bytes>> {
        let mut headers = HeaderMap::with_capacity(HEADERS);
        self.base(&mut headers, call.accept.clone());
        session.stamp(&mut headers);
        for (name, value) in &call.passed {
            headers.append(name, value.clone());
        }
        self.post(headers, body)
    }

    /// What every request has. Its length is written by whoever writes the body.
    fn base(&self, headers: &mut HeaderMap, accept: Option<HeaderValue>) {
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(ACCEPT, accept.unwrap_or(BOTH_KINDS));
    }

    /// The configured headers come last: no client header overrides them.
    fn post(&self, mut headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = headers;
        request
    }

    /// A request of HTTP+SSE, which knows neither sessions nor revisions in headers; `passed` are headers of the caller.
    pub(crate) async fn bare(
        &self,
        method: Method,
        target: Uri,
        mut passed: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        self.base(&mut passed, (method == Method::GET).then_some(EVENT_STREAM));
        if method == Method::GET {
            passed.remove(CONTENT_TYPE);
        }
        let mut request = self.post(passed, body);
        (*request.method_mut(), *request.uri_mut()) = (method, target);
        self.pool.send(&mut request, || {}).await
    }

    /// Where its URL leads, without the origin.
    pub(crate) fn target(&self) -> &Uri {
        &self.target
    }

    fn in_session(&self, method: Method, session: &Session, accept: HeaderValue) -> Request<Full<Bytes>> {
        let mut headers = HeaderMap::with_capacity(HEADERS);
        headers.insert(HOST, self.host.clone());
        headers.insert(ACCEPT, accept);
        session.stamp(&mut headers);
        let mut request = self.post(headers, Bytes::new());
        *request.method_mut() = method;
        request
    }

    /// What the head of an answer announces.
    async fn reply(
        self: &Arc<Self>,
        answer: Answer,
        id: u64,
        session: Option<&Session>,
        clocks: &Clocks,
    ) -> Result<Reply, Failure> {
        let status = answer.head.status;
        match content(&answer.head.headers) {
            Content::Events if status.is_success() => Ok(Reply::Http(Box::new(Events {
                server: self.clone(),
                body: answer.body,
                decoder: Decoder::new(self.answer_limit()),
                id,
                session: session.cloned(),
                last_event_id: None,
                retry: RETRY_DEFAULT,
                fruitless: 0,
                paused: false,
            }))),
            Content::Json => {
                let bytes = answer.body.whole(self.answer_limit(), clocks).await?;
                match Envelope::parse_of_server(bytes) {
                    Ok(envelope) if answers(&envelope, id) => Ok(Reply::Whole { envelope, status }),
                    _ if !status.is_success() => Err(refused(status, session)),
                    Ok(_) => Err(Failure::new(Kind::InvalidAnswer, "the answer belongs to another request")),
                    Err(error) => {
                        Err(Failure::new(Kind::InvalidAnswer, format_args!("the answer is no message: {error}")))
                    }
                }
            }
            Content::Events | Content::Other if !status.is_success() => Err(refused(status, session)),
            Content::Events | Content::Other => {
                Err(Failure::new(Kind::InvalidAnswer, format_args!("HTTP {status} without an answer")))
            }
        }
    }

    /// Sends a request of the gateway's own and waits for the first of the answer; with it the answer's head.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        body: Bytes,
        id: u64,
        method: &'static str,
        session: Option<&Session>,
        told: Option<Traceparent>,
        clocks: &Clocks,
    ) -> Result<(Reply, HeaderMap), Failure> {
        let mut headers = HeaderMap::with_capacity(HEADERS);
        self.base(&mut headers, None);
        match session {
            Some(session) => session.stamp(&mut headers),
            None if method != "initialize" => {
                headers.insert(PROTOCOL_VERSION, MODERN);
                headers.insert(MCP_METHOD, HeaderValue::from_static(method));
            }
            None => {}
        }
        if let Some(told) = told.and_then(|told| HeaderValue::from_bytes(&told).ok()) {
            headers.insert(TRACEPARENT, told);
        }
        let answer = clocks.within(self.pool.send(&mut self.post(headers, body), || {})).await??;
        let head = answer.head.headers.clone();
        Ok((self.reply(answer, id, session, clocks).await?, head))
    }

    /// Sends a request of the gateway's own and waits for the whole answer.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        body: Bytes,
        id: u64,
        method: &'static str,
        session: Option<&Session>,
        told: Option<Traceparent>,
        clocks: &Clocks,
    ) -> Result<(Envelope, HeaderMap), Failure> {
        let (reply, head) = self.begin(body, id, method, session, told, clocks).await?;
        let envelope = match reply {
            Reply::Whole { envelope, status } if lost_session(&envelope, status, session) => {
                return Err(Failure::new(Kind::SessionGone, "the server does not know the session any more"));
            }
            Reply::Whole { envelope, .. } => envelope,
            Reply::Http(mut events) => loop {
                let message = clocks.within(events.next()).await??;
                if answers(&message, id) {
                    break message;
                }
            },
            Reply::Duplex(_) => unreachable!("an HTTP server answers over HTTP"),
        };
        Ok((envelope, head))
    }

    /// Delivers a notification or an answer. The server says no more than that it has it.
    pub(crate) async fn tell(&self, body: Bytes, session: Option<&Session>, clocks: &Clocks) -> Result<(), Failure> {
        let mut headers = HeaderMap::with_capacity(HEADERS);
        self.base(&mut headers, None);
        match session {
            Some(session) => session.stamp(&mut headers),
            None => _ = headers.insert(PROTOCOL_VERSION, MODERN),
        }
        let answer = clocks.within(self.pool.send(&mut self.post(headers, body), || {})).await??;
        let status = answer.head.status;
        answer.body.whole(self.answer_limit(), clocks).await?;
        if status.is_success() { Ok(()) } else { Err(refused(status, session)) }
    }

    /// Ends a legacy session. Servers may refuse that (405); nothing depends on it.
    pub(crate) async fn end(&self, session: &Session, clocks: &Clocks) {
        if session.id.is_none() {
            return;
        }
        let mut request = self.in_session(Method::DELETE, session, BOTH_KINDS);
        if let Ok(Ok(answer)) = clocks.within(self.pool.send(&mut request, || {})).await {
            let _ = answer.body.whole(self.answer_limit(), clocks).await;
        }
    }

    /// Opens the stream of messages that belong to no call; `None` if the server offers none.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        session: &Session,
        after: Option<&str>,
    ) -> Result<Option<Events>, Failure> {
        let mut request = self.in_session(Method::GET, session, EVENT_STREAM);
        if let Some(value) = after.and_then(|id| HeaderValue::from_str(id).ok()) {
            request.headers_mut().insert(LAST_EVENT_ID, value);
        }
        let answer = self.pool.send(&mut request, || {}).await?;
        let status = answer.head.status;
        match content(&answer.head.headers) {
            Content::Events if status.is_success() => Ok(Some(Events {
                server: self.clone(),
                body: answer.body,
                decoder: Decoder::new(self.answer_limit()),
                id: 0,
                session: Some(session.clone()),
                last_event_id: after.map(Into::into),
                retry: RETRY_DEFAULT,
                fruitless: 0,
                paused: false,
            })),
            _ if status == StatusCode::METHOD_NOT_ALLOWED => Ok(None),
            _ => Err(refused(status, Some(session))),
        }
    }
}

/// The session id in the head of an answer to `initialize`; `None` if the server keeps no sessions.
///
/// A copy: the value in the head shares the connection's read buffer, which would live as long as the session.
pub(crate) fn session_id(head: &HeaderMap) -> Option<HeaderValue> {
    HeaderValue::from_bytes(head.get(SESSION_ID)?.as_bytes()).ok()
}

impl Session {
    fn stamp(&self, headers: &mut HeaderMap) {
        if let Some(id) = &self.id {
            headers.insert(SESSION_ID, id.clone());
        }
        // Revisions before 2025-06-18 know no version header, and one of their servers may refuse what it does not know.
        if self.version >= Version::V2025_06_18 {
            headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(self.version.as_str()));
        }
    }
}

enum Content {
    Json,
    Events,
    Other,
}

fn content(headers: &HeaderMap) -> Content {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Content::Json
    } else if essence.eq_ignore_ascii_case("text/event-stream") {
        Content::Events
    } else {
        Content::Other
    }
}

/// Is `envelope` the answer to our request `id`? An error may lack the id (real servers send `null`): over HTTP the
/// exchange decides.
pub(crate) fn answers(envelope: &Envelope, id: u64) -> bool {
    let id = Digits::of(id);
    let same = |span| envelope.raw(span) == id.as_bytes();
    match &envelope.form {
        Form::Result { id, .. } => same(*id),
        Form::Error { id, .. } => id.is_none_or(same),
        Form::Request { .. } | Form::Notification { .. } => false,
    }
}

/// Gives the headers of a modern request that was not sent back to its call, for the next attempt: they were the
/// caller's, and what was added to them is written over.
fn take_back(call: &mut Call, session: Option<&Session>, request: Request<Full<Bytes>>) {
    if session.is_none() {
        call.passed = request.into_parts().0.headers;
        call.accept = call.passed.remove(ACCEPT);
    }
}

/// Does an answer in a session say that there is no such session? 404 is what the specification demands; some servers
/// answer 400 with one of the codes that SDKs use for it (TypeScript −32000, −32001; Python −32600).
fn lost_session(answer: &Envelope, status: StatusCode, session: Option<&Session>) -> bool {
    let Form::Error { error, .. } = answer.form else { return false };
    let code = || Members::of(&answer.bytes, error).get("code").and_then(|code| members::integer(answer.raw(code)));
    session.is_some_and(|session| session.id.is_some())
        && match status {
            StatusCode::NOT_FOUND => true,
            StatusCode::BAD_REQUEST => matches!(code(), Some(-32000 | -32001 | -32600)),
            _ => false,
        }
}

/// Do these headers announce an event stream?
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    matches!(content(headers), Content::Events)
}

/// An HTTP status that is no answer. Classified by status alone: texts differ from server to server.
pub(crate) fn refused(status: StatusCode, session: Option<&Session>) -> Failure {
    let in_session = session.is_some_and(|session| session.id.is_some());
    let kind = match status {
        StatusCode::NOT_FOUND if in_session => Kind::SessionGone,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Kind::Unauthorized
        }
        StatusCode::TOO_MANY_REQUESTS => Kind::Limited,
        status if status.is_client_error() => Kind::Rejected,
        status if status.is_server_error() => Kind::ServerError,
        _ => Kind::InvalidAnswer,
    };
    Failure::new(kind, format_args!("the server answered HTTP {status}"))
}

/// A number in decimal digits.
struct Digits {
    text: [u8; Self::MAX],
    start: usize,
}

impl Digits {
    /// The digits of the largest number.
    const MAX: usize = 20;

    fn of(mut number: u64) -> Self {
        let (mut text, mut start) = ([b'0'; Self::MAX], Self::MAX - 1);
        while number > 0 {
            text[start] = b'0' + u8::try_from(number % 10).expect("a digit is below ten");
            number /= 10;
            if number > 0 {
                start -= 1;
            }
        }
        Self { text, start }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

/// The messages of an event stream, taken up again where a legacy server lets it break off.
pub(crate) struct Events {
    server: Arc<Server>,
    body: Body,
    decoder: Decoder,
    /// The id of the request that this stream answers; 0 for a stream of its own.
    pub(crate) id: u64,
    session: Option<Session>,
    last_event_id: Option<Box<str>>,
    retry: Duration,
    fruitless: u32,
    /// The server closed the stream and is to be asked for the rest.
    paused: bool,
}

/// What a stream brings.
pub(crate) enum Heard {
    Message(Envelope),
    /// The server closed the stream, and wants the rest to be fetched after this time.
    Pause(Duration),
}

impl Events {
    /// The next message, past all pauses.
    ///
    /// # Errors
    /// As [`Self::hear`].
    pub(crate) async fn next(&mut self) -> Result<Envelope, Failure> {
        loop {
            if let Heard::Message(envelope) = self.hear().await? {
                return Ok(envelope);
            }
        }
    }

    /// What comes next.
    ///
    /// # Errors
    /// The stream broke off and cannot be taken up, or brought what is no message.
    pub(crate) async fn hear(&mut self) -> Result<Heard, Failure> {
        loop {
            if self.paused {
                self.resume().await?;
            }
            let event = self.decoder.next_event().map_err(|error| match error {
                SseError::Line(_) | SseError::Event(_) => Failure::new(Kind::AnswerTooLarge, error),
            })?;
            if let Some(event) = event {
                self.fruitless = 0;
                if event.id.is_some() {
                    self.last_event_id = event.id;
                }
                if let Some(millis) = event.retry {
                    self.retry = Duration::from_millis(millis).min(RETRY_MAX);
                }
                // A priming event has an id and no data; a type other than `message` is none of MCP's.
                if event.data.is_empty() || event.event.is_some_and(|kind| &*kind != "message") {
                    continue;
                }
                return Envelope::parse_of_server(event.data).map(Heard::Message).map_err(|error| {
                    Failure::new(Kind::InvalidAnswer, format_args!("an event is no message: {error}"))
                });
            }
            let broke = match self.body.next().await {
                Ok(Some(piece)) => {
                    self.decoder.push(piece);
                    continue;
                }
                Ok(None) => Failure::new(Kind::Lost, "the event stream ended without an answer"),
                Err(failure) => failure,
            };
            // 2025-11-25, basic/transports: after an event with an id the server may close the stream, and the client
            // takes it up by GET and `Last-Event-ID`, after the time the server named.
            if self.session.is_none() || self.last_event_id.is_none() || self.fruitless == FRUITLESS_RESUMES {
                return Err(broke);
            }
            self.fruitless += 1;
            self.paused = true;
            return Ok(Heard::Pause(self.retry));
        }
    }

    async fn resume(&mut self) -> Result<(), Failure> {
        tokio::time::sleep(self.retry).await;
        self.paused = false;
        let session = self.session.as_ref().expect("only a session's stream is taken up again");
        match self.server.listen(session, self.last_event_id.as_deref()).await {
            Ok(Some(resumed)) => {
                self.body = resumed.body;
                self.decoder = Decoder::new(self.server.answer_limit());
                Ok(())
            }
            Ok(None) | Err(_) => {
                Err(Failure::new(Kind::Lost, "the event stream ended and could not be taken up again"))
            }
        }
    }

    pub(crate) fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    pub(crate) fn retry(&self) -> Duration {
        self.retry
    }
}

impl From<Session> for Link {
    fn from(session: Session) -> Self {
        Self::Http(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are_elsewhere() {
        for number in [0, 7, 10, 1_234_567_890, u64::MAX] {
            assert_eq!(Digits::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
