//! A real Prometheus fetches from a gateway under traffic, with the files of `deploy/prometheus`, and is asked every
//! question of the cookbook and of the dashboards; `promtool` judges the exposition, the rules and their cases.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::gateway::Gateway;
use super::peer::{self, Peer};
use super::{Site, tools};
use crate::deploy;

/// Debian's has `promtool` in the same package.
const PACKAGE: &str = "prometheus";

/// To replay a log that is empty and listen.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Traffic takes 15 s, the questions one.
const ASK_LIMIT: Duration = Duration::from_secs(100);

/// One look at a file.
const LOOK_LIMIT: Duration = Duration::from_secs(20);

/// What the files of `deploy` say, and what is said here instead.
const INTERVAL: (&str, &str) = ("15s", "1s");
const ADMIN: &str = "127.0.0.1:7071";

/// With which the gateway is asked for more than metrics.
const TOKEN: &str = "of-this-step-alone";
/// Names that the conventions give gauges, and that `promtool` would leave to histograms.
const DISPUTED: [&str; 2] = ["process_thread_count ", "process_unix_file_descriptor_count "];
/// How it ends if it only dislikes names.
const DISPUTES: i32 = 3;

/// Judges the files, then plays.
pub(super) fn take(site: &Site<'_>) -> anyhow::Result<()> {
    for program in ["prometheus", "promtool"] {
        tools::debian(site, program, PACKAGE)?;
    }
    let folder = site.ground.root.join("deploy/prometheus");
    for words in [&["check", "config", "prometheus.yml"][..], &["test", "rules", "tests.yml"]] {
        let mut promtool = site.command("promtool");
        promtool.args(words).current_dir(&folder);
        let log = site.logs.join(format!("promtool-{}", words.join("-")));
        peer::run(promtool, &log, LOOK_LIMIT)?.well().with_context(|| format!("promtool {}", words.join(" ")))?;
    }
    eprintln!("  rules and alerts: promtool finds nothing wrong, and every case is as it should be");

    let demo = |name| json!({ "command": site.tollhouse, "args": ["demo-server", name] });
    // Nobody is there, and nobody is to wait for it.
    let gone = json!({ "url": format!("http://127.0.0.1:{}/mcp", peer::free_port()?), "retry": { "attempts": 0 } });
    let servers = json!({ "almanac": demo("almanac"), "notes": demo("notes"), "gone": gone });
    // A collector that takes traces and refuses metrics: it is played by those who ask.
    let collector = peer::free_port()?;
    let endpoint = |signal: &str| format!("http://127.0.0.1:{collector}/v1/{signal}");
    let env = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint("traces")),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", endpoint("metrics")),
        ("OTEL_BSP_SCHEDULE_DELAY", "200".to_owned()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1000".to_owned()),
        ("TOLLHOUSE_ADMIN_TOKEN", TOKEN.to_owned()),
    ];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let telemetry = json!({ "metrics": { "histograms": "both" } });
    let gateway = Gateway::start_in(site, "scraped", &json!({ "servers": servers, "telemetry": telemetry }), &env)?;
    let (_prometheus, origin) = start(site, &folder, gateway.admin(), "exemplar-storage")?;
    // One more that takes native histograms, and then no classic ones of the same name.
    let (_native, native) = start(site, &folder, gateway.admin(), "native-histograms,exemplar-storage")?;

    let boards = deploy::names::boards();
    let boards: Value = boards.into_iter().map(|query| json!({ "place": query.place, "query": query.text })).collect();
    let mut python = site.command("python3");
    python.arg(site.brought("prometheus/ask.py")).args([gateway.origin(), gateway.admin(), &origin]);
    for (name, questions) in [("cookbook.json", deploy::cookbook(site.ground)?), ("boards.json", boards)] {
        let file = site.scratch.path().join(name);
        fs::write(&file, questions.to_string()).with_context(|| format!("write {}", file.display()))?;
        python.arg(file);
    }
    python.args([collector.to_string(), native]).env("TOLLHOUSE_ADMIN_TOKEN", TOKEN);
    let told = peer::run(python, &site.logs.join("ask"), ASK_LIMIT)?.well()?;
    for line in told.lines() {
        eprintln!("  {line}");
    }
    judge(site, gateway.admin())
}

/// Starts one that fetches from the gateway every second, with these features, and answers with its origin.
fn start(site: &Site<'_>, files: &Path, admin: &str, features: &str) -> anyhow::Result<(Peer, String)> {
    let name = format!("prometheus-{}", features.replace(',', "-"));
    let own = site.scratch.path().join(&name);
    fs::create_dir_all(&own).with_context(|| format!("make {}", own.display()))?;
    for name in ["prometheus.yml", "rules.yml", "alerts.yml"] {
        let text = fs::read_to_string(files.join(name)).with_context(|| format!("read {name}"))?;
        let text = if name == "prometheus.yml" {
            ensure!(text.contains(ADMIN) && text.contains(INTERVAL.0), "{name} is not as this step expects it");
            let address = admin.trim_start_matches("http://");
            text.replace(ADMIN, address).replace(INTERVAL.0, INTERVAL.1)
        } else {
            text
        };
        fs::write(own.join(name), text).with_context(|| format!("write {name}"))?;
    }
    let address = format!("127.0.0.1:{}", peer::free_port()?);
    let mut prometheus = site.command("prometheus");
    prometheus.arg(option("--config.file", &own.join("prometheus.yml")));
    prometheus.arg(option("--storage.tsdb.path", &own.join("data")));
    prometheus.arg(format!("--web.listen-address={address}")).arg(format!("--enable-feature={features}"));
    let mut peer = Peer::start(prometheus, &site.logs.join(name))?;
    peer.says(START_LIMIT, |said| said.contains("Server is ready to receive web requests").then_some(()))?;
    Ok((peer, format!("http://{address}")))
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// Gives the exposition to `promtool`, which reads the older text only, so that it is translated first.
fn judge(site: &Site<'_>, admin: &str) -> anyhow::Result<()> {
    let exposition: PathBuf = site.scratch.path().join("metrics.txt");
    let mut fetch = site.command("python3");
    fetch.arg(site.brought("prometheus/classic.py")).arg(format!("{admin}/metrics")).arg(&exposition);
    peer::run(fetch, &site.logs.join("fetch"), LOOK_LIMIT)?.well()?;
    // It reads its standard input, and a step's programs have none.
    let mut promtool: Command = site.command("sh");
    promtool.args(["-c", r#"exec promtool check metrics <"$0" 2>&1"#]).arg(&exposition);
    let judged = peer::run(promtool, &site.logs.join("promtool-check-metrics"), LOOK_LIMIT)?;
    let complaints = judged.stdout.lines().filter(|line| !DISPUTED.iter().any(|name| line.starts_with(name)));
    let complaints: Vec<&str> = complaints.collect();
    ensure!(complaints.is_empty(), "promtool check metrics:\n{}", complaints.join("\n"));
    ensure!([Some(0), Some(DISPUTES)].contains(&judged.status.code()), "promtool check metrics: {}", judged.status);
    eprintln!("  the exposition: promtool finds nothing wrong but names that the conventions of OpenTelemetry give");
    Ok(())
}
