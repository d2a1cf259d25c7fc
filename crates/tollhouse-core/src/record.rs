//! What remains of a call: one plain value, made once, when the call is over.
//!
//! Everything that is priced, counted, logged, stored or shown is read from it. Nothing in it is optional because
//! it was forgotten: an `Option` here means that the thing did not exist.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::era::{Era, Version};
use crate::fault::Fault;
use crate::ids::{CallId, ServerId};
use crate::redact;
use crate::trace::{Aside, SpanId, TraceContext};
use crate::wire::method::Method;

pub use attempts::{AskedBack, Attempt, Attempts, Failed, Leg};
pub use content::{Answer, CONTENT_MAX, Content, Digest, Seen};
pub use roots::Roots;

mod attempts;
mod content;
mod roots;

/// One finished call.
#[derive(Debug, Clone)]
pub struct CallRecord {
    /// The id the gateway gave it.
    pub id: CallId,
    /// When it arrived, by the wall clock.
    pub received_at: SystemTime,
    /// The way it came in.
    pub listener: Listener,
    /// The caller's JSON-RPC id, as it was written (`1`, `"1"`).
    pub request_id: Box<str>,
    /// Who asks.
    pub principal: Principal,
    /// Whose conversation it belongs to, and how that was found.
    pub session: SessionRef,
    /// What else the request says of where it belongs: every id found, whichever rule won.
    pub hints: Box<[Hint]>,
    /// The client's era.
    pub era: Era,
    /// The client's protocol revision.
    pub version: Version,
    /// The name the client gives itself; a claim, for display only.
    pub client: Option<Arc<str>>,
    /// The JSON-RPC method.
    pub method: Method,
    /// The tool, prompt or resource asked for, by the name the client used.
    pub name: Option<Box<str>>,
    /// The name its server knows that by, where the client used another.
    pub local_name: Option<Arc<str>>,
    /// The server it was routed to.
    pub server: Option<ServerId>,
    /// The trace it belongs to, and the caller's span in it.
    pub trace: TraceContext,
    /// What else is said of that trace.
    pub aside: Option<Box<Aside>>,
    /// Its own span in that trace; those of its attempts are below it.
    pub span: SpanId,
    /// Whether its trace is recorded, as was decided when it arrived and told to the server.
    pub sampled: bool,
    /// When what happened, counted from its arrival.
    pub times: Times,
    /// Bytes of the request body and of the answer's messages.
    pub bytes: Traffic,
    /// The raw arguments, for shape and size; `None` if there were none or memory for bodies was used up.
    pub arguments: Option<Bytes>,
    /// What answered it; `None` if nothing did or memory for bodies was used up.
    pub answer: Option<Answer>,
    /// What may be kept of both, once somebody has looked.
    pub seen: Seen,
    /// How often it was sent, or tried to be, and what came of each.
    pub attempts: Attempts,
    /// What several servers were asked for it, in the order of the configuration.
    pub legs: Box<[Leg]>,
    /// What its server asked back meanwhile; noted only where spans leave.
    pub asked_back: Box<[AskedBack]>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Names that callers give are kept up to this many characters: nobody reads more of them.
const CLAIM_LEN_MAX: usize = 128;

/// A claim of a caller without secrets, shortened if need be: what of foreign text may be stored, logged and shown.
pub fn clip(text: &str) -> Cow<'_, str> {
    let text = redact::text(text);
    // No text has more characters than bytes.
    if text.len() <= CLAIM_LEN_MAX {
        return text;
    }
    match text.char_indices().nth(CLAIM_LEN_MAX) {
        Some((end, _)) => format!("{}…", text.split_at(end).0).into(),
        None => text,
    }
}

impl CallRecord {
    /// What the call was about, as it may be shown: of an address neither credentials nor query.
    pub fn subject(&self) -> Option<Cow<'_, str>> {
        let name = self.name.as_deref()?;
        if !self.method.starts_with("resources/") {
            return Some(clip(name));
        }
        let name = name.split(['?', '#']).next().unwrap_or_default();
        let Some((scheme, rest)) = name.split_once("://") else { return Some(clip(name)) };
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let host = authority.rsplit('@').next().unwrap_or_default();
        Some(clip(&format!("{scheme}://{host}{path}")).into_owned().into())
    }

    /// How many servers' part is missing from an answer that several were asked for.
    pub fn missing(&self) -> usize {
        let missing = || self.legs.iter().filter(|leg| leg.is_missing()).map(|leg| &leg.server);
        // One that was asked twice is one server.
        missing().enumerate().filter(|(at, server)| !missing().take(*at).any(|before| before == *server)).count()
    }
}

/// The way a call came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Listener {
    /// Streamable HTTP.
    Http,
    /// HTTP+SSE, the transport of 2024-11-05.
    Sse,
    /// Lines on standard input.
    Stdio,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// Nobody had to say who they are.
    Anonymous,
}

/// Whose conversation a call belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRef {
    /// The id, as the source gives it.
    pub id: Arc<str>,
    /// The rule that found it.
    pub source: SessionSource,
}

