//! Which crate may use which. Every other edge would tie a knot that only a manifest can prevent.

use anyhow::Context as _;
use serde_json::Value;

use super::Findings;
use crate::ground::{Ground, output};

/// Each crate of the workspace, and those of ours it may use. A new crate needs a row.
const ALLOWED: &[(&str, &[&str])] = &[
    ("tollhouse", &["tollhouse-web", "tollhouse-proxy", "tollhouse-store", "tollhouse-telemetry", "tollhouse-core"]),
    ("tollhouse-web", &["tollhouse-proxy", "tollhouse-store", "tollhouse-telemetry", "tollhouse-core"]),
    ("tollhouse-proxy", &["tollhouse-core"]),
    ("tollhouse-store", &["tollhouse-core"]),
    ("tollhouse-telemetry", &["tollhouse-core"]),
    ("tollhouse-core", &[]),
    // Those that try the whole may use its words, never its parts.
    ("tollhouse-tests", &["tollhouse-core"]),
    // It fills a store, which no gateway could do in a minute.
    ("tollhouse-bench", &["tollhouse-core", "tollhouse-store"]),
    ("tollhouse-fixture", &[]),
    ("xtask", &[]),
];

/// Reads the manifests as cargo does.
pub(super) fn check(ground: &Ground) -> anyhow::Result<Findings> {
    let read = output(&mut ground.cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"]))?;
    let metadata: Value = serde_json::from_str(&read).context("read what cargo says of the workspace")?;
    let packages = metadata["packages"].as_array().context("find the packages of the workspace")?;
    Ok(packages.iter().flat_map(check_crate).collect())
}

fn check_crate(package: &Value) -> Findings {
    let name = package["name"].as_str().unwrap_or_default();
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        return vec![format!("xtask/src/tidy/edges.rs: the crate `{name}` has no row")];
    };
    let used = package["dependencies"].as_array().into_iter().flatten().filter_map(|used| used["name"].as_str());
    used.filter(|used| ALLOWED.iter().any(|(ours, _)| ours == used) && !allowed.contains(used))
        .map(|used| format!("{name}/Cargo.toml: `{name}` must not use `{used}`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check_crate;

    fn check(name: &str, uses: &[&str], findings: usize) {
        let uses: Vec<_> = uses.iter().map(|name| json!({"name": name})).collect();
        assert_eq!(check_crate(&json!({"name": name, "dependencies": uses})).len(), findings, "{name}");
    }

    #[test]
    fn an_edge_that_is_not_in_the_table_is_found() {
        check("tollhouse-core", &["bytes"], 0);
        check("tollhouse-core", &["tollhouse-proxy"], 1);
        check("tollhouse-telemetry", &["tollhouse-core", "tollhouse-proxy", "tollhouse"], 2);
        check("tollhouse-unheard-of", &[], 1);
    }
}
