//! The configuration read again while the gateway runs: when its file changes, and at SIGHUP.
//!
//! The file is looked at every two seconds instead of being watched through the system: editors and deployments put
//! another file in its place, links are turned, and network file systems and mounts of containers tell nobody; a look
//! finds all of that and costs nothing. A file with mistakes changes nothing but the log.

use std::fs::Metadata;
use std::io::IsTerminal as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tollhouse_core::clock;
use tollhouse_core::ids::ServerId;
use tollhouse_web::{Reload, Taken};
use tracing::{error, info, warn};

use crate::build::{Program, Wanted, tell_notices};
use crate::config::env::Process;
use crate::config::{self, Loaded, Severity};
use crate::exports::peers;
use crate::secrets;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// A file is read when it has not changed for this long: some programs write in several goes.
const SETTLED: Duration = Duration::from_millis(200);
/// A file that changes all the time is read after so many of these.
const LOOKS_MAX: u32 = 25;

/// Where a configuration comes from, and which listeners follow from it.
pub(crate) struct Source<W> {
    path: PathBuf,
    /// What the file looked like before it was read.
    mark: Option<Mark>,
    wanted: W,
}

/// By what a changed file is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    modified: Option<SystemTime>,
    length: u64,
    device: u64,
    inode: u64,
}

impl From<Metadata> for Mark {
    fn from(file: Metadata) -> Self {
        Self { modified: file.modified().ok(), length: file.len(), device: file.dev(), inode: file.ino() }
    }
}

impl Mark {
    /// `None` if there is no such file.
    async fn of(path: &Path) -> Option<Self> {
        let path = path.to_owned();
        // It may lie on a file system that makes us wait.
        spawn_blocking(move || std::fs::metadata(path).ok().map(Self::from)).await.ok().flatten()
    }
}

impl<W: Fn(&Loaded) -> Wanted> Source<W> {
    /// The file at `path`, about to be read; `wanted` says which listeners follow from what is in it.
    pub(crate) async fn at(path: PathBuf, wanted: W) -> Self {
        Self { mark: Mark::of(&path).await, path, wanted }
    }

    /// What is in it.
    ///
    /// # Errors
    /// As [`config::load`].
    pub(crate) async fn load(&self) -> Result<Loaded, config::Report> {
        let path = self.path.clone();
        spawn_blocking(move || config::load(&path, &Process)).await.expect("reading a configuration does not panic")
    }

    pub(crate) fn wanted(&self, loaded: &Loaded) -> Wanted {
        (self.wanted)(loaded)
    }

    /// Waits until another file is there, or the same with other contents.
    async fn changed(&mut self) {
        loop {
            sleep(LOOK).await;
            let mut mark = Mark::of(&self.path).await;
            if mark == self.mark {
                continue;
            }
            for _ in 0..LOOKS_MAX {
                sleep(SETTLED).await;
                let before = std::mem::replace(&mut mark, Mark::of(&self.path).await);
                if mark == before {
                    break;
                }
            }
            self.mark = mark;
            return;
        }
    }
}

/// SIGHUP: a request to read the configuration, or the end of the terminal we were started from.
pub(crate) struct Hangups {
    signal: Signal,
    /// Started from a terminal.
    terminal: bool,
}

impl Hangups {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { signal: signal(SignalKind::hangup())?, terminal: on_terminal() })
    }
}

/// A terminal that is gone is none.
fn on_terminal() -> bool {
    std::io::stderr().is_terminal() || std::io::stdin().is_terminal()
}

