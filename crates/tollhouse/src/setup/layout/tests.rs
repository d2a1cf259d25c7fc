//! Exchanging entries and going back, on files as people and clients write them, and on many that nobody wrote.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{Form, Layout};
use crate::setup::clients::Client;
use crate::setup::pointer::Pointer;
use crate::setup::repoint::{Back, exchanged, restored};

fn pointer() -> Pointer {
    let variables = [("T".to_owned(), "a\"b".to_owned()), ("U".to_owned(), "${U}".to_owned())];
    Pointer::Stdio { program: "/bin/t".into(), config: "/c.yaml".into(), variables: variables.into() }
}

fn led(path: &str, text: &str, gone: &[&str]) -> Option<String> {
    let path = Path::new(path);
    let gone: Vec<String> = gone.iter().map(|name| (*name).to_owned()).collect();
    let client = Client::of(path, text);
    exchanged(path, text, &gone, |layout| pointer().text(client, &layout.form(text, &gone)))
}

fn check(path: &str, text: &str, gone: &[&str], expected: &str) {
    let after = led(path, text, gone).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(after, expected, "{text}");
    assert_eq!(restored(Path::new(path), &after, text), Some((text.to_owned(), Back::Exact)));
}

#[test]
fn entries_are_exchanged_with_their_commas_and_comments_stay() {
    check(
        "mcp.json",
        "// mine\n{\n    \"servers\": {\n        // about a\n        \"a\": { \"command\": \"x\" }, // behind a\n        \
         \"b\": {\n            \"command\": \"y\" // in b\n        },\n        /* about c */\n        \"c\": { \"url\": \
         \"http://c/\" }\n    },\n    \"inputs\": []\n}\n",
        &["a", "c"],
        "// mine\n{\n    \"servers\": {\n        // about a\n        \"tollhouse\": {\n            \"type\": \"stdio\",\n            \
         \"command\": \"/bin/t\",\n            \"args\": [\"stdio\", \"--config\", \"/c.yaml\"],\n            \"env\": {\n                \
         \"T\": \"a\\\"b\",\n                \"U\": \"${U}\"\n            }\n        }, // behind a\n        \"b\": {\n            \
         \"command\": \"y\" // in b\n        }\n        /* about c */\n    },\n    \"inputs\": []\n}\n",
    );
    let entry = r#""tollhouse": { "command": "/bin/t", "args": ["stdio", "--config", "/c.yaml"], "env": { "T": "a\"b", "U": "${U}" } }"#;
    check(
        "x.json",
        r#"{"mcpServers":{"a":{"command":"x"},"b":{"command":"y"}}}"#,
        &["a", "b"],
        &format!(r#"{{"mcpServers":{{{entry}}}}}"#),
    );
    check(
        "x.json",
        r#"{"mcpServers":{"z":{},"a":{"command":"x"},"b":{"command":"y"},}}"#,
        &["a", "b"],
        &format!(r#"{{"mcpServers":{{"z":{{}},{entry},}}}}"#),
    );
}

#[test]
fn tables_are_exchanged_below_their_headers_or_in_their_lines() {
    check(
        "config.toml",
        "model = \"m\"\n\n# about a\n[mcp_servers.a] # here\ncommand = \"x\"\nargs = [\n  \"1\",\n]\n# in a\n[mcp_servers.a.env]\nK = \"v\" # v\n\n\
         # about b\n[mcp_servers.b]\nurl = \"http://b/\"\n\n[tui]\nx = 1\n",
        &["a", "b"],
        "model = \"m\"\n\n# about a\n[mcp_servers.tollhouse]\ncommand = \"/bin/t\"\nargs = [\"stdio\", \"--config\", \"/c.yaml\"]\n\
         env = { T = \"a\\\"b\" }\nenv_vars = [\"U\"]\n# in a\n# about b\n[tui]\nx = 1\n",
    );
    check(
        "config.toml",
        "[mcp_servers]\r\na = { command = \"x\" } # a\r\nb = { command = \"y\" }\r\n",
        &["b"],
        "[mcp_servers]\r\na = { command = \"x\" } # a\r\ntollhouse = { command = \"/bin/t\", args = [\"stdio\", \"--config\", \
         \"/c.yaml\"], env = { T = \"a\\\"b\" }, env_vars = [\"U\"] }\r\n",
    );
}

#[test]
fn what_is_written_in_another_way_is_left_alone() {
    for text in ["mcp_servers.a.command = \"x\"\n", "mcp_servers = { a = { command = \"x\" } }\n", "[[mcp_servers]]\n"]
    {
        assert_eq!(led("config.toml", text, &["a"]), None, "{text}");
    }
    assert!(Layout::of(Path::new("x.json"), "{\"a\": 1}").is_none());
    let layout =
        Layout::of(Path::new("x.json"), "{\"mcp\":{\"servers\":{\"a\":{}}}}").expect("an older form of VS Code");
    assert_eq!(layout.form("{\"mcp\":{\"servers\":{\"a\":{}}}}", &["a".into()]), Form::Json { indent: None });
}

/// Texts between the parts of JSON.
fn blank() -> impl Strategy<Value = &'static str> {
    let each = vec!["", " ", "\n  ", "\n\t", " // a, \"b\": {\n", "/* } */", "\n\n  /* x\n */ ", " // é\n    "];
    prop::sample::select(each)
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("\"x\"".to_owned()),
        Just("\"a\\\"}{,\\\\\"".to_owned()),
        Just("[1, {\"n\": null}]".to_owned()),
        Just("-1.5e3".to_owned())
    ];
    (leaf, blank(), blank(), any::<bool>()).prop_map(|(leaf, a, b, more)| {
        let comma = if more { "," } else { "" };
        format!("{{{a}\"command\"{b}:{a}{leaf}{b}{comma}{a}}}")
    })
}

