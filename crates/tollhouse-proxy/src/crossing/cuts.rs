//! The cuts that both directions share: members put in front, members taken out, and nothing else touched.

use bytes::Bytes;
use tollhouse_core::wire::{Members, Span, members};

use crate::call::{Edit, spliced};

/// What the modern revision calls its own members of `_meta`.
const MODERN_META: &str = "io.modelcontextprotocol/";

/// Does the modern revision define this member of `_meta`? In the legacy ones it means nothing, or something else.
pub(super) fn is_modern_meta(text: &[u8], key: Span) -> bool {
    let quoted = &text[key.start() - 1..=key.end()];
    members::text(quoted).is_some_and(|key| key.starts_with(MODERN_META))
}

/// Is a key one of these, whatever escapes it is written with?
pub(super) fn named<'a>(text: &'a [u8], names: &'a [&'a str]) -> impl Fn(Span) -> bool + Copy {
    move |key| names.iter().any(|name| members::is_key(key.of(text), name))
}

/// Cuts, as edits.
pub(super) fn cut(cuts: Vec<Span>) -> impl Iterator<Item = Edit> {
    cuts.into_iter().map(|cut| (cut, Bytes::new()))
}

/// Puts `member`s in front of those of `object` that are not `unwanted`, which are cut out.
pub(super) fn put_first(
    text: &[u8],
    object: Span,
    member: impl Into<Vec<u8>>,
    unwanted: impl Fn(Span) -> bool,
) -> impl Iterator<Item = Edit> {
    let mut member = member.into();
    let first = Members::of(text, object).find(|(key, _)| !unwanted(*key)).map(|(key, _)| key.start() - 1);
    if first.is_some() {
        member.push(b',');
    }
    let at = first.unwrap_or(object.start() + 1);
    // The insertion first: where nothing is left, the cut may begin at the same place.
    [(Span::new(at, at), member.into())].into_iter().chain(cut(members::cut_members(text, object, unwanted)))
}

/// What a server says it can do, less what is not carried to clients of the other era: tasks.
pub(super) fn capabilities(text: &Bytes, object: Span) -> Bytes {
    part(text, object, cut(members::cut_members(text, object, named(text, &["tasks"]))).collect())
}

/// A part of a text with edits in it.
pub(super) fn part(text: &Bytes, part: Span, mut edits: Vec<Edit>) -> Bytes {
    edits.push((Span::new(0, part.start()), Bytes::new()));
    edits.push((Span::new(part.end(), text.len()), Bytes::new()));
    spliced(text, edits)
}
