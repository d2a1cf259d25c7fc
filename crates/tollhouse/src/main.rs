//! Tollhouse, the program: reads the command line and does what the verb says.

mod cli;

mod demo;

#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "the program does not serve its configuration yet"))]
mod config;

mod client;

use std::io::Write as _;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Exit, Verb};

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the runtime starts");
    let exit = runtime.block_on(run(cli));
    runtime.shutdown_background();
    match exit {
        Ok(exit) => exit.into(),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            Exit::Fault.into()
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout();
    let stop = CancellationToken::new();
    match &cli.verb {
        Verb::Health(_) => return cli::health::run(&cli.common, &mut out).await,
        Verb::Check(args) => return cli::check::run(&cli.common, args, &config::env::Process, &mut out),
        Verb::Completions(args) => cli::completions::run(args, &mut out)?,
        Verb::Reference(args) => cli::reference::run(args, &mut out)?,
        Verb::DemoServer(args) => {
            let serving = cli::demo_server::run(args, stop.clone());
            tokio::pin!(serving);
            tokio::select! {
                ended = &mut serving => ended?,
                _ = tokio::signal::ctrl_c() => { stop.cancel(); serving.await? }
            }
        }
        Verb::Serve(_) | Verb::Stdio(_) | Verb::Demo(_) => anyhow::bail!("not wired yet"),
    }
    Ok(Exit::Ok)
}