fn json() -> impl Strategy<Value = (String, Vec<String>)> {
    let entries = prop::collection::vec((value(), blank(), blank(), any::<bool>()), 1..6);
    (entries, blank(), any::<bool>(), any::<bool>()).prop_map(|(entries, gap, trailing, crlf)| {
        let mut text = format!("{{{gap}\"theirs\": [\"mcpServers\", {{}}],{gap}\"mcpServers\"{gap}:{gap}{{");
        let mut gone = Vec::new();
        let last = entries.len() - 1;
        for (at, (value, before, after, goes)) in entries.into_iter().enumerate() {
            let comma = if at < last || trailing { "," } else { "" };
            write!(text, "{before}\"s{at}\"{after}:{before}{value}{after}{comma}{after}")
                .expect("a string takes what is written");
            gone.extend((goes || at == 0).then(|| format!("s{at}")));
        }
        write!(text, "}}{gap},\"more\": true}}{gap}").expect("a string takes what is written");
        (if crlf { text.replace('\n', "\r\n") } else { text }, gone)
    })
}

fn toml() -> impl Strategy<Value = (String, Vec<String>)> {
    let pieces = prop::sample::select(vec!["", "\n", "# note [x]\n", "\n\n# é\n"]);
    let entries = prop::collection::vec((pieces.clone(), pieces.clone(), any::<[bool; 4]>()), 1..6);
    (entries, pieces, any::<[bool; 2]>()).prop_map(|(entries, gap, [crlf, open])| {
        let mut text = format!("model = \"[mcp_servers.s0]\"\n{gap}");
        let mut gone = Vec::new();
        for (at, (before, within, [goes, env, lines, other])) in entries.into_iter().enumerate() {
            write!(text, "{before}[mcp_servers.s{at}] # here\n{within}command = \"x\"\n")
                .expect("a string takes what is written");
            text.push_str(if lines { "args = [\n \"\"\"a\n[b]\"\"\", # c\n]\n" } else { "" });
            if env {
                write!(text, "{within}[mcp_servers.s{at}.env]\nK = \"v\"\n{before}")
                    .expect("a string takes what is written");
            }
            text.push_str(if other { "[[theirs]]\nk = 1\n" } else { "" });
            gone.extend((goes || at == 0).then(|| format!("s{at}")));
        }
        text.push_str(gap);
        let text = if open { text.trim_end().to_owned() } else { text };
        (if crlf { text.replace('\n', "\r\n") } else { text }, gone)
    })
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
    #[test]
    fn going_back_gives_the_file_as_it_was(case in prop_oneof![
        json().prop_map(|case| ("x.json", case)),
        toml().prop_map(|case| ("x.toml", case)),
    ]) {
        let (path, (text, gone)) = case;
        let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
        let after = led(path, &text, &gone);
        prop_assert!(after.is_some(), "not exchanged: {text}");
        let after = after.unwrap();
        let back = restored(Path::new(path), &after, &text);
        prop_assert_eq!(back, Some((text, Back::Exact)), "{}", after);
    }
}
