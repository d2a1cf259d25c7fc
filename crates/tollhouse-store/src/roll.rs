//! Sums that grow with each call, so that no question about them has to look at calls again.
//!
//! What has been counted since the last flush is a [`Delta`]; an engine adds it to what it keeps and begins a new one.

use std::collections::{HashMap, HashSet};

use tollhouse_core::ids::CallId;

use crate::call::Call;
use crate::question::{By, ErrorGroup, Session, Sum, Width};

/// Groups that are told apart within a day; calls of further ones are counted as [`OTHER`].
const GROUPS_MAX: usize = 2000;
/// What stands for the groups that are too many, and for tools that no server is known to offer.
pub const OTHER: &str = "_OTHER";
/// Newest calls kept with a group of errors.
pub const ERROR_CALLS: usize = 5;
/// Servers kept with a session.
const SESSION_SERVERS: usize = 32;

/// What calls are summed up by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// The server, or nothing.
    pub server: Box<str>,
    /// The tool or prompt, or nothing.
    pub name: Box<str>,
    /// The method.
    pub method: Box<str>,
    /// The client, or nothing.
    pub client: Box<str>,
}

impl Group {
    fn of(call: &Call) -> Self {
        let text = |text: &Option<Box<str>>| text.clone().unwrap_or_default();
        // Addresses of resources are without number, and so are names that were never routed.
        let named = call.server.is_some() && matches!(&*call.method, "tools/call" | "prompts/get");
        Self {
            server: text(&call.server),
            name: if named { text(&call.name) } else { Box::default() },
            method: call.method.clone(),
            client: text(&call.client),
        }
    }

    fn other() -> Self {
        Self { server: OTHER.into(), name: OTHER.into(), method: OTHER.into(), client: OTHER.into() }
    }

    /// Its part by which numbers are asked for.
    pub fn part(&self, by: By) -> [Box<str>; 2] {
        match by {
            By::All => [Box::default(), Box::default()],
            By::Server => [self.server.clone(), Box::default()],
            By::Tool => {
                let name = if self.name.is_empty() { &self.method } else { &self.name };
                [self.server.clone(), name.clone()]
            }
            By::Client => [self.client.clone(), Box::default()],
            By::Method => [self.method.clone(), Box::default()],
        }
    }
}

/// Which errors are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorKey {
    /// The server, or nothing.
    pub server: Box<str>,
    /// The tool, prompt or method.
    pub name: Box<str>,
    /// `error.type`.
    pub error: Box<str>,
}

/// What was counted since the last flush.
#[derive(Debug, Default)]
pub struct Delta {
    /// By width, slot and group.
    pub cells: HashMap<(Width, u64, Group), Sum>,
    /// By principal and id.
    pub sessions: HashMap<(Box<str>, Box<str>), Session>,
    /// By kind.
    pub errors: HashMap<ErrorKey, ErrorGroup>,
}

impl Delta {
    /// Has nothing been counted?
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}

/// Counts calls.
#[derive(Debug, Default)]
pub struct Rolls {
    delta: Delta,
    /// The groups of the day, so that callers cannot invent any number of them.
    known: HashSet<Group>,
    day: u64,
}

impl Rolls {
    /// Counts a call for the moment at which it was over.
    pub fn fold(&mut self, call: &Call) {
        let ended = call.ended_us();
        let group = self.group(call, ended);
        for width in Width::ALL {
            self.delta.cells.entry((width, width.slot(ended), group.clone())).or_default().add(call);
        }
        let key = (call.principal.clone(), call.session.clone());
        self.delta.sessions.entry(key).and_modify(|session| session.add(call)).or_insert_with(|| Session::begun(call));
        if let Some(error) = &call.error {
            let [server, name] = group.part(By::Tool);
            let key = ErrorKey { server, name, error: error.clone() };
            self.delta
                .errors
                .entry(key)
                .and_modify(|known| known.add(call))
                .or_insert_with_key(|key| ErrorGroup::begun(key, call));
        }
    }

