//! `cargo xtask ci`: everything that must hold before a change lands.

use crate::ground::{self, Ground, step};
use crate::tidy;

/// What `ci` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave out the tests, because they have just been run
    #[arg(long)]
    no_test: bool,
}

/// Takes the steps in the order of their price and stops at the first that fails.
pub(crate) fn run(ground: &Ground, args: &Args) -> anyhow::Result<()> {
    step("fmt", || ground::run(ground.cargo(&["fmt", "--all", "--check"])))?;
    step("tidy", || tidy::run(ground))?;
    step("clippy", || {
        ground::run(ground.cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"]))
    })?;
    if !args.no_test {
        step("test", || ground::run(ground.cargo(&["test", "--workspace", "--quiet"])))?;
    }
    step("doc", || {
        let mut doc = ground.cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
        doc.env("RUSTDOCFLAGS", "--deny warnings");
        ground::run(doc)
    })
}
