//! One client at work: a process that plays a list of scenarios one after another, because to start an interpreter
//! takes longer than to play.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::super::Site;
use super::super::peer;
use super::cast::Client;

/// All plays of one client: a minute on two idle cores, and each play has a limit of its own.
const BATCH_LIMIT: Duration = Duration::from_mins(6);

/// What one play came to: a transcript, or why there is none.
pub(super) type Played = Result<Value, String>;

/// Where a client finds a server.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Streamable HTTP.
    Url(String),
    /// HTTP+SSE.
    Sse(String),
    /// A program to start, and its environment.
    Command(Vec<String>, BTreeMap<&'static str, String>),
}

/// One scenario at one place.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) steps: Vec<Value>,
}

/// Plays all; answers with what each came to.
pub(super) fn play(
    site: &Site<'_>,
    client: &Client,
    mut command: Command,
    roots: &Path,
    plays: &[Play],
) -> anyhow::Result<BTreeMap<String, Played>> {
    let task = site.scratch.path().join(format!("{}.task", client.name));
    let plays_told: Vec<Value> = plays.iter().map(|play| told(client, play, roots)).collect();
    fs::write(&task, json!({ "mode": client.mode(), "quiet": client.quiet, "plays": plays_told }).to_string())
        .with_context(|| format!("write {}", task.display()))?;
    command.arg(&task);
    let printed = peer::run(command, &site.logs.join(client.name), BATCH_LIMIT)?.well()?;
    let mut played = BTreeMap::new();
    for line in printed.lines() {
        let mut line: Value =
            serde_json::from_str(line).with_context(|| format!("read `{line}` of {}", client.name))?;
        let name = line["name"].as_str().context("find the name of a play")?.to_owned();
        let came = match line["failure"].as_str() {
            Some(failure) => Err(failure.to_owned()),
            None => Ok(line["transcript"].take()),
        };
        played.insert(name, came);
    }
    ensure!(played.len() == plays.len(), "{} played {} of {}", client.name, played.len(), plays.len());
    Ok(played)
}

fn told(client: &Client, play: &Play, roots: &Path) -> Value {
    let brief = |step: &&Value| !client.brief || step["brief"] == true;
    let steps: Vec<&Value> = play.steps.iter().filter(brief).collect();
    let mut told = json!({ "name": play.name, "steps": steps, "roots": format!("file://{}", roots.display()) });
    match &play.place {
        Place::Url(url) => told["url"] = json!(url),
        Place::Sse(url) => told["sse"] = json!(url),
        Place::Command(words, env) => {
            told["command"] = json!(words);
            told["env"] = json!(env);
        }
    }
    told
}

impl Place {
    /// As a client's configuration has it.
    pub(super) fn entry(&self) -> Value {
        match self {
            Self::Url(url) => json!({ "type": "http", "url": url }),
            Self::Sse(url) => json!({ "type": "sse", "url": url }),
            Self::Command(words, env) => json!({ "command": words.first(), "args": words.get(1..), "env": env }),
        }
    }
}
