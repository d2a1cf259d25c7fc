//! `cargo xtask bench`: what a call through the gateway costs beside a plain proxy, in one run on one machine.

use crate::ground::{self, Ground};

/// What `bench` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Passed on to `tollhouse-bench run`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds both programs as they are released and runs the comparison; its figures go to `target/bench.json`.
pub(crate) fn run(ground: &Ground, args: &Args) -> anyhow::Result<()> {
    ground::run(ground.cargo(&["build", "--release", "--package", "tollhouse", "--package", "tollhouse-bench"]))?;
    let release = ground.target().join("release");
    let mut bench = ground.command(release.join("tollhouse-bench"));
    bench.arg("run").arg("--tollhouse").arg(release.join("tollhouse"));
    bench.arg("--out").arg(ground.target().join("bench.json")).args(&args.rest);
    ground::run(bench)
}
