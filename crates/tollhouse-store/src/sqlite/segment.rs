//! One file of calls.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use foldhash::{HashMap, HashMapExt as _};
use rusqlite::{Connection, OptionalExtension as _, Row, Statement, params};
use tollhouse_core::era::Version;
use tollhouse_core::ids::CallId;
use tollhouse_core::record::{Content, Digest, Listener, Seen};

use super::base::{self, Ended, Layouts, call_id, first_row, io, row_id, signed, sql, unsigned};
use crate::call::Call;
use crate::engine::Error;
use crate::question::{Bounds, Field, Filter, Page};

/// Texts that repeat are numbers of `dim`; a file that goes takes its texts with it.
const LAYOUTS: Layouts = Layouts(&[
    "
CREATE TABLE calls (
  id INTEGER PRIMARY KEY, salt INTEGER NOT NULL, batch INTEGER NOT NULL, at INTEGER NOT NULL,
  trace BLOB NOT NULL, parent INTEGER NOT NULL,
  session INTEGER NOT NULL, rule INTEGER NOT NULL, principal INTEGER NOT NULL, client INTEGER,
  method INTEGER NOT NULL, name INTEGER, server INTEGER, outcome INTEGER NOT NULL, error INTEGER, fault INTEGER,
  kind INTEGER NOT NULL, attempts INTEGER NOT NULL,
  total INTEGER NOT NULL, upstream INTEGER NOT NULL, first INTEGER, request INTEGER NOT NULL, response INTEGER NOT NULL,
  request_id TEXT NOT NULL, shape TEXT, hints TEXT, asked_as INTEGER
);
CREATE TABLE dim (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE block (batch INTEGER PRIMARY KEY, traces BLOB NOT NULL, sessions BLOB NOT NULL);
CREATE TABLE last (one INTEGER PRIMARY KEY CHECK (one = 1), batch INTEGER NOT NULL, rows INTEGER NOT NULL,
  min_at INTEGER NOT NULL, max_at INTEGER NOT NULL);
INSERT INTO last VALUES (1, 0, 0, 0, 0);
",
    "
ALTER TABLE calls ADD COLUMN hashes BLOB;
ALTER TABLE calls ADD COLUMN content TEXT;
",
]);
/// Rows of a block. Its two lists take 48 KiB each.
const BLOCK: usize = 4096;
/// A fingerprint and an id, both with the highest byte first, so that bytes sort like numbers.
const ENTRY: usize = 12;
/// Texts remembered with their numbers; beyond that they are looked up anew.
const TEXTS_MAX: usize = 100_000;
/// Separates key and value of a hint, and hints; neither occurs in what is kept.
const UNIT: char = '\u{1f}';
const RECORD: char = '\u{1e}';

const INSERT: &str = "INSERT OR IGNORE INTO calls VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
                      ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29)";

/// Where a segment is.
pub(super) fn path(dir: &Path, number: i64) -> PathBuf {
    dir.join("seg").join(format!("calls-{number}.db"))
}

/// Each file that belongs to a segment.
fn files(dir: &Path, number: i64) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| PathBuf::from(format!("{}{end}", path(dir, number).display())))
}

