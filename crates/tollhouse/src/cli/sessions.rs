//! `tollhouse sessions`: which conversations there were, and what one of them did.

use std::io::{IsTerminal as _, Write};

use anyhow::Context as _;
use clap::Subcommand;
use tollhouse_web::api::{Calls, SessionView, Sessions};

use super::Common;
use super::recorded::{ask, encoded, fitted, length, lines, now_us, target, time};
use crate::config::without_controls;
use crate::exit::Exit;

/// What `sessions` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    disable_help_subcommand = true,
    before_help = "Examples:
  tollhouse sessions                    those of the last day, the last used first
  tollhouse sessions --since 7d         those of a week
  tollhouse sessions show plan-b        what this one did"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) what: Option<What>,
    /// Only those used since then: `15m`, `24h`, `7d`
    #[arg(long, value_name = "LENGTH", default_value = "24h")]
    pub(crate) since: String,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// What to show.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum What {
    /// Show the calls of one session
    #[command(
        help_template = super::HELP,
        before_help = "Examples:
  tollhouse sessions show thread-7         its calls, oldest first
  tollhouse sessions show thread-7 --json  for a script, an object a line"
    )]
    Show {
        /// Its id
        id: String,
    },
}

/// Shows them.
pub(crate) async fn run(common: &Common, args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    if let Some(What::Show { id }) = &args.what {
        return show(common, id, out).await;
    }
    let path = format!("/api/v1/sessions?limit={}&range={}", args.limit, encoded(&args.since));
    let found: Sessions = match ask(common, &path).await? {
        Ok((found, _)) => found,
        Err(exit) => return Ok(exit),
    };
    if found.sessions.is_empty() {
        // Without a standard error the empty list still tells it.
        let _ = writeln!(std::io::stderr(), "no session was used in this time");
        return Ok(Exit::Ok);
    }
    if common.json || !std::io::stdout().is_terminal() {
        lines(out, &found.sessions)?;
        return Ok(Exit::Ok);
    }
    let wide = |of: fn(&SessionView) -> String, least: usize, most: usize| {
        found.sessions.iter().map(|session| of(session).chars().count()).fold(least, usize::max).min(most)
    };
    let (id, source) = (wide(|session| session.id.clone(), 7, 36), wide(|session| session.source.clone(), 8, 24));
    writeln!(
        out,
        "{}  {}  {:>6}  {:>6}  {:8}  {:>9}  servers",
        fitted("session", id),
        fitted("found by", source),
        "calls",
        "failed",
        "last",
        "lasted"
    )
    .context("write the sessions")?;
    for session in &found.sessions {
        writeln!(
            out,
            "{}  {}  {:>6}  {:>6}  {:8}  {:>9}  {}",
            fitted(&without_controls(&session.id), id),
            fitted(&without_controls(&session.source), source),
            session.calls,
            session.failed,
            time(session.last_us, now_us()),
            length(session.last_us.saturating_sub(session.first_us)),
            session.servers.join(", ")
        )
        .context("write the sessions")?;
    }
    Ok(Exit::Ok)
}

async fn show(common: &Common, id: &str, out: &mut impl Write) -> anyhow::Result<Exit> {
    let page: Calls = match ask(common, &format!("/api/v1/sessions/{}?limit=1000", encoded(id))).await? {
        Ok((page, _)) => page,
        Err(exit) => return Ok(exit),
    };
    let mut calls = page.calls;
    calls.reverse();
    if common.json || !std::io::stdout().is_terminal() {
        lines(out, &calls)?;
        return Ok(Exit::Ok);
    }
    let mut before = calls.first().map_or(0, |call| call.at_us);
    for call in &calls {
        let idle = call.at_us.saturating_sub(before);
        if idle > 60_000_000 {
            writeln!(out, "          … {} later", length(idle)).context("write the session")?;
        }
        before = call.at_us + call.total_us;
        let outcome = call.error.as_deref().map_or_else(String::new, |error| format!("  {} {error}", call.outcome));
        writeln!(
            out,
            "{:8}  {}  {:>9}{outcome}",
            time(call.at_us, now_us()),
            fitted(&target(call), 40),
            length(call.total_us)
        )
        .context("write the session")?;
    }
    if page.next.is_some() {
        // Without a standard error the list is as good as it was.
        let _ = writeln!(std::io::stderr(), "only the last {} calls are shown", calls.len());
    }
    Ok(Exit::Ok)
}
