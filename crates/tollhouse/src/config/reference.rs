//! The JSON Schema of `tollhouse.yaml`, and the reference page made from it.
//!
//! Both come from the structs that read the file, so they cannot say anything else than the program does.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::blocks::File;

/// The JSON Schema (2020-12) of `tollhouse.yaml`, for editors.
pub(crate) fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<File>();
    schema.insert("title".to_owned(), "tollhouse.yaml".into());
    schema.to_value()
}

/// The page `docs/reference/configuration.md`.
pub(crate) fn reference() -> String {
    let schema = schema();
    let mut page = String::from(HEAD);
    section(&mut page, "", &schema, &schema);
    page
}

const HEAD: &str = "# Configuration

<!-- Generated from the types in `crates/tollhouse/src/config/blocks.rs`. -->

Tollhouse reads one file: its own, `tollhouse.yaml`, whose keys are below, or an MCP client's, if its name ends in
`.json`, `.jsonc` or `.toml`. Every mistake in it is reported at once, with its place, and nothing is started.

- A *duration* has a unit: `500ms`, `30s`, `5min`, `1.5h`, `2d`. A *size* too: `64KiB`, `10MiB`, `1GiB`. Keys that
  end in `_ms` are plain numbers of milliseconds.
- Unknown keys are errors, and so are keys that a later version will have.
- From a client's file the servers are taken: `mcpServers`, `servers` or, in the TOML of Codex, `mcp_servers`, with `type` (`stdio`, `http`,
  `streamable-http`, `sse`; also `transport`), `command`, `args`, `env`, `cwd`, `url` (also `httpUrl`, `serverUrl`), `headers`, and
  `disabled: true`; from Codex also `enabled`, `env_vars`, `http_headers`, `env_http_headers`,
  `bearer_token_env_var`, `startup_timeout_sec`. Comments and trailing commas are fine, unknown keys are named in a warning. A name that is no
  server id becomes one: small letters, `-` for other characters, 24 at most.
- A secret written out in `tollhouse.yaml` is refused unless the server has `allow_literal_secrets: true`; in a
  client's file it is taken, with a warning.
";

/// Writes the table of one block, then those of the blocks in it.
fn section(page: &mut String, path: &str, block: &Value, root: &Value) {
    let title = if path.is_empty() { "Top level".to_owned() } else { format!("`{path}`") };
    let _ = write!(page, "\n## {title}\n\n{}\n\n", text(block, "description"));
    page.push_str("| Key | Type | Default | Meaning |\n|---|---|---|---|\n");
    let mut keys: Vec<(&String, &Value)> = block["properties"].as_object().into_iter().flatten().collect();
    keys.sort_by_key(|(_, property)| property["x-order"].as_u64());
    for (key, property) in &keys {
        let default = match &property["default"] {
            Value::Null => "–".to_owned(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let meaning = text(property, "description").replace('|', "\\|");
        let _ = writeln!(page, "| `{key}` | {} | {default} | {meaning} |", kind(property));
    }
    for (key, property) in keys {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let below = [
            (path.clone(), property),
            (format!("{path}.<id>"), &property["additionalProperties"]),
            (format!("{path}[]"), &property["items"]),
        ];
        for (path, schema) in below {
            if let Some(block) = referred(schema, root) {
                section(page, &path, block, root);
            }
        }
    }
}

/// The block that `schema` refers to.
fn referred<'a>(schema: &Value, root: &'a Value) -> Option<&'a Value> {
    root.pointer(schema["$ref"].as_str()?.strip_prefix('#')?)
}

/// The kind of value in words.
fn kind(schema: &Value) -> String {
    if schema["$ref"].is_string() {
        return "block".to_owned();
    }
    if let Some(words) = schema["enum"].as_array() {
        return words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if schema["items"].is_object() {
        return format!("list of {}", plural(&schema["items"]));
    }
    if schema["additionalProperties"].is_object() {
        return format!("map of {}", plural(&schema["additionalProperties"]));
    }
    let name = schema["title"].as_str().or(schema["type"].as_str()).unwrap_or("value");
    match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
        (Some(min), Some(max)) => format!("{name}, {min} to {max}"),
        _ => name.to_owned(),
    }
}

fn plural(schema: &Value) -> String {
    let kind = kind(schema);
    if kind == "text" { "texts".to_owned() } else { format!("{kind}s") }
}

fn text<'a>(schema: &'a Value, key: &str) -> &'a str {
    schema[key].as_str().unwrap_or_default()
}
