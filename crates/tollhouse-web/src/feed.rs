//! The newest calls, for whoever watches: numbered, kept in a ring, handed out from any number on.
//!
//! Nobody has a queue of their own. A watcher has only the number it has seen; when it comes back it gets what was recorded since, and if the
//! ring does not go back so far, it is told that. A slow watcher therefore costs nothing, and one that was away goes on where it was.
//!
//! While nobody watches, calls are only counted. Drawing a page counts as watching for a while, so that nothing falls between the page and
//! its stream.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tollhouse_core::clock;
use tollhouse_store::Call;

/// Calls that are kept. Full: the oldest goes.
const KEPT: usize = 2000;
/// How long calls are kept for somebody who has drawn a page or read a stream, in milliseconds. A browser that hides a page for longer
/// fetches it anew.
const ATTENTION_MS: u64 = 120_000;

/// How far somebody has seen: the start of the program, and the number of a call since then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    boot: u32,
    number: u64,
}

impl Seen {
    /// Reads what [`fmt::Display`] writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (boot, number) = text.split_once('-')?;
        let hexadecimal = boot.len() == 8 && boot.bytes().all(|digit| digit.is_ascii_hexdigit());
        let boot = hexadecimal.then(|| u32::from_str_radix(boot, 16).ok())??;
        Some(Self { boot, number: number.parse().ok()? })
    }

    /// Calls recorded until then, since the program started.
    pub(crate) fn number(self) -> u64 {
        self.number
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.boot, self.number)
    }
}

/// What was recorded since somebody looked.
#[derive(Debug)]
pub(crate) struct Since {
    /// The calls, oldest first; `None` if they are not all kept any more, or the number is of another start.
    pub(crate) calls: Option<Vec<Arc<Call>>>,
    /// How far that goes.
    pub(crate) until: Seen,
}

/// See the module.
pub(crate) struct Feed {
    boot: u32,
    ring: Mutex<Ring>,
    moved: watch::Sender<()>,
    /// Milliseconds since 1970 until which calls are kept.
    attention: AtomicU64,
}

#[derive(Default)]
struct Ring {
    /// The number of the newest call.
    number: u64,
    /// The newest calls, without a gap, the newest last.
    calls: VecDeque<Arc<Call>>,
}

impl Feed {
    pub(crate) fn new() -> Self {
        let mut boot = [0; 4];
        clock::secret_bytes(&mut boot);
        Self {
            boot: u32::from_be_bytes(boot),
            ring: Mutex::default(),
            moved: watch::Sender::new(()),
            attention: AtomicU64::new(0),
        }
    }

    /// Does anybody watch?
    pub(crate) fn watched(&self) -> bool {
        clock::unix_millis(clock::wall()) < self.attention.load(Ordering::Relaxed)
    }

    /// Takes the next call; without one it is only counted.
    pub(crate) fn push(&self, call: Option<Arc<Call>>) {
        let mut ring = self.ring();
        ring.number += 1;
        match call {
            Some(call) => {
                if ring.calls.len() == KEPT {
                    ring.calls.pop_front();
                }
                ring.calls.push_back(call);
                drop(ring);
                self.moved.send_replace(());
            }
            None => ring.calls.clear(),
        }
    }

    /// How far everything goes at this moment; calls are kept from now on.
    pub(crate) fn attend(&self) -> Seen {
        let until = clock::unix_millis(clock::wall()).saturating_add(ATTENTION_MS);
        self.attention.fetch_max(until, Ordering::Relaxed);
        Seen { boot: self.boot, number: self.ring().number }
    }

    /// What was recorded since.
    pub(crate) fn since(&self, seen: Seen) -> Since {
        let ring = self.ring();
        let until = Seen { boot: self.boot, number: ring.number };
        let behind = ring.number.checked_sub(seen.number).filter(|_| seen.boot == self.boot);
        let first = behind.and_then(|behind| ring.calls.len().checked_sub(usize::try_from(behind).ok()?));
        Since { calls: first.map(|first| ring.calls.range(first..).cloned().collect()), until }
    }

    /// Tells when there is something to look for.
    pub(crate) fn moved(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tollhouse_store::conformance::call;

    use super::*;

    fn pushed(feed: &Feed, calls: u64) {
        (0..calls).for_each(|nth| feed.push(feed.watched().then(|| Arc::new(call(nth)))));
    }

    fn found(feed: &Feed, seen: Seen) -> Option<usize> {
        feed.since(seen).calls.map(|calls| calls.len())
    }

    #[test]
    fn who_comes_back_gets_what_was_recorded_since_and_nothing_twice() {
        let feed = Feed::new();
        let start = feed.attend();
        pushed(&feed, 3);
        let since = feed.since(start);
        assert_eq!(
            since.calls.unwrap().iter().map(|call| call.id).collect::<Vec<_>>(),
            [0, 1, 2].map(|nth| call(nth).id)
        );
        assert_eq!(found(&feed, since.until), Some(0));
        pushed(&feed, 1);
        assert_eq!((found(&feed, since.until), found(&feed, start)), (Some(1), Some(4)));
    }

    #[test]
    fn who_was_away_for_too_long_or_comes_from_another_start_is_told() {
        let feed = Feed::new();
        let start = feed.attend();
        pushed(&feed, KEPT as u64);
        assert_eq!(found(&feed, start), Some(KEPT));
        pushed(&feed, 1);
        assert_eq!(found(&feed, start), None);
        let other = Feed::new().attend();
        assert_eq!(found(&feed, Seen { number: 1, ..other }), None);
        let future = Seen { number: start.number + 1_000_000, ..start };
        assert_eq!(found(&feed, future), None);
    }

    #[test]
    fn calls_that_nobody_watched_are_counted_and_no_more() {
        let feed = Feed::new();
        pushed(&feed, 5);
        assert!(feed.ring().calls.is_empty());
        let seen = feed.attend();
        assert_eq!(seen.number(), 5);
        pushed(&feed, 2);
        assert_eq!(found(&feed, seen), Some(2));
        assert_eq!(found(&feed, Seen { number: 4, ..seen }), None);
    }

    #[test]
    fn a_number_is_read_as_it_is_written_and_nothing_else() {
        let seen = Seen { boot: 0xab, number: 42 };
        assert_eq!((seen.to_string().as_str(), Seen::parse("000000ab-42")), ("000000ab-42", Some(seen)));
        for rubbish in ["", "-", "ab-1", "000000ab", "000000ab-", "000000ab--1", "+00000ab-1", "000000ab-1-1"] {
            assert_eq!(Seen::parse(rubbish), None, "{rubbish}");
        }
    }
}
