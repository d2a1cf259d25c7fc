//! What an engine promises: one that writes, and any number that read beside it.

use tollhouse_core::ids::CallId;

use crate::call::Call;
use crate::event::{Event, Listed};
use crate::question::{Bounds, ErrorGroup, Figure, Filter, Happened, Numbers, Page, Range, Session};

/// The store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it open. Nothing was touched.
    #[error("the store {dir} is in use by process {pid}")]
    Locked {
        /// Where it is.
        dir: String,
        /// Who has it.
        pid: String,
    },
    /// A later version wrote it. Nothing was touched.
    #[error("{file} was written by a later version (layout {found}, this version knows up to {known})")]
    Newer {
        /// Which file.
        file: String,
        /// Its layout.
        found: i64,
        /// The newest this version reads.
        known: i64,
    },
    /// What is there is not what was written. Nothing was changed.
    #[error("{file} is damaged: {what}")]
    Damaged {
        /// Which file.
        file: String,
        /// What was found.
        what: String,
    },
    /// There is no room left; nothing of the batch was written.
    #[error("there is no room left for {file}")]
    Full {
        /// Which file.
        file: String,
    },
    /// Another program holds the file; nothing of the batch was written, and the same may be tried again.
    #[error("another program holds {file}")]
    Busy {
        /// Which file.
        file: String,
    },
    /// The system did not read or write.
    #[error("{action} {file}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        file: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The database did not do something, for another reason.
    #[error("{action}")]
    Sql {
        /// What was tried.
        action: &'static str,
        /// What it says.
        #[source]
        source: rusqlite::Error,
    },
    /// The store has been closed.
    #[error("the store has been closed")]
    Closed,
}

/// The side of an engine that writes; there is one.
pub trait Write: Send {
    /// Keeps calls. One that is kept already, by its id, is kept once.
    ///
    /// # Errors
    /// Nothing of the batch was kept.
    fn append(&mut self, calls: &[Call]) -> Result<(), Error>;

    /// Keeps what happened beside calls, and what servers list by it.
    ///
    /// # Errors
    /// Nothing of it was kept.
    fn note(&mut self, events: &[Event]) -> Result<(), Error>;

    /// Makes what was summed up since the last flush visible.
    ///
    /// # Errors
    /// Nothing is lost: the next flush tries again.
    fn flush(&mut self) -> Result<(), Error>;

    /// Gives up what is older, or takes more room, than it may. Called now and then.
    ///
    /// # Errors
    /// What could be given up was.
    fn retain(&mut self, now_us: u64) -> Result<(), Error>;

    /// Ends in order: the next start finds nothing to repair.
    ///
    /// # Errors
    /// The next start repairs.
    fn close(&mut self) -> Result<(), Error>;
}

/// The side of an engine that answers.
pub trait Read: Send {
    /// The call with this id.
    ///
    /// # Errors
    /// The engine could not read.
    fn call(&mut self, id: CallId) -> Result<Option<Call>, Error>;

    /// Calls that `filter` wants, newest first, older than `before`.
    ///
    /// # Errors
    /// The engine could not read.
    fn latest(&mut self, filter: &Filter, before: Option<CallId>, bounds: Bounds) -> Result<Page, Error>;

    /// The calls of a trace, oldest first; at most `limit`, the newest.
    ///
    /// # Errors
    /// The engine could not read.
    fn trace(&mut self, trace: [u8; 16], limit: usize) -> Result<Vec<Call>, Error>;

    /// The calls of a principal's session, newest first, older than `before`.
    ///
    /// # Errors
    /// The engine could not read.
    fn timeline(&mut self, principal: &str, session: &str, before: Option<CallId>, limit: usize)
    -> Result<Page, Error>;

    /// Sessions with a call in `range`, the last used first; at most `limit`.
    ///
    /// # Errors
    /// The engine could not read.
    fn sessions(&mut self, range: Range, limit: usize) -> Result<Vec<Session>, Error>;

    /// Numbers over time or in all; by time, then by group.
    ///
    /// # Errors
    /// The engine could not read.
    fn numbers(&mut self, numbers: &Numbers) -> Result<Vec<Figure>, Error>;

    /// What happened beside calls, the last first, older than `before`; at most `limit`.
    ///
    /// # Errors
    /// The engine could not read.
    fn events(&mut self, wanted: &Happened, before: Option<u64>, limit: usize) -> Result<Vec<Event>, Error>;

    /// The tools that servers listed last, by server and name.
    ///
    /// # Errors
    /// The engine could not read.
    fn tools(&mut self) -> Result<Vec<Listed>, Error>;

    /// Failures that occurred in `range`, by kind, the last first; at most `limit`.
    ///
    /// # Errors
    /// The engine could not read.
    fn errors(&mut self, range: Range, limit: usize) -> Result<Vec<ErrorGroup>, Error>;
}
