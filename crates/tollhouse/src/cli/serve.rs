//! `tollhouse serve`: the gateway over HTTP, until it is told to stop.

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
