//! `tollhouse init`: makes a configuration of the servers that MCP clients of this user know, and leads the clients to it.
//!
//! Without `--repoint` clients' files are read and left as they are. Secrets in them are not copied: a variable is named
//! in the place of each, and what is to be set is told. What would be written is shown first; with `--dry-run` that is
//! all. A configuration that is there keeps what it has, and a second time changes nothing.

use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::list::{reach, transport};
use super::{Common, Paint, Tone};
use crate::config::env::{Environment, Process};
use crate::config::{nearest, outline};
use crate::exit::Exit;
use crate::setup::Refusal;
use crate::setup::clients::Client;
use crate::setup::edit::HEADER;
use crate::setup::file::{Before, keep, replace};
use crate::setup::pointer::{NAME, Pointer, Way};
use crate::setup::repoint::{Back, Change, newest_kept, plan, undo};
use crate::setup::takeover::{Takeover, take_over};

/// What `init` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse init --dry-run            show what would be written
  tollhouse init                      take over the servers of every client found
  tollhouse init --from cursor        those of one: claude-desktop, claude-code, cursor, vscode, windsurf, gemini, codex
  tollhouse init --from ./mcp.json    those of a file
  tollhouse init --repoint            and have each client start Tollhouse in their place
  tollhouse init --repoint=url        or call the gateway that runs
  tollhouse init --undo               lead every client back to its own servers",
    after_help = "Exit codes: 0 done, or there is nothing to do; 1 nothing to take over, or a file cannot be changed; 2 usage; \
                  78 a file cannot be read."
)]
pub(crate) struct Args {
    /// A client, or a file of one [default: every client found]
    #[arg(long, value_name = "CLIENT or FILE")]
    pub(crate) from: Option<String>,
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Begin anew instead of adding to a configuration that is there, which is kept beside it
    #[arg(long)]
    pub(crate) force: bool,
    /// Exchange the client's entries for one that leads to Tollhouse; the file as it was is kept beside it
    #[arg(
        long,
        value_name = "WAY",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "stdio"
    )]
    pub(crate) repoint: Option<Way>,
    /// Give the client its own entries back
    #[arg(long, conflicts_with_all = ["repoint", "force"])]
    pub(crate) undo: bool,
}

/// Makes the configuration, or says why not.
pub(crate) fn run(common: &Common, args: &Args, paint: Paint, out: &mut impl Write) -> anyhow::Result<Exit> {
    init(common, args, &Process, paint, out)
}

fn init(
    common: &Common,
    args: &Args,
    env: &dyn Environment,
    paint: Paint,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let files = match sources(args, env) {
        Ok(files) => files,
        Err(refusal) => return Ok(refusal.told()),
    };
    if args.undo {
        return back(&files, args.dry_run, out);
    }
    let path = super::own_configuration(common, env)?;
    let before = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let base = before.as_deref().filter(|text| !args.force && !text.trim().is_empty()).unwrap_or(HEADER);
    let over = match take_over(&path, base, &files, env).and_then(something) {
        Ok(over) => over,
        Err(refusal) => return Ok(refusal.told()),
    };
    let changes = match changes(common, args, &path, &over, env) {
        Ok(changes) => changes,
        Err(refusal) => return Ok(refusal.told()),
    };
    let shown = difference(&path, before.as_deref(), &over, &changes);
    out.write_all(coloured(&shown, paint).as_bytes()).context("show the difference")?;
    let mut stderr = std::io::stderr();
    for note in &over.notes {
        // Without a standard error the configuration still shows it.
        let _ = writeln!(stderr, "note: {note}");
    }
    if args.dry_run {
        let _ = writeln!(stderr, "nothing was written");
    } else {
        write(args, &path, before.as_deref(), &over.text, &changes)?;
    }
    tell_variables(&over, &changes);
    Ok(Exit::Ok)
}

