//! Takes secrets out of text that is not ours, before it is stored, logged, exported or shown.
//!
//! What is found is replaced by `[REDACTED:rule:hash]`. The hash is keyed by the process, so that equal secrets can be told
//! to be equal and nothing else can be learnt of them. In this order:
//!
//! 1. `known`: the secrets of the configuration themselves, also as base64 and percent-encoded;
//! 2. `key`: values of members, parameters and options whose name says so, at any depth: see [`sensitive`];
//! 3. credentials in URLs and their sensitive parameters, which are cut out;
//! 4. `form`: what has the form of a known kind of key, `card`: numbers of payment cards.
//!
//! A long string alone is no secret: ids survive. Text is shortened only afterwards, since a secret that is cut escapes its
//! pattern. To redact twice changes nothing.
//!
//! Path: what callers and servers say → **`redact`** → `record`, log lines, error answers.

mod forms;
mod json;
mod keys;
mod known;
mod pairs;
mod urls;

pub use json::{Redacted, json};
pub use keys::sensitive;
pub use known::know;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;

/// Text that is longer is not looked through but withheld: nothing that is shown is as long.
const LEN_MAX: usize = 256 << 10;

/// How often the steps are gone through at most, each time because something was found. Three are known to be needed.
const ROUNDS_MAX: usize = 8;

/// How what took the place of a secret begins.
const MARK: &str = "[REDACTED:";

/// `text` without secrets.
pub fn text(text: &str) -> Cow<'_, str> {
    if text.len() > LEN_MAX {
        return Cow::Owned(mark("length", text));
    }
    let known = known::replace(text).map_or(Cow::Borrowed(text), Cow::Owned);
    // Names and ids, mostly one word: only one step can find anything in it.
    let steps: &[fn(&str) -> Option<String>] =
        if forms::is_word(&known) { &[forms::replace_word] } else { &[urls::replace, pairs::replace, forms::replace] };
    // What one step leaves may be what another looks for: a mark can end a word, and so make credentials of what was a path.
    let (mut text, mut found, mut round) = (known, true, 0);
    while found && round < ROUNDS_MAX {
        (found, round) = (false, round + 1);
        for step in steps {
            if let Some(changed) = step(&text) {
                (text, found) = (Cow::Owned(changed), true);
            }
        }
    }
    text
}

/// What takes the place of `secret`.
fn mark(rule: &str, secret: &str) -> String {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    // Keyed by random bits of this process (SipHash): nobody can try out what was there.
    let hash = KEY.get_or_init(RandomState::new).hash_one(secret.as_bytes());
    let mut mark = String::with_capacity(MARK.len() + rule.len() + 10);
    write!(mark, "{MARK}{rule}:{:08x}]", hash >> 32).expect("writing to memory does not fail");
    mark
}

/// `text` with these parts, which rise and are apart, replaced; `None` if there are none.
fn replaced(text: &str, parts: &[(usize, usize, String)]) -> Option<String> {
    if parts.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (start, end, instead) in parts {
        out.push_str(slice(text, at, *start));
        out.push_str(instead);
        at = *end;
    }
    out.push_str(slice(text, at, text.len()));
    Some(out)
}

/// A part of `text` between two boundaries of characters; what is none is empty.
fn slice(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
