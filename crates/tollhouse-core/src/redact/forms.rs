//! What has the form of a key that its issuer made recognisable, private keys, and numbers of payment cards.

use memchr::memmem;

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
/// Digits of a card number.
const CARD: std::ops::RangeInclusive<usize> = 13..=19;

pub(super) fn replace(text: &str) -> Option<String> {
    let mut parts = private_keys(text);
    let inside =
        |parts: &[(usize, usize, String)], at: usize| parts.iter().any(|(start, end, _)| (*start..*end).contains(&at));
    let mut at = 0;
    while at < text.len() {
        let rest = slice(text, at, text.len());
        let Some(begin) = rest.find(of_word) else { break };
        let start = at + begin;
        let word = slice(text, start, text.len());
        let end = start + word.find(|letter| !of_word(letter)).unwrap_or(word.len());
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

/// What keys are made of.
fn of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_-./+".contains(letter)
}

/// Where in the word a key begins that reaches to its end.
fn key(word: &str) -> Option<usize> {
    if let Some(at) = word.find("hooks.slack.com/services/") {
        return Some(at + "hooks.slack.com/services/".len());
    }
    // A path or a name may stand before it: `token/ghp_…`.
    let mut starts = std::iter::once(0).chain(word.match_indices(['/', '+']).map(|(at, _)| at + 1));
    starts.find(|start| {
        let part = slice(word, *start, word.len());
        let long = |(prefix, least): &(&str, usize)| {
            part.strip_prefix(prefix).is_some_and(|rest| rest.len() >= *least && !rest.contains('/'))
        };
        PREFIXES.iter().any(long) || jwt(part)
    })
}

/// Header, claims and signature in base64, of which the first two are JSON objects (RFC 7519).
fn jwt(part: &str) -> bool {
    let mut segments = part.split('.');
    let object =
        |segment: Option<&str>| segment.is_some_and(|segment| segment.starts_with("eyJ") && segment.len() >= 8);
    object(segments.next()) && object(segments.next()) && segments.next().is_some()
}

/// Everything between the marks of a private key; to the end if only its beginning is there.
fn private_keys(text: &str) -> Vec<(usize, usize, String)> {
    let mut parts: Vec<(usize, usize, String)> = Vec::new();
    for at in memmem::find_iter(text.as_bytes(), b"-----BEGIN ") {
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
    let (mut digits, mut end, mut grouped) = (Vec::with_capacity(20), 0, false);
    for (at, letter) in text.char_indices() {
        match letter.to_digit(10) {
            Some(digit) => {
                digits.push(digit);
                end = at + 1;
                grouped = false;
            }
            None if matches!(letter, ' ' | '-') && !grouped && !digits.is_empty() => grouped = true,
            None if letter == '.' => match slice(text, at + 1, text.len()).chars().next() {
                Some(next) if next.is_ascii_digit() => return None,
                _ => break,
            },
            None if letter.is_ascii_alphanumeric() || letter == '_' => return None,
            None => break,
        }
        if digits.len() > *CARD.end() {
            return None;
        }
    }
    // Luhn's check digit (ISO/IEC 7812-1).
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    (CARD.contains(&digits.len()) && sum.is_multiple_of(10)).then_some(end)
}
