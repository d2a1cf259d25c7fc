//! The project's own commands. `cargo xtask` is `cargo run --package xtask` (see `.cargo/config.toml`).
//!
//! What is checked here is a rule; what is not is a habit. `ci` needs nothing but the toolchain; what needs other
//! languages or other people's servers is in `interop`.

#![expect(
    clippy::disallowed_methods,
    reason = "a tool of the project starts cargo and git, and tells how long they took"
)]

mod ci;

mod bench;
mod interop;
mod tidy;

mod docs;

mod deploy;

mod ground;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::ground::Ground;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Everything that must hold before a change lands, with the toolchain alone
    Ci(ci::Args),
    /// The rules that no compiler knows: crate edges, module order, texts, samples, generated pages
    Tidy,
    /// Write what is generated: pages of docs, dashboards
    Docs,
    /// Compare the gateway with a plain proxy, in release builds
    Bench(bench::Args),
    /// Run against other people's clients, servers and suites
    Interop(interop::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = Ground::find().and_then(|ground| match &cli.verb {
        Verb::Ci(args) => ci::run(&ground, args),
        Verb::Tidy => tidy::run(&ground),
        Verb::Docs => docs::run(&ground),
        Verb::Bench(args) => bench::run(&ground, args),
        Verb::Interop(args) => interop::run(&ground, args),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
