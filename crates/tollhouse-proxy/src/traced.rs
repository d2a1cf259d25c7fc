//! The trace of a call on its way: which spans it has, and what its server is told of them.
//!
//! Where spans leave the gateway, a server is told the span of the attempt, by which its own becomes the child of ours;
//! told the caller's, it would become our sibling. Where none leave, what the caller said goes on as it came: were it
//! replaced, the users' own tree would miss a parent.
//!
//! Path: `identify` → **`traced`** → upstream, and into the record.

use std::time::Duration;

use tokio::time::Instant;
use tollhouse_core::fault::Kind;
use tollhouse_core::record::{Attempt, Attempts, Failed};
use tollhouse_core::trace::{Aside, SpanId, TraceContext, TraceState, Traceparent, mint_span};
use tollhouse_core::wire::{Envelope, Members, Span};

use crate::asked_back::{Question, Told};
use crate::settings::Tracing;

/// How a server is told of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// Nothing but what the caller says.
    Nothing,
    /// In a header, and in `_meta` where the caller does so.
    InPlace,
    /// In a header and in `_meta`.
    Everywhere,
}

/// The trace of a call, its span and those of its attempts.
#[derive(Debug)]
pub(crate) struct Traced {
    /// As the caller gave it, or a new one.
    trace: TraceContext,
    /// What else is said of it, where spans leave.
    aside: Option<Box<Aside>>,
    /// Is the state in there ours?
    decided: bool,
    /// All zero where no spans leave.
    span: SpanId,
    sampled: bool,
    telling: Telling,
    attempts: Attempts,
    /// The span of the attempt that is made, or will be.
    next: SpanId,
    /// When that began.
    begun: Duration,
}

/// What of it remains.
pub(crate) struct Remains {
    pub(crate) trace: TraceContext,
    pub(crate) aside: Option<Box<Aside>>,
    pub(crate) span: SpanId,
    pub(crate) sampled: bool,
    pub(crate) attempts: Attempts,
}

impl Traced {
    /// The trace of a call whose caller gave it (`inbound`), or that starts here, and what else is said of it.
    pub(crate) fn new(
        trace: TraceContext,
        inbound: bool,
        mut aside: Option<Box<Aside>>,
        tracing: &Tracing,
        telling: Telling,
    ) -> Self {
        let (mut span, mut next) = (SpanId::default(), SpanId::default());
        let (mut sampled, mut decided) = (trace.sampled(), false);
        if let Some(sampler) = &tracing.spans {
            (span, next) = (mint_span(), mint_span());
            let parent = inbound.then_some(sampled);
            sampled = sampler.samples(&trace.trace_id, parent);
            if let Some(threshold) = sampler.threshold(parent).filter(|_| sampled) {
                let aside = aside.get_or_insert_default();
                aside.state = Some(TraceState::sampled_at(&threshold, aside.state.as_ref()));
                decided = true;
            }
        }
        let telling = if tracing.spans.is_some() { telling } else { Telling::Nothing };
        let (attempts, begun) = (Attempts::default(), Duration::ZERO);
        Self { trace, aside, decided, span, sampled, telling, attempts, next, begun }
    }

    /// Its trace, and the span a line that is logged for it belongs to: its own, or its caller's where no spans leave.
    pub(crate) fn ids(&self) -> ([u8; 16], SpanId) {
        let span = if self.span == SpanId::default() { self.trace.parent } else { self.span };
        (self.trace.trace_id, span)
    }

    /// Its span, for others to refer to; `None` where no spans leave.
    pub(crate) fn here(&self) -> Option<TraceContext> {
        (self.span != SpanId::default()).then(|| self.trace.within(self.span, self.sampled))
    }

    /// A byte of the attempt is about to leave at `now`.
    pub(crate) fn sent(&mut self, now: Duration) {
        self.end(now, None);
        self.attempts.push(Attempt { span: self.next, started: now, ended: None, failed: None });
    }

    /// The attempt came to nothing before a byte left.
    pub(crate) fn unsent(&mut self, now: Duration, kind: Kind) {
        if self.attempts.open().is_none() {
            self.attempts.push(Attempt { span: self.next, started: self.begun, ended: None, failed: None });
        }
        self.end(now, Some(Failed::Fault(kind)));
    }

    /// Another attempt begins.
    pub(crate) fn again(&mut self, now: Duration) {
        self.end(now, None);
        self.begun = now;
        if self.span != SpanId::default() {
            self.next = mint_span();
        }
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.count()
    }

    /// The call is over: its last attempt ended at `now` as the call did.
    pub(crate) fn finish(&mut self, now: Duration, failed: Option<Failed>) -> Remains {
        self.end(now, failed);
        let attempts = std::mem::take(&mut self.attempts);
        Remains { trace: self.trace, aside: self.aside.take(), span: self.span, sampled: self.sampled, attempts }
    }

