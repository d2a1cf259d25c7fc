//! Walks the members of an object inside a text that [`super::scan`] has accepted, and reads single values.
//!
//! Reading is by span: the text is not copied, and what is read stays where it is for a later splice. Because the
//! text is known to be valid, skipping a value only has to find its end.

use std::borrow::Cow;

use memchr::memchr3;

use super::plain::plain_end;

/// A range of bytes in a message. Half the size of a `Range<usize>`: messages are capped far below 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Nothing, at the beginning.
    pub const EMPTY: Self = Self { start: 0, end: 0 };

    /// From `start` up to `end`.
    ///
    /// # Panics
    /// If the text is 4 GiB or longer, which no limit allows.
    pub fn new(start: usize, end: usize) -> Self {
        let narrow = |at: usize| u32::try_from(at).expect("messages are capped far below 4 GiB");
        Self { start: narrow(start), end: narrow(end) }
    }

    /// The first byte.
    pub const fn start(self) -> usize {
        self.start as usize
    }

    /// One behind the last byte.
    pub const fn end(self) -> usize {
        self.end as usize
    }

    /// The bytes it covers in `text`.
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start()..self.end()]
    }
}

/// The members of one object, in order: spans of key (without quotes) and value, within the whole text.
#[derive(Debug, Clone)]
pub struct Members<'a> {
    text: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Members<'a> {
    /// The members of the object at `object`; none if there stands something else.
    pub fn of(text: &'a [u8], object: Span) -> Self {
        let inside = text.get(object.start()) == Some(&b'{');
        let at = if inside { object.start() + 1 } else { object.end() };
        Self { text, at, end: object.end() }
    }

    /// The value of the first member called exactly `key`.
    pub fn get(&self, key: &str) -> Option<Span> {
        self.clone().find(|(name, _)| is_key(name.of(self.text), key)).map(|(_, value)| value)
    }
}

impl Iterator for Members<'_> {
    type Item = (Span, Span);

    fn next(&mut self) -> Option<Self::Item> {
        let text = &self.text[..self.end];
        let mut at = skip_blank(text, self.at);
        if text.get(at) == Some(&b',') {
            at = skip_blank(text, at + 1);
        }
        if text.get(at) != Some(&b'"') {
            self.at = self.end;
            return None;
        }
        let key_end = string_end(text, at);
        let key = Span::new(at + 1, key_end - 1);
        let colon = skip_blank(text, key_end);
        let start = skip_blank(text, colon + 1);
        let end = value_end(text, start);
        self.at = end;
        Some((key, Span::new(start, end)))
    }
}

