//! A configuration file as a tree in which every key and value knows its place.
//!
//! Both readers (`yaml`, `jsonc`) end here, and everything after them is written once. Scalars keep their text as
//! written: `1.10` in a list of arguments stays `1.10`.

use super::finding::{Code, Findings, Place, without_controls};

/// The longest value shown in a finding.
const SHOWN_MAX: usize = 40;

/// A value together with where it was written.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    /// What was written.
    pub(crate) value: T,
    /// Where.
    pub(crate) place: Place,
}

/// One value of the tree.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where it begins.
    pub(crate) place: Place,
    /// What it is.
    pub(crate) content: Content,
}

/// What a value can be. Numbers keep their text.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// `null`, `~`, or nothing after the colon.
    Nothing,
    /// With its text as written.
    Bool(bool, String),
    /// As written.
    Number(String),
    /// Quoted or plain.
    Text(String),
    /// In order.
    List(Vec<Node>),
    /// In order; a key may stand there twice.
    Map(Vec<Entry>),
}

/// One key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The key; its place has the same path as the value's.
    pub(crate) key: At<String>,
    /// The value.
    pub(crate) node: Node,
}

impl Node {
    /// What it is, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match self.content {
            Content::Nothing => "empty",
            Content::Bool(..) => "a boolean",
            Content::Number(_) => "a number",
            Content::Text(_) => "text",
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
        }
    }

    /// The text of a scalar as written.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match &self.content {
            Content::Bool(_, text) | Content::Number(text) | Content::Text(text) => Some(text),
            Content::Nothing | Content::List(_) | Content::Map(_) => None,
        }
    }

    /// A scalar fit for a finding: one line, short, nothing that moves the terminal's cursor; in quotes where it
    /// would look like something else than text.
    pub(crate) fn shown(&self) -> Option<String> {
        let text = self.scalar()?;
        let mut shown = without_controls(&text.chars().take(SHOWN_MAX).collect::<String>());
        if text.chars().nth(SHOWN_MAX).is_some() {
            shown.push('…');
        }
        let plain = !matches!(self.content, Content::Text(_))
            || text.starts_with(|c: char| c.is_alphabetic() || "-:[/".contains(c))
                && text.trim_end() == text
                && text.parse::<bool>().is_err()
            || text.starts_with(|c: char| c.is_ascii_digit()) && text.parse::<f64>().is_err();
        Some(if plain { shown } else { format!("\"{shown}\"") })
    }

    /// Gives every value the path of keys that leads to it.
    pub(crate) fn set_paths(&mut self, path: String) {
        self.place.path = path;
        match &mut self.content {
            Content::List(nodes) => {
                for (at, node) in nodes.iter_mut().enumerate() {
                    node.set_paths(format!("{}[{at}]", self.place.path));
                }
            }
            Content::Map(entries) => {
                for entry in entries {
                    let path = self.place.below(&entry.key.value);
                    // A map or a list is where its key is: of its own it begins on some later line.
                    if matches!(entry.node.content, Content::Map(_) | Content::List(_) | Content::Nothing) {
                        let Place { line, column, .. } = entry.key.place;
                        (entry.node.place.line, entry.node.place.column) = (line, column);
                    }
                    entry.key.place.path.clone_from(&path);
                    entry.node.set_paths(path);
                }
            }
            Content::Nothing | Content::Bool(..) | Content::Number(_) | Content::Text(_) => {}
        }
    }

    /// Reports each key that stands in its map a second time: most parsers would silently take one of the two.
    pub(crate) fn report_duplicates(&self, findings: &mut Findings) {
        match &self.content {
            Content::List(nodes) => nodes.iter().for_each(|node| node.report_duplicates(findings)),
            Content::Map(entries) => {
                let mut first = std::collections::BTreeMap::new();
                for Entry { key, node } in entries {
                    if let Some(line) = first.get(key.value.as_str()) {
                        findings
                            .error(Code::Duplicate, &key.place, format!("`{}` is written twice", key.place.path))
                            .detail(format!("it is first written in line {line}"))
                            .hint("keep one of the two");
                    } else {
                        first.insert(key.value.as_str(), key.place.line);
                    }
                    node.report_duplicates(findings);
                }
            }
            Content::Nothing | Content::Bool(..) | Content::Number(_) | Content::Text(_) => {}
        }
    }
}
