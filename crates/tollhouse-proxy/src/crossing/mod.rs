//! The way of a call to its server, and what is done to it where the two do not speak the same era.
//!
//! Four ways. *Direct*: both are modern. *Linked*: both are legacy, and the client's session has a link to the server.
//! *Lifted*: a legacy client before a modern server; each request is given what the client said once. *Lent*: a modern
//! client before a legacy server; the request travels in a session of the gateway's own. The first two are the usual
//! ones and cost a look at what is known; all that belongs to the others stands here, out of their way.
//!
//! A call crosses as bytes: [`lift`] and [`lend`] cut into a message what the other era says otherwise. What needs a
//! server's question carried to a modern client has no way yet and is refused in so many words.
//!
//! Path: `exchange` → **`crossing`** → `links` → `upstream`.

mod lend;
mod lift;
mod round;

mod cuts;

use std::sync::{Arc, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tollhouse_core::era::Version;
use tollhouse_core::fault::Kind;
use tollhouse_core::record::{Principal, SessionSource};
use tollhouse_core::trace::Traceparent;
use tollhouse_core::wire::{Envelope, Form, Members, Span, members};
use tracing::debug;

use self::round::ROUNDS_MAX;
pub(crate) use self::round::Round;
use crate::answer::{Refusal, code};
use crate::call::{Call, Edit, spliced};
use crate::clocks::Clocks;
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::links::{link_at_hand, live_link, new_link};
use crate::log_level::LogLevel;
use crate::session::legacy::{Endpoint, Greeting, Occupied, Outlet, Session};
use crate::session::lent::Key;
use crate::tally::Ended;
use crate::traced;
use crate::upstream::{Link, Reply, Upstream};

/// How a call reaches its server.
pub(crate) enum Way {
    /// Modern to modern: the request says all of itself.
    Direct,
    /// Legacy to legacy: in the caller's session, over its link to this server.
    Linked(Arc<Session>, Link),
    /// Legacy to modern: each request repeats what the session knows of its client.
    Lifted(Arc<Session>),
    /// Modern to legacy: in a session of the gateway's own.
    Lent(Box<Loan>),
}

/// A session lent to one call.
pub(crate) struct Loan {
    session: Arc<Session>,
    link: Link,
    greeting: Arc<Greeting>,
    /// How much log the call wants.
    log_level: Option<LogLevel>,
    _occupied: Occupied,
}

impl Way {
    pub(crate) fn link(&self) -> Option<&Link> {
        match self {
            Self::Direct | Self::Lifted(_) => None,
            Self::Linked(_, link) => Some(link),
            Self::Lent(loan) => Some(&loan.link),
        }
    }

    /// What a server in a lent session has said of itself.
    pub(crate) fn greeting(&self) -> Option<Envelope> {
        let Self::Lent(loan) = self else { return None };
        Some(loan.greeting.answer.clone())
    }

    /// Do client and server speak different eras?
    pub(crate) const fn crosses(&self) -> bool {
        matches!(self, Self::Lifted(_) | Self::Lent(_))
    }
}

/// On whose behalf a server is spoken to.
#[derive(Clone)]
pub(crate) enum Asker {
    /// A legacy client.
    Session(Arc<Session>),
    /// A modern one.
    Modern(Arc<Borrower>),
}

/// What decides which session a modern client is lent.
pub(crate) struct Borrower {
    principal: Principal,
    conversation: Arc<str>,
    name: Option<Arc<str>>,
    client: lend::Client,
}

impl Asker {
    pub(crate) fn of(gateway: &Gateway, call: &Call, session: Option<&Arc<Session>>) -> Self {
        if let Some(session) = session {
            return Self::Session(session.clone());
        }
        let conversation = match call.session.source {
            // A trace is one turn: too short to keep a session for.
            SessionSource::Trace => {
                gateway.guesses.find(&call.principal, call.client.as_ref(), call.peer, call.received).id
            }
            _ => call.session.id.clone(),
        };
        Self::Modern(Arc::new(Borrower {
            principal: call.principal.clone(),
            conversation,
            name: call.client.clone(),
            client: lend::client(&call.envelope, call.params.meta),
        }))
    }
}

/// The way if it is a usual one and nothing has to be waited for.
pub(crate) fn at_hand(upstream: &Upstream, session: Option<&Arc<Session>>, place: usize) -> Option<Way> {
    match session {
        None => upstream.eras_at_hand().is_some_and(|eras| eras.modern).then_some(Way::Direct),
        Some(session) => link_at_hand(session, place).map(|link| Way::Linked(session.clone(), link)),
    }
}

/// The way to the server at `place`. Opens what has to be opened for it.
///
/// # Cancel safety
/// Dropped half-way, a session that was being opened is opened anew by the next who needs it.
pub(crate) async fn find(gateway: &Arc<Gateway>, asker: &Asker, place: usize, clocks: &Clocks) -> Result<Way, Failure> {
    let eras = gateway.fleet.at(place).known_eras(clocks).await?;
    match asker {
        Asker::Modern(_) if eras.modern => Ok(Way::Direct),
        Asker::Modern(borrower) => borrow(gateway, borrower, place, clocks).await.map(|loan| Way::Lent(Box::new(loan))),
        Asker::Session(session) if eras.legacy == Some(false) => Ok(lifted(gateway, session, place)),
        Asker::Session(session) => match live_link(gateway, session, place, clocks).await {
            Ok(link) => Ok(Way::Linked(session.clone(), link)),
            Err(failure) if failure.fault.kind == Kind::EraUnsupported => Ok(lifted(gateway, session, place)),
            Err(failure) => Err(failure),
        },
    }
}

/// The way of a session to a modern server, which is heard on its behalf if its client hears.
fn lifted(gateway: &Gateway, session: &Arc<Session>, place: usize) -> Way {
    if session.changes.lifted(place) {
        gateway.bell.ring(session);
    }
    Way::Lifted(session.clone())
}

async fn borrow(gateway: &Arc<Gateway>, borrower: &Borrower, place: usize, clocks: &Clocks) -> Result<Loan, Failure> {
    let key = Key {
        place,
        principal: borrower.principal.clone(),
        conversation: borrower.conversation.clone(),
        client: borrower.name.clone(),
        capabilities: borrower.client.capabilities.clone(),
    };
    let new = || {
        let (name, initialize) = (borrower.name.clone(), Arc::new(lend::initialize(&borrower.client)));
        let (endpoint, bounds, stop) =
            (Endpoint::One(place), gateway.stream_bounds.clone(), gateway.stop.child_token());
        Session::new(endpoint, Version::LATEST_LEGACY, name, initialize, Outlet::Nobody, bounds, stop)
    };
    let Some(loan) = gateway.lent.borrow(key, new) else {
        return Err(Failure::new(Kind::Limited, "all sessions that can be lent are in use"));
    };
    if let Some(evicted) = loan.evicted {
        gateway.end_session(evicted, Ended::Expired);
    }
    let session = loan.session;
    let link = live_link(gateway, &session, place, clocks).await?;
    let greeting = session.greeting().expect("a lent session has its greeting before its link");
    Ok(Loan { session, link, greeting, log_level: None, _occupied: loan.occupied })
}

/// The `initialize` of a session in which the gateway hears a server itself, and where its id stands.
pub(crate) fn own_initialize() -> (Envelope, Span) {
    lend::initialize(&lend::ourselves())
}

/// A notice of a modern server that a resource has changed, as legacy clients know it.
pub(crate) fn updated(notice: &Envelope) -> Bytes {
    edited(notice, lift::notice(notice)).bytes
}

/// What becomes of a call at a server of the other era.
pub(crate) enum Approach {
    /// It goes there.
    By(Way),
    /// The gateway knows the result.
    Known(Vec<u8>),
    /// It has no meaning there.
    Refused(Refusal),
}

/// Finds the way of a call that is none of the usual ones, or answers it.
pub(crate) async fn approach(
    gateway: &Arc<Gateway>,
    call: &Call,
    session: Option<&Arc<Session>>,
    place: usize,
    clocks: &Clocks,
) -> Result<Approach, Failure> {
    let eras = gateway.fleet.at(place).known_eras(clocks).await?;
    let asker = Asker::of(gateway, call, session);
    if let Asker::Modern(borrower) = &asker
        && !eras.modern
    {
        if let Some(why) = lend::refusal(&call.method) {
            return Ok(Approach::Refused(not_carried(StatusCode::NOT_FOUND, why)));
        }
        // A client that speaks both eras begins with this, and loses nothing by going on in the other one; carried
        // across, it could not be asked anything. This is what the server itself would say: on −32022, which names
        // the revisions, not every client begins a session (rmcp 3.8 gives up).
        if call.method == "server/discover" && borrower.client.takes_questions {
            let why = "the server has sessions only: begin with `initialize`".to_owned();
            return Ok(Approach::Refused(not_carried(StatusCode::NOT_FOUND, why)));
        }
    }
    let mut way = find(gateway, &asker, place, clocks).await?;
    match &mut way {
        Way::Lent(loan) => {
            if call.method == "server/discover" {
                return Ok(Approach::Known(lend::discovered(&loan.greeting.answer)));
            }
            if lend::brings_state(&call.envelope) {
                let why = "this `requestState` is not from here".to_owned();
                return Ok(Approach::Refused(Refusal::unknown_name(why)));
            }
            loan.log_level = lend::log_level(&call.envelope, call.params.meta);
        }
        Way::Lifted(session) => {
            if let Some(why) = lift::refusal(&call.method) {
                return Ok(Approach::Refused(not_carried(StatusCode::OK, why)));
            }
            if call.method == "logging/setLevel" {
                return Ok(match set_log_level(session, &call.envelope) {
                    Ok(()) => Approach::Known(b"{}".to_vec()),
                    Err(refusal) => Approach::Refused(refusal),
                });
            }
        }
        Way::Direct | Way::Linked(..) => {}
    }
    Ok(Approach::By(way))
}

fn not_carried(status: StatusCode, why: String) -> Refusal {
    Refusal::new(status, code::METHOD_NOT_FOUND, Kind::Unknown, why)
}

/// Remembers how much log a legacy client wants, for the servers that are told with every request.
///
/// # Errors
/// There is no such level.
pub(crate) fn set_log_level(session: &Session, request: &Envelope) -> Result<(), Refusal> {
    let level = request.member("level").and_then(|span| members::text(request.raw(span)));
    let level = level.as_deref().and_then(LogLevel::parse);
    session.set_log_level(level.ok_or_else(|| Refusal::unknown_name("there is no such log level".to_owned()))?);
    Ok(())
}

/// Sends a call to a server of the other era, once the `round` of questions before it is answered, and waits for the
/// first that comes back.
///
/// # Cancel safety
/// As [`Upstream::call`].
pub(crate) async fn send(
    gateway: &Arc<Gateway>,
    upstream: &Upstream,
    place: usize,
    call: &mut Call,
    way: &mut Way,
    round: Option<&mut Round>,
    clocks: &Clocks,
) -> Result<Reply, Failure> {
    match way {
        Way::Lifted(session) => {
            let told = call.traced.told().map(|told| traced::member(&told));
            let said = lift::meta(introduction(session), session.log_level(), told.as_deref());
            let answers = match round {
                Some(round) => Some(clocks.within(round.answers()).await??),
                None => None,
            };
            let answers = answers.as_deref();
            call.crossed = Some(lift::request(&call.envelope, call.request_id, &call.params, said, answers));
            forget_mirrored(&mut call.passed);
            // Whoever sends them takes them, and there may be another round.
            let passed = call.passed.clone();
            upstream.mirror(call)?;
            let reply = upstream.call(call, None, clocks).await;
            call.passed = passed;
            reply
        }
        Way::Lent(loan) => {
            upstream.mirror(call)?;
            forget_mirrored(&mut call.passed);
            cross_to_session(call);
            raise_log_level(upstream, loan, clocks).await;
            let reply = upstream.call(call, Some(&loan.link), clocks).await;
            if !is_session_gone(&reply, &loan.link) {
                return reply;
            }
            // The client knows nothing of this session and cannot begin another: the call did not run, and is sent
            // again in a fresh one.
            renew(gateway, loan, place, clocks).await?;
            call.again();
            cross_to_session(call);
            raise_log_level(upstream, loan, clocks).await;
            upstream.call(call, Some(&loan.link), clocks).await
        }
        Way::Direct | Way::Linked(..) => upstream.call(call, way.link(), clocks).await,
    }
}

/// What differs in a modern client's call at a server that has only sessions.
fn cross_to_session(call: &mut Call) {
    let told = call.traced.told().map(|told| traced::member(&told));
    call.crossed = Some(lend::request(&call.envelope, &call.params, told.as_deref()));
}

/// Headers that repeat arguments are of the modern era: a legacy client has none to give, a legacy server none to take.
fn forget_mirrored(passed: &mut HeaderMap) {
    let mirrored: Vec<_> = passed.keys().filter(|name| name.as_str().starts_with("mcp-param-")).cloned().collect();
    for name in mirrored {
        passed.remove(name);
    }
}

fn introduction(session: &Session) -> &[u8] {
    session.introduction().get_or_init(|| lift::introduction(&session.initialize.0))
}

/// Opens a lent session anew at a server that does not know it any more.
async fn renew(gateway: &Arc<Gateway>, loan: &mut Loan, place: usize, clocks: &Clocks) -> Result<(), Failure> {
    loan.session.forget_link(place, &loan.link);
    loan.link = live_link(gateway, &loan.session, place, clocks).await?;
    loan.greeting = loan.session.greeting().expect("a lent session has its greeting before its link");
    Ok(())
}

/// Does the server say that it does not know the session? 404 by the rules; some say 400 and one of these codes.
fn is_session_gone(reply: &Result<Reply, Failure>, link: &Link) -> bool {
    if matches!(link, Link::Http(session) if session.id.is_none()) {
        return false;
    }
    match reply {
        Err(failure) => failure.fault.kind == Kind::SessionGone,
        Ok(Reply::Whole { envelope, status }) if matches!(link, Link::Http(_)) => {
            matches!(*status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST)
                && envelope.error_code().is_some_and(|code| matches!(code, -32001 | -32000 | code::INVALID_REQUEST))
        }
        Ok(_) => false,
    }
}

/// Has the server of a lent session log as much as the call wants. What others wanted stays: a log that is too long is
/// filtered on its way.
async fn raise_log_level(upstream: &Upstream, loan: &Loan, clocks: &Clocks) {
    let Some(wanted) = loan.log_level else { return };
    let greeting = &loan.greeting.answer;
    let capabilities = greeting.member("capabilities").map(|object| Members::of(&greeting.bytes, object));
    if capabilities.is_none_or(|members| members.get("logging").is_none()) {
        return;
    }
    let level = || -> MutexGuard<'_, _> { loan.greeting.log_level.lock().unwrap_or_else(PoisonError::into_inner) };
    if level().is_some_and(|level| level <= wanted) {
        return;
    }
    let params = format!(r#"{{"level":"{}"}}"#, wanted.as_str());
    match upstream.ask("logging/setLevel", params.as_bytes(), Some(&loan.link), None, clocks).await {
        Ok(_) => *level() = Some(wanted),
        Err(failure) => {
            debug!(target: "tollhouse.server", server = %upstream.id, cause = %failure.cause, "the log level was not set");
        }
    }
}

/// Is a log message of the server what its call wants to see?
pub(crate) fn wants_log(loan: &Loan, message: &Envelope) -> bool {
    lend::wants_log(loan.log_level, message)
}

/// The answer of a server of the other era, as the caller's era says it.
///
/// # Errors
/// It asks for something that is not carried across.
pub(crate) fn translated(way: &Way, upstream: &Upstream, call: &Call, answer: &Envelope) -> Result<Envelope, Failure> {
    let code = answer.error_code();
    let edits: Vec<Edit> = match (way, &answer.form) {
        (Way::Lent(loan), Form::Result { result, .. }) => {
            let greeting = &loan.greeting.answer;
            let info = greeting.member("serverInfo").map(|span| greeting.raw(span));
            lend::result(answer, *result, &call.method, info)
        }
        (Way::Lent(_), Form::Error { .. }) if code == Some(lend::URL_ELICITATION) => {
            return Err(Failure::new(Kind::Uncarried, "the server wants its user to visit a URL first"));
        }
        (Way::Lent(_), Form::Error { error, .. }) => {
            let uri = (call.method == "resources/read").then(|| call.name()).flatten();
            lend::error(answer, *error, uri.as_deref())
        }
        (Way::Lifted(_), Form::Result { .. }) if !lift::is_complete(answer) => {
            return Err(Failure::new(Kind::InvalidAnswer, "the server answers in a way that it was not asked for"));
        }
        (Way::Lifted(_), Form::Result { result, .. }) => {
            lift::result(answer, *result, hidden_tools(way, upstream, &call.method, answer))
        }
        (Way::Lifted(_), Form::Error { error, .. }) => lift::error(answer, *error, &call.method),
        _ => Vec::new(),
    };
    Ok(edited(answer, edits))
}

/// The questions in an answer that is none yet, after so many rounds of them; `None` if it is one.
///
/// # Errors
/// There were too many rounds, or these questions cannot be asked.
pub(crate) fn questions(way: &Way, answer: &Envelope, rounds: u32) -> Option<Result<Round, Failure>> {
    let Way::Lifted(session) = way else { return None };
    if !matches!(answer.form, Form::Result { .. }) || !lift::asks(answer) {
        return None;
    }
    if rounds == ROUNDS_MAX {
        let why = format!("the server asks again after {ROUNDS_MAX} rounds of questions");
        return Some(Err(Failure::new(Kind::Uncarried, why)));
    }
    Some(Round::read(session, answer))
}

/// Cuts at the bounds of members keep a message valid; where its depth leaves no room for ours, it stays as it was.
fn edited(message: &Envelope, edits: Vec<Edit>) -> Envelope {
    if edits.is_empty() {
        return message.clone();
    }
    Envelope::parse(spliced(&message.bytes, edits)).unwrap_or_else(|_| message.clone())
}

/// The tools of a page that the caller cannot call by this way.
fn hidden_tools(way: &Way, upstream: &Upstream, method: &str, page: &Envelope) -> Vec<Span> {
    match way {
        Way::Lent(_) if method == "tools/list" => lend::hidden_tools(page),
        Way::Lifted(_) if method == "tools/list" => upstream.unmirrored_tools(page),
        _ => Vec::new(),
    }
}

/// A page of a list, less what the caller cannot call by this way.
pub(crate) fn callable(way: &Way, upstream: &Upstream, method: &str, page: Envelope) -> Envelope {
    let hidden = hidden_tools(way, upstream, method, &page);
    if hidden.is_empty() { page } else { edited(&page, cuts::cut(hidden).collect()) }
}

/// What a question says beside its params.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beside {
    /// The members of a modern caller's `_meta`.
    pub(crate) meta: Option<Bytes>,
    /// The `traceparent` that the server is told.
    pub(crate) told: Option<Traceparent>,
    /// And the `tracestate`, if there is something of ours in it.
    pub(crate) state: Option<Box<str>>,
}

/// Asks a server something on a caller's behalf. `params` are its members without braces.
pub(crate) async fn ask(
    gateway: &Arc<Gateway>,
    way: &mut Way,
    place: usize,
    method: &'static str,
    params: &[u8],
    beside: &Beside,
    clocks: &Clocks,
) -> Result<Envelope, Failure> {
    let upstream = gateway.fleet.at(place);
    let own = match way {
        Way::Direct => beside.meta.as_deref(),
        Way::Lifted(session) => Some(introduction(session)),
        Way::Linked(..) | Way::Lent(_) => None,
    };
    let told = beside.told.map(|told| traced::members(&told, beside.state.as_deref()));
    let meta = [own, told.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(&b',');
    let meta = (!meta.is_empty()).then(|| [b"\"_meta\":{", &meta[..], b"}"].concat());
    let whole = [meta.as_deref(), Some(params)].into_iter().flatten().filter(|members| !members.is_empty());
    let whole = [b"{", &whole.collect::<Vec<_>>().join(&b',')[..], b"}"].concat();
    let asked = upstream.ask(method, &whole, way.link(), beside.told, clocks).await;
    let gone = match &asked {
        Ok(answer) => matches!(answer.error_code(), Some(-32001 | -32000)),
        Err(failure) => failure.fault.kind == Kind::SessionGone,
    };
    match way {
        Way::Lent(loan) if gone => {
            renew(gateway, loan, place, clocks).await?;
            upstream.ask(method, &whole, Some(&loan.link), beside.told, clocks).await
        }
        // MCP 2025-11-25, streamable HTTP: who is answered 404 begins anew.
        Way::Linked(session, link) if gone => {
            *link = new_link(gateway, session, place, link.clone(), clocks).await?;
            upstream.ask(method, &whole, Some(link), beside.told, clocks).await
        }
        _ => asked,
    }
}

/// The result of `initialize` for a session that begins at a server without sessions.
pub(crate) async fn welcome(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    place: usize,
    clocks: &Clocks,
) -> Result<Bytes, Failure> {
    let (mut way, beside) = (lifted(gateway, session, place), Beside::default());
    let discovered = ask(gateway, &mut way, place, "server/discover", b"", &beside, clocks).await?;
    let upstream = gateway.fleet.at(place);
    match discovered.form {
        Form::Result { .. } => Ok(lift::welcome(&discovered, session.version, &upstream.id).into()),
        _ => Err(Failure::new(Kind::Rejected, "the server does not say what it can do")),
    }
}

#[cfg(test)]
mod tests;
