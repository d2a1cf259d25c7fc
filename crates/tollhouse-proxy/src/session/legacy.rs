//! A legacy session: what `initialize` began, at the client's end and at each server's.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tollhouse_core::clock;
use tollhouse_core::era::Version;
use tollhouse_core::fault::Kind;
use tollhouse_core::wire::{Envelope, Form, Members, Span, splice};

use super::changes::Changes;
use super::outbox::Outbox;
use super::streams::{Bounds, GENERAL, Streams};
use crate::asked_back::{Question, Told};
use crate::call::spliced;
use crate::failure::Failure;
use crate::log_level::LogLevel;
use crate::notices::board::PutUp;
use crate::settings::LiveLimits;
use crate::upstream::duplex::Connection;
use crate::upstream::restart::{Decision, Restart};
use crate::upstream::{CANCELLED, Link};

/// A server that took no session is left alone for this long.
const UNOPENED_PAUSE: Duration = Duration::from_mins(1);
/// Subscriptions of one session that are remembered.
const SUBSCRIPTIONS: usize = 1000;

/// One session.
pub(crate) struct Session {
    pub(crate) id: Arc<str>,
    /// The endpoint it was opened at: a session id means nothing anywhere else.
    pub(crate) endpoint: Endpoint,
    /// The revision the client was told.
    pub(crate) version: Version,
    pub(crate) client: Option<Arc<str>>,
    /// The client's `initialize` and where its id stands, to open further servers' sessions with.
    pub(crate) initialize: Arc<(Envelope, Span)>,
    pub(crate) streams: Arc<Streams>,
    /// What it has still to be told of its servers' lists.
    pub(crate) changes: Changes,
    outlet: Outlet,
    /// The servers' side, in the order of the configuration. One of them, mostly: lists of so few need no map.
    links: Mutex<Vec<(usize, Link)>>,
    /// Requests of servers that wait for the client's answer, by the id the client sees; oldest first.
    asked: Mutex<Vec<(u64, Asked)>>,
    next_asked: AtomicU64,
    /// Calls under way, oldest first: one id of the client's may be used by several at once.
    running: Mutex<Vec<Numbered>>,
    next_running: AtomicU64,
    /// Calls and readers that keep the session from being idle.
    busy: AtomicUsize,
    last_used: Mutex<Instant>,
    listening: AtomicBool,
    /// Since when it is there.
    pub(crate) opened: Instant,
    tool_calls: AtomicU32,
    over: AtomicBool,
    seldom: OnceLock<Box<Seldom>>,
    /// Cancelled when the session ends.
    pub(crate) stop: CancellationToken,
}

/// What most sessions never need, and so never make room for.
#[derive(Default)]
struct Seldom {
    /// When a server last took no session of ours.
    unopened: Mutex<Vec<(usize, Instant)>>,
    reopening: tokio::sync::Mutex<()>,
    restarts: Mutex<Vec<(usize, Restart)>>,
    /// The resources it has subscribed to, and the places of their servers.
    subscriptions: Mutex<BTreeSet<(usize, Box<str>)>>,
    /// What it listens for at modern servers, by place.
    listens: Mutex<BTreeMap<usize, Arc<PutUp>>>,
    turned: Notify,
    /// What a server said of itself when it accepted; only in a lent session, which has but one.
    greeting: Mutex<Option<Arc<Greeting>>>,
    /// How much log the client asked for, for servers that must be told with every request.
    log_level: Mutex<Option<LogLevel>>,
    introduction: OnceLock<Bytes>,
}

/// Questions of servers that wait for a client's answer, in one session. At this many the oldest is forgotten,
/// and counted.
const ASKED: usize = 1024;

/// A call under way.
struct Numbered {
    /// Within the session.
    number: u64,
    client_id: Box<[u8]>,
    cancelled: CancellationToken,
}

/// The path a client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    /// `/mcp`: all servers.
    All,
    /// `/servers/<id>/mcp`: one, by its place in the configuration.
    One(usize),
}

