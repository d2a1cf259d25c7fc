//! One change of a configuration: what is there → the changed text → checked → written.

use std::path::Path;

use crate::config::env::Environment;
use crate::config::{Code, Finding, Outline, Report, Severity, is_client_file, load_text, outline, text};
use crate::exit::Exit;

use super::Refusal;
use super::edit::NoEdit;
use super::file::{Before, replace};

/// A configuration as it is on the disk.
pub(crate) struct Current<'a> {
    path: &'a Path,
    /// `None` if there is no file.
    text: Option<String>,
    /// The servers in it.
    pub(crate) outline: Outline,
}

impl<'a> Current<'a> {
    /// Reads the file at `path`, which need not be there.
    ///
    /// # Errors
    /// It is there and cannot be read, or is a client's.
    pub(crate) fn read(path: &'a Path) -> Result<Self, Refusal> {
        if !path.exists() && path.extension().is_none_or(|extension| extension != "json" && extension != "jsonc") {
            return Ok(Self { path, text: None, outline: Outline::default() });
        }
        let text = text(path)?;
        if is_client_file(path, &text) {
            return Err(Refusal::new(
                Exit::Fault,
                format_args!("{} belongs to a client", path.display()),
                "only Tollhouse's own configuration, in YAML, is changed",
                "name that one with `--config`, or leave `--config` out for your own",
            ));
        }
        Ok(Self { path, outline: outline(path, &text)?, text: Some(text) })
    }

    /// What stands in the file; empty if there is none.
    pub(crate) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Checks `changed` and puts it in the place of what is there. Gives what the user should know about it.
    ///
    /// # Errors
    /// [`Fault::Refused`]: it has a mistake that was not there before. Nothing was changed, here as with every error.
    pub(crate) fn write(&self, changed: &str, env: &dyn Environment) -> Result<Vec<Finding>, Fault> {
        let errors = |text: &str| -> Vec<Finding> {
            let findings = match load_text(self.path, text, env) {
                Ok(_) => Vec::new(),
                Err(report) => report.findings,
            };
            findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect()
        };
        let known = if self.text.is_some() { errors(self.text()) } else { Vec::new() };
        let same = |one: &Finding, other: &Finding| one.code == other.code && one.found == other.found;
        let mut made = errors(changed);
        made.retain(|finding| !known.iter().any(|known| same(known, finding)));
        // A variable may be set where the gateway is started, and the last server may be removed.
        if made.iter().any(|finding| !matches!(finding.code, Code::Variable | Code::Empty)) {
            return Err(Fault::Refused(Report { findings: made }));
        }
        let before = self.text.as_deref().map_or(Before::Absent, Before::Text);
        replace(self.path, before, changed).map_err(Fault::Write)?;
        Ok(made)
    }
}

/// Why a change was not made.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The result would not be a configuration.
    Refused(Report),
    /// It could not be written.
    Write(anyhow::Error),
}

/// The refusal for a text that cannot be changed; `do_it` says how its owner does it.
pub(crate) fn no_edit(path: &Path, why: NoEdit, do_it: &str) -> Refusal {
    match why {
        NoEdit::Unread(report) => report.into(),
        NoEdit::Layout => Refusal::new(
            Exit::Fault,
            format_args!("the servers of {} are not written one below the other", path.display()),
            "where they stand in braces or refer to one another, changing one could change the rest",
            do_it,
        ),
    }
}
