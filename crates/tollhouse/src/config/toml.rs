//! TOML → tree, as Codex writes its file.

use std::ops::Range;

use toml_edit::{Document, Item, Table, TableLike, Value};

use super::finding::{Code, Findings, Place};
use super::node::{At, Content, Entry, Node};

/// Reads `text`; `None` after a finding.
pub(crate) fn parse(text: &str, findings: &mut Findings) -> Option<Node> {
    let lines = Lines::of(text);
    match Document::parse(text) {
        Ok(document) => {
            let mut node = Node { place: lines.place(Some(0..0)), content: map(document.as_table(), &lines) };
            node.set_paths(String::new());
            Some(node)
        }
        Err(error) => {
            let what = error.message().lines().next().unwrap_or_default().to_owned();
            findings.error(Code::Syntax, &lines.place(error.span()), "this is not well-formed TOML").detail(what);
            None
        }
    }
}

fn map(table: &dyn TableLike, lines: &Lines<'_>) -> Content {
    let entry = |(name, item): (&str, &Item)| {
        let place = lines.place(table.key(name).and_then(toml_edit::Key::span));
        Entry { key: At { value: name.to_owned(), place }, node: node(item, lines) }
    };
    Content::Map(table.iter().map(entry).collect())
}

fn node(item: &Item, lines: &Lines<'_>) -> Node {
    let content = match item {
        Item::None => Content::Nothing,
        Item::Value(value) => self::value(value, lines),
        Item::Table(table) => map(table, lines),
        Item::ArrayOfTables(tables) => {
            let table = |table: &Table| Node { place: lines.place(table.span()), content: map(table, lines) };
            Content::List(tables.iter().map(table).collect())
        }
    };
    Node { place: lines.place(item.span()), content }
}

fn value(value: &Value, lines: &Lines<'_>) -> Content {
    match value {
        Value::String(text) => Content::Text(text.value().clone()),
        Value::Integer(number) => Content::Number(number.value().to_string()),
        Value::Float(number) => Content::Number(number.value().to_string()),
        Value::Boolean(flag) => Content::Bool(*flag.value(), flag.value().to_string()),
        Value::Datetime(moment) => Content::Text(moment.value().to_string()),
        Value::Array(list) => {
            let item = |item: &Value| Node { place: lines.place(item.span()), content: self::value(item, lines) };
            Content::List(list.iter().map(item).collect())
        }
        Value::InlineTable(table) => map(table, lines),
    }
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    fn place(&self, span: Option<Range<usize>>) -> Place {
        let at = span.map_or(0, |span| span.start);
        let line = self.starts.partition_point(|start| *start <= at);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.text.get(start..at).map_or(0, |before| before.chars().count());
        let from_1 = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        Place { line: from_1(line), column: from_1(column + 1), path: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODEX: &str = "# mine\nmodel = \"gpt\"\n\n[mcp_servers.files] # local\ncommand = \"npx\"\nargs = [\n  \"-y\",\n  \"é\", \"x\",\n]\n\n[mcp_servers.files.env]\nA = \"1\"\n";

    #[test]
    fn every_key_and_value_knows_its_place() {
        let mut findings = Findings::about("x");
        let root = parse(CODEX, &mut findings).unwrap();
        let under = |node: &Node, key: &str| match &node.content {
            Content::Map(list) => list.iter().find(|entry| entry.key.value == key).unwrap().node.clone(),
            other => panic!("{other:?}"),
        };
        let files = under(&under(&root, "mcp_servers"), "files");
        let Content::List(args) = under(&files, "args").content else { panic!("a list") };
        let seen = (args[2].place.line, args[2].place.column, args[2].place.path.as_str(), args[1].scalar());
        assert_eq!(seen, (8, 8, "mcp_servers.files.args[2]", Some("é")));
        assert_eq!(under(&under(&files, "env"), "A").place.line, 12);
    }

    #[test]
    fn what_is_no_toml_is_refused_where_it_breaks() {
        let mut findings = Findings::about("x");
        assert!(parse("a = 1\nb = [1,\n\nc = 2\n", &mut findings).is_none());
        let place = findings.in_order().remove(0).place.unwrap();
        assert!((2..=4).contains(&place.line), "{place:?}");
    }
}
