//! The JSON-RPC envelope of one message, as spans of the received bytes.
//!
//! What this accepts, the rest of the gateway may rely on: one object, `jsonrpc` is `"2.0"`, it is exactly one of
//! request, notification, result and error, an id is a string or an integer, `params` is an object, and no member
//! the gateway reads stands there twice or in a spelling that a careless parser would confuse.

use bytes::Bytes;

use super::members::{self, KeyError, Members, Picked, Span};
use super::method::{self, Method};
use super::scan::{Level, MAX_DEPTH, MAX_SERVER_DEPTH, ScanError, Top, scan_to};

/// One message.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// As it was received.
    pub bytes: Bytes,
    /// Which of the four it is.
    pub form: Form,
    /// `params`, an object, if there.
    pub params: Option<Span>,
    inner: Inner,
}

/// Members remembered of the object a message is about; of larger ones only that they are larger.
const INNER_MAX: usize = 6;

/// The members of `params`, `result` or `error`, seen while the whole was validated: to look for them again, behind
/// a large value, costs as much as the validation.
#[derive(Debug, Clone, Copy)]
struct Inner {
    members: [(Span, Span); INNER_MAX],
    /// Where among them those of the last such object begin and end.
    kept: (usize, usize),
    count: usize,
}

impl Inner {
    const EMPTY: Self = Self { members: [(Span::EMPTY, Span::EMPTY); INNER_MAX], kept: (0, 0), count: 0 };

    fn push(&mut self, key: Span, value: Span) {
        if let Some(slot) = self.members.get_mut(self.count) {
            *slot = (key, value);
        }
        self.count += 1;
    }

    /// What was pushed since the last keeping is what a message is about.
    fn keep(&mut self) {
        self.kept = (self.kept.1, self.count);
    }

    /// What was pushed since the last keeping does not matter.
    fn forget(&mut self) {
        self.count = self.kept.1;
    }

    /// `None` if there were too many.
    fn members(&self) -> Option<&[(Span, Span)]> {
        self.members.get(self.kept.0..self.kept.1)
    }
}

/// The four forms of a JSON-RPC message.
#[derive(Debug, Clone)]
pub enum Form {
    /// Wants an answer.
    Request {
        /// The id, as it is written.
        id: Span,
        /// The method.
        method: Method,
    },
    /// Wants none.
    Notification {
        /// The method.
        method: Method,
    },
    /// An answer.
    Result {
        /// The id of the request.
        id: Span,
        /// The result.
        result: Span,
    },
    /// An answer that is an error.
    Error {
        /// The id of the request; `None` if the sender could not tell it.
        id: Option<Span>,
        /// The error object.
        error: Span,
    },
}

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not JSON, or nested too deeply.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// An array of messages.
    #[error("a batch is not accepted here")]
    Batch,
    /// A member twice, or in a confusing spelling.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// JSON, but no JSON-RPC message.
    #[error("{0}")]
    Form(&'static str),
}

impl EnvelopeError {
    /// The JSON-RPC code: −32700 where the text is no JSON, else −32600.
    pub const fn code(self) -> i64 {
        match self {
            Self::Scan(ScanError::Depth { .. }) | Self::Batch | Self::Key(_) | Self::Form(_) => -32600,
            Self::Scan(ScanError::Empty | ScanError::Utf8 { .. } | ScanError::Syntax { .. }) => -32700,
        }
    }
}

impl Envelope {
    /// Reads the envelope of `bytes`, which a client has sent.
    ///
    /// # Errors
    /// See [`EnvelopeError`]. Nothing of a refused message may be acted on.
    pub fn parse(bytes: Bytes) -> Result<Self, EnvelopeError> {
        Self::parse_within(bytes, MAX_DEPTH)
    }

    /// Reads the envelope of `bytes`, which a server has sent. It may be nested deeper.
    ///
    /// # Errors
    /// See [`EnvelopeError`]. Nothing of a refused message may be acted on.
    pub fn parse_of_server(bytes: Bytes) -> Result<Self, EnvelopeError> {
        Self::parse_within(bytes, MAX_SERVER_DEPTH)
    }

