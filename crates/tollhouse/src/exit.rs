//! How the program says in one number what became of it.

use std::process::ExitCode;

/// The exit codes, the same for every verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, drained, healthy.
    Ok = 0,
    /// It broke, or the answer is no: degraded, findings, not found.
    Fault = 1,
    /// The command line is not understood.
    Usage = 2,
    /// No gateway answers at the address.
    Unreachable = 3,
    /// What must survive cannot be written or read.
    Store = 74,
    /// The configuration is refused.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
