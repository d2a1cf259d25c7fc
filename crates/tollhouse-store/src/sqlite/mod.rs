//! The engine that keeps calls in files of SQLite.
//!
//! ```text
//! lock              who has the store open, and whether it was closed in order
//! rollup.db         sums per minute, quarter of an hour and day; sessions; groups of errors; the list of segments
//! seg/calls-<n>.db  calls; one file is open, older ones are only read
//! ```
//!
//! **A row costs one insert.** Indexes that live are what makes a row expensive, so there is none but the row's own
//! number, which is the call's id and so the order of time. What else calls are looked up by, their trace and their
//! session, is noted in blocks: for each few thousand rows one sorted list of (fingerprint, id), written once. A look-up
//! searches each block by bisection; what is in no block yet stands in memory, in the tail, which readers share.
//!
//! **Old calls go by the file.** A segment is sealed at a million rows or at the end of its day; giving it up is one
//! `unlink`, and needs no deletes and no compaction.
//!
//! **Sums know how far they go.** Every commit of calls has a number, the batch; the file of sums says up to which batch
//! it has counted. After a crash what lies beyond is counted again, once.
//!
//! Files are in WAL mode with `synchronous = NORMAL`: what was committed survives the end of the process; a power cut may
//! lose the last commits.

mod rollup;
mod segment;
mod lock;
mod base;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tollhouse_core::ids::CallId;
use tracing::warn;

use self::base::Ended;
use self::lock::Lock;
use self::rollup::Rollup;
use self::segment::{Segment, Tail};
use crate::call::Call;
use crate::engine::{Error, Read, Write};
use crate::event::{Event, Kind, Listed};
use crate::question::{Bounds, ErrorGroup, Figure, Filter, Happened, Numbers, Page, Range, Session, Width};
use crate::roll::{Delta, Rolls};

/// What is kept for how long, and in how much room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Calls, in microseconds. Default 14 days.
    pub calls_us: u64,
    /// Sums per minute. Default 14 days.
    pub minutes_us: u64,
    /// Sums per quarter of an hour. Default 100 days.
    pub quarters_us: u64,
    /// Sums per day, and groups of errors. Default 400 days.
    pub days_us: u64,
    /// Sessions since their last call. Default 14 days.
    pub sessions_us: u64,
    /// All files of calls together, in bytes. Default 20 GiB.
    pub disk: u64,
    /// Rows of one segment. Default 1,000,000.
    pub segment_rows: u64,
}

impl Default for Keep {
    fn default() -> Self {
        let days = |days: u64| days * Width::Day.us();
        Self {
            calls_us: days(14),
            minutes_us: days(14),
            quarters_us: days(100),
            days_us: days(400),
            sessions_us: days(14),
            disk: 20 << 30,
            segment_rows: 1_000_000,
        }
    }
}

/// Opens the store in `dir`, which is made if it is not there, and repairs what an end without order has left.
///
/// # Errors
/// See [`Error`]; nothing was changed.
pub fn open(dir: &Path, keep: Keep) -> Result<(Writer, Reader), Error> {
    base::check_version();
    base::make_dir(dir)?;
    base::make_dir(&dir.join("seg"))?;
    let (lock, ended) = Lock::take(dir)?;
    let sums = dir.join("rollup.db");
    check_emptied(dir, &sums)?;
    let mut rollup = Rollup::open(&sums, ended)?;
    let tail = Arc::<Mutex<Tail>>::default();
    let newest = rollup.newest_segment()?;
    let expected = rollup.segments()?.first().map_or(0, |listed| listed.rows);
    let segment = match Segment::open(dir, newest, ended, &tail) {
        Ok(segment) => segment,
        Err(Error::Damaged { file, what }) => {
            // Calls go on; what can still be read of it, can be read by hand.
            warn!(target: "tollhouse.store", file, what, "a file of calls is damaged and was set aside");
            segment::set_aside(dir, newest)?;
            rollup.forget_segment(newest)?;
            Segment::open(dir, newest + 1, Ended::InOrder, &tail)?
        }
        Err(error) => return Err(error),
    };
    let mut writer = Writer {
        dir: dir.to_owned(),
        keep,
        lock,
        rollup,
        segment,
        rolls: Rolls::default(),
        unwritten: None,
        tail: tail.clone(),
    };
    if writer.segment.number == newest && writer.segment.rows < expected {
        let lost = expected - writer.segment.rows;
        let file = format!("calls-{newest}.db");
        warn!(target: "tollhouse.store", file, lost, "calls that were kept are not there any more");
        let event =
            Event::new(Kind::CallsLost, tollhouse_core::clock::unix_millis(tollhouse_core::clock::wall()) * 1000);
        writer.note(&[event.detail(format!("{lost} calls were taken out of {file} while nobody had it open"))])?;
    }
    writer.catch_up()?;
    if let Some(newest) = writer.segment.newest()? {
        CallId::go_on_after(newest);
    }
    Ok((writer, Reader { dir: dir.to_owned(), tail, rollup: None, open: Vec::new() }))
}

