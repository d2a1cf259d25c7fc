//! What the program is made of, and how its texts are spelt: cargo-deny and typos, installed in exact versions.
//!
//! Licences, bans and sources are always judged. Advisories need a database that is a git repository; where it cannot
//! be reached, that is said aloud, because a run without it proves less.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::peer;
use super::{Site, tools};

const CARGO_DENY: &str = "cargo-deny@0.20.2";
const TYPOS: &str = "typos==1.52.0";

/// It takes a minute on two cores.
const BUILD_LIMIT: Duration = Duration::from_mins(10);

/// One look at everything.
const LOOK_LIMIT: Duration = Duration::from_mins(2);

/// Where the advisories are.
const ADVISORIES: &str = "https://github.com/rustsec/advisory-db";

/// Judges dependencies, then words.
pub(super) fn take(site: &Site<'_>) -> anyhow::Result<()> {
    let typos = tools::python(site, "typos", &[TYPOS])?.join("typos");
    let mut spelling = site.command(typos);
    spelling.arg("--config").arg(site.brought("audit/typos.toml"));
    peer::run(spelling, &site.logs.join("typos"), LOOK_LIMIT)?.well().context("look for misspelt words")?;
    eprintln!("  words: no mistakes");

    let deny = cargo_deny(site)?;
    let mut what = vec!["licenses", "bans", "sources"];
    let mut ask = site.command("git");
    ask.args(["ls-remote", ADVISORIES, "HEAD"]).env("GIT_TERMINAL_PROMPT", "0");
    if peer::run(ask, &site.logs.join("advisories"), LOOK_LIMIT).is_ok_and(|asked| asked.status.success()) {
        what.push("advisories");
    } else {
        eprintln!("  advisories: NOT LOOKED AT, the database cannot be reached");
    }
    let mut check = dependencies(site, &deny);
    check.args(&what);
    peer::run(check, &site.logs.join("deny"), LOOK_LIMIT)?.well().context("judge the dependencies")?;
    eprintln!("  dependencies: {} in order", what.join(", "));
    Ok(())
}

fn dependencies(site: &Site<'_>, deny: &Path) -> Command {
    let mut check = site.ground.command(deny);
    check.args(["--all-features", "--locked", "--color=never", "--config"]);
    check.arg(site.brought("audit/deny.toml")).arg("check");
    check
}

/// Built here, without optimisation: it runs for a second.
fn cargo_deny(site: &Site<'_>) -> anyhow::Result<PathBuf> {
    let folder = site.installed("cargo-deny");
    tools::once(&folder, &[CARGO_DENY], || {
        let mut cargo = site.ground.cargo(&["install", "--quiet", "--locked", "--debug", CARGO_DENY, "--root"]);
        cargo.arg(&folder);
        peer::run(cargo, &site.logs.join("cargo-deny"), BUILD_LIMIT)?.well()?;
        Ok(())
    })?;
    Ok(folder.join("bin/cargo-deny"))
}
