//! `tollhouse check`: every mistake of a configuration at once, without starting anything.
//!
//! Findings go to standard error, as `serve` would tell them; with `--json` to standard output, one object a line. The
//! exit code is the one `serve` would end with: 78 if it would not start.

use std::io::Write;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Common;
use crate::config::{self, Finding, Severity, env::Process};
use crate::exit::Exit;

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
        writeln!(out, "{:#}", config::schema()).context("write the schema")?;
        return Ok(Exit::Ok);
    }
    let Some(path) = super::configuration(common, "check")? else { return Ok(Exit::Config) };
    let (findings, servers) = match config::load(&path, &Process) {
        Ok(loaded) => (loaded.notices, Some(loaded.settings.servers.len())),
        Err(report) => (report.findings, None),
    };
    for (at, finding) in findings.iter().enumerate() {
        if common.json {
            writeln!(out, "{}", object(finding)).context("write the findings")?;
        } else {
            // Without a standard error the exit code still tells it.
            let gap = if at == 0 { "" } else { "\n" };
            let _ = writeln!(std::io::stderr(), "{gap}{finding}");
        }
    }
    let Some(servers) = servers else { return Ok(Exit::Config) };
    if !common.json {
        let plural = if servers == 1 { "" } else { "s" };
        writeln!(out, "{}: {servers} server{plural}, no mistake", path.display()).context("write the verdict")?;
    }
    Ok(Exit::Ok)
}

fn object(finding: &Finding) -> Value {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = finding.place.as_ref();
    json!({
        "severity": severity,
        "code": finding.code.as_str(),
        "file": finding.file,
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "key": place.map(|place| &place.path),
        "found": finding.found,
        "detail": finding.detail,
        "hint": finding.hint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, json: bool) -> (Exit, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tollhouse.yaml");
        std::fs::write(&file, text).unwrap();
        let common = Common { config: Some(file), json, ..Common::default() };
        let mut out = Vec::new();
        let exit = run(&common, &Args { schema: false }, &mut out).unwrap();
        (exit, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_good_configuration_ends_with_0_and_says_how_many_servers_there_are() {
        let (exit, text) = check("servers:\n  a: { url: \"http://127.0.0.1:1/mcp\" }\n", false);
        assert!(exit == Exit::Ok && text.ends_with("tollhouse.yaml: 1 server, no mistake\n"), "{text}");
    }

    #[test]
    fn a_refused_one_ends_with_78_and_as_json_each_finding_is_an_object_with_its_place() {
        let (exit, text) = check("servers:\n  a: { commnd: x }\nlisten: here\n", true);
        let findings: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(exit, Exit::Config);
        assert!(findings.iter().any(|finding| finding["line"] == 2 && finding["key"] == "servers.a.commnd"), "{text}");
        assert!(findings.iter().any(|finding| finding["line"] == 3 && finding["severity"] == "error"), "{text}");
    }
}
