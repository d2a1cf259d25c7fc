//! `cargo xtask docs`: the pages of `docs/reference` that are made from the program, so that they cannot lag behind.

use std::fs;

use anyhow::Context as _;

use crate::ground::{Ground, output};

/// Each page: where it is, and which words make the program write it.
pub(crate) const PAGES: [(&str, &[&str]); 7] = [
    ("docs/reference/cli.md", &["reference", "cli"]),
    ("docs/reference/configuration.md", &["reference", "configuration"]),
    ("docs/reference/doctor.md", &["reference", "doctor"]),
    ("docs/reference/metrics.md", &["reference", "metrics"]),
    ("deploy/prometheus/compat-gateway.yml", &["reference", "compat-gateway"]),
    ("deploy/prometheus/compat-proxy.yml", &["reference", "compat-proxy"]),
    ("deploy/prometheus/compat-tools.yml", &["reference", "compat-tools"]),
];

/// Writes every page.
pub(crate) fn run(ground: &Ground) -> anyhow::Result<()> {
    for (path, page) in pages(ground)? {
        let path = ground.root.join(path);
        let folder = path.parent().expect("every page is in a folder");
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        fs::write(&path, page).with_context(|| format!("write {}", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

/// What every page should be.
pub(crate) fn pages(ground: &Ground) -> anyhow::Result<Vec<(&'static str, String)>> {
    let program = ground.tollhouse()?;
    PAGES.iter().map(|(path, words)| Ok((*path, output(ground.command(&program).args(*words))?))).collect()
}