/// How many bytes it takes.
pub(super) fn size(dir: &Path, number: i64) -> u64 {
    files(dir, number).iter().filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

/// Gives a segment up.
pub(super) fn remove(dir: &Path, number: i64) -> Result<(), Error> {
    for file in files(dir, number) {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("remove", &file)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Takes a damaged segment out of the way.
pub(super) fn set_aside(dir: &Path, number: i64) -> Result<(), Error> {
    for file in files(dir, number) {
        let aside = PathBuf::from(format!("{}.damaged", file.display()));
        match std::fs::rename(&file, aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("rename", &file)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// What a call is looked up by, before it is part of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) trace: u32,
    pub(super) session: u32,
    pub(super) id: i64,
}

/// The calls of the open segment that are in no block yet.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) entries: Vec<Entry>,
}

/// The fingerprint of a trace id, whose bits are random already.
pub(super) fn trace_print(trace: &[u8; 16]) -> u32 {
    u32::from_be_bytes([trace[12], trace[13], trace[14], trace[15]])
}

/// The fingerprint of a session: FNV-1a (Fowler, Noll, Vo).
pub(super) fn session_print(principal: &str, session: &str) -> u32 {
    let bytes = principal.bytes().chain([0]).chain(session.bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A file of calls, open for writing or for reading.
pub(super) struct Segment {
    pub(super) number: i64,
    /// Rows in it.
    pub(super) rows: u64,
    /// When its first call arrived; as all that is known only while it is written.
    pub(super) min_us: u64,
    /// When its last call arrived.
    pub(super) max_us: u64,
    /// The last commit.
    pub(super) batch: i64,
    path: PathBuf,
    connection: Connection,
    tail: Arc<Mutex<Tail>>,
    numbers: HashMap<Box<str>, i64>,
    texts: HashMap<i64, Box<str>>,
    /// Where rule and confidence are put together.
    rule: String,
}

/// The texts of a call, as numbers of its file.
struct Numbers {
    session: i64,
    rule: i64,
    principal: i64,
    client: Option<i64>,
    method: i64,
    name: Option<i64>,
    server: Option<i64>,
    outcome: i64,
    error: Option<i64>,
    fault: Option<i64>,
    asked_as: Option<i64>,
}

impl Segment {
    /// Opens a segment to write on.
    pub(super) fn open(dir: &Path, number: i64, ended: Ended, tail: &Arc<Mutex<Tail>>) -> Result<Self, Error> {
        let path = path(dir, number);
        let connection = base::open(&path, LAYOUTS, ended)?;
        let mut segment = Self::around(number, path, connection, tail.clone());
        segment.recall()?;
        Ok(segment)
    }

    /// Opens a segment to read from; `None` if it is not there any more.
    pub(super) fn read(dir: &Path, number: i64) -> Result<Option<Self>, Error> {
        let path = path(dir, number);
        if !path.exists() {
            return Ok(None);
        }
        let connection = base::read(&path, LAYOUTS)?;
        Ok(Some(Self::around(number, path, connection, Arc::default())))
    }

    fn around(number: i64, path: PathBuf, connection: Connection, tail: Arc<Mutex<Tail>>) -> Self {
        Self {
            number,
            rows: 0,
            min_us: 0,
            max_us: 0,
            batch: 0,
            path,
            connection,
            tail,
            numbers: HashMap::new(),
            texts: HashMap::new(),
            rule: String::new(),
        }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
        sql(action, &self.path)
    }

    /// Takes up where the last process left it: its counts, and the tail.
    fn recall(&mut self) -> Result<(), Error> {
        let counts = self.connection.query_row("SELECT batch, rows, min_at, max_at FROM last", [], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
        });
        let (batch, rows, min, max) = counts.map_err(self.failed("read the counts of a file"))?;
        (self.batch, self.rows, self.min_us, self.max_us) = (batch, unsigned(rows), unsigned(min), unsigned(max));
        let blocked: i64 = self
            .connection
            .query_row("SELECT coalesce(max(batch), 0) FROM block", [], |row| row.get(0))
            .map_err(self.failed("read the blocks of a file"))?;
        let mut entries = Vec::new();
        self.after_batch(blocked, |call| entries.push(entry(&call)))?;
        self.tail().entries = entries;
        Ok(())
    }

    /// Has the whole file looked through.
    pub(super) fn check(&self) -> Result<(), Error> {
        base::check(&self.connection, "integrity_check", &self.path)
    }

    /// Bounds the file to so many pages, as a full disk would.
    #[cfg(test)]
    pub(super) fn bound(&self, pages: Option<i64>) {
        let pages = pages.unwrap_or(i64::from(u32::MAX) - 1);
        self.connection.pragma_update(None, "max_page_count", pages).unwrap();
    }

    /// The newest call's id.
    pub(super) fn newest(&self) -> Result<Option<CallId>, Error> {
        self.connection
            .query_row("SELECT id, salt FROM calls ORDER BY id DESC LIMIT 1", [], |row| {
                Ok(call_id(row.get(0)?, row.get(1)?))
            })
            .optional()
            .map_err(self.failed("read the newest call"))
    }

    /// Every call of a commit after `batch`.
    pub(super) fn after_batch(&mut self, batch: i64, mut each: impl FnMut(Call)) -> Result<(), Error> {
        if batch >= self.batch {
            return Ok(());
        }
        let ids = self.ids("SELECT id FROM calls WHERE batch > ?1 ORDER BY id", batch)?;
        for id in ids {
            self.call(id)?.into_iter().for_each(&mut each);
        }
        Ok(())
    }

    fn ids(&self, query: &str, parameter: i64) -> Result<Vec<i64>, Error> {
        let mut statement = self.connection.prepare_cached(query).map_err(self.failed("find calls"))?;
        let rows = statement.query_map([parameter], |row| row.get(0)).map_err(self.failed("find calls"))?;
        rows.collect::<Result<_, _>>().map_err(self.failed("find calls"))
    }

    /// Writes calls in one commit; `fresh` sees those that were not there yet.
    pub(super) fn insert(&mut self, calls: &[Call], mut fresh: impl FnMut(&Call)) -> Result<(), Error> {
        let batch = self.batch + 1;
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(self.failed("begin a commit"))?;
        let written = self.insert_all(calls, batch).and_then(|written| {
            self.connection.execute_batch("COMMIT").map_err(self.failed("commit calls"))?;
            Ok(written)
        });
        let (new, rows, min, max) = match written {
            Ok(written) => written,
            Err(error) => {
                // Numbers given within what was taken back are void.
                self.numbers.clear();
                _ = self.connection.execute_batch("ROLLBACK");
                return Err(error);
            }
        };
        (self.batch, self.rows, self.min_us, self.max_us) = (batch, rows, min, max);
        for call in &new {
            fresh(call);
        }
        let full = {
            let mut tail = self.tail();
            tail.entries.extend(new.iter().map(|call| entry(call)));
            tail.entries.len() >= BLOCK
        };
        if full { self.write_block() } else { Ok(()) }
    }

    fn insert_all<'c>(&mut self, calls: &'c [Call], batch: i64) -> Result<(Vec<&'c Call>, u64, u64, u64), Error> {
        let mut new = Vec::with_capacity(calls.len());
        let (mut min, mut max) = (if self.rows == 0 { u64::MAX } else { self.min_us }, self.max_us);
        // All at once before the first row, so that one statement serves for all rows.
        let numbers = calls.iter().map(|call| self.numbers(call)).collect::<Result<Vec<_>, _>>()?;
        let failed = |error| sql("write a call", &self.path)(error);
        let mut insert = self.connection.prepare_cached(INSERT).map_err(failed)?;
        for (call, numbers) in calls.iter().zip(&numbers) {
            if write(&mut insert, call, numbers, batch).map_err(failed)? {
                (min, max) = (min.min(call.at_us), max.max(call.at_us));
                new.push(call);
            }
        }
        let rows = self.rows + new.len() as u64;
        let mut last = self
            .connection
            .prepare_cached("UPDATE last SET batch = ?1, rows = ?2, min_at = ?3, max_at = ?4")
            .map_err(self.failed("count calls"))?;
        last.execute(params![batch, signed(rows), signed(min), signed(max)]).map_err(self.failed("count calls"))?;
        Ok((new, rows, min, max))
    }

    /// The texts of a call as numbers, given to those that have none.
    fn numbers(&mut self, call: &Call) -> Result<Numbers, Error> {
        let mut rule = std::mem::take(&mut self.rule);
        rule.clear();
        rule.extend([&*call.session_source, " ", &*call.session_confidence]);
        let numbered = self.number(&rule);
        self.rule = rule;
        let mut maybe = |text: &Option<Box<str>>| text.as_deref().map(|text| self.number(text)).transpose();
        Ok(Numbers {
            rule: numbered?,
            client: maybe(&call.client)?,
            name: maybe(&call.name)?,
            server: maybe(&call.server)?,
            error: maybe(&call.error)?,
            fault: maybe(&call.fault)?,
            asked_as: maybe(&call.asked_as)?,
            session: self.number(&call.session)?,
            principal: self.number(&call.principal)?,
            method: self.number(&call.method)?,
            outcome: self.number(&call.outcome)?,
        })
    }

    /// The number of a text, given if it has none.
    fn number(&mut self, text: &str) -> Result<i64, Error> {
        if let Some(number) = self.numbers.get(text) {
            return Ok(*number);
        }
        let failed = |error| sql("number a text", &self.path)(error);
        let mut insert =
            self.connection.prepare_cached("INSERT OR IGNORE INTO dim (text) VALUES (?1)").map_err(failed)?;
        let inserted = insert.execute([text]).map_err(failed)? == 1;
        let number = if inserted { self.connection.last_insert_rowid() } else { self.find(text)?.unwrap_or_default() };
        if self.numbers.len() >= TEXTS_MAX {
            self.numbers.clear();
        }
        self.numbers.insert(text.into(), number);
        Ok(number)
    }

    /// The number of a text, if it has one.
    fn find(&self, text: &str) -> Result<Option<i64>, Error> {
        let mut find = self
            .connection
            .prepare_cached("SELECT id FROM dim WHERE text = ?1")
            .map_err(self.failed("look up a text"))?;
        find.query_row([text], |row| row.get(0)).optional().map_err(self.failed("look up a text"))
    }

    /// The text with this number.
    fn text(&mut self, number: i64) -> Result<Box<str>, Error> {
        if let Some(text) = self.texts.get(&number) {
            return Ok(text.clone());
        }
        let mut find = self
            .connection
            .prepare_cached("SELECT text FROM dim WHERE id = ?1")
            .map_err(self.failed("look up a text"))?;
        let text: String = find.query_row([number], |row| row.get(0)).map_err(self.failed("look up a text"))?;
        drop(find);
        if self.texts.len() >= TEXTS_MAX {
            self.texts.clear();
        }
        self.texts.insert(number, text.as_str().into());
        Ok(text.into())
    }

    /// Makes a block of the tail.
    fn write_block(&mut self) -> Result<(), Error> {
        let mut entries = self.tail().entries.clone();
        if entries.is_empty() {
            return Ok(());
        }
        let mut list = |of: fn(&Entry) -> u32| {
            entries.sort_unstable_by_key(|entry| (of(entry), entry.id));
            let mut bytes = Vec::with_capacity(ENTRY * entries.len());
            for entry in &entries {
                bytes.extend_from_slice(&of(entry).to_be_bytes());
                bytes.extend_from_slice(&entry.id.to_be_bytes());
            }
            bytes
        };
        let (traces, sessions) = (list(|entry| entry.trace), list(|entry| entry.session));
        self.connection
            .execute("INSERT OR REPLACE INTO block VALUES (?1, ?2, ?3)", params![self.batch, traces, sessions])
            .map_err(self.failed("write a block"))?;
        // Only what is in the block now: nobody else adds to the tail.
        self.tail().entries.clear();
        Ok(())
    }

    /// Ends the segment: from here on it is only read.
    pub(super) fn seal(&mut self) -> Result<(), Error> {
        self.write_block()?;
        self.checkpoint()
    }

    /// Leaves nothing behind that has to be repaired.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        self.checkpoint()
    }

    fn checkpoint(&mut self) -> Result<(), Error> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(self.failed("move the log into the file"))
    }

    /// Calls with this fingerprint of their trace, by the blocks.
    pub(super) fn traces(&self, print: u32) -> Result<Vec<i64>, Error> {
        self.in_blocks("SELECT traces FROM block", print)
    }

    /// Calls with this fingerprint of their session, by the blocks.
    pub(super) fn sessions(&self, print: u32) -> Result<Vec<i64>, Error> {
        self.in_blocks("SELECT sessions FROM block", print)
    }

    fn in_blocks(&self, query: &str, print: u32) -> Result<Vec<i64>, Error> {
        let failed = |error| sql("read the blocks of a file", &self.path)(error);
        let mut statement = self.connection.prepare_cached(query).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut ids = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let list = row.get_ref(0).and_then(|value| Ok(value.as_blob()?)).map_err(failed)?;
            ids.extend(bisect(list, print));
        }
        Ok(ids)
    }

    /// The calls with these rows of which `wanted` is true; rows that are not here are passed over.
    pub(super) fn calls(&mut self, ids: Vec<i64>, wanted: impl Fn(&Call) -> bool) -> Result<Vec<Call>, Error> {
        let mut calls = Vec::with_capacity(ids.len());
        for id in ids {
            calls.extend(self.call(id)?.filter(&wanted));
        }
        Ok(calls)
    }

    /// The call with this row.
    pub(super) fn call(&mut self, id: i64) -> Result<Option<Call>, Error> {
        let mut find =
            self.connection.prepare_cached("SELECT * FROM calls WHERE id = ?1").map_err(self.failed("read a call"))?;
        let kept = find.query_row([id], Kept::read).optional().map_err(self.failed("read a call"))?;
        drop(find);
        kept.map(|kept| kept.into_call(self)).transpose()
    }

    /// Looks through calls from the newest backwards; false once nothing more is to be looked for.
    pub(super) fn scan(&mut self, scan: &mut Scan<'_>) -> Result<bool, Error> {
        let Some(terms) = self.numbered(scan.filter)? else { return Ok(true) };
        let found = self.matching(scan, &terms)?;
        for id in found {
            scan.calls.extend(self.call(id)?);
        }
        Ok(!scan.over)
    }

    /// The terms with texts as this file's numbers; `None` if no call can fit.
    fn numbered(&self, filter: &Filter) -> Result<Option<Vec<Numbered>>, Error> {
        let mut terms = Vec::with_capacity(filter.terms.len());
        for term in &filter.terms {
            match (self.find(&term.value)?, term.exclude) {
                (Some(number), exclude) => terms.push(Numbered { column: column(term.field), number, exclude }),
                (None, true) => {}
                (None, false) => return Ok(None),
            }
        }
        Ok(Some(terms))
    }

    fn matching(&self, scan: &mut Scan<'_>, terms: &[Numbered]) -> Result<Vec<i64>, Error> {
        let failed = |error| sql("look through calls", &self.path)(error);
        let mut statement = self.connection.prepare_cached(SCAN).map_err(failed)?;
        let mut rows = statement.query(params![scan.oldest, scan.below]).map_err(failed)?;
        let (from, to) = (signed(scan.filter.range.from_us), signed(scan.filter.range.to_us));
        let min = signed(scan.filter.min_us);
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            if scan.is_over(found.len()) {
                break;
            }
            scan.looked_at += 1;
            let (id, at, total): (i64, i64, i64) =
                (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?, row.get(2).map_err(failed)?);
            scan.below = id;
            let of = |column| row.get::<_, Option<i64>>(column).map_err(failed);
            let mut wanted = at >= from && at < to && total >= min && (!scan.filter.failed || of(3)?.is_some());
            for term in terms {
                wanted = wanted && (of(term.column)? == Some(term.number)) != term.exclude;
            }
            if wanted {
                found.push(id);
            }
        }
        Ok(found)
    }
}

