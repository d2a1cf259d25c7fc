//! Legacy sessions of the gateway's own, lent to modern clients of a server that knows no other way.
//!
//! A modern request says all of itself, a legacy server wants a conversation. So for each conversation of modern
//! clients the gateway holds one session at such a server, opened with what the requests say of their client, and
//! lends it to one request after the other. Whose conversation it is follows from the same hints that group records;
//! a wrong guess shares a server's memory between two conversations of one principal, never more.
//!
//! The sessions are bounded: the idlest makes room, and what idles too long ends, as with sessions of clients.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tollhouse_core::record::Principal;

use super::legacy::{Occupied, Session};
use crate::settings::LiveLimits;

/// What decides which session a request is lent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The server's place.
    pub(crate) place: usize,
    pub(crate) principal: Principal,
    /// The conversation the request belongs to.
    pub(crate) conversation: Arc<str>,
    /// The name the client gives itself.
    pub(crate) client: Option<Arc<str>>,
    /// What the session was opened with: another set needs another session.
    pub(crate) capabilities: Bytes,
}

/// All of them.
pub(crate) struct Lent {
    sessions: Mutex<HashMap<Key, Arc<Session>>>,
    limits: LiveLimits,
    /// Questions of servers that no client was asked.
    questions: AtomicU64,
}

/// A session on loan; it is not idle as long as this lives.
pub(crate) struct Borrowed {
    pub(crate) session: Arc<Session>,
    pub(crate) occupied: Occupied,
    /// The session that had to make room, to be ended.
    pub(crate) evicted: Option<Arc<Session>>,
}

impl Lent {
    pub(crate) fn new(limits: LiveLimits) -> Self {
        Self { sessions: Mutex::default(), limits, questions: AtomicU64::new(0) }
    }

    /// Nobody has to say who they are: all sessions are of one principal.
    fn limit(&self) -> usize {
        let limits = self.limits.load();
        limits.sessions.min(limits.sessions_per_principal)
    }

    /// Takes out the sessions with a server that is taken out.
    pub(crate) fn take_out(&self, place: usize) -> Vec<Arc<Session>> {
        self.lock().extract_if(|key, _| key.place == place).map(|(_, session)| session).collect()
    }

    /// The session for `key`, else the one that `new` makes; `None` if all there may be are in use.
    pub(crate) fn borrow(&self, key: Key, new: impl FnOnce() -> Session) -> Option<Borrowed> {
        let mut sessions = self.lock();
        if let Some(session) = sessions.get(&key) {
            return Some(Borrowed { session: session.clone(), occupied: session.occupy(), evicted: None });
        }
        let mut evicted = None;
        if sessions.len() >= self.limit() {
            let idle = |(key, session): (&Key, &Arc<Session>)| Some((session.idle()?, key.clone()));
            let (_, idlest) = sessions.iter().filter_map(idle).max_by_key(|(idle, _)| *idle)?;
            evicted = sessions.remove(&idlest);
        }
        let session = Arc::new(new());
        let occupied = session.occupy();
        sessions.insert(key, session.clone());
        Some(Borrowed { session, occupied, evicted })
    }

    /// Notes a question that no client was asked; how many there have been.
    pub(crate) fn count_question(&self) -> u64 {
        self.questions.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Takes out the sessions that have been idle for too long.
    pub(crate) fn expire(&self) -> Vec<Arc<Session>> {
        let longest = self.limits.load().session_idle;
        let expired = |session: &Session| session.idle().is_some_and(|idle| idle >= longest);
        self.lock().extract_if(|_, session| expired(session)).map(|(_, session)| session).collect()
    }

    /// Takes out all sessions.
    pub(crate) fn drain(&self) -> Vec<Arc<Session>> {
        self.lock().drain().map(|(_, session)| session).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arc_swap::ArcSwap;
    use tokio_util::sync::CancellationToken;
    use tollhouse_core::era::Version;
    use tollhouse_core::wire::{Envelope, Span};

    use super::super::legacy::{Endpoint, Outlet};
    use super::super::streams::Bounds;
    use super::*;
    use crate::settings::Limits;

    fn lent(limits: Limits) -> Lent {
        Lent::new(Arc::new(ArcSwap::from_pointee(limits)))
    }

    fn key(conversation: &str) -> Key {
        Key {
            place: 0,
            principal: Principal::Anonymous,
            conversation: conversation.into(),
            client: None,
            capabilities: Bytes::from_static(b"{}"),
        }
    }

    fn session() -> Session {
        let initialize = Envelope::parse(Bytes::from_static(br#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#));
        let initialize = Arc::new((initialize.unwrap(), Span::new(21, 22)));
        let bounds = Bounds::new(Arc::new(ArcSwap::from_pointee(Limits::default())), Arc::default());
        let stop = CancellationToken::new();
        Session::new(Endpoint::One(0), Version::LATEST_LEGACY, None, initialize, Outlet::Nobody, bounds, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn the_idlest_session_makes_room_and_none_that_is_in_use() {
        let lent = lent(Limits { sessions: 2, ..Limits::default() });
        let in_use = lent.borrow(key("a"), session).unwrap();
        drop(lent.borrow(key("b"), session).unwrap());
        tokio::time::advance(Duration::from_secs(1)).await;
        let third = lent.borrow(key("c"), session).unwrap();
        assert!(third.evicted.is_some());
        assert!(lent.borrow(key("d"), session).is_none(), "both are in use");
        let again = lent.borrow(key("a"), session).unwrap();
        assert!(Arc::ptr_eq(&again.session, &in_use.session));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_expires_only_while_nobody_uses_it() {
        let lent = lent(Limits { session_idle: Duration::from_secs(5), ..Limits::default() });
        let borrowed = lent.borrow(key("a"), session).unwrap();
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(lent.expire().len(), 0);
        drop(borrowed);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!((lent.expire().len(), lent.len()), (1, 0));
    }
}
