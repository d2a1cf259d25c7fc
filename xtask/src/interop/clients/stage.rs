//! Everything that is needed to play: packages installed, servers started once, files for them to serve.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::super::peer::{self, Peer};
use super::super::{Site, tools};
use super::batch::Place;
use super::cast::{self, Client, Kit, SERVERS, Server};

/// For a server to listen.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Between two looks whether it does.
const LOOK: Duration = Duration::from_millis(20);

/// To compile `rmcp` and what it is made of, once.
const BUILD_LIMIT: Duration = Duration::from_mins(10);

/// What the filesystem server shows, and what the client says are its roots.
const NOTES: &str = "one\ntwo — grüezi\nthree\n";

/// A picture of one pixel.
const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\
    \0\0\0\nIDATx\x9cc\xf8\x0f\0\x01\x01\x01\0\xb18\xf6\x14\0\0\0\0IEND\xaeB`\x82";

/// What the memory server remembers.
const GRAPH: &str = r#"{"type":"entity","name":"Ada","entityType":"person","observations":["lives in Zürich"]}
{"type":"entity","name":"Basel","entityType":"city","observations":[]}
{"type":"relation","from":"Ada","to":"Basel","relationType":"visits"}
"#;

/// Packages, programs and files.
pub(super) struct Stage<'a> {
    site: &'a Site<'a>,
    node: PathBuf,
    python: PathBuf,
    old_python: PathBuf,
    /// Where the scripts are that Node.js runs: beside the packages, else it does not find them.
    node_scripts: PathBuf,
    inspector_scripts: PathBuf,
    node_servers: PathBuf,
    rmcp: PathBuf,
    fixture: PathBuf,
    pub(super) files: PathBuf,
    repository: PathBuf,
    graph: PathBuf,
}

/// The servers at work, and where each is.
pub(super) struct Servers {
    _peers: Vec<Peer>,
    places: BTreeMap<&'static str, Place>,
}

impl<'a> Stage<'a> {
    pub(super) fn set(site: &'a Site<'a>) -> anyhow::Result<Self> {
        let node = tools::node(site)?;
        let python = tools::python(site, "clients-python", &[cast::MCP, cast::FASTMCP, cast::TIME, cast::GIT])?;
        let old_python = tools::python(site, "clients-python-old", &[cast::MCP_OLD, cast::FASTMCP_OLD])?;
        let clients = tools::npm(site, "clients-node", &[cast::SDK_V1, cast::SDK_V2])?;
        let inspector = tools::npm(site, "clients-inspector", &[cast::INSPECTOR])?;
        let packages = [cast::EVERYTHING, cast::FILESYSTEM, cast::MEMORY];
        let servers = tools::npm(site, "servers-node", &packages)?;
        let node_scripts = copied(site, &clients, &["play.mjs", "v1.mjs", "v2.mjs"])?;
        let inspector_scripts = copied(site, &inspector, &["inspector.mjs"])?;
        let scratch = site.scratch.path();
        let (files, repository, graph) =
            (scratch.join("files"), scratch.join("repository"), scratch.join("graph.jsonl"));
        let stage = Self {
            site,
            node,
            python,
            old_python,
            node_scripts,
            inspector_scripts,
            node_servers: servers.join("@modelcontextprotocol"),
            rmcp: rmcp(site)?,
            fixture: site.fixture()?,
            files,
            repository,
            graph,
        };
        stage.furnish()?;
        Ok(stage)
    }

    /// Writes what the servers show.
    fn furnish(&self) -> anyhow::Result<()> {
        let inner = self.files.join("inner");
        fs::create_dir_all(&inner).with_context(|| format!("make {}", inner.display()))?;
        let texts: [(PathBuf, &[u8]); 4] = [
            (self.files.join("notes.txt"), NOTES.as_bytes()),
            (self.files.join("dot.png"), PIXEL),
            (inner.join("deep.txt"), b"deep\n"),
            (self.graph.clone(), GRAPH.as_bytes()),
        ];
        for (path, text) in texts {
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        tools::debian(self.site, "git", "git")?;
        fs::create_dir_all(&self.repository).with_context(|| format!("make {}", self.repository.display()))?;
        for words in [
            &["init", "--quiet", "--initial-branch=main"][..],
            &["commit", "--quiet", "--allow-empty", "--message=First — grüezi"],
            &["commit", "--quiet", "--allow-empty", "--message=Second"],
        ] {
            let mut git = self.site.command("git");
            git.current_dir(&self.repository).args(["-c", "user.name=interop", "-c", "user.email=interop@example.org"]);
            git.args(words);
            peer::run(git, &self.site.logs.join("git"), START_LIMIT)?.well()?;
        }
        Ok(())
    }

    /// Starts the servers that listen, and says where all are.
    pub(super) fn servers(&self) -> anyhow::Result<Servers> {
        let (mut peers, mut places) = (Vec::new(), BTreeMap::new());
        for server in SERVERS {
            let place = self.place(server, &mut peers).with_context(|| format!("start {}", server.name))?;
            places.insert(server.name, place);
        }
        Ok(Servers { _peers: peers, places })
    }

    fn place(&self, server: &Server, peers: &mut Vec<Peer>) -> anyhow::Result<Place> {
        let package = |name: &str| self.node_servers.join(name).join("dist/index.js");
        let fast = self.site.brought("servers/fast.py");
        let none = BTreeMap::new();
        let everything = |transport: &str, path: &str, peers: &mut Vec<Peer>| {
            let port = peer::free_port()?;
            let mut command = self.site.command(&self.node);
            command.arg(package("server-everything")).arg(transport).env("PORT", port.to_string());
            self.listening(server, command, peers, |said| said.contains(&format!("on port {port}")).then_some(()))?;
            Ok::<_, anyhow::Error>(format!("http://127.0.0.1:{port}/{path}"))
        };
        let printed = |program: &Path, words: &[&str], peers: &mut Vec<Peer>| {
            let mut command = self.site.command(program);
            command.args(words).env("FASTMCP_CHECK_FOR_UPDATES", "off");
            let url = self.listening(server, command, peers, |said| {
                said.lines().map(str::trim).find(|line| line.starts_with("http://")).map(str::to_owned)
            })?;
            answers(&url)?;
            Ok::<_, anyhow::Error>(url)
        };
        let (new, old) = (self.python.join("python"), self.old_python.join("python"));
        let script = fast.display().to_string();
        Ok(match server.name {
            "everything-http" => Place::Url(everything("streamableHttp", "mcp", peers)?),
            "everything-sse" => Place::Sse(everything("sse", "sse", peers)?),
            "everything-stdio" => {
                Place::Command(words(&[&self.node, &package("server-everything"), "stdio".as_ref()]), none)
            }
            "filesystem-stdio" => {
                Place::Command(words(&[&self.node, &package("server-filesystem"), &self.files]), none)
            }
            "memory-stdio" => {
                let env = BTreeMap::from([("MEMORY_FILE_PATH", self.graph.display().to_string())]);
                Place::Command(words(&[&self.node, &package("server-memory")]), env)
            }
            "time-stdio" => {
                Place::Command(words(&[&self.python.join("mcp-server-time"), "--local-timezone=UTC".as_ref()]), none)
            }
            "git-stdio" => Place::Command(words(&[&self.python.join("mcp-server-git")]), none),
            "fast-stdio" => {
                let env = BTreeMap::from([("FASTMCP_CHECK_FOR_UPDATES", "off".to_owned())]);
                Place::Command(words(&[&new, &fast, "stdio".as_ref()]), env)
            }
            "fast-http" => Place::Url(printed(&new, &[&script, "http"], peers)?),
            "fast-old-http" => Place::Url(printed(&old, &[&script, "http"], peers)?),
            "fast-old-sse" => Place::Sse(printed(&old, &[&script, "sse"], peers)?),
            "fixture-http" => Place::Url(printed(&self.fixture, &["http"], peers)?),
            "fixture-modern-http" => Place::Url(printed(&self.fixture, &["http", "--era", "modern"], peers)?),
            other => anyhow::bail!("nothing is known of a server {other}"),
        })
    }

    fn listening<T>(
        &self,
        server: &Server,
        command: Command,
        peers: &mut Vec<Peer>,
        find: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut peer = Peer::start(command, &self.site.logs.join(server.name))?;
        let found = peer.says(START_LIMIT, find)?;
        peers.push(peer);
        Ok(found)
    }

    /// What runs a client, up to its task.
    pub(super) fn client(&self, client: &Client) -> Command {
        let script = |program: PathBuf, script: PathBuf| {
            let mut command = self.site.command(program);
            command.arg(script);
            command
        };
        let brought = |name: &str| self.site.brought("clients").join(name);
        match client.kit {
            Kit::Python(name) => script(self.python.join("python"), brought(name)),
            Kit::OldPython(name) => script(self.old_python.join("python"), brought(name)),
            Kit::Node(name) => script(self.node.clone(), self.node_scripts.join(name)),
            Kit::Inspector(name) => script(self.node.clone(), self.inspector_scripts.join(name)),
            Kit::Rmcp => self.site.command(&self.rmcp),
        }
    }

    /// The steps of a scenario, with the places of this run.
    pub(super) fn scenario(&self, name: &str) -> anyhow::Result<Value> {
        let path = self.site.brought("scenarios").join(format!("{name}.json"));
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let text = text.replace("{files}", &self.files.display().to_string());
        let text = text.replace("{repo}", &self.repository.display().to_string());
        serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))
    }
}

impl Servers {
    pub(super) fn place(&self, server: &Server) -> &Place {
        &self.places[server.name]
    }

    /// These servers, as a client's file has them.
    pub(super) fn entries(&self, names: impl IntoIterator<Item = &'static str>) -> Value {
        Value::Object(names.into_iter().map(|name| (name.to_owned(), self.places[name].entry())).collect())
    }
}

/// Puts scripts beside the packages they use; answers with the folder.
fn copied(site: &Site<'_>, modules: &Path, names: &[&str]) -> anyhow::Result<PathBuf> {
    let folder = modules.parent().context("find the folder of the packages")?.to_owned();
    for name in names {
        let from = site.brought("clients").join(name);
        fs::copy(&from, folder.join(name)).with_context(|| format!("copy {}", from.display()))?;
    }
    Ok(folder)
}

/// Builds the client of `rmcp`, which is a workspace of its own.
fn rmcp(site: &Site<'_>) -> anyhow::Result<PathBuf> {
    let folder = site.installed("rmcp");
    let mut cargo = site.ground.cargo(&["build", "--quiet", "--locked", "--manifest-path"]);
    cargo.arg(site.brought("rmcp/Cargo.toml")).arg("--target-dir").arg(&folder);
    peer::run(cargo, &site.logs.join("rmcp-build"), BUILD_LIMIT)?.well().context("build the client of rmcp")?;
    Ok(folder.join("debug").join(format!("tollhouse-interop-rmcp{}", std::env::consts::EXE_SUFFIX)))
}

fn words(words: &[&Path]) -> Vec<String> {
    words.iter().map(|word| word.display().to_string()).collect()
}

/// Waits until somebody listens: some servers say where before they do.
fn answers(url: &str) -> anyhow::Result<()> {
    let address = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let end = Instant::now() + START_LIMIT;
    while let Err(error) = TcpStream::connect(address) {
        ensure!(Instant::now() < end, "nobody listens on {address}: {error}");
        thread::sleep(LOOK);
    }
    Ok(())
}