/// Why an object is refused: a parser behind the gateway might read another member than the gateway did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The member stands there twice.
    #[error("`{0}` stands there twice")]
    Duplicate(&'static str),
    /// A member whose name differs in case only.
    #[error("a member differs from `{0}` in case only")]
    CaseVariant(&'static str),
}

/// The members of one object that the gateway reads, each found at most once and in no other spelling.
#[derive(Debug, Clone, Copy)]
pub struct Picked<const N: usize> {
    names: [&'static str; N],
    values: [Option<Span>; N],
}

impl<const N: usize> Picked<N> {
    /// Nothing seen yet of `names`.
    pub const fn new(names: [&'static str; N]) -> Self {
        Self { names, values: [None; N] }
    }

    /// Takes notice of one member.
    pub fn see(&mut self, raw_key: &[u8], value: Span) -> Result<(), KeyError> {
        match self.names.iter().position(|name| raw_key == name.as_bytes()) {
            Some(at) => self.found(at, value),
            None => self.see_odd(raw_key, value),
        }
    }

    /// A key that is none of the names as it stands, but may be one by escapes or case.
    fn see_odd(&mut self, raw_key: &[u8], value: Span) -> Result<(), KeyError> {
        if let Some(at) = self.names.iter().position(|name| is_key(raw_key, name)) {
            return self.found(at, value);
        }
        match self.names.iter().find(|name| folds_to(raw_key, name)) {
            None => Ok(()),
            Some(name) => Err(KeyError::CaseVariant(name)),
        }
    }

    fn found(&mut self, at: usize, value: Span) -> Result<(), KeyError> {
        match self.values[at].replace(value) {
            None => Ok(()),
            Some(_) => Err(KeyError::Duplicate(self.names[at])),
        }
    }

    /// The values found, in the order of the names.
    pub const fn values(self) -> [Option<Span>; N] {
        self.values
    }
}

/// Finds the members called `names` in the object at `object`.
///
/// # Errors
/// One of them stands there twice, or a member differs from one of them in case only.
pub fn pick<const N: usize>(
    text: &[u8],
    object: Span,
    names: [&'static str; N],
) -> Result<[Option<Span>; N], KeyError> {
    let mut picked = Picked::new(names);
    for (key, value) in Members::of(text, object) {
        picked.see(key.of(text), value)?;
    }
    Ok(picked.values())
}

/// The elements of the array at `array`; none if there stands something else.
pub fn elements(text: &[u8], array: Span) -> impl Iterator<Item = Span> {
    let mut at = if text.get(array.start()) == Some(&b'[') { array.start() + 1 } else { array.end() };
    let text = &text[..array.end()];
    std::iter::from_fn(move || {
        let mut start = skip_blank(text, at);
        if text.get(start) == Some(&b',') {
            start = skip_blank(text, start + 1);
        }
        if start >= text.len() || text[start] == b']' {
            at = text.len();
            return None;
        }
        at = value_end(text, start);
        Some(Span::new(start, at))
    })
}

/// The bytes to cut out so that the member `key`: `value` is gone and the object stays one.
pub fn removal(text: &[u8], key: Span, value: Span) -> Span {
    let start = key.start() - 1;
    let behind = skip_blank(text, value.end());
    if text.get(behind) == Some(&b',') {
        return Span::new(start, behind + 1);
    }
    let before = text[..start].trim_ascii_end();
    match before.strip_suffix(b",") {
        Some(rest) => Span::new(rest.len(), value.end()),
        None => Span::new(start, value.end()),
    }
}

/// The bytes to cut out so that no member is left whose key is `unwanted`, and the object stays one.
pub fn cut_members(text: &[u8], object: Span, unwanted: impl Fn(Span) -> bool) -> Vec<Span> {
    let member = |(key, value): (Span, Span)| (Span::new(key.start() - 1, value.end()), unwanted(key));
    cut(Members::of(text, object).map(member))
}

/// The bytes to cut out so that no element is left that is `unwanted`, and the array stays one.
pub fn cut_elements(text: &[u8], array: Span, unwanted: impl Fn(Span) -> bool) -> Vec<Span> {
    cut(elements(text, array).map(|element| (element, unwanted(element))))
}

/// Neighbours go together, up to the one behind them; those at the end together with the comma before them.
fn cut(parts: impl Iterator<Item = (Span, bool)>) -> Vec<Span> {
    let mut cuts = Vec::new();
    let (mut run, mut kept): (Option<Span>, Option<usize>) = (None, None);
    for (part, unwanted) in parts {
        if unwanted {
            run = Some(Span::new(run.map_or(part.start(), Span::start), part.end()));
            continue;
        }
        if let Some(run) = run.take() {
            cuts.push(Span::new(run.start(), part.start()));
        }
        kept = Some(part.end());
    }
    if let Some(run) = run {
        cuts.push(Span::new(kept.unwrap_or(run.start()), run.end()));
    }
    cuts
}

/// Is the raw key `raw` (between its quotes) the member `name`, whichever way it is escaped?
pub fn is_key(raw: &[u8], name: &str) -> bool {
    // An escape is longer than what it stands for.
    raw == name.as_bytes()
        || (raw.len() > name.len() && raw.contains(&b'\\') && unescape(raw).is_some_and(|key| key == name))
}

/// Would a parser that folds case take the raw key `raw` for `name`?
///
/// Some do (CVE-2026-27896), and then read another member than the gateway did. Beside ASCII letters two characters
/// fold into ASCII: U+017F (long s) and U+212A (Kelvin sign).
pub fn folds_to(raw: &[u8], name: &str) -> bool {
    if raw.len() <= name.len() {
        // Every other spelling takes more bytes than the name.
        return raw.eq_ignore_ascii_case(name.as_bytes());
    }
    if raw.iter().all(|&byte| byte.is_ascii() && byte != b'\\') {
        return false;
    }
    let Some(key) = unescape(raw) else { return false };
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}

/// The text of the string value `raw` (with its quotes).
///
/// `None` if it is no string, or holds a NUL or a lone surrogate: nothing the gateway reads may.
pub fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    unescape(inner).filter(|text| !text.contains('\0'))
}

/// The value `raw` as an integer, if it is written as one and fits.
pub fn integer(raw: &[u8]) -> Option<i64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

fn unescape(inner: &[u8]) -> Option<Cow<'_, str>> {
    let inner = std::str::from_utf8(inner).ok()?;
    let Some(first) = inner.find('\\') else { return Some(Cow::Borrowed(inner)) };
    let mut text = String::with_capacity(inner.len());
    let (plain, rest) = inner.split_at(first);
    text.push_str(plain);
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        text.push(match chars.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => unicode_escape(&mut chars)?,
            other => other,
        });
    }
    Some(Cow::Owned(text))
}

