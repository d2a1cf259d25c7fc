//! The demonstration's agent: a script played through a gateway's public address, each call told as it passes.
//!
//! It plays three clients. One is modern and says everything anew with each request; one is legacy, opens a session and
//! gets its answers as event streams; and one plans an evening over both servers, in one trace and one conversation, and
//! makes the mistakes that agents make. All are the plain protocol and nothing else.

mod table;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use http::Uri;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tollhouse_core::clock;
use tollhouse_core::era::Era;
use tollhouse_core::trace::{Hex, TraceContext, mint_span};

use self::table::Table;
use super::server::Name;
use crate::client::peer::{Answer, Outcome, Peer};

/// Between two calls, when somebody watches: slow enough to be read.
const PACE: Duration = Duration::from_millis(400);
/// Between two calls of one plan: no longer than an agent thinks.
const THOUGHT: Duration = Duration::from_millis(70);

/// Its slowest tool takes under a second; a child that has to start first, a few.
const PATIENCE: Duration = Duration::from_secs(40);

/// One server as the agent finds it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Which of the demonstration's servers.
    pub(crate) server: Name,
    /// Where it is reached.
    pub(crate) url: Uri,
}

/// Both servers behind the gateway at `listen`.
pub(crate) fn behind(listen: SocketAddr) -> Vec<Target> {
    let target = |server: Name| {
        let url = format!("http://{listen}/servers/{}/mcp", server.as_str());
        Target { server, url: url.parse().expect("an address and a word make a URL") }
    };
    Name::ALL.map(target).into()
}

/// How often the script is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Play {
    /// Once, without pauses, and a table at the end.
    Once,
    /// Again and again, at a pace one can watch, until stopped.
    Again,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Played {
    /// Calls made, tools and others.
    pub(crate) calls: u64,
    /// Calls without a proper answer. A tool that says no has answered.
    pub(crate) lost: u64,
}

/// Plays the script against `targets` and tells each call on `out`.
///
/// # Errors
/// `out` cannot be written. A call that goes wrong is told, counted, and no error.
///
/// # Cancel safety
/// Dropping it ends the clients' connections; prefer `stop`, which still says goodbye to sessions.
pub(crate) async fn run(
    targets: &[Target],
    play: Play,
    out: &mut impl Write,
    stop: CancellationToken,
) -> anyhow::Result<Played> {
    let mut agent = Agent { out, play, pace: PACE, mistaken: false, stop, table: Table::default() };
    agent.tell(&HEADING).context("write the heading")?;
    for round in 0.. {
        for target in targets {
            for era in [Era::Modern, Era::Legacy] {
                agent.visit(target, era, round).await?;
            }
        }
        agent.plan(targets, round).await?;
        if play == Play::Once || agent.stop.is_cancelled() {
            break;
        }
    }
    if play == Play::Once {
        write!(agent.out, "\n{}", agent.table).context("write the table")?;
    }
    Ok(agent.table.played())
}

const HEADING: [&str; 7] = ["time (UTC)", "server", "era", "call", "outcome", "ms", "bytes"];

struct Agent<'a, W> {
    out: &'a mut W,
    play: Play,
    /// Between two calls, when somebody watches.
    pace: Duration,
    /// What is asked next is wrong on purpose, and an error is its proper answer.
    mistaken: bool,
    stop: CancellationToken,
    table: Table,
}