/// Where messages go that belong to no call.
pub(crate) enum Outlet {
    /// Into the general stream, for whoever reads it.
    Stream,
    /// To the one channel the client has.
    Channel(Outbox),
    /// Nowhere: the session is lent, and no single client is behind it.
    Nobody,
}

/// What a server said when it accepted a lent session.
#[derive(Debug)]
pub(crate) struct Greeting {
    /// Its answer to `initialize`.
    pub(crate) answer: Envelope,
    /// How much log it was asked for since.
    pub(crate) log_level: Mutex<Option<LogLevel>>,
}

/// Whose question the client was asked.
#[derive(Debug)]
pub(crate) enum Asked {
    /// A server's, in its session: the server, its own id for the question, and the call it belongs to, if that tells it.
    Server { server: usize, id: Bytes, question: Option<Arc<Question>> },
    /// The gateway's, to repeat a call with the answer.
    Gateway(oneshot::Sender<Envelope>),
}

impl Session {
    pub(crate) fn new(
        endpoint: Endpoint,
        version: Version,
        client: Option<Arc<str>>,
        initialize: Arc<(Envelope, Span)>,
        outlet: Outlet,
        bounds: Arc<Bounds>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            id: unguessable(),
            endpoint,
            version,
            client,
            initialize,
            streams: Arc::new(Streams::new(bounds)),
            changes: Changes::default(),
            outlet,
            links: Mutex::default(),
            asked: Mutex::default(),
            next_asked: AtomicU64::new(1),
            running: Mutex::default(),
            next_running: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            last_used: Mutex::new(Instant::now()),
            listening: AtomicBool::new(false),
            opened: Instant::now(),
            tool_calls: AtomicU32::new(0),
            over: AtomicBool::new(false),
            seldom: OnceLock::new(),
            stop,
        }
    }

    fn seldom(&self) -> &Seldom {
        self.seldom.get_or_init(Box::default)
    }

    /// Held while a link is opened again.
    pub(crate) fn reopening(&self) -> &tokio::sync::Mutex<()> {
        &self.seldom().reopening
    }

    /// Woken when a server's end of it is gone.
    pub(crate) fn turned(&self) -> &Notify {
        &self.seldom().turned
    }

    /// What the client said of itself, as a modern request says it; written when it is first needed.
    pub(crate) fn introduction(&self) -> &OnceLock<Bytes> {
        &self.seldom().introduction
    }

    pub(crate) fn link(&self, server: usize) -> Option<Link> {
        lock(&self.links).iter().find(|(of, _)| *of == server).map(|(_, link)| link.clone())
    }

    pub(crate) fn set_link(&self, server: usize, link: Link) -> Option<Link> {
        self.opened(server);
        let mut links = lock(&self.links);
        match links.binary_search_by_key(&server, |(of, _)| *of) {
            Ok(at) => Some(std::mem::replace(&mut links[at].1, link)),
            Err(at) => {
                links.reserve_exact(1);
                links.insert(at, (server, link));
                None
            }
        }
    }

    /// A server took no session of ours.
    pub(crate) fn note_unopened(&self, server: usize) {
        self.opened(server);
        lock(&self.seldom().unopened).push((server, Instant::now()));
    }

    fn opened(&self, server: usize) {
        if let Some(seldom) = self.seldom.get() {
            lock(&seldom.unopened).retain(|(of, _)| *of != server);
        }
    }

    /// Is it time to ask a server for a session that has none yet? Only for what can do without it, such as a list.
    pub(crate) fn may_open(&self, server: usize) -> bool {
        let Some(seldom) = self.seldom.get() else { return true };
        let unopened = lock(&seldom.unopened);
        unopened.iter().find(|(of, _)| *of == server).is_none_or(|(_, at)| at.elapsed() >= UNOPENED_PAUSE)
    }

    /// Takes out the link to a server that is taken out.
    pub(crate) fn unlink(&self, server: usize) -> Option<Link> {
        self.opened(server);
        let mut links = lock(&self.links);
        let at = links.iter().position(|(of, _)| *of == server)?;
        Some(links.remove(at).1)
    }

    pub(crate) fn links(&self) -> Vec<(usize, Link)> {
        lock(&self.links).clone()
    }

    /// A message of a server as the client gets it: the id of a question is ours. Answers are not for it.
    pub(crate) fn relay(&self, server: usize, envelope: &Envelope) -> Option<Bytes> {
        match &envelope.form {
            Form::Request { .. } => self.relay_question(server, envelope, None),
            Form::Notification { method } if method == CANCELLED => {
                let span = Members::of(&envelope.bytes, envelope.params?).get("requestId")?;
                let ours = self.withdrawn(server, envelope.raw(span))?;
                Some(splice::splice(&envelope.bytes, &[(span, ours.to_string().as_bytes())]))
            }
            Form::Notification { .. } => Some(envelope.bytes.clone()),
            Form::Result { .. } | Form::Error { .. } => None,
        }
    }

    /// A question of a server as the client gets it: under an id of ours, and in our trace where the server names one.
    pub(crate) fn relay_question(&self, server: usize, envelope: &Envelope, told: Option<Told>) -> Option<Bytes> {
        let Form::Request { id, .. } = envelope.form else { return None };
        let (question, trace) = told.map(|told| (told.question, told.trace)).unzip();
        let ours = self.ask(Asked::Server { server, id: Bytes::copy_from_slice(envelope.raw(id)), question });
        let mut edits = vec![(id, Bytes::from(ours.to_string()))];
        edits.extend(trace.flatten().map(|(span, told)| (span, [b"\"", &told[..], b"\""].concat().into())));
        Some(spliced(&envelope.bytes, edits))
    }

    /// Sends a message that belongs to no call.
    pub(crate) async fn deliver(&self, message: Bytes) {
        match &self.outlet {
            Outlet::Stream => self.streams.append(GENERAL, &message, false),
            Outlet::Channel(outbox) => outbox.say(message).await,
            Outlet::Nobody => {}
        }
    }

    /// Notes a question; the id under which the client is asked.
    pub(crate) fn ask(&self, asked: Asked) -> u64 {
        let id = self.next_asked.fetch_add(1, Ordering::Relaxed);
        let mut waiting = lock(&self.asked);
        if waiting.len() >= ASKED {
            waiting.remove(0);
            self.streams.losses().message();
        }
        waiting.push((id, asked));
        id
    }

    /// The request the client's answer `id` belongs to. Each is answered once.
    pub(crate) fn answered(&self, id: u64) -> Option<Asked> {
        let mut asked = lock(&self.asked);
        let at = asked.iter().position(|(ours, _)| *ours == id)?;
        Some(asked.remove(at).1)
    }

    /// A server withdraws its request: the id under which the client knows it.
    fn withdrawn(&self, server: usize, id: &[u8]) -> Option<u64> {
        let mut asked = lock(&self.asked);
        let same =
            |asked: &Asked| matches!(asked, Asked::Server { server: by, id: own, .. } if *by == server && own == id);
        let at = asked.iter().position(|(_, asked)| same(asked))?;
        Some(asked.remove(at).0)
    }

    /// Notes a call under way. The token is cancelled when the client cancels it.
    pub(crate) fn start(self: &Arc<Self>, client_id: &[u8]) -> Running {
        let number = self.next_running.fetch_add(1, Ordering::Relaxed);
        let cancelled = self.stop.child_token();
        lock(&self.running).push(Numbered { number, client_id: client_id.into(), cancelled: cancelled.clone() });
        self.busy.fetch_add(1, Ordering::Relaxed);
        Running { session: self.clone(), number, cancelled }
    }

    /// The client cancels its call `client_id`: the newest, if it uses the id more than once. Unknown ids are ignored.
    pub(crate) fn cancel(&self, client_id: &[u8]) {
        let running = lock(&self.running);
        let newest = running.iter().rev().find(|call| *call.client_id == *client_id).map(|call| call.cancelled.clone());
        drop(running);
        if let Some(cancelled) = newest {
            cancelled.cancel();
        }
    }

    /// Is a call with this id under way?
    pub(crate) fn is_running(&self, client_id: &[u8]) -> bool {
        lock(&self.running).iter().any(|call| *call.client_id == *client_id)
    }

    /// Waits as long as must be waited before a connection to a server takes the place of one that has `ended`.
    ///
    /// # Errors
    /// A process ended too often: it is not started again in this session.
    pub(crate) async fn pause_before_restart(&self, server: usize, ended: &Connection) -> Result<(), Failure> {
        let decision = {
            let mut restarts = lock(&self.seldom().restarts);
            let at = restarts.iter().position(|(of, _)| *of == server).unwrap_or_else(|| {
                restarts.push((server, Restart::default()));
                restarts.len() - 1
            });
            let restart = &mut restarts[at].1;
            if ended.is_pipe() { restart.exited(ended.uptime()) } else { Decision::After(restart.cut(ended.uptime())) }
        };
        match decision {
            Decision::After(pause) => {
                tokio::time::sleep(pause).await;
                Ok(())
            }
            Decision::Park => Err(Failure::new(Kind::Parked, "the server's process ended too often in a row")),
        }
    }

    /// Forgets a link that has turned out to be dead, unless another took its place.
    pub(crate) fn forget_link(&self, server: usize, dead: &Link) {
        lock(&self.links).retain(|(of, link)| *of != server || !link.is(dead));
    }

    /// Is it a session of the gateway's own, lent to modern clients?
    pub(crate) fn is_lent(&self) -> bool {
        matches!(self.outlet, Outlet::Nobody)
    }

    /// A tool is called in it.
    pub(crate) fn count_tool_call(&self) {
        self.tool_calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn tool_calls(&self) -> u32 {
        self.tool_calls.load(Ordering::Relaxed)
    }

    /// It ends; true the first time.
    pub(crate) fn first_end(&self) -> bool {
        !self.over.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn greet(&self, answer: Envelope) {
        *lock(&self.seldom().greeting) = Some(Arc::new(Greeting { answer, log_level: Mutex::default() }));
    }

    pub(crate) fn greeting(&self) -> Option<Arc<Greeting>> {
        lock(&self.seldom.get()?.greeting).clone()
    }

    pub(crate) fn set_log_level(&self, level: LogLevel) {
        *lock(&self.seldom().log_level) = Some(level);
    }

    pub(crate) fn log_level(&self) -> Option<LogLevel> {
        *lock(&self.seldom.get()?.log_level)
    }

    /// Do messages that belong to no call wait until somebody reads them?
    pub(crate) fn waits_for_reader(&self) -> bool {
        matches!(self.outlet, Outlet::Stream)
    }

    /// Does it listen to its servers?
    pub(crate) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    /// True the first time.
    pub(crate) fn begin_listening(&self) -> bool {
        !self.listening.swap(true, Ordering::Relaxed)
    }

    /// The server at `place` has accepted a subscription, or the end of one. It is said again to a process that takes
    /// the place of another; beyond the limit it is not, and this is false.
    pub(crate) fn subscribed(&self, place: usize, uri: &str, on: bool) -> bool {
        let mut subscriptions = lock(&self.seldom().subscriptions);
        let key = (place, uri.into());
        if !on {
            subscriptions.remove(&key);
        } else if subscriptions.len() < SUBSCRIPTIONS {
            subscriptions.insert(key);
        } else {
            return subscriptions.contains(&key);
        }
        true
    }

    /// What it listens for at the modern server at `place`, and true if that was put up only now.
    pub(crate) fn listen_at(&self, place: usize, put_up: impl FnOnce() -> PutUp) -> (Arc<PutUp>, bool) {
        let mut listens = lock(&self.seldom().listens);
        if let Some(listen) = listens.get(&place) {
            return (listen.clone(), false);
        }
        let listen = Arc::new(put_up());
        listens.insert(place, listen.clone());
        (listen, true)
    }

    /// Listens no more for anything at the server at `place`.
    pub(crate) fn take_down(&self, place: usize) {
        if let Some(seldom) = self.seldom.get() {
            lock(&seldom.listens).remove(&place);
        }
    }

    /// The resources of the server at `place` that it has subscribed to.
    pub(crate) fn subscriptions(&self, place: usize) -> Vec<Box<str>> {
        let Some(seldom) = self.seldom.get() else { return Vec::new() };
        let subscriptions = lock(&seldom.subscriptions);
        subscriptions.iter().filter(|(server, _)| *server == place).map(|(_, uri)| uri.clone()).collect()
    }

    pub(crate) fn touch(&self) {
        *lock(&self.last_used) = Instant::now();
    }

    /// Keeps the session from being idle while it lives.
    pub(crate) fn occupy(self: &Arc<Self>) -> Occupied {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Occupied(self.clone())
    }

    /// How long nothing has happened; `None` while something does.
    pub(super) fn idle(&self) -> Option<Duration> {
        (self.busy.load(Ordering::Relaxed) == 0).then(|| lock(&self.last_used).elapsed())
    }
}

/// 128 bits nobody can guess, in characters a header and a URI may hold.
pub(crate) fn unguessable() -> Arc<str> {
    let mut secret = [0; 16];
    clock::secret_bytes(&mut secret);
    URL_SAFE_NO_PAD.encode(secret).into()
}

/// A call under way; forgotten when dropped.
pub(crate) struct Running {
    session: Arc<Session>,
    number: u64,
    pub(crate) cancelled: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.session.running).retain(|call| call.number != self.number);
        self.session.busy.fetch_sub(1, Ordering::Relaxed);
        self.session.touch();
    }
}

