//! Reads the configuration: one file in, what the program is told out, or every mistake at once.
//!
//! Text → tree (`yaml`, `jsonc`, `toml`) → as written (`blocks`, `client`) → as meant (`check`). Each step reports what it
//! finds and goes on, so that an operator mends a file in one round and not in ten. Nothing is read from the working
//! directory unasked, and the environment only through `env`.

mod block;
mod blocks;
mod capture;
mod check;
mod client;
mod effective;
pub(crate) mod env;
mod expand;
mod finding;
mod jsonc;
mod near;
mod node;
mod reference;
pub(crate) mod secret;
mod telemetry;
mod toml;
mod values;
mod written;
mod yaml;

#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Read};
use std::path::Path;

pub(crate) use blocks::{ADMIN_DEFAULT, LISTEN_DEFAULT, LogFormat};
pub(crate) use capture::Capture;
pub(crate) use check::{Loaded, Log, Store, check_listen, one};
pub(crate) use client::slug;
pub(crate) use effective::{defaults, variables as environment};
pub(crate) use expand::{fits, variables};
pub(crate) use finding::{Code, Finding, Report, Severity, without_controls};
pub(crate) use near::nearest;
pub(crate) use reference::{reference, schema};
pub(crate) use written::{Entry, Outline, Spot, Tree, Written, outline};

use block::Value;
use env::Environment;
use finding::Findings;
use node::Content;

/// A thousand servers with all their keys take a tenth of this; what is larger is another kind of file.
const FILE_MAX: u64 = 1 << 20;

/// Reads the configuration at `path`: `tollhouse.yaml`, or an MCP client's own file in JSON.
///
/// # Errors
/// Every mistake in the file, with the warnings, in the order of the file. Nothing was started.
pub(crate) fn load(path: &Path, env: &dyn Environment) -> Result<Loaded, Report> {
    let mut findings = Findings::about(path.display().to_string());
    let loaded = read(path, &mut findings).and_then(|text| meaning(path, &text, env, &mut findings));
    verdict(loaded, findings)
}

/// Reads `text` as if it stood at `path`.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_text(path: &Path, text: &str, env: &dyn Environment) -> Result<Loaded, Report> {
    let mut findings = Findings::about(path.display().to_string());
    let loaded = meaning(path, text, env, &mut findings);
    verdict(loaded, findings)
}

/// The text of the file at `path`.
///
/// # Errors
/// It cannot be read, or is none that can be a configuration.
pub(crate) fn text(path: &Path) -> Result<String, Report> {
    let mut findings = Findings::about(path.display().to_string());
    read(path, &mut findings).ok_or_else(|| Report { findings: findings.in_order() })
}

fn verdict(loaded: Option<Loaded>, findings: Findings) -> Result<Loaded, Report> {
    let refused = findings.any_error();
    let findings = findings.in_order();
    match loaded {
        Some(loaded) if !refused => Ok(Loaded { notices: findings, ..loaded }),
        _ => Err(Report { findings }),
    }
}

fn read(path: &Path, findings: &mut Findings) -> Option<String> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        let finding = findings.file_error(Code::Unreadable, "the configuration cannot be read");
        match error.kind() {
            ErrorKind::NotFound => finding.detail("there is no such file").hint("give its path with `--config`"),
            ErrorKind::PermissionDenied => finding.detail("this user may not read it"),
            ErrorKind::IsADirectory => finding.detail("it is a directory").hint("name the file in it"),
            _ => finding.detail(error.to_string()),
        };
        return None;
    }
    if u64::try_from(bytes.len()).is_ok_and(|len| len > FILE_MAX) {
        findings
            .file_error(Code::TooLarge, "the file is larger than 1 MiB")
            .detail("a configuration is smaller than that");
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let finding = findings.file_error(Code::Syntax, "the file is not UTF-8");
            match error.as_bytes() {
                [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => finding.detail("it is UTF-16").hint("save it as UTF-8"),
                _ => finding.detail(format!("at byte {}", error.utf8_error().valid_up_to())).hint("save it as UTF-8"),
            };
            None
        }
    }
}

fn meaning(path: &Path, text: &str, env: &dyn Environment, findings: &mut Findings) -> Option<Loaded> {
    let root = tree(path, text, findings)?;
    if matches!(root.content, Content::Nothing) {
        findings
            .file_error(Code::Empty, "the file is empty")
            .hint("name a server: `servers: { time: { command: uvx, args: [mcp-server-time] } }`");
        return None;
    }
    root.report_duplicates(findings);
    if is_client_file(path, text) {
        let servers = client::servers(&root, findings);
        let loaded = check::client(&servers, env, findings);
        Some(Loaded { shown: effective::effective(path, text), ..loaded })
    } else {
        let file = blocks::File::read(&root, findings)?;
        let loaded = check::own(&file, &root.place, env, findings);
        Some(Loaded { shown: effective::effective(path, text), ..loaded })
    }
}

/// The text as a tree; `None` after a finding.
fn tree(path: &Path, text: &str, findings: &mut Findings) -> Option<node::Node> {
    if path.extension().is_some_and(|extension| extension == "toml") {
        toml::parse(text, findings)
    } else if is_client_file(path, text) {
        jsonc::parse(text, findings)
    } else {
        yaml::parse(text, findings)
    }
}

/// JSON and TOML are a client's; where the name does not say, an opening brace or a comment of JSON's kind does.
pub(crate) fn is_client_file(path: &Path, text: &str) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json" | "jsonc" | "toml") => true,
        Some("yaml" | "yml") => false,
        _ => text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '/']),
    }
}
