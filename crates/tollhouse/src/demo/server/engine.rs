//! Answers requests for one program, whatever carried them, in the era they are written in.
//!
//! Path: `stdio`, `http` → **`engine`** → a tool of the table.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tollhouse_core::era::{Era, Version};

use super::message::{CLIENT_CAPABILITIES, Fault, PROTOCOL_VERSION, Request, SERVER_INFO};
use super::program::{Answer, Args, Card, Program, Refused, Resource, Resources, Tool, Work};

/// The tables never change while a process lives; an hour spares a polling client most of its questions.
const LISTS_FRESH: Duration = Duration::from_hours(1);
/// A note may be gone the next moment.
const RESOURCES_FRESH: Duration = Duration::ZERO;

/// Tells the caller something before the answer. It may be lost when the caller does not read.
pub(super) trait Notify: Send + Sync {
    /// Sends one notification.
    fn notify(&self, message: Value);
}

/// Answers one request.
///
/// # Cancel safety
/// Dropped half-way, a slow tool stops between two steps; a quick one has happened or not.
pub(super) async fn answer<S: Program>(
    program: &S,
    era: Era,
    request: &Request,
    notify: &impl Notify,
) -> Result<Value, Fault> {
    match era {
        Era::Legacy => legacy(program, request, notify).await,
        Era::Modern => modern(program, request, notify).await,
    }
}

/// The revision an `initialize` is answered with: the one asked for if it is a legacy one, else the last of those.
pub(super) fn negotiate(request: &Request) -> Version {
    let asked = request.params.get("protocolVersion").and_then(Value::as_str).and_then(Version::parse);
    asked.filter(|version| version.era() == Era::Legacy).unwrap_or(Version::LATEST_LEGACY)
}

async fn legacy<S: Program>(program: &S, request: &Request, notify: &impl Notify) -> Result<Value, Fault> {
    match request.method.as_str() {
        "initialize" => Ok(json!({
            "protocolVersion": negotiate(request).as_str(),
            "capabilities": capabilities::<S>(),
            "serverInfo": info(&S::CARD),
            "instructions": S::CARD.instructions,
        })),
        "ping" => Ok(json!({})),
        _ => Ok(shared(program, request, notify).await?.0),
    }
}

async fn modern<S: Program>(program: &S, request: &Request, notify: &impl Notify) -> Result<Value, Fault> {
    check_meta(request)?;
    let (mut result, fresh) = match request.method.as_str() {
        "server/discover" => {
            let card = json!({
                "supportedVersions": [Version::MODERN.as_str()],
                "capabilities": capabilities::<S>(),
                "instructions": S::CARD.instructions,
            });
            (card, Some(LISTS_FRESH))
        }
        _ => shared(program, request, notify).await?,
    };
    result["resultType"] = json!("complete");
    result["_meta"] = json!({SERVER_INFO: info(&S::CARD)});
    if let Some(fresh) = fresh {
        result["ttlMs"] = json!(u64::try_from(fresh.as_millis()).expect("at most an hour"));
        result["cacheScope"] = json!(if fresh.is_zero() { "private" } else { "public" });
    }
    Ok(result)
}

/// MCP 2026-07-28, basic: every request says which revision it is written in and what its client can do.
fn check_meta(request: &Request) -> Result<(), Fault> {
    match request.meta(PROTOCOL_VERSION) {
        Some(Value::String(version)) if version == Version::MODERN.as_str() => {}
        Some(Value::String(version)) => return Err(Fault::version(version)),
        _ => return Err(Fault::incomplete(format!("`_meta` lacks the text `{PROTOCOL_VERSION}`"))),
    }
    match request.meta(CLIENT_CAPABILITIES) {
        Some(Value::Object(_)) => Ok(()),
        _ => Err(Fault::incomplete(format!("`_meta` lacks the object `{CLIENT_CAPABILITIES}`"))),
    }
}