/// Sums that were emptied while there are calls are damaged, not new.
fn check_emptied(dir: &Path, sums: &Path) -> Result<(), Error> {
    let emptied = sums.metadata().is_ok_and(|file| file.len() == 0);
    let wal = PathBuf::from(format!("{}-wal", sums.display()));
    // The sums are laid out before the first file of calls is made.
    let calls = dir.join("seg").read_dir().is_ok_and(|mut files| files.next().is_some());
    if emptied && !wal.exists() && calls {
        return Err(Error::Damaged { file: sums.display().to_string(), what: "it is empty".to_owned() });
    }
    Ok(())
}

/// What a look through all files has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Files that are whole.
    pub whole: usize,
    /// Bytes of all files.
    pub bytes: u64,
    /// Older files that were not looked at.
    pub passed_over: usize,
    /// Files that are not whole, and why.
    pub damaged: Vec<(String, String)>,
}

/// Looks through the files of the store in `dir`, newest first, until they are more than `most` bytes. Nobody may have it
/// open meanwhile. Changes nothing.
///
/// # Errors
/// Somebody has it open, or the list of files itself cannot be read.
pub fn check(dir: &Path, most: u64) -> Result<Checked, Error> {
    let _held = Lock::hold(dir)?;
    let sums = dir.join("rollup.db");
    let rollup = Rollup::read(&sums)?;
    let mut checked = Checked { bytes: sums.metadata().map_or(0, |file| file.len()), ..Checked::default() };
    let mut take = |found: Result<(), Error>| match found {
        Ok(()) => {
            checked.whole += 1;
            Ok(())
        }
        Err(Error::Damaged { file, what }) => {
            checked.damaged.push((file, what));
            Ok(())
        }
        Err(error) => Err(error),
    };
    take(rollup.check())?;
    let (mut bytes, mut passed_over) = (0, 0);
    for listed in rollup.segments()? {
        let looked_at = bytes;
        bytes += segment::size(dir, listed.number);
        if looked_at > most {
            passed_over += 1;
            continue;
        }
        take(match Segment::read(dir, listed.number) {
            Ok(Some(segment)) => segment.check(),
            Ok(None) => {
                let file = segment::path(dir, listed.number).display().to_string();
                Err(Error::Damaged { file, what: "it is not there".to_owned() })
            }
            Err(error) => Err(error),
        })?;
    }
    checked.bytes += bytes;
    checked.passed_over = passed_over;
    Ok(checked)
}

/// The side that writes; see [`open`].
pub struct Writer {
    dir: PathBuf,
    keep: Keep,
    lock: Lock,
    rollup: Rollup,
    segment: Segment,
    rolls: Rolls,
    /// Sums that could not be written the last time.
    unwritten: Option<Delta>,
    tail: Arc<Mutex<Tail>>,
}

impl Writer {
    /// Counts what was committed after the sums were last written.
    fn catch_up(&mut self) -> Result<(), Error> {
        let (segment, batch) = self.rollup.watermark()?;
        // A segment is sealed only after its sums were written, so what is left is in the open one.
        let after = if segment == self.segment.number { batch } else { 0 };
        let mut again = Vec::new();
        self.segment.after_batch(after, |call| again.push(call))?;
        for call in &again {
            self.rolls.fold(call);
        }
        self.rollup.note_segment(&self.segment)?;
        self.flush()
    }

