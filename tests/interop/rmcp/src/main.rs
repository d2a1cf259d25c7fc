//! Plays scenarios with the client of crates.io `rmcp` and prints what came of them, one line of JSON each.
//!
//! ```text
//! tollhouse-interop-rmcp TASK
//! ```
//!
//! The task is a file: `{"mode": "legacy" | "auto" | "modern", "quiet": whether it can be asked nothing, "plays":
//! [{"name", "url" or "command" and "env", "steps", "roots"}]}`.
#![expect(deprecated, reason = "roots and sampling are so in the newest revision, and alive in all others")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rmcp::model::{
    ClientConfig, CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams, ElicitResult, ErrorData,
    ListRootsResult, ProgressNotificationParam, ProtocolVersion,
};
use rmcp::service::{NotificationContext, RequestContext, RunningService, ServiceError};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt as _, RoleClient};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One play: connecting, every step, leaving.
const PLAY_LIMIT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Task {
    mode: String,
    quiet: bool,
    plays: Vec<Play>,
}

#[derive(Deserialize)]
struct Play {
    name: String,
    url: Option<String>,
    command: Option<Vec<String>>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    steps: Vec<Value>,
    roots: String,
}

/// The client's answers to what a server asks, and what it was asked and told.
#[derive(Clone, Default)]
struct Client {
    quiet: bool,
    roots: String,
    asked: Arc<Mutex<Vec<Value>>>,
    progress: Arc<Mutex<Vec<Value>>>,
}

impl ClientHandler for Client {
    async fn create_message(
        &self,
        params: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        self.asked(json!({ "sampling": params }));
        answer(json!({
            "role": "assistant", "content": { "type": "text", "text": "Paris" }, "model": "none", "stopReason": "endTurn"
        }))
    }

    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        answer(json!({ "roots": [{ "uri": self.roots, "name": "interop" }] }))
    }

    async fn create_elicitation(
        &self,
        params: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        self.asked(json!({ "elicitation": params }));
        answer(json!({ "action": "accept", "content": { "name": "Ada", "check": true, "integer": 7 } }))
    }

    async fn on_progress(&self, told: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.progress.lock().expect("nobody panics with it").push(json!([told.progress, told.total, told.message]));
    }

    fn get_info(&self) -> ClientConfig {
        let asked = json!({ "sampling": {}, "elicitation": {}, "roots": {} });
        let config = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": if self.quiet { json!({}) } else { asked },
            "clientInfo": { "name": "interop-rmcp", "version": "1" }
        });
        serde_json::from_value(config).expect("it is what the client says of itself")
    }
}

impl Client {
    fn asked(&self, what: Value) {
        self.asked.lock().expect("nobody panics with it").push(what);
    }
}

fn answer<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).context("find the task")?;
    let task: Task = serde_json::from_slice(&std::fs::read(path)?).context("read the task")?;
    // On one thread, progress is told in the order in which it came, and before the answer.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for play in &task.plays {
        let played = runtime.block_on(async { tokio::time::timeout(PLAY_LIMIT, take(play, &task)).await });
        let played = played.unwrap_or_else(|late| Err(late.into()));
        let line = match played {
            Ok(transcript) => json!({ "name": play.name, "transcript": transcript }),
            Err(error) => json!({ "name": play.name, "failure": format!("{error:#}") }),
        };
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok(())
}

async fn take(play: &Play, task: &Task) -> anyhow::Result<Value> {
    let client = Client { quiet: task.quiet, roots: play.roots.clone(), ..Client::default() };
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    let lifecycle = match task.mode.as_str() {
        "legacy" => ClientLifecycleMode::Initialize,
        "auto" => ClientLifecycleMode::Auto { preferred_versions, legacy_version: None },
        "modern" => ClientLifecycleMode::Discover { preferred_versions },
        other => bail!("there is no mode `{other}`"),
    };
    let service = match (&play.url, &play.command) {
        (Some(url), _) => {
            let transport = StreamableHttpClientTransport::from_uri(url.as_str());
            client.clone().serve_with_lifecycle(transport, lifecycle).await?
        }
        (None, Some(words)) => {
            let (program, words) = words.split_first().context("find the program")?;
            let mut command = tokio::process::Command::new(program);
            command.args(words).envs(&play.env);
            client.clone().serve_with_lifecycle(TokioChildProcess::new(command)?, lifecycle).await?
        }
        (None, None) => bail!("this client reaches servers by URL or command alone"),
    };
    let met = serde_json::to_value(service.peer_info().as_deref())?;
    let mut steps = Vec::new();
    for step in &play.steps {
        client.progress.lock().expect("nobody panics with it").clear();
        let mut taken = json!({ "step": step });
        match call(&service, step).await {
            Ok(result) => taken["result"] = result,
            Err(ServiceError::McpError(error)) => taken["error"] = serde_json::to_value(error)?,
            Err(other) => return Err(other).with_context(|| step.to_string()),
        }
        taken["progress"] = json!(*client.progress.lock().expect("nobody panics with it"));
        steps.push(taken);
    }
    let server = json!({
        "version": met["protocolVersion"],
        "info": met["serverInfo"],
        "capabilities": met["capabilities"],
        "instructions": met["instructions"],
    });
    service.cancel().await?;
    let asked = client.asked.lock().expect("nobody panics with it").clone();
    Ok(json!({ "server": server, "steps": steps, "asked": asked }))
}

async fn call(service: &RunningService<RoleClient, Client>, step: &Value) -> Result<Value, ServiceError> {
    let arguments = |name: &str| params(json!({ "name": step[name], "arguments": step["arguments"] }));
    Ok(match kind(step) {
        "list" => match step["list"].as_str() {
            Some("tools") => plain(service.list_tools(None).await?),
            Some("prompts") => plain(service.list_prompts(None).await?),
            Some("resources") => plain(service.list_resources(None).await?),
            _ => plain(service.list_resource_templates(None).await?),
        },
        "call" => plain(service.call_tool(from(arguments("call"))).await?),
        "read" => plain(service.read_resource(from(json!({ "uri": step["read"] }))).await?),
        "prompt" => plain(service.get_prompt(from(arguments("prompt"))).await?),
        "complete" => {
            let context = step.get("context").map(|context| json!({ "arguments": context }));
            let wanted = json!({ "ref": step["complete"], "argument": step["argument"], "context": context });
            plain(service.complete(from(params(wanted))).await?)
        }
        "level" => plain(service.set_level(from(json!({ "level": step["level"] }))).await?),
        "subscribe" => plain(service.subscribe(from(json!({ "uri": step["subscribe"] }))).await?),
        "unsubscribe" => plain(service.unsubscribe(from(json!({ "uri": step["unsubscribe"] }))).await?),
        _ => panic!("there is no such step: {step}"),
    })
}

fn kind(step: &Value) -> &'static str {
    const KINDS: [&str; 8] = ["list", "call", "read", "prompt", "complete", "level", "subscribe", "unsubscribe"];
    KINDS.into_iter().find(|kind| step.get(kind).is_some()).unwrap_or_default()
}

/// Without members that the step does not name.
fn params(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    value
}

fn from<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a step holds what its method takes")
}

fn plain(result: impl Serialize) -> Value {
    serde_json::to_value(result).expect("a result came as JSON")
}
