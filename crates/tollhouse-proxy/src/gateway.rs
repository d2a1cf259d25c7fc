//! What all calls share: the servers, the sessions, the limits, and the way records leave.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, Guard};
use http::StatusCode;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollhouse_core::fault::Kind;
use tracing::info;

use crate::answer::{Refusal, code};
use crate::clocks::Clocks;
use crate::fleet::Fleet;
use crate::follow_ups::FollowUps;
use crate::losses::Losses;
use crate::names::Names;
use crate::notices::board::Board;
use crate::record::Recorder;
use crate::seal::Seal;
use crate::session::bell::Bell;
use crate::session::identify::Guesses;
use crate::session::legacy::{Endpoint, Openings, Session, Table};
use crate::session::lent::Lent;
use crate::session::mailbox::Mailboxes;
use crate::session::streams::Bounds;
use crate::settings::{self, FrontDoor, Limits, LiveLimits, SessionRule, Settings, Tracing};
use crate::tally::{Ended, Tally};
use crate::upstream::child::Spawner;
use crate::upstream::{OriginError, Upstream};

/// Sessions that are ended at their servers at the same time: when thousands have been idle for too long, their servers
/// get no flood of connections.
const CLOSING: usize = 32;

/// The shared state of the data plane.
pub(crate) struct Gateway {
    pub(crate) fleet: Fleet,
    pub(crate) names: Names,
    pub(crate) seal: Seal,
    /// Which calls asked for input, for the spans of those that bring it.
    pub(crate) follow_ups: FollowUps,
    pub(crate) sessions: Arc<Table>,
    /// Sessions of the gateway's own.
    pub(crate) lent: Lent,
    pub(crate) mailboxes: Arc<Mailboxes>,
    pub(crate) openings: Openings,
    /// Of the streams of each session.
    pub(crate) stream_bounds: Arc<Bounds>,
    pub(crate) guesses: Guesses,
    /// Legacy sessions that have to be told of changed lists.
    pub(crate) bell: Bell,
    /// What modern clients listen for at the endpoint of all servers.
    pub(crate) board: Arc<Board>,
    /// How the session of a call is found, best first.
    pub(crate) session_rules: ArcSwap<Box<[SessionRule]>>,
    limits: LiveLimits,
    pub(crate) front_door: ArcSwap<FrontDoor>,
    /// Whether trace headers go on to servers.
    pub(crate) inject_trace: bool,
    pub(crate) tracing: Tracing,
    pub(crate) recorder: Recorder,
    /// What clients lost at a limit.
    pub(crate) losses: Arc<Losses>,
    /// What happens beside calls.
    pub(crate) tally: Tally,
    in_flight: AtomicUsize,
    listens: AtomicUsize,
    /// Sessions that are being ended at their servers; more wait for their turn.
    closing: Semaphore,
    /// Cancelled when no more calls are accepted.
    pub(crate) draining: CancellationToken,
    /// Cancelled when everything has to end.
    pub(crate) stop: CancellationToken,
    /// Calls and streams; a drain waits for them.
    pub(crate) tasks: TaskTracker,
    /// Servers and their processes; they end after the calls.
    pub(crate) server_tasks: TaskTracker,
    spawner: Spawner,
    /// Held while other settings are put in force.
    pub(crate) reloading: Mutex<()>,
}

impl Gateway {
    pub(crate) fn new(settings: &Settings, recorder: Recorder, spawner: Spawner) -> Result<Arc<Self>, OriginError> {
        let limits = LiveLimits::new(ArcSwap::from_pointee(settings.limits));
        let stop = CancellationToken::new();
        let server_tasks = TaskTracker::new();
        let server =
            |server| Upstream::new(server, &spawner, &limits, server_tasks.clone(), stop.child_token()).map(Arc::new);
        let servers = settings.servers.iter().map(server).collect::<Result<Vec<_>, _>>()?;
        for server in &servers {
            server_tasks.spawn(server.clone().attend());
        }
        let fleet = Fleet::new(servers, settings.naming);
        let losses = Arc::<Losses>::default();
        Ok(Arc::new(Self {
            seal: Seal::new(),
            follow_ups: FollowUps::default(),
            names: Names::new(settings.naming, fleet.roster().ids()),
            sessions: Arc::new(Table::new(limits.clone())),
            lent: Lent::new(limits.clone()),
            mailboxes: Arc::default(),
            openings: Openings::default(),
            stream_bounds: Bounds::new(limits.clone(), losses.clone()),
            closing: Semaphore::new(CLOSING),
            guesses: Guesses::default(),
            bell: Bell::default(),
            board: Board::new(),
            session_rules: ArcSwap::from_pointee(settings.session_rules.clone()),
            limits,
            front_door: ArcSwap::from_pointee(settings.front_door.clone()),
            inject_trace: settings.inject_trace && settings.tracing.context,
            tracing: settings.tracing.clone(),
            recorder,
            losses,
            tally: Tally::default(),
            in_flight: AtomicUsize::new(0),
            listens: AtomicUsize::new(0),
            draining: stop.child_token(),
            stop,
            tasks: TaskTracker::new(),
            server_tasks,
            fleet,
            spawner,
            reloading: Mutex::default(),
        }))
    }

