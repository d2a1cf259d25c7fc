//! A real collector, and agents and servers with the SDK of OpenTelemetry: the traces of agents go on through the gateway
//! to servers, and what the gateway sends of them is understood, over gRPC and over HTTP, as protobuf and as JSON, with gzip.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::gateway::Gateway;
use super::peer::{self, Peer};
use super::{Site, tools};

/// The collector, which brings its program along, and what agent and servers are made of.
const PACKAGES: [&str; 5] = [
    "rotel==0.0.1a15",
    "mcp==2.3.0",
    "opentelemetry-sdk==1.45.2",
    "opentelemetry-exporter-otlp-proto-grpc==1.45.2",
    "opentelemetry-exporter-otlp-proto-http==1.45.2",
];

const START_LIMIT: Duration = Duration::from_secs(30);
/// The calls take a second; each wait for what comes of them 25 at most.
const PLAY_LIMIT: Duration = Duration::from_secs(150);

/// Once over each transport.
pub(super) fn take(site: &Site<'_>) -> anyhow::Result<()> {
    let python = tools::python(site, "otlp", &PACKAGES)?.join("python");
    let rotel = tools::rotel(site, &python)?;
    for protocol in ["grpc", "http/protobuf", "http/json"] {
        let name = protocol.replace('/', "-");
        let (grpc, http, sink) = (peer::free_port()?, peer::free_port()?, peer::free_port()?);
        let _collector = collector(site, &rotel, &name, [grpc, http, sink])?;
        let port = if protocol == "grpc" { grpc } else { http };
        let endpoint = format!("http://127.0.0.1:{port}");
        let told = play(site, &python, &name, protocol, &endpoint, sink)?;
        eprintln!("  {protocol}: {}", told.trim_end().replace('\n', ", "));
    }
    Ok(())
}

/// One that hands on what it gets to the agent, who knows what is to come.
fn collector(site: &Site<'_>, rotel: &Path, name: &str, [grpc, http, sink]: [u16; 3]) -> anyhow::Result<Peer> {
    let mut command = site.command(rotel);
    command.arg("start").args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"]);
    command.arg(format!("--otlp-exporter-endpoint=http://127.0.0.1:{sink}"));
    command.arg("--otlp-exporter-retry-initial-backoff=200ms");
    command.arg(format!("--otlp-grpc-endpoint=127.0.0.1:{grpc}"));
    command.arg(format!("--otlp-http-endpoint=127.0.0.1:{http}"));
    let mut peer = Peer::start(command, &site.logs.join(format!("rotel-{name}")))?;
    // It says nothing once it listens.
    peer.until(START_LIMIT, || [grpc, http].iter().all(|port| peer::listens(*port)))?;
    Ok(peer)
}

fn play(
    site: &Site<'_>,
    python: &Path,
    name: &str,
    protocol: &str,
    endpoint: &str,
    sink: u16,
) -> anyhow::Result<String> {
    // The SDK of agent and servers writes no JSON.
    let theirs = if protocol == "http/json" { "http/protobuf" } else { protocol };
    let sending = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", theirs)];
    let script = site.brought("otlp/server.py");
    let listening = peer::free_port()?;
    let mut two = site.command(python);
    two.arg(&script).arg("two").arg(listening.to_string()).envs(sending);
    let mut two = Peer::start(two, &site.logs.join(format!("two-{name}")))?;
    two.until(START_LIMIT, || peer::listens(listening))?;

    let env: Value = sending.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let one = json!({ "command": python, "args": [script, "one"], "env": env });
    let servers = json!({ "one": one, "two": { "url": format!("http://127.0.0.1:{listening}/mcp") } });
    let more = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "200"),
    ];
    let gateway = Gateway::start_in(site, &format!("otlp-{name}"), &json!({ "servers": servers }), &more)?;

    let mut agent = site.command(python);
    agent.arg(site.brought("otlp/agent.py")).arg(gateway.origin()).args([&sink.to_string(), protocol]).envs(sending);
    peer::run(agent, &site.logs.join(format!("agent-{name}")), PLAY_LIMIT)?.well()
}
