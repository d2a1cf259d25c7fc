//! What a page shows stands in its address, all of it: `?range=1h&f=server:eq:files&f=!tool:eq:read&row=…&tab=…`.
//!
//! `range` is a length that ends now, two moments with `..` between them, or `all`; `f` chooses calls as in the API; `off` holds a chip that
//! was switched off. `errors` and `min_ms` choose too. What is not known is kept, so that a link made by another version keeps what it says.
//! Every link of a page is made of its own address with something changed, so nothing that was chosen is lost on the way.

use std::fmt;

use tollhouse_core::clock;
use tollhouse_store::question::{Filter, Range, Term};

use super::text::{moment, seen};
use crate::api::query::{Query, length, term};

/// Ranges that are offered.
pub(super) const RANGES: [&str; 7] = ["5m", "15m", "1h", "6h", "24h", "7d", "30d"];
/// What is shown if nothing is said.
const RANGE: &str = "1h";
/// Pairs that are read; a page never makes so many.
const PAIRS_MAX: usize = 64;
/// Bytes of a key or value that are kept.
const VALUE_LEN_MAX: usize = 1024;

/// The address of a page, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    path: String,
    pairs: Vec<(String, String)>,
}

impl Address {
    /// Reads a path and what stands behind its question mark.
    pub(super) fn read(path: &str, query: Option<&str>) -> Self {
        let fits = |pair: &(String, String)| pair.0.len() <= VALUE_LEN_MAX && pair.1.len() <= VALUE_LEN_MAX;
        let pairs = Query::new(query).pairs().filter(fits).take(PAIRS_MAX).collect();
        Self { path: path.to_owned(), pairs }
    }

    /// The value of `key`; of the first, if there are several.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The same with `key` saying `value` and nothing else.
    #[must_use]
    pub(super) fn with(&self, key: &str, value: impl fmt::Display) -> Self {
        self.without(key).and(key, value)
    }

    /// The same with one more pair.
    #[must_use]
    pub(super) fn and(&self, key: &str, value: impl fmt::Display) -> Self {
        let mut changed = self.clone();
        changed.pairs.push((key.to_owned(), value.to_string()));
        changed
    }

    /// The same without `key`.
    #[must_use]
    pub(super) fn without(&self, key: &str) -> Self {
        let pairs = self.pairs.iter().filter(|(name, _)| name != key).cloned().collect();
        Self { path: self.path.clone(), pairs }
    }

    /// The same without this one pair.
    #[must_use]
    pub(super) fn except(&self, key: &str, value: &str) -> Self {
        let pairs = self.pairs.iter().filter(|(name, text)| (name.as_str(), text.as_str()) != (key, value));
        Self { path: self.path.clone(), pairs: pairs.cloned().collect() }
    }

    /// Another page, of the same time and the same calls.
    #[must_use]
    pub(super) fn at(&self, path: &str) -> Self {
        let shared = |key: &str| matches!(key, "range" | "f" | "off" | "errors" | "min_ms");
        let pairs = self.pairs.iter().filter(|(key, _)| shared(key)).cloned().collect();
        Self { path: path.to_owned(), pairs }
    }

    /// Another page, of the same time, with nothing chosen.
    #[must_use]
    pub(super) fn plain(&self, path: &str) -> Self {
        let pairs = self.pairs.iter().filter(|(key, _)| key == "range").cloned().collect();
        Self { path: path.to_owned(), pairs }
    }

    /// The same page with calls chosen by one more term; `row` and where a list went on do not belong to it any more.
    #[must_use]
    pub(super) fn chosen(&self, field: &str, value: &str, exclude: bool) -> Self {
        let term = format!("{}{field}:eq:{value}", if exclude { "!" } else { "" });
        if term.len() > VALUE_LEN_MAX {
            // It would not be read.
            return self.clone();
        }
        self.except("f", &term).except("off", &term).without("before").without("row").without("tab").and("f", term)
    }

    /// Everything it says but `leave`, for a form.
    pub(super) fn hidden(&self, leave: &[&str]) -> Vec<(String, String)> {
        self.pairs.iter().filter(|(key, _)| !leave.contains(&key.as_str())).cloned().collect()
    }

    /// What stands behind its question mark.
    pub(super) fn query(&self) -> String {
        let pairs = self.pairs.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// The text of its range, as it may be shown.
    pub(super) fn range(&self) -> &str {
        self.get("range").filter(|text| span(text).is_some()).unwrap_or(RANGE)
    }

    /// From when to when.
    pub(super) fn span(&self) -> Range {
        span(self.range()).unwrap_or(Range::ALL)
    }

    /// Does its range end now?
    pub(super) fn live(&self) -> bool {
        !self.range().contains("..") && self.get("before").is_none()
    }

    /// Which calls are chosen; what cannot be read chooses nothing.
    pub(super) fn filter(&self) -> Filter {
        Filter {
            range: self.span(),
            terms: self.pairs.iter().filter(|(key, _)| key == "f").filter_map(|(_, text)| term(text)).collect(),
            failed: self.get("errors").is_some_and(|value| value != "false"),
            min_us: self.get("min_ms").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0).saturating_mul(1000),
        }
    }

    /// What calls are chosen by, each to be switched off, turned round or removed.
    pub(super) fn chips(&self) -> Vec<Chip> {
        self.pairs.iter().filter_map(|(key, value)| Chip::of(self, key, value)).collect()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = self.query();
        f.write_str(&self.path)?;
        if query.is_empty() { Ok(()) } else { write!(f, "?{query}") }
    }
}

