//! Real clients at real servers, directly and through the gateway: the same calls, and answers that are equal as JSON.
//!
//! What is called is in `tests/interop/scenarios`, one file per server; how a client calls it, in
//! `tests/interop/clients`. A client prints a transcript: what it learnt of the server, what each step gave, which
//! progress was told, and what the server asked of it.

mod transcript;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use self::transcript::Volatile;
use super::gateway::{self, Gateway};
use super::peer::{self, Peer};
use super::{Site, tools};

/// A scenario takes 2 s, and so does the start of a Python client on a loaded machine.
const PLAY_LIMIT: Duration = Duration::from_mins(1);

/// For a server to listen.
const START_LIMIT: Duration = Duration::from_secs(20);

const SDK_V1: &str = "@modelcontextprotocol/sdk@1.32.2";
const SDK_V2: &str = "@modelcontextprotocol/client@2.4.0";
const EVERYTHING: &str = "@modelcontextprotocol/server-everything@2026.8.31";
const SDK_PYTHON: &str = "mcp==2.3.0";
const TIME: &str = "mcp-server-time==2026.10.19";

/// A client, and how it finds out what a server speaks.
struct Client {
    name: &'static str,
    script: &'static str,
    mode: &'static str,
}

const CLIENTS: &[Client] = &[
    Client { name: "python-auto", script: "client.py", mode: "auto" },
    Client { name: "python-legacy", script: "client.py", mode: "legacy" },
    Client { name: "typescript-v1", script: "v1.mjs", mode: "legacy" },
    Client { name: "typescript-v2", script: "v2.mjs", mode: "legacy" },
    Client { name: "typescript-v2-auto", script: "v2.mjs", mode: "auto" },
];

/// A server as it is reached without the gateway.
struct Server {
    name: &'static str,
    scenario: PathBuf,
    /// Its URL, or the words that start it.
    place: Place,
}

enum Place {
    Url(String),
    Command(Vec<String>),
}

/// Lets every client play at every server: directly, then over each of the gateway's two transports.
pub(super) fn take(site: &Site<'_>) -> anyhow::Result<()> {
    let stage = Stage::set(site)?;
    let (_everything, servers) = stage.servers()?;
    let entries: serde_json::Map<String, Value> =
        servers.iter().map(|server| (server.name.to_owned(), server.place.entry())).collect();
    let gateway = Gateway::start(site, "all", &Value::Object(entries))?;
    let mut differing = Vec::new();
    for server in &servers {
        let volatile = Volatile::read(&server.scenario)?;
        // Alone, so that its tools keep their names.
        let alone = gateway::stdio(site, server.name, &json!({ server.name: server.place.entry() }))?;
        let through = [("http", Place::Url(gateway.url(server.name))), ("stdio", Place::Command(alone))];
        for client in CLIENTS {
            let cell = format!("{} at {}", client.name, server.name);
            let direct = stage.play(client, server, "direct", &server.place)?;
            ensure!(transcript::is_whole(&direct), "{cell}: without the gateway, no step succeeds");
            for (transport, place) in &through {
                let started = Instant::now();
                let played = stage.play(client, server, transport, place);
                let found = played.map(|played| volatile.compare(&direct, &played));
                let found = found.unwrap_or_else(|error| vec![format!("{error:#}")]);
                let word = if found.is_empty() { "equal" } else { "DIFFERENT" };
                let seconds = started.elapsed().as_secs_f64();
                eprintln!("  {:<18} {:<16} over {transport:<5}  {word}  {seconds:.1} s", client.name, server.name);
                for difference in &found {
                    eprintln!("    {difference}");
                }
                differing.extend((!found.is_empty()).then(|| format!("{cell} over {transport}")));
            }
        }
    }
    ensure!(differing.is_empty(), "answers differ: {}", differing.join(", "));
    Ok(())
}

