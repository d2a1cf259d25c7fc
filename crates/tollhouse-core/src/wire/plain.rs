//! Finds the end of a run of plain string bytes: where a JSON string ends, is escaped, or is broken.
//!
//! This is where the time of a message goes. Most strings are keys and short values: their first bytes are looked at a
//! word at a time. What goes on beyond that is a text: block by block it is only asked whether there is anything at
//! all, which every processor answers in a few vector instructions, and the block that has it is looked through by
//! words again.

/// Bytes looked at in one step of a short string.
const WORD: usize = size_of::<u64>();
/// Words looked at before a string is taken for a long one.
const SHORT_WORDS: usize = 2;
/// Bytes looked at in one step of a long string.
const BLOCK: usize = 32;

/// Is this byte something else than a part of a string's text: a quote, a backslash, a control character?
const fn special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..b' ')
}

/// The first byte at or behind `at` that is not plain, or the end.
#[inline]
pub(super) fn plain_end(text: &[u8], mut at: usize) -> usize {
    for _ in 0..SHORT_WORDS {
        let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<WORD>) else { return end_in_tail(text, at) };
        let hits = hits(u64::from_le_bytes(*word));
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += WORD;
    }
    long_end(text, at)
}

/// The highest bit of each byte that is not plain. Bits above the lowest one set may be wrong: subtracting from a
/// byte that is hit borrows from the next.
#[inline]
const fn hits(word: u64) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; WORD]);
    // With this bit turned over, the quote stands right behind the control characters, in the place of the blank.
    let quoted = word ^ (EACH * 2);
    let below = quoted.wrapping_sub(EACH * (b' ' as u64 + 1)) & !quoted;
    let escaped = word ^ (EACH * b'\\' as u64);
    let equal = escaped.wrapping_sub(EACH) & !escaped;
    (below | equal) & (EACH * 0x80)
}

fn long_end(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        if any_special(block) {
            break;
        }
        at += BLOCK;
    }
    while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<WORD>) {
        let hits = hits(u64::from_le_bytes(*word));
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += WORD;
    }
    end_in_tail(text, at)
}

/// Element by element and without a way out, which is the form that compilers turn into vector code.
#[inline]
fn any_special(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(false, |any, &byte| any | (byte == b'"') | (byte == b'\\') | (byte < b' '))
}

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