/// Somebody reads the session's streams.
pub(crate) struct Occupied(Arc<Session>);

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
        self.0.touch();
    }
}

/// Which limit of sessions is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// That of all.
    All,
    /// That of one principal.
    Principal,
}

/// What clients open sessions with, kept once: a program says the same every time.
#[derive(Default)]
pub(crate) struct Openings(Mutex<VecDeque<Opening>>);

/// An `initialize` with where its id stands, and how its client calls itself.
type Opening = (Arc<(Envelope, Span)>, Option<Arc<str>>);

/// Openings that are remembered; what is larger, or has not been said for long, is kept by each session itself.
const OPENINGS: usize = 64;
const OPENING_MAX: usize = 4 << 10;

impl Openings {
    /// The same opening, if it has been said lately, else this one.
    pub(crate) fn share(&self, envelope: Envelope, id: Span, client: Option<&str>) -> Opening {
        let mut known = lock(&self.0);
        if let Some(at) = known.iter().position(|(opening, _)| opening.0.bytes == envelope.bytes) {
            let same = known.remove(at).expect("it was just found");
            known.push_back(same.clone());
            return same;
        }
        let small = envelope.bytes.len() <= OPENING_MAX;
        let opening: Opening = (Arc::new((envelope, id)), client.map(Into::into));
        if small {
            if known.len() >= OPENINGS {
                known.pop_front();
            }
            known.push_back(opening.clone());
        }
        opening
    }
}

