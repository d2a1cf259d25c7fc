//! `tollhouse wrap`: the gateway before the one server whose command follows, in the place of that command.
//!
//! One entry of a client's file is changed and nothing else: the words of the command move behind `wrap --`. So
//! whatever the server got from its client it must get here. Elsewhere a server is given a short list of harmless
//! variables and those declared for it; here they were declared in the client's entry, and have arrived as our own
//! environment. All of it is passed on, unless `--env` says what.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tollhouse_core::ids::ServerId;
use tollhouse_proxy::settings::Command;
use tollhouse_proxy::upstream::child::resolve;

use super::{Common, stdio};
use crate::build::{Keep, Wanted};
use crate::config::env::Process;
use crate::config::{self, slug};
use crate::exit::Exit;
use crate::run;
use crate::setup::Refusal;
use crate::token::Token;

/// What `wrap` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse wrap -- npx -y @modelcontextprotocol/server-everything
                                      in the place of: npx -y @modelcontextprotocol/server-everything
  tollhouse wrap --name files -- uvx mcp-files
                                      under a name of your choice in the records
  tollhouse wrap --env API_KEY -- ./server
                                      with this variable alone, beside PATH, HOME and the like

In a client's file:
  before  \"command\": \"npx\", \"args\": [\"-y\", \"server\"]
  after   \"command\": \"tollhouse\", \"args\": [\"wrap\", \"--\", \"npx\", \"-y\", \"server\"]",
    after_help = "The server gets the environment that the client has given: its entry's `env` works as before. Nothing \
                  listens and nothing is locked, so any number may run beside each other.\n\n\
                  Exit codes: 0 the client has hung up, 1 the command cannot be run, 2 usage."
)]
pub(crate) struct Args {
    /// What the server is called in records [default: after the command]
    #[arg(long, value_name = "NAME", value_parser = ServerId::new)]
    pub(crate) name: Option<ServerId>,
    /// Pass on this variable, or set it, instead of passing on all; repeatable
    #[arg(short, long, value_name = "NAME or NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// The command and its arguments, best after `--`
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}

/// Serves until the client closes our input, or a signal comes.
pub(crate) async fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    if common.config.is_some() {
        let hint = "leave out `--config`, or use `tollhouse stdio --config FILE`";
        return Ok(Refusal::new(
            Exit::Usage,
            "`wrap` reads no configuration",
            "it serves the command it is given",
            hint,
        )
        .told());
    }
    let [program, rest @ ..] = args.command.as_slice() else { anyhow::bail!("no command is given") };
    let env = if args.env.is_empty() { std::env::vars_os().collect() } else { chosen(&args.env) };
    let command = Command { program: PathBuf::from(program), args: rest.to_vec(), env, cwd: None };
    // Told at once, and not with the first call: a client shows best what its own command did.
    if let Err(error) = resolve(&command) {
        let hint = error.hint().unwrap_or_default();
        return Ok(Refusal::new(Exit::Fault, anyhow::Error::new(error), "nothing was started", &hint).told());
    }
    let id = args.name.clone().unwrap_or_else(|| name(&args.command));
    let loaded = config::one(id, command, &Process);
    let log = run::log(common.log_level.as_deref(), &loaded.log)?;
    let wanted = Wanted { listen: common.listen, admin: common.admin, keep: Keep::Nowhere, token: Token::Fleeting };
    run::gateway(&loaded, wanted, log, async |program, stop| Ok(stdio::serve(program, stop).await)).await
}

/// The variables that were asked for. One that is named and not set is left out, as the client did.
fn chosen(wanted: &[String]) -> Vec<(OsString, OsString)> {
    use crate::config::env::Environment as _;
    let pair = |word: &String| match word.split_once('=') {
        Some((name, value)) => Some((name.into(), value.into())),
        None => Some((word.into(), Process.var(word)?)),
    };
    wanted.iter().filter_map(pair).collect()
}

/// Programs that are told by their first argument what to run.
const RUNNERS: [&str; 12] =
    ["npx", "bunx", "pnpx", "uvx", "pipx", "node", "bun", "deno", "python", "python3", "uv", "tsx"];

/// The id of a server, after the package or the program that it is.
fn name(command: &[OsString]) -> ServerId {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    let program = words.first().map_or("", |word| stem(word));
    let package = || words.iter().skip(1).map(AsRef::as_ref).find(|word: &&str| !passed_over(word));
    let named = if RUNNERS.contains(&program) { package().map_or(program, stem) } else { program };
    slug(named).or_else(|_| slug(program)).unwrap_or_else(|_| ServerId::new("server").expect("it is an id"))
}

/// Options of runners, and their verbs.
fn passed_over(word: &str) -> bool {
    word.starts_with('-') || ["run", "exec", "x", "dlx"].contains(&word)
}

/// `@scope/server-files@1.2` → `server-files`, `dist/index.js` → `index`, `mcp[cli]` → `mcp`.
fn stem(word: &str) -> &str {
    let last = word.rsplit(['/', '\\']).next().unwrap_or(word);
    let end = last.find(['@', '[', '=', '<', '>']).filter(|at| *at > 0).unwrap_or(last.len());
    let name = last.get(..end).unwrap_or(last);
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    let known = ["js", "mjs", "cjs", "ts", "py", "exe", "cmd"];
    match extension.filter(|extension| known.contains(extension)) {
        Some(extension) => name.strip_suffix(extension).and_then(|name| name.strip_suffix('.')).unwrap_or(name),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_called_after_its_package_or_else_its_program() {
        for (line, id) in [
            ("npx -y @modelcontextprotocol/server-everything", "server-everything"),
            ("npx --yes mcp-remote@0.1.2 https://x.example/mcp", "mcp-remote"),
            ("uvx mcp-server-time --local-timezone UTC", "mcp-server-time"),
            ("uv run server.py", "server"),
            ("/usr/bin/python3 -m mcp_server_git", "mcp-server-git"),
            ("node /opt/x/dist/index.js", "index"),
            ("./My_Server", "my-server"),
            ("docker run -i --rm mcp/fetch", "docker"),
            ("npx", "npx"),
            ("日本", "server"),
            ("tollhouse demo-server notes", "server"),
        ] {
            let command: Vec<OsString> = line.split(' ').map(Into::into).collect();
            assert_eq!(name(&command).to_string(), id, "{line}");
        }
    }
}
