//! The table of names: what clients call a thing, whose it is, and what its server calls it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tollhouse_core::ids::ServerId;

use crate::kinds::Kind;

/// Model APIs refuse longer tool names.
const NAME_MAX: usize = 64;

/// What the last lists showed. Entries are replaced, never taken back: a call under a name that has just vanished
/// still reaches the server that knows best what to say.
#[derive(Default)]
pub(crate) struct Names {
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    tools: HashMap<String, (usize, Box<str>)>,
    prompts: HashMap<String, (usize, Box<str>)>,
    resources: HashMap<String, usize>,
    templates: Vec<(String, usize)>,
}

impl Names {
    /// Notes an item of a list; the name clients know it by.
    pub(crate) fn note(&self, kind: Kind, place: usize, server: &ServerId, local: &str) -> String {
        let mut tables = self.lock();
        match kind {
            Kind::Tool | Kind::Prompt => {
                let exposed = exposed(server, local);
                let table = if kind == Kind::Tool { &mut tables.tools } else { &mut tables.prompts };
                table.insert(exposed.clone(), (place, local.into()));
                exposed
            }
            Kind::Resource => {
                // First configured wins.
                let owner = tables.resources.entry(local.to_owned()).or_insert(place);
                *owner = place.min(*owner);
                local.to_owned()
            }
            Kind::Template => {
                if !tables.templates.iter().any(|(template, owner)| template == local && *owner <= place) {
                    tables.templates.push((local.to_owned(), place));
                    tables.templates.sort_by_key(|(_, owner)| *owner);
                }
                local.to_owned()
            }
        }
    }

    /// The server of a tool or prompt, and its name there.
    pub(crate) fn find(&self, kind: Kind, name: &str) -> Option<(usize, Box<str>)> {
        let tables = self.lock();
        match kind {
            Kind::Tool => tables.tools.get(name).cloned(),
            Kind::Prompt => tables.prompts.get(name).cloned(),
            Kind::Resource | Kind::Template => None,
        }
    }

    /// The server of a resource.
    pub(crate) fn owner(&self, uri: &str) -> Option<usize> {
        let tables = self.lock();
        let fits = || tables.templates.iter().find(|(template, _)| fits(template, uri)).map(|(_, place)| *place);
        tables.resources.get(uri).copied().or_else(fits)
    }

    /// The server of a template, by the template itself.
    pub(crate) fn template(&self, template: &str) -> Option<usize> {
        self.lock().templates.iter().find(|(known, _)| known == template).map(|(_, place)| *place)
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `<server>__<name>`, cut to what model APIs accept; what was cut is told apart by a hash of the whole.
fn exposed(server: &ServerId, local: &str) -> String {
    let whole = format!("{server}__{local}");
    if whole.len() <= NAME_MAX {
        return whole;
    }
    let keep = whole.floor_char_boundary(NAME_MAX - 9);
    let (kept, _) = whole.split_at(keep);
    format!("{kept}_{:08x}", fnv(whole.as_bytes()))
}

/// FNV-1a (Fowler, Noll, Vo), 32 bits: the same in every process and version.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Does `uri` fit an RFC 6570 template? Simple expressions stand for one part of a path, `{+x}` and others for any
/// text; that is enough to find the owner, who judges the rest.
fn fits(template: &str, uri: &str) -> bool {
    let Some((literal, rest)) = template.split_once('{') else { return template == uri };
    let Some(uri) = uri.strip_prefix(literal) else { return false };
    let Some((expression, rest)) = rest.split_once('}') else { return false };
    let any = expression.starts_with(['+', '#', '/', '?', '&', ';', '.']);
    let ends = uri.char_indices().map(|(at, _)| at).chain([uri.len()]);
    for end in ends {
        let (part, remaining) = uri.split_at(end);
        if !any && part.contains('/') {
            return false;
        }
        if (any || !part.is_empty()) && fits(rest, remaining) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ServerId {
        ServerId::new(text).unwrap()
    }

    #[test]
    fn names_are_looked_up_never_taken_apart() {
        let names = Names::default();
        let first = names.note(Kind::Tool, 0, &id("a"), "b__c");
        let second = names.note(Kind::Tool, 1, &id("a-b"), "c");
        assert_eq!((first.as_str(), second.as_str()), ("a__b__c", "a-b__c"));
        assert_eq!(names.find(Kind::Tool, "a__b__c"), Some((0, "b__c".into())));
        assert_eq!(names.find(Kind::Tool, "a__c"), None);
    }

    #[test]
    fn long_names_are_cut_and_stay_distinct() {
        let long = "x".repeat(100);
        let (one, two) = (exposed(&id("files"), &format!("{long}1")), exposed(&id("files"), &format!("{long}2")));
        assert_eq!((one.len(), two.len()), (NAME_MAX, NAME_MAX));
        assert_ne!(one, two);
    }

    #[test]
    fn resources_are_found_by_uri_then_by_template() {
        let names = Names::default();
        names.note(Kind::Resource, 1, &id("b"), "file:///x");
        names.note(Kind::Resource, 0, &id("a"), "file:///x");
        names.note(Kind::Template, 1, &id("b"), "note://{id}/text");
        assert_eq!(names.owner("file:///x"), Some(0));
        assert_eq!(names.owner("note://7/text"), Some(1));
        assert_eq!(names.owner("note://7/8/text"), None);
        assert_eq!(names.owner("note:///text"), None);
        assert!(fits("file:///{+path}", "file:///a/b"));
    }
}