    fn group(&mut self, call: &Call, ended: u64) -> Group {
        let day = Width::Day.slot(ended);
        if day != self.day {
            self.known.clear();
            self.day = day;
        }
        let group = Group::of(call);
        if self.known.contains(&group) {
            return group;
        }
        if self.known.len() >= GROUPS_MAX {
            return Group::other();
        }
        self.known.insert(group.clone());
        group
    }

    /// What was counted since this was last asked.
    pub fn take(&mut self) -> Delta {
        std::mem::take(&mut self.delta)
    }

    /// Gives back what could not be kept, to be kept later.
    pub fn put_back(&mut self, delta: Delta) {
        for (key, sum) in delta.cells {
            self.delta.cells.entry(key).or_default().merge(&sum);
        }
        for (key, session) in delta.sessions {
            self.delta.sessions.entry(key).and_modify(|known| known.merge(&session)).or_insert(session);
        }
        for (key, group) in delta.errors {
            self.delta.errors.entry(key).and_modify(|known| known.merge(&group)).or_insert(group);
        }
    }
}

impl Session {
    fn begun(call: &Call) -> Self {
        let mut session = Self {
            id: call.session.clone(),
            principal: call.principal.clone(),
            source: call.session_source.clone(),
            confidence: call.session_confidence.clone(),
            client: None,
            servers: Vec::new(),
            first_us: call.at_us,
            last_us: 0,
            calls: 0,
            failed: 0,
            last_ok: None,
        };
        session.add(call);
        session
    }

    fn add(&mut self, call: &Call) {
        self.first_us = self.first_us.min(call.at_us);
        self.last_us = self.last_us.max(call.ended_us());
        self.calls += 1;
        self.failed += u64::from(call.failed());
        if self.client.is_none() {
            self.client.clone_from(&call.client);
        }
        if let Some(server) = &call.server {
            self.add_server(server);
        }
        if &*call.method == "tools/call" && !call.failed() {
            self.last_ok = self.last_ok.max(Some(call.id));
        }
    }

    fn add_server(&mut self, server: &str) {
        if let Err(at) = self.servers.binary_search_by(|known| (**known).cmp(server))
            && self.servers.len() < SESSION_SERVERS
        {
            self.servers.insert(at, server.into());
        }
    }

    /// Counts what `other`, the same session at another time, has counted.
    pub fn merge(&mut self, other: &Self) {
        self.first_us = self.first_us.min(other.first_us);
        self.last_us = self.last_us.max(other.last_us);
        self.calls += other.calls;
        self.failed += other.failed;
        self.last_ok = self.last_ok.max(other.last_ok);
        if self.client.is_none() {
            self.client.clone_from(&other.client);
        }
        other.servers.iter().for_each(|server| self.add_server(server));
    }
}

impl ErrorGroup {
    fn begun(key: &ErrorKey, call: &Call) -> Self {
        let ErrorKey { server, name, error } = key.clone();
        let ended = call.ended_us();
        Self { server, name, error, first_us: ended, last_us: ended, count: 1, calls: vec![call.id] }
    }

    fn add(&mut self, call: &Call) {
        let ended = call.ended_us();
        self.first_us = self.first_us.min(ended);
        self.last_us = self.last_us.max(ended);
        self.count += 1;
        self.note(call.id);
    }

    fn note(&mut self, call: CallId) {
        self.calls.push(call);
        self.calls.sort_unstable_by(|a, b| b.cmp(a));
        self.calls.truncate(ERROR_CALLS);
    }

    /// Counts what `other`, the same failures at another time, has counted.
    pub fn merge(&mut self, other: &Self) {
        self.first_us = self.first_us.min(other.first_us);
        self.last_us = self.last_us.max(other.last_us);
        self.count += other.count;
        other.calls.iter().for_each(|call| self.note(*call));
    }
}
