//! Names of things: servers, calls, sessions.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::clock;

/// The id of a configured server: 1 to 24 of `[a-z0-9-]`, so that `<server>__<tool>` stays within what model
/// APIs accept as a tool name. `tollhouse` is ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(Arc<str>);

/// Why a text is no [`ServerId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerIdError {
    /// Empty, or longer than 24 characters.
    #[error("a server id has 1 to 24 characters")]
    Length,
    /// A character outside `[a-z0-9-]`.
    #[error("a server id is made of a-z, 0-9 and -")]
    Character,
    /// `tollhouse` names the gateway's own tools.
    #[error("the id `tollhouse` is reserved for the gateway itself")]
    Reserved,
}

impl ServerId {
    /// The longest id.
    pub const MAX_LEN: usize = 24;

    /// Checks `text` against the rule above.
    pub fn new(text: &str) -> Result<Self, ServerIdError> {
        if text.is_empty() || text.len() > Self::MAX_LEN {
            return Err(ServerIdError::Length);
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(ServerIdError::Character);
        }
        if text == "tollhouse" {
            return Err(ServerIdError::Reserved);
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of one call: a ULID of wall-clock milliseconds (48 bits), a sequence (22) and random bits (58).
///
/// Ids of one process never fall, whatever the wall clock does, so sorting by id sorts by arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u128);

/// Milliseconds and sequence of the newest id in one word: the next is at least one more.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Digits of Crockford's base 32, as the ULID specification orders them.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl CallId {
    /// Lets ids go on above `id`, which an earlier process minted.
    pub fn go_on_after(id: Self) {
        LAST.fetch_max(id.stamp(), Ordering::Relaxed);
    }

    /// When it was minted and in which order: never the same twice.
    pub fn stamp(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// What makes it hard to guess.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half of 128 bits")]
    pub fn salt(self) -> u64 {
        self.0 as u64
    }

    /// The id of these two halves.
    pub fn of(stamp: u64, salt: u64) -> Self {
        Self(u128::from(stamp) << 64 | u128::from(salt))
    }

    /// Reads an id as it is shown.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 26 || text.as_bytes()[0] > b'7' {
            return None;
        }
        text.bytes()
            .try_fold(0_u128, |id, byte| {
                let digit = DIGITS.iter().position(|digit| *digit == byte.to_ascii_uppercase())?;
                Some(id << 5 | u128::try_from(digit).ok()?)
            })
            .map(Self)
    }

    /// Mints the id of a call that arrived at `received`.
    pub fn mint(received: SystemTime) -> Self {
        let clock = clock::unix_millis(received) << 16;
        let last = LAST
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(clock.max(last + 1)))
            .expect("the closure always gives a value");
        let stamp = clock.max(last + 1);
        Self(u128::from(stamp) << 64 | u128::from(clock::distinct_u64()))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 26];
        for (place, digit) in text.iter_mut().rev().enumerate() {
            *digit = DIGITS[usize::try_from((self.0 >> (5 * place)) & 31).expect("five bits")];
        }
        f.write_str(std::str::from_utf8(&text).expect("the digits are ASCII"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn ids_never_fall_when_the_clock_does() {
        let noon = UNIX_EPOCH + Duration::from_hours(500_000);
        let first = CallId::mint(noon);
        let second = CallId::mint(noon - Duration::from_hours(1));
        assert!(second > first, "{second} after {first}");
        assert_eq!(first.to_string().len(), 26);
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let id = CallId::mint(UNIX_EPOCH + Duration::from_hours(500_000));
        assert_eq!(CallId::parse(&id.to_string()), Some(id));
        assert_eq!(CallId::parse(&id.to_string().to_lowercase()), Some(id));
        assert_eq!(CallId::of(id.stamp(), id.salt()), id);
        for rubbish in ["", "U1AAAAAAAAAAAAAAAAAAAAAAAA", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "ö1AAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(CallId::parse(rubbish), None, "{rubbish}");
        }
    }

    #[test]
    fn server_ids_keep_to_what_tool_names_allow() {
        assert!(ServerId::new("files-2").is_ok());
        assert_eq!(ServerId::new("Files"), Err(ServerIdError::Character));
        assert_eq!(ServerId::new("a_b"), Err(ServerIdError::Character));
        assert_eq!(ServerId::new(""), Err(ServerIdError::Length));
        assert_eq!(ServerId::new("tollhouse"), Err(ServerIdError::Reserved));
    }
}
