//! The configuration as it is in force, for people: every key with its value, as it is written, and where that comes from.
//!
//! What is written comes from the file's own tree, what is not from the schema, so that neither can say anything else
//! than the program does. No secret gets here: a value that could be one is shown by the variable it is in.

use std::path::Path;

use serde_json::Value;
use tollhouse_core::redact;
use tollhouse_web::{Origin, Setting};

use super::finding::Findings;
use super::node::{Content, Node};
use super::{expand, schema, secret, tree};

/// Stands for what is written and not shown.
const HIDDEN: &str = "•••";
/// Keys below which every value may be a secret.
const CLOSED: [&str; 5] = ["env", "headers", "http_headers", "env_http_headers", "client_secret"];
/// Beginnings of variables that the program reads.
const PREFIXES: [&str; 3] = ["OTEL_", "MCP_", "TOLLHOUSE_"];

/// All settings of the file at `path`, whose text is `text`; of one that cannot be read, none.
pub(super) fn effective(path: &Path, text: &str) -> Vec<Setting> {
    let mut findings = Findings::about(path.display().to_string());
    let Some(root) = tree(path, text, &mut findings) else { return Vec::new() };
    let file = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut settings = Vec::new();
    if super::is_client_file(path, text) {
        written(&file, &root, &mut settings);
    } else {
        let schema = schema();
        block(&file, "", Some(&root), &schema, &schema, &mut settings);
    }
    settings
}

/// Settings of a gateway without a file.
pub(crate) fn defaults() -> Vec<Setting> {
    let (schema, mut settings) = (schema(), Vec::new());
    block("", "", None, &schema, &schema, &mut settings);
    settings
}

/// Variables of the environment that the program reads, and what they say.
pub(crate) fn variables(variables: impl Iterator<Item = (String, String)>) -> Vec<Setting> {
    let ours = variables.filter(|(name, _)| PREFIXES.iter().any(|prefix| name.starts_with(prefix)));
    let mut settings: Vec<Setting> = ours
        .map(|(name, value)| {
            let closed = secret::named(&name) || name.ends_with("_HEADERS");
            Setting {
                value: if closed { HIDDEN.to_owned() } else { redact::text(&value).into_owned() },
                place: name.clone(),
                key: format!("environment.{name}"),
                origin: Origin::Environment,
            }
        })
        .collect();
    settings.sort_by(|a, b| a.key.cmp(&b.key));
    settings
}

