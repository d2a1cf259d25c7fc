//! The sessions of legacy clients: who they are, what is at work for them, which streams they may resume.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tollhouse_core::clock;
use tollhouse_core::era::Version;

use super::stream::Log;

/// Sessions kept; the oldest makes room, and its client is told that it is over.
const SESSIONS_MAX: usize = 256;
/// Streams of a session kept for resumption; the oldest makes room.
const STREAMS_MAX: usize = 16;

/// All sessions, oldest first.
#[derive(Default)]
pub(super) struct Sessions(Mutex<VecDeque<Arc<Session>>>);

impl Sessions {
    pub(super) fn open(&self, version: Version) -> Arc<Session> {
        let mut secret = [0; 16];
        clock::secret_bytes(&mut secret);
        let mut id = String::with_capacity(32);
        for byte in secret {
            write!(id, "{byte:02x}").expect("a string takes what is written");
        }
        let session = Arc::new(Session { id, version, at_work: Mutex::default(), streams: Mutex::default() });
        let mut sessions = locked(&self.0);
        if sessions.len() >= SESSIONS_MAX {
            sessions.pop_front();
        }
        sessions.push_back(Arc::clone(&session));
        session
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Session>> {
        locked(&self.0).iter().find(|session| session.id == id).cloned()
    }

    pub(super) fn close(&self, id: &str) {
        locked(&self.0).retain(|session| session.id != id);
    }
}

/// One legacy client's session.
pub(super) struct Session {
    pub(super) id: String,
    pub(super) version: Version,
    /// Requests being answered, by the text of their id.
    at_work: Mutex<HashMap<String, CancellationToken>>,
    streams: Mutex<Streams>,
}

#[derive(Default)]
struct Streams {
    kept: VecDeque<(u64, Arc<Log>)>,
    last: u64,
}

impl Session {
    /// Notes a request as being answered; `None` if its id already is.
    pub(super) fn begin(&self, id: &Value) -> Option<CancellationToken> {
        let mut at_work = locked(&self.at_work);
        let id = id.to_string();
        if at_work.contains_key(&id) {
            return None;
        }
        let cancelled = CancellationToken::new();
        at_work.insert(id, cancelled.clone());
        Some(cancelled)
    }

    pub(super) fn finish(&self, id: &Value) {
        locked(&self.at_work).remove(&id.to_string());
    }

    pub(super) fn cancel(&self, id: &Value) {
        if let Some(cancelled) = locked(&self.at_work).get(&id.to_string()) {
            cancelled.cancel();
        }
    }

    /// A stream for one answer; `primed` begins it with an event that has an id, so that it can be resumed.
    pub(super) fn open_stream(&self, primed: bool) -> Arc<Log> {
        let mut streams = locked(&self.streams);
        streams.last += 1;
        let number = streams.last;
        let log = Arc::new(Log::new(number, primed));
        if primed {
            if streams.kept.len() >= STREAMS_MAX {
                streams.kept.pop_front();
            }
            streams.kept.push_back((number, Arc::clone(&log)));
        }
        log
    }

    /// The stream an event id belongs to, and the place after that event.
    pub(super) fn find_stream(&self, event_id: &str) -> Option<(Arc<Log>, usize)> {
        let (number, at) = event_id.split_once('-')?;
        let (number, at): (u64, usize) = (number.parse().ok()?, at.parse().ok()?);
        let streams = locked(&self.streams);
        let (_, log) = streams.kept.iter().find(|(kept, _)| *kept == number)?;
        (at < log.len()).then(|| (Arc::clone(log), at + 1))
    }
}

/// Nothing behind these locks can panic half-way, so a poisoned one still guards whole values.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