/// A condition, its text as this file's number.
struct Numbered {
    column: usize,
    number: i64,
    exclude: bool,
}

/// What is looked at of each call that is looked through; error first, then as [`column`] says.
const SCAN: &str = "SELECT id, at, total, error, server, name, method, client, principal, session, outcome FROM calls \
                    WHERE id >= ?1 AND id < ?2 ORDER BY id DESC";

fn column(field: Field) -> usize {
    match field {
        Field::Error => 3,
        Field::Server => 4,
        Field::Name => 5,
        Field::Method => 6,
        Field::Client => 7,
        Field::Principal => 8,
        Field::Session => 9,
        Field::Outcome => 10,
    }
}

/// A look through calls, newest first, that may go over several files.
pub(super) struct Scan<'f> {
    filter: &'f Filter,
    bounds: Bounds,
    began: Instant,
    oldest: i64,
    /// All calls from here on have been looked at.
    below: i64,
    looked_at: usize,
    calls: Vec<Call>,
    over: bool,
}

impl<'f> Scan<'f> {
    pub(super) fn new(filter: &'f Filter, before: Option<CallId>, bounds: Bounds) -> Self {
        Self {
            filter,
            bounds,
            began: now(),
            oldest: first_row(filter.range.from_us),
            below: before.map_or(i64::MAX, row_id),
            looked_at: 0,
            calls: Vec::new(),
            over: false,
        }
    }

