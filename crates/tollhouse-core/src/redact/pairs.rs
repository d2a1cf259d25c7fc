//! Names and values inside of text: `token=…`, `"apiKey": "…"`, `Authorization: Bearer …`, `--password …`.

use super::keys::sensitive;
use super::{MARK, mark, replaced, slice};

/// What stands before credentials and is none itself.
const SCHEMES: [&str; 5] = ["bearer", "basic", "token", "digest", "negotiate"];
/// After `Bearer` alone a shorter word is none.
const BARE_MIN: usize = 8;

pub(super) fn replace(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'=' | b':' | b' ')) {
        return None;
    }
    let mut parts: Vec<(usize, usize, String)> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let value = match bytes[at] {
            b'=' | b':' if sensitive(name_before(text, at)) => value_after(text, at + 1),
            b' ' if option_before(text, at) => value_after(text, at + 1).filter(|(start, _)| bytes[*start] != b'-'),
            b' ' if scheme_before(text, at) => value_after(text, at + 1).filter(|(start, end)| end - start >= BARE_MIN),
            _ => None,
        };
        match value {
            Some((start, end)) => {
                parts.push((start, end, mark("key", slice(text, start, end))));
                at = end;
            }
            None => at += 1,
        }
    }
    replaced(text, &parts)
}

fn of_name(letter: char) -> bool {
    letter.is_alphanumeric() || "_-.".contains(letter)
}

/// The name that ends before `at`, perhaps in quotes.
fn name_before(text: &str, at: usize) -> &str {
    let before = slice(text, 0, at).trim_end_matches(' ').trim_end_matches(['"', '\'', '\\']);
    let name = before.trim_end_matches(of_name);
    slice(before, name.len(), before.len())
}

/// Does `--name`, whose value is a secret, end at `at`?
fn option_before(text: &str, at: usize) -> bool {
    let name = name_before(text, at);
    name.starts_with("--") && sensitive(name)
}

/// Does the name of a scheme end at `at`, which nothing but credentials follows?
fn scheme_before(text: &str, at: usize) -> bool {
    let name = name_before(text, at);
    name.eq_ignore_ascii_case("bearer") || name.eq_ignore_ascii_case("basic")
}

/// Where the value that begins at `at` starts and ends; with the scheme before it left out. `None` if there is none, or
/// another stands for it already.
fn value_after(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = slice(text, at, text.len());
    let mut start = at + rest.len() - rest.trim_start_matches([' ', '"', '\'', '\\']).len();
    // Inside of quotes a value may hold blanks.
    let quote = slice(text, at, start).chars().rfind(|letter| matches!(letter, '"' | '\''));
    let end_of = |start: usize| {
        let rest = slice(text, start, text.len());
        let ends = |letter: char| match quote {
            Some(quote) => letter == quote || letter == '\\' || letter == '\n',
            None => letter.is_whitespace() || "\"'&,;)}]<>".contains(letter),
        };
        start + rest.find(ends).unwrap_or(rest.len())
    };
    let end = end_of(start);
    let value = slice(text, start, end);
    let scheme = value.split(' ').next().unwrap_or_default();
    if SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        let next = start + scheme.len();
        let rest = slice(text, next, text.len());
        let blanks = rest.len() - rest.trim_start_matches(' ').len();
        if blanks == 0 {
            return None;
        }
        start = next + blanks;
    }
    let end = end_of(start);
    // What a mark stands in is a value that was taken before, perhaps by the second of two signs.
    let taken = slice(text, start, text.len()).trim_start_matches(['=', ':']).starts_with(MARK);
    // `${NAME}` names a secret and is none.
    let named = slice(text, start, end).starts_with("${");
    (end > start && !taken && !named).then_some((start, end))
}