/// The keys of one block: those that `node` has as written, the others by their defaults.
fn block(file: &str, path: &str, node: Option<&Node>, schema: &Value, root: &Value, settings: &mut Vec<Setting>) {
    let entries = match node.map(|node| &node.content) {
        Some(Content::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    let mut keys: Vec<(&String, &Value)> = schema["properties"].as_object().into_iter().flatten().collect();
    keys.sort_by_key(|(_, property)| property["x-order"].as_u64());
    for (key, property) in keys {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let entry = entries.iter().find(|entry| entry.key.value == *key).map(|entry| &entry.node);
        let refers = |schema: &Value| root.pointer(schema["$ref"].as_str()?.strip_prefix('#')?);
        if let Some(below) = refers(property) {
            block(file, &path, entry, below, root, settings);
        } else if let Some(below) = refers(&property["additionalProperties"]) {
            let Some(Content::Map(entries)) = entry.map(|node| &node.content) else { continue };
            for entry in entries {
                block(file, &format!("{path}.{}", entry.key.value), Some(&entry.node), below, root, settings);
            }
        } else if let Some(node) = entry {
            written(file, node, settings);
        } else if !property["default"].is_null() {
            let default = &property["default"];
            let value = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
            settings.push(Setting { key: path, value, origin: Origin::Default, place: String::new() });
        }
    }
}

/// A value as it is written, and all below it.
fn written(file: &str, node: &Node, settings: &mut Vec<Setting>) {
    match &node.content {
        Content::Map(entries) => {
            for entry in entries {
                written(file, &entry.node, settings);
            }
        }
        Content::List(nodes) if nodes.iter().any(|node| node.scalar().is_none()) => {
            for node in nodes {
                written(file, node, settings);
            }
        }
        Content::List(nodes) => {
            let shown: Vec<_> =
                nodes.iter().map(|item| shown(&node.place.path, item.scalar().unwrap_or_default())).collect();
            push(file, node, format!("[{}]", shown.join(", ")), settings);
        }
        Content::Nothing | Content::Bool(..) | Content::Number(_) | Content::Text(_) => {
            let value = shown(&node.place.path, node.scalar().unwrap_or_default());
            push(file, node, value, settings);
        }
    }
}

fn push(file: &str, node: &Node, value: String, settings: &mut Vec<Setting>) {
    let at = format!("{file}:{}:{}", node.place.line, node.place.column);
    let names: Vec<&str> = node.scalar().into_iter().flat_map(expand::variables).collect();
    let (origin, place) = match names.as_slice() {
        [] => (Origin::File, at),
        names => (Origin::Environment, format!("{}, named in {at}", names.join(", "))),
    };
    settings.push(Setting { key: node.place.path.clone(), value, origin, place });
}

/// A scalar as it may be shown: where a secret may stand, only the names of variables.
fn shown(path: &str, text: &str) -> String {
    let mut keys = path.split(['.', '[', ']', '"']).filter(|key| !key.is_empty());
    let name = path.rsplit('.').next().unwrap_or_default();
    let closed = keys.any(|key| CLOSED.contains(&key)) || secret::named(name) || redact::sensitive(name);
    if !closed {
        return redact::text(text).into_owned();
    }
    let names: Vec<String> = expand::variables(text).map(|name| format!("${{{name}}}")).collect();
    if names.is_empty() { HIDDEN.to_owned() } else { names.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Vec<String> {
        let line = |setting: Setting| {
            format!(
                "{} = {} ({}{}{})",
                setting.key,
                setting.value,
                setting.origin.as_str(),
                if setting.place.is_empty() { "" } else { " " },
                setting.place
            )
        };
        effective(Path::new(name), text).into_iter().map(line).collect()
    }

    #[test]
    fn what_is_written_has_its_place_and_what_is_not_its_default() {
        let found = of(
            "tollhouse.yaml",
            "listen: 127.0.0.1:7000\nservers:\n  files:\n    command: npx\n    args: [-y, server]\n",
        );
        assert!(found.contains(&"listen = 127.0.0.1:7000 (file tollhouse.yaml:1:9)".to_owned()), "{found:#?}");
        assert!(
            found.contains(&"servers.files.args = [-y, server] (file tollhouse.yaml:5:5)".to_owned()),
            "{found:#?}"
        );
        assert!(found.iter().any(|line| line.starts_with("admin = 127.0.0.1:7071 (default")), "{found:#?}");
        assert!(
            found.iter().any(|line| line.starts_with("servers.files.") && line.ends_with("(default)")),
            "{found:#?}"
        );
    }

    #[test]
    fn no_secret_is_shown_only_where_it_is() {
        let text = "servers:\n  api:\n    url: https://u:hunter22@a.example/mcp?token=hunter22\n    allow_literal_secrets: true\n    headers:\n      Authorization: Bearer hunter22\n      X-Team: ${TEAM}\n";
        let found = of("tollhouse.yaml", text).join("\n");
        assert!(!found.contains("hunter22"), "{found}");
        assert!(found.contains("Authorization = ••• (file tollhouse.yaml:6:"), "{found}");
        assert!(found.contains("X-Team = ${TEAM} (environment TEAM, named in tollhouse.yaml:7:"), "{found}");
        let client =
            of("mcp.json", r#"{"mcpServers":{"a":{"command":"x","env":{"API_KEY":"hunter22","N":"hunter22"}}}}"#)
                .join("\n");
        assert!(!client.contains("hunter22") && client.contains("mcpServers.a.command = x"), "{client}");
    }

    #[test]
    fn variables_that_are_read_are_told_and_those_of_secrets_hidden() {
        let given = [("OTEL_EXPORTER_OTLP_HEADERS", "a=hunter22"), ("HOME", "/root"), ("MCP_LOG_LEVEL", "debug")];
        let found = variables(given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        let told: Vec<_> = found.iter().map(|setting| (&*setting.key, &*setting.value)).collect();
        assert_eq!(told, [("environment.MCP_LOG_LEVEL", "debug"), ("environment.OTEL_EXPORTER_OTLP_HEADERS", HIDDEN)]);
    }
}
