//! YAML text → tree. Each scalar keeps its text, each key and value its place.
//!
//! The parser resolves anchors and merge keys itself, within limits that a hand-written file never meets; a value
//! that came through an alias has the place of the alias.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Options, Spanned};

use super::finding::{Code, Findings, Place};
use super::node::{At, Content, Entry, Node};

/// Values in one file, those repeated by aliases included. A configuration of a thousand servers has 20,000.
const NODES_MAX: usize = 50_000;
/// Maps and lists within one another.
const DEPTH_MAX: usize = 32;

/// Reads `text`; `None` after a finding.
pub(crate) fn parse(text: &str, findings: &mut Findings) -> Option<Node> {
    match serde_saphyr::from_str_with_options::<Spanned<Tree>>(text, options()) {
        Ok(root) => {
            let mut node = node(text, root);
            node.set_paths(String::new());
            Some(node)
        }
        Err(error) => {
            report(text, &error, findings);
            None
        }
    }
}

fn options() -> Options {
    let mut budget = serde_saphyr::Budget::default();
    budget.max_nodes = NODES_MAX;
    budget.max_depth = DEPTH_MAX;
    let mut options = Options::default();
    options.budget = Some(budget);
    // Found by our own walk, which reports all of them and not only the first.
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    // `yes` and `on` are text, as YAML 1.2 has it.
    options.strict_booleans = true;
    options.with_snippet = false;
    options
}

fn report(text: &str, error: &serde_saphyr::Error, findings: &mut Findings) {
    let place = error.location().map_or(Place { line: 1, column: 1, path: String::new() }, |at| place(&at));
    // The place stands in the line below.
    let message = error.to_string();
    let message = message.split_once(" at line ").map_or(message.as_str(), |(before, _)| before);
    let line = text.lines().nth(usize::try_from(place.line - 1).unwrap_or(0)).unwrap_or_default();
    if outgrown(error) {
        findings.error(Code::TooLarge, &place, "this file is more than a configuration may be").detail(format!(
            "at most {NODES_MAX} values, {DEPTH_MAX} within one another, those repeated by aliases included"
        ));
        return;
    }
    let several = matches!(error.without_snippet(), serde_saphyr::Error::MultipleDocuments { .. });
    let message = if several { "a second document begins here" } else { message };
    let finding = findings.error(Code::Syntax, &place, "this is not well-formed YAML").detail(message);
    if several {
        finding.hint("keep one document: remove the line `---`");
    } else if line.trim_start_matches(' ').starts_with('\t') {
        finding.hint("indent with spaces");
    } else if line.contains("${") {
        finding.hint("put quotes around a value that holds `${`: \"${NAME}\"");
    } else if line.contains(" *") {
        finding.hint("put quotes around text that begins with `*`");
    }
}

/// Whether a limit was met, and not a rule of YAML broken.
fn outgrown(mut error: &serde_saphyr::Error) -> bool {
    while let serde_saphyr::Error::AliasError { error: inner, .. }
    | serde_saphyr::Error::WithSnippet { error: inner, .. } = error
    {
        error = inner;
    }
    matches!(
        error,
        serde_saphyr::Error::Budget { .. }
            | serde_saphyr::Error::AliasReplayLimitExceeded { .. }
            | serde_saphyr::Error::AliasExpansionLimitExceeded { .. }
            | serde_saphyr::Error::AliasReplayStackDepthExceeded { .. }
    )
}

/// What the parser hands over, before scalars get their text.
struct Tree(Raw);

enum Raw {
    Nothing,
    Bool(bool),
    Number,
    Text(String),
    List(Vec<Spanned<Tree>>),
    Map(Vec<(Spanned<String>, Spanned<Tree>)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor).map(Self)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

fn node(text: &str, tree: Spanned<Tree>) -> Node {
    let written = written(text, &tree.defined);
    let content = match tree.value.0 {
        Raw::Nothing => Content::Nothing,
        Raw::Bool(value) => Content::Bool(value, written.to_owned()),
        Raw::Number => Content::Number(written.to_owned()),
        Raw::Text(value) => Content::Text(value),
        Raw::List(items) => Content::List(items.into_iter().map(|item| node(text, item)).collect()),
        Raw::Map(entries) => Content::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    key: At { place: place(&key.referenced), value: key.value },
                    node: node(text, value),
                })
                .collect(),
        ),
    };
    Node { place: place(&tree.referenced), content }
}

fn place(location: &Location) -> Place {
    Place { line: location.line(), column: location.column(), path: String::new() }
}

/// The text of a scalar as it stands in the file.
fn written<'a>(text: &'a str, location: &Location) -> &'a str {
    let span = location.span();
    let (Some(from), Some(len)) = (span.byte_offset(), span.byte_len()) else { return "" };
    let (Ok(from), Ok(len)) = (usize::try_from(from), usize::try_from(len)) else { return "" };
    text.get(from..from.saturating_add(len)).unwrap_or_default()
}
