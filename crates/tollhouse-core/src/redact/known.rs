//! The secrets of the configuration themselves.
//!
//! They are the whole process' own: a server's token may turn up in another server's error. So there is one list, which
//! whoever reads a configuration sets.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;

use super::{mark, replaced};

/// A shorter value is as likely a word as a secret.
const LEN_MIN: usize = 6;
/// More are not kept.
const COUNT_MAX: usize = 1000;

static KNOWN: RwLock<Option<Arc<[Box<str>]>>> = RwLock::new(None);

/// From now on these are known to be secrets, and no others.
pub fn know<'a>(secrets: impl IntoIterator<Item = &'a str>) {
    let mut known: Vec<Box<str>> = secrets
        .into_iter()
        .map(str::trim)
        .filter(|secret| secret.len() >= LEN_MIN)
        .take(COUNT_MAX)
        .flat_map(|secret| {
            let encoded =
                [STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret), percent(secret).into_owned()];
            std::iter::once(secret.into()).chain(encoded.map(String::into_boxed_str))
        })
        .collect();
    // The longest first: one may be the beginning of another.
    known.sort_unstable_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    known.dedup();
    let known = (!known.is_empty()).then(|| known.into());
    *KNOWN.write().unwrap_or_else(PoisonError::into_inner) = known;
}

pub(super) fn replace(text: &str) -> Option<String> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner).clone()?;
    let mut out = Cow::Borrowed(text);
    for secret in known.iter() {
        let found = memmem::find_iter(out.as_bytes(), secret.as_bytes());
        let parts: Vec<_> = found.map(|at| (at, at + secret.len(), mark("known", secret))).collect();
        if let Some(changed) = replaced(&out, &parts) {
            out = Cow::Owned(changed);
        }
    }
    match out {
        Cow::Owned(changed) => Some(changed),
        Cow::Borrowed(_) => None,
    }
}

/// As it stands in a URL.
fn percent(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            write!(out, "%{byte:02X}").expect("writing to memory does not fail");
        }
    }
    Cow::Owned(out)
}
