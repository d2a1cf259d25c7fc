//! What a server's tools are by its own words, as they were listed last: to be shown to people, used by no call.
//!
//! Every list of tools that comes by is learned from, whoever asked for it. What a whole list does not hold any more is
//! forgotten; a page of many says nothing of the others.
//!
//! Path: `upstream` → **`definitions`** → `handle`.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tollhouse_core::units::ByteSize;
use tollhouse_core::wire::{Envelope, Form, Members, members};

/// Tools of one server that are kept; further ones are not shown.
const TOOLS_MAX: usize = 2000;
/// What they may hold together; one that does not fit is kept by name alone.
const BYTES_MAX: ByteSize = ByteSize::mib(4);

/// A tool as its server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name at its server.
    pub name: Box<str>,
    /// How long its definition is, in bytes.
    pub size: usize,
    /// The definition as it was listed, a JSON object; empty if there was no room for it.
    pub definition: Bytes,
}

/// The tools of one server.
#[derive(Debug, Default)]
pub(crate) struct Definitions(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    tools: BTreeMap<Box<str>, Tool>,
    bytes: usize,
}

impl Definitions {
    /// Learns from an answer to `tools/list`, of which it may be one page of many.
    pub(crate) fn learn(&self, page: &Envelope) {
        let mut known = self.known();
        for (name, definition) in listed(page) {
            known.keep(&name, definition);
        }
    }

    /// Forgets what none of these pages holds, which are a whole list.
    pub(crate) fn forget_others<'a>(&self, pages: impl IntoIterator<Item = &'a Envelope>) {
        let names: HashSet<Box<str>> =
            pages.into_iter().flat_map(|page| listed(page).map(|(name, _)| Box::from(&*name))).collect();
        let mut known = self.known();
        known.tools.retain(|name, _| names.contains(name));
        known.bytes = known.tools.values().map(|tool| tool.definition.len()).sum();
    }

    /// All tools, by name.
    pub(crate) fn all(&self) -> Vec<Tool> {
        self.known().tools.values().cloned().collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn keep(&mut self, name: &str, definition: &[u8]) {
        let before = self.tools.get(name);
        if before.is_some_and(|tool| tool.definition == definition) {
            return;
        }
        if before.is_none() && self.tools.len() == TOOLS_MAX {
            return;
        }
        let others = self.bytes - before.map_or(0, |tool| tool.definition.len());
        let fits = others + definition.len() <= BYTES_MAX.bytes();
        // A page would otherwise be kept as long as one of its tools.
        let kept = if fits { Bytes::copy_from_slice(definition) } else { Bytes::new() };
        self.bytes = others + kept.len();
        let tool = Tool { name: name.into(), size: definition.len(), definition: kept };
        self.tools.insert(tool.name.clone(), tool);
    }
}

/// The tools of a page that have a name, and how they are defined.
fn listed(page: &Envelope) -> impl Iterator<Item = (String, &[u8])> {
    let tools = match page.form {
        Form::Result { result, .. } => Members::of(&page.bytes, result).get("tools"),
        _ => None,
    };
    tools.into_iter().flat_map(|tools| members::elements(&page.bytes, tools)).filter_map(|tool| {
        let name = Members::of(&page.bytes, tool).get("name")?;
        Some((members::text(name.of(&page.bytes))?.into_owned(), page.raw(tool)))
    })
}

#[cfg(test)]
mod tests {
    use tollhouse_core::wire::Envelope;

    use super::*;

    fn page(tools: &str) -> Envelope {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":{tools}}}}}"#);
        Envelope::parse(Bytes::from(text)).expect("a page of tools")
    }

    fn names(definitions: &Definitions) -> Vec<String> {
        definitions.all().iter().map(|tool| format!("{} {}", tool.name, tool.size)).collect()
    }

    #[test]
    fn the_last_words_on_a_tool_count() {
        let definitions = Definitions::default();
        definitions.learn(&page(r#"[{"name":"b"},{"name":"a","inputSchema":{}},{"title":"nameless"}]"#));
        definitions.learn(&page(r#"[{"name":"b","title":"B"}]"#));
        assert_eq!(names(&definitions), ["a 29", "b 24"]);
        assert_eq!(definitions.all()[1].definition, r#"{"name":"b","title":"B"}"#);
        definitions.forget_others([&page(r#"[{"name":"b"}]"#)]);
        assert_eq!(names(&definitions), ["b 24"]);
    }

    #[test]
    fn a_server_cannot_fill_the_memory() {
        let definitions = Definitions::default();
        let long = "x".repeat(BYTES_MAX.bytes() / 2);
        for name in ["a", "b", "c"] {
            definitions.learn(&page(&format!(r#"[{{"name":"{name}","description":"{long}"}}]"#)));
        }
        let tools = definitions.all();
        assert_eq!(tools.len(), 3);
        assert!(tools.iter().map(|tool| tool.definition.len()).sum::<usize>() <= BYTES_MAX.bytes());
        assert!(tools[2].definition.is_empty() && tools[2].size > long.len());
        for nth in 0..TOOLS_MAX + 10 {
            definitions.learn(&page(&format!(r#"[{{"name":"t{nth}"}}]"#)));
        }
        assert_eq!(definitions.all().len(), TOOLS_MAX);
    }
}
