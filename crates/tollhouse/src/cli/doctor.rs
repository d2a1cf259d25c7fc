//! `tollhouse doctor`: says what is wrong and what to do, each as soon as it is known.

use std::io::Write;

use anyhow::Context as _;
use serde_json::json;

use super::{Common, Paint, Tone, find};
use crate::config::env::{Environment, Process};
use crate::config::{Severity, Store, without_controls};
use crate::doctor::{Finding, Mending, Patient, Word, counted, examine};
use crate::exit::Exit;

/// What `doctor` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse doctor                      look at your own configuration and every client
  tollhouse doctor --config .mcp.json   at this one
  tollhouse doctor --fix                and mend what can be without harm
  tollhouse doctor --json               for a script, one finding a line",
    after_help = "Each finding has a code that stays; docs/reference/doctor.md explains them.\n\n\
                  Exit codes: 0 nothing keeps it from working (there may be warnings), 1 something does."
)]
pub(crate) struct Args {
    /// Mend what can be mended without harm: rights on files with secrets, the path of this program in clients' files
    #[arg(long)]
    pub(crate) fix: bool,
}

/// The width of what a line is about.
const ABOUT: usize = 20;

/// Looks, and says what there is.
pub(crate) async fn run(common: &Common, args: &Args, paint: Paint, out: &mut impl Write) -> anyhow::Result<Exit> {
    run_with(common, args, paint, &Process, out).await
}

async fn run_with(
    common: &Common,
    args: &Args,
    paint: Paint,
    env: &dyn Environment,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let [listen, admin] = find::addresses(common, env);
    let addresses = [common.listen_or(listen), common.admin_or(admin)];
    let store = |file: &Store| common.store_dir(file, env);
    let patient = Patient { config: find::any(common, env), addresses, store: &store, env, mend: args.fix };
    let mut findings = Vec::new();
    let mut written = Ok(());
    examine(&patient, &mut |word| {
        let line = match (&word, common.json) {
            (Word::Well(..), true) => String::new(),
            (Word::Well(about, how), false) => well(about, how, paint),
            (Word::Ill(finding), true) => format!("{}\n", object(finding)),
            (Word::Ill(finding), false) => ill(finding, paint),
        };
        if written.is_ok() {
            written = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        }
        if let Word::Ill(finding) = word {
            findings.push(finding);
        }
    })
    .await;
    written.context("write the findings")?;
    if !common.json {
        write!(out, "\n{}\n", verdict(&findings, paint)).context("write the verdict")?;
    }
    Ok(if findings.iter().any(Finding::stands) { Exit::Fault } else { Exit::Ok })
}

fn well(about: &str, how: &str, paint: Paint) -> String {
    format!("{} {:ABOUT$}  {}\n", paint.tone(Tone::Good, "✓"), about, paint.tone(Tone::Faint, without_controls(how)))
}

fn ill(finding: &Finding, paint: Paint) -> String {
    let (mark, tone) = match (&finding.mending, finding.severity) {
        (Mending::Done(_), _) => ("✓", Tone::Good),
        (_, Severity::Error) => ("✗", Tone::Bad),
        (_, Severity::Warning) => ("!", Tone::Fair),
    };
    let indent = " ".repeat(2 + ABOUT + 2);
    let mut text = format!(
        "{} {:ABOUT$}  {}  {}\n",
        paint.tone(tone, mark),
        finding.about,
        paint.tone(Tone::Strong, without_controls(&finding.found)),
        paint.tone(Tone::Faint, finding.code)
    );
    for line in &finding.detail {
        text.extend([indent.as_str(), &without_controls(line), "\n"]);
    }
    let last = match (&finding.mending, &finding.hint) {
        (Mending::Done(how), _) => format!("{indent}{} {how}\n", paint.tone(Tone::Good, "mended:")),
        (_, Some(hint)) => format!("{indent}{} {hint}\n", paint.tone(Tone::Fair, "→")),
        (_, None) => String::new(),
    };
    text + &last
}

fn verdict(findings: &[Finding], paint: Paint) -> String {
    let count = |wanted: &dyn Fn(&Finding) -> bool| findings.iter().filter(|finding| wanted(finding)).count();
    let done = count(&|finding| matches!(finding.mending, Mending::Done(_)));
    let errors = count(&Finding::stands);
    let warnings =
        count(&|finding| finding.severity == Severity::Warning && !matches!(finding.mending, Mending::Done(_)));
    let mut parts = vec![match (errors, warnings) {
        (0, 0) => paint.tone(Tone::Good, "nothing is wrong".to_owned()).to_string(),
        (0, warnings) => paint.tone(Tone::Fair, counted(warnings, "warning")).to_string(),
        (errors, 0) => paint.tone(Tone::Bad, counted(errors, "error")).to_string(),
        (errors, warnings) => {
            format!("{}, {}", paint.tone(Tone::Bad, counted(errors, "error")), counted(warnings, "warning"))
        }
    }];
    if done > 0 {
        parts.push(format!("{done} mended"));
    }
    let possible = count(&|finding| finding.mending == Mending::Possible);
    if possible > 0 {
        parts.push(format!("`tollhouse doctor --fix` mends {possible}"));
    }
    parts.join("; ")
}

fn object(finding: &Finding) -> serde_json::Value {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let (mending, how) = match &finding.mending {
        Mending::None => ("none", None),
        Mending::Possible => ("possible", None),
        Mending::Done(how) => ("done", Some(how)),
    };
    json!({
        "severity": severity,
        "code": finding.code,
        "about": finding.about,
        "found": finding.found,
        "detail": finding.detail,
        "hint": finding.hint,
        "mending": mending,
        "mended": how,
    })
}
