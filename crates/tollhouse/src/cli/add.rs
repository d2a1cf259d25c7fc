//! `tollhouse add`: puts a server into the configuration.
//!
//! The words are those of `claude mcp add`, so that a line from a server's instructions works with the first two words
//! replaced. Secrets are not taken as they are: a configuration is copied, shown and kept in repositories.

use std::io::Write;

use anyhow::Context as _;
use clap::Parser as _;
use serde_json::json;
use tollhouse_core::ids::ServerId;
use tollhouse_proxy::settings::OverHttp;

use super::Common;
use crate::config::env::{Environment, Process};
use crate::config::{Code, Finding, Report, Written, slug};
use crate::exit::Exit;
use crate::setup::Refusal;
use crate::setup::change::{Current, Fault, no_edit};
use crate::setup::edit::{HEADER, insert};
use crate::setup::entry::block;

/// What `add` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse add time -- uvx mcp-server-time                     a command that is started
  tollhouse add search https://search.example/mcp               a URL
  tollhouse add github -e 'GITHUB_TOKEN=${GITHUB_TOKEN}' -- npx -y @modelcontextprotocol/server-github
                                                                with a variable of your environment
  tollhouse add wiki --url https://wiki.example/mcp -H 'Authorization: Bearer ${WIKI_TOKEN}'
                                                                with a header"
)]
pub(crate) struct Args {
    /// What it is called: 1 to 24 of a-z, 0-9 and -
    pub(crate) name: String,
    /// The command and its arguments, best after `--`; or the URL alone
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub(crate) rest: Vec<String>,
    /// The URL of a server that is called and not started
    #[arg(long, conflicts_with = "rest")]
    pub(crate) url: Option<String>,
    /// Whether it is started or called [default: called if a URL is given]
    #[arg(short, long, value_enum)]
    pub(crate) transport: Option<Way>,
    /// A variable for the command; repeatable
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// A header sent to the URL; repeatable
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
}

/// What may stand behind a URL, where it would otherwise be taken for arguments.
#[derive(Debug, clap::Parser)]
#[command(name = "tollhouse add NAME URL", disable_help_flag = true)]
struct Behind {
    #[command(flatten)]
    common: Common,
    #[arg(short, long, value_enum)]
    transport: Option<Way>,
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
}

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Way {
    /// Started; it speaks on its standard input and output
    Stdio,
    /// Called over streamable HTTP, or whatever is found at the URL
    #[value(alias = "streamable-http")]
    Http,
    /// Called over HTTP+SSE, which came before it
    Sse,
}

impl Way {
    fn is_called(self) -> bool {
        matches!(self, Self::Http | Self::Sse)
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write `NAME=VALUE`".to_owned()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err("write `NAME: VALUE`".to_owned()),
    }
}

/// Adds the server, or says why not.
pub(crate) fn run(common: &Common, args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    match in_front(common, args) {
        Ok((common, args)) => add(&common, &args, &Process, out),
        Err(error) => {
            // Without a standard error the exit code still tells it.
            let _ = error.print();
            Ok(Exit::Usage)
        }
    }
}

/// The arguments with those behind a URL moved to where they belong: `add NAME URL -H …` is how instructions write it.
fn in_front(common: &Common, args: &Args) -> Result<(Common, Args), clap::Error> {
    let (mut common, mut args) = (common.clone(), args.clone());
    let url = |text: &String| {
        text.starts_with("http://") || text.starts_with("https://") || args.transport.is_some_and(Way::is_called)
    };
    if args.rest.len() > 1 && args.rest.first().is_some_and(url) {
        let words = args.rest.split_off(1);
        let behind = Behind::try_parse_from(["tollhouse add NAME URL".to_owned()].into_iter().chain(words))?;
        common.config = behind.common.config.or(common.config);
        common.json |= behind.common.json;
        args.transport = behind.transport.or(args.transport);
        args.env.extend(behind.env);
        args.header.extend(behind.header);
    }
    Ok((common, args))
}

fn add(common: &Common, args: &Args, env: &dyn Environment, out: &mut impl Write) -> anyhow::Result<Exit> {
    let path = super::own_configuration(common, env)?;
    let planned = server(args).and_then(|server| Current::read(&path).map(|current| (server, current)));
    let (server, current) = match planned {
        Ok(planned) => planned,
        Err(refusal) => return Ok(refusal.told()),
    };
    if current.outline.servers.iter().any(|(_, known)| known.name == server.name) {
        let refusal = Refusal::new(
            Exit::Fault,
            format_args!("there is a server `{}` already", server.name),
            &format!("in {}", path.display()),
            &format!("choose another name, or `tollhouse remove {}` first", server.name),
        );
        return Ok(refusal.told());
    }
    let before = if current.text().is_empty() { HEADER.to_owned() } else { current.text().to_owned() };
    let changed = match insert(&path, &before, &server) {
        Ok(changed) => changed,
        Err(why) => {
            let by_hand = format!("write it yourself:\n{}", block(&server, 2));
            return Ok(no_edit(&path, why, by_hand.trim_end()).told());
        }
    };
    let notes = match current.write(&changed, env) {
        Ok(notes) => notes,
        Err(Fault::Refused(report)) => return Ok(refused(&server.name, report).told()),
        Err(Fault::Write(error)) => return Err(error),
    };
    if common.json {
        writeln!(out, "{}", json!({"added": server.name, "file": path})).context("write the answer")?;
    } else {
        writeln!(out, "added `{}` to {}", server.name, path.display()).context("write the answer")?;
    }
    for note in notes {
        // Nobody reads it: the file is written all the same.
        let _ = writeln!(std::io::stderr(), "note: {}; set it where Tollhouse is started", note.found);
    }
    Ok(Exit::Ok)
}

