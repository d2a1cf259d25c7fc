//! Finds the end of a run of plain string bytes: where a JSON string ends, is escaped, or is broken.
//!
//! This is where the time of a large message goes, and texts full of escapes have short runs, so the search must be
//! quick for both: sixteen bytes at a step, and the place of the first hit from a bit mask.

/// Is this byte something else than a part of a string's text: a quote, a backslash, a control character?
const fn special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..b' ')
}

/// Bytes compared in one step.
const BLOCK: usize = 16;

/// The first byte at or behind `at` that is not plain, or the end.
pub(super) fn plain_end(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        let hits = hits(block);
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += BLOCK;
    }
    while at < text.len() && !special(text[at]) {
        at += 1;
    }
    at
}

/// A byte of ones for each byte that is not plain, the first byte's lowest. Element by element and without a way
/// out, which is the form that compilers turn into vector code on every processor.
#[inline]
#[expect(clippy::needless_bitwise_bool, reason = "a lazy operator is a way out, and the loop stays a loop")]
fn hits(block: &[u8; BLOCK]) -> u128 {
    let mut found = [0; BLOCK];
    for (found, &byte) in found.iter_mut().zip(block) {
        let hit = (byte == b'"') | (byte == b'\\') | (byte < b' ');
        *found = if hit { u8::MAX } else { 0 };
    }
    u128::from_le_bytes(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(text: &[u8], at: usize) -> usize {
        text[at..].iter().position(|&byte| special(byte)).map_or(text.len(), |found| at + found)
    }

    #[test]
    fn every_byte_is_judged_alike_at_every_place() {
        for place in 0..40 {
            for byte in 0..=u8::MAX {
                let mut text = [b'x'; 40];
                text[place] = byte;
                assert_eq!(plain_end(&text, 0), naive(&text, 0), "{byte} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_search_byte_by_byte_finds_the_same(text in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
            let at = at.index(text.len() + 1);
            prop_assert_eq!(plain_end(&text, at), naive(&text, at));
        }
    }
}
