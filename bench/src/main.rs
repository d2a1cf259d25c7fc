//! Measures what a call through Tollhouse costs, beside a plain proxy, in one run on one machine.
//!
//! Everything the comparison needs is in this one binary, so that nothing has to be installed and both sides of
//! a hop are known: an upstream that echoes, the floor (the least a hop can cost), a load generator that checks
//! every answer, and the run that starts, pins, interleaves and reports. `README.md` beside this crate says what
//! each column means.

#![expect(
    clippy::disallowed_methods,
    reason = "a measuring tool reads the machine's clock and starts the processes it measures"
)]
#![expect(clippy::cast_precision_loss, reason = "figures are reported to three digits")]

mod call;
mod floor;
mod load;
mod memory;
mod pipe;
mod proc;
mod report;
mod run;
mod sink;
mod stats;
mod store;
mod upstream;
mod wire;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures what a call through Tollhouse costs, beside a plain proxy.
#[derive(Debug, Parser)]
#[command(name = "tollhouse-bench", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serves the MCP echo server that calls are sent to.
    #[command(subcommand)]
    Upstream(Transport),
    /// Serves a plain pass-through proxy: the least that a hop can cost.
    Floor {
        /// Address to listen on.
        #[arg(long)]
        listen: SocketAddr,
        /// Address of the one upstream.
        #[arg(long)]
        upstream: SocketAddr,
        /// Core to run on.
        #[arg(long)]
        core: Option<usize>,
    },
    /// Takes what a gateway exports over OTLP and counts it.
    Sink {
        /// Address to listen on.
        #[arg(long)]
        listen: SocketAddr,
        /// Core to run on.
        #[arg(long)]
        core: Option<usize>,
    },
    /// Sends calls to one endpoint, checks every answer, prints the figures as JSON.
    Load(load::Args),
    /// Runs the whole comparison and prints its tables.
    Run(run::Args),
    /// Opens thousands of sessions and prints what each takes of a gateway's memory.
    Sessions(memory::OfSessions),
    /// Sends a great many calls and prints how a gateway's memory goes meanwhile.
    Soak(memory::OfCalls),
    /// Fills a store with calls and asks everything that can be asked.
    Store(store::Args),
}

#[derive(Debug, Subcommand)]
enum Transport {
    /// Over streamable HTTP.
    Http {
        /// Address to listen on.
        #[arg(long)]
        listen: SocketAddr,
        #[command(flatten)]
        shared: Shared,
    },
    /// Over lines on stdin and stdout.
    Stdio {
        #[command(flatten)]
        shared: Shared,
    },
}

#[derive(Debug, clap::Args)]
struct Shared {
    /// Tools to list; the first is `echo`.
    #[arg(long, default_value_t = 1)]
    tools: usize,
    /// Core to run on.
    #[arg(long)]
    core: Option<usize>,
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Every verb runs on one thread: a measured process has one core, and the generator must not hide on a second.
fn dispatch(verb: Verb) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match verb {
        Verb::Upstream(Transport::Http { listen, shared }) => {
            proc::pin(shared.core)?;
            runtime.block_on(upstream::http(listen, shared.tools))?;
        }
        Verb::Upstream(Transport::Stdio { shared }) => {
            proc::pin(shared.core)?;
            upstream::stdio(shared.tools)?;
        }
        Verb::Floor { listen, upstream, core } => {
            proc::pin(core)?;
            runtime.block_on(tokio::task::LocalSet::new().run_until(floor::serve(listen, upstream)))?;
        }
        Verb::Sink { listen, core } => {
            proc::pin(core)?;
            runtime.block_on(sink::serve(listen))?;
        }
        Verb::Load(args) => return runtime.block_on(load::main(args)),
        Verb::Run(args) => return runtime.block_on(run::main(args)),
        Verb::Sessions(args) => runtime.block_on(memory::sessions(&args))?,
        Verb::Store(args) => return runtime.block_on(store::main(&args)),
        Verb::Soak(args) => return runtime.block_on(memory::soak(&args)),
    }
    Ok(ExitCode::SUCCESS)
}
