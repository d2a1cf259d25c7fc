//! Where the entries of a client's file stand in its text, so that they can be exchanged and nothing else.
//!
//! The readers of the configuration keep where a value begins; to take one out its end counts too, and the comma
//! behind it. What is changed here is read again before it is written, so this may be simple: a form it does not know
//! it leaves alone.

mod json;
mod toml;

use std::ops::Range;
use std::path::Path;

/// The entries of one file, in its order.
pub(crate) struct Layout {
    kind: Kind,
    /// Each with the pieces of text that are its own.
    entries: Vec<(String, Vec<Range<usize>>)>,
}

/// How entries are written.
enum Kind {
    /// As members of the object that stands here.
    Json { section: Range<usize> },
    /// As tables, each below a header of its own.
    Headers,
    /// As tables in braces, one a line.
    Inline,
}

/// How an entry must be written to stand among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// `"name": { … }`; on lines of their own with this indentation and this much more for what is in it, or on one
    /// line.
    Json { indent: Option<(String, String)> },
    /// `[mcp_servers.name]` and lines below it.
    Header,
    /// `name = { … }`.
    Inline,
}

impl Layout {
    /// The layout of the file at `path`; `None` if its entries are written in a way that is not known here.
    pub(crate) fn of(path: &Path, text: &str) -> Option<Self> {
        if is_toml(path) { toml::layout(text) } else { json::layout(text) }
    }

    /// What the entries are called.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// How an entry must be written that takes the place of `taken`.
    pub(crate) fn form(&self, text: &str, taken: &[String]) -> Form {
        match &self.kind {
            Kind::Headers => Form::Header,
            Kind::Inline => Form::Inline,
            Kind::Json { section } => {
                let first = self.entries.iter().find(|(name, _)| taken.contains(name));
                let at = first.and_then(|(_, spans)| spans.first()).map_or(section.start, |span| span.start);
                Form::Json { indent: json::indent(text, at, section.start) }
            }
        }
    }

    /// The text with `entry` in the place of the entries `taken`.
    pub(crate) fn replaced(&self, text: &str, taken: &[String], entry: &str) -> String {
        let cuts = match &self.kind {
            Kind::Json { .. } => json::cuts(text, &self.entries, taken),
            Kind::Headers | Kind::Inline => toml::cuts(text, &self.entries, taken),
        };
        let mut changed = text.to_owned();
        // From the end, so that what stands before keeps its place. The first of all is where the entry goes.
        for (at, cut) in cuts.iter().enumerate().rev() {
            changed.replace_range(cut.clone(), if at == 0 { entry } else { "" });
        }
        changed
    }

    /// What stands there of the entries `names`.
    pub(crate) fn written(&self, text: &str, names: &[String]) -> String {
        let spans = self.entries.iter().filter(|(name, _)| names.contains(name)).flat_map(|(_, spans)| spans);
        let written: Vec<&str> = spans.filter_map(|span| text.get(span.clone())).collect();
        written.join(if text.contains("\r\n") { "\r\n" } else { "\n" })
    }

    /// `text` with all entries as they stand in `other`, which has the layout `its`.
    pub(crate) fn with_entries_of(&self, text: &str, its: &Self, other: &str, ours: &[String]) -> Option<String> {
        if let (Kind::Json { section }, Kind::Json { section: its }) = (&self.kind, &its.kind) {
            let mut changed = text.to_owned();
            changed.replace_range(section.clone(), other.get(its.clone())?);
            return Some(changed);
        }
        let gone: Vec<String> =
            its.names().filter(|name| !self.names().any(|have| have == *name)).map(str::to_owned).collect();
        Some(self.replaced(text, ours, &its.written(other, &gone)))
    }
}

/// Whether the file at `path` is TOML.
pub(crate) fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

#[cfg(test)]
mod tests;