/// All sessions: those over HTTP, which are found by their ids, and those that live as long as their pipe
/// or event stream.
pub(crate) struct Table {
    sessions: Mutex<HashMap<Arc<str>, Arc<Session>>>,
    channels: Mutex<Vec<Weak<Session>>>,
    /// Places of sessions that live and end with an event stream, and are kept there.
    reserved: AtomicUsize,
    limits: LiveLimits,
}

impl Table {
    pub(crate) fn new(limits: LiveLimits) -> Self {
        Self { sessions: Mutex::default(), channels: Mutex::default(), reserved: AtomicUsize::new(0), limits }
    }

    /// Notes a session that its pipe or event stream keeps. There are as many as [`Self::reserve`] lets in, and one
    /// for a pipe.
    pub(crate) fn note_channel(&self, session: &Arc<Session>) {
        let mut channels = lock(&self.channels);
        channels.retain(|session| session.strong_count() > 0);
        channels.push(Arc::downgrade(session));
    }

    /// All sessions there are, whatever carries them.
    pub(crate) fn every(&self) -> Vec<Arc<Session>> {
        let mut every: Vec<_> = lock(&self.sessions).values().cloned().collect();
        every.extend(lock(&self.channels).iter().filter_map(Weak::upgrade));
        every
    }

    /// Is there room for one more, be it that an idle one makes it?
    ///
    /// # Errors
    /// The limit that is reached by sessions in use.
    pub(crate) fn look_for_room(&self) -> Result<(), Full> {
        let sessions = lock(&self.sessions);
        match self.full(sessions.len()) {
            Some(full) if sessions.values().all(|session| session.idle().is_none()) => Err(full),
            _ => Ok(()),
        }
    }

