//! From a message to the one who answers it: the gateway itself, one server, or several.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use tollhouse_core::era::{Era, Version};
use tollhouse_core::fault::Kind;
use tollhouse_core::record::{Listener, Outcome, Principal, SessionRef, SessionSource, clip};
use tollhouse_core::trace::TraceContext;
use tollhouse_core::wire::{Envelope, Form, Members, Span, members, splice};
use tracing::{debug, info};

use crate::answer::{self, Refusal, code};
use crate::call::{Call, Caller, Params};
use crate::clocks::Clocks;
use crate::crossing::{self, Way};
use crate::exchange::{Attempt, Message, conclude, wait_for_next};
use crate::failure::Failure;
use crate::gateway::{Admitted, Gateway, Work};
use crate::links::{join, listen, open_link};
use crate::meta::{BAGGAGE_MAX, Meta};
use crate::router::subscriptions::Listening;
use crate::router::{self, Routed};
use crate::session::identify::{self, Evidence, Origin};
use crate::session::legacy::{Asked, Endpoint, Outlet, Session};
use crate::traced::{Telling, Traced};
use crate::upstream::{CANCELLED, LISTEN};

/// Of one call in so many it is measured how long its ids took.
const MINTED_EVERY: u64 = 64;

/// A request as it arrived, its era decided.
pub(crate) struct Arrived {
    pub(crate) received: Instant,
    pub(crate) received_at: SystemTime,
    pub(crate) listener: Listener,
    pub(crate) peer: IpAddr,
    pub(crate) endpoint: Endpoint,
    pub(crate) era: Era,
    pub(crate) envelope: Envelope,
    pub(crate) meta: Meta,
    pub(crate) params: Params,
    /// Empty over a pipe.
    pub(crate) headers: HeaderMap,
    /// The legacy session it came in.
    pub(crate) session: Option<Arc<Session>>,
    /// The conversation that its path or its process names.
    pub(crate) given: Option<SessionRef>,
}

/// Who answers.
pub(crate) enum Dispatched {
    /// It is answered, and recorded.
    Answered(Message),
    /// One server will.
    One(Attempt),
    /// It is told what several servers have to tell.
    Listening(Box<Listening>),
}

impl Arrived {
    /// The call this request is, as far as it is known before it is routed.
    pub(crate) fn into_call(self, gateway: &Gateway) -> Box<Call> {
        let headers = identify::speaks_of_it(&self.headers).then_some(&self.headers);
        let tracing = &gateway.tracing;
        let (mut trace, origin) = if tracing.context {
            identify::trace(headers, &self.envelope, &self.meta)
        } else {
            (TraceContext::mint(), Origin::Here)
        };
        let inbound = origin != Origin::Here;
        let mut aside = None;
        if tracing.spans.is_some() {
            aside = identify::aside(headers, &self.envelope, &self.meta, origin);
            // Where both name the same trace there is nothing to add.
            if let Some(said) =
                aside.as_mut().filter(|said| said.http.is_some_and(|http| http.trace_id == trace.trace_id))
            {
                said.http = None;
            }
            let state = self.params.state.map(|span| self.envelope.raw(span));
            if let Some(follows) = state.and_then(|state| gateway.follow_ups.find(state)) {
                aside.get_or_insert_default().follows = Some(follows);
            }
        }
        let client = match &self.session {
            Some(session) => session.client.clone(),
            None => self.meta.client(&self.envelope).map(|name| name.as_ref().into()),
        };
        let evidence = Evidence {
            envelope: &self.envelope,
            meta: &self.meta,
            headers,
            given: self.given.as_ref(),
            session: self.session.as_ref().map(|session| &session.id),
            trace: inbound.then_some(&trace),
            baggage: tracing.baggage,
        };
        let principal = Principal::Anonymous;
        let session = evidence
            .session(&gateway.session_rules.load())
            .unwrap_or_else(|| gateway.guesses.find(&principal, client.as_ref(), self.peer, self.received));
        let hints = evidence.hints(&session);
        if !inbound && tracing.spans.is_some() {
            trace = tracing.roots.context(&session, self.listener, self.received_at).unwrap_or(trace);
        }
        let version = match (&self.session, self.era) {
            (Some(session), _) => session.version,
            (None, Era::Modern) => Version::MODERN,
            (None, Era::Legacy) => Version::LATEST_LEGACY,
        };
        let params = Params {
            progress_token: self.meta.progress_token,
            traceparent: self.meta.traceparent,
            excess: self.meta.excess,
            ..self.params
        };
        let telling = match self.endpoint {
            _ if !gateway.inject_trace => Telling::Nothing,
            // A path of one server changes as little as it can.
            Endpoint::One(_) => Telling::InPlace,
            Endpoint::All => Telling::Everywhere,
        };
        let accept = self.headers.get(http::header::ACCEPT).cloned();
        let mut passed = passed_on(self.headers, gateway.inject_trace);
        if tracing.spans.is_some() && origin != Origin::Header {
            // It is of another trace than the one that goes on.
            passed.remove("tracestate");
        }
        let caller = Caller {
            listener: self.listener,
            principal,
            session,
            hints,
            version,
            client,
            peer: self.peer,
            traced: Traced::new(trace, inbound, aside, tracing, telling),
            accept,
            passed,
        };
        let call = Call::new(self.received, self.received_at, self.envelope, params, caller);
        if call.id.salt().is_multiple_of(MINTED_EVERY) {
            gateway.tally.minted(self.received.elapsed());
        }
        call
    }

