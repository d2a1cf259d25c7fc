//! Writes configurations for the user: `add` and `remove` change one, `init` makes one of clients' files and leads the
//! clients to it.
//!
//! A file is changed as text, so that comments, order and spelling stay as they are; the result is read before it
//! takes the place of what was there. Nothing is half written: a reader finds the old file or the new one.

pub(crate) mod change;
pub(crate) mod clients;
pub(crate) mod edit;
pub(crate) mod entry;
pub(crate) mod file;
pub(crate) mod layout;
pub(crate) mod names;
pub(crate) mod pointer;
pub(crate) mod repoint;
pub(crate) mod takeover;

use std::fmt;

use crate::config::Report;
use crate::exit::Exit;

/// Why nothing was changed, as the user is told.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The exit code that goes with it.
    pub(crate) exit: Exit,
    message: String,
}

impl Refusal {
    /// One with what was found, what follows from it, and what to do.
    pub(crate) fn new(exit: Exit, found: impl fmt::Display, detail: &str, hint: &str) -> Self {
        let line = |start: &str, text: &str| if text.is_empty() { String::new() } else { format!("\n{start}{text}") };
        Self { exit, message: format!("error: {found}{}{}", line("  ", detail), line("hint: ", hint)) }
    }

    /// Tells it; the exit code that goes with it.
    pub(crate) fn told(&self) -> Exit {
        use std::io::Write as _;
        // Without a standard error the exit code still tells it.
        let _ = writeln!(std::io::stderr(), "{self}");
        self.exit
    }
}

impl From<Report> for Refusal {
    fn from(report: Report) -> Self {
        Self { exit: Exit::Config, message: report.to_string() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
