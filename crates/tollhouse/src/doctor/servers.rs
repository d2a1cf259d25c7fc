//! Each server: asked through a gateway that runs, or through one that is started for the purpose.

use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tollhouse_core::era::Era;
use tollhouse_core::ids::ServerId;
use tollhouse_proxy::handle::{Handle, ServerSnapshot};
use tollhouse_proxy::record;
use tollhouse_web::{Report, Server, State};

use super::{Code, Finding, Say, Word, counted};
use crate::client::peer::{Outcome, Peer};
use crate::config::{Loaded, without_controls};

/// A server that needs longer is worth a word: clients give up after 10 s to 60 s.
const SLOW: Duration = Duration::from_secs(5);
/// How often is looked whether a server is there.
const LOOK: Duration = Duration::from_millis(20);
/// What a start may take beyond its own clock: the process has to end.
const GRACE: Duration = Duration::from_secs(5);
/// For the list of all tools.
const PATIENCE: Duration = Duration::from_secs(30);
/// Nobody reads so many.
const PAGES_MAX: usize = 100;

/// The tools of all servers.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// What agents know them by.
    pub(super) names: Vec<String>,
    /// How many the servers have.
    pub(super) offered: usize,
}

/// Says how the servers of a running gateway stand; gives all tools.
pub(super) async fn told(report: &Report, listen: SocketAddr, say: Say<'_>) -> Tools {
    for server in &report.servers {
        let Server { id, state, reason, .. } = server;
        match state {
            State::Failed => down(id, &server.transport, reason.as_deref(), say),
            State::Connected | State::Idle | State::Starting => {
                let era = server.era.as_deref().map(|era| format!(", {}", eras(era))).unwrap_or_default();
                let tools = server.tools.and_then(|tools| usize::try_from(tools).ok());
                let tools = tools.map(|tools| format!(", {}", counted(tools, "tool"))).unwrap_or_default();
                say(Word::Well(format!("server `{id}`"), format!("{}{era}{tools}", state.as_str())));
            }
        }
    }
    let eras = report.servers.iter().map(|server| server.era.as_deref());
    let offered = report.servers.iter().filter_map(|server| usize::try_from(server.tools?).ok()).sum();
    Tools { names: tools(report.listen.unwrap_or(listen), &in_eras(eras)).await, offered }
}

/// Starts the servers, but for those whose program is missing, and says how that went; gives all tools.
pub(super) async fn started(loaded: &Loaded, missing: &[ServerId], say: Say<'_>) -> Tools {
    let mut settings = loaded.settings.clone();
    settings.servers.retain(|server| !missing.contains(&server.id));
    if settings.servers.is_empty() {
        return Tools::default();
    }
    // What is asked here is nobody's call.
    let (recorder, _records) = record::channel(&settings.limits);
    let begun = Instant::now();
    let handle = match Handle::start(&settings, recorder) {
        Ok(handle) => handle,
        Err(error) => {
            let finding = Finding::error(Code::ServerDown, "servers", "none can be started");
            say(Word::Ill(finding.detail(format!("{:#}", anyhow::Error::new(error)))));
            return Tools::default();
        }
    };
    let last = settings.servers.iter().map(|server| server.timeouts.start.max(server.timeouts.connect)).max();
    let end = begun + last.unwrap_or_default() + GRACE;
    let mut open: Vec<String> = settings.servers.iter().map(|server| server.id.to_string()).collect();
    while !open.is_empty() {
        let late = Instant::now() >= end;
        for server in handle.snapshot().servers {
            let settled = server.state != "connecting" || late;
            if settled && let Some(at) = open.iter().position(|id| *id == server.id) {
                open.remove(at);
                answered(&server, begun.elapsed(), say);
            }
        }
        sleep(LOOK).await;
    }
    let listening = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.ok()?;
        handle.listen(listener).ok()
    };
    let servers = handle.snapshot().servers;
    let names = match listening.await {
        Some(listen) => tools(listen, &in_eras(servers.iter().map(|server| server.eras))).await,
        None => Vec::new(),
    };
    handle.drain().await;
    Tools { names, offered: servers.iter().filter_map(|server| server.tools).sum() }
}

