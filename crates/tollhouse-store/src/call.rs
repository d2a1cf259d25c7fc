//! A finished call as it is kept: what a record says, less what only the moment needs.

use std::time::{Duration, UNIX_EPOCH};

use tollhouse_core::era::Version;
use tollhouse_core::ids::CallId;
use tollhouse_core::record::{self, Attempt, CallRecord, Listener, Outcome, Principal, Seen, clip};

/// One finished call. Of what it carried there are sizes, hashes and the shape of its arguments; the content itself, without
/// secrets, only where that is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The id the gateway gave it.
    pub id: CallId,
    /// When it arrived, in microseconds since 1970 by the wall clock.
    pub at_us: u64,
    /// The way it came in.
    pub listener: Listener,
    /// The client's protocol revision.
    pub version: Version,
    /// Who asked.
    pub principal: Box<str>,
    /// Whose conversation it belongs to.
    pub session: Box<str>,
    /// The rule that found the session.
    pub session_source: Box<str>,
    /// How sure that is.
    pub session_confidence: Box<str>,
    /// Other ids the request bore.
    pub hints: Vec<(Box<str>, Box<str>)>,
    /// The name the client gives itself.
    pub client: Option<Box<str>>,
    /// The JSON-RPC method.
    pub method: Box<str>,
    /// The tool, prompt or resource by its server's name, as it may be shown.
    pub name: Option<Box<str>>,
    /// The name the client used, where that is another.
    pub asked_as: Option<Box<str>>,
    /// The server it was routed to.
    pub server: Option<Box<str>>,
    /// The trace it belongs to.
    pub trace: [u8; 16],
    /// The caller's span; zero if there was none.
    pub parent: [u8; 8],
    /// Its own span; zero where no spans leave.
    pub span: [u8; 8],
    /// What was sent of it, where spans leave or there is more to say than how often.
    pub sendings: Box<[Sending]>,
    /// The caller's JSON-RPC id, as it was written.
    pub request_id: Box<str>,
    /// What became of it, in a word.
    pub outcome: Box<str>,
    /// `error.type`, if it failed.
    pub error: Option<Box<str>>,
    /// The gateway's own word for what went wrong, if anything of its own did.
    pub fault: Option<Box<str>>,
    /// How often it was sent.
    pub attempts: u32,
    /// From its arrival to the end of its answer, in microseconds.
    pub total_us: u64,
    /// Of that, at the server.
    pub upstream_us: u64,
    /// Until the first progress, event or byte of the result came back.
    pub first_us: Option<u64>,
    /// Bytes of the request.
    pub request_bytes: u64,
    /// Bytes of the answer.
    pub response_bytes: u64,
    /// Hashes of what it carried, the shape of its arguments, and that itself, without secrets, if it is captured.
    pub seen: Seen,
}

/// What was sent of a call: an attempt at its server, or what one of several servers was asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// Its span; zero where no spans leave.
    pub span: [u8; 8],
    /// Who was asked, and what, if it was one of several; `None` for the call itself.
    pub leg: Option<Leg>,
    /// When it began, in microseconds from the call's arrival.
    pub from_us: u64,
    /// How long it took, in microseconds.
    pub long_us: u64,
    /// `error.type`, if it failed.
    pub error: Option<Box<str>>,
}

/// What one of several servers was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// The server.
    pub server: Box<str>,
    /// A JSON-RPC method.
    pub method: Box<str>,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What was sent, if it is worth its room: a call that was sent once, of which no span leaves, says all by itself.
fn sendings(record: &CallRecord) -> Box<[Sending]> {
    if record.span == [0; 8] && record.legs.is_empty() && record.attempts.len() <= 1 {
        return Box::default();
    }
    let sending = |sent: &Attempt, leg: Option<Leg>| Sending {
        span: sent.span,
        leg,
        from_us: micros(sent.started),
        long_us: micros(sent.ended.unwrap_or(record.times.done).saturating_sub(sent.started)),
        error: sent.failed.map(|failed| failed.error_type().into()),
    };
    let leg = |leg: &record::Leg| {
        let asked = Leg { server: leg.server.as_str().into(), method: leg.method.into() };
        sending(&leg.asked, Some(asked))
    };
    record.legs.iter().map(leg).chain(record.attempts.iter().map(|attempt| sending(attempt, None))).collect()
}