    /// Is a bound reached, with `found` more calls than are in the answer?
    fn is_over(&mut self, found: usize) -> bool {
        // Reading a clock for every row would cost as much as the row.
        let late = self.looked_at.is_multiple_of(1024) && self.began.elapsed() > self.bounds.time;
        self.over = late || self.calls.len() + found >= self.bounds.limit || self.looked_at >= self.bounds.scan;
        self.over
    }

    pub(super) fn page(self) -> Page {
        let next = self.over.then(|| call_id(self.below, 0));
        Page { cut_short: self.over && self.calls.len() < self.bounds.limit, calls: self.calls, next }
    }
}

#[expect(clippy::disallowed_methods, reason = "readers run on threads of their own, where no clock is paused")]
fn now() -> Instant {
    Instant::now()
}

fn entry(call: &Call) -> Entry {
    Entry {
        trace: trace_print(&call.trace),
        session: session_print(&call.principal, &call.session),
        id: row_id(call.id),
    }
}

/// Writes a row; true if it was not there yet.
fn write(insert: &mut Statement<'_>, call: &Call, texts: &Numbers, batch: i64) -> rusqlite::Result<bool> {
    let hints = (!call.hints.is_empty()).then(|| {
        let hint = |(key, value): &(Box<str>, Box<str>)| format!("{key}{UNIT}{value}");
        call.hints.iter().map(hint).collect::<Vec<_>>().join(&RECORD.to_string())
    });
    let rows = insert.execute(params![
        row_id(call.id),
        call.id.salt().cast_signed(),
        batch,
        signed(call.at_us),
        &call.trace[..],
        i64::from_be_bytes(call.parent),
        texts.session,
        texts.rule,
        texts.principal,
        texts.client,
        texts.method,
        texts.name,
        texts.server,
        texts.outcome,
        texts.error,
        texts.fault,
        kind(call),
        call.attempts,
        signed(call.total_us),
        signed(call.upstream_us),
        call.first_us.map(signed),
        signed(call.request_bytes),
        signed(call.response_bytes),
        &*call.request_id,
        call.shape.as_deref(),
        hints,
        texts.asked_as,
        hashes(&call.seen),
        call.seen.content.as_deref().map(content),
    ])?;
    Ok(rows == 1)
}

