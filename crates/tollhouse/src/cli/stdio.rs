//! `tollhouse stdio`: the gateway for the one client that starts it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tollhouse_core::record::{SessionRef, SessionSource};

use super::Common;
use crate::build::{Keep, Program, Wanted};
use crate::config::Loaded;
use crate::config::env::{Environment, Process};
use crate::exit::Exit;
use crate::reload::Source;
use crate::run;
use crate::token::Token;

/// What `stdio` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse stdio --config tollhouse.yaml  the command to put into a client's configuration
  tollhouse stdio --config .mcp.json       the servers of a client's file"
)]
pub(crate) struct Args {}

/// A client that has not read what was said by the end of the drain has this long for it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves until the client closes our input, or a signal comes.
pub(crate) async fn run(common: &Common) -> anyhow::Result<Exit> {
    let Some(path) = super::configuration(common, "stdio")? else { return Ok(Exit::Config) };
    // Many of these may run beside each other: none listens unless it is told to, and none has the files of `serve`.
    let wanted = Wanted { listen: common.listen, admin: common.admin, keep: Keep::Nowhere, token: Token::Fleeting };
    let source = Source::at(path, |_: &Loaded| wanted.clone()).await;
    let loaded = match source.load().await {
        Ok(loaded) => loaded,
        Err(report) => return Ok(run::refused(&report)),
    };
    let log = run::log(common.log_level.as_deref(), &loaded.log)?;
    run::followed(source, &loaded, log, async |program, stop| Ok(serve(program, stop).await)).await
}

/// Serves the client that has started us, until it closes our input or a signal comes.
pub(super) async fn serve(program: &Program, stop: CancellationToken) -> Exit {
    let (input, output) = (tokio::io::stdin(), tokio::io::stdout());
    let mut serving = std::pin::pin!(program.handle.serve_pipe(conversation(&Process), input, output));
    tokio::select! {
        () = &mut serving => return Exit::Ok,
        () = stop.cancelled() => {}
    }
    // What is under way is finished, and said; to a client that does not read it is not.
    let drained = async {
        program.handle.drain().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = serving => {}
        () = drained => {}
    }
    Exit::Ok
}

/// Variables by which clients tell the servers they start which conversation those belong to.
const VARIABLES: [&str; 1] = ["CLAUDE_CODE_SESSION_ID"];

/// The conversation that the client's environment names.
fn conversation(env: &dyn Environment) -> Option<SessionRef> {
    VARIABLES.iter().find_map(|name| {
        let id = env.var(name)?.into_string().ok().filter(|id| !id.is_empty() && id.len() <= 256)?;
        Some(SessionRef { id: id.into(), source: SessionSource::Environment(name) })
    })
}
