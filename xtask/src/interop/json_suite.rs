//! `JSONTestSuite`: what is no JSON is refused at the door, and what is leaves with the bytes it came with.

use std::time::Duration;

use serde_json::json;

use super::gateway::Gateway;
use super::peer::{self, Peer};
use super::{Site, tools};

/// Its source distribution holds the suite; later ones do not.
const ORJSON: &str = "orjson==3.10.0";

/// For the recorder to listen.
const START_LIMIT: Duration = Duration::from_secs(10);

/// It takes 2 s.
const SUITE_LIMIT: Duration = Duration::from_mins(2);

/// Sends every file to one server, under its own path and under the path of all servers.
pub(super) fn take(site: &Site<'_>) -> anyhow::Result<()> {
    let archive = tools::sdist(site, "json-suite", ORJSON)?;
    let script = |name: &str| {
        let mut python = site.command("python3");
        python.arg(site.brought("json").join(name));
        python
    };
    let mut recorder = Peer::start(script("recorder.py"), &site.logs.join("recorder"))?;
    let url = recorder.says(START_LIMIT, |said| said.split_once('\n').map(|(url, _)| url.to_owned()))?;
    let gateway = Gateway::start(site, "recorder", &json!({ "recorder": { "type": "http", "url": url } }))?;
    let mut player = script("suite.py");
    player.arg(archive).args([gateway.url("recorder"), gateway.front()]);
    let told = peer::run(player, &site.logs.join("suite"), SUITE_LIMIT)?.well()?;
    eprint!("  {told}");
    Ok(())
}
