//! `tollhouse serve`: the gateway over HTTP, until it is told to stop.

use super::Common;
use crate::build::{Keep, Wanted};
use crate::config::env::Process;
use crate::config::{self, Loaded};
use crate::exit::Exit;
use crate::reload::Source;
use crate::run;
use crate::token::Token;

/// What `serve` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse serve                          the user's own configuration
  tollhouse serve --config tollhouse.yaml  this one
  tollhouse serve --config .mcp.json       the servers of a client's file
  tollhouse serve --listen 127.0.0.1:8080  at another address"
)]
pub(crate) struct Args {
    /// Serve beyond loopback although nobody is asked who they are
    #[arg(long)]
    pub(crate) insecure: bool,
}

/// Serves until a signal comes.
pub(crate) async fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let Some(path) = super::configuration(common, "serve")? else { return Ok(Exit::Config) };
    let wanted = |loaded: &Loaded| Wanted {
        listen: Some(common.listen_or(loaded.listen)),
        admin: Some(common.admin_or(loaded.admin)),
        keep: Keep::of(common.store_dir(&loaded.store, &Process), &loaded.store),
        token: match common.data_dir(&Process) {
            _ if !loaded.admin_login => Token::Open,
            Some(dir) => Token::In(dir),
            None => Token::Fleeting,
        },
    };
    let source = Source::at(path, wanted).await;
    let loaded = match source.load().await {
        Ok(loaded) => loaded,
        Err(report) => return Ok(run::refused(&report)),
    };
    let wanted = source.wanted(&loaded);
    for address in [wanted.listen, wanted.admin].into_iter().flatten() {
        if let Err(report) = config::check_listen(address, args.insecure) {
            return Ok(run::refused(&report));
        }
    }
    let log = run::log(common.log_level.as_deref(), &loaded.log)?;
    let served = run::followed(source, &loaded, log, async |_, stop| {
        stop.cancelled().await;
        Ok(Exit::Ok)
    });
    served.await.or_else(run::without_store)
}
