//! Differences that are meant: `tests/interop/expected/<cell>.yaml`. An entry that no longer differs is an error, so
//! that the files only shrink.
//!
//! ```yaml
//! 2026-07-28:
//!   # Why this scenario gives less through the gateway.
//!   some-scenario: 2 passed, 1 failed
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::summary::{Counts, Summary};

/// For suite and scenario, what comes through the gateway.
#[derive(Debug, Default)]
pub(super) struct Expected {
    entries: BTreeMap<(String, String), Counts>,
}

impl Expected {
    /// Reads a file; none means that nothing differs.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).with_context(|| path.display().to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Takes the two levels shown above, and no entry without a comment over it.
    fn parse(text: &str) -> anyhow::Result<Self> {
        let (mut entries, mut suite, mut reason) = (BTreeMap::new(), None, false);
        for (at, line) in text.lines().enumerate() {
            let place = || format!("line {}: `{line}`", at + 1);
            match line.split_once(':') {
                _ if line.trim().is_empty() => {}
                _ if line.trim_start().starts_with('#') => reason = true,
                Some((name, "")) if !name.starts_with(' ') => (suite, reason) = (Some(name.to_owned()), false),
                Some((name, counts)) if name.starts_with("  ") => {
                    let suite = suite.clone().with_context(|| format!("find the suite of {}", place()))?;
                    let counts =
                        Counts::read(counts.trim()).with_context(|| format!("read the counts of {}", place()))?;
                    anyhow::ensure!(reason, "no comment gives the reason of {}", place());
                    entries.insert((suite, name.trim().to_owned()), counts);
                    reason = false;
                }
                _ => bail!("{} is neither a suite nor a scenario", place()),
            }
        }
        Ok(Self { entries })
    }

    /// What differs and is not written down, and what is written down and does not differ.
    pub(super) fn compare(&self, suite: &str, direct: &Summary, through: &Summary) -> Vec<String> {
        let names = direct
            .scenarios
            .keys()
            .chain(through.scenarios.keys().filter(|name| !direct.scenarios.contains_key(*name)));
        let written = |name: &str| self.entries.get(&(suite.to_owned(), name.to_owned()));
        let unexplained = names.filter_map(|name| {
            let (direct, through) = (direct.scenarios.get(name), through.scenarios.get(name));
            match written(name) {
                None if direct != through => Some(format!("{name} gives {}, directly {}", told(through), told(direct))),
                Some(_) if direct == through => Some(format!("{name} is expected to differ and does not")),
                Some(expected) if through != Some(expected) => {
                    Some(format!("{name} gives {}, expected {expected}", told(through)))
                }
                _ => None,
            }
        });
        let unheard = self.entries.keys().filter(|(of, name)| of == suite && !direct.scenarios.contains_key(name));
        unexplained.chain(unheard.map(|(_, name)| format!("{name} is expected to differ and does not exist"))).collect()
    }
}

fn told(counts: Option<&Counts>) -> String {
    counts.map_or("nothing".to_owned(), Counts::to_string)
}

#[cfg(test)]
mod tests {
    use super::{Expected, Summary};

    fn summary(ping: &str) -> Summary {
        Summary::read(&format!("=== SUMMARY ===\n✓ ping: {ping}\nTotal: {ping}\n")).unwrap()
    }

    fn check(expected: &str, through: &str, findings: &[&str]) {
        let expected = Expected::parse(expected).unwrap();
        assert_eq!(expected.compare("A", &summary("2 passed, 0 failed"), &summary(through)), findings);
    }

    const WRITTEN: &str = "A:\n  # The gateway answers it.\n  ping: 1 passed, 1 failed\n";

    #[test]
    fn a_difference_needs_an_entry_and_an_entry_needs_a_difference() {
        check("", "2 passed, 0 failed", &[]);
        check("", "1 passed, 1 failed", &["ping gives 1 passed, 1 failed, directly 2 passed, 0 failed"]);
        check(WRITTEN, "1 passed, 1 failed", &[]);
        check(WRITTEN, "1 passed, 2 failed", &["ping gives 1 passed, 2 failed, expected 1 passed, 1 failed"]);
        check(WRITTEN, "2 passed, 0 failed", &["ping is expected to differ and does not"]);
        check(
            &WRITTEN.replace("ping", "pong"),
            "2 passed, 0 failed",
            &["pong is expected to differ and does not exist"],
        );
        check(&WRITTEN.replace('A', "B"), "2 passed, 0 failed", &[]);
    }

    #[test]
    fn an_entry_without_a_reason_is_refused() {
        for text in [
            "A:\n  ping: 1 passed, 1 failed\n",
            "  # Why.\n  ping: 1 passed, 1 failed\n",
            "A:\n  # Why.\n  ping: all\n",
        ] {
            assert!(Expected::parse(text).is_err(), "{text}");
        }
    }
}
