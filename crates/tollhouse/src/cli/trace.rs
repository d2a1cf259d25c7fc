//! `tollhouse trace`: the calls of one trace, as bars over time.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::Context as _;
use tollhouse_web::api::{CallView, Calls, Trace};

use super::recorded::{ask, encoded, fitted, length, target, time};
use super::{Common, Paint, Tone};
use crate::config::without_controls;
use crate::exit::Exit;

/// Columns of the longest bar.
const BAR: u64 = 40;

/// What `trace` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse trace last                               that of the last call
  tollhouse trace last-error                         that of the last call that failed
  tollhouse trace 0af7651916cd43dd8448eb211c80319c   this one"
)]
pub(crate) struct Args {
    /// The trace id, `last` or `last-error`
    #[arg(value_name = "ID|last|last-error")]
    pub(crate) id: String,
}

/// Shows it.
pub(crate) async fn run(common: &Common, args: &Args, paint: Paint, out: &mut impl Write) -> anyhow::Result<Exit> {
    let errors = match args.id.as_str() {
        "last" => Some("false"),
        "last-error" => Some("true"),
        _ => None,
    };
    let id = if let Some(errors) = errors {
        let newest: Calls = match ask(common, &format!("/api/v1/calls?limit=1&errors={errors}")).await? {
            Ok((newest, _)) => newest,
            Err(exit) => return Ok(exit),
        };
        let Some(call) = newest.calls.into_iter().next() else {
            // Without a standard error the exit code still tells it.
            let _ = writeln!(std::io::stderr(), "no such call is kept");
            return Ok(Exit::Fault);
        };
        call.trace_id
    } else {
        args.id.clone()
    };
    let (trace, body): (Trace, _) = match ask(common, &format!("/api/v1/traces/{}", encoded(&id))).await? {
        Ok(answer) => answer,
        Err(exit) => return Ok(exit),
    };
    if common.json {
        out.write_all(&body).and_then(|()| writeln!(out)).context("write the trace")?;
    } else {
        out.write_all(waterfall(&trace, paint).as_bytes()).context("write the trace")?;
    }
    Ok(Exit::Ok)
}

/// The calls below one another, each with its bar; the part at the server is drawn heavier.
fn waterfall(trace: &Trace, paint: Paint) -> String {
    let begin = trace.calls.iter().map(|call| call.at_us).min().unwrap_or_default();
    let end = trace.calls.iter().map(|call| call.at_us + call.total_us).max().unwrap_or_default();
    let whole = (end - begin).max(1);
    let lines: Vec<Line> = trace.calls.iter().flat_map(|call| lines(call, begin)).collect();
    let width = lines.iter().map(|line| line.label.chars().count()).fold(12, usize::max).min(48);
    let failed = trace.calls.iter().filter(|call| call.error.is_some()).count();
    let id = paint.tone(Tone::Strong, format!("trace {}", trace.trace_id));
    let calls = format!("{} call{}", trace.calls.len(), if trace.calls.len() == 1 { "" } else { "s" });
    let mut text = format!("{id} · {} UTC · {} · {calls} · {failed} failed\n", time(begin, 0), length(whole));
    let end = usize::try_from(BAR).unwrap_or_default().saturating_sub(1);
    let axis = format!("{:width$}  0{:>end$}", "", length(whole));
    writeln!(text, "{}", paint.tone(Tone::Faint, axis)).expect("writing to memory does not fail");
    for line in &lines {
        let (label, bar, took) = (fitted(&line.label, width), line.bar(whole), length(line.long_us));
        let tone = if line.outcome.is_empty() { Tone::Good } else { Tone::Bad };
        let (bar, outcome) = (paint.tone(tone, bar), paint.tone(tone, without_controls(&line.outcome)));
        writeln!(text, "{label}  {bar}  {took:>9}{outcome}").expect("writing to memory does not fail");
    }
    text
}

/// A line of the waterfall.
struct Line {
    label: String,
    /// From the beginning of the trace.
    from_us: u64,
    long_us: u64,
    /// Of that, at a server.
    within_us: u64,
    /// Empty if it succeeded.
    outcome: String,
}

/// The line of a call, and of what was sent of it where that was more than once.
fn lines(call: &CallView, begin: u64) -> Vec<Line> {
    let from_us = call.at_us - begin;
    let outcome = match &call.error {
        None => String::new(),
        Some(error) if *error == call.outcome => format!("  {error}"),
        Some(error) => format!("  {} {error}", call.outcome),
    };
    let (label, within_us) = (target(call), call.upstream_us);
    let mut lines = vec![Line { label, from_us, long_us: call.total_us, within_us, outcome }];
    if call.sendings.len() > 1 || call.sendings.iter().any(|sending| sending.leg) {
        let mut attempts = 0;
        lines.extend(call.sendings.iter().map(|sending| {
            attempts += usize::from(!sending.leg);
            let server = sending.server.as_deref().unwrap_or_default();
            let label = if sending.leg { format!("└ {server}") } else { format!("└ attempt {attempts}") };
            let outcome = sending.error.as_ref().map(|error| format!("  {error}")).unwrap_or_default();
            let long_us = sending.long_us;
            Line { label, from_us: from_us + sending.from_us, long_us, within_us: long_us, outcome }
        }));
    }
    lines
}

impl Line {
    fn bar(&self, whole: u64) -> String {
        let column = |us: u64| us.saturating_mul(BAR) / whole;
        let start = column(self.from_us).min(BAR - 1);
        let length = column(self.long_us).clamp(1, BAR - start);
        let heavy = (length * self.within_us).checked_div(self.long_us).unwrap_or_default();
        let cells = |cell: &str, count: u64| cell.repeat(usize::try_from(count).unwrap_or_default());
        let bar = [cells(" ", start), cells("█", heavy), cells("▒", length - heavy)].concat();
        format!("{bar:width$}", width = usize::try_from(BAR).unwrap_or_default())
    }
}
