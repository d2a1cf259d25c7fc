//! `tollhouse demo-server`: one of the demonstration's servers by itself, for any client.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::demo::server::{Name, over_http, over_stdio};
use crate::drain::Signals;
use crate::exit::Exit;

/// What `demo-server` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse demo-server notes                          on standard input and output
  tollhouse demo-server almanac --http 127.0.0.1:8080  at http://127.0.0.1:8080/mcp"
)]
pub(crate) struct Args {
    /// Which one
    pub(crate) name: Name,
    /// Serve streamable HTTP here instead; port 0 picks a free one
    #[arg(long, value_name = "ADDR", value_parser = super::address)]
    pub(crate) http: Option<SocketAddr>,
}

/// Serves until the input ends, or over HTTP until a signal comes.
pub(crate) async fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen().context("listen to signals")?;
    let stop = CancellationToken::new();
    let mut serving = std::pin::pin!(serve(args, stop.clone()));
    tokio::select! {
        ended = &mut serving => ended?,
        () = signals.first() => {
            stop.cancel();
            // On standard input nothing hears a token; the client has it all.
            if args.http.is_some() {
                serving.await?;
            }
        }
    }
    Ok(Exit::Ok)
}

async fn serve(args: &Args, stop: CancellationToken) -> anyhow::Result<()> {
    let Some(address) = args.http else { return over_stdio(args.name).await };
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    let bound = listener.local_addr().context("name the address")?;
    // Whoever started it without reading this line is served all the same.
    let _ = writeln!(std::io::stderr(), "`{}` listens on http://{bound}/mcp", args.name.as_str());
    over_http(args.name, listener, stop).await
}
