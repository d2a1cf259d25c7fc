//! What has the form of a key that its issuer made recognisable, private keys, and numbers of payment cards.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::{mark, replaced, slice};

/// Beginnings, and how many characters follow at least.
const PREFIXES: [(&str, usize); 33] = [
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
    ("ya29.", 20),
    ("GOCSPX-", 20),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xoxr-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("sk-", 20),
    ("sk_live_", 16),
    ("rk_live_", 16),
    ("sk_test_", 16),
    ("whsec_", 16),
    ("npm_", 30),
    ("pypi-", 30),
    ("hf_", 20),
    ("SG.", 30),
    ("dop_v1_", 30),
    ("shpat_", 20),
    ("lin_api_", 20),
    ("figd_", 20),
    ("tskey-", 16),
    ("dckr_pat_", 20),
];
/// No key is shorter: most words are done with at a glance.
const KEY_MIN: usize = 15;
const _: () = {
    let mut at = 0;
    while at < PREFIXES.len() {
        assert!(PREFIXES[at].0.len() + PREFIXES[at].1 >= KEY_MIN);
        at += 1;
    }
};

const PRIVATE_KEY: &str = "-----BEGIN ";
/// What stands before a key that is part of an address.
const HOOK: &str = "hooks.slack.com/services/";

/// Digits of a card number.
const CARD: std::ops::RangeInclusive<usize> = 13..=19;

pub(super) fn replace(text: &str) -> Option<String> {
    let mut parts = private_keys(text);
    let inside =
        |parts: &[(usize, usize, String)], at: usize| parts.iter().any(|(start, end, _)| (*start..*end).contains(&at));
    // What words are made of is ASCII: byte by byte is letter by letter.
    let bytes = text.as_bytes();
    let next = |from: usize, of: bool| (from..bytes.len()).find(|at| of_word(bytes[*at]) == of);
    let mut at = 0;
    while let Some(start) = next(at, true) {
        let end = next(start, false).unwrap_or(bytes.len());
        at = end;
        if inside(&parts, start) {
            continue;
        }
        let word = slice(text, start, end);
        if let Some(secret) = key(word) {
            let from = start + secret;
            parts.push((from, end, mark("form", slice(text, from, end))));
        } else if let Some(end) = card(slice(text, start, text.len())).map(|len| start + len) {
            parts.push((start, end, mark("card", slice(text, start, end))));
            at = end;
        }
    }
    parts.sort_unstable_by_key(|(start, ..)| *start);
    replaced(text, &parts)
}

/// Is it one word?
pub(super) fn is_word(text: &str) -> bool {
    text.bytes().all(of_word)
}

/// As [`replace`], of one word.
pub(super) fn replace_word(word: &str) -> Option<String> {
    let found = word.len() >= *CARD.start() && (key(word).is_some() || card(word).is_some());
    found.then(|| replace(word)).flatten()
}

/// What keys are made of.
fn of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'+')
}

/// Where in the word a key begins that reaches to its end.
fn key(word: &str) -> Option<usize> {
    static HOOKS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(HOOK));
    if word.len() < KEY_MIN {
        return None;
    }
    if let Some(at) = HOOKS.find(word.as_bytes()) {
        return Some(at + HOOK.len());
    }
    // A path or a name may stand before it: `token/ghp_…`.
    let parted = word.bytes().enumerate().filter(|(_, byte)| matches!(byte, b'/' | b'+')).map(|(at, _)| at + 1);
    std::iter::once(0).chain(parted).find(|start| begins_key(slice(word, *start, word.len())))
}

fn begins_key(part: &str) -> bool {
    // One look at the first letter, since this is asked of nearly every word there is.
    let Some(first) = part.bytes().next() else { return false };
    let long = |(prefix, least): &(&str, usize)| {
        prefix.as_bytes()[0] == first
            && part.strip_prefix(prefix).is_some_and(|rest| rest.len() >= *least && !rest.contains('/'))
    };
    PREFIXES.iter().any(long) || (first == b'e' && jwt(part))
}

/// A header, which is a JSON object, and what it is of, all in base64 (RFC 7519): claims and a signature, or an encrypted key
/// and what is encrypted.
fn jwt(part: &str) -> bool {
    let mut segments = part.split('.');
    let long = |segment: Option<&str>| segment.is_some_and(|segment| segment.len() >= 8);
    part.starts_with("eyJ") && long(segments.next()) && long(segments.next()) && segments.next().is_some()
}

/// Everything between the marks of a private key; to the end if only its beginning is there.
fn private_keys(text: &str) -> Vec<(usize, usize, String)> {
    static BEGINS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(PRIVATE_KEY));
    let mut parts: Vec<(usize, usize, String)> = Vec::new();
    for at in BEGINS.find_iter(text.as_bytes()) {
        let rest = slice(text, at, text.len());
        let Some(head) = rest.find("PRIVATE KEY-----").filter(|head| *head < 48) else { continue };
        let body = head + "PRIVATE KEY-----".len();
        let end = slice(rest, body, rest.len()).find("-----END ").map_or(rest.len(), |end| body + end);
        if end > body && !slice(rest, body, rest.len()).starts_with(super::MARK) {
            parts.push((at + body, at + end, mark("form", slice(rest, body, end))));
        }
    }
    parts
}

/// How long the number of a card is that the text begins with: its digits perhaps in groups, and their sum right.
fn card(text: &str) -> Option<usize> {
    if !text.starts_with(['3', '4', '5', '6']) {
        return None;
    }
    let (mut digits, mut len, mut end, mut grouped) = ([0; *CARD.end()], 0, 0, false);
    for (at, letter) in text.char_indices() {
        match letter.to_digit(10) {
            Some(digit) => {
                *digits.get_mut(len)? = digit;
                (len, end) = (len + 1, at + 1);
                grouped = false;
            }
            None if matches!(letter, ' ' | '-') && !grouped && len > 0 => grouped = true,
            None if letter == '.' => match slice(text, at + 1, text.len()).chars().next() {
                Some(next) if next.is_ascii_digit() => return None,
                _ => break,
            },
            None if letter.is_ascii_alphanumeric() || letter == '_' => return None,
            None => break,
        }
    }
    // Luhn's check digit (ISO/IEC 7812-1).
    let sum: u32 = digits[..len]
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    (CARD.contains(&len) && sum.is_multiple_of(10)).then_some(end)
}
