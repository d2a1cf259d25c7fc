//! What clients listen for that have no listen of their own at a server, and what is on its way to them.
//!
//! A modern client's `subscriptions/listen` at the endpoint of all servers is a [`Listen`], and so is what a legacy
//! session wants to hear of one modern server. What all of them want of one server is a [`Want`], which whoever
//! attends that server asks it for, in one listen of the gateway's own, and settles: a client is told that its listen
//! is open once every server has been asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tollhouse_core::wire::Envelope;
use tracing::debug;

use super::pace::Pace;
use crate::kinds::{Topic, Topics};

/// URIs one listen may name; further ones are not acknowledged.
pub(crate) const URIS_MAX: usize = 1000;
/// URIs that one server is asked for, for all listens together; further ones are not acknowledged.
const WANTED_MAX: usize = 10_000;
/// Updates of different resources that wait for one client. Full: further ones are dropped and counted.
const UPDATES: usize = 1024;

/// All listens, and who attends the servers for them.
pub(crate) struct Board {
    state: Mutex<State>,
    /// Counts the changes of what is wanted.
    wanted: watch::Sender<u64>,
    /// Sent whenever a server was settled.
    settled: watch::Sender<()>,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    listens: BTreeMap<u64, Arc<Listen>>,
    next: u64,
    /// The servers that are attended, by place.
    attended: BTreeMap<usize, Settled>,
}

/// What a server has accepted.
#[derive(Default)]
struct Settled {
    /// The count of wants up to which it was asked.
    upto: Option<u64>,
    uris: BTreeSet<Box<str>>,
}

/// What all listens together want of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) topics: Topics,
    pub(crate) uris: BTreeSet<Box<str>>,
}

impl Want {
    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.uris.is_empty()
    }

    /// Is all of `other` in it?
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.topics.and(other.topics) == self.topics && other.uris.is_subset(&self.uris)
    }
}