/// What both eras ask for alike: the result, and how long a modern client may keep it if it may.
async fn shared<S: Program>(
    program: &S,
    request: &Request,
    notify: &impl Notify,
) -> Result<(Value, Option<Duration>), Fault> {
    let method = request.method.as_str();
    if method == "tools/list" {
        first_page(request)?;
        let tools: Vec<Value> = S::TOOLS.iter().map(describe).collect();
        return Ok((json!({"tools": tools}), Some(LISTS_FRESH)));
    }
    if method == "tools/call" {
        return Ok((call(program, request, notify).await?, None));
    }
    let Some(resources) = S::RESOURCES else { return Err(Fault::unknown_method(method)) };
    match method {
        "resources/list" => {
            first_page(request)?;
            let listed: Vec<Value> = (resources.list)(program).iter().map(list_entry).collect();
            Ok((json!({"resources": listed}), Some(RESOURCES_FRESH)))
        }
        "resources/templates/list" => {
            first_page(request)?;
            Ok((json!({"resourceTemplates": [template(&resources)]}), Some(LISTS_FRESH)))
        }
        "resources/read" => Ok((read(program, &resources, request)?, Some(RESOURCES_FRESH))),
        _ => Err(Fault::unknown_method(method)),
    }
}

/// Every list fits one page, so no cursor was ever given out.
fn first_page(request: &Request) -> Result<(), Fault> {
    if request.params.contains_key("cursor") { Err(Fault::params("`cursor` was not given out here")) } else { Ok(()) }
}

async fn call<S: Program>(program: &S, request: &Request, notify: &impl Notify) -> Result<Value, Fault> {
    let name = request.name().ok_or_else(|| Fault::params("`name` must be a text"))?;
    let tool = S::TOOLS.iter().find(|tool| tool.name == name);
    let tool = tool.ok_or_else(|| Fault::params(format!("there is no tool `{name}`")))?;
    let none = Map::new();
    let arguments = match request.params.get("arguments") {
        None => &none,
        Some(Value::Object(arguments)) => arguments,
        Some(_) => return Err(Fault::params("`arguments` must be an object")),
    };
    // MCP 2025-11-25, server/tools: wrong arguments are the tool's error, so that the model reads them and tries again.
    Ok(match check_names(tool, arguments).and_then(|()| (tool.run)(program, &Args(arguments))) {
        Ok(Work::Done(answer)) => done(answer),
        Ok(Work::Slow { steps, pause, answer }) => {
            walk(&steps, pause, request, notify).await;
            done(answer)
        }
        Err(Refused(why)) => json!({"content": [{"type": "text", "text": why}], "isError": true}),
    })
}

fn check_names<S>(tool: &Tool<S>, arguments: &Map<String, Value>) -> Result<(), Refused> {
    let schema = (tool.input)();
    match arguments.keys().find(|name| schema["properties"].get(name.as_str()).is_none()) {
        Some(name) => Err(Refused(format!("there is no argument `{name}`"))),
        None => Ok(()),
    }
}

fn done(answer: Answer) -> Value {
    let mut result = json!({"content": [{"type": "text", "text": answer.text}], "isError": false});
    result["structuredContent"] = answer.value;
    result
}

async fn walk(steps: &[String], pause: Duration, request: &Request, notify: &impl Notify) {
    for (at, step) in (1_u64..).zip(steps) {
        tokio::time::sleep(pause).await;
        if let Some(token) = request.progress_token() {
            let params = json!({"progressToken": token, "progress": at, "total": steps.len(), "message": step});
            notify.notify(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
        }
    }
}

fn read<S: Program>(program: &S, resources: &Resources<S>, request: &Request) -> Result<Value, Fault> {
    let uri = request.name().ok_or_else(|| Fault::params("`uri` must be a text"))?;
    let found = (resources.read)(program, uri)
        .ok_or_else(|| Fault { data: Some(json!({"uri": uri})), ..Fault::params("there is no such resource") })?;
    Ok(json!({"contents": [{"uri": found.uri, "mimeType": "text/plain", "text": found.text}]}))
}

fn describe<S>(tool: &Tool<S>) -> Value {
    json!({
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": (tool.input)(),
        "outputSchema": (tool.output)(),
        "annotations": tool.effect.annotations(),
    })
}

fn list_entry(resource: &Resource) -> Value {
    json!({
        "uri": resource.uri,
        "name": resource.uri,
        "title": resource.title,
        "mimeType": "text/plain",
        "size": resource.text.len(),
    })
}

fn template<S>(resources: &Resources<S>) -> Value {
    json!({
        "uriTemplate": resources.template,
        "name": resources.template,
        "description": resources.description,
        "mimeType": "text/plain",
    })
}

fn capabilities<S: Program>() -> Value {
    let mut capabilities = json!({"tools": {}});
    if S::RESOURCES.is_some() {
        capabilities["resources"] = json!({});
    }
    capabilities
}

fn info(card: &Card) -> Value {
    json!({"name": card.name, "title": card.title, "version": env!("CARGO_PKG_VERSION")})
}