/// Says how one server answered.
fn answered(server: &ServerSnapshot, after: Duration, say: Say<'_>) {
    let ServerSnapshot { id, state, reason, .. } = server;
    match *state {
        "connected" if after > SLOW => {
            let found = format!("it took {:.1} s to start", after.as_secs_f64());
            let hint = "install its package, so that it is not looked for at each start, or raise `timeouts.start`";
            say(Word::Ill(Finding::warning(Code::ServerSlow, format_args!("server `{id}`"), found).hint(hint)));
        }
        "connected" => {
            let eras = server.eras.map(|era| format!(", {}", eras(era))).unwrap_or_default();
            let tools = server.tools.map(|tools| format!(", {}", counted(tools, "tool"))).unwrap_or_default();
            let how = format!("there after {:.1} s{eras}{tools}", after.as_secs_f64());
            say(Word::Well(format!("server `{id}`"), how));
        }
        "connecting" => down(id, server.transport, Some("it does not answer"), say),
        _ => down(id, server.transport, reason.as_deref(), say),
    }
}

fn eras(word: &str) -> &str {
    if word == "both" { "both eras" } else { word }
}

/// Says that a server is down. Its last words are lines of their own.
fn down(id: &str, transport: &str, reason: Option<&str>, say: Say<'_>) {
    let reason = reason.unwrap_or("it is not connected");
    let (what, words) = reason.split_once("; its last words: ").unwrap_or((reason, ""));
    let lines =
        words.split(" | ").filter(|line| !line.trim().is_empty()).map(|line| format!("│ {}", without_controls(line)));
    let mut finding = Finding::error(Code::ServerDown, format_args!("server `{id}`"), without_controls(what));
    finding.detail.extend(lines);
    say(Word::Ill(finding.hint(if transport == "stdio" {
        "try its command in a shell; `tollhouse list` shows it"
    } else {
        "ask its URL by `curl -i`; `tollhouse list` shows it"
    })));
}

/// The eras in which every server is reached: the modern one, and the other for those that know it alone, since there
/// each conversation starts a process.
fn in_eras<'a>(servers: impl Iterator<Item = Option<&'a str>>) -> Vec<Era> {
    let known: Vec<&str> = servers.flatten().collect();
    let modern = known.iter().any(|era| *era != "legacy").then_some(Era::Modern);
    modern.into_iter().chain(known.contains(&"legacy").then_some(Era::Legacy)).collect()
}

/// The names of all tools as agents see them in these eras.
async fn tools(listen: SocketAddr, eras: &[Era]) -> Vec<String> {
    let Ok(url) = format!("http://{listen}/mcp").parse::<Uri>() else { return Vec::new() };
    let mut all: Vec<String> = Vec::new();
    for &era in eras {
        let Ok(mut peer) = Peer::new(&url, era, "tollhouse-doctor", PATIENCE) else { continue };
        if era == Era::Legacy && peer.ask("initialize", json!({})).await.outcome != Outcome::Answered {
            continue;
        }
        let found = list(&mut peer).await;
        // Nothing depends on the goodbye.
        let _ = peer.leave().await;
        // Twice in one list is a finding, once in each is one tool.
        let more: Vec<String> = found.into_iter().filter(|name| !all.contains(name)).collect();
        all.extend(more);
    }
    all
}

async fn list(peer: &mut Peer) -> Vec<String> {
    let mut names = Vec::new();
    let mut params = json!({});
    for _ in 0..PAGES_MAX {
        let result = peer.ask("tools/list", params).await.result;
        let page = result["tools"].as_array().into_iter().flatten();
        names.extend(page.filter_map(|tool| tool["name"].as_str()).map(str::to_owned));
        match &result["nextCursor"] {
            Value::String(cursor) => params = json!({"cursor": cursor}),
            _ => break,
        }
    }
    names
}
