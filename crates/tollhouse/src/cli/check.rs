//! `tollhouse check`: every mistake of a configuration at once, without starting anything.

/// What `check` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse check --config tollhouse.yaml  say what is wrong, with line and column
  tollhouse check --schema                 the JSON Schema of tollhouse.yaml, for editors"
)]
pub(crate) struct Args {
    /// Write the JSON Schema of the configuration
    #[arg(long)]
    pub(crate) schema: bool,
}
