//! The command line: one file per verb, each with its arguments and what it does.
//!
//! Standard output is data (on `stdio` the protocol itself), standard error is for people. Every help begins with
//! examples, since that is what is looked for.

pub(crate) mod add;
pub(crate) mod calls;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod dashboard;
pub(crate) mod demo;
pub(crate) mod demo_server;
pub(crate) mod doctor;
pub(crate) mod errors;
pub(crate) mod init;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod reference;
pub(crate) mod remove;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod status;
pub(crate) mod stdio;
pub(crate) mod tools;
pub(crate) mod top;
pub(crate) mod trace;
pub(crate) mod wrap;

mod find;
mod paint;
mod recorded;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::config::env::{Environment, Process};
use crate::config::{ADMIN_DEFAULT, LISTEN_DEFAULT, Store};
use crate::exit::Exit;
use crate::token;

pub(crate) use paint::{Paint, Tone};

/// Examples stand above the usage line.
const HELP: &str = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}\n";

/// A gateway for the Model Context Protocol that records every call.
#[derive(Debug, Parser)]
#[command(
    name = "tollhouse",
    version,
    help_template = HELP,
    before_help = "Examples:
  tollhouse demo                           see it at work, without any configuration
  tollhouse init                           take over the servers of your clients
  tollhouse add time -- uvx mcp-server-time
                                           put a server into your configuration
  tollhouse serve                          serve agents at http://127.0.0.1:7070
  tollhouse stdio --config .mcp.json       serve the one client that starts it
  tollhouse wrap -- npx -y some-server     the same before one server, in the place of its command
  tollhouse check --config tollhouse.yaml  find every mistake of a configuration
  tollhouse status                         ask a running gateway how it stands
  tollhouse doctor                         say what is wrong, and what to do",
    after_help = "Exit codes: 0 ok, 1 fault or the answer is no, 2 usage, 3 gateway unreachable, 74 store, 78 configuration.",
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What most verbs take.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// The configuration: tollhouse.yaml, or a client's file with mcpServers or servers
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where agents are served [default: 127.0.0.1:7070]
    #[arg(long, global = true, value_name = "ADDR", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where health is answered [default: 127.0.0.1:7071]
    #[arg(long, global = true, value_name = "ADDR", value_parser = address)]
    pub(crate) admin: Option<SocketAddr>,
    /// Where `serve` keeps what it recorded [default: tollhouse in the user's state directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Write data as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What is told on standard error: a level, or levels per module [default: `MCP_LOG_LEVEL`, else info]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Serve agents over HTTP
    Serve(serve::Args),
    /// Serve the one client that starts the program, on standard input and output
    Stdio(stdio::Args),
    /// The same in the place of one server's command, which follows
    Wrap(wrap::Args),
    /// Show a gateway at work: two servers, an agent, each call as it passes
    Demo(demo::Args),
    /// Run one of the demonstration's servers
    DemoServer(demo_server::Args),
    /// Make a configuration of the servers that your clients know
    Init(init::Args),
    /// Add a server to the configuration
    Add(add::Args),
    /// Remove a server from the configuration
    Remove(remove::Args),
    /// List the servers of the configuration
    List(list::Args),
    /// Find every mistake of a configuration, without starting anything
    Check(check::Args),
    /// Ask a running gateway how it stands
    #[command(alias = "health")]
    Status(status::Args),
    /// Look for what keeps the program, its servers and the clients from working together
    Doctor(doctor::Args),
    /// List the tools behind a running gateway, or call one
    Tools(tools::Args),
    /// Show what passed through a running gateway
    Calls(calls::Args),
    /// Show calls as they come
    #[command(
        help_template = HELP,
        before_help = "Examples:
  tollhouse tail                 the last calls, and each that comes
  tollhouse tail --server notes  those of one server
  tollhouse tail --json          for a script, an object a line"
    )]
    Tail(calls::List),
    /// Show the calls of one trace
    Trace(trace::Args),
    /// Show which conversations there were
    Sessions(sessions::Args),
    /// Show what fails
    Errors(errors::Args),
    /// Show who called what, and what became of it
    Logs(logs::Args),
    /// Write a link to the pages of a running gateway
    Dashboard(dashboard::Args),
    /// Watch what goes on behind a running gateway
    Top(top::Args),
    /// Write the completions of a shell
    Completions(completions::Args),
    /// Write a page of the documentation
    #[command(hide = true)]
    Reference(reference::Args),
}

