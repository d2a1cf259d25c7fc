//! Finished calls, counted.
//!
//! What a call is counted under follows from a few things that repeat: method, tool, server, outcome. The cells for each
//! combination are looked up once and kept, so that counting a call is one look into a map and an addition a cell.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex};

use tollhouse_core::era::Version;
use tollhouse_core::histogram::{Histogram, Place};
use tollhouse_core::ids::ServerId;
use tollhouse_core::record::{CallRecord, Leg, Listener};
use tollhouse_core::wire::method::known;

use super::cells::{Cells, Counter, SETS_MAX, lock, number};
use super::sets::{self, ours};
use super::snapshot::Series;
use super::word::{OTHER, Word};
use crate::catalogue::Id;

/// Combinations whose cells are kept; beyond, all are looked up anew.
const KEPT: usize = 8192;
/// A longer name of a tool or prompt is no label.
const NAME_MAX: usize = 128;

/// The cells of calls.
#[derive(Debug)]
pub(super) struct Calls {
    served: Cells<Histogram>,
    sent: Cells<Histogram>,
    first_output: Cells<Histogram>,
    overhead: Cells<Histogram>,
    reads: Cells<Counter>,
    size: Cells<Histogram>,
    sizes: [Arc<Histogram>; 2],
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By [`Seen::hash`]; the few that share one lie in a row.
    handles: HashMap<u64, Vec<(Key, Arc<Handles>)>, Hashed>,
    count: usize,
    names: Names,
}

/// What is looked up is a hash already.
type Hashed = BuildHasherDefault<AsItIs>;

#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| mixed(hash, u64::from(*byte)));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Tools and prompts that their servers have answered for.
#[derive(Debug, Default)]
struct Names {
    by_server: HashMap<ServerId, HashSet<(bool, Arc<str>)>>,
    count: usize,
}

/// What follows from nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    method: &'static str,
    name: Option<Arc<str>>,
    server: Option<ServerId>,
    outcome: (u8, &'static str),
    listener: Listener,
    version: Version,
    sent: bool,
    scheme: &'static str,
}

/// The cells a call is counted in.
#[derive(Debug)]
struct Handles {
    served: Arc<Histogram>,
    overhead: Arc<Histogram>,
    sent: Option<Arc<Histogram>>,
    first_output: Option<Arc<Histogram>>,
    reads: Option<Arc<Counter>>,
}

/// A call as it is looked up: a [`Key`] without its own texts.
struct Seen<'a> {
    method: &'static str,
    name: Option<&'a str>,
    server: Option<&'a ServerId>,
    outcome: (u8, &'static str),
    listener: Listener,
    version: Version,
    sent: bool,
    scheme: &'static str,
}

impl Calls {
    /// `bounds` are those of calls as clients see them.
    pub(super) fn new(bounds: &'static [f64], exponential: bool) -> Self {
        let size = Cells::<Histogram>::new(Id::PayloadSize).exponential(exponential);
        let sizes = ["in", "out"].map(|direction| size.of(vec![ours(direction)]));
        Self {
            served: Cells::new(Id::ServerOperation).within(bounds).exponential(exponential),
            sent: Cells::new(Id::ClientOperation).exponential(exponential),
            first_output: Cells::new(Id::FirstOutput).exponential(exponential),
            overhead: Cells::new(Id::Overhead).exponential(exponential),
            reads: Cells::new(Id::ResourceReads),
            size,
            sizes,
            kept: Mutex::default(),
        }
    }

    /// Counts a finished call; with `example`, its trace stands for the ranges it fell into.
    pub(super) fn count(&self, record: &CallRecord, example: bool) {
        let handles = self.handles(record);
        let trace = example.then(|| Place {
            trace_id: record.trace.trace_id,
            span_id: record.span,
            at: record.received_at + record.times.done,
        });
        handles.served.observe_in(record.times.done.as_secs_f64(), trace);
        handles.overhead.observe_in(record.times.gateway().as_secs_f64(), trace);
        if let Some(sent) = &handles.sent {
            sent.observe_in(record.times.upstream().as_secs_f64(), trace);
        }
        if let (Some(cell), Some(first)) = (&handles.first_output, record.times.first_response) {
            cell.observe_in(first.as_secs_f64(), trace);
        }
        if let Some(reads) = &handles.reads {
            reads.add(1);
        }
        record.legs.iter().for_each(|leg| self.count_leg(leg, trace));
        let [into, out] = &self.sizes;
        into.observe(number(record.bytes.request));
        out.observe(number(record.bytes.response));
    }

