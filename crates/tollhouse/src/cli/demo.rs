//! `tollhouse demo`: a gateway, two servers and an agent in one, to be looked at.

/// What `demo` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse demo         again and again, until Ctrl-C
  tollhouse demo --once  once, with a table at the end"
)]
pub(crate) struct Args {
    /// Play the script once, print a table and end
    #[arg(long)]
    pub(crate) once: bool,
}
