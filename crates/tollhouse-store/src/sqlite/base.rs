//! What the files have in common: how they are opened, which layout they have, what their errors mean.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tollhouse_core::ids::CallId;

use crate::engine::Error;

/// Milliseconds from 1970 to 2025: row numbers begin there, so that they have 63 bits for longer.
const EPOCH_MS: u64 = 1_735_689_600_000;
/// The oldest SQLite whose write-ahead log cannot be corrupted by its reset (sqlite.org/wal.html).
const SQLITE_MIN: i32 = 3_051_003;
/// How long somebody waits for another who holds a file. Only a stranger holds one for longer than a moment.
const BUSY: Duration = Duration::from_secs(1);

/// Pages of a log that are moved into its file at once: 16 MiB, so that a busy store waits for the disk less often.
const CHECKPOINT: u32 = 4096;

/// How the last process that had the store ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It closed the store, or there was none.
    InOrder,
    /// It was killed, or crashed.
    Abruptly,
}

/// The library is built in, so this cannot fail where it is used.
pub(super) fn check_version() {
    assert!(rusqlite::version_number() >= SQLITE_MIN, "SQLite {} is built in", rusqlite::version());
}

/// The number of a call's row: its stamp, counted from 2025.
pub(super) fn row_id(id: CallId) -> i64 {
    signed(id.stamp().saturating_sub(EPOCH_MS << 16))
}

/// The call with this row.
pub(super) fn call_id(row: i64, salt: i64) -> CallId {
    CallId::of(unsigned(row) + (EPOCH_MS << 16), salt.cast_unsigned())
}

/// The first row that a call which arrived at `at_us` can have.
pub(super) fn first_row(at_us: u64) -> i64 {
    signed((at_us / 1000).saturating_sub(EPOCH_MS).saturating_mul(1 << 16))
}

/// A number as SQLite keeps it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that was kept by [`signed`].
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// An error of the system, with what was tried.
pub(super) fn io(action: &'static str, file: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let file = || file.display().to_string();
    move |source| match source.kind() {
        std::io::ErrorKind::StorageFull => Error::Full { file: file() },
        _ => Error::Io { action, file: file(), source },
    }
}

/// An error of the database, with what was tried.
pub(super) fn sql(action: &'static str, file: &Path) -> impl FnOnce(rusqlite::Error) -> Error {
    // Made for every statement, needed for nearly none: the name is written out only then.
    let file = || file.display().to_string();
    move |source| match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full { file: file() },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Busy { file: file() },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Damaged { file: file(), what: source.to_string() }
        }
        _ => Error::Sql { action, source },
    }
}

/// Makes a directory for this user alone.
pub(super) fn make_dir(dir: &Path) -> Result<(), Error> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(io("make", dir))
}

/// The layouts of a kind of file: what leads from each to the next. The first makes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layouts(pub(super) &'static [&'static str]);

impl Layouts {
    /// The number of the newest.
    fn newest(self) -> i64 {
        i64::try_from(self.0.len()).expect("there are a few")
    }

    /// What leads from `found` to the newest.
    ///
    /// # Errors
    /// A later version has written it.
    fn after(self, found: i64, path: &Path) -> Result<&'static [&'static str], Error> {
        let known = self.newest();
        usize::try_from(found).ok().and_then(|found| self.0.get(found..)).ok_or_else(|| Error::Newer {
            file: path.display().to_string(),
            found,
            known,
        })
    }
}

/// Opens a file for writing, makes it or brings it to the newest layout, and checks it if the last process did not close
/// it.
pub(super) fn open(path: &Path, layouts: Layouts, ended: Ended) -> Result<Connection, Error> {
    let there = path.exists();
    let connection = Connection::open(path).map_err(sql("open a file", path))?;
    #[cfg(unix)]
    if !there {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(io("protect", path))?;
    }
    connection.busy_timeout(BUSY).map_err(sql("open a file", path))?;
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(sql("read the layout of a file", path))?;
    let steps = layouts.after(found, path)?;
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY; \
             PRAGMA wal_autocheckpoint = {CHECKPOINT};"
        ))
        .map_err(sql("prepare a file", path))?;
    if !steps.is_empty() {
        let (steps, layout) = (steps.concat(), layouts.newest());
        connection
            .execute_batch(&format!("BEGIN IMMEDIATE; {steps} PRAGMA user_version = {layout}; COMMIT;"))
            .map_err(sql("lay out a file", path))?;
    }
    if there && ended == Ended::Abruptly {
        check(&connection, "quick_check", path)?;
    }
    Ok(connection)
}

/// Has the database look through a file: `quick_check`, or `integrity_check`, which looks at indexes too.
pub(super) fn check(connection: &Connection, how: &str, path: &Path) -> Result<(), Error> {
    let verdict: String =
        connection.pragma_query_value(None, how, |row| row.get(0)).map_err(sql("check a file", path))?;
    if verdict == "ok" {
        return Ok(());
    }
    let what = verdict.lines().last().unwrap_or_default().to_owned();
    Err(Error::Damaged { file: path.display().to_string(), what })
}

/// Opens a file for reading only.
pub(super) fn read(path: &Path, layouts: Layouts) -> Result<Connection, Error> {
    // Not `READ_ONLY`: the first reader of a file in WAL mode has to make its shared memory.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sql("open a file", path))?;
    connection.busy_timeout(BUSY).map_err(sql("open a file", path))?;
    connection.execute_batch("PRAGMA query_only = ON;").map_err(sql("prepare a file", path))?;
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(sql("read the layout of a file", path))?;
    layouts.after(found, path)?;
    Ok(connection)
}
