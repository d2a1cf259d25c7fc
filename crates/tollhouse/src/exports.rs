//! What leaves the gateway for collectors, where the environment says so. Where it does not, nothing of this exists: no
//! queue, no task, no socket, and no call has a span.
//!
//! Telemetry never keeps a gateway from its work: what cannot be followed is warned of, and each signal stands by itself.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tollhouse_core::record::CallRecord;
use tollhouse_core::record::Roots;
use tollhouse_proxy::settings::{self, Tracing, Transport};
use tollhouse_telemetry::environment;
use tollhouse_telemetry::environment::content::Content;
use tollhouse_telemetry::environment::metrics::Metrics;
use tollhouse_telemetry::metrics::export::{Destinations, Settings};
use tollhouse_telemetry::metrics::{self, Target};
use tollhouse_telemetry::otlp::{Counts, Exporter, Signal};
use tollhouse_telemetry::spans::{self, Peer, Spans};
use tracing::{info, warn};

use crate::config::Loaded;
use crate::config::env::{Environment, Process};

/// How long what waits may still leave at the end.
const CLOSING: Duration = Duration::from_secs(5);

/// What leaves.
#[derive(Clone)]
pub(crate) struct Exports {
    environment: environment::Settings,
    metrics: Metrics,
    content: Content,
    /// In the order of [`Signal::ALL`].
    exporters: [Option<Exporter>; 3],
    roots: Roots,
    target: Target,
}

impl Exports {
    /// Begins the export of what the environment asks for, and tells it on standard error, before anything else.
    pub(crate) fn start(tasks: &TaskTracker) -> Self {
        let variable = |name: &str| Process.var(name).and_then(|value| value.into_string().ok());
        let environment = environment::Settings::read(&variable);
        let metrics = Metrics::read(&variable);
        let content = Content::read(&variable);
        if let Some(line) = environment.announcement() {
            tell(&line);
        }
        for warning in environment.warnings.iter().chain(&metrics.warnings) {
            warn!(target: "tollhouse.otel", "OTEL: {warning}");
        }
        let mut target = metrics::Config::of(env!("CARGO_PKG_VERSION")).target;
        let resource = environment.resource(&target.version, &target.instance);
        let named =
            |name: &str| environment.resource.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        target.service = named("service.name").unwrap_or(target.service);
        target.version = named("service.version").unwrap_or(target.version);
        target.instance = named("service.instance.id").unwrap_or(target.instance);
        let exporters = Signal::ALL.map(|signal| {
            let export = environment.export(signal);
            let transport = export.otlp.clone()?;
            if signal == Signal::Traces {
                info!(target: "tollhouse.otel", "OTEL: Initialising tracer");
            }
            Some(Exporter::start(signal, transport, export.batching, resource.clone(), tasks))
        });
        Self { environment, metrics, content, exporters, roots: Roots::default(), target }
    }

    /// What the data plane has to know.
    pub(crate) fn tracing(&self) -> Tracing {
        Tracing {
            spans: self.environment.traces.active().then_some(self.environment.sampler),
            roots: self.roots.clone(),
            context: self.environment.context,
            baggage: self.environment.baggage,
        }
    }

    /// Tells of calls, if spans leave: the pipeline's part, and where it hears of other servers.
    pub(crate) fn telling(&self, loaded: &Loaded) -> Option<(Telling, watch::Sender<Peers>)> {
        let traces = &self.environment.traces;
        if !traces.active() {
            return None;
        }
        let mut spans = Spans::new(spans::Config {
            sampler: self.environment.sampler,
            roots: self.roots.clone(),
            limits: self.environment.limits,
            disabled: self.environment.disabled_tools.clone(),
            compat: loaded.compat.clone(),
            content: self.content.in_spans,
        });
        spans.know(peers(&loaded.settings));
        let (others, servers) = watch::channel(Peers::default());
        let exporter = self.exporter(Signal::Traces).cloned();
        Some((Telling { spans, exporter, console: traces.console, servers, lost: 0 }, others))
    }

