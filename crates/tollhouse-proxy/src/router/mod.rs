//! `/mcp` with several servers: which one a request is for, and what they offer together.
//!
//! A tool is called by `<server>__<tool>`. Such a name is never taken apart: it is looked up in a table that lists
//! were made from, so a tool may be called whatever its server likes.

pub(crate) mod subscriptions;

pub(crate) mod catalogue;

pub(crate) mod lifted;

mod listen;

mod ear;

mod aggregate;

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;
use tollhouse_core::context;
use tollhouse_core::era::Era;
use tollhouse_core::fault::Kind;
use tollhouse_core::record::Outcome;
use tollhouse_core::wire::{Form, Members, members};
use tracing::{debug, warn};

use crate::answer::{self, Refusal, code};
use crate::call::{Call, quote};
use crate::clocks::Clocks;
use crate::crossing;
use crate::exchange::{Message, conclude};
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::kinds::Kind as Listed;
use crate::links::{join, open_link};
use crate::names::Target;
use crate::session::legacy::Session;
use crate::settings::Timeouts;
use crate::upstream::{LISTEN, Upstream};

/// Where a request goes.
pub(crate) enum Routed {
    /// To one server, under its own name for what is asked.
    One { call: Box<Call>, place: usize },
    /// It is answered from what several servers said, and recorded.
    Answered(Message),
    /// It is a subscription to what several servers tell.
    Listen(Box<Call>),
}

/// Routes a request that came to the endpoint of all servers.
pub(crate) async fn route(gateway: &Arc<Gateway>, mut call: Box<Call>, session: Option<&Arc<Session>>) -> Routed {
    let found = match call.method.as_ref() {
        "tools/list" => return list(gateway, call, session, Listed::Tool).await,
        "prompts/list" => return list(gateway, call, session, Listed::Prompt).await,
        "resources/list" => return list(gateway, call, session, Listed::Resource).await,
        "resources/templates/list" => return list(gateway, call, session, Listed::Template).await,
        "server/discover" if call.era() == Era::Modern => {
            let result = aggregate::discover(gateway, &mut call).await;
            return answered(gateway, call, &result);
        }
        "logging/setLevel" if call.era() == Era::Legacy => {
            match aggregate::set_level(gateway, &mut call, session).await {
                Ok(()) => return answered(gateway, call, b"{}"),
                Err(refusal) => Err(refusal),
            }
        }
        LISTEN if call.era() == Era::Modern => return Routed::Listen(call),
        "tools/call" => by_name(gateway, &mut call, session, Listed::Tool).await,
        "prompts/get" => by_name(gateway, &mut call, session, Listed::Prompt).await,
        "resources/read" => by_uri(gateway, &mut call, session).await,
        // MCP 2026-07-28 has removed them.
        "resources/subscribe" | "resources/unsubscribe" if call.era() == Era::Legacy => {
            by_uri(gateway, &mut call, session).await
        }
        "completion/complete" => by_reference(gateway, &mut call, session).await,
        method => Err(Refusal::unknown_method(call.era(), method)),
    };
    match found.and_then(|place| unseal(gateway, &mut call, place).map(|()| place)) {
        Ok(place) => {
            call.aggregated = true;
            Routed::One { call, place }
        }
        Err(refusal) => {
            let bytes = refusal.message(Some(call.raw_id()));
            Routed::Answered(conclude(gateway, call, Message { status: refusal.status, bytes }, refusal.outcome()))
        }
    }
}

fn answered(gateway: &Gateway, call: Box<Call>, result: &[u8]) -> Routed {
    let bytes = answer::result(call.raw_id(), result);
    Routed::Answered(conclude(gateway, call, Message { status: StatusCode::OK, bytes }, Outcome::Ok))
}

/// Opens a link to every server that takes one; the result of `initialize`.
pub(crate) async fn open_all(gateway: &Arc<Gateway>, session: &Arc<Session>) -> Bytes {
    let roster = gateway.fleet.roster();
    let opening: Vec<_> = roster
        .iter()
        .map(|(place, _)| {
            let (gateway, session, tasks) = (gateway.clone(), session.clone(), gateway.tasks.clone());
            let opening = async move { (place, open_at(&gateway, &session, place).await) };
            tasks.spawn(context::carried(opening))
        })
        .collect();
    let mut results = Vec::new();
    for opened in opening {
        let Ok((place, opened)) = opened.await else { continue };
        match opened {
            Ok(result) => results.push(result),
            // A server that is down is missing from the lists until it is back; the others are not affected.
            Err(failure) => {
                if !gateway.fleet.at(place).is_away() {
                    session.note_unopened(place);
                }
                left_out(gateway, place, &failure, "not yet part of a session");
            }
        }
    }
    aggregate::initialize_result(session.version, &results)
}

/// Begins a session at one of the servers; the result of its `initialize`, or what stands for it.
async fn open_at(gateway: &Arc<Gateway>, session: &Arc<Session>, place: usize) -> Result<Bytes, Failure> {
    let upstream = gateway.fleet.at(place);
    upstream.joins(Era::Legacy).await?;
    match open_link(gateway, session, place).await {
        Ok(opened) => {
            let Form::Result { result, .. } = opened.answer.form else {
                unreachable!("an accepted session has a result")
            };
            let result = opened.answer.slice(result);
            join(gateway, session, place, opened);
            Ok(result)
        }
        Err(failure) if failure.fault.kind == Kind::EraUnsupported => {
            crossing::welcome(gateway, session, place, &question_clocks(&upstream)).await
        }
        Err(failure) => Err(failure),
    }
}

