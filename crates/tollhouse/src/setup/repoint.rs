//! Leads a client to Tollhouse, and back.
//!
//! In the client's file the entries that the configuration has are exchanged for one, `tollhouse`. The file as it was
//! is kept beside it, so the way back is exact. Both ways the result is read before it is written: whatever is not
//! about these entries must say what it said.
//!
//! Nothing needs to be remembered to notice what happened in between: the file that is kept and the entry for Tollhouse
//! say together what the file must be now.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Refusal;
use super::clients::Client;
use super::file::{Before, replace};
use super::layout::Layout;
use super::pointer::{Pointer, Way, absolute, program};
use super::takeover::{Source, is_ours, needed};
use crate::config::env::Environment;
use crate::config::{Outline, Tree, Written};
use crate::exit::Exit;

/// How the name of a file goes on that keeps what was there.
const KEPT: &str = ".before-tollhouse";
/// So many times a file can be led here without going back.
const KEPT_MAX: usize = 9;

/// What a client's file shall become.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) path: PathBuf,
    pub(crate) client: Client,
    pub(crate) before: String,
    pub(crate) after: String,
    /// The servers whose entries go.
    pub(crate) taken: Vec<Written>,
    /// The entry that comes.
    pub(crate) pointer: Pointer,
}

/// Plans to lead the client of `source` here; `None` if there is nothing to exchange.
///
/// # Errors
/// It could not start the gateway, or its file is written in a way that is not known.
pub(crate) fn plan(
    source: &Source,
    config: &Path,
    configured: &Outline,
    way: Way,
    listen: SocketAddr,
    env: &dyn Environment,
) -> Result<Option<Change>, Refusal> {
    let Source { path, client, text, taken, .. } = source;
    if taken.is_empty() {
        return Ok(None);
    }
    let pointer = match way {
        Way::Url if *client == Client::ClaudeDesktop => {
            let found = "Claude Desktop calls no server by its URL from its file";
            return Err(Refusal::new(Exit::Fault, found, "it starts each of them", "use `--repoint` without `=url`"));
        }
        Way::Url => Pointer::Url(format!("http://{listen}/mcp")),
        Way::Stdio => {
            let own = program(env).zip(absolute(config));
            let (program, config) = own.ok_or_else(|| {
                Refusal::new(
                    Exit::Fault,
                    "the path of this program cannot be written into a file",
                    "it is not UTF-8",
                    "",
                )
            })?;
            Pointer::Stdio { program, config, variables: variables(source, configured, env)? }
        }
    };
    let gone: Vec<String> = taken.iter().map(|(entry, _)| entry).chain(&source.ours).cloned().collect();
    let changed = exchanged(path, text, &gone, |layout| pointer.text(*client, &layout.form(text, &gone)));
    let after = changed.ok_or_else(|| layout(path))?;
    let taken = taken.iter().map(|(_, server)| server.clone()).collect();
    Ok(Some(Change { path: path.clone(), client: *client, before: text.clone(), after, taken, pointer }))
}

/// The text with an entry of ours in the place of those that go; `None` if that cannot be done and nothing else.
pub(crate) fn exchanged(
    path: &Path,
    text: &str,
    gone: &[String],
    entry: impl FnOnce(&Layout) -> String,
) -> Option<String> {
    let before = Layout::of(path, text)?;
    let entry = entry(&before);
    let entry = if text.contains("\r\n") { entry.replace("\r\n", "\n").replace('\n', "\r\n") } else { entry };
    let after = before.replaced(text, gone, &entry);
    let (was, is) = (Tree::of(path, text)?, Tree::of(path, &after)?);
    let stays: Vec<&str> = before.names().filter(|name| !gone.iter().any(|gone| gone == name)).collect();
    let layout = Layout::of(path, &after)?;
    let others: Vec<&str> = layout.names().filter(|name| !is_ours(name)).collect();
    let same = was.rest_equals(&is) && others == stays && stays.iter().all(|name| was.entry(name) == is.entry(name));
    (same && layout.names().filter(|name| is_ours(name)).count() == 1).then_some(after)
}

/// The variables that the client's entry must have for the configuration to be read when it starts us.
fn variables(
    source: &Source,
    configured: &Outline,
    env: &dyn Environment,
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut all = source.values.clone();
    let mut missing = Vec::new();
    for name in configured.servers.iter().flat_map(|(_, server)| needed(server)) {
        let elsewhere = || env.var(&name).and_then(|_| source.client.reference(&name));
        if all.contains_key(&name) {
            continue;
        }
        match elsewhere() {
            Some(value) => drop(all.insert(name, value)),
            None if missing.contains(&name) => {}
            None => missing.push(name),
        }
    }
    if missing.is_empty() {
        return Ok(all);
    }
    let client = source.client.title();
    let found = format!("{client} could not start Tollhouse: the configuration needs {}", missing.join(", "));
    let detail = "the values stand in the file of another client, and secrets are not copied from file to file";
    let hint = if source.client == Client::ClaudeDesktop {
        "take this client over into a configuration of its own: `--from claude-desktop --config FILE --repoint`"
    } else {
        "set them and lead the clients to a running gateway with `--repoint=url`, or take over one client into each `--config FILE`"
    };
    Err(Refusal::new(Exit::Fault, found, detail, hint))
}

