//! One listen of the gateway's own at each modern server, for all clients that listen at the endpoint of all servers,
//! and for the legacy sessions that use this server; at a legacy server, a session instead ([`super::ear`]).
//!
//! It is there only while somebody wants it, asks for what all of them want together, and is opened again when it
//! breaks. What it brings is sorted out here: a changed resource goes to those who asked for it, and a changed list is
//! read again, so that clients are told only of lists that are really other ones.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tollhouse_core::fault::Kind as Fault;
use tollhouse_core::wire::{Envelope, Form, Members, members};
use tracing::debug;

use super::aggregate::{Question, read};
use super::ear::{self, Ear};
use super::question_clocks;
use crate::call::quote;
use crate::clocks::Clocks;
use crate::crossing::{Beside, Way};
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::kinds::{Kind, Topic, Topics};
use crate::notices::board::Want;
use crate::notices::view::{Shown, View};
use crate::session::legacy::Session;
use crate::upstream::{Heard, Reply, State, Status, Upstream, ask};

/// The pause before a listen that broke is opened again; doubles up to a minute.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// A listen that lived this long did not break at once.
const LASTED: Duration = Duration::from_secs(10);

/// Why servers are attended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Because {
    /// A client listens: it knows what they list, or will ask.
    ClientListens,
    /// There are others since: what they list, clients that listen do not know.
    OthersJoined,
}

/// Listens at each server that nobody listens at yet, if there is anybody who listens to all of them.
pub(super) fn attend_all(gateway: &Arc<Gateway>, because: Because) {
    if !gateway.board.is_empty() {
        gateway.fleet.roster().iter().for_each(|(place, _)| attend(gateway, place, because));
    }
}

/// Listens at the server at `place` from here on, if nobody does yet, for as long as somebody wants it.
pub(super) fn attend(gateway: &Arc<Gateway>, place: usize, because: Because) {
    if !gateway.board.attend(place) {
        return;
    }
    let gateway_ = gateway.clone();
    gateway.server_tasks.spawn(async move {
        let stop = gateway_.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = Attendant::new(gateway_, place).attend(because) => {}
        }
    });
}

/// Whoever listens at one server.
struct Attendant {
    gateway: Arc<Gateway>,
    place: usize,
    server: Arc<Upstream>,
    status: watch::Receiver<Status>,
    wants: watch::Receiver<u64>,
    /// Changes when there are other servers, or other names for what they list.
    generation: watch::Receiver<u64>,
    /// The generation it has dealt with.
    known: u64,
    /// What is wanted, and the count of wants that makes it.
    want: Want,
    count: u64,
    hearing: Hearing,
    /// One is being opened.
    opening: bool,
    /// When the next may be opened, after one broke or could not be.
    again: Option<Instant>,
    pause: Duration,
    /// The lists of the topics that are wanted.
    views: Vec<(Kind, View)>,
    work: JoinSet<Done>,
}

/// The listen at the server.
enum Hearing {
    Nothing,
    Open(Box<Open>),
    /// The server serves none: only its coming and going is noticed.
    Refused,
}

/// An open listen.
struct Open {
    source: Source,
    asked: Want,
    accepted: BTreeSet<Box<str>>,
    since: Instant,
}

/// Where the server is heard.
enum Source {
    Listen(Reply),
    /// It knows sessions only.
    Session(Ear),
}

impl Source {
    async fn next(&mut self) -> Result<Heard, Failure> {
        match self {
            Self::Listen(reply) => reply.next().await,
            Self::Session(ear) => ear.next().await.map(Heard::Message),
        }
    }
}

/// Where a server is heard, and the resources it has accepted.
type Opened = Option<(Source, BTreeSet<Box<str>>)>;

/// What was done beside the listening.
enum Done {
    Opened(Want, Box<Result<Opened, Failure>>),
    /// In the session that is open more was asked for.
    Asked(Want, Result<BTreeSet<Box<str>>, Failure>),
    Read(Kind, Result<Shown, Failure>),
}

/// What there is to do next.
enum Event {
    Heard(Result<Heard, Failure>),
    Done(Done),
    /// Something else is wanted, the server came or went, or it is time.
    Look,
}

