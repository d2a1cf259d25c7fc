//! Two small MCP servers inside the program, so that a demonstration needs nothing but this binary.
//!
//! They are real: other clients may use them, over stdio or HTTP, in both eras. `notes` keeps what it is told as long
//! as it lives; `almanac` computes, and the same question has the same answer for ever. Between them they show what a
//! gateway has to carry: state, resources, a slow tool with progress, a tool that now and then says no.
//!
//! Both are tables of tools ([`program::Tool`]); adding one is adding a row.

mod http;
mod stdio;

mod engine;
mod message;

mod almanac;
mod notes;

mod program;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Which of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    /// Add, list, read and delete notes; they live as long as the process.
    Notes,
    /// The moon, the length of days, units of measure, the stars.
    Almanac,
}

impl Name {
    /// Both, in the order they are listed.
    pub(crate) const ALL: [Self; 2] = [Self::Notes, Self::Almanac];

    /// The word on the command line and in paths.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Notes => "notes",
            Self::Almanac => "almanac",
        }
    }
}

/// Serves one client on standard input and output until the input ends.
///
/// # Errors
/// Standard input or output broke, or a line was longer than the limit.
pub(crate) async fn over_stdio(name: Name) -> anyhow::Result<()> {
    let (input, output) = (tokio::io::stdin(), tokio::io::stdout());
    match name {
        Name::Notes => stdio::serve(notes::Notes::default(), input, output).await,
        Name::Almanac => stdio::serve(almanac::Almanac, input, output).await,
    }
    .with_context(|| format!("serve `{}` on standard input and output", name.as_str()))
}

/// Serves any number of clients at `/mcp` until `stop`.
///
/// # Errors
/// The listener broke.
pub(crate) async fn over_http(name: Name, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    match name {
        Name::Notes => http::serve(notes::Notes::default(), listener, stop).await,
        Name::Almanac => http::serve(almanac::Almanac, listener, stop).await,
    }
    .with_context(|| format!("serve `{}` over HTTP", name.as_str()))
}
