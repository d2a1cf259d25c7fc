//! A finished call as it is kept: what a record says, less what only the moment needs.

use std::time::UNIX_EPOCH;

use tollhouse_core::era::Version;
use tollhouse_core::ids::CallId;
use tollhouse_core::record::{CallRecord, Listener, Outcome, Principal, Seen, clip};
use tollhouse_core::shape::shape;

/// The shape of arguments is kept up to this many bytes.
const SHAPE_LEN_MAX: usize = 512;

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
    /// The shape of the arguments.
    pub shape: Option<Box<str>>,
    /// Hashes of what it carried, and that itself, without secrets, if it is captured.
    pub seen: Seen,
}

impl From<&CallRecord> for Call {
    fn from(record: &CallRecord) -> Self {
        let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
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
            shape: record.arguments.as_ref().map(|arguments| shape(arguments, SHAPE_LEN_MAX).into()),
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

    /// Time spent in the gateway itself, in microseconds.
    pub fn gateway_us(&self) -> u64 {
        self.total_us.saturating_sub(self.upstream_us)
    }

    /// About how much memory it holds, in bytes.
    pub fn size(&self) -> usize {
        let texts = [&self.principal, &self.session, &self.session_source, &self.session_confidence, &self.method];
        let more = [&self.request_id, &self.outcome];
        let maybe = [&self.client, &self.name, &self.asked_as, &self.server, &self.error, &self.fault, &self.shape];
        size_of::<Self>()
            + texts.into_iter().chain(more).map(|text| text.len()).sum::<usize>()
            + maybe.into_iter().flatten().map(|text| text.len()).sum::<usize>()
            + self.seen.content.as_deref().map_or(0, |content| {
                size_of_val(content)
                    + [&content.arguments, &content.result].into_iter().flatten().map(|side| side.len()).sum::<usize>()
            })
            + self.hints.iter().map(|(key, value)| key.len() + value.len() + 32).sum::<usize>()
    }
}