    /// The answer that refuses it, and the record that says so.
    pub(crate) fn refuse(self, gateway: &Gateway, refusal: &Refusal) -> Message {
        let call = self.into_call(gateway);
        let bytes = refusal.message(Some(call.raw_id()));
        conclude(gateway, call, Message { status: refusal.status, bytes }, refusal.outcome())
    }
}

/// Headers of the caller that a server may need: parameters mirrored into headers, and the trace unless that is
/// switched off. Everything else is between the caller and the gateway, credentials first of all.
///
/// Where nothing is passed on, as is usual, the empty map keeps the memory of the old: the request to the server is
/// written into it.
fn passed_on(mut headers: HeaderMap, trace: bool) -> HeaderMap {
    let pass = |name: &str| {
        name.starts_with("mcp-param-") || (trace && matches!(name, "traceparent" | "tracestate" | "baggage"))
    };
    if !headers.keys().any(|name| pass(name.as_str())) {
        headers.clear();
        return headers;
    }
    let mut passed = HeaderMap::new();
    for (name, value) in &headers {
        if pass(name.as_str()) {
            passed.append(name, value.clone());
        }
    }
    // Above this a baggage is dropped: intermediaries differ in what they do with it (W3C baggage, limits).
    if passed.get_all("baggage").iter().map(http::HeaderValue::len).sum::<usize>() > BAGGAGE_MAX {
        passed.remove("baggage");
    }
    passed
}

/// Finds out who answers a request. Not for `initialize`: see [`open_session`].
pub(crate) async fn dispatch(gateway: &Arc<Gateway>, arrived: Box<Arrived>) -> Dispatched {
    let listens = arrived.era == Era::Modern && arrived.envelope.method().is_some_and(|method| method == LISTEN);
    let admitted = match gateway.admit(if listens { Work::Listen } else { Work::Call }) {
        Ok(admitted) => admitted,
        Err(refusal) => return Dispatched::Answered(arrived.refuse(gateway, &refusal)),
    };
    // MCP 2026-07-28 has no `initialize`. A process that is shared by callers must not see one: it would settle the
    // era of all of them.
    if arrived.era == Era::Modern && arrived.envelope.method().is_some_and(|method| method == "initialize") {
        return Dispatched::Answered(arrived.refuse(gateway, &Refusal::unknown_method(Era::Modern, "initialize")));
    }
    let (session, endpoint) = (arrived.session.clone(), arrived.endpoint);
    let call = arrived.into_call(gateway);
    if let Some(session) = &session
        && call.method == "tools/call"
    {
        session.count_tool_call();
    }
    if call.era() == Era::Legacy && call.method == "ping" {
        return answered_here(gateway, call, b"{}");
    }
    let (mut call, place) = match gateway.sole(endpoint) {
        // A server that knows sessions only has no listens.
        Some(place) if listens && Box::pin(has_sessions_only(gateway, place)).await => {
            return listening(gateway, call, Some(place), admitted);
        }
        Some(place) => (call, place),
        None => match Box::pin(router::route(gateway, call, session.as_ref())).await {
            Routed::One { call, place } => (call, place),
            Routed::Answered(message) => return Dispatched::Answered(message),
            Routed::Listen(call) => return listening(gateway, call, None, admitted),
        },
    };
    if let "resources/subscribe" | "resources/unsubscribe" = call.method.as_ref()
        && let Some(session) = &session
    {
        call = match Box::pin(router::lifted::subscribe(gateway, call, session, place)).await {
            Ok(answered) => return Dispatched::Answered(answered),
            Err(call) => call,
        };
    }
    Dispatched::One(attempt(gateway, call, place, session, admitted))
}

/// False if nobody can tell.
async fn has_sessions_only(gateway: &Gateway, place: usize) -> bool {
    let server = gateway.fleet.at(place);
    let clocks = Clocks::start(Instant::now(), &server.timeouts);
    server.known_eras(&clocks).await.is_ok_and(|eras| !eras.modern)
}