/// One thing that calls are chosen by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chip {
    /// `server`, `not tool`, `at least`.
    pub(super) field: String,
    /// The value.
    pub(super) value: String,
    /// Does it choose at this moment?
    pub(super) on: bool,
    /// Is it one that nothing is known of?
    pub(super) unknown: bool,
    /// Where it is the other way: on or off.
    pub(super) switch: String,
    /// Where it excludes instead of includes, or the reverse.
    pub(super) turned: Option<String>,
    /// Where it is not.
    pub(super) removed: String,
}

impl Chip {
    fn of(address: &Address, key: &str, value: &str) -> Option<Self> {
        let without = address.except(key, value).without("before");
        let plain = |field: &str, value: String| Self {
            field: field.to_owned(),
            value,
            on: true,
            unknown: false,
            switch: without.to_string(),
            turned: None,
            removed: without.to_string(),
        };
        match key {
            "f" | "off" => {
                let Some(Term { value: text, exclude, .. }) = term(value) else {
                    return Some(Self { unknown: true, ..plain("not understood", seen(value)) });
                };
                let on = key == "f";
                let (name, _) = value.trim_start_matches('!').split_once(':')?;
                let other = if on { "off" } else { "f" };
                let turned = if exclude { value.trim_start_matches('!').to_owned() } else { format!("!{value}") };
                Some(Self {
                    field: format!("{}{name}", if exclude { "not " } else { "" }),
                    on,
                    switch: without.and(other, value).to_string(),
                    turned: Some(without.and(key, turned).to_string()),
                    ..plain("", seen(&text))
                })
            }
            "errors" if value != "false" => Some(plain("only", "failed".to_owned())),
            "min_ms" => Some(plain("at least", format!("{} ms", seen(value)))),
            "range" | "row" | "tab" | "sort" | "before" | "q" | "errors" | "view" => None,
            _ => Some(Self { unknown: true, ..plain(&seen(key), seen(value)) }),
        }
    }
}

/// A range as it is written.
fn span(text: &str) -> Option<Range> {
    if text == "all" {
        return Some(Range::ALL);
    }
    if let Some((from, to)) = text.split_once("..") {
        return Some(Range { from_us: moment(from)?, to_us: moment(to)? }).filter(|range| range.from_us < range.to_us);
    }
    let length_us = u64::try_from(length(text)?.as_micros()).ok()?;
    Some(Range { from_us: now_us().saturating_sub(length_us), to_us: u64::MAX })
}

/// This moment, in microseconds since 1970.
pub(super) fn now_us() -> u64 {
    clock::unix_millis(clock::wall()).saturating_mul(1000)
}

/// Text as it may stand in a query; what filters are made of stays readable.
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:!/,".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to memory does not fail");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Address {
        Address::read("/calls", Some(query))
    }

    #[test]
    fn an_address_comes_back_as_it_was_with_what_is_not_known() {
        for query in
            ["range=15m&f=server:eq:files&f=!tool:eq:a%20b&row=01K&theme=x", "f=tool:eq:%22%3E%3Cscript%3E", ""]
        {
            assert_eq!(read(query).query(), query);
        }
        assert!(read("mood=good").chips()[0].unknown);
    }

    #[test]
    fn a_chip_is_switched_off_and_on_turned_round_and_removed() {
        let address = read("f=server:eq:a&f=!tool:eq:b&before=x");
        let chips = address.chips();
        assert_eq!((chips[1].field.as_str(), chips[1].value.as_str(), chips[1].on), ("not tool", "b", true));
        assert_eq!(chips[1].switch, "/calls?f=server:eq:a&off=!tool:eq:b");
        assert_eq!(chips[1].turned.as_deref(), Some("/calls?f=server:eq:a&f=tool:eq:b"));
        assert_eq!(chips[0].removed, "/calls?f=!tool:eq:b");
        let off = read("off=server:eq:a");
        assert!(off.filter().terms.is_empty() && !off.chips()[0].on);
        assert_eq!(off.chips()[0].switch, "/calls?f=server:eq:a");
    }

    #[test]
    fn a_range_is_a_length_two_moments_or_all_and_rubbish_is_the_default() {
        assert_eq!(read("range=all").span(), Range::ALL);
        let day = read("range=2026-11-20T00:00:00Z..2026-11-21T00:00:00Z");
        assert_eq!(day.span().to_us - day.span().from_us, 86_400_000_000);
        assert!(!day.live() && read("range=5m").live());
        for rubbish in ["range=5x", "range=", "range=b..a", "range=2026-11-21T00:00:00Z..2026-11-20T00:00:00Z"] {
            assert_eq!(read(rubbish).range(), RANGE, "{rubbish}");
        }
    }

    #[test]
    fn another_page_keeps_what_is_chosen_and_leaves_what_is_its_own() {
        let address = read("range=6h&f=server:eq:a&row=1&tab=raw&before=2");
        assert_eq!(address.at("/errors").to_string(), "/errors?range=6h&f=server:eq:a");
        assert_eq!(address.plain("/").to_string(), "/?range=6h");
        assert_eq!(address.chosen("tool", "x&y", true).query(), "range=6h&f=server:eq:a&f=!tool:eq:x%26y");
    }
}
