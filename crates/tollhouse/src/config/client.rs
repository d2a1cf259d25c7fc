//! A client's own file → the servers named in it, as if they were written in `tollhouse.yaml`.
//!
//! Clients write `mcpServers`, `servers` or `mcp_servers`, each with keys of its own. What we do not know is named in a warning
//! and left alone, since the file belongs to the client; what we cannot serve is left out with a warning, so that
//! the rest works.
//!
//! ```jsonc
//! { "mcpServers": { "files": { "command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "."] } } }
//! ```

use tollhouse_core::ids::{ServerId, ServerIdError};
use tollhouse_proxy::settings::OverHttp;

use super::block::{List, Map, Value, entries, wrong_type};
use super::blocks::{Server, Timeouts};
use super::finding::{Code, Findings};
use super::near::nearest;
use super::node::{At, Content, Entry, Node};
use super::values::{Length, OneOf, Template};

/// The keys of an entry that are read.
const KNOWN: [&str; 19] = [
    "type",
    "transport",
    "command",
    "args",
    "env",
    "cwd",
    "url",
    "httpUrl",
    "serverUrl",
    "headers",
    "timeouts",
    "retry",
    "disabled",
    // Those of Codex.
    "enabled",
    "env_vars",
    "http_headers",
    "env_http_headers",
    "bearer_token_env_var",
    "startup_timeout_sec",
];

/// Reads the servers of a client's file.
pub(crate) fn servers(root: &Node, findings: &mut Findings) -> Vec<(At<ServerId>, At<Server>)> {
    let Some(section) = section(root, findings) else { return Vec::new() };
    let Some(list) = entries(section, "a map from names to servers", findings) else { return Vec::new() };
    let read = |entry: &Entry, findings: &mut Findings| {
        let server = server(entry, findings)?;
        let id = id(&entry.key, findings)?;
        Some((id, server))
    };
    let servers: Vec<_> = list.iter().filter_map(|entry| read(entry, findings)).collect();
    report_collisions(&servers, list, findings);
    servers
}

/// The map of servers, wherever the client keeps it.
fn section<'a>(root: &'a Node, findings: &mut Findings) -> Option<&'a Node> {
    let list = entries(root, "an object with `mcpServers`, `servers` or `mcp_servers`", findings)?;
    let named =
        |list: &'a [Entry], name: &str| list.iter().find(|entry| entry.key.value == name).map(|entry| &entry.node);
    let nested = || match &named(list, "mcp")?.content {
        Content::Map(inner) => named(inner, "servers"),
        Content::Nothing | Content::Bool(..) | Content::Number(_) | Content::Text(_) | Content::List(_) => None,
    };
    let section = named(list, "mcpServers").or_else(|| named(list, "servers")).or_else(|| named(list, "mcp_servers"));
    let section = section.or_else(nested);
    if section.is_none() {
        let finding = findings.error(Code::Empty, &root.place, "this file names no MCP servers");
        finding.detail("expected `mcpServers`, `servers`, or in TOML `mcp_servers`");
        if named(list, "listen").or(named(list, "limits")).is_some() {
            finding.hint("Tollhouse's own configuration is YAML: name the file tollhouse.yaml");
        }
    }
    section
}

