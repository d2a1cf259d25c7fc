//! Cuts new bytes into received ones; everything around the cuts stays as it was.

use bytes::Bytes;

use super::members::Span;

/// Replaces each span of `text` by the bytes beside it. The edits must be sorted and apart.
///
/// An edit of an empty span inserts. Without edits, the very same bytes come back, not a copy.
pub fn splice(text: &Bytes, edits: &[(Span, &[u8])]) -> Bytes {
    if edits.is_empty() {
        return text.clone();
    }
    let added: usize = edits.iter().map(|(_, new)| new.len()).sum();
    let removed: usize = edits.iter().map(|(span, _)| span.end() - span.start()).sum();
    // To the byte: a vector that is full becomes `Bytes` without another allocation.
    let mut out = Vec::with_capacity(text.len() + added - removed);
    let mut at = 0;
    for (span, new) in edits {
        debug_assert!(span.start() >= at, "edits are sorted and apart");
        out.extend_from_slice(&text[at..span.start()]);
        out.extend_from_slice(new);
        at = span.end();
    }
    out.extend_from_slice(&text[at..]);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_spans_change() {
        let text = Bytes::from_static(b"{\"id\":1,\"x\":2}");
        let edits: [(Span, &[u8]); 2] = [(Span::new(6, 7), b"\"abc\""), (Span::new(13, 13), b",\"y\":3")];
        assert_eq!(splice(&text, &edits), "{\"id\":\"abc\",\"x\":2,\"y\":3}");
    }

    #[test]
    fn without_edits_nothing_is_copied() {
        let text = Bytes::from(vec![b'x'; 64]);
        assert_eq!(splice(&text, &[]).as_ptr(), text.as_ptr());
    }
}
