//! Puts the components together: the only place that knows more than one side.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollhouse_core::clock;
use tollhouse_proxy::handle::{Handle, ServerSnapshot};
use tollhouse_proxy::record;
use tollhouse_proxy::settings::{self, FrontDoor};
use tollhouse_store::Store;
use tollhouse_telemetry::logs::Log;
use tollhouse_telemetry::metrics::{self, Metrics};
use tollhouse_telemetry::otlp::Signal;
use tollhouse_web::usage::Coverage;
use tollhouse_web::{Login, Losses, Origin, Phase, Recorded, Reloads, Server, Setting, Shown, Snapshot, State};
use tracing::{error, info, warn};

use crate::config::env::{Environment as _, Process};
use crate::config::{self, Capture, Finding, Loaded};
use crate::consistency::{self, Consistency};
use crate::exports::{Exports, Peers};
use crate::history;
use crate::pipeline::{self, Capturing};
use crate::secrets;
use crate::standing::{Beside, Figures};
use crate::token::Token;

/// Which listeners are wanted, and where calls are kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) keep: Keep,
    pub(crate) token: Token,
}

/// Where calls are kept.
#[derive(Debug, Clone, Default)]
pub(crate) enum Keep {
    /// Nowhere.
    #[default]
    Nowhere,
    /// In memory, as long as the program runs.
    Memory,
    /// In files in this directory, for as long as they say.
    In(PathBuf, tollhouse_store::Options),
}

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("open the store")]
pub(crate) struct StoreError(#[from] tollhouse_store::Error);

impl Keep {
    /// In this directory, if in any, as the configuration says.
    pub(crate) fn of(dir: Option<PathBuf>, store: &config::Store) -> Self {
        dir.map_or(Self::Nowhere, |dir| Self::In(dir, tollhouse_store::Options { keep: store.keep }))
    }

    fn open(&self) -> Result<Option<Recorded>, StoreError> {
        let store = match self {
            Self::Nowhere => return Ok(None),
            Self::Memory => {
                let (writer, reader) = tollhouse_store::memory::open();
                Store::over(writer, &reader)?
            }
            Self::In(dir, options) => Store::open(dir, *options)?,
        };
        Ok(Some(Recorded::new(Arc::new(store))))
    }
}

/// A gateway that runs.
pub(crate) struct Program {
    pub(crate) handle: Handle,
    /// Where agents are served.
    pub(crate) listen: Option<SocketAddr>,
    /// Where health is answered and the dashboard is.
    pub(crate) admin: Option<SocketAddr>,
    /// What lets somebody in there.
    login: Option<Arc<Login>>,
    pub(crate) pipeline: JoinHandle<()>,
    pub(crate) recorded: Option<Recorded>,
    pub(crate) tasks: TaskTracker,
    /// Ends the admin listener: last, so that a drain can be watched.
    pub(crate) stop_admin: CancellationToken,
    /// Who may address the admin listener.
    pub(crate) front_door: watch::Sender<FrontDoor>,
    /// The configuration in force, as it is shown.
    pub(crate) shown: watch::Sender<Arc<[Setting]>>,
    /// How the configuration was read again.
    pub(crate) reloads: Arc<Mutex<Reloads>>,
    /// All metrics.
    pub(crate) figures: Arc<Figures>,
    /// What leaves for collectors.
    pub(crate) exports: Exports,
    /// Where the requests to servers go, for the spans that leave; `None` if none do.
    pub(crate) peers: Option<watch::Sender<Peers>>,
    /// Tells all metrics again and again, if they leave; cancelled once all calls are counted.
    pub(crate) collector: Option<(JoinHandle<()>, CancellationToken)>,
    /// Whose content is captured.
    pub(crate) capture: watch::Sender<Capture>,
}

impl Program {
    /// Binds the listeners, then starts everything. A listener that cannot be bound leaves nothing behind.
    pub(crate) async fn build(loaded: &Loaded, wanted: Wanted, log: Log) -> anyhow::Result<Self> {
        let tasks = TaskTracker::new();
        let exports = Exports::start(&tasks);
        let settings = &settings::Settings { tracing: exports.tracing(), ..loaded.settings.clone() };
        secrets::know(settings);
        let mcp = bind(wanted.listen, "--listen").await?;
        let web = bind(wanted.admin, "--admin").await?;
        tell_notices(&loaded.notices);
        let (recorder, records) = record::channel(&settings.limits);
        let kept = wanted.keep.open()?;
        let metrics = Arc::new(Metrics::new(counted(loaded, &exports)));
        let (telling, peers) = exports.telling(loaded).unzip();
        if let Some(exporter) = exports.exporter(Signal::Logs) {
            log.export(exporter.clone());
        }
        let (capture, captured) = watch::channel(loaded.capture.clone());
        let content = exports.content();
        let capturing = Capturing { wanted: captured, fallback: content.captured, told: content.in_events };
        let pipeline = tasks.spawn(pipeline::run(records, log, metrics.clone(), kept.clone(), telling, capturing));
        let handle = Handle::start(settings, recorder).context("start the gateway")?;
        let listen = mcp.map(|listener| handle.listen(listener)).transpose().context("serve agents")?;
        let stop_admin = CancellationToken::new();
        let (front_door, allowed) = watch::channel(settings.front_door.clone());
        let reloads = Arc::<Mutex<Reloads>>::default();
        if let Some(recorded) = &kept {
            history::begin(recorded);
        }
        tasks.spawn(history::watch(handle.clone(), reloads.clone(), kept.clone(), stop_admin.clone()));
        let consistency = Arc::<Consistency>::default();
        if let Some(recorded) = kept.clone() {
            tasks.spawn(consistency::watch(metrics.clone(), recorded, consistency.clone(), stop_admin.clone()));
        }
        let beside = Beside { recorded: kept.clone(), exports: exports.clone(), consistency };
        let counted = metrics.clone();
        let figures = Arc::new(Figures::new(metrics, handle.clone(), beside));
        let collector = exports.metrics().map(|(to, how)| {
            let (figures, stop) = (figures.clone(), CancellationToken::new());
            (tasks.spawn(metrics::export::run(to, how, move || figures.snapshot(), stop.clone())), stop)
        });
        let login = wanted.token.login(&Process)?.filter(|_| kept.is_some());
        let (shown, _) = watch::channel(in_force(loaded, &wanted));
        let mut admin = None;
        if let Some(listener) = web {
            admin = Some(listener.local_addr().context("serve health")?);
            let stop = stop_admin.clone();
            let health = Arc::new({
                let (handle, reloads) = (handle.clone(), reloads.clone());
                move || snapshot(&handle, listen, &reloads)
            });
            let figures = Arc::new({
                let figures = figures.clone();
                move |accepted: &str| figures.expose(accepted)
            });
            let coverage: Coverage = Arc::new(move || counted.known());
            let settings = shown.subscribe();
            let shown = Shown {
                health,
                recorded: kept.clone(),
                settings,
                metrics: Some(figures),
                coverage: Some(coverage),
                login: login.clone(),
            };
            tasks.spawn(async move {
                if let Err(error) = tollhouse_web::serve(listener, shown, allowed, stop).await {
                    error!(target: "tollhouse.admin", %error, "the admin listener ended");
                }
            });
        }
        Ok(Self {
            handle,
            listen,
            admin,
            pipeline,
            login,
            recorded: kept,
            tasks,
            stop_admin,
            front_door,
            shown,
            reloads,
            figures,
            exports,
            peers,
            collector,
            capture,
        })
    }

    /// Where the pages are shown, if anywhere: with a login, a link that is good once.
    pub(crate) fn link(&self) -> Option<String> {
        let admin = self.admin.filter(|_| self.recorded.is_some())?;
        Some(format!("http://{admin}{}", self.login.as_ref().map_or_else(|| "/".to_owned(), |login| login.link())))
    }

    /// Tells every address on standard error.
    pub(crate) fn announce(&self) {
        if let Some(listen) = self.listen {
            info!(target: "tollhouse.program", "mcp listening on http://{listen}/mcp");
            let servers: Vec<String> = self.handle.snapshot().servers.into_iter().map(|server| server.id).collect();
            let servers = servers.join(", ");
            info!(target: "tollhouse.program", "each server by itself at http://{listen}/servers/<id>/mcp: {servers}");
        }
        if let Some(admin) = self.admin {
            info!(target: "tollhouse.program", "admin listening on http://{admin}");
            // A link lets somebody in, so it is for a person at this terminal, and never a log line.
            if let Some(link) = self.link().filter(|_| std::io::stderr().is_terminal()) {
                // Without a standard error nobody reads it.
                let _ = writeln!(std::io::stderr(), "dashboard: {link} (once, within 15 minutes)");
            } else if self.recorded.is_some() {
                info!(target: "tollhouse.program", "`tollhouse dashboard` gives a link to the pages at http://{admin}");
            }
        }
    }
}

/// The configuration in force, as it is shown: the file's, with what was said at the start, and the environment's.
pub(crate) fn in_force(loaded: &Loaded, wanted: &Wanted) -> Arc<[Setting]> {
    let mut settings = loaded.shown.clone();
    let kept = match &wanted.keep {
        Keep::In(dir, _) => Some(dir.display().to_string()),
        Keep::Nowhere | Keep::Memory => None,
    };
    let said = [
        ("listen", wanted.listen.map(|address| address.to_string())),
        ("admin", wanted.admin.map(|address| address.to_string())),
        ("store.path", kept),
    ];
    for (key, value) in said {
        let (Some(value), setting) = (value, settings.iter_mut().find(|setting| setting.key == key)) else { continue };
        match setting {
            Some(setting) if setting.value == value => {}
            Some(setting) => {
                (setting.value, setting.origin, setting.place) = (value, Origin::CommandLine, String::new());
            }
            None => {
                let block = key.split('.').next().unwrap_or_default();
                let beside = |setting: &Setting| setting.key.split('.').next() == Some(block);
                let at = settings.iter().position(beside).unwrap_or(settings.len());
                let setting = Setting { key: key.to_owned(), value, origin: Origin::Default, place: String::new() };
                settings.insert(at, setting);
            }
        }
    }
    let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
    settings.extend(config::environment(std::env::vars_os().map(|(name, value)| (text(name), text(value)))));
    settings.into()
}

/// Which metrics are told, by the file and the environment.
fn counted(loaded: &Loaded, exports: &Exports) -> metrics::Config {
    let variable =
        |name| Process.var(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
    let mut config = metrics::Config::of(env!("CARGO_PKG_VERSION"));
    config.compat.clone_from(&loaded.compat);
    config.target = exports.target().clone();
    config.exponential = exports.of_metrics().exponential;
    config.histograms = loaded.histograms;
    config.examples = exports.of_metrics().examples.unwrap_or_default();
    if let Some(groups) = variable("MCP_METRICS_GROUPS") {
        match metrics::left_out(&groups) {
            Some(off) => config.off = off,
            None => {
                warn!(target: "tollhouse.config", value = groups, "MCP_METRICS_GROUPS names groups that are not known; all are told");
            }
        }
    }
    config
}

/// Tells what the operator should know of a configuration that is in force.
pub(crate) fn tell_notices(notices: &[Finding]) {
    for notice in notices {
        let (code, at) = (notice.code.as_str(), notice.at());
        let (detail, hint) = (notice.detail.as_deref(), notice.hint.as_deref());
        warn!(target: "tollhouse.config", code, at, detail, hint, "{}", notice.found);
    }
}

/// Listens on the address that `flag` names.
async fn bind(address: Option<SocketAddr>, flag: &str) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "listen on {address}: another program does so already, perhaps another gateway\n\
             hint: end that one, or name another address with `{flag}`"
        ),
        Err(error) => Err(error).with_context(|| format!("listen on {address}")),
    }
}

