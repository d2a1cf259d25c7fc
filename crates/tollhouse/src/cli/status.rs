//! `tollhouse status`: asks a running gateway how it stands.
//!
//! For people a short table, with `--json` the gateway's own answer. The exit code alone tells a script: 0 all is
//! well, 1 it is not, 3 nobody answers. Where the gateway answers is as it was told to `serve`: by a flag, else by the
//! configuration.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::Context as _;
use tollhouse_web::{Losses, Reload, Report, Server, State, Status, Taken};

use super::{Common, Paint, Tone};
use crate::client::health;
use crate::config::without_controls;
use crate::exit::Exit;

/// What `status` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse status                         the gateway of this machine
  tollhouse status --config th.yaml        the one that serves this configuration
  tollhouse status --admin 127.0.0.1:9071  one with another admin address
  tollhouse status --json                  for a script",
    after_help = "Exit codes: 0 all is well, 1 a server is down or the gateway drains, 3 no gateway answers."
)]
pub(crate) struct Args {}

/// Asks, and writes what comes back.
pub(crate) async fn run(common: &Common, paint: Paint, out: &mut impl Write) -> anyhow::Result<Exit> {
    let admin = common.running_admin();
    let body = match health(admin).await {
        Ok(body) => body,
        Err(error) => return Ok(unreachable(admin, &error)),
    };
    let report: Report = serde_json::from_slice(&body).context("read the gateway's answer")?;
    if common.json {
        out.write_all(&body).and_then(|()| writeln!(out)).context("write the answer")?;
    } else {
        out.write_all(table(&report, paint).as_bytes()).context("write the answer")?;
    }
    let well = report.status == Status::Ok && !report.draining;
    Ok(if well { Exit::Ok } else { Exit::Fault })
}

/// Says that nobody answers at the admin address; the exit code that goes with it.
pub(super) fn unreachable(admin: SocketAddr, error: &anyhow::Error) -> Exit {
    // Without a standard error the exit code still tells it.
    let _ = writeln!(
        std::io::stderr(),
        "error: no gateway answers at {admin}: {}\nhint: start one with `tollhouse serve`, or say with `--admin` where it answers",
        error.root_cause()
    );
    Exit::Unreachable
}

fn table(report: &Report, paint: Paint) -> String {
    let tone = if report.status == Status::Ok { Tone::Good } else { Tone::Bad };
    let draining = if report.draining { ", draining" } else { "" };
    let listen = report.listen.map(|listen| format!(" · http://{listen}/mcp")).unwrap_or_default();
    let mut lines = vec![
        format!(
            "{}{draining}{listen} · version {} · up {}",
            paint.tone(tone, report.status.as_str()),
            report.version,
            span(report.uptime_s)
        ),
        format!(
            "sessions {} · calls in flight {} · records dropped {}",
            report.sessions, report.calls_in_flight, report.records_dropped
        ),
    ];
    if report.losses != Losses::default() {
        let Losses { messages_dropped, connections_cut, connections_refused } = report.losses;
        lines.push(format!(
            "messages dropped {messages_dropped} · connections cut {connections_cut}, refused {connections_refused}"
        ));
    }
    if let Some(Reload { result: Taken::Refused, error, .. }) = &report.reloads.last {
        lines.push(format!("the changed configuration was refused: {}", error.as_deref().unwrap_or("see the log")));
    }
    if !report.servers.is_empty() {
        let width = report.servers.iter().map(|server| server.id.len()).fold("server".len(), usize::max);
        let heading =
            format!("{:width$}  {:9}  {:9}  {:6}  {:>5}  reason", "server", "state", "transport", "era", "tools");
        lines.extend([String::new(), paint.tone(Tone::Faint, heading).to_string()]);
        lines.extend(report.servers.iter().map(|server| row(server, width, paint)));
    }
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n") + "\n"
}

fn row(server: &Server, width: usize, paint: Paint) -> String {
    let tools = server.tools.map_or_else(|| "-".to_owned(), |tools| tools.to_string());
    let tone = match server.state {
        State::Connected => Tone::Good,
        State::Idle | State::Starting => Tone::Fair,
        State::Failed => Tone::Bad,
    };
    // What a server said may have lines, and a row has one.
    let reason = server.reason.as_deref().unwrap_or_default().lines().collect::<Vec<_>>().join(" ");
    format!(
        "{:width$}  {:9}  {:9}  {:6}  {tools:>5}  {}",
        server.id,
        paint.tone(tone, server.state.as_str()),
        server.transport,
        server.era.as_deref().unwrap_or("-"),
        without_controls(&reason),
    )
}

/// Seconds as people say them, in the two largest units.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;
    use tollhouse_proxy::settings::FrontDoor;
    use tollhouse_web::{Phase, Reloads, Snapshot};

    use super::*;

    async fn asked(states: &[State], json: bool) -> (Exit, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let common = Common { admin: Some(listener.local_addr().unwrap()), json, ..Common::default() };
        let servers = states.iter().zip(["notes", "almanac"]).map(|(state, id)| Server {
            id: id.into(),
            transport: "stdio".into(),
            era: Some("both".into()),
            state: *state,
            reason: (*state == State::Failed).then(|| "exited with status 127".into()),
            restarts: 0,
            last_error: None,
            last_error_at_unix_ms: None,
            tools: Some(4),
            unvalidated_tools: None,
        });
        let snapshot = Snapshot {
            version: "0.1.0",
            listen: "127.0.0.1:7070".parse().ok(),
            uptime_s: 3725,
            phase: Phase::Serving,
            sessions: 1,
            calls_in_flight: 2,
            records_dropped: 0,
            losses: Losses::default(),
            reloads: Reloads::default(),
            servers: servers.collect(),
        };
        let (health, stop) = (tollhouse_web::Shown::health(move || snapshot.clone()), CancellationToken::new());
        let (_, door) = watch::channel(FrontDoor::default());
        let mut out = Vec::new();
        let exit = tokio::select! {
            _ = tollhouse_web::serve(listener, health, door, stop) => panic!("the listener ended"),
            exit = run(&common, Paint::Plain, &mut out) => exit.unwrap(),
        };
        (exit, String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn a_healthy_gateway_is_shown_as_a_table_and_ends_with_0() {
        let (exit, text) = asked(&[State::Connected], false).await;
        let expected = "ok · http://127.0.0.1:7070/mcp · version 0.1.0 · up 1 h 2 min\n\
                        sessions 1 · calls in flight 2 · records dropped 0\n\n\
                        server  state      transport  era     tools  reason\n\
                        notes   connected  stdio      both        4\n";
        assert_eq!((exit, text.as_str()), (Exit::Ok, expected));
    }

    #[tokio::test]
    async fn a_gateway_with_a_failed_server_ends_with_1_and_names_the_reason() {
        for json in [false, true] {
            let (exit, text) = asked(&[State::Connected, State::Failed], json).await;
            assert_eq!(exit, Exit::Fault);
            assert!(text.contains("degraded") && text.contains("exited with status 127"), "{text}");
        }
    }

    #[tokio::test]
    async fn where_nobody_listens_the_exit_code_is_3() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let common = Common { admin: Some(listener.local_addr().unwrap()), ..Common::default() };
        drop(listener);
        let mut out = Vec::new();
        assert_eq!((run(&common, Paint::Plain, &mut out).await.unwrap(), out.len()), (Exit::Unreachable, 0));
    }
}
