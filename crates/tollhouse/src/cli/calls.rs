//! `tollhouse calls`: what passed through a running gateway, newest last, or as it comes.

use std::io::{IsTerminal as _, Write};

use anyhow::Context as _;
use clap::Subcommand;
use tollhouse_web::api::CallView;

use super::Common;
use super::recorded::{Chosen, ask, encoded, fitted, followed, length, lines, newest, now_us, target, time};
use crate::config::without_controls;
use crate::exit::Exit;

/// What `calls` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    disable_help_subcommand = true,
    before_help = "Examples:
  tollhouse calls                              the last calls
  tollhouse calls --errors --since 24h         those that failed within a day
  tollhouse calls --server notes -f            those of one server, as they come
  tollhouse calls show 01KAZ4J0Q3N8V7X5T2R6W9Y1BD
                                               all that is known of one
  tollhouse calls --json | jq .total_us        for a script, an object a line"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) what: Option<What>,
    #[command(flatten)]
    pub(crate) list: List,
}

/// What to show.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum What {
    /// Show all that is known of one call
    #[command(
        help_template = super::HELP,
        before_help = "Examples:
  tollhouse calls show 01KAZ4J0Q3N8V7X5T2R6W9Y1BD         what one reads
  tollhouse calls show 01KAZ4J0Q3N8V7X5T2R6W9Y1BD --json  for a script"
    )]
    Show {
        /// Its id
        id: String,
    },
}

/// Which calls.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// At most so many, the newest
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Go on with calls as they come
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
}

/// Shows them.
pub(crate) async fn run(common: &Common, args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    match &args.what {
        Some(What::Show { id }) => show(common, id, out).await,
        None => list(common, &args.list, out).await,
    }
}

/// `tollhouse tail`: the same as `calls -f`.
pub(crate) async fn tail(common: &Common, args: &List, out: &mut impl Write) -> anyhow::Result<Exit> {
    list(common, &List { follow: true, ..args.clone() }, out).await
}

async fn list(common: &Common, args: &List, out: &mut impl Write) -> anyhow::Result<Exit> {
    let chosen = args.chosen.query();
    let (mut calls, more) = match newest(common, &chosen, args.limit).await? {
        Ok(found) => found,
        Err(exit) => return Ok(exit),
    };
    calls.reverse();
    let json = common.json || !std::io::stdout().is_terminal();
    let mut rows = Rows::new(&calls);
    if json {
        lines(out, &calls)?;
    } else if calls.is_empty() && !args.follow {
        // Without a standard error the empty list still tells it.
        let _ = writeln!(std::io::stderr(), "no such calls are kept");
    } else {
        writeln!(out, "{}", rows.head()).context("write the calls")?;
        for call in &calls {
            writeln!(out, "{}", rows.row(call)).context("write the calls")?;
        }
    }
    if more {
        // Without a standard error the list is as good as it was.
        let _ = writeln!(
            std::io::stderr(),
            "there may be more: the search ended at its limit; narrow it, for instance with `--since`"
        );
    }
    if args.follow { followed(common, &chosen, json, |call| rows.row(call), out).await } else { Ok(Exit::Ok) }
}

async fn show(common: &Common, id: &str, out: &mut impl Write) -> anyhow::Result<Exit> {
    let (call, body): (CallView, _) = match ask(common, &format!("/api/v1/calls/{}", encoded(id))).await? {
        Ok(answer) => answer,
        Err(exit) => return Ok(exit),
    };
    if common.json {
        out.write_all(&body).and_then(|()| writeln!(out)).context("write the call")?;
        return Ok(Exit::Ok);
    }
    out.write_all(sheet(&call).as_bytes()).context("write the call")?;
    Ok(Exit::Ok)
}

/// All that is known of a call, a line each.
fn sheet(call: &CallView) -> String {
    let maybe = |text: &Option<String>| text.clone();
    let some = |text: &str| Some(text.to_owned());
    let session = format!("{} (by {}, {})", call.session, call.session_source, call.session_confidence);
    let bytes = format!("{} in, {} out", call.request_bytes, call.response_bytes);
    let took = format!(
        "{}: {} at the server, {} here",
        length(call.total_us),
        length(call.upstream_us),
        length(call.gateway_us)
    );
    let mut lines: Vec<(&str, Option<String>)> = vec![
        ("call", some(&call.id)),
        ("arrived", Some(format!("{} UTC", time(call.at_us, 0)))),
        ("method", some(&call.method)),
        ("server", maybe(&call.server)),
        ("name", maybe(&call.name)),
        ("asked as", maybe(&call.asked_as)),
        ("outcome", some(&call.outcome)),
        ("error", maybe(&call.error)),
        ("fault", maybe(&call.fault)),
        ("took", Some(took)),
        ("first output", call.first_output_us.map(length)),
        ("attempts", Some(call.attempts.to_string())),
        ("bytes", Some(bytes)),
        ("arguments", maybe(&call.arguments)),
        ("client", maybe(&call.client)),
        ("principal", some(&call.principal)),
        ("session", Some(session)),
        ("protocol", Some(format!("{} over {}", call.version, call.transport))),
        ("request id", some(&call.request_id)),
        ("trace", some(&call.trace_id)),
        ("caller's span", maybe(&call.parent_span_id)),
    ];
    lines.extend(call.hints.iter().map(|(key, id)| (key.as_str(), some(id))));
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let line = |(name, text): (&str, Option<String>)| Some(format!("{name:width$}  {}\n", without_controls(&text?)));
    lines.into_iter().filter_map(line).collect()
}

/// A table that may grow: its columns are as wide as what came first needs.
struct Rows {
    client: usize,
    target: usize,
}

impl Rows {
    fn new(calls: &[CallView]) -> Self {
        let widest = |of: fn(&CallView) -> String, least: usize, most: usize| {
            calls.iter().map(|call| of(call).chars().count()).fold(least, usize::max).min(most)
        };
        Self { client: widest(client, 6, 20), target: widest(target, 24, 48) }
    }

    fn head(&self) -> String {
        format!(
            "{:8}  {}  {}  {:14}  {:>9}  {:>8}",
            "time",
            fitted("client", self.client),
            fitted("server/tool", self.target),
            "outcome",
            "took",
            "bytes"
        )
    }

    fn row(&mut self, call: &CallView) -> String {
        let outcome = call.error.as_deref().filter(|error| *error != call.outcome);
        let outcome = outcome.map_or_else(|| call.outcome.clone(), |error| format!("{} {error}", call.outcome));
        format!(
            "{:8}  {}  {}  {}  {:>9}  {:>8}",
            time(call.at_us, now_us()),
            fitted(&client(call), self.client),
            fitted(&target(call), self.target),
            fitted(&outcome, 14),
            length(call.total_us),
            call.response_bytes
        )
    }
}

fn client(call: &CallView) -> String {
    without_controls(call.client.as_deref().unwrap_or("-"))
}