    /// Counts what one of several servers was asked for a call. Lists are few: nothing is kept for them.
    fn count_leg(&self, leg: &Leg, trace: Option<Place>) {
        let (error, code) = sets::failed(leg.asked.failed);
        let word = |word: Option<&'static str>| word.map(Word::Ours);
        let server = Some(Word::Known(leg.server.as_str().into()));
        let labels = vec![ours(leg.method), None, None, None, word(error), word(code), server];
        let took = leg.asked.ended.unwrap_or_default().saturating_sub(leg.asked.started);
        self.sent.of(labels).observe_in(took.as_secs_f64(), trace);
    }

    /// Forgets what was counted of servers that are gone, and of the tools that only they had.
    pub(super) fn forget(&self, gone: &HashSet<String>) {
        let mut kept = lock(&self.kept);
        kept.handles.clear();
        kept.count = 0;
        kept.names.by_server.retain(|server, _| !gone.contains(server.as_str()));
        kept.names.count = kept.names.by_server.values().map(HashSet::len).sum();
        drop(kept);
        let server = |labels: &[Option<Word>], at: usize| {
            labels[at].as_ref().is_some_and(|server| gone.contains(server.as_str()))
        };
        self.sent.forget(|labels| server(labels, 6));
        self.first_output.forget(|labels| server(labels, 1));
        self.reads.forget(|labels| server(labels, 1));
        self.served.forget(|labels| server(labels, 8));
    }

    /// What was counted, by metric.
    pub(super) fn series(&self) -> [(Id, Vec<Series>); 6] {
        [
            (Id::ServerOperation, self.served.series()),
            (Id::ClientOperation, self.sent.series()),
            (Id::FirstOutput, self.first_output.series()),
            (Id::ResourceReads, self.reads.series()),
            (Id::PayloadSize, self.size.series()),
            (Id::Overhead, self.overhead.series()),
        ]
    }

    fn handles(&self, record: &CallRecord) -> Arc<Handles> {
        let method = known(&record.method);
        let named = matches!(method, "tools/call" | "prompts/get");
        let mut seen = Seen {
            method,
            name: named.then(|| record.local_name.as_deref().or(record.name.as_deref()).unwrap_or_default()),
            server: record.server.as_ref(),
            outcome: sets::outcome(&record.outcome),
            listener: record.listener,
            version: record.version,
            sent: !record.attempts.is_empty(),
            scheme: if method == "resources/read" {
                sets::scheme(record.name.as_deref().unwrap_or_default())
            } else {
                ""
            },
        };
        let mut kept = lock(&self.kept);
        let mut hash = seen.hash();
        if let Some(handles) = kept.find(hash, &seen) {
            return handles;
        }
        if let (Some(name), Some(server)) = (seen.name, &record.server)
            && !kept.names.know(record, server, name)
        {
            seen.name = Some(OTHER);
        } else if seen.name.is_some() && record.server.is_none() {
            seen.name = Some(OTHER);
        }
        if seen.name == Some(OTHER) {
            hash = seen.hash();
            if let Some(handles) = kept.find(hash, &seen) {
                return handles;
            }
        }
        let handles = Arc::new(self.look_up(&seen, record));
        kept.keep(hash, &seen, handles.clone());
        handles
    }

