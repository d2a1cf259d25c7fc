//! Which sessions have something due, for the one task that looks after all of them.
//!
//! Most sessions are never told anything, so none has a task of its own: it is put here when there is something to tell,
//! at most once, and is looked after until there is nothing any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::legacy::Session;

/// The sessions that wait, and all that could.
#[derive(Default)]
pub(crate) struct Bell {
    /// Each at most once: as many as there are sessions.
    waiting: Mutex<Vec<Arc<Session>>>,
    rung: Notify,
    /// The sessions at the endpoint of all servers. Those that have ended go when the list would grow.
    entered: Mutex<Vec<Weak<Session>>>,
}

impl Bell {
    /// A session is to be told when servers come and go.
    pub(crate) fn enter(&self, session: &Arc<Session>) {
        let mut entered = lock(&self.entered);
        if entered.len() == entered.capacity() {
            entered.retain(|session| session.strong_count() > 0);
        }
        entered.push(Arc::downgrade(session));
    }

    /// All sessions that have entered.
    pub(crate) fn entered(&self) -> Vec<Arc<Session>> {
        lock(&self.entered).iter().filter_map(Weak::upgrade).collect()
    }

    /// Something may be due for a session.
    pub(crate) fn ring(&self, session: &Arc<Session>) {
        if session.changes.tell() {
            lock(&self.waiting).push(session.clone());
            self.rung.notify_one();
        } else {
            session.changes.woken.notify_one();
        }
    }

    /// The sessions that have been put here since; waits for the first.
    pub(crate) async fn answer(&self) -> Vec<Arc<Session>> {
        loop {
            let waiting = std::mem::take(&mut *lock(&self.waiting));
            if !waiting.is_empty() {
                return waiting;
            }
            self.rung.notified().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
