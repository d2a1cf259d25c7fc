//! The closing lines of a suite: how many checks of each scenario passed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context as _, ensure};

/// The checks of one scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    passed: u32,
    failed: u32,
}

/// What one run of a suite found.
#[derive(Debug)]
pub(super) struct Summary {
    /// Scenario to counts.
    pub(super) scenarios: BTreeMap<String, Counts>,
    /// Those that a revision does not require: extensions, and what is newer than it.
    unscored: BTreeSet<String>,
}

impl Summary {
    /// Reads what a suite printed.
    pub(super) fn read(printed: &str) -> anyhow::Result<Self> {
        let (_, closing) = printed.rsplit_once("=== SUMMARY ===").context("find the summary")?;
        let scenarios: BTreeMap<String, Counts> = closing.lines().filter_map(scenario).collect();
        let unscored = closing.lines().filter_map(unscored).collect();
        let summary = Self { scenarios, unscored };
        let total = closing.lines().find_map(|line| Counts::read(line.strip_prefix("Total: ")?));
        let counted = Counts { passed: summary.passed(), failed: summary.failed() };
        ensure!(total == Some(counted), "the scenarios give {counted}, which is not the total");
        ensure!(counted.passed > 0, "nothing passed");
        Ok(summary)
    }

    /// Whether everything passed that is required.
    pub(super) fn conforms(&self) -> bool {
        self.scenarios.iter().all(|(name, counts)| counts.failed == 0 || self.unscored.contains(name))
    }

    /// Checks that passed, over all scenarios.
    pub(super) fn passed(&self) -> u32 {
        self.scenarios.values().map(|counts| counts.passed).sum()
    }

    /// Checks that did not.
    pub(super) fn failed(&self) -> u32 {
        self.scenarios.values().map(|counts| counts.failed).sum()
    }
}

/// `✓ ping: 2 passed, 0 failed`, whatever the mark.
fn scenario(line: &str) -> Option<(String, Counts)> {
    let (head, counts) = line.split_once(": ")?;
    let (mark, name) = head.split_once(' ')?;
    (mark.chars().count() == 1).then_some(())?;
    Some((name.to_owned(), Counts::read(counts)?))
}

/// `  ✗ tasks-lifecycle (extension)`, whatever the mark.
fn unscored(line: &str) -> Option<String> {
    let (_mark, name) = line.strip_prefix("  ")?.split_once(' ')?;
    name.split_once(" (").map(|(name, _)| name.to_owned())
}

impl Counts {
    /// `2 passed, 0 failed`, and whatever follows.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(", ");
        let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
        let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
        Some(Self { passed, failed })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

impl fmt::Display for Summary {
    /// What did not pass.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failing = self.scenarios.iter().filter(|(_, counts)| counts.failed > 0);
        failing.into_iter().try_for_each(|(name, counts)| writeln!(f, "  {name}: {counts}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    const PRINTED: &str = "=== SUMMARY ===\n✓ ping: 2 passed, 0 failed\n✗ tools-list: 1 passed, 3 failed\n\n";

    #[test]
    fn every_scenario_is_counted_whatever_its_mark() {
        let summary = Summary::read(&format!("noise\n{PRINTED}Total: 3 passed, 3 failed\n")).unwrap();
        let told: Vec<String> = summary.scenarios.iter().map(|(name, counts)| format!("{name}: {counts}")).collect();
        assert_eq!(told, ["ping: 2 passed, 0 failed", "tools-list: 1 passed, 3 failed"]);
    }

    #[test]
    fn what_a_revision_does_not_require_may_fail() {
        let printed = format!("{PRINTED}Total: 3 passed, 3 failed\n");
        assert!(!Summary::read(&printed).unwrap().conforms());
        assert!(Summary::read(&format!("{printed}\nNot scored:\n  ✗ tools-list (extension)\n")).unwrap().conforms());
    }

    #[test]
    fn a_summary_that_is_cut_short_or_does_not_add_up_is_refused() {
        for printed in [
            "",
            PRINTED,
            &format!("{PRINTED}Total: 9 passed, 3 failed\n"),
            "=== SUMMARY ===\nTotal: 0 passed, 0 failed",
        ] {
            assert!(Summary::read(printed).is_err(), "{printed:?}");
        }
    }
}
