//! The official conformance suites, at the fixture directly and through the gateway.
//!
//! The fixture answers everything the suites ask for, so whatever a scenario gives less behind the gateway is the
//! gateway's doing. A difference that is meant is written down in `tests/interop/expected`, with its reason.

mod expected;
mod summary;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;

use self::expected::Expected;
use self::summary::Summary;
use super::gateway::Gateway;
use super::peer::{self, Peer};
use super::{Site, tools};

/// One run of a suite: it takes 11 s, most of them waits for what must not come.
const RUN_LIMIT: Duration = Duration::from_mins(2);

/// For the fixture to listen.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A set of scenarios.
#[derive(Debug)]
struct Suite {
    name: &'static str,
    package: &'static str,
    words: &'static [&'static str],
}

const STABLE: Suite =
    Suite { name: "0.1.16", package: "@modelcontextprotocol/conformance@0.1.16", words: &["--suite", "all"] };
const NEXT: &str = "@modelcontextprotocol/conformance@0.2.0-alpha.12";
const LEGACY: Suite = Suite { name: "2025-11-25", package: NEXT, words: &["--requirements", "2025-11-25"] };
const MODERN: Suite = Suite { name: "2026-07-28", package: NEXT, words: &["--requirements", "2026-07-28"] };

/// One kind of fixture: what is asked of it, directly and through the gateway.
struct Kind {
    name: &'static str,
    options: &'static [&'static str],
    suites: &'static [Suite],
    doors: &'static [Door],
    /// What is asked of it in the other era, which it does not speak, and the gateway translates. The comparison is
    /// with a fixture that speaks both.
    crossed: &'static [Suite],
}

/// Where the gateway has the fixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// `/servers/http/mcp`, reached over HTTP.
    Http,
    /// `/servers/stdio/mcp`, reached over standard input and output.
    Stdio,
    /// `/mcp`, where it is the only server.
    Front,
    /// `/mcp`, where another server stands beside it and names change on collision alone.
    Fleet,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "dual",
        options: &[],
        suites: &[STABLE, LEGACY, MODERN],
        doors: &[Door::Http, Door::Stdio, Door::Front, Door::Fleet],
        crossed: &[],
    },
    Kind {
        name: "tasks",
        options: &["--tasks"],
        suites: &[MODERN],
        doors: &[Door::Http, Door::Stdio, Door::Front],
        crossed: &[],
    },
    Kind {
        name: "legacy",
        options: &["--era", "legacy"],
        suites: &[STABLE, LEGACY],
        doors: &[Door::Http, Door::Stdio],
        crossed: &[MODERN],
    },
    Kind {
        name: "modern",
        options: &["--era", "modern"],
        suites: &[MODERN],
        doors: &[Door::Http, Door::Stdio],
        crossed: &[STABLE, LEGACY],
    },
];

/// Fixtures under test at the same time, each with processes of its own: the suites mostly wait for what must not come.
const AT_ONCE: usize = 3;

/// The runs that share a fixture, one after another: some scenarios change what all its clients are told of.
struct Stand {
    kind: &'static Kind,
    /// `None` is the fixture itself.
    doors: Vec<Option<Door>>,
}

