//! The gateway as a step drives it: a process with a configuration of its own, at a free port.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Site;
use super::peer::Peer;

/// A cold start on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Serves until it is dropped.
pub(super) struct Gateway {
    _peer: Peer,
    origin: String,
    admin: String,
}

impl Gateway {
    /// Starts one in front of these servers, as a client's file has them, and waits until it listens.
    pub(super) fn start(site: &Site<'_>, name: &str, servers: &Value) -> anyhow::Result<Self> {
        Self::listening(site, name, &config(site, name, servers)?, &[])
    }

    /// Starts one with a configuration of its own, and waits until it listens.
    pub(super) fn start_with(site: &Site<'_>, name: &str, config: &Value) -> anyhow::Result<Self> {
        Self::start_in(site, name, config, &[])
    }

    /// The same in an environment with more in it.
    pub(super) fn start_in(site: &Site<'_>, name: &str, config: &Value, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        // What is JSON is YAML, too.
        let path = site.scratch.path().join(format!("{name}.yaml"));
        fs::write(&path, config.to_string()).with_context(|| format!("write {}", path.display()))?;
        Self::listening(site, name, &path, env)
    }

    fn listening(site: &Site<'_>, name: &str, config: &Path, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut serve = program(site, "serve", config);
        serve.envs(env.iter().copied());
        serve.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        let mut peer = Peer::start(serve, &site.logs.join(format!("gateway-{name}")))?;
        let between =
            |said: &str, before: &str, after: &str| Some(said.split_once(before)?.1.split_once(after)?.0.to_owned());
        let (origin, admin) = peer.says(START_LIMIT, |said| {
            let admin = between(said, "admin listening on ", "\"")?;
            Some((between(said, "mcp listening on ", "/mcp\"")?, admin))
        })?;
        Ok(Self { _peer: peer, origin, admin })
    }

    /// Where it is, without a path.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Where its admin listener is, without a path.
    pub(super) fn admin(&self) -> &str {
        &self.admin
    }

    /// Where one server is, untouched.
    pub(super) fn url(&self, server: &str) -> String {
        format!("{}/servers/{server}/mcp", self.origin)
    }

    /// Where one server is, over HTTP+SSE.
    pub(super) fn sse(&self, server: &str) -> String {
        format!("{}/servers/{server}/sse", self.origin)
    }

    /// Where all servers are.
    pub(super) fn front(&self) -> String {
        format!("{}/mcp", self.origin)
    }
}

/// The gateway's own words, for a client that starts it and speaks over its standard input and output.
pub(super) fn stdio(site: &Site<'_>, name: &str, servers: &Value) -> anyhow::Result<Vec<String>> {
    let config = config(site, name, servers)?;
    let program = program(site, "stdio", &config);
    let words = std::iter::once(program.get_program()).chain(program.get_args());
    Ok(words.map(|word| word.to_string_lossy().into_owned()).collect())
}

fn config(site: &Site<'_>, name: &str, servers: &Value) -> anyhow::Result<PathBuf> {
    let path = site.scratch.path().join(format!("{name}.json"));
    fs::write(&path, json!({ "mcpServers": servers }).to_string())
        .with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

fn program(site: &Site<'_>, verb: &str, config: &Path) -> Command {
    let mut program = site.command(&site.tollhouse);
    // Of its own: a gateway that serves does not share it.
    let data = config.with_extension("data");
    program.arg("--config").arg(config).arg("--data-dir").arg(data).arg(verb);
    program.env("MCP_LOG_FORMAT", "json");
    program
}
