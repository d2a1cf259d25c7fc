//! `cargo xtask interop`: the gateway among programs that are not ours. Some steps install what they need; nothing
//! is left out in silence.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use crate::ground::{Ground, output, step};

/// What `interop` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these steps; without names, all
    steps: Vec<String>,
}

/// One step: its name on the command line, and what it does.
struct Step {
    name: &'static str,
    take: fn(&Site) -> anyhow::Result<()>,
}

/// What every step is given.
struct Site<'a> {
    ground: &'a Ground,
    /// The program to be tried.
    tollhouse: PathBuf,
    /// A folder of the step's own, gone afterwards. It also serves as home.
    scratch: TempDir,
}

/// In the order they are taken: what is quick first.
const STEPS: &[Step] = &[Step { name: "demo", take: demo }];

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
            take(&Site { ground, tollhouse: tollhouse.clone(), scratch })
        });
        if let Err(error) = taken {
            eprintln!("error: {error:#}");
            failed.push(*name);
        }
    }
    ensure!(failed.is_empty(), "these steps failed: {}", failed.join(", "));
    Ok(())
}

/// The demonstration plays its script through a real gateway and every call is answered.
fn demo(site: &Site<'_>) -> anyhow::Result<()> {
    let mut demo = site.ground.command(&site.tollhouse);
    demo.args(["demo", "--once", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).env("HOME", site.scratch.path());
    let told = output(&mut demo)?;
    let table = told.rsplit_once("\n\n").map_or("", |(_, table)| table);
    ensure!(table.starts_with("server ") && table.lines().count() > 10, "there is no closing table:\n{told}");
    Ok(())
}
