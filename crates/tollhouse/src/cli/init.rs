//! `tollhouse init`: makes a configuration of the servers that MCP clients of this user know.
//!
//! Clients' files are read and left as they are. Secrets in them are not copied: a variable is named in the place of
//! each, and what is to be set is told. What would be written is shown as a difference first; with `--dry-run` that
//! is all.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Common;
use crate::config::env::{Environment, Process};
use crate::config::{Code, Report, Severity, Written, is_client_file, load_text, outline, text};
use crate::exit::Exit;
use crate::setup::Refusal;
use crate::setup::clients::Client;
use crate::setup::edit::{HEADER, insert};
use crate::setup::entry::block;
use crate::setup::file::{Before, replace};
use crate::setup::names::Names;

/// What `init` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse init --dry-run          show what would be written
  tollhouse init                    take over the servers of every client found
  tollhouse init --from cursor      those of one: claude-desktop, claude-code, cursor, vscode, windsurf, gemini
  tollhouse init --from ./mcp.json  those of a file"
)]
pub(crate) struct Args {
    /// A client, or a file of one [default: every client found]
    #[arg(long, value_name = "CLIENT or FILE")]
    pub(crate) from: Option<String>,
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write it in the place of a configuration that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// Makes the configuration, or says why not.
pub(crate) fn run(common: &Common, args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    init(common, args, &Process, out)
}

fn init(common: &Common, args: &Args, env: &dyn Environment, out: &mut impl Write) -> anyhow::Result<Exit> {
    let path = super::own_configuration(common, env)?;
    let before = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let made = match sources(args, env).and_then(|sources| make(&sources, env)) {
        Ok(made) => made,
        Err(refusal) => return Ok(refusal.told()),
    };
    let old = before.as_deref().unwrap_or_default();
    let from = if before.is_some() { path.display().to_string() } else { "/dev/null".to_owned() };
    let diff = similar::TextDiff::from_lines(old, made.text.as_str());
    write!(out, "{}", diff.unified_diff().header(&from, &path.display().to_string())).context("show the difference")?;
    let mut stderr = std::io::stderr();
    for note in &made.notes {
        // Without a standard error the configuration still shows it.
        let _ = writeln!(stderr, "note: {note}");
    }
    let refused = before.is_some() && old != made.text && !args.force;
    if refused && !args.dry_run {
        let found = format_args!("{} exists already", path.display());
        let hint = "`tollhouse init --force` changes it as shown; `tollhouse add` adds one server and keeps the rest";
        return Ok(Refusal::new(Exit::Fault, found, "nothing was written", hint).told());
    }
    if args.dry_run {
        let _ = writeln!(stderr, "nothing was written");
    } else {
        replace(&path, before.as_deref().map_or(Before::Absent, Before::Text), &made.text)?;
        let _ = writeln!(stderr, "wrote {}", path.display());
    }
    if made.names.places().next().is_some() {
        let _ = writeln!(stderr, "set these variables where Tollhouse is started:");
    }
    for (name, place) in made.names.places() {
        let _ = writeln!(stderr, "  {name}  its value is {place}");
    }
    Ok(Exit::Ok)
}

/// The files to read. Those of clients that are not there are none, unless one was asked for.
fn sources(args: &Args, env: &dyn Environment) -> Result<Vec<PathBuf>, Refusal> {
    let Some(from) = &args.from else {
        let files = Client::ALL.into_iter().filter_map(|client| client.file(env));
        return Ok(files.filter(|file| file.exists()).collect());
    };
    let client = Client::ALL.into_iter().find(|client| client.as_str() == from);
    match client.map(|client| client.file(env)) {
        Some(Some(file)) => Ok(vec![file]),
        Some(None) => {
            Err(Refusal::new(Exit::Fault, "there is no home directory", "", "name the file with `--from FILE`"))
        }
        None if from == "codex" => Err(Refusal::new(
            Exit::Fault,
            "the file of Codex is not read",
            "it is TOML, and only clients' files in JSON are",
            "`tollhouse add` takes over one server at a time",
        )),
        None => Ok(vec![PathBuf::from(from)]),
    }
}

/// What becomes of the clients' files.
struct Made {
    text: String,
    names: Names,
    /// What is left out, and other things to know.
    notes: Vec<String>,
}

fn make(sources: &[PathBuf], env: &dyn Environment) -> Result<Made, Refusal> {
    let (mut names, mut notes) = (Names::default(), Vec::new());
    let mut taken: Vec<(Written, Written)> = Vec::new();
    let mut made = HEADER.to_owned();
    for source in sources {
        let content = text(source)?;
        if !is_client_file(source, &content) {
            let found = format_args!("{} is no client's file", source.display());
            return Err(Refusal::new(Exit::Fault, found, "expected JSON with `mcpServers` or `servers`", ""));
        }
        let outline = match outline(source, &content) {
            Ok(outline) => outline,
            // A client that knows no server yet.
            Err(report) if sources.len() > 1 && only_empty(&report) => continue,
            Err(report) => return Err(report.into()),
        };
        notes.extend(outline.notices.iter().map(|notice| format!("{}: {}", source.display(), notice.found)));
        for (_, written) in outline.servers {
            let known = taken.iter().find(|(_, known)| known.name == written.name);
            if let Some((_, known)) = known {
                if *known != written {
                    let file = source.display();
                    notes.push(format!(
                        "{file}: server `{}` is left out: another file has another of that name",
                        written.name
                    ));
                }
                continue;
            }
            let mut server = written.clone();
            // One that is left out shall leave no name behind.
            let mut with = Names::default();
            with.put_into(&mut server);
            if let Some(why) = refused(source, &server, env) {
                notes.push(format!("{}: server `{}` is left out: {why}", source.display(), server.name));
                continue;
            }
            server = written.clone();
            names.put_into(&mut server);
            made = insert(Path::new("tollhouse.yaml"), &made, &server)
                .map_err(|why| crate::setup::change::no_edit(source, why, "add this one with `tollhouse add`"))?;
            taken.push((server, written));
        }
    }
    if taken.is_empty() {
        for note in notes {
            // Without a standard error the exit code still tells it.
            let _ = writeln!(std::io::stderr(), "note: {note}");
        }
        return Err(Refusal::new(
            Exit::Fault,
            "no server was found in a client's file",
            &format!("looked for: {}", Client::ALL.map(Client::as_str).join(", ")),
            "`tollhouse init --from FILE` names a file, `tollhouse add` begins with a server",
        ));
    }
    Ok(Made { text: made, names, notes })
}

fn only_empty(report: &Report) -> bool {
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.into_iter().all(|finding| finding.code == Code::Empty)
}

/// Why a configuration cannot have the server; a variable that is not set is no reason.
fn refused(source: &Path, server: &Written, env: &dyn Environment) -> Option<String> {
    let report = load_text(&source.with_extension("yaml"), &format!("servers:\n{}", block(server, 2)), env).err()?;
    let errors = report.findings.into_iter().filter(|finding| finding.severity == Severity::Error);
    errors.into_iter().find(|finding| finding.code != Code::Variable).map(|finding| finding.found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Verb};

    /// A home with a file of each of two clients.
    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join(".cursor")).unwrap();
        fs::write(
            home.path().join(".cursor/mcp.json"),
            r#"{ "mcpServers": {
                "My Git": { "command": "npx", "args": ["-y", "git"], "env": { "GIT_TOKEN": "canary" } },
                "old": { "type": "sse", "url": "https://old.example/sse" },
                "bad": { "url": "https://me:canary@bad.example/mcp" },
                "tollhouse": { "command": "tollhouse", "args": ["stdio"] } } }"#,
        )
        .unwrap();
        let claude = r#"{ "numStartups": 3, "mcpServers": {
            "wiki": { "type": "http", "url": "https://wiki.example/mcp", "headers": { "Authorization": "Bearer canary" } },
            "my-git": { "command": "other" } } }"#;
        fs::write(home.path().join(".claude.json"), claude).unwrap();
        home
    }

    fn tried(home: &Path, words: &[&str]) -> (Exit, String) {
        let env = BTreeMap::from([("HOME", home.to_str().unwrap())]);
        let cli =
            Cli::try_parse_from(["tollhouse", "init"].iter().chain(words)).unwrap_or_else(|error| panic!("{error}"));
        let Verb::Init(args) = cli.verb else { panic!("it is `init`") };
        let mut out = Vec::new();
        let exit = init(&Common::default(), &args, &env, &mut out).unwrap();
        (exit, String::from_utf8(out).unwrap())
    }

    fn own(home: &Path) -> Option<String> {
        fs::read_to_string(home.join(".config/tollhouse/tollhouse.yaml")).ok()
    }

    #[test]
    fn the_servers_of_a_client_are_taken_over_without_their_secrets() {
        let home = home();
        let (exit, diff) = tried(home.path(), &["--from", "cursor"]);
        let expected = "\nservers:\n  my-git:\n    command: npx\n    args: [-y, git]\n    env:\n      GIT_TOKEN: \"${GIT_TOKEN}\"\n  old:\n    url: https://old.example/sse\n    transport: sse\n";
        assert_eq!((exit, own(home.path())), (Exit::Ok, Some(format!("{HEADER}{expected}"))));
        assert!(diff.contains("+  my-git:") && !diff.contains("canary"), "{diff}");
    }

    #[test]
    fn without_a_name_every_client_found_is_read_and_the_first_of_a_name_wins() {
        let home = home();
        let (exit, _) = tried(home.path(), &[]);
        let text = own(home.path()).unwrap();
        assert!(exit == Exit::Ok && text.contains("Authorization: \"Bearer ${WIKI_TOKEN}\""), "{text}");
        assert!(text.contains("command: other") && !text.contains("npx"), "{text}");
    }

    #[test]
    fn a_dry_run_shows_the_difference_and_writes_nothing() {
        let home = home();
        let (exit, diff) = tried(home.path(), &["--dry-run"]);
        assert!(exit == Exit::Ok && diff.starts_with("--- /dev/null\n+++ "), "{diff}");
        assert_eq!(own(home.path()), None);
    }

    #[test]
    fn a_configuration_that_is_there_is_replaced_only_by_force() {
        let home = home();
        tried(home.path(), &["--from", "claude-code"]);
        let first = own(home.path());
        assert_eq!(tried(home.path(), &["--from", "claude-code"]).0, Exit::Ok, "it is the same");
        assert_eq!((tried(home.path(), &["--from", "cursor"]).0, own(home.path())), (Exit::Fault, first.clone()));
        assert_eq!(tried(home.path(), &["--from", "cursor", "--force"]).0, Exit::Ok);
        assert_ne!(own(home.path()), first);
    }

    #[test]
    fn the_words_of_gemini_and_windsurf_for_a_url_are_understood() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("c.json");
        let text = r#"{ "mcpServers": { "a": { "httpUrl": "https://a.example/mcp" }, "b": { "serverUrl": "https://b.example/mcp" } } }"#;
        fs::write(&file, text).unwrap();
        assert_eq!(tried(home.path(), &["--from", file.to_str().unwrap()]).0, Exit::Ok);
        let text = own(home.path()).unwrap();
        assert!(text.contains("url: https://a.example/mcp") && text.contains("url: https://b.example/mcp"), "{text}");
    }

    #[test]
    fn where_there_is_nothing_to_take_over_nothing_is_written() {
        let home = tempfile::tempdir().unwrap();
        for from in [&[][..], &["--from", "codex"]] {
            assert_eq!(tried(home.path(), from).0, Exit::Fault);
        }
        assert_eq!(tried(home.path(), &["--from", "cursor"]).0, Exit::Config);
        assert_eq!(own(home.path()), None);
    }
}
