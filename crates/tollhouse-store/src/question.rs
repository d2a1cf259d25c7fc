//! What can be asked, and what is answered: values, never SQL.

use std::time::Duration;

use tollhouse_core::ids::CallId;
use tollhouse_core::sketch::Sketch;

use crate::call::Call;
use crate::event::{Event, Kind};

/// A span of time, in microseconds since 1970: from, and up to but not including.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Its beginning.
    pub from_us: u64,
    /// Its end.
    pub to_us: u64,
}

impl Range {
    /// All there is.
    pub const ALL: Self = Self { from_us: 0, to_us: u64::MAX };

    /// Is this moment within?
    pub fn holds(&self, at_us: u64) -> bool {
        (self.from_us..self.to_us).contains(&at_us)
    }
}

/// Something that calls are chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The server's id.
    Server,
    /// The tool, prompt or resource.
    Name,
    /// The method.
    Method,
    /// The client's name.
    Client,
    /// Who asked.
    Principal,
    /// The session.
    Session,
    /// What became of it.
    Outcome,
    /// `error.type`.
    Error,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Server,
        Self::Name,
        Self::Method,
        Self::Client,
        Self::Principal,
        Self::Session,
        Self::Outcome,
        Self::Error,
    ];

    /// What a call says there.
    pub fn of(self, call: &Call) -> Option<&str> {
        match self {
            Self::Server => call.server.as_deref(),
            Self::Name => call.name.as_deref(),
            Self::Method => Some(&call.method),
            Self::Client => call.client.as_deref(),
            Self::Principal => Some(&call.principal),
            Self::Session => Some(&call.session),
            Self::Outcome => Some(&call.outcome),
            Self::Error => call.error.as_deref(),
        }
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// What is looked at.
    pub field: Field,
    /// What must, or must not, stand there.
    pub value: String,
    /// Calls with this value are left out.
    pub exclude: bool,
}

/// Which calls are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// When they arrived.
    pub range: Range,
    /// Conditions, all of which hold.
    pub terms: Vec<Term>,
    /// Only those that failed.
    pub failed: bool,
    /// Only those that took at least this long, in microseconds.
    pub min_us: u64,
}

impl Default for Filter {
    fn default() -> Self {
        Self { range: Range::ALL, terms: Vec::new(), failed: false, min_us: 0 }
    }
}

impl Filter {
    /// Only calls that say `value` there.
    #[must_use]
    pub fn with(mut self, field: Field, value: &str) -> Self {
        self.terms.push(Term { field, value: value.to_owned(), exclude: false });
        self
    }

    /// Is this call wanted?
    pub fn wants(&self, call: &Call) -> bool {
        self.range.holds(call.at_us)
            && (!self.failed || call.failed())
            && call.total_us >= self.min_us
            && self.terms.iter().all(|term| (term.field.of(call) == Some(&term.value)) != term.exclude)
    }
}

/// How far a question goes before it answers with what it has.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Calls in an answer.
    pub limit: usize,
    /// Calls looked at.
    pub scan: usize,
    /// Time taken.
    pub time: Duration,
}

impl Bounds {
    /// For somebody who waits: so many calls at most, and an answer within a tenth of a second with what was found by
    /// then, and where to go on.
    pub fn quick(limit: usize) -> Self {
        Self { limit, time: Duration::from_millis(60), ..Self::default() }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self { limit: 100, scan: 2_000_000, time: Duration::from_secs(2) }
    }
}

/// Some calls, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The calls.
    pub calls: Vec<Call>,
    /// Where to go on; `None` if there is nothing further.
    pub next: Option<CallId>,
    /// It ends here because a bound was reached, not because the page is full.
    pub cut_short: bool,
}

/// What numbers are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Nothing: all calls together.
    All,
    /// The server.
    Server,
    /// Server and tool, prompt or method.
    Tool,
    /// The client.
    Client,
    /// The method.
    Method,
}

/// How finely numbers are cut in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Width {
    /// A minute.
    Minute,
    /// A quarter of an hour.
    Quarter,
    /// A day, in UTC.
    Day,
}

impl Width {
    /// All, finest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Quarter, Self::Day];

    /// Its length in microseconds.
    pub const fn us(self) -> u64 {
        match self {
            Self::Minute => 60_000_000,
            Self::Quarter => 15 * 60_000_000,
            Self::Day => 24 * 60 * 60_000_000,
        }
    }

    /// Which one `at_us` lies in.
    pub const fn slot(self, at_us: u64) -> u64 {
        at_us / self.us()
    }
}

