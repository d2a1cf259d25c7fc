//! Makes spans of finished calls, in the words of the OpenTelemetry conventions for MCP, with `tollhouse.…` beside them.
//!
//! A call is a SERVER span from its receipt to the last byte of its answer, with a CLIENT span below it for each attempt
//! and for each server that was asked for a list of several. Their ids were minted on the way, since servers are told of
//! them. Here, when the call is over, it is decided whether it is told (`tail`), and only then a span is written: straight
//! into its protobuf form, since a vector of attributes for each would cost more than everything else.
//!
//! Sessions whose calls name no trace have a root span, which leaves before the first call below it.
//!
//! Path: `pipeline` → **`spans`** → `otlp`.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tollhouse_core::ids::ServerId;
use tollhouse_core::record::{CallRecord, Roots};
use tollhouse_core::trace::{Sampler, TraceContext};

use crate::compat::{Names, Set};
use crate::environment::{Limits, Tools};
use crate::otlp::Items;
use tail::Tail;
use written::Written;

pub use console::lines;
pub use tail::Why;

mod call;
mod console;
mod matrix;
mod session;
mod tail;
mod written;

#[cfg(test)]
mod tests;

/// Spans that are offered together, at most.
const TOGETHER: usize = 64;
/// Session roots that are remembered as told; beyond that all are forgotten, and told again with the next call.
const ROOTS_MAX: usize = 10_000;
/// So long a session over the network has one root.
const HOUR: Duration = Duration::from_hours(1);

/// What decides which spans there are, and what is in them.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The rule by which calls were sampled when they arrived.
    pub sampler: Sampler,
    /// The roots that calls were given.
    pub roots: Roots,
    /// Bounds of one span.
    pub limits: Limits,
    /// Whose calls have no spans.
    pub disabled: Tools,
    /// Names of earlier documents that stand beside ours.
    pub compat: Vec<Set>,
    /// Does captured content stand in spans?
    pub content: bool,
}

/// Where the requests to a server go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// To a process, over a pipe.
    Pipe,
    /// Over HTTP.
    Http {
        /// The host.
        address: String,
        /// The port.
        port: u16,
    },
}

/// Makes spans of calls.
#[derive(Debug)]
pub struct Spans {
    config: Config,
    peers: HashMap<String, Peer>,
    names: Names,
    tail: Tail,
    /// By trace id.
    told: HashSet<[u8; 16]>,
    scratch: Written,
}

impl Spans {
    /// Makes them as `config` says.
    pub fn new(config: Config) -> Self {
        let scratch = Written::new(config.limits);
        let tail = Tail::new(config.sampler);
        let names = Names::of(&config.compat);
        Self { config, peers: HashMap::new(), names, tail, told: HashSet::new(), scratch }
    }

    /// These are the servers now.
    pub fn know(&mut self, peers: HashMap<String, Peer>) {
        self.peers = peers;
    }

    /// Forgets which session roots were told: some of them may have been lost.
    pub fn repeat_roots(&mut self) {
        self.told.clear();
    }

    /// The spans of these calls that are told, those of a session before those of its calls. A call that is told is
    /// marked as sampled from then on, and no other.
    pub fn of(&mut self, records: &mut [CallRecord]) -> Vec<Items> {
        let mut all = Vec::new();
        // What may use the reserve of the queue is kept apart.
        let mut open = [Items::new(false), Items::new(true)];
        for record in records {
            let disabled = self.disabled(record);
            let why = self.tail.look(record, disabled);
            record.sampled = why.is_some();
            let Some(why) = why else { continue };
            let items = &mut open[usize::from(why.always())];
            if items.count() >= TOGETHER {
                all.push(std::mem::replace(items, Items::new(why.always())));
            }
            let root = self.config.roots.context(&record.session, record.listener, record.received_at);
            if let Some(root) = root.filter(|root| root.trace_id == record.trace.trace_id)
                && !self.told.contains(&root.trace_id)
            {
                if self.told.len() >= ROOTS_MAX {
                    self.told.clear();
                }
                session::write(&mut self.scratch, record, &root);
                let hour_before = record.received_at.checked_sub(HOUR);
                let before = hour_before.and_then(|at| self.config.roots.context(&record.session, record.listener, at));
                if let Some(before) = before.filter(|before| self.told.contains(&before.trace_id)) {
                    self.scratch.link(&before, false);
                }
                self.told.insert(root.trace_id);
                let mut own = Items::new(true);
                push(&mut self.scratch, &self.names, &mut own);
                all.push(own);
            }
            items.ended(record.received_at + record.times.done);
            let exposed = self.tail.listed(record);
            call::write_served(&mut self.scratch, record, exposed, why);
            // A call that brought a trace of its own is not below the root of its session, but belongs to it.
            let elsewhere = |root: &TraceContext| root.trace_id != record.trace.trace_id;
            if let Some(root) = root.filter(|root| elsewhere(root) && self.told.contains(&root.trace_id)) {
                self.scratch.link(&root, false);
            }
            if let Some(aside) = &record.aside {
                aside.http.iter().for_each(|http| self.scratch.link(http, true));
                aside.follows.iter().for_each(|asked| self.scratch.link(asked, false));
            }
            if self.config.content {
                call::write_content(&mut self.scratch, record, exposed);
            }
            push(&mut self.scratch, &self.names, items);
            let peer_of = |server: &ServerId| self.peers.get(server.as_str());
            let peer = record.server.as_ref().and_then(peer_of);
            for (at, attempt) in record.attempts.iter().enumerate() {
                call::write_sent(&mut self.scratch, record, attempt, at, exposed, peer);
                push(&mut self.scratch, &self.names, items);
            }
            for back in &record.asked_back {
                for sent in [false, true] {
                    call::write_asked_back(&mut self.scratch, record, back, sent, peer);
                    push(&mut self.scratch, &self.names, items);
                }
            }
            for leg in &record.legs {
                call::write_leg(&mut self.scratch, record, leg, peer_of(&leg.server));
                push(&mut self.scratch, &self.names, items);
            }
        }
        all.extend(open.into_iter().filter(|items| !items.is_empty()));
        all
    }

    fn disabled(&self, record: &CallRecord) -> bool {
        if self.config.disabled.is_empty() || &*record.method != "tools/call" {
            return false;
        }
        let server = record.server.as_ref().map(ServerId::as_str);
        let names = [record.name.as_deref(), record.local_name.as_deref(), server];
        let mut known = [""; 3];
        let mut count = 0;
        for name in names.into_iter().flatten() {
            known[count] = name;
            count += 1;
        }
        self.config.disabled.hold(&known[..count])
    }
}

fn push(span: &mut Written, names: &Names, items: &mut Items) {
    names.add(span);
    items.push_written(span.finish());
}

fn nanos(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
