//! One gateway from its configuration to its end.

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tollhouse_telemetry::logs::{self, Format, Log};

use crate::build::{Program, StoreError, Wanted};
use crate::config::env::{Environment as _, Process};
use crate::config::{self, Loaded, LogFormat};
use crate::drain::{Signals, drain};
use crate::exit::Exit;
use crate::reload::{Hangups, Source, follow};

/// Starts sending log lines to standard error: as told on the command line, else the environment, else the file.
pub(crate) fn log(told: Option<&str>, file: &config::Log) -> anyhow::Result<Log> {
    let variable =
        |name| Process.var(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
    let level = told.map(str::to_owned).or_else(|| variable("MCP_LOG_LEVEL")).or_else(|| file.level.clone());
    let format = variable("MCP_LOG_FORMAT").and_then(|name| Format::parse(&name)).or(match file.format {
        Some(LogFormat::Text) => Some(Format::Text),
        Some(LogFormat::Json) => Some(Format::Json),
        None => None,
    });
    let mut level = level.unwrap_or_else(|| "info".to_owned());
    // The level of telemetry's own lines, of which the specification knows other words.
    let own = match variable("OTEL_LOG_LEVEL").map(|level| level.to_ascii_lowercase()).as_deref() {
        Some("none") => Some("off"),
        Some("fatal") => Some("critical"),
        Some("verbose" | "all") => Some("trace"),
        Some(level @ ("trace" | "debug" | "info" | "warn" | "warning" | "error" | "critical" | "off")) => Some(level),
        Some(_) | None => None,
    }
    .map(|level| format!(",tollhouse.otel={level}"));
    level.extend(own);
    logs::init(&level, format.unwrap_or_else(Format::auto)).context("begin to write log lines")
}

/// Builds a gateway from what stands in `source`, and serves until its end as [`gateway`] does. While it runs, it follows
/// its source.
///
/// # Errors
/// It could not start; nothing was served.
pub(crate) async fn followed<T, W: Fn(&Loaded) -> Wanted>(
    source: Source<W>,
    loaded: &Loaded,
    log: Log,
    work: impl AsyncFnOnce(&Program, CancellationToken) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let hangups = Hangups::listen().context("listen to signals")?;
    let wanted = source.wanted(loaded);
    served(loaded, wanted, log, work, async |program| follow(program, source, loaded, hangups).await).await
}

/// Builds a gateway, has it serve what `wanted` says, and ends it in order: when a signal comes, or when `work` is
/// done, which gets the built gateway and a token that is cancelled by a signal.
///
/// # Errors
/// It could not start; nothing was served.
pub(crate) async fn gateway<T>(
    loaded: &Loaded,
    wanted: Wanted,
    log: Log,
    work: impl AsyncFnOnce(&Program, CancellationToken) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    served(loaded, wanted, log, work, async |_| std::future::pending().await).await
}

/// `beside` runs beside the work, and its end is as good as a signal.
async fn served<T>(
    loaded: &Loaded,
    wanted: Wanted,
    log: Log,
    work: impl AsyncFnOnce(&Program, CancellationToken) -> anyhow::Result<T>,
    beside: impl AsyncFnOnce(&Program),
) -> anyhow::Result<T> {
    let mut signals = Signals::listen().context("listen to signals")?;
    let program = Program::build(loaded, wanted, log).await?;
    program.announce();
    let stop = CancellationToken::new();
    let done = {
        let mut working = std::pin::pin!(work(&program, stop.clone()));
        let stopped = async {
            tokio::select! {
                () = signals.first() => {}
                () = beside(&program) => {}
            }
        };
        tokio::select! {
            done = &mut working => done,
            () = stopped => {
                stop.cancel();
                tokio::select! {
                    done = &mut working => done,
                    // A second signal ends at once.
                    () = signals.second() => anyhow::bail!("ended by a second signal"),
                }
            }
        }
    };
    drain(program, signals).await;
    done
}

/// Says why there is no store, and what to do; any other error stays one.
///
/// # Errors
/// It is another error.
pub(crate) fn without_store(error: anyhow::Error) -> anyhow::Result<Exit> {
    use std::io::Write as _;
    let Some(store) = error.downcast_ref::<StoreError>() else { return Err(error) };
    let hint = match std::error::Error::source(store).and_then(|source| source.downcast_ref()) {
        Some(tollhouse_store::Error::Locked { .. }) => "end that process, or name another directory with `--data-dir`",
        Some(tollhouse_store::Error::Newer { .. }) => {
            "use the version that wrote it, or name another directory with `--data-dir`"
        }
        Some(tollhouse_store::Error::Damaged { .. }) => "move the file away; what was summed up in it begins anew",
        Some(tollhouse_store::Error::Full { .. }) => "make room on the disk",
        _ => "name another directory with `--data-dir`",
    };
    // Without a standard error the exit code still tells it.
    let _ = writeln!(std::io::stderr(), "error: {error:#}\nhint: {hint}");
    Ok(Exit::Store)
}

/// Writes the findings about a configuration that cannot be used; the exit code that goes with them.
pub(crate) fn refused(report: &config::Report) -> Exit {
    use std::io::Write as _;
    // Without a standard error the exit code still tells it.
    let _ = writeln!(std::io::stderr(), "{report}");
    Exit::Config
}