impl Attendant {
    fn new(gateway: Arc<Gateway>, place: usize) -> Self {
        let server = gateway.fleet.at(place);
        let generation = gateway.fleet.generation.subscribe();
        let known = *generation.borrow();
        Self {
            status: server.watch(),
            wants: gateway.board.watch(),
            known,
            generation,
            server,
            gateway,
            place,
            want: Want::default(),
            count: 0,
            hearing: Hearing::Nothing,
            opening: false,
            again: None,
            pause: PAUSE,
            views: Vec::new(),
            work: JoinSet::new(),
        }
    }

    async fn attend(mut self, because: Because) {
        self.look_at_wants();
        if because == Because::OthersJoined {
            let now = Instant::now();
            for (_, view) in &mut self.views {
                *view = View::absent();
                view.announce(now);
            }
        }
        loop {
            if self.want.is_empty() && self.gateway.board.leave(self.place, self.count) {
                return self.stop_hearing().await;
            }
            match self.there() {
                Some(true) => {
                    self.ask().await;
                    self.read();
                    self.settle();
                }
                Some(false) => {
                    self.lose().await;
                    self.gateway.board.settle(self.place, self.count, BTreeSet::new());
                }
                None => {}
            }
            match self.event().await {
                Event::Heard(Ok(Heard::Message(envelope))) => self.sort_out(&envelope),
                Event::Heard(Err(failure)) => self.broke(&failure),
                Event::Done(done) => self.take(done).await,
                Event::Heard(Ok(Heard::Pause(_))) | Event::Look => {}
            }
            if *self.wants.borrow() != self.count {
                self.look_at_wants();
            }
            if *self.generation.borrow() != self.known && !self.look_at_fleet() {
                self.lose().await;
                return self.gateway.board.forget(self.place);
            }
        }
    }

    /// Is it there? Nobody knows before its first probe.
    fn there(&mut self) -> Option<bool> {
        let status = self.status.borrow_and_update();
        match status.state {
            State::Connecting => None,
            State::Connected => Some(true),
            State::Down | State::Parked => Some(false),
        }
    }

    fn look_at_wants(&mut self) {
        self.wants.mark_unchanged();
        (self.count, self.want) = self.gateway.board.want(self.place);
        let wanted = |kind: Kind| self.want.topics.has(kind.topic());
        self.views.retain(|(kind, _)| wanted(*kind));
        for kind in Kind::ALL.into_iter().filter(|kind| wanted(*kind)) {
            if !self.views.iter().any(|(known, _)| *known == kind) {
                self.views.push((kind, View::unread(Instant::now())));
            }
        }
    }

    /// Things may have other names from here on. False if the server was taken out.
    fn look_at_fleet(&mut self) -> bool {
        self.known = *self.generation.borrow_and_update();
        let now = Instant::now();
        for (_, view) in self.views.iter_mut().filter(|(_, view)| view.known()) {
            view.announce(now);
        }
        self.gateway.fleet.roster().order.contains(&self.place)
    }

    /// Asks the server for what is wanted, unless it has been.
    async fn ask(&mut self) {
        let asked = match &self.hearing {
            Hearing::Nothing => false,
            Hearing::Open(open) => open.asked.covers(&self.want),
            Hearing::Refused => true,
        };
        if self.want.is_empty() {
            self.stop_hearing().await;
        } else if !asked && !self.opening && self.again.is_none_or(|again| again <= Instant::now()) {
            self.opening = true;
            let (gateway, place, want) = (self.gateway.clone(), self.place, self.want.clone());
            let (server, session) = (self.server.clone(), self.session());
            let clocks = question_clocks(&self.server);
            self.work.spawn(async move {
                if let Some(session) = session {
                    let asked = ear::subscribe(&gateway, &session, place, &want.uris, &clocks).await;
                    return Done::Asked(want, asked);
                }
                let opened = open(&gateway, &server, place, &want, &clocks).await;
                Done::Opened(want, Box::new(opened))
            });
        }
    }

    /// The session in which it is heard, if it is.
    fn session(&self) -> Option<Arc<Session>> {
        match &self.hearing {
            Hearing::Open(open) => match &open.source {
                Source::Session(ear) => Some(ear.session.clone()),
                Source::Listen(_) => None,
            },
            Hearing::Nothing | Hearing::Refused => None,
        }
    }