fn layout(path: &Path) -> Refusal {
    Refusal::new(
        Exit::Fault,
        format_args!("the servers of {} are written in a way that is not known here", path.display()),
        "nothing in it was changed",
        "exchange the entries yourself; the guide has a section for each client",
    )
}

impl Change {
    /// Keeps the file as it was beside it, and writes it; gives where it is kept.
    ///
    /// # Errors
    /// It could not be written, or has changed since it was read; it is as it was.
    pub(crate) fn write(&self) -> anyhow::Result<PathBuf> {
        let mut free = kept(&self.path).filter(|kept| !kept.exists());
        let kept = free.next().with_context(|| format!("{KEPT_MAX} files are kept beside {}", self.path.display()))?;
        replace(&kept, Before::Absent, &self.before)?;
        let written = replace(&self.path, Before::Text(&self.before), &self.after);
        if written.is_err() {
            // It keeps what is there unchanged.
            let _ = fs::remove_file(&kept);
        }
        written.map(|()| kept)
    }
}

/// The names under which what was there is kept beside `path`, in order.
fn kept(path: &Path) -> impl Iterator<Item = PathBuf> {
    (1..=KEPT_MAX).map(move |n| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(KEPT);
        if n > 1 {
            name.push(format!("-{n}"));
        }
        path.with_file_name(name)
    })
}

/// The newest file that keeps what was at `path`.
pub(crate) fn newest_kept(path: &Path) -> Option<PathBuf> {
    kept(path).take_while(|kept| kept.exists()).last()
}

/// What came of the way back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Back {
    /// The file is what it was, to the byte.
    Exact,
    /// Its servers are; the client had changed other parts of it, which stay.
    Servers,
}

/// Leads the client whose file is at `path` back to its own servers. Afterwards nothing is kept of it.
///
/// # Errors
/// Servers have been changed since, or it cannot be read or written; it is as it was.
pub(crate) fn undo(path: &Path, dry: bool) -> anyhow::Result<Result<Option<Back>, Refusal>> {
    let Some(kept) = newest_kept(path) else { return Ok(Ok(None)) };
    let then = fs::read_to_string(&kept).with_context(|| format!("read {}", kept.display()))?;
    let now = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err(changed(path, &kept))),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let Some((text, back)) = restored(path, &now, &then) else { return Ok(Err(changed(path, &kept))) };
    if !dry {
        replace(path, Before::Text(&now), &text)?;
        fs::remove_file(&kept).with_context(|| format!("remove {}", kept.display()))?;
    }
    Ok(Ok(Some(back)))
}

fn changed(path: &Path, kept: &Path) -> Refusal {
    Refusal::new(
        Exit::Fault,
        format_args!("the servers of {} have been changed since they were exchanged", path.display()),
        &format!("the file as it was before is {}; neither was touched", kept.display()),
        "bring over by hand what you want to keep of either, then remove the kept file",
    )
}

/// The text of `now` with the servers of `then`; `None` if its servers are not what exchanging left of them.
pub(crate) fn restored(path: &Path, now: &str, then: &str) -> Option<(String, Back)> {
    let (is, was) = (Layout::of(path, now)?, Layout::of(path, then)?);
    let ours: Vec<String> = is.names().filter(|name| is_ours(name)).map(str::to_owned).collect();
    let [_] = ours.as_slice() else { return None };
    let gone: Vec<String> =
        was.names().filter(|name| is_ours(name) || !is.names().any(|have| have == *name)).map(str::to_owned).collect();
    // Exchanging again what was exchanged gives what is there, if nothing happened in between.
    if exchanged(path, then, &gone, |_| is.written(now, &ours)).as_deref() == Some(now) {
        return Some((then.to_owned(), Back::Exact));
    }
    let (tree, before) = (Tree::of(path, now)?, Tree::of(path, then)?);
    let untouched = is.names().filter(|name| !is_ours(name)).all(|name| before.entry(name) == tree.entry(name));
    if !untouched {
        return None;
    }
    let text = is.with_entries_of(now, &was, then, &ours)?;
    let after = Tree::of(path, &text)?;
    let whole = after.rest_equals(&tree) && was.names().all(|name| before.entry(name) == after.entry(name));
    (whole && Layout::of(path, &text)?.names().count() == was.names().count()).then_some((text, Back::Servers))
}
