//! The kinds of single values: each knows how it is written, what is out of range, and its schema.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use tollhouse_core::units::ByteSize;

use super::block::Value;
use super::finding::{Code, Findings};
use super::near::nearest;
use super::node::{Content, Node};

/// Longer than any clock of a call, short enough that adding two never overflows.
const LENGTH_MAX: Duration = Duration::from_hours(30 * 24);
/// More than any body that a call may carry.
const SIZE_MAX: u64 = 1 << 40;

/// Reports a value of the right type that will not do, or of a wrong one. Shows it: these are no secrets.
fn refuse<'f>(
    node: &Node,
    code: Code,
    found: &str,
    expected: &str,
    findings: &'f mut Findings,
) -> &'f mut super::finding::Finding {
    findings
        .error(code, &node.place, format!("`{}` {found}", node.place.path))
        .detail(format!("expected {expected}"))
        .value(node.shown())
}

/// Reports a value of a wrong type.
fn refuse_type<'f>(node: &Node, expected: &str, findings: &'f mut Findings) -> &'f mut super::finding::Finding {
    refuse(node, Code::Type, &format!("is {}", node.kind()), expected, findings)
}

macro_rules! inline_schema {
    ($name:literal) => {
        fn inline_schema() -> bool {
            true
        }

        fn schema_name() -> Cow<'static, str> {
            $name.into()
        }
    };
}

impl Value for bool {
    fn read(node: &Node, findings: &mut Findings) -> Option<Self> {
        match &node.content {
            Content::Bool(value, _) => Some(*value),
            Content::Nothing | Content::Number(_) | Content::Text(_) | Content::List(_) | Content::Map(_) => {
                let yes_or_no = node.scalar().is_some_and(|text| {
                    ["yes", "no", "on", "off", "true", "false"].iter().any(|word| text.eq_ignore_ascii_case(word))
                });
                let finding = refuse_type(node, "`true` or `false`", findings);
                if yes_or_no {
                    finding.hint("write `true` or `false`, in small letters and without quotes");
                }
                None
            }
        }
    }
}

/// A whole number within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count<const MIN: u64, const MAX: u64>(pub(crate) u64);

impl<const MIN: u64, const MAX: u64> Value for Count<MIN, MAX> {
    fn read(node: &Node, findings: &mut Findings) -> Option<Self> {
        let expected = format!("a whole number from {} to {}", grouped(MIN), grouped(MAX));
        match &node.content {
            Content::Number(text) => match text.replace('_', "").parse() {
                Ok(value) if (MIN..=MAX).contains(&value) => Some(Self(value)),
                Ok(_) => {
                    refuse(node, Code::Value, "is out of range", &expected, findings);
                    None
                }
                Err(_) => {
                    let found = if text.starts_with('-') { "is negative" } else { "is no whole number" };
                    refuse(node, Code::Value, found, &expected, findings);
                    None
                }
            },
            Content::Text(text) => {
                let in_millis = node.place.path.ends_with("_ms");
                let finding = refuse_type(node, &expected, findings);
                if text.parse::<u64>().is_ok() {
                    finding.hint("write it without quotes");
                } else if let Ok(millis) = quantity(text, &TIME_UNITS) {
                    let (unit, count) = if in_millis { ("milliseconds", millis) } else { ("seconds", millis / 1000) };
                    finding.hint(format!("if it counts in {unit}, write `{count}`"));
                }
                None
            }
            Content::Nothing | Content::Bool(..) | Content::List(_) | Content::Map(_) => {
                refuse_type(node, &expected, findings);
                None
            }
        }
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Count<MIN, MAX> {
    inline_schema!("Count");

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "title": "whole number", "minimum": MIN, "maximum": MAX })
    }
}

/// A share from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share(pub(crate) f64);

impl Value for Share {
    fn read(node: &Node, findings: &mut Findings) -> Option<Self> {
        const EXPECTED: &str = "a share from 0 to 1, such as 0.05 for five in a hundred";
        let Content::Number(text) = &node.content else {
            let percent = node.scalar().and_then(|text| text.strip_suffix('%')?.trim().parse::<f64>().ok());
            let finding = refuse_type(node, EXPECTED, findings);
            if let Some(percent) = percent {
                finding.hint(format!("write `{}`", percent / 100.0));
            }
            return None;
        };
        match text.parse() {
            Ok(value) if (0.0..=1.0).contains(&value) => Some(Self(value)),
            _ => {
                refuse(node, Code::Value, "is out of range", EXPECTED, findings);
                None
            }
        }
    }
}

