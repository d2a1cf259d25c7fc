//! Finds the end of a run of plain string bytes: where a JSON string ends, is escaped, or is broken.
//!
//! This is where the time of a message goes. Keys and short values end in the first block, and texts with a line break
//! every few dozen bytes have short runs too: so a block is no longer than a processor's smallest vector. Whether it
//! holds anything is asked of all its bytes at once, where it is only of the block that does.

/// Bytes compared in one step.
const BLOCK: usize = 16;
/// Half of them: what a register holds.
const WORD: usize = size_of::<u64>();

/// Is this byte something else than a part of a string's text: a quote, a backslash, a control character?
const fn special(byte: u8) -> bool {
    // With this bit turned over, the quote stands right behind the control characters, in the place of the blank.
    (byte ^ 0b10) <= b' ' || byte == b'\\'
}

/// The first byte at or behind `at` that is not plain, or the end.
#[inline]
pub(super) fn plain_end(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        // Without a way out in between, which is the form that compilers turn into vector code on every processor.
        if block.iter().fold(false, |any, &byte| any | special(byte)) {
            let (words, _) = block.as_chunks::<WORD>();
            let low = hits(u64::from_le_bytes(words[0]));
            let (before, hits) = if low == 0 { (WORD, hits(u64::from_le_bytes(words[1]))) } else { (0, low) };
            return at + before + hits.trailing_zeros() as usize / 8;
        }
        at += BLOCK;
    }
    end_in_tail(text, at)
}

/// The highest bit of each byte that is not plain, the first byte's lowest. Bits above the lowest one set may be wrong:
/// subtracting from a byte that is hit borrows from the next.
#[inline]
const fn hits(word: u64) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; WORD]);
    let turned = word ^ (EACH * 0b10);
    let below = turned.wrapping_sub(EACH * (b' ' as u64 + 1)) & !turned;
    let escape = word ^ (EACH * b'\\' as u64);
    let equal = escape.wrapping_sub(EACH) & !escape;
    (below | equal) & (EACH * 0x80)
}

/// The same where less than a block is left of the whole text.
#[inline(never)]
fn end_in_tail(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && !special(text[at]) {
        at += 1;
    }
    at
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
        for place in 0..100 {
            for byte in 0..=u8::MAX {
                let mut text = [b'x'; 100];
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