    /// Reads the lists that are due.
    fn read(&mut self) {
        // First it is listened: what changes while a list is read is then known.
        if matches!(self.hearing, Hearing::Nothing) {
            return;
        }
        let (now, session) = (Instant::now(), self.session());
        for (kind, view) in &mut self.views {
            if view.due(now).is_some_and(|due| due <= now) {
                view.begin(now);
                let (gateway, place, kind, session) = (self.gateway.clone(), self.place, *kind, session.clone());
                self.work.spawn(async move { Done::Read(kind, read_own(&gateway, place, kind, session).await) });
            }
        }
    }

    /// The server is not there: neither are its lists.
    async fn lose(&mut self) {
        self.stop_hearing().await;
        // Once it is back, it is asked at once.
        (self.again, self.pause) = (None, PAUSE);
        for (kind, view) in &mut self.views {
            if view.lose() {
                self.gateway.board.changed(self.place, kind.topic());
            }
        }
    }

    /// Says what has been asked for, once that is all that is wanted.
    fn settle(&self) {
        let read = self.views.iter().all(|(_, view)| view.known() || view.failed());
        let uris = match &self.hearing {
            Hearing::Open(open) if read && open.asked.covers(&self.want) => open.accepted.clone(),
            Hearing::Refused if read => BTreeSet::new(),
            Hearing::Nothing if !self.opening && self.again.is_some() => BTreeSet::new(),
            _ => return,
        };
        self.gateway.board.settle(self.place, self.count, uris);
    }

