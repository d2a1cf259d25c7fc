//! The file of sums.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Keep;
use super::base::{self, Ended, Layouts, call_id, row_id, signed, sql, unsigned};
use super::segment::Segment;
use crate::engine::Error;
use crate::event::{Event, Kind, Listed, Listing};
use crate::question::{ErrorGroup, Figure, Happened, Numbers, Range, Session, Width};
use crate::roll::{Delta, ERROR_CALLS, ErrorKey};

mod sums;

const LAYOUTS: Layouts = Layouts(&[CELLS, EVENTS, TOTALS, CLIENTS]);
const CELLS: &str = "
CREATE TABLE cell (
  width INTEGER NOT NULL, slot INTEGER NOT NULL, server TEXT NOT NULL, name TEXT NOT NULL, method TEXT NOT NULL,
  client TEXT NOT NULL, calls INTEGER NOT NULL, failed INTEGER NOT NULL, request INTEGER NOT NULL,
  response INTEGER NOT NULL, errors TEXT NOT NULL, total BLOB NOT NULL, upstream BLOB NOT NULL, first BLOB NOT NULL,
  PRIMARY KEY (width, slot, server, name, method, client)
) WITHOUT ROWID;
CREATE TABLE session (
  principal TEXT NOT NULL, id TEXT NOT NULL, source TEXT NOT NULL, confidence TEXT NOT NULL, client TEXT,
  servers TEXT NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, calls INTEGER NOT NULL,
  failed INTEGER NOT NULL, last_ok INTEGER, last_ok_salt INTEGER,
  PRIMARY KEY (principal, id)
) WITHOUT ROWID;
CREATE INDEX session_last ON session (last_at);
CREATE TABLE error (
  server TEXT NOT NULL, name TEXT NOT NULL, error TEXT NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL,
  count INTEGER NOT NULL, calls BLOB NOT NULL, PRIMARY KEY (server, name, error)
) WITHOUT ROWID;
CREATE TABLE segment (
  number INTEGER PRIMARY KEY, rows INTEGER NOT NULL, min_at INTEGER NOT NULL, max_at INTEGER NOT NULL
);
CREATE TABLE counted (one INTEGER PRIMARY KEY CHECK (one = 1), segment INTEGER NOT NULL, batch INTEGER NOT NULL);
INSERT INTO counted VALUES (1, 0, 0);
";
const EVENTS: &str = "
CREATE TABLE event (
  number INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, server TEXT, subject TEXT, detail TEXT, body TEXT
);
CREATE TABLE tool (
  server TEXT NOT NULL, name TEXT NOT NULL, first_at INTEGER NOT NULL, changed_at INTEGER NOT NULL,
  changes INTEGER NOT NULL, definition TEXT NOT NULL, PRIMARY KEY (server, name)
) WITHOUT ROWID;
";
/// Cells of all clients and methods together, by tool and by server: what is asked for most, and by far fewer rows.
const TOTALS: &str = "
CREATE TABLE of_tool (
  width INTEGER NOT NULL, slot INTEGER NOT NULL, server TEXT NOT NULL, name TEXT NOT NULL, calls INTEGER NOT NULL,
  failed INTEGER NOT NULL, request INTEGER NOT NULL, response INTEGER NOT NULL, errors TEXT NOT NULL,
  total BLOB NOT NULL, upstream BLOB NOT NULL, first BLOB NOT NULL, PRIMARY KEY (width, slot, server, name)
) WITHOUT ROWID;
CREATE TABLE of_server (
  width INTEGER NOT NULL, slot INTEGER NOT NULL, server TEXT NOT NULL, name TEXT NOT NULL, calls INTEGER NOT NULL,
  failed INTEGER NOT NULL, request INTEGER NOT NULL, response INTEGER NOT NULL, errors TEXT NOT NULL,
  total BLOB NOT NULL, upstream BLOB NOT NULL, first BLOB NOT NULL, PRIMARY KEY (width, slot, server, name)
) WITHOUT ROWID;
";
/// The same by client.
const CLIENTS: &str = "
CREATE TABLE of_client (
  width INTEGER NOT NULL, slot INTEGER NOT NULL, server TEXT NOT NULL, name TEXT NOT NULL, calls INTEGER NOT NULL,
  failed INTEGER NOT NULL, request INTEGER NOT NULL, response INTEGER NOT NULL, errors TEXT NOT NULL,
  total BLOB NOT NULL, upstream BLOB NOT NULL, first BLOB NOT NULL, PRIMARY KEY (width, slot, server, name)
) WITHOUT ROWID;
";
/// Events that are kept; older ones are given up, whatever their age.
const EVENTS_MAX: i64 = 100_000;
/// An id of a call: row and salt.
const ID: usize = 16;

