//! An attempt that brought no answer: the fault, and its cause in words for the one who asked.

use std::fmt;

use tollhouse_core::fault::{Fault, Kind};

/// Why there is no answer.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    /// One clause, lower case, for people and models: `connection refused`.
    pub(crate) cause: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, cause: impl fmt::Display) -> Self {
        Self { fault: kind.fault(), cause: cause.to_string() }
    }
}