impl JsonSchema for Share {
    inline_schema!("Share");

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "title": "share", "minimum": 0, "maximum": 1 })
    }
}

/// A length of time with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Length(pub(crate) Duration);

/// Units of time and their milliseconds, longest first.
const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];

impl Length {
    /// As it is written in a file.
    pub(crate) fn written(length: Duration) -> String {
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let (unit, size) = TIME_UNITS.into_iter().find(|(_, size)| millis.is_multiple_of(*size)).unwrap_or(("ms", 1));
        format!("{}{unit}", millis / size)
    }
}

impl Value for Length {
    fn read(node: &Node, findings: &mut Findings) -> Option<Self> {
        const EXPECTED: &str = "a duration such as `500ms`, `30s` or `5min`";
        let bounds = (Duration::from_millis(1), LENGTH_MAX, "a duration from 1ms to 30d");
        duration(node, EXPECTED, bounds, findings).map(Self)
    }
}

/// Reads a duration; the bounds are the least, the most, and both in words.
fn duration(
    node: &Node,
    expected: &'static str,
    (least, most, bounds): (Duration, Duration, &'static str),
    findings: &mut Findings,
) -> Option<Duration> {
    let text = match &node.content {
        Content::Text(text) => text,
        Content::Number(number) => {
            refuse(node, Code::Value, "has no unit", expected, findings)
                .hint(format!("write `{number}s` or `{number}ms`"));
            return None;
        }
        Content::Nothing | Content::Bool(..) | Content::List(_) | Content::Map(_) => {
            refuse_type(node, expected, findings);
            return None;
        }
    };
    match quantity(text, &TIME_UNITS) {
        Ok(millis) => {
            let length = Duration::from_millis(millis);
            if (least..=most).contains(&length) {
                return Some(length);
            }
            refuse(node, Code::Value, "is out of range", bounds, findings);
        }
        Err(Slip::Unit) => {
            refuse(node, Code::Value, "has a unit that is not known", expected, findings)
                .hint(meant_unit(text, &TIME_SLIPS).unwrap_or_else(|| "the units are ms, s, min, h and d".to_owned()));
        }
        Err(Slip::Number) => {
            refuse(node, Code::Value, "is no duration", expected, findings);
        }
    }
    None
}

/// How long something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age(pub(crate) Duration);

/// Nobody reads what is older.
const AGE_MAX: Duration = Duration::from_hours(3650 * 24);

impl Value for Age {
    fn read(node: &Node, findings: &mut Findings) -> Option<Self> {
        let bounds = (Duration::from_mins(1), AGE_MAX, "a duration from 1min to 3650d");
        duration(node, "a duration such as `12h` or `30d`", bounds, findings).map(Self)
    }
}

impl JsonSchema for Age {
    inline_schema!("Age");

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Length::json_schema(generator)
    }
}

impl JsonSchema for Length {
    inline_schema!("Length");

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": "duration", "pattern": r"^[0-9]+(\.[0-9]+)? ?(ms|s|min|h|d)$" })
    }
}

/// A number of bytes with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) ByteSize);

/// Units of size and their bytes, largest first.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Size {
    /// As it is written in a file.
    pub(crate) fn written(ByteSize(bytes): ByteSize) -> String {
        let (unit, size) = SIZE_UNITS.into_iter().find(|(_, size)| bytes.is_multiple_of(*size)).unwrap_or(("B", 1));
        format!("{}{unit}", bytes / size)
    }
}

impl Value for Size {
    fn read(node: &Node, findings: &mut Findings) -> Option<Self> {
        const EXPECTED: &str = "a size such as `64KiB` or `10MiB`";
        let text = match &node.content {
            Content::Text(text) => text,
            Content::Number(number) => {
                let finding = refuse(node, Code::Value, "has no unit", EXPECTED, findings);
                if let Ok(bytes) = number.parse() {
                    finding.hint(format!("write `{}`", Self::written(ByteSize(bytes))));
                }
                return None;
            }
            Content::Nothing | Content::Bool(..) | Content::List(_) | Content::Map(_) => {
                refuse_type(node, EXPECTED, findings);
                return None;
            }
        };
        match quantity(text, &SIZE_UNITS) {
            Ok(bytes @ 1..=SIZE_MAX) => return Some(Self(ByteSize(bytes))),
            Ok(_) => {
                refuse(node, Code::Value, "is out of range", "a size from 1B to 1024GiB", findings);
            }
            Err(Slip::Unit) => {
                refuse(node, Code::Value, "has a unit that is not known", EXPECTED, findings).hint(
                    meant_unit(text, &SIZE_SLIPS).unwrap_or_else(|| "the units are B, KiB, MiB and GiB".to_owned()),
                );
            }
            Err(Slip::Number) => {
                refuse(node, Code::Value, "is no size", EXPECTED, findings);
            }
        }
        None
    }
}