/// The server that the arguments describe.
fn server(args: &Args) -> Result<Written, Refusal> {
    let usage = |found: String, detail: &str, hint: &str| Refusal::new(Exit::Usage, found, detail, hint);
    if let Err(error) = ServerId::new(&args.name) {
        let hint = slug(&args.name).map_or_else(|_| "choose another".to_owned(), |slug| format!("write `{slug}`"));
        return Err(usage(format!("`{}` cannot be the name of a server", args.name), &error.to_string(), &hint));
    }
    let mut server = Written { name: args.name.clone(), ..Written::default() };
    let is_url = |text: &String| text.starts_with("http://") || text.starts_with("https://");
    let url = args.url.clone().or_else(|| match (args.transport, args.rest.as_slice()) {
        (Some(Way::Http | Way::Sse), [url]) => Some(url.clone()),
        (None, [url]) if is_url(url) => Some(url.clone()),
        _ => None,
    });
    match (url, args.transport, args.rest.as_slice()) {
        (Some(_), Some(Way::Stdio), _) => {
            return Err(usage("a server at a URL is not started".to_owned(), "", "leave out `--transport stdio`"));
        }
        (Some(url), way, _) => {
            server.url = Some(url);
            server.transport = (way == Some(Way::Sse)).then_some(OverHttp::Sse);
        }
        (None, Some(Way::Http | Way::Sse), _) => {
            return Err(usage("no URL is given".to_owned(), "", &format!("tollhouse add {} --url URL", args.name)));
        }
        (None, _, []) => {
            let hint = format!("tollhouse add {0} -- COMMAND ARGUMENTS, or tollhouse add {0} --url URL", args.name);
            return Err(usage(format!("nothing says how `{}` is reached", args.name), "", &hint));
        }
        (None, _, [command, rest @ ..]) => {
            server.command = Some(command.clone());
            server.args = rest.to_vec();
        }
    }
    if server.url.is_some() && !args.env.is_empty() {
        return Err(usage(
            "a variable is for a server that is started".to_owned(),
            "this one has a URL",
            "leave out `--env`",
        ));
    }
    if server.command.is_some() && !args.header.is_empty() {
        return Err(usage(
            "a header is for a server with a URL".to_owned(),
            "this one has a command",
            "leave out `--header`",
        ));
    }
    server.env.clone_from(&args.env);
    server.headers.clone_from(&args.header);
    Ok(server)
}

