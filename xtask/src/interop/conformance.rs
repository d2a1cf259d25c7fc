//! The official conformance suites, at the fixture directly and through the gateway.
//!
//! The fixture answers everything the suites ask for, so whatever a scenario gives less behind the gateway is the
//! gateway's doing. A difference that is meant is written down in `tests/interop/expected`, with its reason.

mod expected;
mod summary;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

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
    /// The gateway can reach it over these.
    transports: &'static [&'static str],
}

/// What needs the other era is asked of no fixture that lacks it: the gateway does not cross eras.
const KINDS: &[Kind] = &[
    Kind { name: "dual", options: &[], suites: &[STABLE, LEGACY, MODERN], transports: &["http", "stdio"] },
    Kind { name: "tasks", options: &["--tasks"], suites: &[MODERN], transports: &["http", "stdio"] },
    Kind { name: "legacy", options: &["--era", "legacy"], suites: &[STABLE, LEGACY], transports: &["http", "stdio"] },
    Kind { name: "modern", options: &["--era", "modern"], suites: &[MODERN], transports: &["http", "stdio"] },
];

/// Runs every suite of every kind, directly and over each transport of the gateway.
pub(super) fn take(site: &Site<'_>) -> anyhow::Result<()> {
    let runner = Runner::install(site)?;
    let fixture = site.fixture()?;
    let mut differences = Vec::new();
    for kind in KINDS {
        let mut command = site.command(&fixture);
        command.args(["http", "--listen", "127.0.0.1:0"]).args(kind.options);
        let mut direct = Peer::start(command, &site.logs.join(format!("fixture-{}", kind.name)))?;
        let url = direct.says(START_LIMIT, |said| said.lines().next().map(str::trim).map(str::to_owned))?;
        let gateway = Gateway::start(site, kind.name, &servers(kind, &fixture, &url))?;
        for suite in kind.suites {
            let base = runner.run(suite, &format!("direct-{}", kind.name), &url)?;
            ensure!(base.conforms(), "the fixture itself fails in {}:\n{base}", suite.name);
            for transport in kind.transports {
                let cell = format!("{transport}-{}", kind.name);
                let through = runner.run(suite, &cell, &gateway.url(transport))?;
                let expected = Expected::read(&site.brought("expected").join(format!("{cell}.yaml")))?;
                let found = expected.compare(suite.name, &base, &through);
                differences.extend(found.into_iter().map(|found| format!("{cell} {}: {found}", suite.name)));
            }
        }
    }
    for difference in &differences {
        eprintln!("  {difference}");
    }
    ensure!(differences.is_empty(), "{} differences that nothing explains", differences.len());
    Ok(())
}

/// One fixture, reached in two ways.
fn servers(kind: &Kind, fixture: &Path, url: &str) -> Value {
    let words: Vec<&str> = std::iter::once("stdio").chain(kind.options.iter().copied()).collect();
    json!({ "http": { "type": "http", "url": url }, "stdio": { "command": fixture, "args": words } })
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
