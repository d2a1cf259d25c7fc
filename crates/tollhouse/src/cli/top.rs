//! `tollhouse top`: what goes on behind a running gateway, at a glance, as long as one looks.
//!
//! It asks the admin listener once a second for sums, which cost the gateway the same however much passes.

mod look;
mod screen;
mod table;
mod terminal;
mod view;

use std::io::{IsTerminal as _, Write};
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use self::look::{Look, Looked};
use self::screen::Screen;
use self::terminal::{Key, Terminal};
use self::view::View;
use super::{Common, Paint, status};
use crate::exit::Exit;

/// Between two looks.
const PACE: Duration = Duration::from_secs(1);

/// What `top` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse top                  watch a gateway; q ends
  tollhouse top --since 24h      over a day
  tollhouse top --view sessions  begin with the sessions
  tollhouse top | head           once, as a table
  tollhouse top --json           once, for a script, an object a line",
    after_help = "Keys: Tab or 1 to 4 another view, s another order, r another span of time, / filter, j k scroll, \
                  p pause, q quit."
)]
pub(crate) struct Args {
    /// What is summed up: `5m`, `15m`, `1h`, `24h`, `7d`
    #[arg(long, value_name = "LENGTH", default_value = "15m")]
    pub(crate) since: String,
    /// What is shown first
    #[arg(long, value_enum, default_value_t = View::Tools)]
    pub(crate) view: View,
}

/// Shows it until somebody has enough; once, where no terminal looks.
pub(crate) async fn run(common: &Common, args: &Args, paint: Paint, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut screen = Screen::new(args.view, &args.since);
    let watched = std::io::stdout().is_terminal() && std::io::stdin().is_terminal() && !common.json;
    if !watched {
        return once(common, &screen, out).await;
    }
    let first = match ask(common, &screen).await? {
        Ok(look) => look,
        Err(exit) => return Ok(exit),
    };
    let mut terminal = Terminal::open().context("take over the terminal")?;
    screen.take(Ok(first));
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace.tick().await;
    let mut ended = signal(SignalKind::terminate()).context("listen to signals")?;
    loop {
        terminal.draw(|size| screen.lines(size, paint)).context("draw")?;
        let asked = tokio::select! {
            _ = ended.recv() => return Ok(Exit::Ok),
            key = terminal.key() => match key {
                None | Some(Key::End) => return Ok(Exit::Ok),
                Some(key) => match screen.press(key) {
                    screen::Then::End => return Ok(Exit::Ok),
                    screen::Then::Ask => true,
                    screen::Then::Draw => false,
                },
            },
            _ = pace.tick() => !screen.paused(),
        };
        if asked {
            let look = Look::at(common, screen.view(), screen.since()).await;
            screen.take(look.map_err(|error| error.root_cause().to_string()).and_then(|found| match found {
                Looked::Seen(look) => Ok(*look),
                Looked::Refused(detail) => Err(detail),
            }));
        }
    }
}

/// One look, or the exit code after it was said why there is none.
async fn ask(common: &Common, screen: &Screen) -> anyhow::Result<Result<Look, Exit>> {
    match Look::at(common, screen.view(), screen.since()).await {
        Ok(Looked::Seen(look)) => Ok(Ok(*look)),
        Ok(Looked::Refused(detail)) => {
            // Without a standard error the exit code still tells it.
            let _ = writeln!(std::io::stderr(), "error: {detail}");
            Ok(Err(Exit::Usage))
        }
        Err(error) => Ok(Err(status::unreachable(common.running_admin(), &error))),
    }
}

async fn once(common: &Common, screen: &Screen, out: &mut impl Write) -> anyhow::Result<Exit> {
    let look = match ask(common, screen).await? {
        Ok(look) => look,
        Err(exit) => return Ok(exit),
    };
    if common.json {
        for object in &look.objects {
            writeln!(out, "{object}").context("write the figures")?;
        }
        return Ok(Exit::Ok);
    }
    for line in look.table.lines(0, None, usize::MAX, 100, Paint::Plain) {
        writeln!(out, "{}", line.trim_end()).context("write the figures")?;
    }
    Ok(Exit::Ok)
}