    fn parse_within(bytes: Bytes, depth: usize) -> Result<Self, EnvelopeError> {
        let mut picked = Picked::new(["jsonrpc", "id", "method", "params", "result", "error"]);
        let mut refused = None;
        let mut inner = Inner::EMPTY;
        let top = scan_to(depth, &bytes, |level, key, value| match level {
            Level::Inner => inner.push(key, value),
            Level::Outer => {
                let key = key.of(&bytes);
                if refused.is_none() {
                    refused = picked.see(key, value).err();
                }
                if matches!(key, b"params" | b"result" | b"error") {
                    inner.keep();
                } else {
                    inner.forget();
                }
            }
        })?;
        match top {
            Top::Object => {}
            Top::Array => return Err(EnvelopeError::Batch),
            Top::Scalar => return Err(EnvelopeError::Form("a message is a JSON object")),
        }
        if let Some(error) = refused {
            return Err(error.into());
        }
        let [version, id, method, params, result, error] = picked.values();
        if version.map(|version| version.of(&bytes)) != Some(b"\"2.0\"") {
            return Err(EnvelopeError::Form("`jsonrpc` must be \"2.0\""));
        }
        if params.is_some_and(|params| bytes[params.start()] != b'{') {
            return Err(EnvelopeError::Form("`params` must be an object"));
        }
        let form = match (method, result, error) {
            (Some(method), None, None) => {
                let Some(name) = members::text(method.of(&bytes)) else {
                    return Err(EnvelopeError::Form("`method` must be a string without NUL or half characters"));
                };
                let method = method::intern(&name);
                match id {
                    None => Form::Notification { method },
                    Some(id) if is_id(id.of(&bytes)) => Form::Request { id, method },
                    Some(_) => return Err(EnvelopeError::Form("`id` must be a string or an integer")),
                }
            }
            (None, Some(result), None) => match id {
                Some(id) if is_id(id.of(&bytes)) => Form::Result { id, result },
                _ => return Err(EnvelopeError::Form("a result needs the `id` of its request")),
            },
            (None, None, Some(error)) => match id {
                Some(id) if is_id(id.of(&bytes)) => Form::Error { id: Some(id), error },
                None => Form::Error { id: None, error },
                Some(id) if id.of(&bytes) == b"null" => Form::Error { id: None, error },
                Some(_) => return Err(EnvelopeError::Form("`id` must be a string or an integer")),
            },
            (None, None, None) => {
                return Err(EnvelopeError::Form("neither `method` nor `result` nor `error` is there"));
            }
            _ => return Err(EnvelopeError::Form("only one of `method`, `result` and `error` may be there")),
        };
        Ok(Self { bytes, form, params, inner })
    }

    /// The bytes that `span` covers.
    pub fn raw(&self, span: Span) -> &[u8] {
        span.of(&self.bytes)
    }

    /// The bytes that `span` covers, sharing the message's memory.
    pub fn slice(&self, span: Span) -> Bytes {
        self.bytes.slice(span.start()..span.end())
    }

    /// The method of a request or notification.
    pub fn method(&self) -> Option<&Method> {
        match &self.form {
            Form::Request { method, .. } | Form::Notification { method } => Some(method),
            Form::Result { .. } | Form::Error { .. } => None,
        }
    }

    /// Finds members of `params` that the gateway reads; see [`members::pick`].
    pub fn pick_params<const N: usize>(&self, names: [&'static str; N]) -> Result<[Option<Span>; N], KeyError> {
        let mut picked = Picked::new(names);
        if self.params.is_some() {
            for (key, value) in self.members() {
                picked.see(self.raw(key), value)?;
            }
        }
        Ok(picked.values())
    }

    /// The members of `params`, `result` or `error`, whichever the message has, in order.
    pub fn members(&self) -> impl Iterator<Item = (Span, Span)> {
        let remembered = self.inner.members();
        let object = match &self.form {
            Form::Request { .. } | Form::Notification { .. } => self.params,
            Form::Result { result: object, .. } | Form::Error { error: object, .. } => Some(*object),
        };
        let walked = match (remembered, object) {
            (None, Some(object)) => Some(Members::of(&self.bytes, object)),
            _ => None,
        };
        remembered.unwrap_or_default().iter().copied().chain(walked.into_iter().flatten())
    }

    /// The first member of `params`, `result` or `error` that is called exactly `key`.
    pub fn member(&self, key: &str) -> Option<Span> {
        self.members().find(|(name, _)| members::is_key(self.raw(*name), key)).map(|(_, value)| value)
    }

    /// The code of an error that is an answer, if it has one.
    pub fn error_code(&self) -> Option<i64> {
        let Form::Error { error, .. } = self.form else { return None };
        Members::of(&self.bytes, error).get("code").and_then(|code| members::integer(self.raw(code)))
    }

    /// `params._meta`, wherever there is one, without judging the rest.
    pub fn meta(&self) -> Option<Span> {
        self.params?;
        self.member("_meta")
    }
}

/// A string or an integer, as MCP demands of ids (basic/index, requests). Length is bounded by the body's limit.
fn is_id(raw: &[u8]) -> bool {
    match raw {
        [b'"', ..] => members::text(raw).is_some(),
        [b'-', digits @ ..] | digits => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
    }
}

#[cfg(test)]
mod tests;
