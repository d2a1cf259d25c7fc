//! The entry that leads a client to Tollhouse, as the client writes its entries.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::clients::Client;
use super::layout::Form;
use super::names::refers;
use crate::config::env::Environment;

/// What it is called in a client's file.
pub(crate) const NAME: &str = "tollhouse";

/// The way from a client to Tollhouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Way {
    /// The client starts `tollhouse stdio`
    Stdio,
    /// The client calls a gateway that runs: `tollhouse serve`
    Url,
}

/// The entry, with what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pointer {
    /// Our program, its configuration, and variables as the client's file has them.
    Stdio { program: String, config: String, variables: BTreeMap<String, String> },
    /// Where a gateway serves all servers.
    Url(String),
}

impl Pointer {
    /// The text of the entry.
    pub(crate) fn text(&self, client: Client, form: &Form) -> String {
        let members = self.members(client);
        match form {
            Form::Json { indent: None } => format!("{}: {}", json!(NAME), in_braces(&members)),
            Form::Json { indent: Some((indent, unit)) } => {
                format!("{}: {}", json!(NAME), on_lines(&members, &format!("{indent}{unit}"), indent, unit))
            }
            Form::Header => {
                let lines = members.iter().map(|(key, value)| format!("\n{key} = {}", value.toml()));
                format!("[mcp_servers.{NAME}]{}", lines.collect::<String>())
            }
            Form::Inline => {
                let pairs = members.iter().map(|(key, value)| format!("{key} = {}", value.toml()));
                format!("{NAME} = {{ {} }}", joined(pairs))
            }
        }
    }

    /// What the entry says, in the order in which people write it.
    fn members(&self, client: Client) -> Vec<(&'static str, Member)> {
        let text = |text: &str| Member::Text(text.to_owned());
        match self {
            Self::Url(url) => match client {
                Client::ClaudeCode | Client::VsCode => vec![("type", text("http")), ("url", text(url))],
                Client::Cursor | Client::Codex | Client::ClaudeDesktop => vec![("url", text(url))],
                Client::Windsurf => vec![("serverUrl", text(url))],
                Client::Gemini => vec![("httpUrl", text(url))],
            },
            Self::Stdio { program, config, variables } => {
                let kind = (client == Client::VsCode).then(|| ("type", text("stdio")));
                let args = ["stdio", "--config", config].map(str::to_owned).to_vec();
                // Codex fills nothing in, but passes on the variables that are named.
                let passed = |value: &str| client == Client::Codex && refers(value);
                let (named, written): (Vec<_>, Vec<_>) =
                    variables.clone().into_iter().partition(|(_, value)| passed(value));
                let named: Vec<String> = named.into_iter().map(|(name, _)| name).collect();
                let env = (!written.is_empty()).then_some(("env", Member::Map(written)));
                let env_vars = (!named.is_empty()).then_some(("env_vars", Member::List(named)));
                let own = [("command", text(program)), ("args", Member::List(args))];
                kind.into_iter().chain(own).chain(env).chain(env_vars).collect()
            }
        }
    }
}

/// A value in the entry.
enum Member {
    Text(String),
    List(Vec<String>),
    Map(Vec<(String, String)>),
}

impl Member {
    fn json(&self) -> String {
        match self {
            Self::Text(text) => json!(text).to_string(),
            Self::List(list) => format!("[{}]", joined(list.iter().map(|text| json!(text).to_string()))),
            Self::Map(map) => {
                format!("{{ {} }}", joined(map.iter().map(|(k, v)| format!("{}: {}", json!(k), json!(v)))))
            }
        }
    }

    /// On one line. A basic string of TOML has the escapes of JSON, and wants DEL escaped too.
    fn toml(&self) -> String {
        let string = |text: &str| json!(text).to_string().replace('\u{7f}', "\\u007f");
        let bare =
            |key: &str| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') && !key.is_empty();
        let key = |key: &str| if bare(key) { key.to_owned() } else { string(key) };
        match self {
            Self::Text(text) => string(text),
            Self::List(list) => format!("[{}]", joined(list.iter().map(|text| string(text)))),
            Self::Map(map) => {
                format!("{{ {} }}", joined(map.iter().map(|(k, v)| format!("{} = {}", key(k), string(v)))))
            }
        }
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn in_braces(members: &[(&str, Member)]) -> String {
    format!("{{ {} }}", joined(members.iter().map(|(key, value)| format!("{}: {}", json!(key), value.json()))))
}

/// Each member on a line of its own, and each of a map in it; lists on one line, as people write them.
fn on_lines(members: &[(&str, Member)], inner: &str, indent: &str, unit: &str) -> String {
    let line = |(key, value): &(&str, Member)| {
        let value = match value {
            Member::Map(map) => {
                let lines = map.iter().map(|(k, v)| format!("\n{inner}{unit}{}: {}", json!(k), json!(v)));
                format!("{{{}\n{inner}}}", lines.collect::<Vec<_>>().join(","))
            }
            Member::Text(_) | Member::List(_) => value.json(),
        };
        format!("\n{inner}{}: {value}", json!(key))
    };
    format!("{{{}\n{indent}}}", members.iter().map(line).collect::<Vec<_>>().join(","))
}

/// How our program is best named: by the path under which a shell finds it, if that is this program, since the path
/// of the file itself may carry a version.
pub(crate) fn program(env: &dyn Environment) -> Option<String> {
    let own = std::env::current_exe().ok()?;
    let real = std::fs::canonicalize(&own).ok()?;
    let path = env.var("PATH").unwrap_or_default();
    let name = own.file_name()?.to_owned();
    let found = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(&name))
        .find(|file| std::fs::canonicalize(file).is_ok_and(|file| file == real));
    found.unwrap_or(own).to_str().map(str::to_owned)
}

/// A path that means the same wherever the client starts us.
pub(crate) fn absolute(path: &Path) -> Option<String> {
    std::path::absolute(path).ok()?.to_str().map(str::to_owned)
}