async fn list(gateway: &Arc<Gateway>, mut call: Box<Call>, session: Option<&Arc<Session>>, kind: Listed) -> Routed {
    let [cursor] = call.envelope.pick_params(["cursor"]).unwrap_or([None]);
    if cursor.is_some() {
        // All pages of all servers were given at once; there is no further one.
        let refusal = Refusal::unknown_name("this cursor is not from this list".to_owned());
        let bytes = refusal.message(Some(call.raw_id()));
        return Routed::Answered(conclude(gateway, call, Message { status: refusal.status, bytes }, refusal.outcome()));
    }
    let merged = aggregate::list(gateway, &mut call, session, kind).await;
    answered(gateway, call, &merged)
}

/// The server of a tool or prompt. An unknown name is looked for once more in fresh lists.
async fn by_name(
    gateway: &Arc<Gateway>,
    call: &mut Call,
    session: Option<&Arc<Session>>,
    kind: Listed,
) -> Result<usize, Refusal> {
    let find = |call: &Call| gateway.names.find(kind, &call.name().unwrap_or_default());
    let mut found = find(call);
    if found.is_none() {
        aggregate::list(gateway, call, session, kind).await;
        found = find(call);
    }
    let Some(Target { place, local }) = found else {
        let name = call.name().unwrap_or_default();
        return Err(Refusal::unknown_name(format!("{} `{name}` is not offered here", kind.word())));
    };
    let renamed = call.name().as_deref() != Some(&*local);
    call.local_name = renamed.then_some(local);
    Ok(place)
}

/// The server of a resource; see [`crate::names::Names::owner`].
async fn by_uri(gateway: &Arc<Gateway>, call: &mut Call, session: Option<&Arc<Session>>) -> Result<usize, Refusal> {
    let uri = call.name().unwrap_or_default().into_owned();
    if let Some(place) = gateway.names.owner(&uri) {
        return Ok(place);
    }
    list_resources(gateway, call, session).await;
    gateway.names.owner(&uri).ok_or_else(|| {
        let mut refusal = Refusal::unknown_name(format!("resource `{uri}` is not offered here"));
        if call.era() == Era::Legacy {
            refusal.code = code::RESOURCE_NOT_FOUND;
        }
        refusal.data = Some(format!("\"uri\":{}", String::from_utf8_lossy(&quote(&uri))));
        refusal
    })
}

/// Asks for all resources and templates anew, to learn whose they are.
async fn list_resources(gateway: &Arc<Gateway>, call: &mut Call, session: Option<&Arc<Session>>) {
    aggregate::list(gateway, call, session, Listed::Resource).await;
    aggregate::list(gateway, call, session, Listed::Template).await;
}

/// The server of a completion: that of the prompt or template it completes.
async fn by_reference(
    gateway: &Arc<Gateway>,
    call: &mut Call,
    session: Option<&Arc<Session>>,
) -> Result<usize, Refusal> {
    let missing = || Refusal::malformed(code::INVALID_PARAMS, "`completion/complete` needs a `ref`");
    let [reference] = call.envelope.pick_params(["ref"]).map_err(|_| missing())?;
    let members = Members::of(&call.envelope.bytes, reference.ok_or_else(missing)?);
    let (name, uri) = (members.get("name"), members.get("uri"));
    call.params.subject = Some(name.or(uri).ok_or_else(missing)?);
    if name.is_some() {
        return by_name(gateway, call, session, Listed::Prompt).await;
    }
    let uri = uri.and_then(|span| members::text(call.envelope.raw(span))).unwrap_or_default().into_owned();
    match gateway.names.template(&uri) {
        Some(place) => Ok(place),
        None => by_uri(gateway, call, session).await,
    }
}

/// Gives a retry the state back that its server gave it, in place of the sealed one.
fn unseal(gateway: &Gateway, call: &mut Call, place: usize) -> Result<(), Refusal> {
    if call.era() != Era::Modern {
        return Ok(());
    }
    let Some(sealed) = call.params.state.filter(|span| call.envelope.raw(*span) != b"null") else { return Ok(()) };
    match gateway.seal.open(call.envelope.raw(sealed), call, &gateway.fleet.at(place).id) {
        Ok(own) => {
            call.state = Some(Box::new((sealed, own)));
            Ok(())
        }
        Err(broken) => {
            let (status, kind) = (StatusCode::OK, Kind::Malformed);
            Err(Refusal::new(status, code::INVALID_PARAMS, kind, broken.to_string()))
        }
    }
}

/// The clocks of a question that several servers are asked: a server has as long for it as for its start, since all
/// wait for the slowest.
fn question_clocks(upstream: &Upstream) -> Clocks {
    let Timeouts { start, idle, .. } = upstream.timeouts;
    Clocks::start(Instant::now(), &Timeouts { idle: idle.min(start), hard: start, ..upstream.timeouts })
}

/// Why a server is left out, said where it is left out.
fn left_out(gateway: &Gateway, place: usize, cause: &Failure, of_what: &'static str) {
    let server = gateway.fleet.at(place);
    if server.is_away() {
        // That it is away was said when it went.
        debug!(target: "tollhouse.server", server = %server.id, cause = %cause.cause, "{of_what}");
    } else {
        warn!(target: "tollhouse.server", server = %server.id, cause = %cause.cause, "{of_what}");
    }
}
