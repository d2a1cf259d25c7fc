//! What one legacy session has still to be told of its servers' lists.
//!
//! With one server behind its endpoint a session gets that server's notices, though equal ones not more often than once
//! a second. With several it gets the gateway's own: one, whatever number of servers said that their lists of that kind
//! have changed, and only if a list that the client was shown is really another one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::kinds::{Kind, Topic};
use crate::notices::pace::Pace;
use crate::notices::view::{Shown, View};

/// The state of one session.
#[derive(Default)]
pub(crate) struct Changes {
    /// Made when there is something to note: most sessions have one server that never changes.
    state: OnceLock<Box<Mutex<State>>>,
    /// Something has come since whoever tells the session looked.
    pub(crate) woken: Notify,
}

#[derive(Default)]
struct State {
    /// What the client was shown, by the server's place.
    views: HashMap<(usize, Kind), View>,
    paces: [Pace; Topic::ALL.len()],
    /// The words of the only server for a notice that waits.
    held: [Option<Bytes>; Topic::ALL.len()],
    /// The modern servers it uses, by place: is each heard on its behalf?
    lifted: BTreeMap<usize, bool>,
    /// Its client hears what servers say outside of calls.
    hears: bool,
    /// Somebody tells the session what is due.
    telling: bool,
}

/// What is to be done for a session.
pub(crate) enum Due {
    /// The client is told.
    Tell(Bytes),
    /// A list of a server is read again.
    Read(usize, Kind),
    /// A modern server is heard on the session's behalf from here on.
    Hear(usize),
    /// Nothing before this moment.
    Later(Instant),
    /// Nothing at all: whoever tells the session leaves.
    Nothing,
}

impl Changes {
    /// The notice of an only server: now, or none, because it has to wait.
    pub(crate) fn pass(&self, topic: Topic, notice: &Bytes, now: Instant) -> Option<Bytes> {
        let mut state = self.lock();
        let waits = state.paces[topic as usize].due(now).is_some();
        state.paces[topic as usize].owe();
        if !waits && state.paces[topic as usize].take(now) {
            return Some(notice.clone());
        }
        // A copy: the message may be a small part of a large buffer.
        state.held[topic as usize] = Some(Bytes::copy_from_slice(notice));
        None
    }

    /// The server at `place` says that lists of this topic have changed.
    pub(crate) fn announce(&self, place: usize, topic: Topic, now: Instant) {
        let mut state = self.lock();
        let mut compared = false;
        for kind in topic.kinds() {
            if let Some(view) = state.views.get_mut(&(place, kind)) {
                view.announce(now);
                compared = true;
            }
        }
        // What the client was never shown needs no comparison.
        if !compared {
            state.paces[topic as usize].owe();
        }
    }

    /// The session uses a modern server at `place`. True if that has something due.
    pub(crate) fn lifted(&self, place: usize) -> bool {
        let mut state = self.lock();
        let heard = *state.lifted.entry(place).or_default();
        state.hears && !heard
    }

    /// The client hears what servers say outside of calls from here on. True if that has something due.
    pub(crate) fn hear(&self) -> bool {
        let mut state = self.lock();
        state.hears = true;
        state.lifted.values().any(|heard| !heard)
    }

    /// The server at `place` came or went. What the client was never shown of it, it will not miss.
    pub(crate) fn turned(&self, place: usize, now: Instant) {
        let Some(state) = self.state.get() else { return };
        let mut state = held(state);
        for (_, view) in state.views.iter_mut().filter(|((server, _), _)| *server == place) {
            view.announce(now);
        }
    }

    /// There are other servers, those at `places`, or other names for what they list. What the client was shown of one
    /// kind it is shown of all of them.
    pub(crate) fn replaced(&self, places: &[usize], now: Instant) {
        let mut state = self.lock();
        let State { views, paces, lifted, .. } = &mut *state;
        lifted.retain(|place, _| places.contains(place));
        if views.is_empty() {
            // It had one server, whose lists passed by.
            paces.iter_mut().for_each(Pace::owe);
        }
        let kinds: Vec<_> = Kind::ALL.into_iter().filter(|kind| views.keys().any(|(_, shown)| shown == kind)).collect();
        views.retain(|(place, kind), view| {
            let stays = places.contains(place);
            if !stays && view.lose() {
                paces[kind.topic() as usize].owe();
            }
            stays
        });
        for place in places {
            for kind in &kinds {
                views.entry((*place, *kind)).or_insert_with(View::absent).announce(now);
            }
        }
    }