/// The rule that found a session, best first. A hint for grouping; never a ground for authorisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SessionSource {
    /// A member of `params._meta` that a known client sets; the name is the member's.
    Meta(&'static str),
    /// `baggage` `session.id` or `gen_ai.conversation.id`.
    Baggage,
    /// The header `Tollhouse-Session` or `agent-session-id`.
    Header,
    /// The path the client was pointed at: `/s/<id>/mcp`.
    Path,
    /// A variable that a client sets for the servers it starts; the name is the variable's.
    Environment(&'static str),
    /// Our `Mcp-Session-Id`, or the stdio process.
    Protocol,
    /// The W3C trace id: one turn, not a conversation.
    Trace,
    /// Principal, client and idle gap.
    Guess,
}

impl SessionSource {
    /// The word used in logs and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Meta(_) => "meta",
            Self::Baggage => "baggage",
            Self::Header => "header",
            Self::Path => "path",
            Self::Environment(_) => "environment",
            Self::Protocol => "protocol",
            Self::Trace => "trace",
            Self::Guess => "guess",
        }
    }

    /// The member or variable that named the session.
    pub fn key(self) -> Option<&'static str> {
        match self {
            Self::Meta(key) | Self::Environment(key) => Some(key),
            Self::Baggage | Self::Header | Self::Path | Self::Protocol | Self::Trace | Self::Guess => None,
        }
    }

    /// How far calls that it groups are one conversation.
    pub fn confidence(self) -> Confidence {
        match self {
            Self::Meta(_) | Self::Baggage | Self::Header | Self::Path | Self::Environment(_) => Confidence::Stated,
            Self::Protocol => Confidence::Connection,
            Self::Trace => Confidence::Turn,
            Self::Guess => Confidence::Guessed,
        }
    }
}

/// How far the calls of a session are one conversation, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Confidence {
    /// The client says so.
    Stated,
    /// They came over one session or process, which clients open per conversation, per launch or per call.
    Connection,
    /// They belong to one turn of a conversation.
    Turn,
    /// It looks like it.
    Guessed,
}

impl Confidence {
    /// The word used in logs and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stated => "stated",
            Self::Connection => "connection",
            Self::Turn => "turn",
            Self::Guessed => "guessed",
        }
    }
}

/// An id that a request bears beside that of its session: a thread, a turn, a tool use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Where it stood: a member of `_meta`, of `baggage`, or a header.
    pub key: &'static str,
    /// The id, as it was given.
    pub value: Box<str>,
}

/// When what happened, as time since the call arrived (monotonic).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// The first byte was about to leave to the server; `None` if it never was.
    pub sent: Option<Duration>,
    /// The first progress, stream event or byte of the result came back.
    pub first_response: Option<Duration>,
    /// The server's answer was complete, or the attempt had failed.
    pub answered: Option<Duration>,
    /// The answer was handed to the client's connection.
    pub done: Duration,
}

impl Times {
    /// Time spent at the server.
    pub fn upstream(&self) -> Duration {
        match (self.sent, self.answered) {
            (Some(sent), Some(answered)) => answered.saturating_sub(sent),
            _ => Duration::ZERO,
        }
    }

    /// Time spent in the gateway itself.
    pub fn gateway(&self) -> Duration {
        self.done.saturating_sub(self.upstream())
    }
}

/// Bytes that crossed, bodies only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the client.
    pub request: u64,
    /// To the client, all messages of the call together.
    pub response: u64,
}

/// The share of calls of the last five minutes of which something is known; `None` where there was none of which it could be.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Known {
    /// The root of its trace: the caller's span, or that of the session. Of all calls; the rest is of tool calls.
    pub trace_root: Option<f64>,
    /// Its session, by what client or protocol say.
    pub session_state: Option<f64>,
    /// Size and hash of what went in and out.
    pub tool_output: Option<f64>,
    /// The content itself, since it is captured.
    pub tool_content: Option<f64>,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A result.
    Ok,
    /// A result with `isError: true`: the JSON-RPC call succeeded, the tool failed.
    ToolError,
    /// The server asks for input before it goes on (`input_required`).
    InputRequired,
    /// The server made a task of it.
    Task,
    /// A JSON-RPC error that the server answered.
    Error {
        /// Its code.
        code: i64,
    },
    /// The gateway refused the call before it was sent.
    Refused {
        /// The JSON-RPC code it answered with.
        code: i64,
        /// Why.
        fault: Fault,
    },
    /// The call was sent, or was about to be, and no answer came.
    Failed(Fault),
}

impl Outcome {
    /// The word used in logs and the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool_error",
            Self::InputRequired => "input_required",
            Self::Task => "task",
            Self::Error { .. } => "error",
            Self::Refused { .. } => "refused",
            Self::Failed(fault) => match fault.kind {
                crate::fault::Kind::Cancelled => "cancelled",
                crate::fault::Kind::Timeout => "timeout",
                _ if fault.not_executed() => "not_executed",
                _ => "unknown",
            },
        }
    }

    /// How the call failed; `None` if it did not.
    pub fn failure(&self) -> Option<Failed> {
        match self {
            Self::Ok | Self::InputRequired | Self::Task => None,
            Self::ToolError => Some(Failed::Tool),
            Self::Error { code } | Self::Refused { code, .. } => Some(Failed::Code(*code)),
            Self::Failed(fault) => Some(Failed::Fault(fault.kind)),
        }
    }

    /// The value of `error.type`; `None` for a call that did not fail.
    pub fn error_type(&self) -> Option<Cow<'static, str>> {
        self.failure().map(Failed::error_type)
    }

    /// Does this count as a failure?
    pub fn failed(&self) -> bool {
        !matches!(self, Self::Ok | Self::InputRequired | Self::Task)
    }
}
