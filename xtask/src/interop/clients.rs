//! Real clients at real servers, directly and through the gateway: the same calls, and answers that are equal as JSON.
//!
//! Who plays stands in `clients/cast.rs`, and what must come of each pair in `clients/cells.rs`. What is called is in
//! `tests/interop/scenarios`; how a client calls it, in `tests/interop/clients`. A client prints transcripts: what it
//! learnt of the server, what each step gave, which progress was told, and what the server asked of it.

mod batch;
mod cast;
mod cells;
mod page;
mod stage;
mod transcript;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use self::batch::{Place, Play, Played};
use self::cast::{CLIENTS, Client, SERVERS, Server};
use self::cells::{Cell, Outcome, TOGETHER, WAYS, Way};
use self::stage::{Servers, Stage};
use self::transcript::{View, Volatile};
use super::Site;
use super::gateway::{self, Gateway};

/// Clients that play at the same time: they wait for each other's cores more than for anything else.
const AT_ONCE: usize = 2;

/// Lets every client play all its cells, and what they are compared with.
pub(super) fn take(site: &Site<'_>) -> anyhow::Result<()> {
    let stage = Stage::set(site)?;
    let servers = stage.servers()?;
    let mut cells = cells::all();
    if let Some(text) = &site.args.only {
        cells.retain(|cell| cell.name().contains(text));
    }
    let fronts = Fronts::open(site, &servers)?;
    let played = play_all(site, &stage, &servers, &fronts, &cells)?;

    let volatile = SERVERS
        .iter()
        .map(|server| Ok((server.scenario, Volatile::read(&stage.scenario(server.scenario)?)?)))
        .collect::<anyhow::Result<BTreeMap<_, _>>>()?;
    let mut wrong = Vec::new();
    for cell in &cells {
        let found = judge(cell, &volatile[cell.server.scenario], &played);
        for difference in &found {
            eprintln!("  {}: {difference}", cell.name());
        }
        wrong.extend((!found.is_empty()).then(|| cell.name()));
    }
    for outcome in [Outcome::Equal, Outcome::Crossed] {
        let count = cells.iter().filter(|cell| cell.outcome == outcome).count();
        eprintln!("  {count} cells: {}", page::word(outcome));
    }
    ensure!(wrong.is_empty(), "{} of {} cells are not as expected: {}", wrong.len(), cells.len(), wrong.join(", "));
    if site.args.only.is_some() { Ok(()) } else { page::keep(site, &cells) }
}

/// The gateways, as clients reach them.
struct Fronts {
    all: Gateway,
    together: Gateway,
    stdio: BTreeMap<&'static str, Vec<String>>,
}

impl Fronts {
    fn open(site: &Site<'_>, servers: &Servers) -> anyhow::Result<Self> {
        let all = Gateway::start(site, "all", &servers.entries(SERVERS.iter().map(|server| server.name)))?;
        let together = Gateway::start(site, "together", &servers.entries(TOGETHER))?;
        // Each alone, so that its tools keep their names.
        let stdio = SERVERS
            .iter()
            .map(|server| Ok((server.name, gateway::stdio(site, server.name, &servers.entries([server.name]))?)))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { all, together, stdio })
    }

    fn place(&self, server: &Server, way: Way) -> Place {
        match way {
            Way::Http => Place::Url(self.all.url(server.name)),
            Way::Stdio => Place::Command(self.stdio[server.name].clone(), BTreeMap::new()),
            Way::Together => Place::Url(self.together.front()),
            Way::Sse => Place::Sse(self.all.sse(server.name)),
        }
    }
}

/// What every play came to, by client and name.
type AllPlayed = BTreeMap<&'static str, BTreeMap<String, Played>>;

/// One process for each client, some at a time.
fn play_all(
    site: &Site<'_>,
    stage: &Stage<'_>,
    servers: &Servers,
    fronts: &Fronts,
    cells: &[Cell],
) -> anyhow::Result<AllPlayed> {
    let waiting = Mutex::new(CLIENTS.iter());
    let done = Mutex::new(AllPlayed::new());
    let work = || -> anyhow::Result<()> {
        loop {
            let next = waiting.lock().expect("nobody panics with it").next();
            let Some(client) = next else { return Ok(()) };
            let started = Instant::now();
            let plays = plays(stage, servers, fronts, client, cells)?;
            if plays.is_empty() {
                continue;
            }
            let played = batch::play(site, client, stage.client(client), &stage.files, &plays)?;
            eprintln!("  {:<18} {:>3} plays  {:.1} s", client.name, plays.len(), started.elapsed().as_secs_f64());
            done.lock().expect("nobody panics with it").insert(client.name, played);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    Ok(done.into_inner().expect("nobody panics with it"))
}

/// All that a client plays: what its cells are, and what they and those of others are compared with.
fn plays(
    stage: &Stage<'_>,
    servers: &Servers,
    fronts: &Fronts,
    client: &Client,
    cells: &[Cell],
) -> anyhow::Result<Vec<Play>> {
    let mut plays = Vec::new();
    for server in SERVERS {
        let scenario = stage.scenario(server.scenario)?;
        let steps = scenario["steps"].as_array().context("find the steps of a scenario")?;
        let compared = |cell: &&Cell| {
            let (who, whom) = cell.direct();
            who.name == client.name && whom.name == server.name
        };
        if cells.iter().any(|cell| compared(&cell)) {
            let place = servers.place(server).clone();
            plays.push(Play { name: direct(server), place, steps: steps.clone() });
        }
        for way in WAYS {
            let tried =
                |cell: &&Cell| cell.client.name == client.name && cell.server.name == server.name && cell.way == way;
            let Some(cell) = cells.iter().find(tried) else { continue };
            let steps = match way {
                Way::Together => steps.iter().map(|step| prefixed(step, &prefix(server))).collect(),
                Way::Http | Way::Stdio | Way::Sse => steps.clone(),
            };
            plays.push(Play { name: through(cell), place: fronts.place(server, way), steps });
        }
    }
    Ok(plays)
}

fn direct(server: &Server) -> String {
    format!("{} directly", server.name)
}

fn through(cell: &Cell) -> String {
    format!("{} by {}", cell.server.name, cell.way.name())
}

fn prefix(server: &Server) -> String {
    format!("{}__", server.name)
}

/// A step as it is where several servers stand together.
fn prefixed(step: &Value, prefix: &str) -> Value {
    let mut step = step.clone();
    let names = ["/call", "/prompt", "/complete/name"];
    for name in names {
        if let Some(name) = step.pointer_mut(name) {
            *name = json!(format!("{prefix}{}", name.as_str().unwrap_or_default()));
        }
    }
    step
}

/// What is not as expected of a cell.
fn judge(cell: &Cell, volatile: &Volatile, played: &AllPlayed) -> Vec<String> {
    let came = &played[cell.client.name][&through(cell)];
    let (who, whom) = cell.direct();
    let (direct, came) = match (&played[who.name][&direct(whom)], came) {
        (Ok(direct), Ok(came)) => (direct, came),
        (Err(said), _) => return vec![format!("without the gateway there is no play: {said}")],
        (_, Err(said)) => return vec![said.clone()],
    };
    if !transcript::is_whole(direct) {
        return vec!["without the gateway, no step succeeds".to_owned()];
    }
    let prefix = (cell.way == Way::Together).then(|| prefix(cell.server));
    let view = match (cell.outcome, prefix) {
        (Outcome::Crossed, prefix) => View::Crossed(prefix),
        (_, Some(prefix)) => View::Together(prefix),
        (_, None) => View::Whole,
    };
    volatile.compare(&view, direct, came)
}
