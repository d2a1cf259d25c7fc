//! Servers of clients' files → a configuration: what it has stays, what it lacks is added.
//!
//! Secrets are not copied: a variable is named in the place of each. A server that is there already is known by what
//! it says, whatever its variables are called; so a second time changes nothing, and the values that the variables
//! have in the client's file are found out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Refusal;
use super::change::no_edit;
use super::clients::Client;
use super::edit::insert;
use super::entry::block;
use super::layout::Layout;
use super::names::{Names, refers};
use crate::config::env::Environment;
use crate::config::{Code, Report, Severity, Written, fits, is_client_file, load_text, outline, slug, text, variables};
use crate::exit::Exit;

/// What becomes of clients' files.
pub(crate) struct Takeover {
    /// The configuration.
    pub(crate) text: String,
    /// The variables it needs for the secrets of the files.
    pub(crate) names: Names,
    /// What is left out, and other things to know.
    pub(crate) notes: Vec<String>,
    /// The files, in the order they were read.
    pub(crate) sources: Vec<Source>,
}

/// A client's file.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) client: Client,
    pub(crate) text: String,
    /// The entries that the configuration has: what the client calls each, and the server.
    pub(crate) taken: Vec<(String, Written)>,
    /// The values that variables of the configuration have in this file.
    pub(crate) values: BTreeMap<String, String>,
    /// The client's entries for Tollhouse itself.
    pub(crate) ours: Vec<String>,
}

/// Adds the servers of `files` to `base`, which stands at `config` or shall stand there.
///
/// # Errors
/// A file cannot be read, or the configuration is written in a way that nothing can be added to.
pub(crate) fn take_over(
    config: &Path,
    base: &str,
    files: &[PathBuf],
    env: &dyn Environment,
) -> Result<Takeover, Refusal> {
    let mut over = Takeover { text: base.to_owned(), names: Names::default(), notes: Vec::new(), sources: Vec::new() };
    let mut known: Vec<Written> = outline(config, base)?.servers.into_iter().map(|(_, server)| server).collect();
    for name in known.iter().flat_map(needed) {
        over.names.reserve(&name);
    }
    for file in files {
        let content = text(file)?;
        if !is_client_file(file, &content) {
            let found = format_args!("{} is no client's file", file.display());
            let expected = "expected JSON with `mcpServers` or `servers`, or TOML with `mcp_servers`";
            return Err(Refusal::new(Exit::Fault, found, expected, ""));
        }
        let client = Client::of(file, &content);
        let found = match outline(file, &content) {
            Ok(outline) => outline,
            // A client that knows no server yet.
            Err(report) if only_empty(&report) => continue,
            // Whoever asked for all of them has the others.
            Err(report) if files.len() > 1 => {
                over.notes
                    .extend(report.findings.iter().map(|finding| format!("{}: {}", file.display(), finding.found)));
                continue;
            }
            Err(report) => return Err(report.into()),
        };
        let layout = Layout::of(file, &content);
        let ours = layout.iter().flat_map(Layout::names).filter(|name| is_ours(name)).map(str::to_owned).collect();
        let notices = found.notices.iter().filter(|notice| !notice.found.ends_with("that is Tollhouse itself"));
        over.notes.extend(notices.map(|notice| format!("{}: {}", file.display(), notice.found)));
        let mut source =
            Source { path: file.clone(), client, text: content, taken: Vec::new(), values: BTreeMap::new(), ours };
        for ((_, written), entry) in found.servers.into_iter().zip(found.entries) {
            let written = if client == Client::Gemini { with_braces(written) } else { written };
            over.take(config, &mut source, &mut known, (entry, &written), env)?;
        }
        over.sources.push(source);
    }
    Ok(over)
}

