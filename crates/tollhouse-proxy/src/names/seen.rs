//! URIs that results have named: a tool may hand out a resource that no list has.
//!
//! Two halves of equal size: what is noted or asked for goes to the younger one, and when that is full it becomes the
//! older one, and what was in there is forgotten. So what is in use stays.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memchr::memmem;
use tollhouse_core::wire::{Envelope, Form, Members, members};

/// URIs in one half.
const HALF: usize = 2048;
/// A longer URI is not kept: a `data:` URI holds what it names.
const URI_MAX: usize = 2048;
/// Blocks of one result that are looked at.
const BLOCKS_MAX: usize = 256;

/// What results named.
#[derive(Default)]
pub(super) struct Seen {
    halves: Mutex<Halves>,
}

#[derive(Default)]
struct Halves {
    younger: HashMap<Box<str>, usize>,
    older: HashMap<Box<str>, usize>,
}

impl Seen {
    /// The server whose result named `uri`.
    pub(super) fn owner(&self, uri: &str) -> Option<usize> {
        let mut halves = self.lock();
        if let Some(place) = halves.younger.get(uri) {
            return Some(*place);
        }
        let (uri, place) = halves.older.remove_entry(uri)?;
        halves.put(uri, place);
        Some(place)
    }

    /// A result of the server at `place` names `uri`. Of two servers the one that is first in `order` has it.
    pub(super) fn note(&self, uri: &str, place: usize, order: &[usize]) {
        if uri.len() > URI_MAX {
            return;
        }
        let mut halves = self.lock();
        let known = halves.younger.get(uri).copied().or_else(|| halves.older.remove(uri));
        let rank = |place| order.iter().position(|at| *at == place).unwrap_or(usize::MAX);
        let first = known.filter(|known| rank(*known) <= rank(place)).unwrap_or(place);
        halves.put(uri.into(), first);
    }

    /// Forgets what came from other servers than these.
    pub(super) fn retain(&self, kept: impl Fn(usize) -> bool) {
        let mut halves = self.lock();
        let Halves { younger, older } = &mut *halves;
        younger.retain(|_, place| kept(*place));
        older.retain(|_, place| kept(*place));
    }

    fn lock(&self) -> MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn put(&mut self, uri: Box<str>, place: usize) {
        self.younger.insert(uri, place);
        if self.younger.len() >= HALF {
            self.older = std::mem::take(&mut self.younger);
        }
    }
}

/// Can there be a resource in it? All that most results cost.
pub(super) fn may_name_resources(answer: &Envelope) -> bool {
    // `resource_link` begins alike. An escape within the word is not looked for: nothing that writes JSON has one there.
    memmem::find(&answer.bytes, b"\"resource").is_some()
}

/// The URIs of the links and of the embedded resources in a result of `tools/call`.
pub(super) fn resources(answer: &Envelope, mut seen: impl FnMut(&str)) {
    let Form::Result { .. } = answer.form else { return };
    let Some(content) = answer.member("content") else { return };
    let text = &answer.bytes;
    for block in members::elements(text, content).take(BLOCKS_MAX) {
        let block = Members::of(text, block);
        let uri = match block.get("type").map(|kind| kind.of(text)) {
            Some(b"\"resource_link\"") => block.get("uri"),
            Some(b"\"resource\"") => block.get("resource").and_then(|resource| Members::of(text, resource).get("uri")),
            _ => None,
        };
        if let Some(uri) = uri.and_then(|uri| members::text(uri.of(text))) {
            seen(&uri);
        }
    }
}
