//! What a server asks its caller while it serves a call (revisions with sessions).
//!
//! The question leaves on the call's own stream, and its answer comes as a request of its own: what is known of it waits
//! with the session's other questions, and beside the call, whose record tells it.
//!
//! Path: `exchange`, a question of the server → **`asked_back`** → `dispatch::answered`, and into the record.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tollhouse_core::record::{AskedBack, Attempt, Failed};
use tollhouse_core::trace::{SpanId, TraceContext, Traceparent, mint_span};
use tollhouse_core::wire::{Envelope, Form, Members, Span, members};

/// A question under way.
#[derive(Debug)]
pub(crate) struct Question {
    /// When its call arrived.
    received: Instant,
    said: Mutex<AskedBack>,
}

/// A question as it goes on: what becomes of it, and what the client is told in place of the trace that the server names.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) question: Arc<Question>,
    pub(crate) trace: Option<(Span, Traceparent)>,
}

impl Question {
    /// A question in `envelope`, in the trace and below the span of its call's attempt.
    pub(crate) fn begin(
        received: Instant,
        trace: &TraceContext,
        sampled: bool,
        attempt: SpanId,
        envelope: &Envelope,
    ) -> Told {
        let method = envelope.method().map(AsRef::as_ref).unwrap_or_default();
        let named = envelope.meta().and_then(|meta| Members::of(&envelope.bytes, meta).get("traceparent"));
        let own = named.and_then(|span| members::text(envelope.raw(span)));
        let own = own.and_then(|text| TraceContext::parse(text.as_bytes()));
        // Of another trace it would be nobody's child here.
        let parent = own.filter(|own| own.trace_id == trace.trace_id).map_or(attempt, |own| own.parent);
        let asked = Attempt { span: mint_span(), started: received.elapsed(), ..Attempt::default() };
        let told = trace.within(asked.span, sampled).written();
        let said = AskedBack { method: method.into(), parent, span: mint_span(), asked };
        Told { question: Arc::new(Self { received, said: Mutex::new(said) }), trace: named.map(|span| (span, told)) }
    }

    fn said(&self) -> MutexGuard<'_, AskedBack> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client has answered.
    pub(crate) fn answered(&self, answer: &Envelope) {
        let failed =
            matches!(answer.form, Form::Error { .. }).then(|| Failed::Code(answer.error_code().unwrap_or(-32603)));
        let mut said = self.said();
        (said.asked.ended, said.asked.failed) = (Some(self.received.elapsed()), failed);
    }

    /// What is known of it by now.
    pub(crate) fn so_far(&self) -> AskedBack {
        self.said().clone()
    }
}
