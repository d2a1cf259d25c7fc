//! The servers of a file as they are written, for the verbs that show and change them.
//!
//! Variables are not looked up and rules not checked: a file whose variables are set elsewhere can be listed and
//! changed all the same. Each server keeps its place, so that a change touches its lines and no others.

use std::path::Path;

use tollhouse_core::ids::ServerId;
use tollhouse_proxy::settings::OverHttp;

use super::blocks::{self, File};
use super::finding::{Finding, Findings, Report};
use super::node::{At, Content};
use super::values::Template;
use super::{Value, client, is_client_file, jsonc, yaml};

/// A server as it is written. What it holds may be secret, so it shows only its name.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Its id; in a client's file the one made of its name.
    pub(crate) name: String,
    /// The program, of a server that is started.
    pub(crate) command: Option<String>,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Its variables.
    pub(crate) env: Vec<(String, String)>,
    /// Its working directory.
    pub(crate) cwd: Option<String>,
    /// The URL, of a server that is called.
    pub(crate) url: Option<String>,
    /// What is spoken there, if that is said.
    pub(crate) transport: Option<OverHttp>,
    /// The headers sent to it.
    pub(crate) headers: Vec<(String, String)>,
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Written").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where a key begins, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Lines above it.
    pub(crate) line: usize,
    /// Characters before it.
    pub(crate) column: usize,
}

/// What a file says about servers, and where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outline {
    /// The key `servers`, where there is one.
    pub(crate) section: Option<Spot>,
    /// In the order of the file.
    pub(crate) servers: Vec<(Spot, Written)>,
    /// What of a client's file is left out or not understood.
    pub(crate) notices: Vec<Finding>,
}

/// The servers of `text`, which stands at `path` or shall stand there.
///
/// # Errors
/// It is not well-formed, or so far from a configuration that no servers can be told in it.
pub(crate) fn outline(path: &Path, text: &str) -> Result<Outline, Report> {
    let mut findings = Findings::about(path.display().to_string());
    match read(path, text, &mut findings) {
        Some(outline) => Ok(Outline { notices: findings.in_order(), ..outline }),
        None => Err(Report { findings: findings.in_order() }),
    }
}

fn read(path: &Path, text: &str, findings: &mut Findings) -> Option<Outline> {
    if is_client_file(path, text) {
        let root = jsonc::parse(text, findings)?;
        let servers = client::servers(&root, findings);
        if findings.any_error() {
            return None;
        }
        let written =
            |(id, server): &(At<ServerId>, At<blocks::Server>)| (at(server), written(id.value.to_string(), server));
        return Some(Outline { servers: servers.iter().map(written).collect(), ..Outline::default() });
    }
    let root = yaml::parse(text, findings)?;
    if matches!(root.content, Content::Nothing) {
        return Some(Outline::default());
    }
    // A key written twice would leave open which of the two is meant.
    root.report_duplicates(findings);
    if findings.any_error() {
        return None;
    }
    let Content::Map(entries) = &root.content else {
        let _ = File::read(&root, findings);
        return None;
    };
    let section = entries.iter().find(|entry| entry.key.value == "servers").map(|entry| at(&entry.key));
    // What is wrong with other parts of the file is for the check of the whole.
    let file = File::read(&root, &mut Findings::about(String::new()))?;
    let servers = file.servers.map(|servers| servers.value.0).unwrap_or_default();
    let written = |(name, server): &(At<String>, At<blocks::Server>)| (at(name), written(name.value.clone(), server));
    Some(Outline { section, servers: servers.iter().map(written).collect(), notices: Vec::new() })
}

fn written(name: String, server: &At<blocks::Server>) -> Written {
    let text = |template: &Option<At<Template>>| template.as_ref().map(|at| at.value.0.clone());
    let pairs = |map: &Option<At<super::block::Map<Template>>>| {
        let pairs = map.iter().flat_map(|map| &map.value.0);
        pairs.map(|(name, value)| (name.value.clone(), value.value.0.clone())).collect()
    };
    let At { value: server, .. } = server;
    Written {
        name,
        command: text(&server.command),
        args: server.args.iter().flat_map(|args| &args.value.0).map(|arg| arg.value.0.clone()).collect(),
        env: pairs(&server.env),
        cwd: text(&server.cwd),
        url: text(&server.url),
        transport: server.transport.as_ref().map(|at| at.value.0),
        headers: pairs(&server.headers),
    }
}

fn at<T>(at: &At<T>) -> Spot {
    let from_0 = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).saturating_sub(1);
    Spot { line: from_0(at.place.line), column: from_0(at.place.column) }
}
