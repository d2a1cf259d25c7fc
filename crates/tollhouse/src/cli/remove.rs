//! `tollhouse remove`: takes a server out of the configuration.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use super::Common;
use crate::config::env::{Environment, Process};
use crate::config::nearest;
use crate::exit::Exit;
use crate::setup::Refusal;
use crate::setup::change::{Current, Fault, no_edit};
use crate::setup::edit::remove;

/// What `remove` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse remove time                   from your own configuration
  tollhouse remove time --config th.yaml  from this one"
)]
pub(crate) struct Args {
    /// What it is called
    pub(crate) name: String,
}

/// Removes the server, or says why not.
pub(crate) fn run(common: &Common, args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    let Some(path) = super::configuration(common, "remove")? else { return Ok(Exit::Config) };
    take_out(common, &path, &args.name, &Process, out)
}

fn take_out(
    common: &Common,
    path: &Path,
    name: &str,
    env: &dyn Environment,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let current = match Current::read(path) {
        Ok(current) => current,
        Err(refusal) => return Ok(refusal.told()),
    };
    let names = || current.outline.servers.iter().map(|(_, server)| server.name.as_str());
    if !names().any(|known| known == name) {
        let hint = match nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names().next().is_none() => "there is none at all".to_owned(),
            None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
        };
        let found = format_args!("there is no server `{name}`");
        return Ok(Refusal::new(Exit::Fault, found, &format!("in {}", path.display()), &hint).told());
    }
    let changed = match remove(path, current.text(), name) {
        Ok(changed) => changed,
        Err(why) => return Ok(no_edit(path, why, "take it out yourself, and see `tollhouse check`").told()),
    };
    match current.write(&changed, env) {
        Ok(_) => {}
        Err(Fault::Refused(report)) => return Ok(Refusal::from(report).told()),
        Err(Fault::Write(error)) => return Err(error),
    }
    if common.json {
        writeln!(out, "{}", json!({"removed": name, "file": path})).context("write the answer")?;
    } else {
        writeln!(out, "removed `{name}` from {}", path.display()).context("write the answer")?;
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    fn check(before: &str, name: &str, exit: Exit, after: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.yaml");
        fs::write(&path, before).unwrap();
        let done = take_out(&Common::default(), &path, name, &BTreeMap::new(), &mut Vec::new()).unwrap();
        assert_eq!((done, fs::read_to_string(&path).unwrap().as_str()), (exit, after), "{before}");
    }

    const TWO: &str = "servers:\n  a:\n    url: http://a/mcp\n  b:\n    command: x\n    env: { K: \"${NOT_SET}\" }\n";

    #[test]
    fn a_server_is_removed_whatever_variables_are_set_and_be_it_the_last() {
        check(TWO, "b", Exit::Ok, "servers:\n  a:\n    url: http://a/mcp\n");
        check("servers:\n  a:\n    url: http://a/mcp\n", "a", Exit::Ok, "servers:\n");
    }

    #[test]
    fn mistakes_elsewhere_in_the_file_are_no_obstacle() {
        check("lissten: x\nservers:\n  a: { url: http://a/mcp }\n", "a", Exit::Ok, "lissten: x\nservers:\n");
    }

    #[test]
    fn a_name_that_is_not_there_removes_nothing() {
        check(TWO, "c", Exit::Fault, TWO);
        check("servers: { a: { url: http://a/mcp } }\n", "a", Exit::Fault, "servers: { a: { url: http://a/mcp } }\n");
    }
}
