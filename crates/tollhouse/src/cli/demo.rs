//! `tollhouse demo`: a gateway, two servers and an agent in one, to be looked at.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use tollhouse_proxy::settings::{FrontDoor, Limits, Naming, SessionRule, Settings, Tracing};
use tollhouse_telemetry::metrics::Histograms;

use super::Common;
use crate::build::{Keep, Wanted};
use crate::config::{self, Loaded};
use crate::demo::agent::{self, Play};
use crate::demo::servers;
use crate::exit::Exit;
use crate::run;
use crate::token::Token;

/// What `demo` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse demo         again and again, until Ctrl-C; says where the dashboard is
  tollhouse demo --once  once, with a table at the end"
)]
pub(crate) struct Args {
    /// Play the script once, print a table and end
    #[arg(long)]
    pub(crate) once: bool,
}

/// Plays the script against a gateway of its own.
pub(crate) async fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let program = std::env::current_exe().context("find this program, to start the demonstration's servers")?;
    let settings = Settings {
        servers: servers(&program),
        naming: Naming::default(),
        limits: Limits::default(),
        front_door: FrontDoor::default(),
        inject_trace: true,
        tracing: Tracing::default(),
        session_rules: SessionRule::ALL.into(),
    };
    let loaded = Loaded {
        settings,
        log: config::Log::default(),
        listen: None,
        admin: None,
        admin_login: true,
        store: config::Store::default(),
        compat: Vec::new(),
        histograms: Histograms::default(),
        capture: config::Capture::default(),
        shown: config::defaults(),
        notices: Vec::new(),
    };
    // The calls are shown by the agent; their log lines would only repeat it.
    let log = run::log(Some(common.log_level.as_deref().unwrap_or("warning")), &loaded.log)?;
    // Any free port: a demonstration must not fail because a gateway is running.
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let wanted = Wanted {
        listen: Some(common.listen.unwrap_or(free)),
        admin: Some(common.admin.unwrap_or(free)),
        keep: Keep::Memory,
        token: Token::Fleeting,
    };
    let play = if args.once { Play::Once } else { Play::Again };
    run::gateway(&loaded, wanted, log, async |program, stop| {
        let listen = program.listen.expect("a demonstration listens");
        let mut out = std::io::stdout();
        if let Some(link) = program.link().filter(|_| play == Play::Again) {
            writeln!(out, "Open {link} to watch it.\n").context("write where to watch")?;
        }
        let played = agent::run(&agent::behind(listen), play, &mut out, stop).await?;
        Ok(if played.lost == 0 { Exit::Ok } else { Exit::Fault })
    })
    .await
}
