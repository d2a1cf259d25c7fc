//! `tollhouse check`: every mistake of a configuration at once, without starting anything.

use std::io::Write;

use anyhow::Context as _;

use super::Common;
use crate::config::{self, env::Process};
use crate::exit::Exit;
use crate::run;

/// What `check` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse check --config tollhouse.yaml  say what is wrong, with line and column
  tollhouse check --schema                 the JSON Schema of tollhouse.yaml, for editors"
)]
pub(crate) struct Args {
    /// Write the JSON Schema of the configuration
    #[arg(long)]
    pub(crate) schema: bool,
}

/// Says what is wrong, or that nothing is.
pub(crate) fn run(common: &Common, args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    if args.schema {
        serde_json::to_writer_pretty(&mut *out, &config::schema()).context("write the schema")?;
        writeln!(out).context("write the schema")?;
        return Ok(Exit::Ok);
    }
    let Some(path) = super::configuration(common)? else { return Ok(Exit::Config) };
    match config::load(&path, &Process) {
        Ok(loaded) => {
            for notice in &loaded.notices {
                writeln!(std::io::stderr(), "{notice}").context("write the notices")?;
            }
            let servers = loaded.settings.servers.len();
            let plural = if servers == 1 { "" } else { "s" };
            writeln!(out, "{}: {servers} server{plural}, no mistake", path.display()).context("write the verdict")?;
            Ok(Exit::Ok)
        }
        Err(report) => Ok(run::refused(&report)),
    }
}
