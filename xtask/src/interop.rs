//! `cargo xtask interop`: the gateway among programs that are not ours. Some steps install what they need; nothing
//! is left out in silence.
//!
//! Whatever a step starts writes into files under `target/interop/logs`, never into a pipe that nobody empties, has
//! no input, and is ended with all its children; every wait has a limit.

mod peer;
mod tools;

mod gateway;

mod audit;
mod browser;
mod clients;
mod conformance;
mod deploy;
mod json_suite;
mod otlp;
mod prometheus;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use crate::ground::{self, Ground, output, step};

/// What `interop` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these steps; without names, all
    steps: Vec<String>,
    /// Write docs/guide/matrix.md from what the clients saw, instead of comparing it
    #[arg(long)]
    write: bool,
    /// Of the clients' cells only those whose name contains this, as in "python-auto at fast"
    #[arg(long, value_name = "TEXT", conflicts_with = "write")]
    only: Option<String>,
}

/// One step: its name on the command line, and what it does.
struct Step {
    name: &'static str,
    take: fn(&Site<'_>) -> anyhow::Result<()>,
}

/// What every step is given.
struct Site<'a> {
    ground: &'a Ground,
    /// The program to be tried.
    tollhouse: PathBuf,
    /// A folder of the step's own, gone afterwards. It also serves as home.
    scratch: TempDir,
    /// Where the step's children write; kept until the step is taken again.
    logs: PathBuf,
    args: &'a Args,
}

/// In the order they are taken: what is quick first.
const STEPS: &[Step] = &[
    Step { name: "demo", take: demo },
    Step { name: "json-suite", take: json_suite::take },
    Step { name: "deploy", take: deploy::take },
    Step { name: "prometheus", take: prometheus::take },
    Step { name: "browser", take: browser::take },
    Step { name: "otlp", take: otlp::take },
    Step { name: "conformance", take: conformance::take },
    Step { name: "clients", take: clients::take },
    Step { name: "audit", take: audit::take },
];

/// Takes the steps, all of them even if one fails, and names those that did.
pub(crate) fn run(ground: &Ground, args: &Args) -> anyhow::Result<()> {
    if let Some(unknown) = args.steps.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        bail!("there is no step `{unknown}`; there are: {}", names.join(", "));
    }
    let tollhouse = ground.tollhouse()?;
    let chosen = STEPS.iter().filter(|step| args.steps.is_empty() || args.steps.iter().any(|name| name == step.name));
    let mut failed = Vec::new();
    for Step { name, take } in chosen {
        let taken = step(name, || {
            let scratch = TempDir::new().context("make a scratch folder")?;
            let logs = ground.target().join("interop/logs").join(name);
            empty(&logs)?;
            take(&Site { ground, tollhouse: tollhouse.clone(), scratch, logs, args })
        });
        if let Err(error) = taken {
            eprintln!("error: {error:#}");
            failed.push(*name);
        }
    }
    ensure!(failed.is_empty(), "these steps failed: {}", failed.join(", "));
    Ok(())
}

impl Site<'_> {
    /// Where things are installed, for this run and later ones.
    fn installed(&self, name: &str) -> PathBuf {
        self.ground.target().join("interop").join(name)
    }

    /// What this repository brings to the steps.
    fn brought(&self, name: &str) -> PathBuf {
        self.ground.root.join("tests/interop").join(name)
    }

    /// A program that finds nothing of the user's at home.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.ground.command(program);
        command.env("HOME", self.scratch.path());
        command
    }

    /// Builds the conformance fixture and answers with its path.
    fn fixture(&self) -> anyhow::Result<PathBuf> {
        ground::run(self.ground.cargo(&["build", "--quiet", "--package", "tollhouse-fixture"]))?;
        Ok(self.ground.target().join("debug").join(format!("tollhouse-fixture{}", std::env::consts::EXE_SUFFIX)))
    }
}

/// Makes a folder, empty.
fn empty(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))
}

/// The demonstration plays its script through a real gateway and every call is answered.
fn demo(site: &Site<'_>) -> anyhow::Result<()> {
    let mut demo = site.command(&site.tollhouse);
    demo.args(["demo", "--once", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let told = output(&mut demo)?;
    let table = told.rsplit_once("\n\n").map_or("", |(_, table)| table);
    ensure!(table.starts_with("server ") && table.lines().count() > 10, "there is no closing table:\n{told}");
    Ok(())
}