/// Which numbers are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers {
    /// From when to when; whole slots count.
    pub range: Range,
    /// How finely.
    pub width: Width,
    /// Grouped by what.
    pub by: By,
    /// Only this server's.
    pub server: Option<String>,
    /// Each slot by itself, or all of the range in one.
    pub over_time: bool,
    /// Which distributions of times.
    pub times: Times,
}

/// Which distributions of times are wanted with sums: each costs as much as all the rest. Those that are not are empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Times {
    /// All three.
    #[default]
    All,
    /// That of whole calls.
    Total,
    /// None.
    None,
}

/// Numbers of one group in one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// When the slot begins, in microseconds since 1970; the range's beginning where slots are not told apart.
    pub from_us: u64,
    /// The group: server; server and name; client; method. Empty parts do not exist.
    pub group: [Box<str>; 2],
    /// The numbers.
    pub sum: Sum,
}

/// What is known of some calls together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many there were.
    pub calls: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How often each error occurred.
    pub errors: Vec<(Box<str>, u64)>,
    /// Bytes of requests.
    pub request_bytes: u64,
    /// Bytes of answers.
    pub response_bytes: u64,
    /// Total times, in microseconds.
    pub total: Sketch,
    /// Times at the server.
    pub upstream: Sketch,
    /// Times to the first output, of those that had one.
    pub first: Sketch,
}

impl Sum {
    /// Counts a call.
    pub fn add(&mut self, call: &Call) {
        self.calls += 1;
        self.request_bytes += call.request_bytes;
        self.response_bytes += call.response_bytes;
        self.total.add(call.total_us);
        if call.attempts > 0 {
            self.upstream.add(call.upstream_us);
        }
        if let Some(first) = call.first_us {
            self.first.add(first);
        }
        if let Some(error) = &call.error {
            self.failed += 1;
            self.count_error(error, 1);
        }
    }

    /// Counts all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        self.merge_with(other, Times::All);
    }

    /// The same, with only these distributions.
    pub(crate) fn merge_with(&mut self, other: &Self, times: Times) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
        if times != Times::None {
            self.total.merge(&other.total);
        }
        if times == Times::All {
            self.upstream.merge(&other.upstream);
            self.first.merge(&other.first);
        }
        for (error, count) in &other.errors {
            self.count_error(error, *count);
        }
    }

    pub(crate) fn count_error(&mut self, error: &str, by: u64) {
        match self.errors.binary_search_by(|(known, _)| (**known).cmp(error)) {
            Ok(at) => self.errors[at].1 += by,
            Err(at) => self.errors.insert(at, (error.into(), by)),
        }
    }
}

/// Which events are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// When they happened.
    pub range: Range,
    /// Only those of these kinds; none means all.
    pub kinds: Vec<Kind>,
    /// Only this server's.
    pub server: Option<String>,
    /// Only this tool's.
    pub subject: Option<String>,
}

impl Default for Happened {
    fn default() -> Self {
        Self { range: Range::ALL, kinds: Vec::new(), server: None, subject: None }
    }
}

impl Happened {
    /// Is this event wanted?
    pub fn wants(&self, event: &Event) -> bool {
        let is = |wanted: &Option<String>, found: &Option<Box<str>>| {
            wanted.as_ref().is_none_or(|wanted| found.as_deref() == Some(wanted))
        };
        self.range.holds(event.at_us)
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && is(&self.server, &event.server)
            && is(&self.subject, &event.subject)
    }
}

/// A conversation as far as its calls show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: Box<str>,
    /// Whose it is.
    pub principal: Box<str>,
    /// The rule that found it.
    pub source: Box<str>,
    /// How sure that is.
    pub confidence: Box<str>,
    /// The client.
    pub client: Option<Box<str>>,
    /// The servers it called, in alphabetical order.
    pub servers: Vec<Box<str>>,
    /// When its first call arrived.
    pub first_us: u64,
    /// When its last call ended.
    pub last_us: u64,
    /// Its calls.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// The last tool call that succeeded.
    pub last_ok: Option<CallId>,
}

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorGroup {
    /// The server, if one was involved.
    pub server: Box<str>,
    /// The tool, prompt or method.
    pub name: Box<str>,
    /// `error.type`.
    pub error: Box<str>,
    /// When it first occurred.
    pub first_us: u64,
    /// When it last did.
    pub last_us: u64,
    /// How often.
    pub count: u64,
    /// The last few calls, newest first.
    pub calls: Vec<CallId>,
}
