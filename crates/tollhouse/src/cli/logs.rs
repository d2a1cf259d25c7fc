//! `tollhouse logs`: the trail of who called what, and what became of it; a line per call, as it is kept.
//!
//! It is read from what `serve` has kept, not from log lines, so it is complete within its retention and holds no value of
//! an argument or result.

use std::io::{IsTerminal as _, Write};

use anyhow::Context as _;
use tollhouse_web::api::CallView;

use super::recorded::{Chosen, followed, instant, length, lines, newest, target};
use super::{Common, Paint, Tone};
use crate::config::without_controls;
use crate::exit::Exit;

/// What `logs` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse logs                                  who called what within the last day
  tollhouse logs --identity anonymous --errors    what failed for somebody
  tollhouse logs --server files --tool write -f   each use of a tool, as it comes
  tollhouse logs --since 7d --limit 1000 --json   for a script, an object a line",
    after_help = "Exit codes: 0 done, 1 nothing is kept of it, 2 the question is not understood, 3 no gateway answers, 74 \
                  the store cannot be read."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// At most so many, the newest
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    /// Go on with calls as they come
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
}

/// Shows them.
pub(crate) async fn run(common: &Common, args: &Args, paint: Paint, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut chosen = args.chosen.clone();
    chosen.since.get_or_insert_with(|| "24h".to_owned());
    let query = chosen.query();
    let (mut calls, more) = match newest(common, &query, args.limit).await? {
        Ok(found) => found,
        Err(exit) => return Ok(exit),
    };
    calls.reverse();
    let json = common.json || !std::io::stdout().is_terminal();
    if json {
        lines(out, &calls)?;
    } else {
        for call in &calls {
            writeln!(out, "{}", line(call, paint)).context("write the calls")?;
        }
    }
    if more {
        // Without a standard error the list is as good as it was.
        let _ =
            writeln!(std::io::stderr(), "there may be more: the search ended at its limit; narrow it with `--since`");
    }
    if args.follow {
        return followed(common, &args.chosen.query(), json, |call| line(call, paint), out).await;
    }
    if calls.is_empty() {
        // Without a standard error the exit code still tells it.
        let _ = writeln!(std::io::stderr(), "no such calls are kept");
        return Ok(Exit::Fault);
    }
    Ok(Exit::Ok)
}

/// When, who, what, what became of it, and by what to find more.
fn line(call: &CallView, paint: Paint) -> String {
    let seen = |text: &str| without_controls(text);
    let (tone, outcome) = match &call.error {
        None => (Tone::Good, call.outcome.clone()),
        Some(error) if *error == call.outcome => (Tone::Bad, error.clone()),
        Some(error) => (Tone::Bad, format!("{} {error}", call.outcome)),
    };
    let what = match (call.method.as_str(), &call.name) {
        ("tools/call", Some(_)) => target(call),
        ("prompts/get", Some(_)) => format!("prompts/get {}", target(call)),
        (method, name) => {
            let server = call.server.as_deref().unwrap_or("-");
            let name = name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
            seen(&format!("{server} {method}{name}"))
        }
    };
    format!(
        "{}  {}  {}  {}  {}  {}  {}",
        paint.tone(Tone::Faint, instant(call.at_us)),
        seen(&call.principal),
        seen(call.client.as_deref().unwrap_or("-")),
        what,
        paint.tone(tone, seen(&outcome)),
        length(call.total_us),
        paint.tone(Tone::Faint, format!("session {} trace {} call {}", seen(&call.session), call.trace_id, call.id)),
    )
}