    /// Begins the next segment, if this one is full or its day is over.
    fn roll_over(&mut self, now_us: u64) -> Result<(), Error> {
        let full = self.segment.rows >= self.keep.segment_rows;
        let another_day = self.segment.rows > 0 && Width::Day.slot(self.segment.max_us) < Width::Day.slot(now_us);
        if !full && !another_day {
            return Ok(());
        }
        self.flush()?;
        self.segment.seal()?;
        self.rollup.note_segment(&self.segment)?;
        self.segment = Segment::open(&self.dir, self.segment.number + 1, Ended::InOrder, &self.tail)?;
        self.rollup.note_segment(&self.segment)
    }
}

impl Write for Writer {
    fn append(&mut self, calls: &[Call]) -> Result<(), Error> {
        let Some(last) = calls.last() else { return Ok(()) };
        self.roll_over(last.at_us)?;
        let rolls = &mut self.rolls;
        self.segment.insert(calls, |call| rolls.fold(call))
    }

    fn note(&mut self, events: &[Event]) -> Result<(), Error> {
        self.rollup.note(events)
    }

    fn flush(&mut self) -> Result<(), Error> {
        let mut delta = self.unwritten.take().unwrap_or_default();
        delta.merge(self.rolls.take());
        if delta.is_empty() {
            return Ok(());
        }
        let written = self.rollup.add(&delta, &self.segment);
        if written.is_err() {
            self.unwritten = Some(delta);
        }
        written
    }

    fn retain(&mut self, now_us: u64) -> Result<(), Error> {
        self.rollup.trim(&self.keep, now_us)?;
        let oldest_us = now_us.saturating_sub(self.keep.calls_us);
        let mut segments = self.rollup.segments()?;
        // Newest first; the open one stays.
        segments.retain(|listed| listed.number != self.segment.number);
        let mut room = self.keep.disk.saturating_sub(segment::size(&self.dir, self.segment.number));
        for listed in segments {
            let size = segment::size(&self.dir, listed.number);
            if listed.max_us >= oldest_us && size <= room {
                room -= size;
                continue;
            }
            // What is older than one that had to go, goes too: there must be no hole.
            room = 0;
            self.rollup.forget_segment(listed.number)?;
            segment::remove(&self.dir, listed.number)?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        self.flush()?;
        self.segment.close()?;
        self.rollup.note_segment(&self.segment)?;
        self.rollup.close()?;
        self.lock.release()
    }
}

/// Segments that a reader keeps open.
const OPEN_MAX: usize = 16;

/// The side that reads, with connections of its own; see [`open`].
pub struct Reader {
    dir: PathBuf,
    tail: Arc<Mutex<Tail>>,
    rollup: Option<Rollup>,
    /// The segments last read, the last first.
    open: Vec<Segment>,
}

impl Clone for Reader {
    fn clone(&self) -> Self {
        Self { dir: self.dir.clone(), tail: self.tail.clone(), rollup: None, open: Vec::new() }
    }
}

impl Reader {
    fn rollup(&mut self) -> Result<&mut Rollup, Error> {
        match &mut self.rollup {
            Some(rollup) => Ok(rollup),
            empty => Ok(empty.insert(Rollup::read(&self.dir.join("rollup.db"))?)),
        }
    }

    /// Looks at segments, newest first, until `look` is content.
    fn each(&mut self, mut look: impl FnMut(&mut Segment) -> Result<Go, Error>) -> Result<(), Error> {
        for listed in self.rollup()?.segments()? {
            let at = self.open.iter().position(|segment| segment.number == listed.number);
            let segment = match at {
                Some(at) => self.open.remove(at),
                None => match Segment::read(&self.dir, listed.number) {
                    Ok(Some(segment)) => segment,
                    // Given up since it was listed.
                    Ok(None) => continue,
                    Err(error) => {
                        warn!(target: "tollhouse.store", segment = listed.number, %error, "a file of calls cannot be read");
                        continue;
                    }
                },
            };
            self.open.insert(0, segment);
            self.open.truncate(OPEN_MAX);
            if look(&mut self.open[0])? == Go::Stop {
                break;
            }
        }
        Ok(())
    }