    /// Waits for what comes next.
    async fn event(&mut self) -> Event {
        let now = Instant::now();
        let reading = !matches!(self.hearing, Hearing::Nothing);
        let due = self.views.iter().filter_map(|(_, view)| view.due(now)).filter(|_| reading).min();
        let again = self.again.filter(|_| !self.opening && !reading);
        let wake = due.into_iter().chain(again).min();
        let alarm = async {
            match wake {
                Some(wake) => sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        let heard = async {
            match &mut self.hearing {
                Hearing::Open(open) => open.source.next().await,
                Hearing::Nothing | Hearing::Refused => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.wants.changed() => Event::Look,
            _ = self.status.changed() => Event::Look,
            _ = self.generation.wait_for(|generation| *generation != self.known) => Event::Look,
            Some(Ok(done)) = self.work.join_next() => Event::Done(done),
            heard = heard => Event::Heard(heard),
            () = alarm => Event::Look,
        }
    }

    async fn take(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Read(kind, found) => {
                let Some((_, view)) = self.views.iter_mut().find(|(known, _)| *known == kind) else { return };
                match found {
                    Ok(found) if view.end(now, found) => self.gateway.board.changed(self.place, kind.topic()),
                    Ok(_) => {}
                    Err(_) => view.fail(now),
                }
            }
            Done::Asked(want, asked) => {
                self.opening = false;
                match (asked, &mut self.hearing) {
                    (Ok(accepted), Hearing::Open(open)) => (open.asked, open.accepted) = (want, accepted),
                    // It has ended meanwhile, and all is asked for anew.
                    (Ok(_), _) => {}
                    (Err(failure), _) => self.broke(&failure),
                }
            }
            Done::Opened(want, opened) => {
                self.opening = false;
                match *opened {
                    Ok(Some((source, accepted))) => {
                        self.stop_hearing().await;
                        self.hearing = Hearing::Open(Box::new(Open { source, asked: want, accepted, since: now }));
                        self.again = None;
                        // What was said since the last listen, nobody has heard.
                        for (_, view) in self.views.iter_mut().filter(|(_, view)| view.known()) {
                            view.announce(now);
                        }
                    }
                    Ok(None) => {
                        self.stop_hearing().await;
                        self.hearing = Hearing::Refused;
                    }
                    Err(failure) => self.later(&failure),
                }
            }
        }
    }

    /// A message of the server.
    fn sort_out(&mut self, envelope: &Envelope) {
        match &envelope.form {
            Form::Notification { method } if method == "notifications/resources/updated" => {
                let uri = envelope.params.and_then(|params| Members::of(&envelope.bytes, params).get("uri"));
                if let Some(uri) = uri.and_then(|uri| members::text(envelope.raw(uri))) {
                    self.gateway.board.updated(self.place, &uri, envelope);
                }
            }
            Form::Notification { method } => {
                let Some(topic) = Topic::of(method) else { return };
                let now = Instant::now();
                for (_, view) in self.views.iter_mut().filter(|(kind, _)| kind.topic() == topic) {
                    view.announce(now);
                }
            }
            Form::Result { .. } | Form::Error { .. } => {
                self.broke(&Failure::new(Fault::Lost, "the server ended the subscription"));
            }
            Form::Request { .. } => {}
        }
    }

    /// The listen has ended.
    fn broke(&mut self, failure: &Failure) {
        if let Hearing::Open(open) = &self.hearing
            && open.since.elapsed() >= LASTED
        {
            self.pause = PAUSE;
        }
        self.hearing = Hearing::Nothing;
        self.later(failure);
    }

    fn later(&mut self, failure: &Failure) {
        debug!(target: "tollhouse.server", server = %self.server.id, cause = %failure.cause, "its subscription is opened again");
        self.again = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// Ends the listen, if there is one.
    async fn stop_hearing(&mut self) {
        if let Hearing::Open(open) = std::mem::replace(&mut self.hearing, Hearing::Nothing)
            && let Source::Listen(reply) = &open.source
            && let Some(id) = reply.id()
        {
            self.server.cancel(id, None, "nobody listens any more").await;
        }
    }
}

/// Reads a list on the gateway's own behalf.
async fn read_own(
    gateway: &Arc<Gateway>,
    place: usize,
    kind: Kind,
    session: Option<Arc<Session>>,
) -> Result<Shown, Failure> {
    let (way, beside) = match session {
        Some(session) => (ear::way(&session, place)?, Beside::default()),
        None => (Way::Direct, Beside { meta: Some(ask::own_members().into()), ..Beside::default() }),
    };
    read(Question::new(gateway.clone(), place, way, beside), kind).await
}

/// Begins to hear a server in its own era; `None` if it serves no listens.
async fn open(
    gateway: &Arc<Gateway>,
    server: &Upstream,
    place: usize,
    want: &Want,
    clocks: &Clocks,
) -> Result<Opened, Failure> {
    if server.known_eras(clocks).await?.modern {
        let opened = server.subscribe(&filter(want.topics, &want.uris), clocks).await?;
        return Ok(opened.map(|(reply, acknowledged)| (Source::Listen(reply), accepted(&acknowledged, want))));
    }
    let ear = Ear::open(gateway, place, clocks).await?;
    let accepted = ear::subscribe(gateway, &ear.session, place, &want.uris, clocks).await?;
    Ok(Some((Source::Session(ear), accepted)))
}

/// The filter of a listen.
pub(super) fn filter<'a>(topics: Topics, uris: impl IntoIterator<Item = &'a Box<str>>) -> String {
    let mut asked: Vec<_> = topics.iter().map(|topic| format!("\"{}\":true", topic.flag())).collect();
    let uris: Vec<_> = uris.into_iter().map(|uri| String::from_utf8_lossy(&quote(uri)).into_owned()).collect();
    if !uris.is_empty() {
        asked.push(format!("\"resourceSubscriptions\":[{}]", uris.join(",")));
    }
    format!("{{{}}}", asked.join(","))
}

/// Which of the resources a server was asked for it has acknowledged.
fn accepted(acknowledged: &Envelope, want: &Want) -> BTreeSet<Box<str>> {
    let text = &acknowledged.bytes;
    let filter = acknowledged.params.and_then(|params| Members::of(text, params).get("notifications"));
    let uris = filter.and_then(|filter| Members::of(text, filter).get("resourceSubscriptions"));
    let uris = uris.into_iter().flat_map(|uris| members::elements(text, uris));
    uris.filter_map(|uri| members::text(uri.of(text)))
        .map(|uri| uri.as_ref().into())
        .filter(|uri| want.uris.contains(uri))
        .collect()
}
