//! What a call carried, as far as it may be kept: always a hash of each side, and the content itself, without secrets,
//! where that is asked for.
//!
//! Worked out beside the call, from the bytes its record still holds. The hash is keyed by the process: it says that two
//! contents are equal and lets nobody try out what they were.

use std::sync::OnceLock;

use bytes::Bytes;

use super::CallRecord;
use crate::clock;
use crate::redact;
use crate::shape::shape;
use crate::wire::{Members, Span};

/// Bytes of each side that are kept, without secrets.
pub const CONTENT_MAX: usize = 32 << 10;
/// The shape of arguments is kept up to this many bytes.
const SHAPE_LEN_MAX: usize = 512;
/// A longer side is hashed by its beginning, its end and its length.
const HASHED_WHOLE: usize = 16 << 10;

/// What answered a call, as it is looked at when the call is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The whole message.
    Message(Bytes),
    /// Its result or its error alone: what is long is not searched for it again.
    Part(Bytes),
}

impl Answer {
    /// Bytes that it holds.
    pub fn len(&self) -> usize {
        let (Self::Message(bytes) | Self::Part(bytes)) = self;
        bytes.len()
    }

    /// Is there nothing in it?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its result or its error.
    fn part(&self) -> Option<&[u8]> {
        match self {
            Self::Message(message) => answered(message),
            Self::Part(part) => Some(part),
        }
    }
}

/// What is kept of content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Of the arguments.
    pub request_hash: Option<Digest>,
    /// Of the result or the error.
    pub response_hash: Option<Digest>,
    /// The shape of the arguments: names and kinds, no values.
    pub shape: Option<Box<str>>,
    /// The content itself, if it is captured.
    pub content: Option<Box<Content>>,
}

/// The content of a call without secrets: JSON, shortened if need be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The arguments.
    pub arguments: Option<Box<str>>,
    /// The result, or the error.
    pub result: Option<Box<str>>,
    /// Something was left out because it was too long.
    pub truncated: bool,
    /// Secrets that were replaced.
    pub redactions: u32,
}

/// The beginning of a keyed hash: BLAKE3 (O'Connor, Aumasson, Neves, Wilcox-O'Hearn), which uses the widest vectors that the
/// processor has; of a call of 32 KiB, HMAC-SHA-256 took a quarter of the whole time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    fn of(bytes: &[u8]) -> Self {
        static KEY: OnceLock<[u8; 32]> = OnceLock::new();
        let key = KEY.get_or_init(|| {
            let mut secret = [0; 32];
            clock::secret_bytes(&mut secret);
            secret
        });
        let hash = if bytes.len() <= HASHED_WHOLE {
            blake3::keyed_hash(key, bytes)
        } else {
            let mut hasher = blake3::Hasher::new_keyed(key);
            hasher.update(&bytes[..HASHED_WHOLE / 2]);
            hasher.update(&bytes[bytes.len() - HASHED_WHOLE / 2..]);
            hasher.update(&bytes.len().to_le_bytes());
            hasher.finalize()
        };
        Self(hash.as_bytes().first_chunk().copied().unwrap_or_default())
    }
}

impl Seen {
    /// What is kept of a call; with `capture`, its content too.
    pub fn of(record: &CallRecord, capture: bool) -> Self {
        let arguments = record.arguments.as_deref();
        let answer = record.answer.as_ref().and_then(Answer::part);
        let content = (capture && (arguments.is_some() || answer.is_some())).then(|| {
            let mut content = Content::default();
            content.arguments = arguments.map(|raw| content.keep(raw));
            content.result = answer.map(|raw| content.keep(raw));
            Box::new(content)
        });
        Self {
            request_hash: arguments.map(Digest::of),
            response_hash: answer.map(Digest::of),
            shape: arguments.map(|raw| shape(raw, SHAPE_LEN_MAX).into()),
            content,
        }
    }
}

impl Content {
    fn keep(&mut self, raw: &[u8]) -> Box<str> {
        let redacted = redact::json(raw, CONTENT_MAX);
        self.truncated |= redacted.truncated;
        self.redactions = self.redactions.saturating_add(u32::try_from(redacted.redactions).unwrap_or(u32::MAX));
        redacted.json.into()
    }
}

/// What an answer says: its result, or its error.
fn answered(message: &[u8]) -> Option<&[u8]> {
    if message.len() > u32::MAX as usize {
        return None;
    }
    let members = Members::of(message, Span::new(0, message.len()));
    members.get("result").or_else(|| members.get("error")).map(|span| span.of(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_results_have_equal_hashes_whatever_the_id() {
        let hash = |message: &str| answered(message.as_bytes()).map(Digest::of);
        let one = hash(r#"{"jsonrpc":"2.0","id":1,"result":{"a":1}}"#);
        assert!(one.is_some());
        assert_eq!(one, hash(r#"{"jsonrpc":"2.0","result":{"a":1},"id":"7"}"#));
        assert_ne!(one, hash(r#"{"jsonrpc":"2.0","id":1,"result":{"a":2}}"#));
        assert!(hash(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#).is_some());
        assert_eq!(hash(r#"{"jsonrpc":"2.0","method":"x"}"#), None);
    }

    #[test]
    fn long_content_is_hashed_by_its_ends_and_its_length() {
        let long = vec![b'x'; 40 << 10];
        let mut other = long.clone();
        *other.last_mut().unwrap() = b'y';
        assert_ne!(Digest::of(&long), Digest::of(&other));
        assert_ne!(Digest::of(&long), Digest::of(&long[1..]));
    }

    #[test]
    fn content_is_kept_without_secrets_and_within_its_bound() {
        let long = format!(r#"{{"note":"{}","api_key":"CANARY-1"}}"#, "word ".repeat(20_000));
        let mut content = Content::default();
        let kept = content.keep(long.as_bytes());
        assert!(kept.len() <= CONTENT_MAX && !kept.contains("CANARY"), "{} bytes", kept.len());
        assert!(content.truncated && content.redactions == 1);
        assert!(serde_json::from_str::<serde_json::Value>(&kept).is_ok());
    }
}
