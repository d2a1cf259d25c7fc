//! Generated pages are as the program would write them.

use std::fs;

use super::Findings;
use crate::docs;
use crate::ground::Ground;

/// Compares each page with what it should be.
pub(super) fn check(ground: &Ground) -> anyhow::Result<Findings> {
    let pages = docs::pages(ground)?;
    let stale = pages.into_iter().filter(|(path, page)| {
        let kept = fs::read_to_string(ground.root.join(path));
        !kept.is_ok_and(|kept| kept == *page)
    });
    Ok(stale.map(|(path, _)| format!("{path}: is not what the program says; run `cargo xtask docs`")).collect())
}