    fn end(&mut self, now: Duration, failed: Option<Failed>) {
        if let Some(attempt) = self.attempts.open() {
            (attempt.ended, attempt.failed) = (Some(now), failed);
        }
    }

    /// The `traceparent` the server is told; `None` if it is told what the caller says.
    pub(crate) fn told(&self) -> Option<Traceparent> {
        (self.telling != Telling::Nothing).then(|| self.trace.within(self.next, self.sampled).written())
    }

    /// The `tracestate` the server is told in place of what the caller says; `None` if there is nothing of ours in it.
    pub(crate) fn told_state(&self) -> Option<&str> {
        let ours = self.decided && self.telling != Telling::Nothing;
        self.aside.as_ref().filter(|_| ours).and_then(|aside| aside.state.as_ref()).map(TraceState::as_str)
    }

    /// What the server asks back in `envelope`; `None` where no spans leave.
    pub(crate) fn asked_back(&self, received: Instant, envelope: &Envelope) -> Option<Told> {
        let mut told = (self.span != SpanId::default())
            .then(|| Question::begin(received, &self.trace, self.sampled, self.next, envelope))?;
        if self.telling == Telling::Nothing {
            told.trace = None;
        }
        Some(told)
    }

    /// The span of a question of the gateway's own for the call, and the `traceparent` that its server is told.
    pub(crate) fn leg(&self) -> (SpanId, Option<Traceparent>) {
        if self.span == SpanId::default() {
            return (SpanId::default(), None);
        }
        let span = mint_span();
        let told = self.trace.within(span, self.sampled).written();
        (span, (self.telling != Telling::Nothing).then_some(told))
    }

    /// What makes a request that goes on as it came say so in `_meta` as well, where the caller's is `own`. What is
    /// cut out of it is `excess`.
    pub(crate) fn edit(
        &self,
        envelope: &Envelope,
        id: Span,
        meta: Option<Span>,
        own: Option<Span>,
        excess: Option<Span>,
    ) -> Option<(Span, Vec<u8>)> {
        let told = self.told()?;
        if let Some(own) = own {
            return Some((own, [b"\"", &told[..], b"\""].concat()));
        }
        if self.telling != Telling::Everywhere {
            return None;
        }
        let (text, state) = (&envelope.bytes, self.told_state());
        let goes = |key: Span| excess.is_some_and(|cut| cut.start() <= key.start() && key.end() <= cut.end());
        let (object, first, member) = match (meta, envelope.params) {
            (Some(meta), _) => {
                (meta, Members::of(text, meta).map(|(key, _)| key).find(|key| !goes(*key)), members(&told, state))
            }
            (None, Some(object)) => (object, envelope.members().next().map(|(key, _)| key), alone(&told, state)),
            (None, None) => {
                let behind = Span::new(id.end(), id.end());
                return Some((behind, [b",\"params\":{", &alone(&told, state)[..], b"}"].concat()));
            }
        };
        if text[object.start()] != b'{' {
            return None;
        }
        let at = first.map_or(object.start() + 1, |key| key.start() - 1);
        let mut member = member;
        if first.is_some() {
            member.push(b',');
        }
        Some((Span::new(at, at), member))
    }
}

/// The member of `_meta` that tells it.
pub(crate) fn member(told: &[u8]) -> Vec<u8> {
    [b"\"traceparent\":\"", told, b"\""].concat()
}

/// The same, with what is said of the trace.
pub(crate) fn members(told: &[u8], state: Option<&str>) -> Vec<u8> {
    let mut members = member(told);
    if let Some(state) = state {
        members.extend_from_slice(&[b",\"tracestate\":\"", state.as_bytes(), b"\""].concat());
    }
    members
}