/// One entry; `None` where it is switched off, cannot be served, or after a finding.
fn server(entry: &Entry, findings: &mut Findings) -> Option<At<Server>> {
    let Content::Map(list) = &entry.node.content else {
        wrong_type(&entry.node, "an object", findings);
        return None;
    };
    let of = |name: &str| list.iter().find(|entry| entry.key.value == name).map(|entry| &entry.node);
    let mut says = |name: &str| of(name).and_then(|node| bool::read(node, findings));
    if says("disabled") == Some(true) || says("enabled") == Some(false) {
        return None;
    }
    let kind = of("type").or_else(|| of("transport"));
    if kind.is_some_and(|kind| !known(kind, findings)) {
        return None;
    }
    // Clients write `http` for either transport over HTTP, so that one is found out.
    let sse = kind.filter(|kind| kind.scalar() == Some("sse"));
    let transport = sse.map(|kind| At { value: OneOf(OverHttp::Sse), place: kind.place.clone() });
    for Entry { key, .. } in list.iter().filter(|entry| !KNOWN.contains(&entry.key.value.as_str())) {
        let finding =
            findings.warning(Code::UnknownKey, &key.place, format!("`{}` is not read by Tollhouse", key.place.path));
        if key.value == "envFile" {
            finding.hint("set its variables where Tollhouse is started, or in `env`");
        } else if let Some(near) = nearest(&key.value, KNOWN) {
            finding.hint(format!("did you mean `{near}`?"));
        }
    }
    let headers = of("headers").or_else(|| of("http_headers")).and_then(|node| Value::read_at(node, findings));
    let headers = with(headers, credentials(of("env_http_headers"), of("bearer_token_env_var"), findings));
    let env = of("env").and_then(|node| Value::read_at(node, findings));
    let env = with(env, passed(of("env_vars"), findings));
    let start = of("startup_timeout_sec").and_then(|node| seconds(node, findings));
    let server = Server {
        capture: None,
        tools: None,
        command: of("command").and_then(|node| Value::read_at(node, findings)),
        args: of("args").and_then(|node| Value::read_at(node, findings)),
        env,
        cwd: of("cwd").and_then(|node| Value::read_at(node, findings)),
        // Gemini CLI keeps `url` for the older transport, which is found out, and Windsurf has a word of its own.
        url: of("httpUrl")
            .or_else(|| of("url"))
            .or_else(|| of("serverUrl"))
            .and_then(|node| Value::read_at(node, findings)),
        transport,
        headers,
        timeouts: of("timeouts").and_then(|node| Value::read_at(node, findings)).or(start),
        retry: of("retry").and_then(|node| Value::read_at(node, findings)),
        validate_arguments: None,
        allow_literal_secrets: None,
    };
    Some(At { value: server, place: entry.key.place.clone() })
}

/// A map with `more` pairs; those it has already stay.
fn with(map: Option<At<Map<Template>>>, more: Vec<(At<String>, At<Template>)>) -> Option<At<Map<Template>>> {
    let Some((name, _)) = more.first() else { return map };
    let mut map = map.unwrap_or_else(|| At { value: Map(Vec::new()), place: name.place.clone() });
    let Map(pairs) = &mut map.value;
    for pair in more {
        if !pairs.iter().any(|(known, _)| *known.value == pair.0.value) {
            pairs.push(pair);
        }
    }
    Some(map)
}

/// The headers whose values Codex takes from variables.
fn credentials(
    named: Option<&Node>,
    bearer: Option<&Node>,
    findings: &mut Findings,
) -> Vec<(At<String>, At<Template>)> {
    let refer = |scheme: &str, name: At<Template>| {
        let At { value: Template(name), place } = name;
        At { value: Template(format!("{scheme}${{{name}}}")), place }
    };
    let mut all = Vec::new();
    if let Some(Map(pairs)) = named.and_then(|node| Map::<Template>::read(node, findings)) {
        all.extend(pairs.into_iter().map(|(header, name)| (header, refer("", name))));
    }
    if let Some(name) = bearer.and_then(|node| Template::read_at(node, findings)) {
        all.push((At { value: "Authorization".to_owned(), place: name.place.clone() }, refer("Bearer ", name)));
    }
    all
}

/// The variables that Codex passes on to a server. One that is not set is no mistake there.
fn passed(list: Option<&Node>, findings: &mut Findings) -> Vec<(At<String>, At<Template>)> {
    let Some(List(names)) = list.and_then(|node| List::<Template>::read(node, findings)) else { return Vec::new() };
    let pair = |At { value: Template(name), place }: At<Template>| {
        let value = At { value: Template(format!("${{{name}:-}}")), place: place.clone() };
        (At { value: name, place }, value)
    };
    names.into_iter().map(pair).collect()
}

/// How long Codex gives a server to start.
fn seconds(node: &Node, findings: &mut Findings) -> Option<At<Timeouts>> {
    let number = node.scalar().and_then(|text| text.parse().ok());
    let Some(length) = number.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok()) else {
        wrong_type(node, "a number of seconds", findings);
        return None;
    };
    let start = Some(At { value: Length(length), place: node.place.clone() });
    Some(At { value: Timeouts { start, ..Timeouts::default() }, place: node.place.clone() })
}

