//! One file of calls.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use foldhash::{HashMap, HashMapExt as _};
use rusqlite::{Connection, OptionalExtension as _, params};
use tollhouse_core::ids::CallId;

use self::blocks::{Filters, Lists};
use self::row::{Kept, Numbers};
use super::base::{self, Ended, Layouts, call_id, first_row, io, row_id, signed, sql, unsigned};
use crate::call::Call;
use crate::engine::Error;
use crate::question::{Bounds, Field, Filter, Page};

mod blocks;
mod row;
mod sendings;

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
    "
ALTER TABLE calls ADD COLUMN span INTEGER;
ALTER TABLE calls ADD COLUMN sendings BLOB;
",
]);
/// Texts remembered with their numbers; beyond that they are looked up anew.
const TEXTS_MAX: usize = 100_000;

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
    /// What its blocks may hold.
    filters: Filters,
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
            filters: Filters::default(),
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
            tail.entries.len() >= blocks::ROWS
        };
        if full { self.write_block() } else { Ok(()) }
    }

    fn insert_all<'c>(&mut self, calls: &'c [Call], batch: i64) -> Result<(Vec<&'c Call>, u64, u64, u64), Error> {
        let mut new = Vec::with_capacity(calls.len());
        let (mut min, mut max) = (if self.rows == 0 { u64::MAX } else { self.min_us }, self.max_us);
        // All at once before the first row, so that one statement serves for all rows.
        let numbers = calls.iter().map(|call| self.numbers(call)).collect::<Result<Vec<_>, _>>()?;
        let failed = |error| sql("write a call", &self.path)(error);
        let mut insert = self.connection.prepare_cached(row::INSERT).map_err(failed)?;
        for (call, numbers) in calls.iter().zip(&numbers) {
            if row::write(&mut insert, call, numbers, batch).map_err(failed)? {
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
        let entries = self.tail().entries.clone();
        if entries.is_empty() {
            return Ok(());
        }
        blocks::write(&self.connection, self.batch, entries).map_err(self.failed("write a block"))?;
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
    pub(super) fn traces(&mut self, print: u32) -> Result<Vec<i64>, Error> {
        self.look_up(Lists::Traces, print)
    }

    /// Calls with this fingerprint of their session, by the blocks.
    pub(super) fn sessions(&mut self, print: u32) -> Result<Vec<i64>, Error> {
        self.look_up(Lists::Sessions, print)
    }

    fn look_up(&mut self, lists: Lists, print: u32) -> Result<Vec<i64>, Error> {
        let found = self.filters.find(&self.connection, lists, print);
        found.map_err(self.failed("read the blocks of a file"))
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
