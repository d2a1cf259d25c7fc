//! `tollhouse list`: the servers of the configuration, as they are written.
//!
//! Nothing is started and no variable looked up, so it shows no secret that the file does not hold; values of
//! variables and headers are left out altogether. How the servers do is asked with `tollhouse status`.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;
use tollhouse_proxy::settings::OverHttp;

use super::Common;
use crate::config::{Written, outline, secret, text, without_controls};
use crate::exit::Exit;

/// What `list` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse list                     the servers of your own configuration
  tollhouse list --config .mcp.json  those of a client's file
  tollhouse list --json              for a script, one object a line"
)]
pub(crate) struct Args {}

/// Writes the list.
pub(crate) fn run(common: &Common, out: &mut impl Write) -> anyhow::Result<Exit> {
    let Some(path) = super::configuration(common, "list")? else { return Ok(Exit::Config) };
    list(common, &path, out)
}

fn list(common: &Common, path: &Path, out: &mut impl Write) -> anyhow::Result<Exit> {
    let outline = match text(path).and_then(|text| outline(path, &text)) {
        Ok(outline) => outline,
        Err(report) => return Ok(crate::run::refused(&report)),
    };
    let servers: Vec<&Written> = outline.servers.iter().map(|(_, server)| server).collect();
    if common.json {
        for server in servers {
            writeln!(out, "{}", object(server)).context("write the list")?;
        }
        return Ok(Exit::Ok);
    }
    if servers.is_empty() {
        // Without a standard error the empty list still tells it.
        let _ = writeln!(std::io::stderr(), "{} has no server\nhint: `tollhouse add` puts one into it", path.display());
        return Ok(Exit::Ok);
    }
    let width = servers.iter().map(|server| server.name.len()).fold("server".len(), usize::max);
    writeln!(out, "{:width$}  transport  command or URL", "server").context("write the list")?;
    for server in servers {
        writeln!(out, "{:width$}  {:9}  {}", server.name, transport(server), reach(server))
            .context("write the list")?;
    }
    Ok(Exit::Ok)
}

pub(super) fn transport(server: &Written) -> &'static str {
    match (&server.url, server.transport) {
        (None, _) => "stdio",
        (Some(_), Some(OverHttp::Sse)) => "sse",
        (Some(_), Some(OverHttp::Streamable) | None) => "http",
    }
}

/// The URL, or the command as one would type it, on one line.
pub(super) fn reach(server: &Written) -> String {
    let words = server.url.iter().chain(&server.command).chain(&server.args);
    let word = |word: &String| {
        let shown = without_controls(&without_secret(word));
        if shown.is_empty() || shown.contains(char::is_whitespace) { format!("\"{shown}\"") } else { shown }
    };
    words.map(word).collect::<Vec<_>>().join(" ")
}

/// A client's file may hold secrets in arguments and URLs; they are not shown.
fn without_secret(word: &str) -> String {
    let user =
        word.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|host| host.contains('@')));
    let named = word.split_once('=').is_some_and(|(name, value)| secret::named(name) && !value.starts_with("${"));
    if user || named || secret::formed(word) { "[REDACTED]".to_owned() } else { word.to_owned() }
}

fn object(server: &Written) -> serde_json::Value {
    let names = |pairs: &[(String, String)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    json!({
        "server": server.name,
        "transport": transport(server),
        "command": server.command,
        "args": server.args.iter().map(|arg| without_secret(arg)).collect::<Vec<_>>(),
        "url": server.url.as_deref().map(without_secret),
        "env": names(&server.env),
        "headers": names(&server.headers),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn listed(name: &str, content: &str, json: bool) -> (Exit, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let mut out = Vec::new();
        let exit = list(&Common { json, ..Common::default() }, &path, &mut out).unwrap();
        (exit, String::from_utf8(out).unwrap())
    }

    const YAML: &str = "servers:\n  time: { command: uvx, args: [mcp-server-time, a b], env: { K: \"${NOT_SET}\" } }\n  \
                        search: { url: https://s.example/mcp, headers: { X-Team: blue } }\n  \
                        old: { url: https://o.example/sse, transport: sse }\n";

    #[test]
    fn servers_are_listed_in_the_order_of_the_file_with_no_variable_looked_up() {
        let expected = "server  transport  command or URL\n\
                        time    stdio      uvx mcp-server-time \"a b\"\n\
                        search  http       https://s.example/mcp\n\
                        old     sse        https://o.example/sse\n";
        assert_eq!(listed("t.yaml", YAML, false), (Exit::Ok, expected.to_owned()));
    }

    #[test]
    fn as_json_each_is_an_object_a_line_and_values_of_variables_and_headers_are_left_out() {
        let (_, text) = listed("t.yaml", YAML, true);
        let objects: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((objects[0]["env"][0].as_str(), objects[1]["headers"][0].as_str()), (Some("K"), Some("X-Team")));
        assert!(!text.contains("NOT_SET") && !text.contains("blue"), "{text}");
    }

    #[test]
    fn a_clients_file_is_listed_with_the_ids_its_servers_get_here() {
        let (exit, text) = listed("c.json", r#"{ "mcpServers": { "My Files": { "command": "npx" } } }"#, false);
        assert!(exit == Exit::Ok && text.contains("my-files  stdio      npx"), "{text}");
    }

    #[test]
    fn secrets_that_a_clients_file_holds_are_not_shown() {
        let file = r#"{ "mcpServers": { "a": { "command": "x", "args": ["sk-canary0123456789abcdef", "--api-key=canary", "--n=1"] },
                                        "b": { "url": "https://me:canary@b.example/mcp" } } }"#;
        for json in [false, true] {
            let (_, text) = listed("c.json", file, json);
            assert!(!text.contains("canary") && text.contains("--n=1"), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_none_ends_with_78() {
        assert_eq!(listed("t.yaml", "servers: [", false), (Exit::Config, String::new()));
        assert_eq!(listed("t.yaml", "servers:\n", false), (Exit::Ok, String::new()));
    }
}
