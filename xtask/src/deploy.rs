//! What is made for those who operate the gateway: dashboards from a table, the cookbook's page from its file.
//!
//! Everything that names a metric is held against the program's own catalogue: `tidy` asks [`names`], and [`files`]
//! what can be known of the rest.

mod boards;
mod cookbook;
pub(crate) mod files;
mod grafana;
pub(crate) mod names;

use std::fs;

use anyhow::Context as _;
use serde_json::Value;

pub(crate) use self::cookbook::read as cookbook;
use crate::ground::Ground;

/// What `cargo xtask docs` writes of it.
pub(crate) fn pages(ground: &Ground) -> anyhow::Result<Vec<(String, String)>> {
    let mut pages = vec![(cookbook::PAGE.to_owned(), cookbook::page(&cookbook::read(ground)?)?)];
    pages.extend(boards::BOARDS.iter().map(|board| (grafana::path(board), grafana::page(board))));
    Ok(pages)
}

/// A YAML file of the repository.
fn yaml(ground: &Ground, path: &str) -> anyhow::Result<Value> {
    let text = fs::read_to_string(ground.root.join(path)).with_context(|| format!("read {path}"))?;
    serde_saphyr::from_str(&text).with_context(|| format!("read {path}"))
}