/// The ids that stand with `print` in a sorted list.
fn bisect(list: &[u8], print: u32) -> Vec<i64> {
    let (entries, _) = list.as_chunks::<ENTRY>();
    let wanted = print.to_be_bytes();
    let first = entries.partition_point(|entry| entry[..4] < wanted[..]);
    let same = entries[first..].iter().take_while(|entry| entry[..4] == wanted[..]);
    same.map(|entry| i64::from_be_bytes(entry[4..].try_into().expect("eight of twelve bytes"))).collect()
}

/// Listener and version in one small number.
fn kind(call: &Call) -> i64 {
    let version = Version::ALL.iter().position(|version| *version == call.version).unwrap_or_default();
    let listener = match call.listener {
        Listener::Http => 0,
        Listener::Stdio => 1,
        Listener::Sse => 2,
    };
    i64::try_from(version * 8 + listener).expect("a small number")
}

/// A row as it is kept, its texts still numbers.
struct Kept {
    call: Call,
    session: i64,
    rule: i64,
    principal: i64,
    client: Option<i64>,
    method: i64,
    name: Option<i64>,
    asked_as: Option<i64>,
    server: Option<i64>,
    outcome: i64,
    error: Option<i64>,
    fault: Option<i64>,
}

impl Kept {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let count = |column| row.get(column).map(unsigned);
        let kind = usize::try_from(row.get::<_, i64>(16)?).unwrap_or_default();
        let empty = Box::<str>::default;
        let call = Call {
            id: call_id(row.get(0)?, row.get(1)?),
            at_us: count(3)?,
            listener: match kind % 8 {
                0 => Listener::Http,
                2 => Listener::Sse,
                _ => Listener::Stdio,
            },
            version: Version::ALL.get(kind / 8).copied().unwrap_or(Version::MODERN),
            principal: empty(),
            session: empty(),
            session_source: empty(),
            session_confidence: empty(),
            hints: row.get::<_, Option<String>>(25)?.as_deref().map(hints).unwrap_or_default(),
            client: None,
            method: empty(),
            name: None,
            asked_as: None,
            server: None,
            trace: row.get(4)?,
            parent: row.get::<_, i64>(5)?.to_be_bytes(),
            request_id: row.get::<_, String>(23)?.into(),
            outcome: empty(),
            error: None,
            fault: None,
            attempts: row.get(17)?,
            total_us: count(18)?,
            upstream_us: count(19)?,
            first_us: row.get::<_, Option<i64>>(20)?.map(unsigned),
            request_bytes: count(21)?,
            response_bytes: count(22)?,
            shape: row.get::<_, Option<String>>(24)?.map(Into::into),
            seen: seen(row),
        };
        Ok(Self {
            call,
            session: row.get(6)?,
            rule: row.get(7)?,
            principal: row.get(8)?,
            client: row.get(9)?,
            method: row.get(10)?,
            name: row.get(11)?,
            asked_as: row.get(26)?,
            server: row.get(12)?,
            outcome: row.get(13)?,
            error: row.get(14)?,
            fault: row.get(15)?,
        })
    }

    fn into_call(self, segment: &mut Segment) -> Result<Call, Error> {
        let mut text = |number| segment.text(number);
        let rule = text(self.rule)?;
        let (source, confidence) = rule.rsplit_once(' ').unwrap_or((&rule, ""));
        let mut maybe = |number: Option<i64>| number.map(&mut text).transpose();
        let (client, name, server) = (maybe(self.client)?, maybe(self.name)?, maybe(self.server)?);
        let (error, fault, asked_as) = (maybe(self.error)?, maybe(self.fault)?, maybe(self.asked_as)?);
        Ok(Call {
            session: text(self.session)?,
            principal: text(self.principal)?,
            method: text(self.method)?,
            outcome: text(self.outcome)?,
            session_source: source.into(),
            session_confidence: confidence.into(),
            client,
            name,
            asked_as,
            server,
            error,
            fault,
            ..self.call
        })
    }
}