impl Board {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            wanted: watch::Sender::new(0),
            settled: watch::Sender::new(()),
            dropped: AtomicU64::new(0),
        })
    }

    /// Puts up a listen for `topics` of all servers, or of the one at `place`, and for resources, each with the place of
    /// its server.
    pub(crate) fn put_up(
        self: &Arc<Self>,
        place: Option<usize>,
        topics: Topics,
        uris: BTreeMap<Box<str>, usize>,
    ) -> PutUp {
        let (uris, pending) = (Mutex::new(uris), Mutex::default());
        let listen = Arc::new(Listen { place, topics, uris, pending, woken: Notify::new() });
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.listens.insert(number, listen.clone());
        // Within the lock, so that counts and wants agree.
        self.wanted.send_modify(|count| *count += 1);
        PutUp { board: self.clone(), number, listen }
    }

    /// Does nobody listen to all servers?
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().listens.values().all(|listen| listen.place.is_some())
    }

    /// Notices changes of what is wanted.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.wanted.subscribe()
    }

    /// What is wanted of the server at `place`, and the count of wants that makes it.
    pub(crate) fn want(&self, place: usize) -> (u64, Want) {
        let state = self.lock();
        let mut want = Want::default();
        for listen in state.listens.values().filter(|listen| listen.is_about(place)) {
            want.topics = want.topics.and(listen.topics);
            let uris = lock(&listen.uris);
            for uri in uris.iter().filter(|(_, owner)| **owner == place).map(|(uri, _)| uri) {
                if want.uris.len() < WANTED_MAX {
                    want.uris.insert(uri.clone());
                }
            }
        }
        (*self.wanted.borrow(), want)
    }

    /// True if nobody attended the server at `place`: the caller does from here on.
    pub(crate) fn attend(&self, place: usize) -> bool {
        let mut state = self.lock();
        let first = !state.attended.contains_key(&place);
        if first {
            state.attended.insert(place, Settled::default());
        }
        first
    }

    /// Ends the attendance of the server at `place`, unless more is wanted since `count`.
    pub(crate) fn leave(&self, place: usize, count: u64) -> bool {
        let mut state = self.lock();
        let leaves = *self.wanted.borrow() == count;
        if leaves {
            state.attended.remove(&place);
        }
        leaves
    }

    /// The server at `place` was taken out: nobody waits for it.
    pub(crate) fn forget(&self, place: usize) {
        self.lock().attended.remove(&place);
        self.settled.send_replace(());
    }

    /// The server at `place` was asked for all that was wanted at `count`, and accepted `uris`.
    pub(crate) fn settle(&self, place: usize, count: u64, uris: BTreeSet<Box<str>>) {
        if let Some(settled) = self.lock().attended.get_mut(&place) {
            *settled = Settled { upto: Some(count), uris };
        }
        self.settled.send_replace(());
    }

    /// Tells every listen that asked for it that lists of this topic of the server at `place` have changed.
    pub(crate) fn changed(&self, place: usize, topic: Topic) {
        let asked = |listen: &&Arc<Listen>| listen.topics.has(topic) && listen.is_about(place);
        for listen in self.lock().listens.values().filter(asked) {
            lock(&listen.pending).paces[topic as usize].owe();
            listen.woken.notify_one();
        }
    }

    /// Passes a notice that the resource `uri` of the server at `place` has changed to those who asked for it.
    pub(crate) fn updated(&self, place: usize, uri: &str, notice: &Envelope) {
        for listen in self.lock().listens.values() {
            let asked = lock(&listen.uris).iter().any(|(asked, owner)| *owner == place && holds(asked, uri));
            if !asked {
                continue;
            }
            let mut pending = lock(&listen.pending);
            if let Some((_, waiting)) = pending.updates.iter_mut().find(|(waiting, _)| &**waiting == uri) {
                // The client has not heard of the last one yet: it hears of both at once.
                waiting.clone_from(notice);
            } else if pending.updates.len() < UPDATES {
                pending.updates.push_back((uri.into(), notice.clone()));
            } else {
                let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
                debug!(target: "tollhouse.server", dropped, "a client does not read what it listens for");
            }
            listen.woken.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Does a subscription for `asked` cover a change of `uri`? MCP 2026-07-28, schema, `ResourceUpdatedNotification`: it
/// may be a part of what was subscribed to.
fn holds(asked: &str, uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix(asked) else { return false };
    rest.is_empty() || asked.ends_with('/') || rest.starts_with(['/', '?', '#'])
}

/// A listen of a client.
pub(crate) struct Listen {
    /// The server it is about; none: all of them.
    place: Option<usize>,
    topics: Topics,
    /// The resources it is told of, each with the place of its server.
    uris: Mutex<BTreeMap<Box<str>, usize>>,
    pending: Mutex<Pending>,
    woken: Notify,
}

impl Listen {
    fn is_about(&self, place: usize) -> bool {
        self.place.is_none_or(|about| about == place)
    }
}

#[derive(Default)]
struct Pending {
    paces: [Pace; Topic::ALL.len()],
    updates: VecDeque<(Box<str>, Envelope)>,
}

/// What a client hears.
pub(crate) enum Told {
    /// Lists of a topic have changed.
    Changed(Topic),
    /// A resource has, in its server's words.
    Updated(Envelope),
}

/// A listen on the board; taken down when dropped.
pub(crate) struct PutUp {
    board: Arc<Board>,
    number: u64,
    listen: Arc<Listen>,
}

impl PutUp {
    /// Wants to hear of a resource of the server at `place`, or no more.
    pub(crate) fn want(&self, uri: &str, place: usize, on: bool) {
        let _state = self.board.lock();
        let mut uris = lock(&self.listen.uris);
        if on {
            uris.insert(uri.into(), place);
        } else {
            uris.remove(uri);
        }
        drop(uris);
        self.board.wanted.send_modify(|count| *count += 1);
    }

    /// Waits until each server that it is about and that is attended was asked for what this listen wants.
    pub(crate) async fn asked(&self) {
        let count = *self.board.wanted.borrow();
        let mut settled = self.board.settled.subscribe();
        loop {
            let open =
                self.board.lock().attended.iter().any(|(place, settled)| {
                    self.listen.is_about(*place) && settled.upto.is_none_or(|upto| upto < count)
                });
            if !open || settled.changed().await.is_err() {
                return;
            }
        }
    }

    /// Keeps what the servers have accepted, and returns it.
    pub(crate) fn accepted(&self) -> (Topics, Vec<Box<str>>) {
        let state = self.board.lock();
        let mut uris = lock(&self.listen.uris);
        uris.retain(|uri, place| state.attended.get(place).is_some_and(|settled| settled.uris.contains(uri)));
        (self.listen.topics, uris.keys().cloned().collect())
    }

    /// What the client is to hear next.
    ///
    /// # Cancel safety
    /// Safe: what was not returned is still there.
    pub(crate) async fn next(&self) -> Told {
        loop {
            let due = {
                let (mut pending, now) = (lock(&self.listen.pending), Instant::now());
                if let Some(topic) = Topic::ALL.into_iter().find(|topic| pending.paces[*topic as usize].take(now)) {
                    return Told::Changed(topic);
                }
                if let Some((_, notice)) = pending.updates.pop_front() {
                    return Told::Updated(notice);
                }
                pending.paces.iter().filter_map(|pace| pace.due(now)).min()
            };
            let woken = self.listen.woken.notified();
            match due {
                None => woken.await,
                Some(due) => tokio::select! {
                    () = woken => {}
                    () = sleep_until(due) => {}
                },
            }
        }
    }
}

impl Drop for PutUp {
    fn drop(&mut self) {
        let mut state = self.board.lock();
        state.listens.remove(&self.number);
        self.board.wanted.send_modify(|count| *count += 1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(text: &str) -> Envelope {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{text}}}"#);
        Envelope::parse(text.into()).unwrap()
    }

    fn uris(named: &[(&str, usize)]) -> BTreeMap<Box<str>, usize> {
        named.iter().map(|(uri, place)| ((*uri).into(), *place)).collect()
    }

    #[test]
    fn a_part_of_a_resource_belongs_to_its_subscription() {
        for (asked, uri, expected) in [
            ("file:///a", "file:///a", true),
            ("file:///a", "file:///a/b", true),
            ("file:///a/", "file:///a/b", true),
            ("file:///a", "file:///a#b", true),
            ("file:///a", "file:///ab", false),
            ("file:///a/b", "file:///a", false),
        ] {
            assert_eq!(holds(asked, uri), expected, "{asked} {uri}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_listen_hears_what_it_asked_for_and_equal_updates_once() {
        let board = Board::new();
        let tools = board.put_up(None, Topics::default().with(Topic::Tools), uris(&[("a", 0)]));
        let prompts = board.put_up(None, Topics::default().with(Topic::Prompts), uris(&[("a", 1)]));
        board.changed(0, Topic::Tools);
        board.changed(0, Topic::Tools);
        board.updated(0, "a", &notice(r#"{"uri":"a","n":1}"#));
        board.updated(0, "a", &notice(r#"{"uri":"a","n":2}"#));
        assert!(matches!(tools.next().await, Told::Changed(Topic::Tools)));
        let Told::Updated(last) = tools.next().await else { panic!("an update") };
        assert!(last.bytes.ends_with(br#""n":2}}"#));
        for listen in [&tools, &prompts] {
            let more = tokio::time::timeout(std::time::Duration::from_secs(5), listen.next()).await;
            assert!(more.is_err(), "nothing follows");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_listen_about_one_server_hears_of_no_other_and_waits_for_no_other() {
        let board = Board::new();
        assert!(board.attend(0) && board.attend(1));
        let listen = board.put_up(Some(1), Topics::all(), BTreeMap::new());
        listen.want("a", 1, true);
        assert!(board.want(0).1.is_empty() && board.is_empty());
        let (count, want) = board.want(1);
        assert_eq!((want.topics, want.uris), (Topics::all(), ["a".into()].into()));
        board.settle(1, count, BTreeSet::new());
        listen.asked().await;
        board.changed(0, Topic::Tools);
        board.changed(1, Topic::Prompts);
        assert!(matches!(listen.next().await, Told::Changed(Topic::Prompts)));
        listen.want("a", 1, false);
        assert_eq!(board.want(1).1.uris, BTreeSet::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_listen_is_open_once_every_server_was_asked_for_it() {
        let board = Board::new();
        assert!(board.attend(0) && !board.attend(0));
        let first = board.put_up(None, Topics::default(), uris(&[("a", 0), ("b", 0)]));
        let (count, want) = board.want(0);
        assert_eq!(want.uris, ["a".into(), "b".into()].into());
        board.settle(0, count, ["b".into()].into());
        first.asked().await;
        assert_eq!(first.accepted(), (Topics::default(), vec!["b".into()]));
        let second = board.put_up(None, Topics::default().with(Topic::Tools), BTreeMap::new());
        let waited = tokio::time::timeout(std::time::Duration::from_secs(5), second.asked()).await;
        assert!(waited.is_err(), "the server was not asked since");
        assert!(!board.leave(0, count), "more is wanted");
        drop((first, second));
        let (count, want) = board.want(0);
        assert!(want.is_empty() && board.leave(0, count));
    }
}
