//! `tollhouse completions`: what a shell needs to complete our command line.

use std::io::Write;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;

/// What `completions` takes.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse completions bash > ~/.local/share/bash-completion/completions/tollhouse
  tollhouse completions zsh > \"${fpath[1]}/_tollhouse\"
  tollhouse completions fish > ~/.config/fish/completions/tollhouse.fish"
)]
pub(crate) struct Args {
    /// Which shell
    pub(crate) shell: Shell,
}

/// Writes the script.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tollhouse", &mut script);
    out.write_all(&script).context("write the completions")
}