fn listening(gateway: &Arc<Gateway>, mut call: Box<Call>, place: Option<usize>, admitted: Admitted) -> Dispatched {
    call.server = place.map(|place| gateway.fleet.at(place).id.clone());
    match Listening::new(gateway, call, place, admitted) {
        Ok(listening) => Dispatched::Listening(listening),
        Err(refused) => Dispatched::Answered(refused),
    }
}

fn answered_here(gateway: &Gateway, call: Box<Call>, result: &[u8]) -> Dispatched {
    let bytes = answer::result(call.raw_id(), result);
    Dispatched::Answered(conclude(gateway, call, Message { status: StatusCode::OK, bytes }, Outcome::Ok))
}

fn attempt(
    gateway: &Arc<Gateway>,
    mut call: Box<Call>,
    place: usize,
    session: Option<Arc<Session>>,
    admitted: Admitted,
) -> Attempt {
    let upstream = gateway.fleet.at(place);
    // A subscription is no work that a server which leaves could finish.
    let under_way = (call.method != LISTEN).then(|| upstream.calls.token());
    call.server = Some(upstream.id.clone());
    let clocks =
        if call.method == LISTEN { Clocks::unlimited() } else { Clocks::start(call.received, &upstream.timeouts) };
    Attempt {
        gateway: gateway.clone(),
        call,
        upstream,
        place,
        session,
        way: Way::Direct,
        clocks,
        _admitted: admitted,
        _under_way: under_way,
    }
}

/// Answers `initialize`: opens the servers' sessions with the client's own words, and the client's session.
///
/// Without a session the answer says why there is none.
pub(crate) async fn open_session(
    gateway: &Arc<Gateway>,
    arrived: Box<Arrived>,
    outlet: Outlet,
) -> (Message, Option<Arc<Session>>) {
    let admitted = match gateway.admit(Work::Call) {
        Ok(admitted) => admitted,
        Err(refusal) => return (arrived.refuse(gateway, &refusal), None),
    };
    let asked = match Initialize::read(&arrived.envelope) {
        Ok(asked) => asked,
        Err(refusal) => return (arrived.refuse(gateway, &refusal), None),
    };
    let endpoint = arrived.endpoint;
    let mut call = arrived.into_call(gateway);
    call.version = asked.granted;
    let (initialize, client) = gateway.openings.share(asked.outbound, asked.id, asked.client.as_deref());
    let session = Arc::new(Session::new(
        endpoint,
        asked.granted,
        client,
        initialize,
        outlet,
        gateway.stream_bounds.clone(),
        gateway.stop.child_token(),
    ));
    call.session = SessionRef { id: session.id.clone(), source: SessionSource::Protocol };
    let answer = match gateway.sole(endpoint) {
        Some(place) => open_one(gateway, &session, place, &mut call).await,
        None => Ok(answer::result(call.raw_id(), &router::open_all(gateway, &session).await)),
    };
    drop(admitted);
    if endpoint == Endpoint::All && answer.is_ok() {
        gateway.bell.enter(&session);
    }
    match answer {
        Ok(bytes) => {
            let (version, client) = (session.version.as_str(), session.client.as_deref().map(clip));
            info!(target: "tollhouse.session", event = "tollhouse.session.started", session = &*session.id, version, client = client.as_deref(), "session started");
            let message = conclude(gateway, call, Message { status: StatusCode::OK, bytes }, Outcome::Ok);
            (message, Some(session))
        }
        Err(failure) => {
            let message = Message { status: StatusCode::OK, bytes: answer::failed(&call, &failure) };
            (conclude(gateway, call, message, Outcome::Failed(failure.fault)), None)
        }
    }
}

async fn open_one(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    place: usize,
    call: &mut Call,
) -> Result<Bytes, Failure> {
    let upstream = gateway.fleet.at(place);
    call.server = Some(upstream.id.clone());
    let mut rounds = upstream.retry.rounds(call.received, None);
    let opened = loop {
        match open_link(gateway, session, place).await {
            Ok(opened) => break opened,
            Err(failure) if failure.fault.kind == Kind::EraUnsupported => {
                let clocks = Clocks::start(Instant::now(), &upstream.timeouts);
                let result = crossing::welcome(gateway, session, place, &clocks).await?;
                return Ok(answer::result(call.raw_id(), &result));
            }
            Err(failure) if wait_for_next(gateway, &upstream, call, &mut rounds, &failure).await => {}
            Err(failure) => return Err(failure),
        }
    };
    let Form::Result { id, result } = opened.answer.form else { unreachable!("an accepted session has a result") };
    // The server may have chosen another revision than the client was granted; each side keeps to its own.
    let granted = format!("\"{}\"", session.version);
    let mut edits = vec![(id, call.raw_id())];
    if let Some(version) = Members::of(&opened.answer.bytes, result).get("protocolVersion") {
        edits.push((version, granted.as_bytes()));
    }
    edits.sort_unstable_by_key(|(span, _)| span.start());
    let bytes = splice::splice(&opened.answer.bytes, &edits);
    join(gateway, session, place, opened);
    Ok(bytes)
}