impl Takeover {
    fn take(
        &mut self,
        config: &Path,
        source: &mut Source,
        known: &mut Vec<Written>,
        (entry, written): (String, &Written),
        env: &dyn Environment,
    ) -> Result<(), Refusal> {
        let file = source.path.display().to_string();
        if let Some(known) = known.iter().find(|known| known.name == written.name) {
            match values(known, written) {
                Some(values) => {
                    for (name, value) in values.iter().filter(|(_, value)| !refers(value)) {
                        self.names.hold(name, value, &format!("in {file}, server `{}`", written.name));
                    }
                    source.values.extend(values);
                    source.taken.push((entry, known.clone()));
                }
                None => self
                    .notes
                    .push(format!("{file}: server `{}` is left out: there is another of that name", written.name)),
            }
            return Ok(());
        }
        let mut server = written.clone();
        // One that is left out shall leave no name behind.
        Names::default().put_into(&mut server);
        if let Some(why) = refused(&source.path, &server, env) {
            self.notes.push(format!("{file}: server `{}` is left out: {why}", server.name));
            return Ok(());
        }
        server = written.clone();
        self.names.put_into(&mut server);
        self.text = insert(config, &self.text, &server)
            .map_err(|why| no_edit(config, why, "add this one with `tollhouse add`"))?;
        source.values.extend(values(&server, written).unwrap_or_default());
        source.taken.push((entry, server.clone()));
        known.push(server);
        Ok(())
    }
}

/// Whether a client's entry of that name is Tollhouse itself.
pub(crate) fn is_ours(name: &str) -> bool {
    slug(name) == Err(tollhouse_core::ids::ServerIdError::Reserved)
}

/// The variables that a server needs.
pub(crate) fn needed(server: &Written) -> Vec<String> {
    texts(server).flat_map(variables).map(str::to_owned).collect()
}

fn texts(server: &Written) -> impl Iterator<Item = &str> {
    let pairs = server.env.iter().chain(&server.headers).map(|(_, value)| value);
    let single = server.command.iter().chain(&server.cwd).chain(&server.url);
    single.chain(&server.args).chain(pairs).map(String::as_str)
}

/// The values of the variables with which `ours` is `theirs`; `None` if it is another server.
fn values(ours: &Written, theirs: &Written) -> Option<BTreeMap<String, String>> {
    let names = |server: &Written| -> Vec<String> {
        server.env.iter().chain(&server.headers).map(|(name, _)| name.clone()).collect()
    };
    let kinds = |server: &Written| [server.command.is_some(), server.cwd.is_some(), server.url.is_some()];
    let alike = kinds(ours) == kinds(theirs) && ours.args.len() == theirs.args.len() && names(ours) == names(theirs);
    let mut values = BTreeMap::new();
    let fit = alike && texts(ours).zip(texts(theirs)).all(|(ours, theirs)| fits(ours, theirs, &mut values));
    fit.then_some(values)
}

/// `$NAME`, as Gemini CLI takes it too, as `${NAME}`.
fn with_braces(mut server: Written) -> Written {
    let pairs = server.env.iter_mut().chain(&mut server.headers).map(|(_, value)| value);
    let single = server.command.iter_mut().chain(&mut server.cwd).chain(&mut server.url);
    for text in single.chain(&mut server.args).chain(pairs) {
        let mut parts = text.split('$');
        let mut changed = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let name = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
            match part.split_at_checked(name) {
                Some((name, rest)) if !name.is_empty() => changed.extend(["${", name, "}", rest]),
                _ => changed.extend(["$", part]),
            }
        }
        *text = changed;
    }
    server
}

fn only_empty(report: &Report) -> bool {
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.into_iter().all(|finding| finding.code == Code::Empty)
}

/// Why a configuration cannot have the server; a variable that is not set is no reason.
fn refused(source: &Path, server: &Written, env: &dyn Environment) -> Option<String> {
    let report = load_text(&source.with_extension("yaml"), &format!("servers:\n{}", block(server, 2)), env).err()?;
    let errors = report.findings.into_iter().filter(|finding| finding.severity == Severity::Error);
    errors.into_iter().find(|finding| finding.code != Code::Variable).map(|finding| finding.found)
}
