//! What somebody writes into the box above the list: `server:files`, `!tool:read`, `failed`, `>100`, a name, an id.

use tollhouse_core::ids::CallId;

use super::super::address::Address;
use crate::api::query::term;

/// Words that are read.
const WORDS_MAX: usize = 16;

/// `address` with what `text` says added, or the word that says nothing.
pub(super) fn added(address: &Address, text: &str) -> Result<Address, String> {
    words(text).into_iter().take(WORDS_MAX).try_fold(address.clone(), |address, word| one(&address, &word).ok_or(word))
}

fn one(address: &Address, word: &str) -> Option<Address> {
    if word.len() == 32 && word.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Some(address.plain(&format!("/traces/{}", word.to_ascii_lowercase())));
    }
    if CallId::parse(word).is_some() {
        return Some(address.with("row", word));
    }
    if matches!(word, "failed" | "errors" | "error") {
        return Some(address.with("errors", "true").without("before"));
    }
    if let Some(least) = word.strip_prefix('>') {
        let least: u64 = least.trim_start_matches('=').trim_end_matches("ms").trim().parse().ok()?;
        return Some(address.with("min_ms", least).without("before"));
    }
    let (exclude, rest) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest));
    let (field, value) = match rest.split_once(':') {
        Some((field, value)) => (field, value.strip_prefix("eq:").unwrap_or(value)),
        None => ("tool", rest),
    };
    if value.is_empty() {
        return None;
    }
    term(&format!("{field}:eq:{value}"))?;
    Some(address.chosen(field, value, exclude))
}

/// Words are apart by spaces; what stands in quotation marks is kept together.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for char in text.chars() {
        match char {
            '"' => quoted = !quoted,
            char if char.is_whitespace() && !quoted => words.push(std::mem::take(&mut word)),
            char => word.push(char),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added_to(query: &str, text: &str) -> Result<String, String> {
        added(&Address::read("/calls", Some(query)), text).map(|address| address.to_string())
    }

    #[test]
    fn words_become_what_the_address_says() {
        for (text, expected) in [
            ("server:files !tool:read", "/calls?f=server:eq:files&f=!tool:eq:read"),
            ("client:\"Claude Desktop\"", "/calls?f=client:eq:Claude%20Desktop"),
            ("server:eq:a:b", "/calls?f=server:eq:a:b"),
            ("read_file failed >250ms", "/calls?f=tool:eq:read_file&errors=true&min_ms=250"),
            ("4BF92F3577B34DA6A3CE929D0E0E4736", "/traces/4bf92f3577b34da6a3ce929d0e0e4736"),
            ("  ", "/calls"),
        ] {
            assert_eq!(added_to("", text).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(added_to("range=6h&before=x&row=y", "a").as_deref(), Ok("/calls?range=6h&f=tool:eq:a"));
    }

    #[test]
    fn a_word_that_says_nothing_is_named() {
        for text in ["cost:3", "a >fast", "server:", "!"] {
            assert!(added_to("", text).is_err(), "{text}");
        }
        assert_eq!(added_to("", "a >fast"), Err(">fast".to_owned()));
    }
}
