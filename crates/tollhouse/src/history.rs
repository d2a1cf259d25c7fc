//! Notes what happens beside calls, so that it can be asked for later: servers come and go, their tools change, the
//! configuration is read again.
//!
//! How things stand is looked at once a second and held against the time before; nothing on the path of a call knows of
//! it. What a server's tools were when the program last ran, the store knows, so that a change over a restart is noticed
//! too.
//!
//! Path: `handle`, `reloads` → **`history`** → store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tollhouse_core::{clock, redact};
use tollhouse_proxy::handle::{Handle, ServerSnapshot};
use tollhouse_store::event::{Event, Kind};
use tollhouse_web::{Recorded, Reloads, Taken};
use tracing::info;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// A tool that is not listed any more counts as removed after so many looks: a list may come in pages.
const MISSED: u32 = 10;
/// A longer definition is not kept.
const DEFINITION_MAX: usize = 64 << 10;
/// Members named in what is said of a change.
const NAMED_MAX: usize = 12;

/// The server and the tool.
type Place = (Box<str>, Box<str>);

/// What was seen the last time.
#[derive(Default)]
struct Seen {
    servers: BTreeMap<Box<str>, (&'static str, u64)>,
    tools: BTreeMap<Place, Known>,
    reloads: u64,
    begun: bool,
}

/// A tool as it was seen last.
struct Known {
    definition: Bytes,
    missed: u32,
}

/// Notes that the program records from now on.
pub(crate) fn begin(recorded: &Recorded) {
    recorded.store().note(event(Kind::Started).detail(concat!("version ", env!("CARGO_PKG_VERSION"))));
}

/// Notes that it does so no more.
pub(crate) fn end(recorded: &Recorded) {
    recorded.store().note(event(Kind::Stopped));
}

/// Looks until `stop`. Without a store changed tools are still told.
pub(crate) async fn watch(
    handle: Handle,
    reloads: Arc<Mutex<Reloads>>,
    recorded: Option<Recorded>,
    stop: CancellationToken,
) {
    let mut seen = Seen::default();
    if let Some(recorded) = &recorded
        && let Ok(tools) = recorded.store().read(|reader| reader.tools()).await
    {
        let known = |definition: Box<str>| Known { definition: Bytes::from(definition.into_string()), missed: 0 };
        seen.tools = tools.into_iter().map(|tool| ((tool.server, tool.name), known(tool.definition))).collect();
    }
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
        }
        let mut happened = Vec::new();
        seen.servers(&handle.snapshot().servers, &mut happened);
        seen.listed(&handle, &mut happened);
        seen.read_again(&reloads.lock().unwrap_or_else(PoisonError::into_inner), &mut happened);
        if let Some(recorded) = &recorded {
            for event in happened {
                recorded.store().note(event);
            }
        }
    }
}

impl Seen {
    fn servers(&mut self, servers: &[ServerSnapshot], happened: &mut Vec<Event>) {
        let begun = std::mem::replace(&mut self.begun, true);
        for server in servers {
            let before = self.servers.insert(server.id.as_str().into(), (server.state, server.restarts));
            let at = |kind| event(kind).at(&server.id);
            let because = |event: Event| match &server.reason {
                Some(reason) => event.detail(redact::text(reason).into_owned()),
                None => event,
            };
            let (state, restarts) = match before {
                Some(before) => before,
                None if begun => {
                    happened.push(at(Kind::ServerAdded));
                    ("", 0)
                }
                None => ("", 0),
            };
            if server.restarts > restarts {
                let cause = server.last_failure.as_ref().map(|(_, cause)| redact::text(cause).into_owned());
                let event = at(Kind::ServerRestarted);
                happened.push(cause.into_iter().fold(event, Event::detail));
            }
            if server.state == state {
                continue;
            }
            match server.state {
                "connected" => happened.push(at(Kind::ServerUp)),
                "down" => happened.push(because(at(Kind::ServerDown))),
                "parked" => happened.push(because(at(Kind::ServerParked))),
                // It is being started: what comes of it is told.
                _ => {}
            }
        }
        self.servers.retain(|id, _| {
            let there = servers.iter().any(|server| *server.id == **id);
            if !there {
                happened.push(event(Kind::ServerRemoved).at(id));
            }
            there
        });
    }

    fn listed(&mut self, handle: &Handle, happened: &mut Vec<Event>) {
        let mut changes = Changes::default();
        for (server, (state, _)) in &self.servers {
            let tools = handle.tools(server);
            if tools.is_empty() || *state != "connected" {
                continue;
            }
            for tool in &tools {
                let place = (server.clone(), tool.name.clone());
                let before = self.tools.get(&place).map(|known| known.definition.clone());
                let now = kept(&tool.definition);
                let known = Known { definition: now.clone(), missed: 0 };
                if before.as_ref() == Some(&now) {
                    self.tools.insert(place, known);
                    continue;
                }
                let at = |kind| event(kind).at(server).of(&tool.name).body(std::str::from_utf8(&now).unwrap_or(""));
                happened.push(match &before {
                    None => at(Kind::ToolAdded),
                    Some(before) => at(Kind::ToolChanged).detail(difference(before, &tool.definition)),
                });
                changes.count(server, usize::from(before.is_some()));
                changes.listed(server, tools.len());
                self.tools.insert(place, known);
            }
        }
        let (servers, mut removed) = (&self.servers, Vec::new());
        for ((server, name), known) in &mut self.tools {
            let there = servers.get(server).map(|(state, _)| *state);
            let missing = match there {
                None => true,
                Some("connected") => {
                    let tools = handle.tools(server);
                    let missing = !tools.is_empty() && !tools.iter().any(|tool| tool.name == *name);
                    known.missed = if missing { known.missed + 1 } else { 0 };
                    known.missed >= MISSED
                }
                Some(_) => false,
            };
            if missing {
                removed.push((server.clone(), name.clone()));
            }
        }
        for place in removed {
            self.tools.remove(&place);
            happened.push(event(Kind::ToolRemoved).at(&place.0).of(&place.1));
            changes.count(&place.0, 2);
        }
        changes.tell();
    }

