//! Trace context and baggage are dropped or can be passed on as they were understood.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tollhouse_core::trace::{Baggage, TraceContext, TraceState};

fuzz_target!(|headers: (&[u8], &[u8])| {
    let (first, second) = headers;
    if let Some(context) = TraceContext::parse(first) {
        let written = context.traceparent().expect("what was read has a parent");
        assert_eq!(TraceContext::parse(written.as_bytes()), Some(context));
        assert_eq!(context.child().trace_id, context.trace_id);
    }
    if let Some(state) = TraceState::parse([first, second]) {
        assert!(state.as_str().len() <= 512);
        assert_eq!(TraceState::parse([state.as_str().as_bytes()]), Some(state));
    }
    if let Some(baggage) = Baggage::parse([first, second]) {
        assert!(first.len() + second.len() <= 8192);
        for id in [baggage.session_id, baggage.conversation_id].into_iter().flatten() {
            assert!(!id.is_empty() && !id.contains(char::is_control));
        }
    }
});