/// `_meta` with nothing else in it.
fn alone(told: &[u8], state: Option<&str>) -> Vec<u8> {
    [b"\"_meta\":{", &members(told, state)[..], b"}"].concat()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tollhouse_core::trace::Sampler;
    use tollhouse_core::wire::{Form, splice};

    use super::*;
    use crate::meta::Meta;

    const INBOUND: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn traced(telling: Telling) -> Traced {
        let trace = TraceContext::parse(INBOUND.as_bytes()).unwrap();
        Traced::new(trace, true, None, &Tracing { spans: Some(Sampler::default()), ..Tracing::default() }, telling)
    }

    /// What a server gets, with the traceparent it is told as `T`.
    fn told(request: &str, telling: Telling) -> String {
        let envelope = Envelope::parse(Bytes::copy_from_slice(request.as_bytes())).unwrap();
        let Form::Request { id, .. } = envelope.form else { panic!("a request") };
        let traced = traced(telling);
        let meta = Meta::read(&envelope, envelope.meta()).unwrap();
        let edit = traced.edit(&envelope, id, envelope.meta(), meta.traceparent, meta.excess);
        let cut = meta.excess.map(|span| (span, Vec::new()));
        let mut edits: Vec<_> = cut.iter().chain(&edit).map(|(span, new)| (*span, &new[..])).collect();
        edits.sort_by_key(|(span, _)| (span.start(), span.end()));
        let out = splice::splice(&envelope.bytes, &edits);
        let told = String::from_utf8(traced.told().unwrap().to_vec()).unwrap();
        assert!(told.get(..36) == INBOUND.get(..36) && told.get(36..52) != INBOUND.get(36..52), "{told}");
        String::from_utf8(out.to_vec()).unwrap().replace(&told, "T")
    }

    #[test]
    fn a_server_is_told_the_span_of_the_attempt_wherever_the_caller_said_its_own() {
        for (request, everywhere, in_place) in [
            (
                r#"{"id":1,"method":"m","jsonrpc":"2.0","params":{"a":1}}"#,
                r#"{"id":1,"method":"m","jsonrpc":"2.0","params":{"_meta":{"traceparent":"T"},"a":1}}"#,
                None,
            ),
            (
                r#"{"id":1,"method":"m","jsonrpc":"2.0","params":{ }}"#,
                r#"{"id":1,"method":"m","jsonrpc":"2.0","params":{"_meta":{"traceparent":"T"} }}"#,
                None,
            ),
            (
                r#"{"id":1,"method":"m","jsonrpc":"2.0"}"#,
                r#"{"id":1,"params":{"_meta":{"traceparent":"T"}},"method":"m","jsonrpc":"2.0"}"#,
                None,
            ),
            (
                r#"{"id":1,"method":"m","jsonrpc":"2.0","params":{"_meta":{"x":2}}}"#,
                r#"{"id":1,"method":"m","jsonrpc":"2.0","params":{"_meta":{"traceparent":"T","x":2}}}"#,
                None,
            ),
            (
                r#"{"id":1,"method":"m","jsonrpc":"2.0","params":{"_meta":null}}"#,
                r#"{"id":1,"method":"m","jsonrpc":"2.0","params":{"_meta":null}}"#,
                None,
            ),
            (
                &format!(
                    r#"{{"id":1,"method":"m","jsonrpc":"2.0","params":{{"_meta":{{"traceparent":"{INBOUND}"}}}}}}"#
                ),
                r#"{"id":1,"method":"m","jsonrpc":"2.0","params":{"_meta":{"traceparent":"T"}}}"#,
                Some(r#"{"id":1,"method":"m","jsonrpc":"2.0","params":{"_meta":{"traceparent":"T"}}}"#),
            ),
        ] {
            assert_eq!(told(request, Telling::Everywhere), everywhere);
            assert_eq!(told(request, Telling::InPlace), in_place.unwrap_or(request));
        }
    }

    #[test]
    fn it_stands_beside_what_is_cut_out() {
        let baggage = format!(r#""baggage":"{}""#, "x".repeat(9000));
        let request =
            |meta: &str| format!(r#"{{"id":1,"method":"m","jsonrpc":"2.0","params":{{"_meta":{{{meta}}}}}}}"#);
        for (meta, expected) in [
            (baggage.clone(), r#""traceparent":"T""#),
            (format!(r#"{baggage},"x":1"#), r#""traceparent":"T","x":1"#),
            (format!(r#""x":1,{baggage}"#), r#""traceparent":"T","x":1"#),
        ] {
            assert_eq!(told(&request(&meta), Telling::Everywhere), request(expected));
        }
    }

    #[test]
    fn each_attempt_is_another_span() {
        let mut traced = traced(Telling::InPlace);
        let ms = Duration::from_millis;
        let first = traced.told();
        traced.unsent(ms(1), Kind::Unreachable);
        traced.again(ms(5));
        assert_ne!(traced.told(), first);
        traced.sent(ms(6));
        let remains = traced.finish(ms(9), None);
        let times: Vec<_> = remains.attempts.iter().map(|attempt| (attempt.started, attempt.ended)).collect();
        assert_eq!(times, [(ms(0), Some(ms(1))), (ms(6), Some(ms(9)))]);
        let failed: Vec<_> = remains.attempts.iter().map(|attempt| attempt.failed).collect();
        assert_eq!(failed, [Some(Failed::Fault(Kind::Unreachable)), None]);
        let mut spans: Vec<_> = remains.attempts.iter().map(|attempt| attempt.span).chain([remains.span]).collect();
        spans.sort_unstable();
        spans.dedup();
        assert!(spans.len() == 3 && !spans.contains(&SpanId::default()), "{spans:?}");
    }
}