    /// What tells of one signal, if anything does.
    pub(crate) fn exporter(&self, signal: Signal) -> Option<&Exporter> {
        self.exporters.iter().flatten().find(|exporter| exporter.signal() == signal)
    }

    /// Where metrics go, if anywhere, and how.
    pub(crate) fn metrics(&self) -> Option<(Destinations, Settings)> {
        let metrics = &self.environment.metrics;
        let to = Destinations { otlp: self.exporter(Signal::Metrics).cloned(), console: metrics.console };
        metrics.active().then(|| (to, self.metrics.settings()))
    }

    /// What is said of metrics.
    pub(crate) fn of_metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What is said of content.
    pub(crate) fn content(&self) -> Content {
        self.content
    }

    /// What this process is.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// What became of everything so far, by signal.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Signal, Counts)> {
        self.exporters.iter().flatten().map(|exporter| (exporter.signal(), exporter.counts()))
    }

    /// Sends what waits, all signals at once, and ends. What does not leave in time is dropped and counted.
    pub(crate) async fn close(&self) {
        let close = async |exporter: &Option<Exporter>| {
            let Some(exporter) = exporter else { return };
            exporter.close(CLOSING).await;
            let (signal, dropped) = (exporter.signal().as_str(), exporter.counts().dropped.iter().sum::<u64>());
            if dropped > 0 {
                warn!(target: "tollhouse.otel", signal, dropped, "OTEL: not everything has reached the collector");
            }
        };
        let [traces, metrics, logs] = &self.exporters;
        tokio::join!(close(traces), close(metrics), close(logs));
    }
}

/// Where the requests to servers go.
pub(crate) type Peers = HashMap<String, Peer>;

/// Tells of finished calls.
pub(crate) struct Telling {
    spans: Spans,
    exporter: Option<Exporter>,
    console: bool,
    servers: watch::Receiver<Peers>,
    /// Spans that were dropped or rejected so far.
    lost: u64,
}

impl Telling {
    /// Hands on the spans of these calls, and says of how many calls, and how many bytes they are. Never waits for a
    /// collector.
    pub(crate) fn tell(&mut self, records: &mut [CallRecord]) -> (usize, usize) {
        if self.servers.has_changed().unwrap_or(false) {
            self.spans.know(self.servers.borrow_and_update().clone());
        }
        if let Some(exporter) = &self.exporter {
            let counts = exporter.counts();
            let lost = counts.rejected + counts.dropped.iter().sum::<u64>();
            if lost != std::mem::replace(&mut self.lost, lost) {
                // The root of a session may be among them, and its calls must not be orphans for ever.
                self.spans.repeat_roots();
            }
        }
        let mut bytes = 0;
        for items in self.spans.of(records) {
            bytes += items.size();
            if self.console {
                for line in spans::lines(&items) {
                    tell(&line);
                }
            }
            if let Some(exporter) = &self.exporter {
                exporter.offer(items);
            }
        }
        (records.iter().filter(|record| record.sampled).count(), bytes)
    }
}

/// Where the requests to these servers go.
pub(crate) fn peers(settings: &settings::Settings) -> Peers {
    let peer = |server: &settings::Server| {
        let peer = match &server.transport {
            Transport::Stdio(_) => Peer::Pipe,
            Transport::Http { url, .. } => Peer::Http {
                address: url.host().unwrap_or_default().to_owned(),
                port: url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 }),
            },
        };
        (server.id.as_str().to_owned(), peer)
    };
    settings.servers.iter().map(peer).collect()
}

/// Writes a line to standard error, whatever the level of lines is.
fn tell(line: &str) {
    use std::io::Write as _;
    // There is nowhere left to tell of an error here.
    let _ = writeln!(std::io::stderr(), "{line}");
}