    /// The client asks for a list of the server at `place`: what is announced from here on is compared with it.
    pub(crate) fn ask(&self, place: usize, kind: Kind) {
        self.lock().views.entry((place, kind)).or_default();
    }

    /// The client was shown a list that it asked for at `asked`.
    pub(crate) fn show(&self, place: usize, kind: Kind, asked: Instant, found: Shown) {
        let now = Instant::now();
        self.lock().views.entry((place, kind)).or_default().show(asked, now, found);
    }

    /// A reading has ended.
    pub(crate) fn read(&self, place: usize, kind: Kind, found: Shown) {
        let now = Instant::now();
        let mut state = self.lock();
        if state.views.get_mut(&(place, kind)).is_some_and(|view| view.end(now, found)) {
            state.paces[kind.topic() as usize].owe();
        }
    }

    /// A reading has failed; `gone` if the server gives no lists at all.
    pub(crate) fn not_read(&self, place: usize, kind: Kind, gone: bool) {
        if gone {
            self.read(place, kind, Shown::Absent);
        }
        if let Some(view) = self.lock().views.get_mut(&(place, kind)) {
            view.fail(Instant::now());
        }
    }

    /// True if nobody tells the session: the caller does from here on, until [`Due::Nothing`].
    pub(crate) fn tell(&self) -> bool {
        !std::mem::replace(&mut self.lock().telling, true)
    }

    /// What is to be done.
    pub(crate) fn due(&self, now: Instant) -> Due {
        let mut state = self.lock();
        if let Some(topic) = Topic::ALL.into_iter().find(|topic| state.paces[*topic as usize].take(now)) {
            return Due::Tell(state.held[topic as usize].take().unwrap_or_else(|| topic.notice(None)));
        }
        if state.hears
            && let Some((place, heard)) = state.lifted.iter_mut().find(|(_, heard)| !**heard)
        {
            *heard = true;
            return Due::Hear(*place);
        }
        let next = |state: &State| {
            let views = state.views.iter().filter_map(|(key, view)| Some((view.due(now)?, Some(*key))));
            let paces = state.paces.iter().filter_map(|pace| Some((pace.due(now)?, None)));
            views.chain(paces).min_by_key(|(due, _)| *due)
        };
        match next(&state) {
            None => {
                state.telling = false;
                Due::Nothing
            }
            Some((due, Some(key))) if due <= now => {
                state.views.get_mut(&key).expect("it is due").begin(now);
                Due::Read(key.0, key.1)
            }
            Some((due, _)) => Due::Later(due),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        held(self.state.get_or_init(Box::default))
    }
}

fn held(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_notice_of_an_only_server_passes_and_the_last_of_a_storm_follows() {
        let changes = Changes::default();
        let start = Instant::now();
        let words = |n: u32| Bytes::from(n.to_string());
        assert_eq!(changes.pass(Topic::Tools, &words(0), start), Some(words(0)));
        assert_eq!((1..1000).filter_map(|n| changes.pass(Topic::Tools, &words(n), start)).count(), 0);
        assert_eq!(changes.pass(Topic::Prompts, &words(7), start), Some(words(7)), "another topic");
        let Due::Later(due) = changes.due(start) else { panic!("it waits") };
        assert_eq!(due, start + Duration::from_secs(1));
        let Due::Tell(last) = changes.due(due) else { panic!("it is due") };
        assert_eq!((last, matches!(changes.due(due), Due::Nothing)), (words(999), true));
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_shown_and_is_another_is_told() {
        let changes = Changes::default();
        let now = Instant::now();
        changes.show(1, Kind::Tool, now, Shown::Items(1));
        tokio::time::advance(Duration::from_secs(5)).await;
        let mut outcomes = Vec::new();
        for found in [Shown::Items(1), Shown::Absent] {
            changes.turned(1, Instant::now());
            changes.turned(2, Instant::now());
            let Due::Read(1, Kind::Tool) = changes.due(Instant::now()) else { panic!("it is read") };
            changes.read(1, Kind::Tool, found);
            outcomes.push(matches!(changes.due(Instant::now()), Due::Tell(_)));
            tokio::time::advance(Duration::from_secs(5)).await;
        }
        assert_eq!(outcomes, [false, true]);
        assert!(changes.tell() && !changes.tell());
    }
}
