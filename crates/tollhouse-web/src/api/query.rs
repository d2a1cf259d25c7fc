//! What stands behind the question mark: `?range=1h&f=server:eq:files&f=!name:eq:read&errors=true`.
//!
//! `range` is a length that ends now (`5m`, `24h`, `7d`) or `all`; `f` is `field:eq:value`, with `!` in front for all but
//! those; what is not known is refused by name, so that a typing mistake does not show too much.

use std::time::Duration;

use tollhouse_core::clock;
use tollhouse_core::ids::CallId;
use tollhouse_store::question::{Bounds, Field, Filter, Range, Term};

use super::problem::Problem;

/// Most that one answer holds.
const LIMIT_MAX: usize = 1000;

/// The pairs of a query, taken out one by one.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn new(raw: Option<&str>) -> Self {
        let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(k, v)| (decoded(k), decoded(v)))
                .collect(),
        )
    }

    /// All of them, in their order.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (String, String)> {
        self.0.into_iter()
    }

    /// The value of `key`, if it is there.
    pub(crate) fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(at).1)
    }

    /// A switch: `true`, `false`, or nothing.
    pub(crate) fn flag(&mut self, key: &'static str) -> Result<bool, Problem> {
        match self.take(key).as_deref() {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(_) => Err(Problem::question(format!("`{key}` is `true` or `false`"))),
        }
    }

    /// A number.
    pub(crate) fn number(&mut self, key: &'static str) -> Result<Option<u64>, Problem> {
        let parsed = self.take(key).map(|text| text.parse());
        parsed.transpose().map_err(|_| Problem::question(format!("`{key}` is a number")))
    }

    /// How many are wanted: `limit`, else `default`.
    pub(crate) fn limit(&mut self, default: usize) -> Result<usize, Problem> {
        let asked = self.number("limit")?.map_or(default, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(asked.clamp(1, LIMIT_MAX))
    }

    /// Where to go on: `before`.
    pub(crate) fn before(&mut self) -> Result<Option<CallId>, Problem> {
        let parsed = self.take("before").map(|text| CallId::parse(&text));
        match parsed {
            Some(None) => Err(Problem::question("`before` is the `next` of an earlier answer")),
            Some(id) => Ok(id),
            None => Ok(None),
        }
    }

    /// The span of time: `range`, else `default`.
    pub(crate) fn range(&mut self, default: &str) -> Result<Range, Problem> {
        let text = self.take("range").unwrap_or_else(|| default.to_owned());
        if text == "all" {
            return Ok(Range::ALL);
        }
        let length = length(&text)
            .ok_or_else(|| Problem::question("`range` is a length such as `15m`, `24h` or `7d`, or `all`"))?;
        let now_us = now_us().saturating_add(1_000_000);
        let length_us = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        Ok(Range { from_us: now_us.saturating_sub(length_us), to_us: u64::MAX })
    }

    /// Which calls are wanted.
    pub(crate) fn filter(&mut self) -> Result<Filter, Problem> {
        let mut filter = Filter { range: self.range("all")?, failed: self.flag("errors")?, ..Filter::default() };
        filter.min_us = self.number("min_ms")?.unwrap_or(0).saturating_mul(1000);
        while let Some(term) = self.take("f") {
            filter.terms.push(parsed(&term)?);
        }
        Ok(filter)
    }

    /// How far the question goes.
    pub(crate) fn bounds(&mut self) -> Result<Bounds, Problem> {
        Ok(Bounds::quick(self.limit(100)?))
    }

    /// Nothing else may be there.
    pub(crate) fn end(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => Err(Problem::question(format!("`{}` is not known here", key.escape_debug()))),
        }
    }
}

const FIELDS: [(&str, Field); 9] = [
    ("server", Field::Server),
    ("name", Field::Name),
    ("tool", Field::Name),
    ("method", Field::Method),
    ("client", Field::Client),
    ("principal", Field::Principal),
    ("session", Field::Session),
    ("outcome", Field::Outcome),
    ("error", Field::Error),
];

/// A condition as it is written, if it can be read.
pub(crate) fn term(text: &str) -> Option<Term> {
    parsed(text).ok()
}

fn parsed(term: &str) -> Result<Term, Problem> {
    let (exclude, rest) = term.strip_prefix('!').map_or((false, term), |rest| (true, rest));
    let expected = || {
        let fields: Vec<_> = FIELDS.iter().map(|(name, _)| *name).collect();
        Problem::question(format!("`f` is `field:eq:value`, with one of: {}", fields.join(", ")))
    };
    let (name, rest) = rest.split_once(':').ok_or_else(expected)?;
    let value = rest.strip_prefix("eq:").ok_or_else(expected)?;
    let (_, field) = FIELDS.iter().find(|(known, _)| *known == name).ok_or_else(expected)?;
    Ok(Term { field: *field, value: value.to_owned(), exclude })
}

/// Microseconds since 1970, at this moment.
pub(super) fn now_us() -> u64 {
    clock::unix_millis(clock::wall()).saturating_mul(1000)
}

/// Microseconds since 1970 as RFC 3339 writes them.
pub(super) fn instant(at_us: u64) -> String {
    let (day, of_day) = (at_us / 86_400_000_000, at_us % 86_400_000_000 / 1_000_000);
    // Days since 1970 as a date (H. Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = day + 719_468;
    let (cycle, of_cycle) = (shifted / 146_097, shifted % 146_097);
    let year_of_cycle = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_cycle + cycle * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// `90s`, `15m`, `24h`, `7d`.
pub(crate) fn length(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// Percent signs and plus signs put back; what is not UTF-8 then is replaced.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (*first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits"));
                rest = &after[2..];
            }
            (byte, ..) => {
                bytes.push(if byte == b'+' { b' ' } else { byte });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_and_what_is_left_over_refused() {
        let mut query = Query::new(Some("f=server:eq:a%20b&f=!tool:eq:x+y&errors=true&min_ms=5&limit=9999&nope=1"));
        let filter = query.filter().unwrap();
        assert_eq!((filter.failed, filter.min_us), (true, 5000));
        let terms: Vec<_> = filter.terms.iter().map(|term| (term.field, term.value.as_str(), term.exclude)).collect();
        assert_eq!(terms, [(Field::Server, "a b", false), (Field::Name, "x y", true)]);
        assert_eq!(query.limit(100), Ok(LIMIT_MAX));
        assert!(query.end().unwrap_err() == Problem::question("`nope` is not known here"));
    }

    #[test]
    fn a_moment_is_written_as_others_read_it() {
        assert_eq!(instant(1_709_164_800_012_345), "2024-02-29T00:00:00Z");
    }

    #[test]
    fn rubbish_is_refused() {
        for raw in [
            "range=1x",
            "range=",
            "errors=maybe",
            "min_ms=-1",
            "f=server",
            "f=server:like:a",
            "f=cost:eq:1",
            "before=1",
        ] {
            let mut query = Query::new(Some(raw));
            let read = query.filter().and_then(|_| query.before());
            assert!(read.is_err(), "{raw}");
        }
        assert_eq!(decoded("%zz%4"), "%zz%4");
    }
}
