//! A call on its way: what was fixed when it arrived, and what has happened to it since.
//!
//! It is owned by the one who serves it and ends exactly once, in [`Call::finish`], as a record.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use tollhouse_core::context::{self, Current};
use tollhouse_core::era::{Era, Version};
use tollhouse_core::fault::Kind;
use tollhouse_core::ids::{CallId, ServerId};
use tollhouse_core::record::{
    Answer, CallRecord, Hint, Leg, Listener, Outcome, Principal, Seen, SessionRef, Times, Traffic,
};
use tollhouse_core::wire::method::{self, Method};
use tollhouse_core::wire::splice::splice;
use tollhouse_core::wire::{Envelope, Form, Span, members};

use crate::asked_back::{Question, Told};
use crate::traced::{Remains, Traced};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What stands in place of a span of a message.
pub(crate) type Edit = (Span, Bytes);

/// A message with these edits, which are apart, in any order; of those at one place the first comes first.
pub(crate) fn spliced(text: &Bytes, mut edits: Vec<Edit>) -> Bytes {
    edits.sort_by_key(|(span, _)| (span.start(), span.end()));
    let edits: Vec<_> = edits.iter().map(|(span, new)| (*span, &new[..])).collect();
    splice(text, &edits)
}

/// One request and its story.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    received_at: SystemTime,
    pub(crate) received: Instant,
    pub(crate) listener: Listener,
    pub(crate) principal: Principal,
    pub(crate) session: SessionRef,
    hints: Box<[Hint]>,
    pub(crate) version: Version,
    pub(crate) client: Option<Arc<str>>,
    /// Where it came from.
    pub(crate) peer: IpAddr,
    pub(crate) traced: Traced,
    /// The request, as it was received.
    pub(crate) envelope: Envelope,
    /// The caller's id.
    pub(crate) request_id: Span,
    pub(crate) method: Method,
    pub(crate) params: Params,
    /// Headers of the caller that go on to a server of the same era.
    pub(crate) passed: HeaderMap,
    /// Which answers the caller takes, in its own order: a server may prefer the first.
    pub(crate) accept: Option<HeaderValue>,
    /// Where it was routed.
    pub(crate) server: Option<ServerId>,
    /// The name the server knows its tool or prompt by, where the caller uses another.
    pub(crate) local_name: Option<Arc<str>>,
    /// It came to the endpoint of several servers.
    pub(crate) aggregated: bool,
    /// The server's own state, and the sealed one whose place it takes.
    pub(crate) state: Option<Box<(Span, Vec<u8>)>>,
    /// What else differs in the request as the server gets it, where that speaks another era.
    pub(crate) crossed: Option<Box<[Edit]>>,
    /// The id under which the server knows it, once it was sent.
    pub(crate) upstream_id: Option<u64>,
    times: Times,
    /// What several servers were asked for it.
    legs: Vec<Leg>,
    /// What its server asked back.
    questions: Vec<Arc<Question>>,
    pub(crate) response_bytes: u64,
    /// What answers it.
    pub(crate) answer: Option<Answer>,
}

/// Who asks, from where, in whose conversation: what step 3 of the path fixes.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) listener: Listener,
    pub(crate) principal: Principal,
    pub(crate) session: SessionRef,
    pub(crate) hints: Box<[Hint]>,
    pub(crate) version: Version,
    pub(crate) client: Option<Arc<str>>,
    pub(crate) peer: IpAddr,
    pub(crate) traced: Traced,
    pub(crate) passed: HeaderMap,
    pub(crate) accept: Option<HeaderValue>,
}

/// The members of `params` that the gateway reads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Params {
    /// What the request is about: `name`, `uri` or `taskId`, by the method.
    pub(crate) subject: Option<Span>,
    pub(crate) arguments: Option<Span>,
    /// What a server gave to be brought back.
    pub(crate) state: Option<Span>,
    pub(crate) meta: Option<Span>,
    pub(crate) progress_token: Option<Span>,
    /// The trace that `_meta` names, whether it is one or not.
    pub(crate) traceparent: Option<Span>,
    /// What is not passed on.
    pub(crate) excess: Option<Span>,
}

impl Params {
    /// Finds them in a request of `method`.
    ///
    /// # Errors
    /// One of them stands there twice or in a confusing spelling.
    pub(crate) fn read(envelope: &Envelope, method: &str) -> Result<Self, members::KeyError> {
        let [subject, arguments, state, meta] = if let Some(subject) = method::subject(method) {
            envelope.pick_params([subject, "arguments", "requestState", "_meta"])?
        } else {
            let [meta] = envelope.pick_params(["_meta"])?;
            [None, None, None, meta]
        };
        Ok(Self { subject, arguments, state, meta, ..Self::default() })
    }
}

