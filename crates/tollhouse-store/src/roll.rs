//! Sums that grow with each call, so that no question about them has to look at calls again.
//!
//! What has been counted since the last flush is a [`Delta`]; an engine adds it to what it keeps and begins a new one.

use std::collections::{BTreeMap, HashMap};

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
    /// Server, name, method and client of a call, as far as they are counted by.
    fn parts(call: &Call) -> [&str; 4] {
        // Addresses of resources are without number, and so are names that were never routed.
        let named = call.server.is_some() && matches!(&*call.method, "tools/call" | "prompts/get");
        let name = call.name.as_deref().filter(|_| named);
        let [server, client] = [&call.server, &call.client].map(|text| text.as_deref().unwrap_or_default());
        [server, name.unwrap_or_default(), &call.method, client]
    }

    fn of(call: &Call) -> Self {
        let [server, name, method, client] = Self::parts(call).map(Into::into);
        Self { server, name, method, client }
    }

    fn other() -> Self {
        Self { server: OTHER.into(), name: OTHER.into(), method: OTHER.into(), client: OTHER.into() }
    }

    /// Its part by which numbers are asked for.
    pub fn part(&self, by: By) -> [&str; 2] {
        match by {
            By::All => ["", ""],
            By::Server => [&self.server, ""],
            By::Tool => [&self.server, if self.name.is_empty() { &self.method } else { &self.name }],
            By::Client => [&self.client, ""],
            By::Method => [&self.method, ""],
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
    pub cells: BTreeMap<(Width, u64, Group), Sum>,
    /// Each once, in no order.
    pub sessions: Vec<Session>,
    /// By kind.
    pub errors: BTreeMap<ErrorKey, ErrorGroup>,
}

impl Delta {
    /// Has nothing been counted?
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Counts what `other` has counted.
    pub fn merge(&mut self, other: Self) {
        for (key, sum) in other.cells {
            self.cells.entry(key).or_default().merge(&sum);
        }
        for session in other.sessions {
            let same = |known: &&mut Session| (&known.principal, &known.id) == (&session.principal, &session.id);
            match self.sessions.iter_mut().find(same) {
                Some(known) => known.merge(&session),
                None => self.sessions.push(session),
            }
        }
        for (key, group) in other.errors {
            self.errors.entry(key).and_modify(|known| known.merge(&group)).or_insert(group);
        }
    }
}

/// Counts calls. What is met again, as nearly everything is, is counted without making anything anew.
#[derive(Debug, Default)]
pub struct Rolls {
    /// By minute and the number of a group; wider slots are made of minutes when they are written.
    cells: BTreeMap<(u64, u32), Sum>,
    /// By principal and id.
    sessions: HashMap<Box<str>, Session>,
    errors: BTreeMap<ErrorKey, ErrorGroup>,
    /// The groups of the day with their numbers, so that callers cannot invent any number of them.
    numbers: HashMap<Box<str>, u32>,
    groups: Vec<Group>,
    day: u64,
    /// Where keys are put together.
    key: String,
}

/// Stands between the parts of a key; names hold no such character, and if one did, two groups would be counted as one.
const BETWEEN: char = '\0';

impl Rolls {
    /// Counts a call for the moment at which it was over.
    pub fn fold(&mut self, call: &Call) {
        let ended = call.ended_us();
        let group = self.group(call, ended);
        self.cells.entry((Width::Minute.slot(ended), group)).or_default().add(call);
        self.key.clear();
        self.key.extend([&*call.principal, "\0", &*call.session]);
        match self.sessions.get_mut(&*self.key) {
            Some(session) => session.add(call),
            None => _ = self.sessions.insert(self.key.as_str().into(), Session::begun(call)),
        }
        if let Some(error) = &call.error {
            let [server, name] = self.groups[group as usize].part(By::Tool);
            let key = ErrorKey { server: server.into(), name: name.into(), error: error.clone() };
            self.errors
                .entry(key)
                .and_modify(|known| known.add(call))
                .or_insert_with_key(|key| ErrorGroup::begun(key, call));
        }
    }

    /// The number of a call's group.
    fn group(&mut self, call: &Call, ended: u64) -> u32 {
        let day = Width::Day.slot(ended);
        if day != self.day && self.cells.is_empty() {
            self.numbers.clear();
            self.groups.clear();
            self.day = day;
        }
        self.key.clear();
        for part in Group::parts(call) {
            self.key.push_str(part);
            self.key.push(BETWEEN);
        }
        if let Some(number) = self.numbers.get(&*self.key) {
            return *number;
        }
        let number = u32::try_from(self.groups.len()).expect("groups are bounded");
        if self.groups.len() < GROUPS_MAX {
            self.groups.push(Group::of(call));
            self.numbers.insert(self.key.as_str().into(), number);
            return number;
        }
        // The last number of all is for those that are too many.
        if self.groups.len() == GROUPS_MAX {
            self.groups.push(Group::other());
        }
        u32::try_from(GROUPS_MAX).expect("groups are bounded")
    }

    /// What was counted since this was last asked.
    pub fn take(&mut self) -> Delta {
        let mut cells: BTreeMap<(Width, u64, Group), Sum> = BTreeMap::new();
        for ((minute, group), sum) in std::mem::take(&mut self.cells) {
            let (group, at_us) = (&self.groups[group as usize], minute * Width::Minute.us());
            for width in [Width::Quarter, Width::Day] {
                cells.entry((width, width.slot(at_us), group.clone())).or_default().merge(&sum);
            }
            cells.entry((Width::Minute, minute, group.clone())).or_default().merge(&sum);
        }
        let sessions = self.sessions.drain().map(|(_, session)| session).collect();
        Delta { cells, sessions, errors: std::mem::take(&mut self.errors) }
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
