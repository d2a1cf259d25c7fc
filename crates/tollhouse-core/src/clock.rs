//! The one place that reads the wall clock and the system's randomness.
//!
//! Monotonic time comes from `tokio::time::Instant`, which tests can pause; the wall clock only dates a record
//! and the first bits of an id. Nothing is decided by it: it may jump.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads the wall clock. For dating, never for measuring.
pub fn wall() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "this is the seam the ban points to")]
    SystemTime::now()
}

/// Milliseconds since 1970-01-01 UTC; 0 for a clock set before that.
pub fn unix_millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Fills `bytes` from the system's cryptographic generator: for everything that must not be guessed.
///
/// # Panics
/// If the system has no generator, which means it cannot run this program safely.
pub fn secret_bytes(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system provides randomness");
}

/// A fast generator for ids that need to be distinct, not secret.
///
/// One per thread, seeded from the system, so that minting an id costs nanoseconds and no lock.
pub fn distinct_u64() -> u64 {
    use std::cell::Cell;
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    STATE.with(|state| {
        let mut seed = state.get();
        if seed == 0 {
            let mut bytes = [0; 8];
            secret_bytes(&mut bytes);
            seed = u64::from_ne_bytes(bytes) | 1;
        }
        // SplitMix64 (Steele, Lea, Flood 2014): every state is visited once, so ids of one thread never repeat.
        seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        state.set(seed);
        let mut mixed = seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn distinct_ids_do_not_repeat() {
        let mut seen: Vec<u64> = (0..10_000).map(|_| super::distinct_u64()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 10_000);
    }
}
