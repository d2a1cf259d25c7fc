//! Blocks: what calls of a file are looked up by, written once for each few thousand of them.
//!
//! A block has two sorted lists of (fingerprint, id): by trace and by session. Whoever looks something up searches lists by
//! bisection, and reads only those of which a filter, made when a block is first seen, says that they may hold it.

use rusqlite::{Connection, params};

use super::Entry;

/// Rows of a block. Its two lists take 48 KiB each.
pub(super) const ROWS: usize = 4096;
/// A fingerprint and an id, both with the highest byte first, so that bytes sort like numbers.
const ENTRY: usize = 12;

/// Which list of a block.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lists {
    Traces,
    Sessions,
}

/// Writes a block of these calls.
pub(super) fn write(connection: &Connection, batch: i64, mut entries: Vec<Entry>) -> rusqlite::Result<()> {
    let mut list = |of: fn(&Entry) -> u32| {
        entries.sort_unstable_by_key(|entry| (of(entry), entry.id));
        let mut bytes = Vec::with_capacity(ENTRY * entries.len());
        for entry in &entries {
            bytes.extend_from_slice(&of(entry).to_be_bytes());
            bytes.extend_from_slice(&entry.id.to_be_bytes());
        }
        bytes
    };
    let (traces, sessions) = (list(|entry| entry.trace), list(|entry| entry.session));
    connection.execute("INSERT OR REPLACE INTO block VALUES (?1, ?2, ?3)", params![batch, traces, sessions])?;
    Ok(())
}

/// What the blocks seen so far may hold, of traces and of sessions, in their order.
#[derive(Default)]
pub(super) struct Filters([Vec<(i64, Filter)>; 2]);

impl Filters {
    /// The ids that stand with `print` in blocks. Of those that were seen before, only a list is read that may hold it.
    pub(super) fn find(&mut self, connection: &Connection, lists: Lists, print: u32) -> rusqlite::Result<Vec<i64>> {
        let (seen, old, new) = match lists {
            Lists::Traces => (
                &mut self.0[0],
                "SELECT traces FROM block WHERE batch = ?1",
                "SELECT batch, traces FROM block WHERE batch > ?1 ORDER BY batch",
            ),
            Lists::Sessions => (
                &mut self.0[1],
                "SELECT sessions FROM block WHERE batch = ?1",
                "SELECT batch, sessions FROM block WHERE batch > ?1 ORDER BY batch",
            ),
        };
        let mut ids = Vec::new();
        let mut read = connection.prepare_cached(old)?;
        for (batch, _) in seen.iter().filter(|(_, filter)| filter.may_hold(print)) {
            read.query_row([batch], |row| {
                ids.extend(bisect(row.get_ref(0)?.as_blob()?, print));
                Ok(())
            })?;
        }
        let mut read = connection.prepare_cached(new)?;
        let mut rows = read.query([seen.last().map_or(0, |(batch, _)| *batch)])?;
        while let Some(row) = rows.next()? {
            let list = row.get_ref(1)?.as_blob()?;
            ids.extend(bisect(list, print));
            seen.push((row.get(0)?, Filter::of(list)));
        }
        Ok(ids)
    }
}

/// The ids that stand with `print` in a sorted list.
fn bisect(list: &[u8], print: u32) -> Vec<i64> {
    let (entries, _) = list.as_chunks::<ENTRY>();
    let wanted = print.to_be_bytes();
    let first = entries.partition_point(|entry| entry[..4] < wanted[..]);
    let same = entries[first..].iter().take_while(|entry| entry[..4] == wanted[..]);
    same.map(|entry| i64::from_be_bytes(entry[4..].try_into().expect("eight of twelve bytes"))).collect()
}

/// Bits of a [`Filter`]: sixteen for each entry of a block.
const BITS: usize = 65_536;
/// What a fingerprint is multiplied by for each of its bits: odd numbers without a pattern.
const FACTORS: [u32; 4] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f];

/// Which fingerprints a list may hold: a Bloom filter with four bits for each. Takes 8 KiB, a sixth of its list; one look in
/// 400 is in vain (4,096 fingerprints: (1 − e^(−1/4))⁴).
struct Filter(Box<[u64]>);

impl Filter {
    fn of(list: &[u8]) -> Self {
        let mut words = vec![0; BITS / 64].into_boxed_slice();
        for entry in list.as_chunks::<ENTRY>().0 {
            for bit in bits(u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]])) {
                words[bit / 64] |= 1 << (bit % 64);
            }
        }
        Self(words)
    }

    fn may_hold(&self, print: u32) -> bool {
        bits(print).into_iter().all(|bit| self.0[bit / 64] & (1 << (bit % 64)) != 0)
    }
}

fn bits(print: u32) -> [usize; 4] {
    FACTORS.map(|factor| print.wrapping_mul(factor) as usize >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_misses_nothing_and_is_seldom_wrong() {
        let print = |nth: u32| super::super::session_print("anonymous", &format!("session-{nth}"));
        let mut list: Vec<u8> = Vec::new();
        for nth in 0..u32::try_from(ROWS).unwrap() {
            list.extend([&print(nth).to_be_bytes()[..], &[0; 8]].concat());
        }
        let filter = Filter::of(&list);
        assert!((0..4096).all(|nth| filter.may_hold(print(nth))));
        let wrong = (10_000..110_000).filter(|nth| filter.may_hold(print(*nth))).count();
        assert!(wrong < 1000, "{wrong} of 100,000");
    }
}