impl<W: Write> Agent<'_, W> {
    /// One client's dealings with one server, from hello to goodbye.
    async fn visit(&mut self, target: &Target, era: Era, round: u64) -> anyhow::Result<()> {
        let mut peer = Peer::new(&target.url, era, "tollhouse-demo", PATIENCE).context("prepare a client")?;
        let hello = if era == Era::Modern { "server/discover" } else { "initialize" };
        self.ask(target, &mut peer, hello, json!({})).await?;
        self.ask(target, &mut peer, "tools/list", json!({})).await?;
        match target.server {
            Name::Notes => self.notes(target, &mut peer, round).await?,
            Name::Almanac => self.almanac(target, &mut peer, round).await?,
        }
        // Nothing depends on the goodbye, and it is no call.
        let _ = peer.leave().await;
        Ok(())
    }

    /// Plans an evening: one conversation and one trace over both servers, with a slow call and some that go wrong.
    async fn plan(&mut self, targets: &[Target], round: u64) -> anyhow::Result<()> {
        let of = |name: Name| targets.iter().find(|target| target.server == name);
        let (Some(notes), Some(almanac)) = (of(Name::Notes), of(Name::Almanac)) else { return Ok(()) };
        self.pace = THOUGHT;
        let planned = self.plan_with(notes, almanac, round).await;
        self.pace = PACE;
        planned
    }

    async fn plan_with(&mut self, notes: &Target, almanac: &Target, round: u64) -> anyhow::Result<()> {
        let peer = |target: &Target| Peer::new(&target.url, Era::Modern, "evening-planner", PATIENCE);
        let (mut paper, mut sky) = (peer(notes)?, peer(almanac)?);
        let (trace, span) = (TraceContext::mint(), mint_span());
        let parent = Hex(&span);
        let meta = json!({
            "traceparent": format!("00-{}-{parent}-01", Hex(&trace.trace_id)),
            // Four evenings make one conversation.
            "threadId": format!("evenings-{}", round / 4 + 1),
        });
        let with = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments, "_meta": meta});
        let date = date(round);
        let call = "tools/call";
        self.ask(almanac, &mut sky, call, with("moon_phase", json!({"date": date}))).await?;
        let mut calendar = with("moon_calendar", json!({"date": date, "days": 14}));
        calendar["_meta"]["progressToken"] = json!("calendar");
        self.ask(almanac, &mut sky, call, calendar).await?;
        for place in ["Oslo", "Nairobi"] {
            self.ask(almanac, &mut sky, call, with("star_tonight", json!({"date": date, "place": place}))).await?;
        }
        let note = json!({"title": format!("evening {round}"), "text": "Take the tram, look west after dusk."});
        let added = self.ask(notes, &mut paper, call, with("add_note", note)).await?;
        let id = added.pointer("/structuredContent/id").cloned().unwrap_or(json!(1));
        self.ask(notes, &mut paper, call, with("read_note", json!({"id": id}))).await?;
        // What agents do: they remember wrongly, they make up units, they make up tools.
        self.ask(notes, &mut paper, call, with("read_note", json!({"id": 4_000_000 + round}))).await?;
        self.mistaken = true;
        let light_years = json!({"value": 4, "from": "light-year", "to": "km"});
        self.ask(almanac, &mut sky, call, with("convert", light_years)).await?;
        self.mistaken = true;
        self.ask(notes, &mut paper, call, with("find_notes", json!({"text": "dusk"}))).await?;
        self.ask(notes, &mut paper, call, with("delete_note", json!({"id": id}))).await?;
        Ok(())
    }

    async fn notes(&mut self, target: &Target, peer: &mut Peer, round: u64) -> anyhow::Result<()> {
        let note = json!({"title": format!("round {round}"), "text": "Look at the moon before the market."});
        let added = self.tool(target, peer, "add_note", note).await?;
        self.tool(target, peer, "list_notes", json!({})).await?;
        let id = added.pointer("/structuredContent/id").cloned().unwrap_or(json!(1));
        self.tool(target, peer, "read_note", json!({"id": id})).await?;
        self.ask(target, peer, "resources/read", json!({"uri": format!("notes://{id}")})).await?;
        self.tool(target, peer, "delete_note", json!({"id": id})).await?;
        Ok(())
    }

    async fn almanac(&mut self, target: &Target, peer: &mut Peer, round: u64) -> anyhow::Result<()> {
        let date = date(round);
        self.tool(target, peer, "moon_phase", json!({"date": date})).await?;
        self.tool(target, peer, "day_length", json!({"date": date, "latitude": 38.7})).await?;
        self.tool(target, peer, "convert", json!({"value": 3, "from": "nautical-mile", "to": "km"})).await?;
        for place in ["Lisbon", "Tromsø", "Quito", "Hobart"] {
            self.tool(target, peer, "star_tonight", json!({"date": date, "place": place})).await?;
        }
        self.tool(target, peer, "moon_calendar", json!({"date": date, "days": 5})).await?;
        Ok(())
    }

    /// Calls a tool; answers with its result, or null.
    async fn tool(&mut self, target: &Target, peer: &mut Peer, name: &str, arguments: Value) -> anyhow::Result<Value> {
        let mut params = json!({"name": name, "arguments": arguments});
        if name == "moon_calendar" {
            params["_meta"] = json!({"progressToken": name});
        }
        self.ask(target, peer, "tools/call", params).await
    }

    async fn ask(&mut self, target: &Target, peer: &mut Peer, method: &str, params: Value) -> anyhow::Result<Value> {
        if self.stop.is_cancelled() {
            return Ok(Value::Null);
        }
        if self.play == Play::Again {
            tokio::select! {
                () = tokio::time::sleep(self.pace) => {}
                () = self.stop.cancelled() => return Ok(Value::Null),
            }
        }
        let tool = if method == "tools/call" { params["name"].as_str() } else { None };
        let what = tool.unwrap_or(method).to_owned();
        let (started, time) = (Instant::now(), time_of_day());
        let Answer { outcome, bytes, result } = tokio::select! {
            answer = peer.ask(method, params) => answer,
            () = self.stop.cancelled() => return Ok(Value::Null),
        };
        let time_taken = started.elapsed();
        let server = target.server.as_str();
        let expected = std::mem::take(&mut self.mistaken) && matches!(outcome, Outcome::Error(..));
        self.table.add(server, &what, &outcome, expected, time_taken, bytes);
        let (millis, bytes) = (table::millis(time_taken), bytes.to_string());
        self.tell(&[&time, server, peer.era().as_str(), &what, &outcome.to_string(), &millis, &bytes])
            .context("write a line")?;
        Ok(result)
    }

    fn tell(&mut self, [time, server, era, what, outcome, ms, bytes]: &[&str; 7]) -> std::io::Result<()> {
        writeln!(self.out, "{time:12}  {server:7}  {era:6}  {what:15}  {outcome:24}  {ms:>8}  {bytes:>6}")?;
        self.out.flush()
    }
}

/// Another day with each round.
fn date(round: u64) -> String {
    format!("2026-{:02}-{:02}", round / 28 % 12 + 1, round % 28 + 1)
}

/// Hours, minutes, seconds and milliseconds UTC.
fn time_of_day() -> String {
    let millis = clock::unix_millis(clock::wall()) % 86_400_000;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests;