/// What is told when the configuration would not be one any more. What is wrong was given here and stands in no file.
fn refused(name: &str, report: Report) -> Refusal {
    let told = |mut finding: Finding| {
        (finding.file, finding.place) = (String::new(), None);
        if finding.code == Code::LiteralSecret && finding.found.contains("written out") {
            finding.detail("a configuration is copied and shown; a secret is named in it").hint(
                "set it as a variable where Tollhouse is started, and write `${NAME}` in its place, in single quotes",
            );
        }
        finding
    };
    let (mine, others): (Vec<_>, Vec<_>) = report.findings.into_iter().partition(|finding| {
        finding.place.as_ref().is_some_and(|place| place.path.starts_with(&format!("servers.{name}")))
    });
    Refusal::from(Report { findings: mine.into_iter().map(told).chain(others).collect() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::cli::{Cli, Verb};

    fn run(home: &Path, words: &[&str]) -> (Exit, String) {
        let cli =
            Cli::try_parse_from(["tollhouse", "add"].iter().chain(words)).unwrap_or_else(|error| panic!("{error}"));
        let Verb::Add(args) = cli.verb else { panic!("it is `add`") };
        let home = home.to_str().unwrap();
        let env = BTreeMap::from([("HOME", home), ("SET", "x")]);
        let mut out = Vec::new();
        let Ok((common, args)) = in_front(&cli.common, &args) else { return (Exit::Usage, String::new()) };
        let exit = add(&common, &args, &env, &mut out).unwrap();
        (exit, String::from_utf8(out).unwrap())
    }

    fn own(home: &Path) -> String {
        fs::read_to_string(home.join(".config/tollhouse/tollhouse.yaml")).unwrap_or_default()
    }

    #[test]
    fn the_first_server_makes_the_file_and_the_next_stand_below_it() {
        let home = tempfile::tempdir().unwrap();
        let (exit, said) = run(home.path(), &["time", "--", "uvx", "mcp-server-time", "--local-timezone", "UTC"]);
        assert!(exit == Exit::Ok && said.starts_with("added `time` to "), "{said}");
        run(home.path(), &["search", "https://search.example/mcp", "--json"]);
        run(home.path(), &["-e", "A=${SET}", "-e", "B=2=3", "git", "npx", "-y", "git"]);
        run(home.path(), &["--transport", "http", "wiki", "https://w.example/${SET}", "-H", "X-Team: a: b"]);
        run(home.path(), &["--transport", "sse", "old", "https://o.example/sse", "-H", "X-Team: c"]);
        let expected = "
servers:
  time:
    command: uvx
    args: [mcp-server-time, --local-timezone, UTC]
  search:
    url: https://search.example/mcp
  git:
    command: npx
    args: [-y, git]
    env:
      A: \"${SET}\"
      B: \"2=3\"
  wiki:
    url: \"https://w.example/${SET}\"
    headers:
      X-Team: \"a: b\"
  old:
    url: https://o.example/sse
    transport: sse
    headers:
      X-Team: c
";
        assert_eq!(own(home.path()), format!("{HEADER}{expected}"));
    }

    #[test]
    fn with_a_url_headers_are_kept_and_a_variable_that_is_not_set_is_no_obstacle() {
        let home = tempfile::tempdir().unwrap();
        let (exit, _) =
            run(home.path(), &["--url", "https://w.example/mcp", "wiki", "-H", "Authorization: Bearer ${NOT_SET}"]);
        assert_eq!(exit, Exit::Ok);
        assert!(own(home.path()).ends_with(
            "  wiki:\n    url: https://w.example/mcp\n    headers:\n      Authorization: \"Bearer ${NOT_SET}\"\n"
        ));
    }

    #[test]
    fn what_cannot_be_added_leaves_the_file_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        run(home.path(), &["time", "--", "uvx", "mcp-server-time"]);
        let before = own(home.path());
        for (words, exit) in [
            (&["time", "--", "uvx", "other"][..], Exit::Fault),
            (&["Bad_Name", "--", "x"], Exit::Usage),
            (&["tollhouse", "--", "x"], Exit::Usage),
            (&["nothing"], Exit::Usage),
            (&["a", "--transport", "http", "--", "x", "y"], Exit::Usage),
            (&["a", "--transport", "sse", "--", "x", "y"], Exit::Usage),
            (&["a", "--transport", "stdio", "--url", "http://a/mcp"], Exit::Usage),
            (&["a", "-H", "X: y", "--", "x"], Exit::Usage),
            (&["a", "https://a.example/mcp", "--hedaer", "X: y"], Exit::Usage),
            (&["a", "-e", "X=y", "http://a/mcp"], Exit::Usage),
            (&["a", "-e", "GITHUB_TOKEN=canary", "--", "x"], Exit::Config),
            (&["a", "--url", "http://a/mcp", "-H", "Authorization: Bearer canary"], Exit::Config),
            (&["a", "--", "x", "--token", "sk-canary0123456789abcdef"], Exit::Config),
            (&["a", "--url", "ftp://a"], Exit::Config),
            (&["a", "--", "x", "${"], Exit::Config),
        ] {
            assert_eq!((run(home.path(), words).0, own(home.path())), (exit, before.clone()), "{words:?}");
        }
    }

    #[test]
    fn a_refused_secret_is_not_shown_and_the_hint_says_what_to_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.yaml");
        let text = format!("{HEADER}\nservers:\n  a:\n    command: x\n    env:\n      API_TOKEN: canary\n");
        let current = Current::read(&path).unwrap_or_else(|refusal| panic!("{refusal}"));
        let Err(Fault::Refused(report)) = current.write(&text, &BTreeMap::new()) else { panic!("it is refused") };
        let told = refused("a", report).to_string();
        assert!(!told.contains("canary") && told.contains("`${NAME}`") && !told.contains("t.yaml"), "{told}");
        assert!(told.contains("servers.a.env.API_TOKEN"), "{told}");
    }

    #[test]
    fn a_slip_in_an_option_is_not_taken_for_the_command() {
        assert!(Cli::try_parse_from(["tollhouse", "add", "a", "--transprot", "http", "x"]).is_err());
        assert!(Cli::try_parse_from(["tollhouse", "add", "a", "-e", "novalue", "--", "x"]).is_err());
    }

    #[test]
    fn a_clients_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".mcp.json");
        let text = r#"{ "mcpServers": {} }"#;
        fs::write(&path, text).unwrap();
        assert_eq!(run(folder.path(), &["--config", path.to_str().unwrap(), "a", "--", "x"]).0, Exit::Fault);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