impl JsonSchema for Size {
    inline_schema!("Size");

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": "size", "pattern": r"^[0-9]+(\.[0-9]+)? ?(B|KiB|MiB|GiB)$" })
    }
}

/// What people write for units of time, with what it is here. `m` is refused, since it is minutes to some programs
/// and months to others.
const TIME_SLIPS: [(&str, &[&str]); 4] = [
    ("s", &["sec", "secs", "second", "seconds"]),
    ("min", &["m", "mins", "minute", "minutes"]),
    ("h", &["hr", "hrs", "hour", "hours"]),
    ("d", &["day", "days"]),
];

/// What people write for units of size, with what it most often stands for.
const SIZE_SLIPS: [(&str, &[&str]); 4] = [
    ("B", &["b", "byte", "bytes"]),
    ("KiB", &["k", "kb", "kib"]),
    ("MiB", &["m", "mb", "mib"]),
    ("GiB", &["g", "gb", "gib"]),
];

/// What to write for the quantity in `text`, whose unit is a known slip.
fn meant_unit(text: &str, slips: &[(&str, &[&str])]) -> Option<String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.')?);
    let unit = unit.trim().to_ascii_lowercase();
    let (meant, _) = slips.iter().find(|(_, slips)| slips.contains(&unit.as_str()))?;
    Some(format!("write `{number}{meant}`"))
}

/// What is wrong with a quantity.
enum Slip {
    Number,
    Unit,
}

/// `1.5h` in the smallest of `units`; a fraction of that is dropped.
fn quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, Slip> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().map_err(|_| Slip::Number)?;
    // Three digits are enough for every unit here, and keep this in whole numbers.
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let thousandths: u64 =
        if fraction.is_empty() { return Err(Slip::Number) } else { digits.parse() }.map_err(|_| Slip::Number)?;
    let (_, size) = units.iter().find(|(name, _)| *name == unit.trim_start()).ok_or(Slip::Unit)?;
    Ok(whole.saturating_mul(*size).saturating_add(size * thousandths / 1000))
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) SocketAddr);

impl Value for Address {
    fn read(node: &Node, findings: &mut Findings) -> Option<Self> {
        const EXPECTED: &str = "an address and a port, such as `127.0.0.1:7070` or `[::1]:7070`";
        let Content::Text(text) = &node.content else {
            let finding = refuse_type(node, EXPECTED, findings);
            if let Content::Number(port) = &node.content {
                finding.hint(format!("write `127.0.0.1:{port}`"));
            }
            return None;
        };
        let numeric = match text.strip_prefix("localhost:") {
            Some(port) => Cow::Owned(format!("127.0.0.1:{port}")),
            None => Cow::Borrowed(text.as_str()),
        };
        if let Ok(address) = numeric.parse() {
            return Some(Self(address));
        }
        let finding = refuse(node, Code::Value, "is no address with a port", EXPECTED, findings);
        if let Some(port) = text.strip_prefix([':', '*']) {
            finding.hint(format!("write `127.0.0.1:{}`", port.trim_start_matches(':')));
        } else if text.parse::<std::net::IpAddr>().is_ok() {
            finding.hint("add the port");
        } else {
            finding.hint("names other than `localhost` are not looked up here");
        }
        None
    }
}

impl JsonSchema for Address {
    inline_schema!("Address");

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": "address" })
    }
}

/// Text in which `${NAME}` stands for a variable. It may hold a secret and is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Template(pub(crate) String);

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Template(..)")
    }
}

impl Value for Template {
    fn read(node: &Node, findings: &mut Findings) -> Option<Self> {
        // `PORT: 8080` and `DEBUG: true` mean the text that stands there.
        if let Some(text) = node.scalar() {
            return Some(Self(text.to_owned()));
        }
        let finding = findings
            .error(Code::Type, &node.place, format!("`{}` is {}", node.place.path, node.kind()))
            .detail("expected text");
        match node.content {
            Content::Nothing => {
                finding.hint("write \"\" for empty text");
            }
            Content::Map(_) => {
                finding.hint("put quotes around text that begins with `{` or holds `: `");
            }
            Content::Bool(..) | Content::Number(_) | Content::Text(_) | Content::List(_) => {}
        }
        None
    }
}

