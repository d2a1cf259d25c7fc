//! `tollhouse stdio`: the gateway for the one client that starts it.

/// What `stdio` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse stdio --config tollhouse.yaml  the command to put into a client's configuration
  tollhouse stdio --config .mcp.json       the servers of a client's file"
)]
pub(crate) struct Args {}