impl Call {
    /// A request that was received at `received`. Boxed here: it is large and goes through many hands.
    pub(crate) fn new(
        received: Instant,
        received_at: SystemTime,
        envelope: Envelope,
        params: Params,
        caller: Caller,
    ) -> Box<Self> {
        let Form::Request { id, method } = &envelope.form else { unreachable!("only requests become calls") };
        let (request_id, method) = (*id, method.clone());
        let id = CallId::mint(received_at);
        let (trace_id, span_id) = caller.traced.ids();
        context::enter(Current { call: id, trace_id, span_id });
        Box::new(Self {
            id,
            received_at,
            received,
            listener: caller.listener,
            principal: caller.principal,
            session: caller.session,
            hints: caller.hints,
            version: caller.version,
            client: caller.client,
            peer: caller.peer,
            traced: caller.traced,
            envelope,
            request_id,
            method,
            params,
            passed: caller.passed,
            accept: caller.accept,
            server: None,
            local_name: None,
            aggregated: false,
            state: None,
            crossed: None,
            upstream_id: None,
            times: Times::default(),
            legs: Vec::new(),
            questions: Vec::new(),
            response_bytes: 0,
            answer: None,
        })
    }

    pub(crate) fn era(&self) -> Era {
        self.version.era()
    }

    /// The caller's id, as it is written.
    pub(crate) fn raw_id(&self) -> &[u8] {
        self.envelope.raw(self.request_id)
    }