impl JsonSchema for Template {
    inline_schema!("Template");

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"], "title": "text" })
    }
}

/// Text that is taken as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl Value for Text {
    fn read(node: &Node, findings: &mut Findings) -> Option<Self> {
        match &node.content {
            Content::Text(text) if text.trim().is_empty() => {
                refuse(node, Code::Value, "is empty", "text", findings);
                None
            }
            Content::Text(text) => Some(Self(text.clone())),
            Content::Nothing | Content::Bool(..) | Content::Number(_) | Content::List(_) | Content::Map(_) => {
                refuse_type(node, "text", findings);
                None
            }
        }
    }
}

impl JsonSchema for Text {
    inline_schema!("Text");

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": "text", "minLength": 1 })
    }
}

/// One of a few words.
pub(crate) trait Words: Copy + 'static {
    /// Its name in the schema.
    const NAME: &'static str;
    /// Each word with what it stands for.
    const WORDS: &'static [(&'static str, Self)];
}

/// A value that is one of a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OneOf<W>(pub(crate) W);

impl<W: Words> Value for OneOf<W> {
    fn read(node: &Node, findings: &mut Findings) -> Option<Self> {
        let words: Vec<_> = W::WORDS.iter().map(|(word, _)| *word).collect();
        let expected = format!("{}{}", if words.len() > 1 { "one of: " } else { "" }, words.join(", "));
        let Content::Text(text) = &node.content else {
            refuse_type(node, &expected, findings);
            return None;
        };
        if let Some((_, value)) = W::WORDS.iter().find(|(word, _)| word == text) {
            return Some(Self(*value));
        }
        let finding = refuse(node, Code::Value, "is a word that is not known here", &expected, findings);
        if let Some(near) = nearest(text, words) {
            finding.hint(format!("did you mean `{near}`?"));
        }
        None
    }
}

impl<W: Words> JsonSchema for OneOf<W> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        W::NAME.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<_> = W::WORDS.iter().map(|(word, _)| *word).collect();
        json_schema!({ "type": "string", "enum": words })
    }
}

/// Text that a rule of its own accepts.
pub(crate) trait Rule: 'static {
    /// What is expected.
    const EXPECTED: &'static str;
    /// Its name in the schema and the reference.
    const NAME: &'static str;
    /// The value as meant, or what is wrong with it, to follow the key: `has a path`.
    fn accept(text: &str) -> Result<String, &'static str>;
}

/// Text that keeps to `R`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept<R> {
    /// As meant.
    pub(crate) text: String,
    rule: std::marker::PhantomData<R>,
}

impl<R: Rule> Value for Kept<R> {
    fn read(node: &Node, findings: &mut Findings) -> Option<Self> {
        let Content::Text(text) = &node.content else {
            refuse_type(node, R::EXPECTED, findings);
            return None;
        };
        match R::accept(text) {
            Ok(text) => Some(Self { text, rule: std::marker::PhantomData }),
            Err(found) => {
                refuse(node, Code::Value, found, R::EXPECTED, findings);
                None
            }
        }
    }
}

impl<R: Rule> JsonSchema for Kept<R> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        R::NAME.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": R::NAME })
    }
}

/// `20000` as `20,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_for_a_value_reads_back_as_it() {
        for length in [1, 1500, 30_000, 300_000, 5_400_000, 86_400_000].map(Duration::from_millis) {
            assert_eq!(quantity(&Length::written(length), &TIME_UNITS).map(Duration::from_millis).ok(), Some(length));
        }
        for bytes in [1, 1023, 10 << 20, 3 << 30] {
            assert_eq!(quantity(&Size::written(ByteSize(bytes)), &SIZE_UNITS).ok(), Some(bytes));
        }
    }

    #[test]
    fn fractions_and_a_space_before_the_unit_are_read() {
        assert_eq!(quantity("1.5h", &TIME_UNITS).ok(), Some(5_400_000));
        assert_eq!(quantity("2.25 s", &TIME_UNITS).ok(), Some(2250));
        assert_eq!(quantity("0.5MiB", &SIZE_UNITS).ok(), Some(512 << 10));
        for no_number in ["", "s", ".5s", "5.s", "-1s", "1e3s", "99999999999999999999s"] {
            assert!(quantity(no_number, &TIME_UNITS).is_err(), "{no_number}");
        }
        assert_eq!(quantity("99999999999d", &TIME_UNITS).ok(), Some(99_999_999_999 * 86_400_000));
    }
}
