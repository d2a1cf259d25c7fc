//! The one place where the process's environment is read.
//!
//! Everything else asks an [`Environment`], so that a test names the variables it means and nothing depends on
//! the machine it runs on.

use std::ffi::OsString;

/// Variables by name.
pub(crate) trait Environment {
    /// The value of `name`, if it is set; possibly empty.
    fn var(&self, name: &str) -> Option<OsString>;
}

/// The variables this process was started with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process;

impl Environment for Process {
    fn var(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }
}

#[cfg(test)]
impl Environment for std::collections::BTreeMap<&str, &str> {
    fn var(&self, name: &str) -> Option<OsString> {
        self.get(name).map(OsString::from)
    }
}
