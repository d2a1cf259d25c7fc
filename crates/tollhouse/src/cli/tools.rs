//! `tollhouse tools`: the tools behind a running gateway, listed, or one of them called.
//!
//! It is a client like any other: it speaks the protocol at the address of agents, and a call made here is recorded
//! like an agent's. Each server is asked by itself, so that names are its own and one that is down hides no other.

mod call;
mod list;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use http::{StatusCode, Uri};
use serde_json::{Value, json};
use tollhouse_web::Report;

use super::Common;
use crate::client::peer::{Answer, Outcome, Peer};
use crate::config::nearest;
use crate::exit::Exit;

/// Beyond the hard clock of a call that nobody has changed: whose clock ends first should be the gateway's, which
/// knows why.
const PATIENCE: Duration = Duration::from_mins(16);
/// A server that gives a page after page never ends; nobody reads so many tools.
const PAGES_MAX: usize = 100;

/// What `tools` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    disable_help_subcommand = true,
    before_help = "Examples:
  tollhouse tools                                    every tool of every server
  tollhouse tools list --server notes                those of one
  tollhouse tools call notes add_note title=milk text='two litres'
                                                     call one of them"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) what: Option<What>,
    #[command(flatten)]
    pub(crate) list: list::Args,
}

/// What to do with the tools.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum What {
    /// List the tools
    List(list::Args),
    /// Call a tool
    Call(call::Args),
}

/// Does it.
pub(crate) async fn run(common: &Common, args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    match &args.what {
        None => list::run(common, &args.list, out).await,
        Some(What::List(inner)) => {
            let args = list::Args { server: inner.server.clone().or_else(|| args.list.server.clone()) };
            list::run(common, &args, out).await
        }
        Some(What::Call(args)) => call::run(common, args, out).await,
    }
}

/// Why a server told nothing.
#[derive(Debug)]
enum Silence {
    /// Nobody answers at the address.
    Unreachable(SocketAddr, String),
    /// The gateway has no such server.
    Unknown(String),
    /// It said no.
    Refused(String, Outcome),
}

impl Silence {
    /// Tells it; the exit code that goes with it.
    async fn told(self, common: &Common) -> Exit {
        let mut stderr = std::io::stderr();
        // Without a standard error the exit code still tells it.
        let (exit, _) = match self {
            Self::Unreachable(listen, why) => (
                Exit::Unreachable,
                writeln!(
                    stderr,
                    "error: no gateway answers at {listen}{}\nhint: start one with `tollhouse serve`, or say with `--listen` where it answers",
                    // That it was to be connected to is said.
                    if why.starts_with("connect to ") { String::new() } else { format!(": {why}") }
                ),
            ),
            Self::Unknown(server) => {
                let known = servers(common.running_admin()).await.unwrap_or_default();
                let hint = match nearest(&server, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if known.is_empty() => "`tollhouse status` shows them".to_owned(),
                    None => format!("there are: {}", known.join(", ")),
                };
                (Exit::Fault, writeln!(stderr, "error: the gateway has no server `{server}`\nhint: {hint}"))
            }
            Self::Refused(server, outcome) => {
                (Exit::Fault, writeln!(stderr, "error: server `{server}`: {}", told(&outcome)))
            }
        };
        exit
    }
}

/// What became of a call, with what a protocol error says.
fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Error(_, message) if !message.is_empty() => {
            format!("{outcome}: {}", crate::config::without_controls(message))
        }
        Outcome::Answered | Outcome::Declined | Outcome::Error(..) | Outcome::Status(_) | Outcome::Lost(_) => {
            outcome.to_string()
        }
    }
}

/// The ids of the servers, from the gateway's own report.
async fn servers(admin: SocketAddr) -> anyhow::Result<Vec<String>> {
    let body = crate::client::health(admin).await?;
    let report: Report = serde_json::from_slice(&body).context("read the gateway's answer")?;
    Ok(report.servers.into_iter().map(|server| server.id).collect())
}

/// A client of one server behind the gateway.
async fn peer(listen: SocketAddr, server: &str) -> anyhow::Result<Result<Peer, Silence>> {
    // A name that is no id is unknown, and might not fit into a URL.
    let Ok(id) = tollhouse_core::ids::ServerId::new(server) else {
        return Ok(Err(Silence::Unknown(server.to_owned())));
    };
    let url: Uri = format!("http://{listen}/servers/{id}/mcp").parse().expect("an address and an id make a URL");
    let greeted = Peer::greeted(&url, "tollhouse-tools", PATIENCE).await.context("prepare a client")?;
    Ok(greeted.map_err(|outcome| match outcome {
        Outcome::Lost(why) => Silence::Unreachable(listen, why),
        Outcome::Status(StatusCode::NOT_FOUND) => Silence::Unknown(server.to_owned()),
        outcome => Silence::Refused(server.to_owned(), outcome),
    }))
}

/// All tools of a server, from every page of its list.
async fn tools(peer: &mut Peer, server: &str) -> Result<Vec<Value>, Silence> {
    let mut tools = Vec::new();
    let mut params = json!({});
    for _ in 0..PAGES_MAX {
        let Answer { outcome, mut result, .. } = peer.ask("tools/list", params).await;
        if outcome != Outcome::Answered {
            return Err(Silence::Refused(server.to_owned(), outcome));
        }
        if let Value::Array(page) = result["tools"].take() {
            tools.extend(page);
        }
        match result["nextCursor"].take() {
            Value::String(cursor) => params = json!({"cursor": cursor}),
            _ => break,
        }
    }
    Ok(tools)
}

#[cfg(test)]
mod tests;
