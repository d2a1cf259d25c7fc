//! The servers of a file as they are written, for the verbs that show and change them.
//!
//! Variables are not looked up and rules not checked: a file whose variables are set elsewhere can be listed and
//! changed all the same. Each server keeps its place, so that a change touches its lines and no others.

use std::net::SocketAddr;
use std::path::Path;

use tollhouse_core::ids::ServerId;
use tollhouse_proxy::settings::OverHttp;

use super::blocks::{self, File};
use super::finding::{Finding, Findings, Report};
use super::node::{At, Content, Node};
use super::values::{Length, Template};
use super::{Value, client, is_client_file, tree};

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
    /// Its clocks.
    pub(crate) timeouts: Vec<(String, String)>,
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
    /// What a client calls each of them, in its own file.
    pub(crate) entries: Vec<String>,
    /// Where agents and health are served, if our own file says so.
    pub(crate) addresses: [Option<SocketAddr>; 2],
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
    let root = tree(path, text, findings)?;
    if is_client_file(path, text) {
        let servers = client::servers(&root, findings);
        if findings.any_error() {
            return None;
        }
        let written =
            |(id, server): &(At<ServerId>, At<blocks::Server>)| (at(server), written(id.value.to_string(), server));
        let entries = servers.iter().map(|(id, _)| entry(&id.place.path)).collect();
        return Some(Outline { servers: servers.iter().map(written).collect(), entries, ..Outline::default() });
    }
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
    let addresses = [file.listen.as_ref(), file.admin.as_ref()].map(|at| at.map(|at| at.value.0));
    let servers = file.servers.map(|servers| servers.value.0).unwrap_or_default();
    let written = |(name, server): &(At<String>, At<blocks::Server>)| (at(name), written(name.value.clone(), server));
    let servers = servers.iter().map(written).collect();
    Some(Outline { section, servers, addresses, ..Outline::default() })
}

/// The maps of servers in clients' files, as the paths of their entries begin.
const SECTIONS: [&str; 4] = ["mcpServers.", "servers.", "mcp_servers.", "mcp.servers."];

/// What a client calls the server whose entry has this path.
fn entry(path: &str) -> String {
    SECTIONS.into_iter().find_map(|section| path.strip_prefix(section)).unwrap_or(path).to_owned()
}

/// A client's file as it is read, to be compared with another reading of it.
pub(crate) struct Tree(Node);

impl Tree {
    /// Reads `text`, which stands at `path`; `None` if it is not well-formed.
    pub(crate) fn of(path: &Path, text: &str) -> Option<Self> {
        tree(path, text, &mut Findings::about(String::new())).map(Self)
    }

    /// Whether both say the same but for their servers.
    pub(crate) fn rest_equals(&self, other: &Self) -> bool {
        same(&self.0, &other.0, "")
    }

    /// What the entry `name` says; two of them can be compared.
    pub(crate) fn entry(&self, name: &str) -> Option<Entry<'_>> {
        find(&self.0, "", name).map(Entry)
    }
}

/// An entry of a client's file.
pub(crate) struct Entry<'a>(&'a Node);

impl Entry<'_> {
    /// The text at `key`, if there is some.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.member(key)?.scalar()
    }

    /// The texts of the list at `key`.
    pub(crate) fn texts(&self, key: &str) -> Vec<&str> {
        match self.member(key).map(|node| &node.content) {
            Some(Content::List(list)) => list.iter().filter_map(Node::scalar).collect(),
            _ => Vec::new(),
        }
    }

    /// The names and texts of the map at `key`.
    pub(crate) fn pairs(&self, key: &str) -> Vec<(&str, &str)> {
        match self.member(key).map(|node| &node.content) {
            Some(Content::Map(list)) => {
                list.iter().filter_map(|entry| Some((entry.key.value.as_str(), entry.node.scalar()?))).collect()
            }
            _ => Vec::new(),
        }
    }

    fn member(&self, key: &str) -> Option<&Node> {
        match &self.0.content {
            Content::Map(list) => list.iter().find(|entry| entry.key.value == key).map(|entry| &entry.node),
            _ => None,
        }
    }
}

impl PartialEq for Entry<'_> {
    fn eq(&self, other: &Self) -> bool {
        same(self.0, other.0, "[]")
    }
}

/// Whether `path` is that of a map of servers.
fn is_section(path: &str) -> bool {
    SECTIONS.iter().any(|section| section.strip_suffix('.') == Some(path))
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn find<'a>(node: &'a Node, path: &str, name: &str) -> Option<&'a Node> {
    let Content::Map(list) = &node.content else { return None };
    if is_section(path) {
        return list.iter().find(|entry| entry.key.value == name).map(|entry| &entry.node);
    }
    let inner = |entry: &'a super::node::Entry| {
        let path = below(path, &entry.key.value);
        SECTIONS.iter().any(|section| section.starts_with(&format!("{path}."))).then(|| find(&entry.node, &path, name))
    };
    list.iter().find_map(|entry| inner(entry).flatten())
}

/// Whether two trees are equal, wherever they stand, up to the maps of servers.
fn same(one: &Node, other: &Node, path: &str) -> bool {
    if is_section(path) {
        return true;
    }
    match (&one.content, &other.content) {
        (Content::Map(one), Content::Map(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| {
                    one.key.value == other.key.value && same(&one.node, &other.node, &below(path, &one.key.value))
                })
        }
        (Content::List(one), Content::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other, "[]"))
        }
        (Content::Nothing, Content::Nothing) => true,
        _ => one.kind() == other.kind() && one.scalar().is_some() && one.scalar() == other.scalar(),
    }
}

fn written(name: String, server: &At<blocks::Server>) -> Written {
    let text = |template: &Option<At<Template>>| template.as_ref().map(|at| at.value.0.clone());
    let pairs = |map: &Option<At<super::block::Map<Template>>>| {
        let pairs = map.iter().flat_map(|map| &map.value.0);
        pairs.map(|(name, value)| (name.value.clone(), value.value.0.clone())).collect()
    };
    let At { value: server, .. } = server;
    let timeouts = server.timeouts.as_ref().map(|at| &at.value);
    let clock =
        |name: &str, length: Option<&At<Length>>| length.map(|at| (name.to_owned(), Length::written(at.value.0)));
    let clocks = |timeouts: &blocks::Timeouts| {
        let blocks::Timeouts { connect, start, idle, hard } = timeouts;
        let all = [("connect", connect), ("start", start), ("idle", idle), ("hard", hard)];
        all.into_iter().filter_map(|(name, length)| clock(name, length.as_ref())).collect()
    };
    Written {
        timeouts: timeouts.map(clocks).unwrap_or_default(),
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
