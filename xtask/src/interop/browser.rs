//! A real browser walks over every page of a gateway under traffic: what it complains of, what an accessibility checker
//! finds, what the keyboard does, and what is left without scripts. `tests/interop/browser` does the walking.
//!
//! It leaves pictures of every page in `target/interop/browser`, to be looked at.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::gateway::Gateway;
use super::peer;
use super::{Site, empty, tools};

/// Debian's is the same for all, and has its libraries with it.
const BROWSER: &str = "chromium";

/// What drives it, and what judges pages.
const PACKAGES: [&str; 2] = ["playwright-core@1.65.1", "axe-core@4.14.1"];

/// About fifty pages, each looked at several times.
const WALK_LIMIT: Duration = Duration::from_mins(8);

/// One question to the gateway.
const ASK_LIMIT: Duration = Duration::from_secs(20);

/// Starts the gateway, logs in and walks.
pub(super) fn take(site: &Site<'_>) -> anyhow::Result<()> {
    tools::debian(site, BROWSER, BROWSER)?;
    let node = tools::node(site)?;
    let modules = tools::npm(site, "browsing", &PACKAGES)?;
    let pictures = site.installed("browser");
    empty(&pictures)?;

    let demo = |name| json!({ "command": site.tollhouse, "args": ["demo-server", name] });
    // Nobody is there, and nobody is to wait for it.
    let gone = json!({ "url": format!("http://127.0.0.1:{}/mcp", peer::free_port()?), "retry": { "attempts": 0 } });
    let servers = json!({ "almanac": demo("almanac"), "notes": demo("notes"), "gone": gone });
    let gateway = Gateway::start_with(site, "browsed", &json!({ "servers": servers }))?;

    let mut dashboard = site.command(&site.tollhouse);
    dashboard.arg("--data-dir").arg(site.scratch.path().join("browsed.data"));
    dashboard.args(["--admin", gateway.admin().trim_start_matches("http://"), "dashboard"]);
    let link = peer::run(dashboard, &site.logs.join("link"), ASK_LIMIT)?.well().context("ask for a link")?;

    let mut walk = site.command(node);
    walk.arg(site.brought("browser/walk.mjs")).args([gateway.origin(), gateway.admin(), link.trim()]);
    walk.arg(modules).arg(&pictures);
    let told = peer::run(walk, &site.logs.join("walk"), WALK_LIMIT)?.well()?;
    for line in told.lines() {
        eprintln!("  {line}");
    }
    Ok(())
}