    /// The limits in force. For a look, not to be kept.
    pub(crate) fn limits(&self) -> Guard<Arc<Limits>> {
        self.limits.load()
    }

    /// Puts other limits in force.
    pub(crate) fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// A server that joins, not yet asked for anything.
    pub(crate) fn upstream(&self, server: &settings::Server) -> Result<Arc<Upstream>, OriginError> {
        let (tasks, stop) = (self.server_tasks.clone(), self.stop.child_token());
        Upstream::new(server, &self.spawner, &self.limits, tasks, stop).map(Arc::new)
    }

    /// The server that alone answers at an endpoint: `/mcp` with one server is that server.
    pub(crate) fn sole(&self, endpoint: Endpoint) -> Option<usize> {
        match endpoint {
            Endpoint::One(place) => Some(place),
            Endpoint::All => self.fleet.sole(),
        }
    }

    /// The endpoint of one server.
    pub(crate) fn endpoint(&self, server: &str) -> Option<Endpoint> {
        self.fleet.roster().find(server).map(Endpoint::One)
    }

    /// Room for one more piece of work.
    ///
    /// # Errors
    /// The gateway works on as many as it may, or takes no more.
    pub(crate) fn admit(self: &Arc<Self>, work: Work) -> Result<Admitted, Refusal> {
        if self.draining.is_cancelled() {
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                code::UPSTREAM_UNAVAILABLE,
                Kind::Draining,
                "the gateway is shutting down",
            ));
        }
        let (counter, limit, what) = self.bound(work);
        if counter.fetch_add(1, Ordering::Relaxed) >= limit {
            counter.fetch_sub(1, Ordering::Relaxed);
            let mut refusal = Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                code::LIMITED,
                Kind::Limited,
                format!("{limit} {what} are under way, which is the limit"),
            );
            refusal.data = Some(format!("\"limit\":\"{what}\",\"retryAfterMs\":1000"));
            return Err(refusal);
        }
        Ok(Admitted { gateway: self.clone(), work })
    }

    fn bound(&self, work: Work) -> (&AtomicUsize, usize, &'static str) {
        match work {
            Work::Call => (&self.in_flight, self.limits().calls, "calls"),
            Work::Listen => (&self.listens, self.limits().listens, "listens"),
        }
    }

    pub(crate) fn calls_in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Subscriptions that are open.
    pub(crate) fn listens(&self) -> usize {
        self.listens.load(Ordering::Relaxed)
    }

    /// Ends a session at both ends.
    pub(crate) fn end_session(self: &Arc<Self>, session: Arc<Session>, ended: Ended) {
        self.count_ended(&session, ended);
        session.stop.cancel();
        let gateway = self.clone();
        self.tasks.spawn(async move {
            let _turn = gateway.closing.acquire().await;
            for (server, link) in session.links() {
                let server = gateway.fleet.at(server);
                let clocks = Clocks::start(Instant::now(), &server.timeouts);
                server.close(&link, &clocks).await;
            }
        });
    }
}

impl Gateway {
    /// A session is about to end. One of the gateway's own is not counted, and none twice.
    pub(crate) fn count_ended(&self, session: &Session, ended: Ended) {
        if !session.is_lent() && session.first_end() {
            let (lasted, calls) = (session.opened.elapsed(), session.tool_calls());
            let (seconds, outcome) = (lasted.as_secs_f64(), ended.as_str());
            info!(target: "tollhouse.session", event = "tollhouse.session.ended", session = &*session.id, outcome, seconds, calls, "session ended");
            self.tally.session(ended, session.version, lasted, calls);
        }
    }
}

/// What there is a limited room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Ends by itself.
    Call,
    /// A `subscriptions/listen`: lives as long as its reader, and a drain does not wait for it.
    Listen,
}

/// Work that may run; its place is free again when this is dropped.
pub(crate) struct Admitted {
    gateway: Arc<Gateway>,
    work: Work,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.gateway.bound(self.work).0.fetch_sub(1, Ordering::Relaxed);
    }
}