/// What was found, by the name of the kind, the door and the suite.
type Found = BTreeMap<(&'static str, Option<&'static str>, &'static str), Summary>;

/// Runs every suite of every kind, directly and at each door of the gateway.
pub(super) fn take(site: &Site<'_>) -> anyhow::Result<()> {
    let runner = Runner::install(site)?;
    let fixture = site.fixture()?;
    let waiting = Mutex::new(stands().into_iter());
    let found = Mutex::new(Found::new());
    let work = || -> anyhow::Result<()> {
        loop {
            let next = waiting.lock().expect("nobody panics with it").next();
            let Some(stand) = next else { return Ok(()) };
            let summaries = stand.run(&runner, &fixture)?;
            found.lock().expect("nobody panics with it").extend(summaries);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;

    let found = found.into_inner().expect("nobody panics with it");
    let mut differences = Vec::new();
    for ((kind, door, suite), summary) in &found {
        let Some(door) = door else {
            ensure!(summary.conforms(), "the fixture itself fails in {suite}:\n{summary}");
            continue;
        };
        let base = found.get(&(kind, None, suite)).or_else(|| found.get(&("dual", None, suite)));
        let base = base.context("find what the fixture gives directly")?;
        let expected = Expected::read(&site.brought("expected").join(format!("{door}-{kind}.yaml")))?;
        let unlike = expected.compare(suite, base, summary);
        differences.extend(unlike.into_iter().map(|unlike| format!("{door}-{kind} {suite}: {unlike}")));
    }
    for difference in &differences {
        eprintln!("  {difference}");
    }
    ensure!(differences.is_empty(), "{} differences that nothing explains", differences.len());
    Ok(())
}

/// What may stand at the same time as others; what takes longest comes first.
fn stands() -> Vec<Stand> {
    let mut stands = Vec::new();
    for kind in KINDS {
        let (alone, shared): (Vec<Door>, Vec<Door>) =
            kind.doors.iter().partition(|door| matches!(door, Door::Front | Door::Fleet));
        stands.push(Stand { kind, doors: std::iter::once(None).chain(shared.into_iter().map(Some)).collect() });
        stands.extend(alone.into_iter().map(|door| Stand { kind, doors: vec![Some(door)] }));
    }
    stands
}

impl Stand {
    fn run(&self, runner: &Runner<'_>, fixture: &Path) -> anyhow::Result<Found> {
        let (site, kind) = (runner.site, self.kind);
        let name = format!("{}-{}", self.doors.last().map_or("direct", |door| named(*door)), kind.name);
        let mut command = site.command(fixture);
        command.args(["http", "--listen", "127.0.0.1:0"]).args(kind.options);
        let mut direct = Peer::start(command, &site.logs.join(format!("fixture-{name}")))?;
        let url = direct.says(START_LIMIT, |said| said.lines().next().map(str::trim).map(str::to_owned))?;
        let words: Vec<&str> = std::iter::once("stdio").chain(kind.options.iter().copied()).collect();
        let over_http = json!({ "url": url });
        let gateway = if self.doors.contains(&Some(Door::Fleet)) {
            let beside = json!({ "command": site.tollhouse, "args": ["demo-server", "notes"] });
            let servers = json!({ "http": over_http, "notes": beside });
            Gateway::start_with(site, &name, &json!({ "servers": servers, "names": { "prefix": "on_collision" } }))?
        } else if self.doors.contains(&Some(Door::Front)) {
            Gateway::start(site, &name, &json!({ "http": over_http }))?
        } else {
            let over_stdio = json!({ "command": fixture, "args": words });
            Gateway::start(site, &name, &json!({ "http": over_http, "stdio": over_stdio }))?
        };
        let mut found = Found::new();
        for door in &self.doors {
            let url = match door {
                None => url.clone(),
                Some(Door::Http) => gateway.url("http"),
                Some(Door::Stdio) => gateway.url("stdio"),
                Some(Door::Front | Door::Fleet) => gateway.front(),
            };
            let crossed = kind.crossed.iter().filter(|_| door.is_some());
            for suite in kind.suites.iter().chain(crossed) {
                let summary = runner.run(suite, &format!("{}-{}", named(*door), kind.name), &url)?;
                found.insert((kind.name, door.map(Door::name), suite.name), summary);
            }
        }
        Ok(found)
    }
}

fn named(door: Option<Door>) -> &'static str {
    door.map_or("direct", Door::name)
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Stdio => "stdio",
            Self::Front => "front",
            Self::Fleet => "fleet",
        }
    }
}

/// The suites, installed.
struct Runner<'a> {
    site: &'a Site<'a>,
    node: PathBuf,
    modules: BTreeMap<&'static str, PathBuf>,
}

impl<'a> Runner<'a> {
    fn install(site: &'a Site<'a>) -> anyhow::Result<Self> {
        let mut modules = BTreeMap::new();
        for (folder, suite) in [("suite-stable", STABLE), ("suite-next", MODERN)] {
            modules.insert(suite.package, tools::npm(site, folder, &[suite.package])?);
        }
        Ok(Self { site, node: tools::node(site)?, modules })
    }

    /// Runs one suite at one address, and tells the total.
    fn run(&self, suite: &Suite, cell: &str, url: &str) -> anyhow::Result<Summary> {
        let started = Instant::now();
        let log = self.site.logs.join(format!("{cell}-{}", suite.name));
        let mut command = self.site.command(&self.node);
        command.arg(self.modules[suite.package].join("@modelcontextprotocol/conformance/dist/index.js"));
        command.args(["server", "--url", url]).args(suite.words);
        // Whoever wonders about a check finds what it saw there.
        command.arg("--output-dir").arg(&log);
        // Its status says whether every scenario passed, which is not the question here.
        let ended = peer::run(command, &log, RUN_LIMIT)?;
        let summary = Summary::read(&ended.stdout).with_context(|| format!("read {}.out", log.display()))?;
        let total = format!("{}/{}", summary.passed(), summary.passed() + summary.failed());
        eprintln!("  {cell:<14} {:<10} {total:>7}  {:.1} s", suite.name, started.elapsed().as_secs_f64());
        Ok(summary)
    }
}
