//! The root of a session's trace, for calls whose callers name no trace.
//!
//! Were each such call a trace by itself, nobody could see what one agent did; were the root made by the first call, all
//! others would have to be told of it. So its ids are a keyed hash of the session: whoever knows the key knows the root,
//! and the ids betray nothing of the session. A session over the network gets another root each hour, so that no
//! trace grows without end; a process on a pipe keeps its own.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Listener, SessionRef, SessionSource};
use crate::trace::TraceContext;

const HOUR: u64 = 3600;

/// The key of this process.
#[derive(Debug, Clone, Default)]
pub struct Roots(RandomState);

/// Equal if they give the same ids.
impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash_one(0) == other.0.hash_one(0)
    }
}

impl Roots {
    /// The trace of a call that arrived `at`, below the root of its session. `None` if the session is only guessed, or is a
    /// trace itself: what may not belong together must not become one trace.
    pub fn context(&self, session: &SessionRef, listener: Listener, at: SystemTime) -> Option<TraceContext> {
        if matches!(session.source, SessionSource::Guess | SessionSource::Trace) {
            return None;
        }
        let hour = match listener {
            Listener::Stdio => 0,
            Listener::Http | Listener::Sse => at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) / HOUR,
        };
        // Zero is no id; of 2^64 one.
        let part = |part: u8| self.0.hash_one((part, &*session.id, hour)).max(1).to_be_bytes();
        let mut trace_id = [0; 16];
        trace_id[..8].copy_from_slice(&part(0));
        trace_id[8..].copy_from_slice(&part(1));
        Some(TraceContext { trace_id, parent: part(2), flags: TraceContext::SAMPLED })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn calls_of_a_session_are_below_one_root_for_an_hour_and_those_of_a_pipe_always() {
        let roots = Roots::default();
        let session = |id: &str, source| SessionRef { id: id.into(), source };
        let at = |minutes: u64| UNIX_EPOCH + Duration::from_secs(minutes * 60);
        let root = |id, listener, minutes| {
            roots.context(&session(id, SessionSource::Protocol), listener, at(minutes)).unwrap()
        };
        assert_eq!(root("a", Listener::Http, 60), root("a", Listener::Http, 119));
        assert_ne!(root("a", Listener::Http, 60), root("a", Listener::Http, 120));
        assert_ne!(root("a", Listener::Http, 60), root("b", Listener::Http, 60));
        assert_eq!(root("a", Listener::Stdio, 60), root("a", Listener::Stdio, 6000));
        for source in [SessionSource::Guess, SessionSource::Trace] {
            assert_eq!(roots.context(&session("a", source), Listener::Http, at(60)), None);
        }
        assert!(roots == roots.clone() && roots != Roots::default());
    }
}
