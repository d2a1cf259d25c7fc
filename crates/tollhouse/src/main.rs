//! Tollhouse, the program: what the command line says, is done.
//!
//! A gateway's life reads: configuration → components built → every address told → wait → drain. It stands in
//! [`run::gateway`]; the verbs differ in where its configuration and its clients come from.

mod cli;

mod demo;

mod run;
mod reload;
mod drain;
mod build;
mod secrets;
mod standing;
mod history;
mod consistency;
mod pipeline;
mod exports;

mod doctor;

mod setup;

mod token;
mod client;
mod config;
mod exit;

use std::io::Write as _;
use std::process::ExitCode;

use crate::cli::{Cli, Paint, Verb};
use crate::exit::Exit;

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the runtime starts");
    let exit = runtime.block_on(verb(&cli));
    // A client that never closes our input must not keep the process.
    runtime.shutdown_background();
    match exit {
        Ok(exit) => exit.into(),
        // Whoever read the answer has enough of it.
        Err(error) if gone(&error) => Exit::Ok.into(),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            Exit::Fault.into()
        }
    }
}

/// Whether nobody reads standard output any more.
fn gone(error: &anyhow::Error) -> bool {
    let kind = error.root_cause().downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::BrokenPipe)
}

async fn verb(cli: &Cli) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout();
    match &cli.verb {
        Verb::Serve(args) => cli::serve::run(&cli.common, args).await,
        Verb::Stdio(_) => cli::stdio::run(&cli.common).await,
        Verb::Wrap(args) => cli::wrap::run(&cli.common, args).await,
        Verb::Demo(args) => cli::demo::run(&cli.common, args).await,
        Verb::DemoServer(args) => cli::demo_server::run(args).await,
        Verb::Init(args) => cli::init::run(&cli.common, args, Paint::of(&out), &mut out),
        Verb::Add(args) => cli::add::run(&cli.common, args, &mut out),
        Verb::Remove(args) => cli::remove::run(&cli.common, args, &mut out),
        Verb::List(_) => cli::list::run(&cli.common, &mut out),
        Verb::Check(args) => cli::check::run(&cli.common, args, &mut out),
        Verb::Status(_) => cli::status::run(&cli.common, Paint::of(&out), &mut out).await,
        Verb::Doctor(args) => cli::doctor::run(&cli.common, args, Paint::of(&out), &mut out).await,
        Verb::Tools(args) => cli::tools::run(&cli.common, args, &mut out).await,
        Verb::Calls(args) => cli::calls::run(&cli.common, args, &mut out).await,
        Verb::Tail(list) => cli::calls::tail(&cli.common, list, &mut out).await,
        Verb::Trace(args) => cli::trace::run(&cli.common, args, Paint::of(&out), &mut out).await,
        Verb::Sessions(args) => cli::sessions::run(&cli.common, args, &mut out).await,
        Verb::Errors(args) => cli::errors::run(&cli.common, args, &mut out).await,
        Verb::Logs(args) => cli::logs::run(&cli.common, args, Paint::of(&out), &mut out).await,
        Verb::Dashboard(_) => cli::dashboard::run(&cli.common, &mut out).await,
        Verb::Top(args) => cli::top::run(&cli.common, args, Paint::of(&out), &mut out).await,
        Verb::Completions(args) => cli::completions::run(args, &mut out).map(|()| Exit::Ok),
        Verb::Reference(args) => cli::reference::run(args, &mut out).map(|()| Exit::Ok),
    }
}
