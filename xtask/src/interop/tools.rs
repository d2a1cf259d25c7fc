//! What a step needs and a machine may lack. Packages are pinned, installed under `target/interop` and kept there
//! until another version is asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::peer;
use super::{Site, empty};

/// One installation; on a slow line the largest package is 60 MB.
const INSTALL_LIMIT: Duration = Duration::from_mins(5);

/// The suites and clients need 22 at least. This package is the program itself.
const NODE: &str = "node@22.23.3";

/// The Node.js that runs what comes from npm.
pub(super) fn node(site: &Site<'_>) -> anyhow::Result<PathBuf> {
    Ok(npm(site, "node", &[NODE])?.join("node/bin/node"))
}

/// Packages from npm in a folder of their own; answers with its `node_modules`.
pub(super) fn npm(site: &Site<'_>, name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let folder = site.installed(name);
    once(&folder, packages, || {
        debian(site, "npm", "npm")?;
        let mut npm = site.ground.command("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error", "--prefix"]);
        npm.arg(&folder).args(packages);
        peer::run(npm, &site.logs.join(format!("npm-{name}")), INSTALL_LIMIT)?.well()?;
        Ok(())
    })?;
    Ok(folder.join("node_modules"))
}

/// Packages from `PyPI` in an environment of their own; answers with the folder of its programs.
pub(super) fn python(site: &Site<'_>, name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let folder = site.installed(name);
    let programs = folder.join("bin");
    once(&folder, packages, || {
        debian(site, "python3", "python3")?;
        let venv = || {
            let mut venv = site.ground.command("python3");
            venv.args(["-m", "venv"]).arg(&folder);
            peer::run(venv, &site.logs.join(format!("venv-{name}")), INSTALL_LIMIT)?.well()
        };
        // Debian has it in a package of its own, and says so only when it is used.
        if venv().is_err() {
            apt(site, "python3-venv").context("make a Python environment without `venv`")?;
            venv()?;
        }
        if packages.is_empty() {
            return Ok(());
        }
        let mut pip = site.ground.command(programs.join("pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages);
        peer::run(pip, &site.logs.join(format!("pip-{name}")), INSTALL_LIMIT)?.well()?;
        Ok(())
    })?;
    Ok(programs)
}

/// The collector's program, which its package keeps among its modules.
pub(super) fn rotel(site: &Site<'_>, python: &Path) -> anyhow::Result<PathBuf> {
    let mut ask = site.ground.command(python);
    ask.args(["-c", "import importlib.util as u; print(u.find_spec('rotel').submodule_search_locations[0])"]);
    let folder = peer::run(ask, &site.logs.join("ask-rotel"), INSTALL_LIMIT)?.well()?;
    Ok(Path::new(folder.trim_end()).join("rotel-agent"))
}

/// The archive of a source distribution from `PyPI`, as it was published: nothing is built.
pub(super) fn sdist(site: &Site<'_>, name: &str, package: &str) -> anyhow::Result<PathBuf> {
    let folder = site.installed(name);
    let python = python(site, "python", &[])?;
    once(&folder, &[package], || {
        let mut pip = site.ground.command(python.join("pip"));
        pip.args(["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]);
        pip.args(["--no-binary=:all:", package, "--dest"]).arg(&folder).env("PYTHONPATH", site.brought("sdist"));
        peer::run(pip, &site.logs.join(format!("pip-{name}")), INSTALL_LIMIT)?.well()?;
        Ok(())
    })?;
    let entries = fs::read_dir(&folder).with_context(|| format!("look into {}", folder.display()))?;
    let archive = entries.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.extension().is_some());
    archive.with_context(|| format!("find the archive in {}", folder.display()))
}

/// Installs into a folder unless just that was installed there before.
pub(super) fn once(folder: &Path, wanted: &[&str], install: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (stamp, wanted) = (folder.join("installed"), wanted.join("\n"));
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    empty(folder)?;
    install().with_context(|| format!("install {}", wanted.replace('\n', ", ")))?;
    fs::write(&stamp, &wanted).with_context(|| format!("write {}", stamp.display()))
}

/// A program that Debian packages: taken as it is, else installed if we may.
pub(super) fn debian(site: &Site<'_>, program: &str, package: &str) -> anyhow::Result<()> {
    let mut ask = site.ground.command(program);
    ask.arg("--version");
    let found = peer::run(ask, &site.logs.join(format!("ask-{program}")), INSTALL_LIMIT);
    if found.is_ok_and(|found| found.status.success()) {
        return Ok(());
    }
    apt(site, package).with_context(|| format!("find `{program}`, which this step needs"))
}

fn apt(site: &Site<'_>, package: &str) -> anyhow::Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the Debian package `{package}` is missing, and only root could install it"
    );
    for words in [&["update", "--quiet"][..], &["install", "--yes", "--quiet", "--no-install-recommends", package]] {
        let mut apt = site.ground.command("apt-get");
        apt.args(words).env("DEBIAN_FRONTEND", "noninteractive");
        peer::run(apt, &site.logs.join(format!("apt-{package}")), INSTALL_LIMIT)?.well()?;
    }
    Ok(())
}