    fn look_up(&self, seen: &Seen<'_>, record: &CallRecord) -> Handles {
        let name = seen.name.map(|name| if name == OTHER { Word::Ours(OTHER) } else { Word::Known(name.into()) });
        let (tool, prompt) = match seen.method {
            "tools/call" => (name, None),
            _ => (None, name),
        };
        let (error, code) = (sets::error_type(&record.outcome), sets::code(&record.outcome));
        let operation = if tool.is_some() { ours("execute_tool") } else { None };
        let common = |error: Option<&'static str>| {
            vec![
                ours(seen.method),
                tool.clone(),
                prompt.clone(),
                operation.clone(),
                error.map(Word::Ours),
                code.map(Word::Ours),
            ]
        };
        let mut served = common(sets::served_error(&record.outcome));
        let routed = seen.server.map(|server| Word::Known(server.as_str().into()));
        served.extend([ours(sets::transport(seen.listener)), ours(seen.version.as_str()), routed.clone()]);
        let sent_to = routed.filter(|_| seen.sent);
        Handles {
            served: self.served.of(served),
            overhead: self.overhead.of(vec![ours(seen.method)]),
            first_output: sent_to
                .as_ref()
                .filter(|_| tool.is_some())
                .map(|server| self.first_output.of(vec![tool.clone(), Some(server.clone())])),
            reads: sent_to
                .as_ref()
                .filter(|_| !seen.scheme.is_empty())
                .map(|server| self.reads.of(vec![ours(seen.scheme), Some(server.clone())])),
            sent: sent_to.map(|server| {
                let mut labels = common(error);
                labels.push(Some(server));
                self.sent.of(labels)
            }),
        }
    }
}

impl Seen<'_> {
    /// Only what servers have answered for is kept, so nobody can choose names that share a hash, and a quick one will do.
    fn hash(&self) -> u64 {
        let Self { method, name, server, outcome, listener, version, sent, scheme } = self;
        let small = u64::from(outcome.0) | (u64::from(*sent) << 8) | ((*listener as u64) << 16);
        let mut hash = mixed(small, 0);
        let name = name.unwrap_or_default();
        let server = server.map_or("", |server| server.as_str());
        for text in [method, name, server, outcome.1, version.as_str(), scheme] {
            let (words, rest) = text.as_bytes().as_chunks::<8>();
            for word in words {
                hash = mixed(hash, u64::from_le_bytes(*word));
            }
            let rest = rest.iter().fold(text.len() as u64, |rest, byte| (rest << 8) | u64::from(*byte));
            hash = mixed(hash, rest);
        }
        hash
    }
}

/// Both halves of a product, so that each bit of the result depends on many.
fn mixed(hash: u64, word: u64) -> u64 {
    // Any odd number without a pattern does.
    let product = u128::from(hash ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    let [low, high] =
        [product, product >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default());
    low ^ high
}

impl Kept {
    fn find(&self, hash: u64, seen: &Seen<'_>) -> Option<Arc<Handles>> {
        let row = self.handles.get(&hash)?;
        row.iter().find(|(key, _)| key.is(seen)).map(|(_, handles)| handles.clone())
    }

    fn keep(&mut self, hash: u64, seen: &Seen<'_>, handles: Arc<Handles>) {
        if self.count >= KEPT {
            self.handles.clear();
            self.count = 0;
        }
        self.count += 1;
        let key = Key {
            method: seen.method,
            name: seen.name.map(Into::into),
            server: seen.server.cloned(),
            outcome: seen.outcome,
            listener: seen.listener,
            version: seen.version,
            sent: seen.sent,
            scheme: seen.scheme,
        };
        self.handles.entry(hash).or_default().push((key, handles));
    }
}

impl Key {
    fn is(&self, seen: &Seen<'_>) -> bool {
        self.method == seen.method
            && self.name.as_deref() == seen.name
            && self.server.as_ref() == seen.server
            && self.outcome == seen.outcome
            && self.listener == seen.listener
            && self.version == seen.version
            && self.sent == seen.sent
            && self.scheme == seen.scheme
    }
}

impl Names {
    /// Has the server ever answered for this name, or does it so in this call?
    fn know(&mut self, record: &CallRecord, server: &ServerId, name: &str) -> bool {
        let names = self.by_server.get_mut(server);
        // A set of pairs cannot be asked with a borrowed half; this is looked up once a combination.
        let key = (&*record.method == "tools/call", Arc::from(name));
        if names.as_ref().is_some_and(|names| names.contains(&key)) {
            return true;
        }
        if !sets::vouched(record) || name.len() > NAME_MAX || self.count >= SETS_MAX {
            return false;
        }
        self.count += 1;
        self.by_server.entry(server.clone()).or_default().insert(key);
        true
    }
}