    /// The ids in the tail that `wanted` points at.
    fn in_tail(&self, wanted: impl Fn(&segment::Entry) -> bool) -> Vec<i64> {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.entries.iter().filter(|entry| wanted(entry)).map(|entry| entry.id).collect()
    }
}

/// Is another segment to be looked at?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Go {
    On,
    Stop,
}

impl Read for Reader {
    fn call(&mut self, id: CallId) -> Result<Option<Call>, Error> {
        let mut found = None;
        self.each(|segment| {
            found = segment.call(base::row_id(id))?.filter(|call| call.id == id);
            Ok(if found.is_some() { Go::Stop } else { Go::On })
        })?;
        Ok(found)
    }

    fn latest(&mut self, filter: &Filter, before: Option<CallId>, bounds: Bounds) -> Result<Page, Error> {
        let mut scan = segment::Scan::new(filter, before, bounds);
        self.each(|segment| Ok(if segment.scan(&mut scan)? { Go::On } else { Go::Stop }))?;
        Ok(scan.page())
    }

    fn trace(&mut self, trace: [u8; 16], limit: usize) -> Result<Vec<Call>, Error> {
        let print = segment::trace_print(&trace);
        let mut calls: Vec<Call> = Vec::new();
        let mut tail = self.in_tail(|entry| entry.trace == print);
        self.each(|segment| {
            let mut ids = segment.traces(print)?;
            ids.append(&mut tail);
            calls.extend(segment.calls(ids, |call| call.trace == trace)?);
            Ok(if calls.len() >= limit { Go::Stop } else { Go::On })
        })?;
        calls.sort_unstable_by_key(|call| call.id);
        calls.dedup_by_key(|call| call.id);
        calls.drain(..calls.len().saturating_sub(limit));
        Ok(calls)
    }

    fn timeline(
        &mut self,
        principal: &str,
        session: &str,
        before: Option<CallId>,
        limit: usize,
    ) -> Result<Page, Error> {
        let print = segment::session_print(principal, session);
        let below = before.map_or(i64::MAX, base::row_id);
        let mut calls: Vec<Call> = Vec::new();
        let mut tail = self.in_tail(|entry| entry.session == print);
        self.each(|segment| {
            let mut ids = segment.sessions(print)?;
            ids.append(&mut tail);
            ids.retain(|id| *id < below);
            // Newest first, and no more than can be shown: a session may be as long as its file.
            ids.sort_unstable_by(|a, b| b.cmp(a));
            ids.dedup();
            ids.truncate(limit + 1);
            calls.extend(segment.calls(ids, |call| (&*call.principal, &*call.session) == (principal, session))?);
            Ok(if calls.len() > limit { Go::Stop } else { Go::On })
        })?;
        calls.sort_unstable_by_key(|call| std::cmp::Reverse(call.id));
        calls.dedup_by_key(|call| call.id);
        let more = calls.len() > limit;
        calls.truncate(limit);
        let next = if more { calls.last().map(|call| call.id) } else { None };
        Ok(Page { calls, next, cut_short: false })
    }

    fn sessions(&mut self, range: Range, limit: usize) -> Result<Vec<Session>, Error> {
        self.rollup()?.sessions(range, limit)
    }

    fn numbers(&mut self, numbers: &Numbers) -> Result<Vec<Figure>, Error> {
        self.rollup()?.numbers(numbers)
    }

    fn events(&mut self, wanted: &Happened, before: Option<u64>, limit: usize) -> Result<Vec<Event>, Error> {
        self.rollup()?.events(wanted, before, limit)
    }

    fn tools(&mut self) -> Result<Vec<Listed>, Error> {
        self.rollup()?.tools()
    }

    fn errors(&mut self, range: Range, limit: usize) -> Result<Vec<ErrorGroup>, Error> {
        self.rollup()?.errors(range, limit)
    }
}

#[cfg(test)]
mod tests;
