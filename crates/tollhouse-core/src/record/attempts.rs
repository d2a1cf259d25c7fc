//! The sendings of one call, and what several servers were asked for it.

use std::borrow::Cow;
use std::time::Duration;

use crate::fault;
use crate::ids::ServerId;
use crate::trace::SpanId;

/// One sending of a call, or the try.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attempt {
    /// Its span: what the server is told is its caller.
    pub span: SpanId,
    /// When it began, as time since the call arrived.
    pub started: Duration,
    /// When the answer was complete or it had failed; `None` while neither is so.
    pub ended: Option<Duration>,
    /// How it failed; `None` if it did not.
    pub failed: Option<Failed>,
}

/// How an attempt, or a call, failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// The server answered that its tool failed.
    Tool,
    /// A JSON-RPC error of this code.
    Code(i64),
    /// No answer came.
    Fault(fault::Kind),
}

impl Failed {
    /// The value of `error.type`.
    pub fn error_type(self) -> Cow<'static, str> {
        match self {
            Self::Tool => "tool_error".into(),
            Self::Code(code) => code.to_string().into(),
            Self::Fault(kind) => kind.as_str().into(),
        }
    }
}

/// The attempts of a call, in order. Nearly all calls have one, which takes no memory of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// The newest.
    last: Option<Attempt>,
    before: Vec<Attempt>,
}

impl Attempts {
    /// Adds one.
    pub fn push(&mut self, attempt: Attempt) {
        self.before.extend(self.last.replace(attempt));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.before.len() + usize::from(self.last.is_some())
    }

    /// Was it never sent, nor tried to be?
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// How many there are, as it is shown and kept.
    pub fn count(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.before.iter().chain(&self.last)
    }

    /// The newest, if it is not over.
    pub fn open(&mut self) -> Option<&mut Attempt> {
        self.last.as_mut().filter(|attempt| attempt.ended.is_none())
    }
}

impl FromIterator<Attempt> for Attempts {
    fn from_iter<I: IntoIterator<Item = Attempt>>(attempts: I) -> Self {
        let mut all = Self::default();
        attempts.into_iter().for_each(|attempt| all.push(attempt));
        all
    }
}

/// What one of several servers was asked for a call: a list of all servers is made of one from each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Who was asked.
    pub server: ServerId,
    /// What, as a JSON-RPC method; all pages of a list are one question.
    pub method: &'static str,
    /// When, and how it ended.
    pub asked: Attempt,
}

/// The JSON-RPC code of a server that knows no such method, and so has none of the things asked for.
const METHOD_NOT_FOUND: i64 = -32601;

impl Leg {
    /// Is what the server has missing from the answer?
    pub fn is_missing(&self) -> bool {
        self.asked.failed.is_some_and(|failed| failed != Failed::Code(METHOD_NOT_FOUND))
    }
}

/// What a server asked its caller while it served a call: sampling, elicitation, roots (revisions with sessions).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedBack {
    /// The JSON-RPC method, as the server wrote it.
    pub method: Box<str>,
    /// The span above it: that of the attempt it serves, or the one that the server names.
    pub parent: SpanId,
    /// Its span as the server sees it.
    pub span: SpanId,
    /// As the client was asked, and what came of it; without an end if the call was over before.
    pub asked: Attempt,
}
