//! `cargo xtask docs`: the pages that are made from the program and the dashboards, so that they cannot lag behind.

use std::fs;

use anyhow::Context as _;

use crate::deploy;
use crate::ground::{Ground, output};

/// Each page: where it is, and which words make the program write it.
pub(crate) const PAGES: [(&str, &[&str]); 8] = [
    ("docs/reference/cli.md", &["reference", "cli"]),
    ("docs/reference/configuration.md", &["reference", "configuration"]),
    ("docs/reference/doctor.md", &["reference", "doctor"]),
    ("docs/reference/metrics.md", &["reference", "metrics"]),
    ("deploy/prometheus/compat-gateway.yml", &["reference", "compat-gateway"]),
    ("deploy/prometheus/compat-proxy.yml", &["reference", "compat-proxy"]),
    ("deploy/prometheus/compat-tools.yml", &["reference", "compat-tools"]),
    ("docs/reference/openapi.json", &["reference", "openapi"]),
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
pub(crate) fn pages(ground: &Ground) -> anyhow::Result<Vec<(String, String)>> {
    let program = ground.tollhouse()?;
    let written =
        |(path, words): &(&str, &[&str])| Ok((path.to_string(), output(ground.command(&program).args(*words))?));
    let mut pages = PAGES.iter().map(written).collect::<anyhow::Result<Vec<_>>>()?;
    pages.extend(deploy::pages(ground)?);
    Ok(pages)
}
