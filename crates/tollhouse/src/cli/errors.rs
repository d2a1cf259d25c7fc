//! `tollhouse errors`: what fails, since when, how often.

use std::io::{IsTerminal as _, Write};

use anyhow::Context as _;
use tollhouse_web::api::Errors;

use super::Common;
use super::recorded::{ask, encoded, fitted, lines, now_us, time};
use crate::config::without_controls;
use crate::exit::Exit;

/// What `errors` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse errors               what failed within the last day
  tollhouse errors --since 7d    within a week
  tollhouse errors --json        for a script, an object a line"
)]
pub(crate) struct Args {
    /// Only those that occurred since then: `15m`, `24h`, `7d`
    #[arg(long, value_name = "LENGTH", default_value = "24h")]
    pub(crate) since: String,
    /// At most so many kinds
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// Shows them.
pub(crate) async fn run(common: &Common, args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    let path = format!("/api/v1/errors?limit={}&range={}", args.limit, encoded(&args.since));
    let found: Errors = match ask(common, &path).await? {
        Ok((found, _)) => found,
        Err(exit) => return Ok(exit),
    };
    if found.errors.is_empty() {
        // Without a standard error the empty list still tells it.
        let _ = writeln!(std::io::stderr(), "nothing failed in this time");
        return Ok(Exit::Ok);
    }
    if common.json || !std::io::stdout().is_terminal() {
        lines(out, &found.errors)?;
        return Ok(Exit::Ok);
    }
    writeln!(out, "{:>6}  {:18}  {:40}  {:8}  {:8}  last call", "count", "error", "server/tool", "first", "last")
        .context("write the errors")?;
    for group in &found.errors {
        let target =
            if group.server.is_empty() { group.name.clone() } else { format!("{}/{}", group.server, group.name) };
        writeln!(
            out,
            "{:>6}  {}  {}  {:8}  {:8}  {}",
            group.count,
            fitted(&without_controls(&group.error), 18),
            fitted(&without_controls(&target), 40),
            time(group.first_us, now_us()),
            time(group.last_us, now_us()),
            group.calls.first().map_or("", String::as_str)
        )
        .context("write the errors")?;
    }
    Ok(Exit::Ok)
}