    /// The limit that is reached by so many sessions and those that have a place. Nobody has to say who they are: all are
    /// of one principal.
    fn full(&self, sessions: usize) -> Option<Full> {
        let sessions = sessions + self.reserved.load(Ordering::Relaxed);
        let limits = self.limits.load();
        if sessions >= limits.sessions_per_principal {
            return Some(Full::Principal);
        }
        (sessions >= limits.sessions).then_some(Full::All)
    }

    /// Keeps `session`. At a limit the one that has been idle longest makes room, and is returned to be closed.
    ///
    /// # Errors
    /// All sessions are in use: the new one is given back, with the limit that is reached.
    pub(crate) fn insert(&self, session: Arc<Session>) -> Result<Option<Arc<Session>>, (Arc<Session>, Full)> {
        let mut sessions = lock(&self.sessions);
        let mut evicted = None;
        if let Some(full) = self.full(sessions.len()) {
            evicted = remove_idlest(&mut sessions);
            if evicted.is_none() {
                return Err((session, full));
            }
        }
        sessions.insert(session.id.clone(), session);
        Ok(evicted)
    }

    /// Takes a place for a session that lives and ends with its client's stream. At a limit as [`Self::insert`].
    ///
    /// # Errors
    /// The limit that is reached by sessions in use.
    pub(crate) fn reserve(self: &Arc<Self>) -> Result<(Reserved, Option<Arc<Session>>), Full> {
        let mut sessions = lock(&self.sessions);
        let mut evicted = None;
        if let Some(full) = self.full(sessions.len()) {
            evicted = Some(remove_idlest(&mut sessions).ok_or(full)?);
        }
        self.reserved.fetch_add(1, Ordering::Relaxed);
        Ok((Reserved(self.clone()), evicted))
    }