/// Follows the configuration of a running gateway, which was started with `started`. Returns when the terminal is gone
/// that the gateway was started from.
pub(crate) async fn follow<W: Fn(&Loaded) -> Wanted>(
    program: &Program,
    mut source: Source<W>,
    started: &Loaded,
    mut hangups: Hangups,
) {
    loop {
        tokio::select! {
            () = source.changed() => {}
            _ = hangups.signal.recv() => {
                if hangups.terminal && !on_terminal() {
                    info!(target: "tollhouse.program", "the terminal is gone");
                    return;
                }
                source.mark = Mark::of(&source.path).await;
            }
        }
        let last = match source.load().await {
            Ok(loaded) => take(program, &source, started, &loaded),
            Err(report) => Err(refuse(&report)),
        };
        let mut reloads = program.reloads.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let result = if last.is_ok() { Taken::Applied } else { Taken::Refused };
        match result {
            Taken::Applied => reloads.applied += 1,
            Taken::Refused => reloads.refused += 1,
        }
        reloads.last = Some(Reload { at_unix_ms: clock::unix_millis(clock::wall()), result, error: last.err() });
    }
}

/// Puts what was read in force.
///
/// # Errors
/// It cannot be; why.
fn take<W: Fn(&Loaded) -> Wanted>(
    program: &Program,
    source: &Source<W>,
    started: &Loaded,
    loaded: &Loaded,
) -> Result<(), String> {
    secrets::know(&loaded.settings);
    let report = match program.handle.reload(&loaded.settings) {
        Ok(report) => report,
        Err(error) => {
            error!(target: "tollhouse.config", %error, "the configuration was not taken; the one before it stays in force");
            return Err(error.to_string());
        }
    };
    // Nobody may look at the names any more: then the admin listener has ended.
    let _ = program.front_door.send(loaded.settings.front_door.clone());
    // The pipeline outlives whoever reads a configuration.
    let _ = program.capture.send(loaded.capture.clone());
    if let Some(servers) = &program.peers {
        // Without a pipeline nobody tells of calls.
        let _ = servers.send(peers(&loaded.settings));
    }
    tell_notices(&loaded.notices);
    let restart = needs_restart((started, source.wanted(started)), (loaded, source.wanted(loaded)));
    let (added, removed, changed) = (list(&report.added), list(&report.removed), list(&report.changed));
    info!(
        target: "tollhouse.config",
        added, removed, changed, unchanged = report.unchanged.len(), "the configuration was read again"
    );
    if !restart.is_empty() {
        let keys = restart.join(", ");
        warn!(target: "tollhouse.config", keys, "needs a restart: these keys have another value than at the start");
    }
    Ok(())
}

/// Names of servers, or nothing to be told.
fn list(servers: &[ServerId]) -> Option<String> {
    let names: Vec<_> = servers.iter().map(ServerId::as_str).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The keys whose values a running gateway does not change.
fn needs_restart(started: (&Loaded, Wanted), loaded: (&Loaded, Wanted)) -> Vec<&'static str> {
    let ((started, was), (loaded, is)) = (started, loaded);
    let (limits, other) = (&started.settings.limits, &loaded.settings.limits);
    let keys = [
        ("listen", was.listen != is.listen),
        ("admin", was.admin != is.admin),
        ("log", started.log != loaded.log),
        ("store", started.store != loaded.store),
        ("limits.records", limits.records != other.records),
        ("limits.record_bodies", limits.record_bodies != other.record_bodies),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

/// Tells every mistake; the first of them, in one line.
fn refuse(report: &config::Report) -> String {
    let mut first = None;
    let mut mistakes = 0;
    for finding in &report.findings {
        let (code, at) = (finding.code.as_str(), finding.at());
        let (detail, hint) = (finding.detail.as_deref(), finding.hint.as_deref());
        if finding.severity == Severity::Warning {
            warn!(target: "tollhouse.config", code, at, detail, hint, "{}", finding.found);
            continue;
        }
        error!(target: "tollhouse.config", code, at, detail, hint, "{}", finding.found);
        mistakes += 1;
        let place = at.as_deref().unwrap_or(&finding.file);
        first.get_or_insert_with(|| format!("{place}: {} [{code}]", finding.found));
    }
    error!(target: "tollhouse.config", mistakes, "the configuration was not taken; the one before it stays in force");
    first.unwrap_or_default()
}
