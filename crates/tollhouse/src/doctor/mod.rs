//! Looks for what keeps the program, its servers and the clients from working together, and says what to do.
//!
//! Each check looks at one side and adds what it finds: the configuration, the programs it names, the addresses, each
//! server by starting it, the names of tools, the clients' files. What runs already is asked instead of started a
//! second time. Nothing is changed unless it was asked for, and then only what cannot harm: the mode of a file, the
//! path of this program.

mod addresses;
mod clients;
mod code;
mod files;
mod names;
mod programs;
mod servers;
mod store;

use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use code::{Code, page};

use crate::config::env::Environment;
use crate::config::{self, Loaded, Severity};
use crate::setup::clients::Client;

/// What is looked at, and with what.
pub(crate) struct Patient<'a> {
    /// The configuration; `None` if there is none.
    pub(crate) config: Option<PathBuf>,
    /// Where agents and health are served, or shall be.
    pub(crate) addresses: [std::net::SocketAddr; 2],
    /// Where what was recorded is, by what the configuration says of it; `None` if nowhere.
    pub(crate) store: &'a dyn Fn(&config::Store) -> Option<PathBuf>,
    /// The variables.
    pub(crate) env: &'a dyn Environment,
    /// Whether what can be mended without harm is mended.
    pub(crate) mend: bool,
}

/// One thing that is wrong, or to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// One of [`Code`], or of a finding in the configuration.
    pub(crate) code: &'static str,
    /// What it is about: a server, a client, a file.
    pub(crate) about: String,
    /// What was found, in one line.
    pub(crate) found: String,
    /// More of it, each in a line.
    pub(crate) detail: Vec<String>,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// Whether it can be mended here, or was.
    pub(crate) mending: Mending,
}

/// What can be done about a finding here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mending {
    /// Nothing.
    None,
    /// It could be mended by `--fix`.
    Possible,
    /// It was mended, in these words.
    Done(String),
}

impl Finding {
    fn new(severity: Severity, code: Code, about: impl fmt::Display, found: impl Into<String>) -> Self {
        Self {
            severity,
            code: code.as_str(),
            about: about.to_string(),
            found: found.into(),
            detail: Vec::new(),
            hint: None,
            mending: Mending::None,
        }
    }

    fn error(code: Code, about: impl fmt::Display, found: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, about, found)
    }

    fn warning(code: Code, about: impl fmt::Display, found: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, about, found)
    }

    fn detail(mut self, line: impl Into<String>) -> Self {
        self.detail.push(line.into());
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether it still keeps something from working.
    pub(crate) fn stands(&self) -> bool {
        self.severity == Severity::Error && !matches!(self.mending, Mending::Done(_))
    }
}

/// What a check says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// It was looked at, and is well: what, and how.
    Well(String, String),
    /// It is not.
    Ill(Finding),
}

/// Takes what the checks say, at once.
pub(crate) type Say<'a> = &'a mut dyn FnMut(Word);

/// Looks at everything.
pub(crate) async fn examine(patient: &Patient<'_>, say: Say<'_>) {
    let loaded = configuration(patient, say);
    if let Some(path) = &patient.config {
        files::of_ours(path, loaded.as_ref(), patient.mend, say);
    }
    let missing = match &loaded {
        Some(loaded) => programs::look(loaded, say).await,
        None => Vec::new(),
    };
    let running = addresses::look(patient, loaded.as_ref(), say).await;
    let tools = match (&loaded, &running) {
        (Some(_), Some(report)) => servers::told(report, patient.addresses[0], say).await,
        (Some(loaded), None) => servers::started(loaded, &missing, say).await,
        (None, _) => servers::Tools::default(),
    };
    let recorded = (patient.store)(&loaded.as_ref().map(|loaded| loaded.store.clone()).unwrap_or_default());
    if let Some(dir) = recorded {
        store::look(&dir, running.is_some(), patient.env, say);
    }
    let mut leads = Vec::new();
    for client in Client::ALL {
        if let Some(file) = client.file(patient.env).filter(|file| file.exists()) {
            leads.extend(clients::look(client, &file, patient, running.is_some(), say));
        }
    }
    if let Some(loaded) = &loaded {
        names::look(&tools.names, tools.offered, &loaded.settings.naming, &leads, say);
    }
}

/// Reads the configuration, and says what is wrong with it in its own words.
fn configuration(patient: &Patient<'_>, say: Say<'_>) -> Option<Loaded> {
    let Some(path) = &patient.config else {
        let finding = Finding::error(Code::NoConfiguration, "configuration", "there is none");
        say(Word::Ill(
            finding
                .hint("`tollhouse init` makes one of the servers that your clients know, `tollhouse add` begins one"),
        ));
        return None;
    };
    let (loaded, findings) = match config::load(path, patient.env) {
        Ok(mut loaded) => {
            let notices = std::mem::take(&mut loaded.notices);
            (Some(loaded), notices)
        }
        Err(report) => (None, report.findings),
    };
    if let Some(loaded) = &loaded {
        let servers = counted(loaded.settings.servers.len(), "server");
        say(Word::Well("configuration".to_owned(), format!("{}, {servers}", shown(path, patient.env))));
    }
    for finding in findings {
        let place = finding.place.as_ref().map(|place| format!("{}:{}:{}", finding.file, place.line, place.column));
        say(Word::Ill(Finding {
            severity: finding.severity,
            code: finding.code.as_str(),
            about: "configuration".to_owned(),
            found: finding.found,
            detail: finding.detail.into_iter().chain(place).collect(),
            hint: finding.hint,
            mending: Mending::None,
        }));
    }
    loaded
}

/// `1 server`, `2 servers`.
pub(crate) fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A path as people write it: with `~` for their home.
fn shown(path: &Path, env: &dyn Environment) -> String {
    let home = env.var("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    match home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}