/// An `initialize` is kept as long as its session, so it must not be as large as a call.
const INITIALIZE_MAX: usize = 64 << 10;

/// What a client asks of a session.
struct Initialize {
    /// The request as servers get it: a revision we do not know is replaced by our newest.
    outbound: Envelope,
    id: Span,
    granted: Version,
    client: Option<Arc<str>>,
}

impl Initialize {
    fn read(envelope: &Envelope) -> Result<Self, Refusal> {
        if envelope.bytes.len() > INITIALIZE_MAX {
            let message = format!("`initialize` is larger than {} KiB", INITIALIZE_MAX >> 10);
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, Kind::TooLarge, message));
        }
        let malformed = |message: &str| Refusal::malformed(code::INVALID_PARAMS, message);
        let picked = envelope.pick_params(["protocolVersion", "capabilities", "clientInfo"]);
        let [version, _, client] =
            picked.map_err(|error| Refusal::malformed(code::INVALID_REQUEST, error.to_string()))?;
        let span = version.ok_or_else(|| malformed("`initialize` needs `protocolVersion`"))?;
        let asked = members::text(envelope.raw(span)).ok_or_else(|| malformed("`protocolVersion` must be a string"))?;
        let known = Version::parse(&asked).filter(|version| version.era() == Era::Legacy);
        let outbound = if known.is_some() {
            // Kept as long as the session: a copy, or the connection's whole read buffer would be kept with it.
            let copy = Bytes::copy_from_slice(&envelope.bytes);
            Envelope::parse(copy).expect("a copy is as valid as what it was made of")
        } else {
            let newest = format!("\"{}\"", Version::LATEST_LEGACY);
            let changed = splice::splice(&envelope.bytes, &[(span, newest.as_bytes())]);
            Envelope::parse(changed).expect("one string in place of another keeps a message valid")
        };
        let Form::Request { id, .. } = outbound.form else { unreachable!("`initialize` is a request") };
        let name = client.and_then(|client| Members::of(&envelope.bytes, client).get("name"));
        let client = name.and_then(|name| members::text(envelope.raw(name))).map(|name| name.as_ref().into());
        Ok(Self { outbound, id, granted: known.unwrap_or(Version::LATEST_LEGACY), client })
    }
}

/// Takes a notification of a legacy client.
pub(crate) async fn notified(gateway: &Arc<Gateway>, session: &Arc<Session>, envelope: &Envelope) {
    let Form::Notification { method } = &envelope.form else { return };
    if method == CANCELLED {
        let id = envelope.params.and_then(|params| Members::of(&envelope.bytes, params).get("requestId"));
        if let Some(id) = id {
            session.cancel(envelope.raw(id));
        }
        return;
    }
    tell_all(gateway, session, &envelope.bytes).await;
    if method == "notifications/initialized" && !session.waits_for_reader() {
        listen(gateway, session);
    }
}

async fn tell_all(gateway: &Arc<Gateway>, session: &Arc<Session>, message: &Bytes) {
    for (place, link) in session.links() {
        let upstream = gateway.fleet.at(place);
        let clocks = Clocks::start(Instant::now(), &upstream.timeouts);
        if let Err(failure) = upstream.tell(message.clone(), Some(&link), &clocks).await {
            debug!(target: "tollhouse.server", server = %upstream.id, cause = %failure.cause, "a notification was not delivered");
        }
    }
}

/// Takes a client's answer to a server's question.
pub(crate) async fn answered(gateway: &Arc<Gateway>, session: &Arc<Session>, envelope: &Envelope) {
    let (Form::Result { id, .. } | Form::Error { id: Some(id), .. }) = envelope.form else { return };
    let asked = members::integer(envelope.raw(id)).and_then(|id| u64::try_from(id).ok());
    let (server, own) = match asked.and_then(|id| session.answered(id)) {
        Some(Asked::Server { server, id, question }) => {
            if let Some(question) = question {
                question.answered(envelope);
            }
            (server, id)
        }
        Some(Asked::Gateway(waiting)) => {
            // Where nobody waits any more, the call was given up.
            let _ = waiting.send(envelope.clone());
            return;
        }
        None => return,
    };
    let Some(link) = session.link(server) else { return };
    let upstream = gateway.fleet.at(server);
    let clocks = Clocks::start(Instant::now(), &upstream.timeouts);
    let message = splice::splice(&envelope.bytes, &[(id, &own)]);
    if let Err(failure) = upstream.tell(message, Some(&link), &clocks).await {
        debug!(target: "tollhouse.server", server = %upstream.id, cause = %failure.cause, "an answer was not delivered");
    }
}
