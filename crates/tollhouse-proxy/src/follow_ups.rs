//! Which call asked for the input that another one brings.
//!
//! A server of 2026-07-28 that needs input ends a call with `input_required` and a `requestState`, and the client sends the
//! call again with both. Each is a call by itself; by the state, the span of the second says whose answer it is.
//!
//! Path: `exchange`, an answer that asks → **`follow_ups`** → `dispatch`, the call that brings it back.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tollhouse_core::trace::TraceContext;
use tollhouse_core::wire::{Members, Span, members};

/// Calls that are remembered; older ones are forgotten, and what follows them is not linked.
const KEPT: usize = 1024;

/// The calls that were last answered with a state, by its hash.
#[derive(Debug, Default)]
pub(crate) struct FollowUps {
    hasher: RandomState,
    asked: Mutex<VecDeque<(u64, TraceContext)>>,
}

impl FollowUps {
    fn asked(&self) -> MutexGuard<'_, VecDeque<(u64, TraceContext)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever brings it back may escape it otherwise.
    fn hash(&self, state: &[u8]) -> u64 {
        match members::text(state) {
            Some(text) => self.hasher.hash_one(text.as_bytes()),
            None => self.hasher.hash_one(state),
        }
    }

    /// The call with the span `of` is answered with this message, which asks for input.
    pub(crate) fn note(&self, answer: &[u8], of: TraceContext) {
        let whole = Members::of(answer, Span::new(0, answer.len()));
        let state = whole.get("result").and_then(|result| Members::of(answer, result).get("requestState"));
        let Some(state) = state else { return };
        let hash = self.hash(state.of(answer));
        let mut asked = self.asked();
        if asked.len() >= KEPT {
            asked.pop_front();
        }
        asked.push_back((hash, of));
    }

    /// The call that was answered with this state, as it is written.
    pub(crate) fn find(&self, state: &[u8]) -> Option<TraceContext> {
        let hash = self.hash(state);
        self.asked().iter().rev().find(|(known, _)| *known == hash).map(|(_, of)| *of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_leads_to_the_last_call_it_was_given_for() {
        let follow_ups = FollowUps::default();
        let answer = |state: &str| format!(r#"{{"id":1,"result":{{"requestState":"{state}","x":[1]}}}}"#);
        let calls: Vec<_> = (0..KEPT + 2).map(|_| TraceContext::mint()).collect();
        for (nth, call) in calls.iter().enumerate() {
            follow_ups.note(answer(&nth.to_string()).as_bytes(), *call);
        }
        assert_eq!(follow_ups.find(b"\"0\""), None, "forgotten");
        assert_eq!(follow_ups.find(b"\"2\""), Some(calls[2]));
        assert_eq!(follow_ups.find(br#""\u0032""#), Some(calls[2]), "escaped otherwise");
        follow_ups.note(answer("2").as_bytes(), calls[0]);
        assert_eq!(follow_ups.find(b"\"2\""), Some(calls[0]));
        follow_ups.note(br#"{"id":1,"result":{}}"#, calls[1]);
        follow_ups.note(b"no JSON", calls[1]);
        assert_eq!(follow_ups.find(b""), None);
    }
}