/// The files to read. Those of clients that are not there are none, unless one was asked for.
fn sources(args: &Args, env: &dyn Environment) -> Result<Vec<PathBuf>, Refusal> {
    let Some(from) = args.from.as_deref() else {
        let files = Client::ALL.into_iter().filter_map(|client| client.file(env));
        return Ok(files.filter(|file| file.exists() || args.undo && newest_kept(file).is_some()).collect());
    };
    let client = Client::ALL.into_iter().find(|client| client.as_str() == from);
    match client.map(|client| client.file(env)) {
        Some(Some(file)) if file.exists() || args.undo && newest_kept(&file).is_some() => Ok(vec![file]),
        Some(Some(file)) => Err(Refusal::new(
            Exit::Fault,
            format_args!("{} keeps no servers here", client.map(Client::title).unwrap_or_default()),
            &format!("{} does not exist", file.display()),
            "if its file is elsewhere, name it with `--from FILE`",
        )),
        Some(None) => {
            Err(Refusal::new(Exit::Fault, "there is no home directory", "", "name the file with `--from FILE`"))
        }
        None if Path::new(from).exists() => Ok(vec![PathBuf::from(from)]),
        None => {
            let known = Client::ALL.map(Client::as_str);
            let hint = nearest(from, known)
                .map_or_else(|| format!("clients are: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
            Err(Refusal::new(Exit::Fault, format_args!("`{from}` is no client, and no file"), "", &hint))
        }
    }
}

/// What there is to take over, if there is anything, or was before.
fn something(over: Takeover) -> Result<Takeover, Refusal> {
    if over.sources.iter().any(|source| !source.taken.is_empty() || !source.ours.is_empty()) {
        return Ok(over);
    }
    for note in over.notes {
        // Without a standard error the exit code still tells it.
        let _ = writeln!(std::io::stderr(), "note: {note}");
    }
    Err(Refusal::new(
        Exit::Fault,
        "no server was found in a client's file",
        &format!("looked for: {}", Client::ALL.map(Client::as_str).join(", ")),
        "`tollhouse init --from FILE` names a file, `tollhouse add` begins with a server",
    ))
}

/// What becomes of the clients' files, if they shall lead here.
fn changes(
    common: &Common,
    args: &Args,
    path: &Path,
    over: &Takeover,
    env: &dyn Environment,
) -> Result<Vec<Change>, Refusal> {
    let Some(way) = args.repoint else { return Ok(Vec::new()) };
    let configured = outline(path, &over.text)?;
    let listen = common.listen_or(configured.addresses[0]);
    let mut changes = Vec::new();
    for source in &over.sources {
        // Where every client is meant, one that cannot call a URL is left as it is.
        if way == Way::Url && source.client == Client::ClaudeDesktop && over.sources.len() > 1 {
            let _ = writeln!(std::io::stderr(), "note: Claude Desktop calls no URL from its file; it is left as it is");
            continue;
        }
        changes.extend(plan(source, path, &configured, way, listen, env)?);
    }
    Ok(changes)
}

/// What will be different: lines of the configuration, entries of clients' files. The latter not as text, for
/// they may hold secrets.
fn difference(path: &Path, before: Option<&str>, over: &Takeover, changes: &[Change]) -> String {
    let from = before.map_or_else(|| "/dev/null".to_owned(), |_| path.display().to_string());
    let diff = similar::TextDiff::from_lines(before.unwrap_or_default(), over.text.as_str());
    let mut shown = diff.unified_diff().header(&from, &path.display().to_string()).to_string();
    for change in changes {
        let file = change.path.display();
        let _ = write!(shown, "--- {file}\n+++ {file}\n");
        for server in &change.taken {
            let _ = writeln!(shown, "-{}  {}  {}", server.name, transport(server), reach(server));
        }
        match &change.pointer {
            Pointer::Url(url) => drop(writeln!(shown, "+{NAME}  http  {url}")),
            Pointer::Stdio { program, config, variables } => {
                let with = variables.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let with = if with.is_empty() { with } else { format!("  (with {with})") };
                let _ = writeln!(shown, "+{NAME}  stdio  {program} stdio --config {config}{with}");
            }
        }
    }
    if shown.is_empty() {
        // Without a standard error nothing shows that there is nothing.
        let _ = writeln!(std::io::stderr(), "nothing is to be changed");
    }
    shown
}

fn coloured(difference: &str, paint: Paint) -> String {
    let line = |line: &str| match line.chars().next() {
        Some('+') => format!("{}\n", paint.tone(Tone::Good, line)),
        Some('-') => format!("{}\n", paint.tone(Tone::Bad, line)),
        _ => format!("{line}\n"),
    };
    difference.lines().map(line).collect()
}

/// Writes the configuration first, so that no client is led to one that is not there.
fn write(args: &Args, path: &Path, before: Option<&str>, text: &str, changes: &[Change]) -> anyhow::Result<()> {
    let mut stderr = std::io::stderr();
    let same = before == Some(text);
    // What is begun anew is not lost: nothing of it may be in what comes.
    if let Some(before) = before.filter(|_| args.force && !same) {
        let kept = keep(path, before)?;
        let _ = writeln!(stderr, "kept what was there as {}", kept.display());
    }
    if !same {
        replace(path, before.map_or(Before::Absent, Before::Text), text)?;
        let _ = writeln!(stderr, "wrote {}", path.display());
    }
    for change in changes {
        let kept = change.write()?;
        let (client, file) = (change.client.title(), change.path.display());
        let _ = writeln!(stderr, "wrote {file}, kept what was there as {}", kept.display());
        let _ = writeln!(stderr, "  start {client} again to have it read; `tollhouse init --undo` leads back");
    }
    Ok(())
}

/// Names the variables that are set nowhere yet: those that a client's entry holds are.
fn tell_variables(over: &Takeover, changes: &[Change]) {
    let held = |name: &str| {
        let holds = |change: &Change| matches!(&change.pointer, Pointer::Stdio { variables, .. } if variables.contains_key(name));
        !changes.is_empty() && changes.iter().all(holds)
    };
    let open: Vec<(&str, &str)> = over.names.places().filter(|(name, _)| !held(name)).collect();
    let mut stderr = std::io::stderr();
    if !open.is_empty() {
        let _ = writeln!(stderr, "set these variables where Tollhouse is started:");
    }
    for (name, place) in open {
        let _ = writeln!(stderr, "  {name}  its value is {place}");
    }
}

/// Leads clients back to their own servers. A file that cannot be does not keep the others.
fn back(files: &[PathBuf], dry: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let (mut exit, mut done) = (Exit::Ok, 0);
    for file in files {
        let what = match undo(file, dry)? {
            Ok(None) => continue,
            Ok(Some(Back::Exact)) => "is what it was before",
            Ok(Some(Back::Servers)) => "has its servers back; what the client had changed elsewhere in it stays",
            Err(refusal) => {
                exit = refusal.told();
                continue;
            }
        };
        done += 1;
        let would = if dry { "would be led back: it " } else { "" };
        writeln!(out, "{}: {would}{what}", file.display()).context("write the answer")?;
    }
    if done == 0 && exit == Exit::Ok {
        // Without a standard error the empty answer still tells it.
        let _ = writeln!(std::io::stderr(), "nothing is to be undone: no client was led here");
    }
    Ok(exit)
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
        let exit = init(&Common::default(), &args, &env, Paint::Plain, &mut out).unwrap();
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
    fn a_configuration_that_is_there_keeps_what_it_has_and_a_second_time_changes_nothing() {
        let home = home();
        tried(home.path(), &["--from", "claude-code"]);
        let path = home.path().join(".config/tollhouse/tollhouse.yaml");
        let first = format!("listen: 127.0.0.1:9 # mine\n{}", own(home.path()).unwrap());
        fs::write(&path, &first).unwrap();
        assert_eq!(tried(home.path(), &["--from", "cursor"]).0, Exit::Ok);
        let first = format!("{first}  old:\n    url: https://old.example/sse\n    transport: sse\n");
        assert_eq!(own(home.path()).unwrap(), first, "the one it has is another");
        let more = home.path().join("more.json");
        fs::write(&more, r#"{ "mcpServers": { "new": { "command": "x", "env": { "GIT_TOKEN": "canary2" } } } }"#)
            .unwrap();
        let from = ["--from", more.to_str().unwrap()];
        assert_eq!(tried(home.path(), &from).0, Exit::Ok);
        let second = own(home.path()).unwrap();
        let added = "  new:\n    command: x\n    env:\n      GIT_TOKEN: \"${GIT_TOKEN}\"\n";
        assert_eq!(second, format!("{first}{added}"));
        assert_eq!(tried(home.path(), &from), (Exit::Ok, String::new()));
        assert_eq!(own(home.path()).unwrap(), second);
    }

    #[test]
    fn one_name_never_stands_for_what_two_files_keep_secret() {
        let home = home();
        tried(home.path(), &["--from", "cursor"]);
        let more = home.path().join("more.json");
        fs::write(&more, r#"{ "mcpServers": { "new": { "command": "x", "env": { "GIT_TOKEN": "canary2" } } } }"#)
            .unwrap();
        tried(home.path(), &["--from", more.to_str().unwrap()]);
        assert!(own(home.path()).unwrap().contains("GIT_TOKEN: \"${NEW_GIT_TOKEN}\""));
    }

    #[test]
    fn by_force_it_is_begun_anew_and_what_was_there_is_kept() {
        let home = home();
        tried(home.path(), &["--from", "claude-code"]);
        let first = own(home.path());
        assert_eq!(tried(home.path(), &["--from", "cursor", "--force"]).0, Exit::Ok);
        assert!(!own(home.path()).unwrap().contains("wiki"));
        let kept = fs::read_to_string(home.path().join(".config/tollhouse/tollhouse.yaml.before")).ok();
        assert_eq!(kept, first);
    }

    #[test]
    fn clocks_are_taken_over_too() {
        let home = home();
        let codex = home.path().join(".codex/config.toml");
        fs::create_dir_all(codex.parent().unwrap()).unwrap();
        fs::write(&codex, CODEX).unwrap();
        assert_eq!(tried(home.path(), &["--from", "codex"]).0, Exit::Ok);
        let text = own(home.path()).unwrap();
        let expected = "  files:\n    command: npx\n    args: [-y, files]\n    env:\n      KEY_ONE: \"1\"\n      \
                        HTTPS_PROXY: \"${HTTPS_PROXY:-}\"\n    timeouts: { start: 90s }\n  wiki:\n    \
                        url: https://wiki.example/mcp\n    headers:\n      X-Team: blue\n      \
                        Authorization: \"Bearer ${WIKI}\"\n";
        assert!(text.ends_with(expected), "{text}");
    }

    const CODEX: &str = r#"# mine
model = "gpt"

# files of this machine
[mcp_servers.files] # local
command = "npx"
args = ["-y", "files"]
startup_timeout_sec = 90
env_vars = ["HTTPS_PROXY"]

[mcp_servers.files.env]
KEY_ONE = "1"

[mcp_servers.off]
command = "off"
enabled = false

[mcp_servers.wiki]
url = "https://wiki.example/mcp"
bearer_token_env_var = "WIKI"
http_headers = { "X-Team" = "blue" }

[projects."/x"]
trust_level = "trusted"
"#;

    #[test]
    fn a_client_is_led_here_and_back_to_the_byte() {
        for (name, text) in [(".cursor/mcp.json", None), (".claude.json", None), (".codex/config.toml", Some(CODEX))] {
            let home = home();
            let file = home.path().join(name);
            if let Some(text) = text {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, text).unwrap();
            }
            let before = fs::read_to_string(&file).unwrap();
            let from = ["--from", file.to_str().unwrap()];
            let words = [&from[..], &["--repoint"]].concat();
            let (exit, shown) = tried(home.path(), &words);
            let after = fs::read_to_string(&file).unwrap();
            assert!(exit == Exit::Ok && after.contains("tollhouse") && after != before, "{after}");
            if name.contains("codex") {
                assert!(after.contains("env_vars = [\"HTTPS_PROXY\", \"WIKI\"]\n"), "{after}");
            }
            assert!(shown.contains("+tollhouse  stdio  ") && !shown.contains("canary"), "{shown}");
            assert_eq!(tried(home.path(), &words), (Exit::Ok, String::new()), "a second time changes nothing");
            assert_eq!(fs::read_to_string(&file).unwrap(), after);
            let (exit, told) = tried(home.path(), &[&from[..], &["--undo"]].concat());
            assert!(exit == Exit::Ok && told.ends_with("is what it was before\n"), "{told}");
            assert_eq!(fs::read_to_string(&file).unwrap(), before);
            assert!(newest_kept(&file).is_none(), "nothing is kept when it has been undone");
            assert_eq!(tried(home.path(), &[&from[..], &["--undo"]].concat()).1, "");
        }
    }

    #[test]
    fn the_entry_that_comes_holds_the_secrets_of_those_that_go_and_every_other_line_stays() {
        let home = home();
        let file = home.path().join(".cursor/mcp.json");
        assert_eq!(tried(home.path(), &["--from", "cursor", "--repoint"]).0, Exit::Ok);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("\"GIT_TOKEN\": \"canary\""), "{text}");
        assert!(!text.contains("\"old\"") && text.contains("bad.example"), "{text}");
        let entry = text.split("\"tollhouse\"").count();
        assert_eq!(entry, 2, "the entry of that name that was there is exchanged too: {text}");
        let left: Vec<String> = outline(&file, &text).unwrap().entries;
        assert_eq!(left, ["bad"], "{text}");
        fs::remove_file(&file).unwrap();
        assert_eq!(tried(home.path(), &["--from", "cursor", "--undo"]).0, Exit::Fault, "it is gone");
    }

    #[test]
    fn a_file_whose_servers_have_been_changed_since_is_not_led_back_and_other_changes_stay() {
        let home = home();
        let file = home.path().join(".claude.json");
        let before = fs::read_to_string(&file).unwrap();
        assert_eq!(tried(home.path(), &["--from", "claude-code", "--repoint"]).0, Exit::Ok);
        let led = fs::read_to_string(&file).unwrap();
        let own = led.replace("\"mcpServers\": {", "\"mcpServers\": { \"mine\": { \"command\": \"x\" },");
        fs::write(&file, &own).unwrap();
        assert_eq!(tried(home.path(), &["--from", "claude-code", "--undo"]), (Exit::Fault, String::new()));
        assert_eq!(fs::read_to_string(&file).unwrap(), own);
        fs::write(&file, led.replace("\"numStartups\": 3", "\"numStartups\": 4")).unwrap();
        let (exit, told) = tried(home.path(), &["--from", "claude-code", "--undo"]);
        assert!(exit == Exit::Ok && told.contains("has its servers back"), "{told}");
        assert_eq!(fs::read_to_string(&file).unwrap(), before.replace('3', "4"));
    }

    #[test]
    fn a_client_whose_entry_could_not_start_the_gateway_is_left_alone() {
        let home = home();
        let codex = home.path().join(".codex/config.toml");
        fs::create_dir_all(codex.parent().unwrap()).unwrap();
        fs::write(&codex, "[mcp_servers.own]\ncommand = \"own\"\nenv = { OWN_KEY = \"canary\" }\n").unwrap();
        let before = fs::read_to_string(home.path().join(".claude.json")).unwrap();
        // The secret of the one would have to be copied into the file of the other.
        assert_eq!(tried(home.path(), &["--repoint"]), (Exit::Fault, String::new()));
        assert_eq!((fs::read_to_string(home.path().join(".claude.json")).ok(), own(home.path())), (Some(before), None));
        assert_eq!(tried(home.path(), &["--repoint=url"]).0, Exit::Ok);
        let text = fs::read_to_string(home.path().join(".claude.json")).unwrap();
        assert!(text.contains("\"url\": \"http://127.0.0.1:7070/mcp\"") && !text.contains("canary"), "{text}");
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
    fn a_file_that_cannot_be_read_does_not_keep_those_of_other_clients() {
        let home = home();
        fs::write(home.path().join(".claude.json"), "{ \"mcpServers\": [ }").unwrap();
        assert_eq!(tried(home.path(), &[]).0, Exit::Ok);
        assert!(own(home.path()).unwrap().contains("my-git"));
        assert_eq!(tried(home.path(), &["--from", "claude-code"]).0, Exit::Config);
    }

    #[test]
    fn where_there_is_nothing_to_take_over_nothing_is_written() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(tried(home.path(), &[]).0, Exit::Fault);
        for from in ["cursor", "curser", "not-there.json"] {
            assert_eq!(tried(home.path(), &["--from", from]).0, Exit::Fault);
        }
        assert_eq!(own(home.path()), None);
    }
}