    /// The session `id` opened at `endpoint`.
    pub(crate) fn get(&self, id: &str, endpoint: Endpoint) -> Option<Arc<Session>> {
        lock(&self.sessions).get(id).filter(|session| session.endpoint == endpoint).cloned()
    }

    pub(crate) fn remove(&self, id: &str) -> Option<Arc<Session>> {
        lock(&self.sessions).remove(id)
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.sessions).len() + self.reserved.load(Ordering::Relaxed)
    }

    /// Those of clients that speak over a pipe.
    pub(crate) fn over_pipes(&self) -> usize {
        let channels = lock(&self.channels).iter().filter(|session| session.strong_count() > 0).count();
        channels.saturating_sub(self.reserved.load(Ordering::Relaxed))
    }

    /// Takes out the sessions that have been idle for too long.
    pub(crate) fn expire(&self) -> Vec<Arc<Session>> {
        let mut sessions = lock(&self.sessions);
        let idle = self.limits.load().session_idle;
        let expired: Vec<_> =
            sessions.values().filter(|session| session.idle().is_some_and(|for_| for_ >= idle)).cloned().collect();
        for session in &expired {
            sessions.remove(&session.id);
        }
        expired
    }

    /// Takes out all sessions.
    pub(crate) fn drain(&self) -> Vec<Arc<Session>> {
        lock(&self.sessions).drain().map(|(_, session)| session).collect()
    }
}

/// Takes out the session that has been idle longest, if any is.
fn remove_idlest(sessions: &mut HashMap<Arc<str>, Arc<Session>>) -> Option<Arc<Session>> {
    let idle = sessions.values().filter_map(|session| Some((session.idle()?, session.id.clone())));
    let (_, id) = idle.max()?;
    sessions.remove(&id)
}

/// A place among the sessions; free again when dropped.
pub(crate) struct Reserved(Arc<Table>);

impl Drop for Reserved {
    fn drop(&mut self) {
        self.0.reserved.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ten thousand sessions may be open, and nearly all of them do nothing.
const _: () = assert!(size_of::<Session>() <= 320);