impl From<&CallRecord> for Call {
    fn from(record: &CallRecord) -> Self {
        let fault = match record.outcome {
            Outcome::Refused { fault, .. } | Outcome::Failed(fault) => Some(fault.kind.as_str().into()),
            Outcome::Ok | Outcome::ToolError | Outcome::InputRequired | Outcome::Task | Outcome::Error { .. } => None,
        };
        Self {
            id: record.id,
            at_us: micros(record.received_at.duration_since(UNIX_EPOCH).unwrap_or_default()),
            listener: record.listener,
            version: record.version,
            principal: match record.principal {
                Principal::Anonymous => "anonymous".into(),
            },
            session: clip(&record.session.id).into(),
            session_source: record.session.source.key().unwrap_or(record.session.source.as_str()).into(),
            session_confidence: record.session.source.confidence().as_str().into(),
            hints: record.hints.iter().map(|hint| (hint.key.into(), clip(&hint.value).into())).collect(),
            client: record.client.as_deref().map(|client| clip(client).into()),
            method: clip(&record.method).into(),
            name: record.local_name.as_deref().map(|name| clip(name).into()).or(record.subject().map(Into::into)),
            asked_as: record.local_name.as_ref().and_then(|_| record.subject().map(Into::into)),
            server: record.server.as_ref().map(|server| server.as_str().into()),
            trace: record.trace.trace_id,
            parent: record.trace.parent,
            span: record.span,
            sendings: sendings(record),
            request_id: clip(&record.request_id).into(),
            outcome: record.outcome.as_str().into(),
            error: record.outcome.error_type().map(|error| error.as_ref().into()),
            fault,
            attempts: record.attempts.count(),
            total_us: micros(record.times.done),
            upstream_us: micros(record.times.upstream()),
            first_us: record.times.first_response.map(micros),
            request_bytes: record.bytes.request,
            response_bytes: record.bytes.response,
            seen: record.seen.clone(),
        }
    }
}

impl Call {
    /// When it was over, in microseconds since 1970: the moment it counts for.
    pub fn ended_us(&self) -> u64 {
        self.at_us.saturating_add(self.total_us)
    }

    /// Does it count as a failure?
    pub fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// Its span, or what stands for one where none was minted: always the same for the same call.
    pub fn span_id(&self) -> [u8; 8] {
        if self.span == [0; 8] { self.id.salt().to_be_bytes() } else { self.span }
    }

    /// Every server that it reached, or tried to.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        let legs = self.sendings.iter().filter_map(|sending| sending.leg.as_ref()).map(|leg| &*leg.server);
        self.server.as_deref().into_iter().chain(legs)
    }

    /// Time spent in the gateway itself, in microseconds.
    pub fn gateway_us(&self) -> u64 {
        self.total_us.saturating_sub(self.upstream_us)
    }

    /// About how much memory it holds, in bytes.
    pub fn size(&self) -> usize {
        let texts = [&self.principal, &self.session, &self.session_source, &self.session_confidence, &self.method];
        let more = [&self.request_id, &self.outcome];
        let maybe = [&self.client, &self.name, &self.asked_as, &self.server, &self.error, &self.fault];
        size_of::<Self>()
            + texts.into_iter().chain(more).map(|text| text.len()).sum::<usize>()
            + maybe.into_iter().flatten().map(|text| text.len()).sum::<usize>()
            + self.seen.shape.as_deref().map_or(0, str::len)
            + self.seen.content.as_deref().map_or(0, |content| {
                size_of_val(content)
                    + [&content.arguments, &content.result].into_iter().flatten().map(|side| side.len()).sum::<usize>()
            })
            + size_of_val(&*self.sendings)
            + self.hints.iter().map(|(key, value)| key.len() + value.len() + 32).sum::<usize>()
    }
}