impl Cli {
    /// Reads the command line. What cannot be read, and what asks for help, is answered here.
    ///
    /// # Errors
    /// The exit code, after the message or the help was written.
    pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, Exit> {
        Self::try_parse_from(args).map_err(|error| {
            // Nobody reads the help: there is nobody to be told so.
            let _ = error.print();
            exit_of(&error)
        })
    }
}

fn exit_of(error: &clap::Error) -> Exit {
    if error.use_stderr() { Exit::Usage } else { Exit::Ok }
}

impl Common {
    /// The address a running gateway answers at about its health: as told, else as the configuration says, else the
    /// default.
    pub(crate) fn running_admin(&self) -> SocketAddr {
        reached(self.admin.unwrap_or_else(|| self.admin_or(find::addresses(self, &Process)[1])))
    }

    /// The address a running gateway serves agents at, likewise.
    pub(crate) fn running_listen(&self) -> SocketAddr {
        reached(self.listen.unwrap_or_else(|| self.listen_or(find::addresses(self, &Process)[0])))
    }

    /// The address agents are served at: as told, else as the file says, else the default.
    pub(crate) fn listen_or(&self, file: Option<SocketAddr>) -> SocketAddr {
        self.listen.or(file).unwrap_or_else(|| default_address(LISTEN_DEFAULT))
    }

    /// The address health is answered at: as told, else as the file says, else the default.
    pub(crate) fn admin_or(&self, file: Option<SocketAddr>) -> SocketAddr {
        self.admin.or(file).unwrap_or_else(|| default_address(ADMIN_DEFAULT))
    }

    /// Where the program keeps its state: as told, else by the XDG rules; `None` without a home directory.
    pub(crate) fn data_dir(&self, env: &dyn Environment) -> Option<PathBuf> {
        self.data_dir.clone().or_else(|| xdg(env, "XDG_STATE_HOME", ".local/state"))
    }

    /// A request that says who asks, where that can be known.
    pub(crate) fn known_to(&self, request: http::request::Builder) -> http::request::Builder {
        match token::known(self.data_dir(&Process).as_deref(), &Process) {
            Some(token) => request.header(http::header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// Where `serve` keeps what passed: as told, else as the file says, else by the XDG rules; `None` if nowhere.
    pub(crate) fn store_dir(&self, file: &Store, env: &dyn Environment) -> Option<PathBuf> {
        let named = file.path.clone().filter(|_| self.data_dir.is_none());
        let dir = named.or_else(|| self.data_dir(env).map(|dir| dir.join("store")));
        dir.filter(|_| !file.off)
    }
}

/// Reads an address as the configuration does.
fn address(text: &str) -> Result<SocketAddr, &'static str> {
    let numeric =
        text.strip_prefix("localhost:").map_or(Cow::Borrowed(text), |port| format!("127.0.0.1:{port}").into());
    numeric.parse().map_err(|_| "expected an address and a port, such as `127.0.0.1:7070` or `[::1]:7070`")
}

/// Where a gateway is reached that listens at every address: by none of its names, but by loopback.
fn reached(address: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => return address,
    };
    SocketAddr::new(loopback, address.port())
}

fn default_address(text: &str) -> SocketAddr {
    text.parse().expect("the defaults are addresses")
}

/// The configuration to use for `verb`. Without one, says what there is and gives `None`.
pub(crate) fn configuration(common: &Common, verb: &'static str) -> anyhow::Result<Option<PathBuf>> {
    let here = std::env::current_dir().context("name the working directory")?;
    match find::configuration(common, verb, &Process, &here) {
        Ok(path) => Ok(Some(path)),
        Err(nothing) => {
            // Without a standard error the exit code still tells it.
            let _ = writeln!(std::io::stderr(), "{nothing}");
            Ok(None)
        }
    }
}

/// The configuration that `add` and `init` write: the one named, else the user's own, whether it exists or not.
///
/// # Errors
/// There is no home directory to keep one in.
pub(crate) fn own_configuration(common: &Common, env: &dyn Environment) -> anyhow::Result<PathBuf> {
    let own = common.config.clone().or_else(|| find::own(env));
    own.context("name the configuration with `--config`: without a home directory there is no other place for it")
}

/// Our folder below the one `variable` names, or else below `default` in the user's home.
///
/// XDG Base Directory: a relative path counts as not set.
fn xdg(env: &dyn Environment, variable: &str, default: &str) -> Option<PathBuf> {
    let absolute = |name| env.var(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(default)))?;
    Some(base.join("tollhouse"))
}

#[cfg(test)]
mod tests;