/// The character of a `\u` escape, its second half read where it is a surrogate pair.
fn unicode_escape(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let unit = |chars: &mut std::str::Chars<'_>| {
        let mut value = 0;
        for _ in 0..4 {
            value = value << 4 | chars.next()?.to_digit(16)?;
        }
        Some(value)
    };
    let high = unit(chars)?;
    if !(0xD800..0xDC00).contains(&high) {
        return char::from_u32(high);
    }
    if chars.next()? != '\\' || chars.next()? != 'u' {
        return None;
    }
    let low = unit(chars)?;
    if !(0xDC00..0xE000).contains(&low) {
        return None;
    }
    char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
}

fn skip_blank(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// One behind the closing quote of the string that opens at `at`.
fn string_end(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        at = plain_end(text, at);
        match text.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            // A valid string has neither a control character nor an end of text in it.
            _ => return text.len(),
        }
    }
}

/// One behind the value that starts at `at`.
fn value_end(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(b'"') => string_end(text, at),
        Some(open @ (b'{' | b'[')) => nested_end(text, at, *open),
        _ => {
            let scalar = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            text[at.min(text.len())..].iter().position(scalar).map_or(text.len(), |length| at + length)
        }
    }
}

/// One behind the bracket that closes the one at `at`. Only its own kind is counted: the text is valid, so the other
/// kind is balanced in between.
fn nested_end(text: &[u8], at: usize, open: u8) -> usize {
    let close = if open == b'{' { b'}' } else { b']' };
    let (mut at, mut depth) = (at + 1, 1);
    while let Some(found) = text.get(at..).and_then(|rest| memchr3(b'"', open, close, rest)) {
        at += found;
        if text[at] == b'"' {
            at = string_end(text, at);
            continue;
        }
        at += 1;
        if text[at - 1] == open {
            depth += 1;
        } else {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Span {
        Span::new(0, text.len())
    }

    #[test]
    fn members_are_found_behind_any_value() {
        let text = r#"{"a":"}\"{","b":[{"c":"]"},[1]],"d":-1.5e3 , "e":{"f":{}},"g":null}"#;
        let found: Vec<_> = Members::of(text.as_bytes(), whole(text))
            .map(|(k, v)| {
                let of = |span: Span| std::str::from_utf8(span.of(text.as_bytes())).unwrap();
                (of(k), of(v))
            })
            .collect();
        assert_eq!(
            found,
            [("a", r#""}\"{""#), ("b", r#"[{"c":"]"},[1]]"#), ("d", "-1.5e3"), ("e", r#"{"f":{}}"#), ("g", "null")]
        );
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for text in ["[1]", "null", "\"{\"", "{}"] {
            assert_eq!(Members::of(text.as_bytes(), whole(text)).count(), 0, "{text}");
        }
    }

    #[test]
    fn elements_are_found_behind_any_value() {
        let text = r#"[1, {"a":[2]},"],[" ,[]]"#;
        let found: Vec<_> = elements(text.as_bytes(), whole(text))
            .map(|v| std::str::from_utf8(v.of(text.as_bytes())).unwrap())
            .collect();
        assert_eq!(found, ["1", r#"{"a":[2]}"#, r#""],[""#, "[]"]);
        assert_eq!(elements(b"[ ]", Span::new(0, 3)).count(), 0);
    }

    #[test]
    fn a_member_is_cut_out_wherever_it_stands() {
        for (text, rest) in [
            (r#"{"x":1}"#, "{}"),
            (r#"{ "x" : 1 , "b":2}"#, r#"{  "b":2}"#),
            (r#"{"a":0, "x":1 }"#, r#"{"a":0 }"#),
            (r#"{"a":0,"x":1,"b":2}"#, r#"{"a":0,"b":2}"#),
        ] {
            let (key, value) =
                Members::of(text.as_bytes(), whole(text)).find(|(key, _)| key.of(text.as_bytes()) == b"x").unwrap();
            let cut = removal(text.as_bytes(), key, value);
            let mut left = text.to_owned();
            left.replace_range(cut.start()..cut.end(), "");
            assert_eq!(left, rest);
        }
    }

    #[test]
    fn any_choice_of_members_and_elements_is_cut_out() {
        let remaining = |text: &str, cuts: Vec<Span>| {
            let mut left = text.to_owned();
            for cut in cuts.into_iter().rev() {
                left.replace_range(cut.start()..cut.end(), "");
            }
            left
        };
        for (text, rest) in [
            (r#"{"x":1,"y":2}"#, "{}"),
            (r#"{"a":0,"x":1,"y":2}"#, r#"{"a":0}"#),
            (r#"{ "x" : 1 , "a":0 ,"y":2 }"#, r#"{ "a":0 }"#),
            (r#"{"x":1,"a":0,"y":1,"x":2,"b":{"x":3}}"#, r#"{"a":0,"b":{"x":3}}"#),
            (r#"{"a":0}"#, r#"{"a":0}"#),
            ("{ }", "{ }"),
        ] {
            let cuts = cut_members(text.as_bytes(), whole(text), |key| matches!(key.of(text.as_bytes()), b"x" | b"y"));
            assert_eq!(remaining(text, cuts), rest);
        }
        let text = "[1, 0,0 ,2,0]";
        let cuts = cut_elements(text.as_bytes(), whole(text), |element| element.of(text.as_bytes()) == b"0");
        assert_eq!(remaining(text, cuts), "[1, 2]");
    }

    #[test]
    fn spellings_that_a_folding_parser_confuses_are_recognised() {
        assert!(folds_to(b"Method", "method"));
        assert!(folds_to("param\u{17f}".as_bytes(), "params"));
        assert!(folds_to(br"param\u017f", "params"));
        assert!(folds_to("to\u{212a}en".as_bytes(), "token"));
        assert!(!folds_to(b"methods", "method"));
        assert!(is_key(br"m\u0065thod", "method"));
    }

    #[test]
    fn strings_the_gateway_reads_hold_no_nul_and_no_half_character() {
        assert_eq!(text(br#""a\u00e9\ud83d\ude00\n""#).as_deref(), Some("a\u{e9}\u{1f600}\n"));
        assert_eq!(text(br#""\ud800""#), None);
        assert_eq!(text(br#""\ud800\u0041""#), None);
        assert_eq!(text(br#""\u0000""#), None);
        assert_eq!(text(b"7"), None);
    }
}