/// Everything that is needed to play, installed.
struct Stage<'a> {
    site: &'a Site<'a>,
    node: PathBuf,
    python: PathBuf,
    /// Where the scripts are that Node.js runs: beside the packages, else it does not find them.
    scripts: PathBuf,
    everything: PathBuf,
}

impl<'a> Stage<'a> {
    fn set(site: &'a Site<'a>) -> anyhow::Result<Self> {
        let modules = tools::npm(site, "clients-node", &[SDK_V1, SDK_V2])?;
        let scripts = modules.parent().context("find the folder of the packages")?.to_owned();
        for name in ["play.mjs", "v1.mjs", "v2.mjs"] {
            let from = site.brought("clients").join(name);
            fs::copy(&from, scripts.join(name)).with_context(|| format!("copy {}", from.display()))?;
        }
        let everything = tools::npm(site, "server-everything", &[EVERYTHING])?;
        Ok(Self {
            site,
            node: tools::node(site)?,
            python: tools::python(site, "clients-python", &[SDK_PYTHON, TIME])?,
            scripts,
            everything: everything.join("@modelcontextprotocol/server-everything/dist/index.js"),
        })
    }

    /// The servers; the first is kept running by what comes before them.
    fn servers(&self) -> anyhow::Result<(Peer, Vec<Server>)> {
        let port = free_port()?;
        let mut command = self.site.command(&self.node);
        command.arg(&self.everything).arg("streamableHttp").env("PORT", port.to_string());
        let mut peer = Peer::start(command, &self.site.logs.join("server-everything"))?;
        peer.says(START_LIMIT, |said| said.contains(&format!("listening on port {port}")).then_some(()))?;
        let scenario = |name: &str| self.site.brought("scenarios").join(name);
        let words = |words: &[&Path]| words.iter().map(|word| word.display().to_string()).collect();
        let server = |name, file, place| Server { name, scenario: scenario(file), place };
        let url = format!("http://127.0.0.1:{port}/mcp");
        let stdio = words(&[&self.node, &self.everything, Path::new("stdio")]);
        let time = words(&[&self.python.join("mcp-server-time"), Path::new("--local-timezone=UTC")]);
        let servers = vec![
            server("everything-http", "everything.json", Place::Url(url)),
            server("everything-stdio", "everything.json", Place::Command(stdio)),
            server("time-stdio", "time.json", Place::Command(time)),
        ];
        Ok((peer, servers))
    }

    /// One scenario, played once; answers with the transcript.
    fn play(&self, client: &Client, server: &Server, over: &str, place: &Place) -> anyhow::Result<Value> {
        let name = format!("{}-{}-{over}", client.name, server.name);
        let task = self.site.scratch.path().join(format!("{name}.task"));
        let mut told = json!({ "mode": client.mode, "scenario": server.scenario });
        match place {
            Place::Url(url) => told["url"] = json!(url),
            Place::Command(words) => told["command"] = json!(words),
        }
        fs::write(&task, told.to_string()).with_context(|| format!("write {}", task.display()))?;
        let mut command = if Path::new(client.script).extension().is_some_and(|end| end == "py") {
            let mut python = self.site.command(self.python.join("python"));
            python.arg(self.site.brought("clients").join(client.script));
            python
        } else {
            let mut node = self.site.command(&self.node);
            node.arg(self.scripts.join(client.script));
            node
        };
        command.arg(&task);
        let printed = peer::run(command, &self.site.logs.join(&name), PLAY_LIMIT)?.well()?;
        serde_json::from_str(&printed).with_context(|| format!("read the transcript of {name}"))
    }
}

impl Place {
    /// As a client's configuration has it.
    fn entry(&self) -> Value {
        match self {
            Self::Url(url) => json!({ "type": "http", "url": url }),
            Self::Command(words) => json!({ "command": words.first(), "args": words.get(1..) }),
        }
    }
}

/// A port that was free a moment ago, for a server that cannot choose one itself.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr().context("see which port is free")?.port())
}
