//! What is wrong with a configuration, said so that an operator can mend it without reading our code.
//!
//! A finding has a code that stays, the place, what is there, what should be, and what to do. It never holds a
//! value that may be a secret: values of `env`, `headers`, `args` and `url` are not shown at all.
//!
//! ```text
//! error[TH-C009]: `servers.files.timeouts.idle` has no unit
//!   expected a duration such as `500ms`, `30s` or `5min`
//!   tollhouse.yaml:6:13   idle: 30
//! hint: write `30s`
//! ```

use std::fmt;

/// A position in the file and the path of keys to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: u64,
    /// From 1, in characters.
    pub(crate) column: u64,
    /// `servers.files.command`; empty at the root.
    pub(crate) path: String,
}

impl Place {
    /// The last key of the path.
    pub(crate) fn key(&self) -> &str {
        self.path.rsplit_once('.').map_or(self.path.as_str(), |(_, key)| key)
    }

    /// The path of `key` below this one.
    pub(crate) fn below(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// Whether the program may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// It starts; the operator should know.
    Warning,
    /// It does not start.
    Error,
}

/// What kind of finding, for search, documentation and scripts. Numbers are never given a second meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The file cannot be read.
    Unreadable,
    /// The file is larger than a configuration may be.
    TooLarge,
    /// The file is not well-formed.
    Syntax,
    /// The file, or the part that must hold servers, is empty.
    Empty,
    /// A key stands twice in one map.
    Duplicate,
    /// A key nobody reads.
    UnknownKey,
    /// A key that belongs to a later version.
    Later,
    /// A list where a map belongs, and the like.
    Type,
    /// The right type, but a value out of range or without its unit.
    Value,
    /// A key that must be there is not.
    Missing,
    /// Two keys that exclude or contradict one another.
    Conflict,
    /// A server id that cannot become part of a tool name.
    ServerId,
    /// Two servers end up with one id.
    IdCollision,
    /// A variable that is not set.
    Variable,
    /// A `${…}` that is not understood here.
    Reference,
    /// A secret written out in the file.
    LiteralSecret,
    /// A listener others can reach, without authentication.
    OpenListener,
    /// Read and checked, without effect in this version.
    NotInForce,
}

impl Code {
    /// The code as it is printed, searched for and documented.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "TH-C001",
            Self::TooLarge => "TH-C002",
            Self::Syntax => "TH-C003",
            Self::Empty => "TH-C004",
            Self::Duplicate => "TH-C005",
            Self::UnknownKey => "TH-C006",
            Self::Later => "TH-C007",
            Self::Type => "TH-C008",
            Self::Value => "TH-C009",
            Self::Missing => "TH-C010",
            Self::Conflict => "TH-C011",
            Self::ServerId => "TH-C012",
            Self::IdCollision => "TH-C013",
            Self::Variable => "TH-C014",
            Self::Reference => "TH-C015",
            Self::LiteralSecret => "TH-C016",
            Self::OpenListener => "TH-C018",
            Self::NotInForce => "TH-C019",
        }
    }
}

/// One thing to mend or to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Whether the program may start.
    pub(crate) severity: Severity,
    /// Its kind.
    pub(crate) code: Code,
    /// The file as the operator named it; empty where no file is meant.
    pub(crate) file: String,
    /// Where in the file, if it is about a part of it.
    pub(crate) place: Option<Place>,
    /// What was found, in one line.
    pub(crate) found: String,
    /// The value as written, where it cannot be a secret.
    pub(crate) value: Option<String>,
    /// What would be right, or what follows.
    pub(crate) detail: Option<String>,
    /// What to do.
    pub(crate) hint: Option<String>,
}

impl Finding {
    /// A finding about nothing but what `found` says.
    pub(crate) fn new(severity: Severity, code: Code, found: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            file: String::new(),
            place: None,
            found: found.into(),
            value: None,
            detail: None,
            hint: None,
        }
    }

    /// `file:line:column`, if it is about a part of a file.
    pub(crate) fn at(&self) -> Option<String> {
        self.place.as_ref().map(|place| format!("{}:{}:{}", self.file, place.line, place.column))
    }

    /// Adds what would be right, or what follows.
    pub(crate) fn detail(&mut self, detail: impl Into<String>) -> &mut Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what to do.
    pub(crate) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the value as written. For values that cannot be secrets.
    pub(crate) fn value(&mut self, value: Option<String>) -> &mut Self {
        self.value = value;
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}[{}]: {}", self.code.as_str(), self.found)?;
        if let Some(detail) = &self.detail {
            write!(f, "\n  {detail}")?;
        }
        match &self.place {
            Some(place) => {
                write!(f, "\n  {}:{}:{}", self.file, place.line, place.column)?;
                match (&self.value, place.path.is_empty()) {
                    (Some(value), _) => write!(f, "   {}: {value}", place.key())?,
                    (None, false) => write!(f, "   {}", place.path)?,
                    (None, true) => {}
                }
            }
            None if !self.file.is_empty() => write!(f, "\n  {}", self.file)?,
            None => {}
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// `text` on one line, with nothing in it that a terminal obeys.
pub(crate) fn without_controls(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Collects the findings of one file.
#[derive(Debug)]
pub(crate) struct Findings {
    file: String,
    list: Vec<Finding>,
}

impl Findings {
    /// None yet, about `file`.
    pub(crate) fn about(file: impl Into<String>) -> Self {
        Self { file: file.into(), list: Vec::new() }
    }

    /// Notes what keeps the program from starting.
    pub(crate) fn error(&mut self, code: Code, place: &Place, found: impl Into<String>) -> &mut Finding {
        self.note(Finding::new(Severity::Error, code, found), Some(place))
    }

    /// Notes what the operator should know.
    pub(crate) fn warning(&mut self, code: Code, place: &Place, found: impl Into<String>) -> &mut Finding {
        self.note(Finding::new(Severity::Warning, code, found), Some(place))
    }

    /// Notes what is wrong with the file as a whole.
    pub(crate) fn file_error(&mut self, code: Code, found: impl Into<String>) -> &mut Finding {
        self.note(Finding::new(Severity::Error, code, found), None)
    }

    fn note(&mut self, mut finding: Finding, place: Option<&Place>) -> &mut Finding {
        finding.file.clone_from(&self.file);
        // Names of servers and keys are the file's; they do not get to move the operator's cursor.
        finding.found = without_controls(&finding.found);
        finding.place = place.map(|place| Place { path: without_controls(&place.path), ..place.clone() });
        self.list.push(finding);
        self.list.last_mut().expect("one was just pushed")
    }

    /// Whether an error is already noted about the value at `path` or something in it.
    pub(crate) fn any_within(&self, path: &str) -> bool {
        self.list.iter().filter(|finding| finding.severity == Severity::Error).any(|finding| {
            let rest = finding.place.as_ref().and_then(|place| place.path.strip_prefix(path));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Whether the program may not start.
    pub(crate) fn any_error(&self) -> bool {
        self.list.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// All findings in the order of the file.
    pub(crate) fn in_order(mut self) -> Vec<Finding> {
        self.list.sort_by_key(|finding| finding.place.as_ref().map_or((0, 0), |place| (place.line, place.column)));
        self.list
    }
}

/// Why a configuration was refused: every finding at once, errors and warnings, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// At least one of them is an error.
    pub(crate) findings: Vec<Finding>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, finding) in self.findings.iter().enumerate() {
            write!(f, "{}{finding}", if at == 0 { "" } else { "\n\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