    fn read_again(&mut self, reloads: &Reloads, happened: &mut Vec<Event>) {
        let count = reloads.applied + reloads.refused;
        if std::mem::replace(&mut self.reloads, count) == count {
            return;
        }
        if let Some(last) = &reloads.last {
            let kind = match last.result {
                Taken::Applied => Kind::ConfigurationApplied,
                Taken::Refused => Kind::ConfigurationRefused,
            };
            let event = Event::new(kind, last.at_unix_ms * 1000);
            let error = last.error.as_deref().map(|error| redact::text(error).into_owned());
            happened.push(error.into_iter().fold(event, Event::detail));
        }
    }
}

/// How many tools of each server were added, changed and removed, and how many it lists.
#[derive(Default)]
struct Changes(BTreeMap<Box<str>, ([usize; 3], usize)>);

impl Changes {
    fn count(&mut self, server: &str, what: usize) {
        self.0.entry(server.into()).or_default().0[what] += 1;
    }

    fn listed(&mut self, server: &str, tools: usize) {
        self.0.entry(server.into()).or_default().1 = tools;
    }

    /// Writes a line for each server, however many of its tools changed. What it lists for the first time is no change.
    fn tell(self) {
        for (server, ([added, changed, removed], listed)) in self.0 {
            if added < listed || changed + removed > 0 {
                info!(target: "tollhouse.server", event = "tollhouse.catalog.changed", server = &*server, added, changed, removed, "tools changed");
            }
        }
    }
}

fn event(kind: Kind) -> Event {
    Event::new(kind, clock::unix_millis(clock::wall()) * 1000)
}

/// A definition as it is kept: empty if it is too long for that.
fn kept(definition: &Bytes) -> Bytes {
    if definition.len() > DEFINITION_MAX { Bytes::new() } else { definition.clone() }
}

/// Which members of a definition are others, for people.
fn difference(before: &[u8], now: &[u8]) -> String {
    let read = |text: &[u8]| serde_json::from_slice::<Map<String, Value>>(text).unwrap_or_default();
    let (before, now) = (read(before), read(now));
    let mut parts = Vec::new();
    members("", &before, &now, &mut parts);
    let more = parts.len().saturating_sub(NAMED_MAX);
    parts.truncate(NAMED_MAX);
    if more > 0 {
        parts.push(format!("{more} more"));
    }
    if parts.is_empty() { "only in how it is written".to_owned() } else { parts.join(", ") }
}

fn members(path: &str, before: &Map<String, Value>, now: &Map<String, Value>, parts: &mut Vec<String>) {
    for (name, value) in now {
        let whole = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (before.get(name), value) {
            (Some(known), value) if known == value => {}
            (Some(Value::Object(known)), Value::Object(value)) => members(&whole, known, value, parts),
            (Some(_), _) => parts.push(format!("~{whole}")),
            (None, _) => parts.push(format!("+{whole}")),
        }
    }
    for name in before.keys().filter(|name| !now.contains_key(*name)) {
        parts.push(format!("-{path}{}{name}", if path.is_empty() { "" } else { "." }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_another_in_a_definition_is_named_by_its_path() {
        let before = br#"{"name":"a","description":"x","inputSchema":{"properties":{"p":{"type":"string"},"q":{}}}}"#;
        let now = br#"{"name":"a","description":"y","inputSchema":{"properties":{"p":{"type":"number"},"r":{}}}}"#;
        let expected =
            "~description, ~inputSchema.properties.p.type, +inputSchema.properties.r, -inputSchema.properties.q";
        assert_eq!(difference(before, now), expected);
        assert_eq!(difference(b"{\"a\":1}", b"{ \"a\": 1 }"), "only in how it is written");
    }

    #[test]
    fn a_server_that_comes_and_goes_is_told_once_each_time() {
        let mut seen = Seen::default();
        let mut look = |state: Option<&'static str>, restarts| {
            let server = |state| ServerSnapshot {
                id: "s".to_owned(),
                transport: "stdio",
                eras: None,
                state,
                reason: (state == "down").then(|| "it exited".to_owned()),
                restarts,
                last_failure: None,
                tools: None,
                unvalidated: 0,
            };
            let mut happened = Vec::new();
            seen.servers(&state.map(server).into_iter().collect::<Vec<_>>(), &mut happened);
            happened.into_iter().map(|event| event.kind).collect::<Vec<_>>()
        };
        assert_eq!(look(Some("connecting"), 0), []);
        assert_eq!(look(Some("connected"), 0), [Kind::ServerUp]);
        assert_eq!(look(Some("connected"), 0), []);
        assert_eq!(look(Some("down"), 0), [Kind::ServerDown]);
        assert_eq!(look(Some("connected"), 1), [Kind::ServerRestarted, Kind::ServerUp]);
        assert_eq!(look(None, 0), [Kind::ServerRemoved]);
        assert_eq!(look(Some("connecting"), 0), [Kind::ServerAdded]);
    }
}