    /// What the request is about, by the caller's name.
    pub(crate) fn name(&self) -> Option<Cow<'_, str>> {
        members::text(self.envelope.raw(self.params.subject?))
    }

    /// What the request is about, by the server's name.
    pub(crate) fn upstream_name(&self) -> Option<Cow<'_, str>> {
        self.local_name.as_deref().map(Cow::Borrowed).or_else(|| self.name())
    }

    /// An attempt begins: the next byte leaves for the server, which knows the call as `upstream_id`.
    pub(crate) fn sent_as(&mut self, upstream_id: u64) {
        // A connection found closed is replaced within the same attempt.
        if self.upstream_id.replace(upstream_id) != Some(upstream_id) {
            let now = self.received.elapsed();
            self.traced.sent(now);
            self.times.sent.get_or_insert(now);
        }
    }

    /// The attempt came to nothing before a byte left, if one that got this far did.
    pub(crate) fn unsent(&mut self, kind: Kind) {
        self.traced.unsent(self.received.elapsed(), kind);
        self.upstream_id = None;
        self.times.sent = None;
    }

    /// Another attempt begins.
    pub(crate) fn again(&mut self) {
        self.traced.again(self.received.elapsed());
    }

    /// This is its result. Of a short one the record is given the message, which costs nothing; a long one would have to be
    /// searched for it.
    pub(crate) fn answered_with(&mut self, envelope: &Envelope, result: Span) {
        if result.end() - result.start() > COPIED {
            self.answer = Some(Answer::Part(envelope.slice(result)));
        }
    }

    /// Its server asks something back; nothing is noted where no spans leave.
    pub(crate) fn asked_back(&mut self, envelope: &Envelope) -> Option<Told> {
        let told = self.traced.asked_back(self.received, envelope)?;
        if self.questions.len() < QUESTIONS_MAX {
            self.questions.push(told.question.clone());
        }
        Some(told)
    }

    /// Several servers were asked for it.
    pub(crate) fn asked(&mut self, legs: Vec<Leg>) {
        self.legs.extend(legs);
    }

    /// Something came back.
    pub(crate) fn responded(&mut self) {
        self.times.first_response.get_or_insert_with(|| self.received.elapsed());
    }

    /// The server's answer is complete, or there will be none.
    pub(crate) fn answered(&mut self) {
        let now = self.received.elapsed();
        self.times.answered.get_or_insert(now);
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.traced.attempts()
    }

    /// Time since it arrived, when it was first sent.
    pub(crate) fn sent_at(&self) -> Option<SystemTime> {
        self.times.sent.map(|sent| self.received_at + sent)
    }

    /// The request as the server gets it: its id is ours, and so are its name and progress token where they differ. A
    /// state that it brings back is the server's again.
    pub(crate) fn outbound(&mut self, upstream_id: &[u8], progress_token: Option<&[u8]>) -> Bytes {
        let quoted = self.local_name.as_deref().map(quote);
        if let Some(told) = self.traced.told().and_then(|told| HeaderValue::from_bytes(&told).ok()) {
            self.passed.insert(TRACEPARENT, told);
        }
        if let Some(state) = self.traced.told_state().and_then(|state| HeaderValue::from_str(state).ok()) {
            self.passed.insert(TRACESTATE, state);
        }
        let traced = match self.crossed {
            None => {
                let Params { meta, traceparent, excess, .. } = self.params;
                self.traced.edit(&self.envelope, self.request_id, meta, traceparent, excess)
            }
            // It is in there.
            Some(_) => None,
        };
        let traced = traced.as_ref().map(|(span, new)| (*span, &new[..])).unzip();
        let state = self.state.as_deref();
        let wanted: [(Option<Span>, Option<&[u8]>); 6] = [
            traced,
            (Some(self.request_id), Some(upstream_id)),
            (self.params.subject, quoted.as_deref()),
            (self.params.progress_token, progress_token),
            // Crossing, it is among what is cut anyway.
            (self.params.excess.filter(|_| self.crossed.is_none()), Some(b"")),
            (state.map(|(sealed, _)| *sealed), state.map(|(_, own)| own.as_slice())),
        ];
        let (mut edits, mut count) = ([(Span::EMPTY, &b""[..]); 6], 0);
        for edit in wanted.into_iter().filter_map(|(span, new)| span.zip(new)) {
            edits[count] = edit;
            count += 1;
        }
        let edits = &mut edits[..count];
        if let Some(crossed) = &self.crossed {
            let edits = edits.iter().map(|(span, new)| (*span, Bytes::copy_from_slice(new)));
            return spliced(&self.envelope.bytes, edits.chain(crossed.iter().cloned()).collect());
        }
        // What is put in stands before what is cut at the same place.
        edits.sort_unstable_by_key(|(span, _)| (span.start(), span.end()));
        splice(&self.envelope.bytes, edits)
    }

    /// The call is over: what remains of it.
    pub(crate) fn finish(mut self, outcome: Outcome) -> CallRecord {
        self.times.done = self.received.elapsed();
        if self.times.sent.is_none() {
            // One that was not sent itself has waited for whoever was asked for it.
            self.times.sent = self.legs.iter().map(|leg| leg.asked.started).min();
            self.times.answered = self.legs.iter().filter_map(|leg| leg.asked.ended).max();
        }
        let ended = self.times.answered.unwrap_or(self.times.done);
        let Remains { trace, aside, span, sampled, attempts } = self.traced.finish(ended, outcome.failure());
        let text = |raw: &[u8]| String::from_utf8_lossy(raw).into_owned().into_boxed_str();
        CallRecord {
            id: self.id,
            received_at: self.received_at,
            listener: self.listener,
            request_id: text(self.envelope.raw(self.request_id)),
            name: self.name().map(|name| name.into_owned().into_boxed_str()),
            local_name: self.local_name,
            arguments: self.params.arguments.map(|span| own(&self.envelope, span)),
            answer: self.answer.take(),
            seen: Seen::default(),
            era: self.version.era(),
            bytes: Traffic { request: self.envelope.bytes.len() as u64, response: self.response_bytes },
            principal: self.principal,
            session: self.session,
            hints: self.hints,
            version: self.version,
            client: self.client,
            method: self.method,
            server: self.server,
            trace,
            aside,
            span,
            sampled,
            times: self.times,
            attempts,
            legs: self.legs.into(),
            asked_back: self.questions.iter().map(|question| question.so_far()).collect(),
            outcome,
        }
    }
}

/// Questions of a server that the record of one call tells.
const QUESTIONS_MAX: usize = 64;

/// Up to this size a part that outlives its message is copied.
const COPIED: usize = 4 << 10;

/// A part of the request that outlives it. A small slice would keep the whole buffer in memory that the connection read
/// it into, and be counted by its own length only.
fn own(envelope: &Envelope, span: Span) -> Bytes {
    let raw = envelope.raw(span);
    if raw.len() <= COPIED { Bytes::copy_from_slice(raw) } else { envelope.slice(span) }
}

/// `text` as a JSON string.
pub(crate) fn quote(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            control if control < ' ' => out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes()),
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
    out
}