/// Whether this is a `type` of servers that are known here.
fn known(kind: &Node, findings: &mut Findings) -> bool {
    const EXPECTED: [&str; 4] = ["stdio", "http", "streamable-http", "sse"];
    let expected = format!("one of: {}", EXPECTED.join(", "));
    match kind.scalar() {
        Some("stdio" | "http" | "streamable-http" | "streamableHttp" | "streamable_http" | "sse") => return true,
        Some(word) => {
            let finding = findings.error(
                Code::Value,
                &kind.place,
                format!("`{}` is a word that is not known here", kind.place.path),
            );
            finding.detail(format!("expected {expected}")).value(kind.shown());
            if let Some(near) = nearest(word, EXPECTED) {
                finding.hint(format!("did you mean `{near}`?"));
            }
        }
        None => {
            wrong_type(kind, &expected, findings);
        }
    }
    false
}

/// The id for the name that the client uses: itself, or what comes nearest to it.
fn id(name: &At<String>, findings: &mut Findings) -> Option<At<ServerId>> {
    let at = |value| At { value, place: name.place.clone() };
    if let Ok(id) = ServerId::new(&name.value) {
        return Some(at(id));
    }
    let id = match slug(&name.value) {
        Ok(id) => id,
        Err(ServerIdError::Reserved) => {
            findings
                .warning(
                    Code::ServerId,
                    &name.place,
                    format!("server `{}` is left out: that is Tollhouse itself", name.value),
                )
                .detail("an entry of that name is most often this program, which would then call itself")
                .hint("if it is another server, rename it");
            return None;
        }
        Err(ServerIdError::Length | ServerIdError::Character) => {
            findings
                .error(Code::ServerId, &name.place, "the name of this server has no letter or digit of a-z, 0-9")
                .detail("its id becomes part of tool names, which model APIs restrict")
                .hint("rename it");
            return None;
        }
    };
    findings
        .warning(Code::ServerId, &name.place, format!("server `{}` is called `{id}` here", name.value))
        .detail("its id becomes part of tool names: 1 to 24 of a-z, 0-9 and -");
    Some(at(id))
}

/// The id nearest to `name`: small letters, `-` for everything that is none of a-z and 0-9, cut to length.
pub(crate) fn slug(name: &str) -> Result<ServerId, ServerIdError> {
    let dashed: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .skip_while(|c| *c == '-')
        .take(ServerId::MAX_LEN)
        .collect();
    ServerId::new(dashed.trim_end_matches('-'))
}

/// Two names that become one id would hide one server behind the other. A name that is an id already collides only
/// with others that become it: a name written twice is a duplicate key.
fn report_collisions(servers: &[(At<ServerId>, At<Server>)], list: &[Entry], findings: &mut Findings) {
    let name = |id: &At<ServerId>| list.iter().find(|entry| entry.key.place == id.place).map(|entry| &entry.key.value);
    for (at, (id, _)) in servers.iter().enumerate() {
        let first = servers.iter().take(at).map(|(first, _)| first).find(|first| first.value == id.value);
        let Some((name, first)) = name(id).zip(first.and_then(name)) else { continue };
        if name != first {
            findings
                .error(
                    Code::IdCollision,
                    &id.place,
                    format!("servers `{first}` and `{name}` are both called `{}` here", id.value),
                )
                .detail("an id is 1 to 24 of a-z, 0-9 and -; other characters become `-`, and the rest is cut off")
                .hint("rename one of them");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn any_name_with_a_letter_becomes_an_id() {
        for (name, id) in [
            ("My Server", Some("my-server")),
            ("@org/files_2", Some("org-files-2")),
            ("a-name-of-thirty-characters-ok", Some("a-name-of-thirty-charact")),
            ("abcdefghijklmnopqrstuvw.xyz", Some("abcdefghijklmnopqrstuvw")),
            ("Straße", Some("stra-e")),
            ("日本", None),
            ("Tollhouse", None),
        ] {
            assert_eq!(slug(name).map(|id| id.to_string()).ok().as_deref(), id, "{name}");
        }
    }
}