/// A segment as it is listed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sealed {
    pub(super) number: i64,
    pub(super) rows: u64,
    /// When its last call arrived.
    pub(super) max_us: u64,
}

/// The open file.
pub(super) struct Rollup {
    path: PathBuf,
    connection: Connection,
}

impl Rollup {
    pub(super) fn open(path: &Path, ended: Ended) -> Result<Self, Error> {
        let mut connection = base::open(path, LAYOUTS, ended)?;
        sums::complete(&mut connection).map_err(sql("sum up by tool and server", path))?;
        Ok(Self { path: path.to_owned(), connection })
    }

    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        Ok(Self { path: path.to_owned(), connection: base::read(path, LAYOUTS)? })
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
        sql(action, &self.path)
    }

    /// The number of the segment to write on: the newest, or the first.
    pub(super) fn newest_segment(&self) -> Result<i64, Error> {
        self.connection
            .query_row("SELECT coalesce(max(number), 1) FROM segment", [], |row| row.get(0))
            .map_err(self.failed("read the list of segments"))
    }

    /// All segments, newest first.
    pub(super) fn segments(&self) -> Result<Vec<Sealed>, Error> {
        let failed = |error| sql("read the list of segments", &self.path)(error);
        let mut list = self
            .connection
            .prepare_cached("SELECT number, max_at, rows FROM segment ORDER BY number DESC")
            .map_err(failed)?;
        let listed = |row: &Row<'_>| {
            Ok(Sealed { number: row.get(0)?, max_us: unsigned(row.get(1)?), rows: unsigned(row.get(2)?) })
        };
        let rows = list.query_map([], listed).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// Writes down how a segment stands.
    pub(super) fn note_segment(&mut self, segment: &Segment) -> Result<(), Error> {
        let noted = self.connection.execute(
            "INSERT OR REPLACE INTO segment VALUES (?1, ?2, ?3, ?4)",
            params![segment.number, signed(segment.rows), signed(segment.min_us), signed(segment.max_us)],
        );
        noted.map(|_| ()).map_err(self.failed("write the list of segments"))
    }

    pub(super) fn forget_segment(&mut self, number: i64) -> Result<(), Error> {
        let forgotten = self.connection.execute("DELETE FROM segment WHERE number = ?1", [number]);
        forgotten.map(|_| ()).map_err(self.failed("write the list of segments"))
    }

    /// Up to which commit of which segment the sums go.
    pub(super) fn watermark(&self) -> Result<(i64, i64), Error> {
        self.connection
            .query_row("SELECT segment, batch FROM counted", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(self.failed("read how far the sums go"))
    }

    /// Adds what was counted, up to the last commit of `segment`; all of it or nothing.
    pub(super) fn add(&mut self, delta: &Delta, segment: &Segment) -> Result<(), Error> {
        let path = self.path.clone();
        let failed = |error| sql("write sums", &path)(error);
        let transaction = self.connection.transaction().map_err(failed)?;
        sums::add(&transaction, delta).map_err(failed)?;
        for session in &delta.sessions {
            add_session(&transaction, session).map_err(failed)?;
        }
        for (key, group) in &delta.errors {
            add_error(&transaction, key, group).map_err(failed)?;
        }
        let counted =
            transaction.execute("UPDATE counted SET segment = ?1, batch = ?2", params![segment.number, segment.batch]);
        counted.map_err(failed)?;
        let noted = transaction.execute(
            "INSERT OR REPLACE INTO segment VALUES (?1, ?2, ?3, ?4)",
            params![segment.number, signed(segment.rows), signed(segment.min_us), signed(segment.max_us)],
        );
        noted.map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// Gives up sums that are older than they may be.
    pub(super) fn trim(&mut self, keep: &Keep, now_us: u64) -> Result<(), Error> {
        let failed = |error| sql("give up old sums", &self.path)(error);
        for (width, kept) in Width::ALL.into_iter().zip([keep.minutes_us, keep.quarters_us, keep.days_us]) {
            let oldest = width.slot(now_us.saturating_sub(kept));
            for table in sums::TABLES.into_iter().chain(["cell"]) {
                let old = format!("DELETE FROM {table} WHERE width = ?1 AND slot < ?2");
                self.connection.execute(&old, params![sums::code(width), signed(oldest)]).map_err(failed)?;
            }
        }
        for (statement, kept) in [
            ("DELETE FROM session WHERE last_at < ?1", keep.sessions_us),
            ("DELETE FROM error WHERE last_at < ?1", keep.days_us),
            ("DELETE FROM event WHERE at < ?1", keep.days_us),
        ] {
            self.connection.execute(statement, [signed(now_us.saturating_sub(kept))]).map_err(failed)?;
        }
        self.connection
            .execute("DELETE FROM event WHERE number <= (SELECT max(number) FROM event) - ?1", [EVENTS_MAX])
            .map_err(failed)?;
        Ok(())
    }

    /// Has the whole file looked through.
    pub(super) fn check(&self) -> Result<(), Error> {
        base::check(&self.connection, "integrity_check", &self.path)
    }

    /// Writes down what happened, and what servers list by it; all of it or nothing.
    pub(super) fn note(&mut self, events: &[Event]) -> Result<(), Error> {
        let path = self.path.clone();
        let failed = |error| sql("write events", &path)(error);
        let transaction = self.connection.transaction().map_err(failed)?;
        for event in events {
            add_event(&transaction, event).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    pub(super) fn events(&mut self, wanted: &Happened, before: Option<u64>, limit: usize) -> Result<Vec<Event>, Error> {
        let failed = |error| sql("read events", &self.path)(error);
        let mut list = self
            .connection
            .prepare_cached(
                "SELECT * FROM event WHERE number < ?1 AND at >= ?2 AND at < ?3 AND (?4 IS NULL OR server = ?4) \
                 AND (?5 IS NULL OR subject = ?5) ORDER BY number DESC",
            )
            .map_err(failed)?;
        let (from, to) = (signed(wanted.range.from_us), signed(wanted.range.to_us));
        let rows = list
            .query_map(params![before.map_or(i64::MAX, signed), from, to, wanted.server, wanted.subject], event)
            .map_err(failed)?;
        // What a later version wrote is passed over: it has no word here.
        let known = rows.filter_map(Result::transpose);
        let chosen = known.filter(|row| row.as_ref().map_or(true, |event| wanted.wants(event)));
        chosen.take(limit).collect::<Result<_, _>>().map_err(failed)
    }

    pub(super) fn tools(&mut self) -> Result<Vec<Listed>, Error> {
        let failed = |error| sql("read tools", &self.path)(error);
        let mut list = self.connection.prepare_cached("SELECT * FROM tool ORDER BY server, name").map_err(failed)?;
        let rows = list.query_map([], tool).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    pub(super) fn close(&mut self) -> Result<(), Error> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(self.failed("move the log into the file"))
    }

    pub(super) fn numbers(&mut self, numbers: &Numbers) -> Result<Vec<Figure>, Error> {
        sums::read(&self.connection, numbers).map_err(self.failed("read sums"))
    }

    pub(super) fn sessions(&mut self, range: Range, limit: usize) -> Result<Vec<Session>, Error> {
        let failed = |error| sql("read sessions", &self.path)(error);
        let mut list = self
            .connection
            .prepare_cached(
                "SELECT * FROM session WHERE last_at >= ?1 AND first_at < ?2 ORDER BY last_at DESC, id LIMIT ?3",
            )
            .map_err(failed)?;
        let rows = list
            .query_map(params![signed(range.from_us), signed(range.to_us), signed(limit as u64)], session)
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    pub(super) fn errors(&mut self, range: Range, limit: usize) -> Result<Vec<ErrorGroup>, Error> {
        let failed = |error| sql("read groups of errors", &self.path)(error);
        let mut list = self
            .connection
            .prepare_cached("SELECT * FROM error WHERE last_at >= ?1 AND first_at < ?2 ORDER BY last_at DESC LIMIT ?3")
            .map_err(failed)?;
        let rows = list
            .query_map(params![signed(range.from_us), signed(range.to_us), signed(limit as u64)], error_group)
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

fn add_session(connection: &Connection, new: &Session) -> rusqlite::Result<()> {
    let mut find = connection.prepare_cached("SELECT * FROM session WHERE principal = ?1 AND id = ?2")?;
    let known = find.query_row([&*new.principal, &*new.id], session).optional()?;
    let whole = match known {
        Some(mut known) => {
            known.merge(new);
            known
        }
        None => new.clone(),
    };
    let mut write = connection
        .prepare_cached("INSERT OR REPLACE INTO session VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")?;
    write.execute(params![
        &*whole.principal,
        &*whole.id,
        &*whole.source,
        &*whole.confidence,
        whole.client.as_deref(),
        whole.servers.join("\n"),
        signed(whole.first_us),
        signed(whole.last_us),
        signed(whole.calls),
        signed(whole.failed),
        whole.last_ok.map(row_id),
        whole.last_ok.map(|id| id.salt().cast_signed()),
    ])?;
    Ok(())
}

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    let text = |column| row.get::<_, String>(column).map(Box::<str>::from);
    let last_ok: (Option<i64>, Option<i64>) = (row.get(10)?, row.get(11)?);
    Ok(Session {
        principal: text(0)?,
        id: text(1)?,
        source: text(2)?,
        confidence: text(3)?,
        client: row.get::<_, Option<String>>(4)?.map(Into::into),
        servers: text(5)?.lines().map(Into::into).collect(),
        first_us: unsigned(row.get(6)?),
        last_us: unsigned(row.get(7)?),
        calls: unsigned(row.get(8)?),
        failed: unsigned(row.get(9)?),
        last_ok: last_ok.0.zip(last_ok.1).map(|(row, salt)| call_id(row, salt)),
    })
}

fn add_error(connection: &Connection, key: &ErrorKey, new: &ErrorGroup) -> rusqlite::Result<()> {
    let mut find = connection.prepare_cached("SELECT * FROM error WHERE server = ?1 AND name = ?2 AND error = ?3")?;
    let known = find.query_row([&*key.server, &*key.name, &*key.error], error_group).optional()?;
    let whole = match known {
        Some(mut known) => {
            known.merge(new);
            known
        }
        None => new.clone(),
    };
    let calls: Vec<u8> = whole
        .calls
        .iter()
        .take(ERROR_CALLS)
        .flat_map(|id| [row_id(*id).to_be_bytes(), id.salt().to_be_bytes()].concat())
        .collect();
    let mut write = connection.prepare_cached("INSERT OR REPLACE INTO error VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    write.execute(params![
        &*key.server,
        &*key.name,
        &*key.error,
        signed(whole.first_us),
        signed(whole.last_us),
        signed(whole.count),
        calls
    ])?;
    Ok(())
}

fn error_group(row: &Row<'_>) -> rusqlite::Result<ErrorGroup> {
    let text = |column| row.get::<_, String>(column).map(Box::<str>::from);
    let (ids, _) = row.get_ref(6)?.as_blob()?.as_chunks::<ID>();
    let id = |bytes: &[u8; ID]| {
        let half = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight of sixteen bytes"));
        call_id(half(0), half(8))
    };
    Ok(ErrorGroup {
        server: text(0)?,
        name: text(1)?,
        error: text(2)?,
        first_us: unsigned(row.get(3)?),
        last_us: unsigned(row.get(4)?),
        count: unsigned(row.get(5)?),
        calls: ids.iter().map(id).collect(),
    })
}

fn add_event(connection: &Connection, event: &Event) -> rusqlite::Result<()> {
    let texts = [&event.server, &event.subject, &event.detail, &event.body].map(|text| text.as_deref());
    let mut write = connection.prepare_cached(
        "INSERT INTO event (at, kind, server, subject, detail, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    write.execute(params![signed(event.at_us), event.kind.as_str(), texts[0], texts[1], texts[2], texts[3]])?;
    let [Some(server), Some(name), ..] = texts else { return Ok(()) };
    let mut find = connection.prepare_cached("SELECT * FROM tool WHERE server = ?1 AND name = ?2")?;
    let known = find.query_row([server, name], tool).optional()?;
    match event.listing(known.as_ref()) {
        Listing::Is(listed) => {
            let mut write = connection.prepare_cached("INSERT OR REPLACE INTO tool VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            write.execute(params![
                &*listed.server,
                &*listed.name,
                signed(listed.first_us),
                signed(listed.changed_us),
                signed(listed.changes),
                &*listed.definition
            ])?;
        }
        Listing::Gone => {
            let mut forget = connection.prepare_cached("DELETE FROM tool WHERE server = ?1 AND name = ?2")?;
            forget.execute([server, name])?;
        }
        Listing::Untouched => {}
    }
    Ok(())
}

fn event(row: &Row<'_>) -> rusqlite::Result<Option<Event>> {
    let maybe = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(column)?.map(Box::<str>::from));
    let Some(kind) = Kind::parse(&row.get::<_, String>(2)?) else { return Ok(None) };
    Ok(Some(Event {
        number: unsigned(row.get(0)?),
        at_us: unsigned(row.get(1)?),
        kind,
        server: maybe(3)?,
        subject: maybe(4)?,
        detail: maybe(5)?,
        body: maybe(6)?,
    }))
}

fn tool(row: &Row<'_>) -> rusqlite::Result<Listed> {
    let text = |column| row.get::<_, String>(column).map(Box::<str>::from);
    Ok(Listed {
        server: text(0)?,
        name: text(1)?,
        first_us: unsigned(row.get(2)?),
        changed_us: unsigned(row.get(3)?),
        changes: unsigned(row.get(4)?),
        definition: text(5)?,
    })
}