/// What the admin listener tells of the data plane.
pub(crate) fn snapshot(handle: &Handle, listen: Option<SocketAddr>, reloads: &Mutex<Reloads>) -> Snapshot {
    let now = handle.snapshot();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    Snapshot {
        version: env!("CARGO_PKG_VERSION"),
        listen,
        uptime_s: now.uptime.as_secs(),
        phase: if now.draining { Phase::Draining } else { Phase::Serving },
        sessions: count(now.sessions),
        calls_in_flight: count(now.calls_in_flight),
        records_dropped: now.records.dropped,
        losses: Losses {
            messages_dropped: now.losses.messages_dropped,
            connections_cut: now.losses.connections_cut,
            connections_refused: now.losses.connections_refused,
        },
        reloads: reloads.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        servers: now.servers.into_iter().map(server).collect(),
    }
}

fn server(server: ServerSnapshot) -> Server {
    Server {
        id: server.id,
        transport: server.transport.to_owned(),
        era: server.eras.map(ToOwned::to_owned),
        state: match server.state {
            "connected" => State::Connected,
            "connecting" => State::Starting,
            _ => State::Failed,
        },
        reason: server.reason,
        restarts: server.restarts,
        last_error_at_unix_ms: server.last_failure.as_ref().map(|(at, _)| clock::unix_millis(*at)),
        last_error: server.last_failure.map(|(_, cause)| cause),
        tools: server.tools.and_then(|tools| u64::try_from(tools).ok()),
        unvalidated_tools: u64::try_from(server.unvalidated).ok().filter(|tools| *tools > 0),
    }
}
