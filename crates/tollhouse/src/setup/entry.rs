//! A server as text of `tollhouse.yaml`.

use std::fmt::Write as _;

use tollhouse_proxy::settings::OverHttp;

use crate::config::Written;

/// Words that YAML, or one of its readers, takes for something else than text.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// The block of one server, `indent` spaces from the left.
pub(crate) fn block(server: &Written, indent: usize) -> String {
    let mut text = format!("{:indent$}{}:\n", "", key(&server.name));
    let inner = indent + 2;
    let mut line = |rest: &str| writeln!(text, "{:inner$}{rest}", "").expect("a string takes what is written");
    if let Some(command) = &server.command {
        line(&format!("command: {}", scalar(command)));
    }
    if !server.args.is_empty() {
        let args: Vec<String> = server.args.iter().map(|arg| scalar(arg)).collect();
        line(&format!("args: [{}]", args.join(", ")));
    }
    if let Some(url) = &server.url {
        line(&format!("url: {}", scalar(url)));
    }
    match server.transport {
        Some(OverHttp::Streamable) => line("transport: http"),
        Some(OverHttp::Sse) => line("transport: sse"),
        None => {}
    }
    if let Some(cwd) = &server.cwd {
        line(&format!("cwd: {}", scalar(cwd)));
    }
    for (name, pairs) in [("env", &server.env), ("headers", &server.headers)] {
        if !pairs.is_empty() {
            line(&format!("{name}:"));
        }
        for (name, value) in pairs {
            line(&format!("  {}: {}", key(name), scalar(value)));
        }
    }
    if !server.timeouts.is_empty() {
        let clocks: Vec<String> = server.timeouts.iter().map(|(name, length)| format!("{name}: {length}")).collect();
        writeln!(text, "{:inner$}timeouts: {{ {} }}", "", clocks.join(", ")).expect("a string takes what is written");
    }
    text
}

/// A key, in quotes where it would be read as something else than text.
fn key(text: &str) -> String {
    // An id of digits alone is a number to some readers and text to ours.
    scalar(text)
}

/// Text, in quotes unless every reader takes it for itself without them, in braces and brackets too.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "/.-".contains(c))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./@:+=-".contains(c))
        && text.contains(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with(':')
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
        && !number(text);
    if plain { text.to_owned() } else { quoted(text) }
}

/// Whether some reader takes `text` for a number: `1e5`, `0x1f`, `.inf`, `1_000`.
fn number(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+', '.']);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_hexdigit() || "_.xob+-:".contains(c))
        || ["inf", "nan"].iter().any(|word| digits.eq_ignore_ascii_case(word))
}

/// In double quotes. Of their escapes YAML has all that JSON has, and it wants more characters escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for c in serde_json::Value::from(text).to_string().chars() {
        if c.is_control() || ['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'].contains(&c) {
            write!(quoted, "\\u{:04x}", u32::from(c)).expect("a string takes what is written");
        } else {
            quoted.push(c);
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::outline;

    #[test]
    fn whatever_text_a_server_holds_is_read_back_as_it_was() {
        let odd = [
            "-y",
            "@scope/name",
            "a b",
            "",
            "true",
            "No",
            "~",
            "null",
            "1",
            "1e5",
            "0x1f",
            "-.inf",
            "12:30:00",
            "2026-01-01",
            "a: b",
            "a:",
            "a #b",
            "#a",
            "${NAME}",
            "Bearer ${NAME:-x y}",
            "{a}",
            "[a]",
            "a,b",
            "*a",
            "&a",
            "!a",
            "|",
            ">",
            "%a",
            "`a",
            "'a'",
            "\"a\"",
            "a\\b",
            "C:\\Users\\me",
            "tab\there",
            "line\nend",
            "ünïcode 日本",
            "\u{1b}[2J",
            "---",
            "...",
            "-",
            "- a",
            "? a",
            "=",
            "<<",
            "https://host.example/mcp?a=b&c=d",
            "--flag=value",
            "\u{85}\u{2028}",
            "\u{7f}",
            "\u{feff}",
        ];
        let texts = || odd.iter().map(|text| (*text).to_owned());
        let server = Written {
            timeouts: vec![("start".into(), "1min".into()), ("hard".into(), "20min".into())],
            name: "123".to_owned(),
            command: Some("c".to_owned()),
            args: texts().collect(),
            env: texts().enumerate().map(|(at, text)| (format!("V{at}"), text)).collect(),
            cwd: Some("/a b".to_owned()),
            url: None,
            transport: Some(OverHttp::Sse),
            headers: Vec::new(),
        };
        let text = format!("servers:\n{}", block(&server, 2));
        let read = outline(Path::new("t.yaml"), &text).unwrap_or_else(|report| panic!("{text}\n{report}"));
        let [(_, read)] = read.servers.as_slice() else { panic!("{text}") };
        assert_eq!(read.args, server.args, "{text}");
        assert!(*read == server, "{text}");
    }
}
