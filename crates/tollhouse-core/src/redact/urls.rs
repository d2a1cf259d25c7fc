//! URLs, also inside of text: without credentials and sensitive parameters.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::keys::sensitive;
use super::{replaced, slice};

/// Names of parameters that are secrets in a URL and mostly nothing elsewhere.
const PARAMETERS: [&str; 5] = ["sig", "signature", "key", "code", "state"];

pub(super) fn replace(text: &str) -> Option<String> {
    static MARKS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("://"));
    let mut parts = Vec::new();
    let mut end = 0;
    for at in MARKS.find_iter(text.as_bytes()) {
        if at < end {
            continue;
        }
        let start = at + 3;
        let rest = slice(text, start, text.len());
        end = start
            + rest.find(|letter: char| letter.is_whitespace() || "\"'<>`\\{}|".contains(letter)).unwrap_or(rest.len());
        let url = slice(text, start, end);
        let authority = url.find(['/', '?', '#']).unwrap_or(url.len());
        if let Some(at) = slice(url, 0, authority).rfind('@') {
            parts.push((start, start + at + 1, String::new()));
        }
        let Some(query) = url.find(['?', '#']) else { continue };
        let kept = without_secrets(slice(url, query, url.len()));
        if let Some(kept) = kept {
            parts.push((start + query, end, kept));
        }
    }
    replaced(text, &parts)
}

/// A query and fragment, with the mark each begins with; `None` if nothing has to go.
fn without_secrets(query: &str) -> Option<String> {
    let (mut out, mut changed) = (String::with_capacity(query.len()), false);
    // What stands before the next parameter that stays.
    let mut mark = None;
    let mut at = 0;
    while at < query.len() {
        let lead = slice(query, at, at + 1);
        let rest = slice(query, at + 1, query.len());
        let end = rest.find(['&', '#']).unwrap_or(rest.len());
        let parameter = slice(rest, 0, end);
        let name = parameter.split('=').next().unwrap_or_default();
        if lead != "&" {
            mark = Some(lead);
        }
        if parameter.contains('=') && is_secret(name) {
            changed = true;
        } else {
            out.push_str(mark.take().unwrap_or("&"));
            out.push_str(parameter);
        }
        at += 1 + end;
    }
    changed.then_some(out)
}

fn is_secret(name: &str) -> bool {
    let name = decoded(name);
    sensitive(&name)
        || PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known))
        || name.to_ascii_lowercase().starts_with("x-amz-")
}

/// Percent-encoded letters as themselves: a name is not hidden by writing it otherwise.
fn decoded(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