fn hints(text: &str) -> Vec<(Box<str>, Box<str>)> {
    text.split(RECORD).filter_map(|hint| hint.split_once(UNIT)).map(|(key, id)| (key.into(), id.into())).collect()
}

/// Both hashes in a row, zeros for one that is not there; nothing for none.
fn hashes(seen: &Seen) -> Option<[u8; 32]> {
    if seen.request_hash.is_none() && seen.response_hash.is_none() {
        return None;
    }
    let mut both = [0; 32];
    for (into, hash) in both.chunks_exact_mut(16).zip([seen.request_hash, seen.response_hash]) {
        into.copy_from_slice(&hash.unwrap_or(Digest([0; 16])).0);
    }
    Some(both)
}

/// Content as one text: JSON holds no separator as it is.
fn content(content: &Content) -> String {
    let Content { arguments, result, truncated, redactions } = content;
    let [arguments, result] = [arguments, result].map(|side| side.as_deref().unwrap_or_default());
    format!("{arguments}{UNIT}{result}{UNIT}{}{UNIT}{redactions}", u8::from(*truncated))
}

/// The reverse of both. A file from before has no such columns.
fn seen(row: &Row<'_>) -> Seen {
    let hashes = row.get::<_, Option<[u8; 32]>>(27).unwrap_or_default().unwrap_or_default();
    let hash = |at: usize| {
        let hash: [u8; 16] = hashes[at..].first_chunk().copied().unwrap_or_default();
        (hash != [0; 16]).then_some(Digest(hash))
    };
    let content = row.get::<_, Option<String>>(28).unwrap_or_default().and_then(|text| {
        let mut parts = text.split(UNIT);
        let mut side = || Some(parts.next()?).map(|side| (!side.is_empty()).then(|| side.into()));
        let (arguments, result) = (side()?, side()?);
        let truncated = parts.next()? == "1";
        Some(Box::new(Content { arguments, result, truncated, redactions: parts.next()?.parse().ok()? }))
    });
    Seen { request_hash: hash(0), response_hash: hash(16), content }
}
