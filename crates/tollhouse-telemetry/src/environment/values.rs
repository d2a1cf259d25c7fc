//! Reads single values.

use std::time::Duration;

/// Looks variables up and collects what cannot be read.
pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, warnings: Vec::new() }
    }

    pub(super) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    pub(super) fn into_warnings(self) -> Vec<String> {
        self.warnings
    }

    /// A value without the blanks around it; nothing if nothing is left.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let value = (self.lookup)(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// True for `true`, in any case, and for nothing else.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        let Some(value) = self.text(name) else { return false };
        let (yes, no) = (value.eq_ignore_ascii_case("true"), value.eq_ignore_ascii_case("false"));
        if !yes && !no {
            self.warn(format!("{name} is neither true nor false: it is false"));
        }
        yes
    }

    pub(super) fn count(&mut self, name: &str) -> Option<usize> {
        let value = self.text(name)?;
        let count = value.parse().ok().filter(|count| *count > 0);
        if count.is_none() {
            self.warn(format!("{name} is no whole number above 0"));
        }
        count
    }

    pub(super) fn millis(&mut self, name: &str) -> Option<Duration> {
        let value = self.text(name)?;
        let millis = value.parse().ok().map(Duration::from_millis);
        if millis.is_none() {
            self.warn(format!("{name} is no number of milliseconds"));
        }
        millis
    }

    pub(super) fn ratio(&mut self, name: &str) -> Option<f64> {
        let value = self.text(name)?;
        let ratio = value.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        if ratio.is_none() {
            self.warn(format!("{name} is no number from 0 to 1: it is 1"));
        }
        ratio
    }

    /// `key=value,key=value`, percent-encoded. What is none is left out.
    pub(super) fn pairs(&mut self, name: &str) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for pair in self.text(name).unwrap_or_default().split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').map(|(key, value)| (decoded(key.trim()), decoded(value.trim()))) {
                Some((Some(key), Some(value))) if !key.is_empty() => pairs.push((key, value)),
                // Its text may be half of a secret.
                _ => self.warn(format!("{name} holds something that is no key=value")),
            }
        }
        pairs
    }
}

/// The text that a percent-encoded one stands for; a percent sign without two digits stands for itself.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            bytes.push(u8::try_from(high * 16 + low).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}
