//! One call from the moment it is routed to its record: sent, waited for, answered.
//!
//! The same for every listener and both eras. What comes back is one message, or a stream of messages whose last is
//! the answer; either way [`Attempt`] ends exactly once and leaves exactly one record.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tollhouse_core::era::{Era, Version};
use tollhouse_core::fault::Kind;
use tollhouse_core::record::Outcome;
use tollhouse_core::wire::{Envelope, Form, Members, Span, members, splice};

use crate::answer::{self, Refusal, code};
use crate::call::Call;
use crate::clocks::Clocks;
use crate::failure::Failure;
use crate::gateway::{Admitted, Gateway};
use crate::session::legacy::Session;
use crate::upstream::{Heard, Link, Reply, SUBSCRIPTION_ID, Upstream};

/// A message for the client, and the HTTP status it goes out with.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) status: StatusCode,
    pub(crate) bytes: Bytes,
}

/// Records a call with the message that answers it, whoever wrote that.
pub(crate) fn conclude(gateway: &Gateway, mut call: Box<Call>, message: Message, outcome: Outcome) -> Message {
    call.response_bytes += message.bytes.len() as u64;
    gateway.recorder.record(call.finish(outcome));
    message
}

/// A call with everything it needs to be sent.
pub(crate) struct Attempt {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) call: Box<Call>,
    pub(crate) upstream: Arc<Upstream>,
    /// The server's place in the configuration.
    pub(crate) place: usize,
    /// The caller's legacy session, and its link to this server.
    pub(crate) session: Option<(Arc<Session>, Link)>,
    pub(crate) clocks: Clocks,
    /// Its place among the calls under way.
    pub(crate) _admitted: Admitted,
    /// What a server waits for that is taken out.
    pub(crate) _under_way: Option<TaskTrackerToken>,
}

/// What the first message of an answer shows.
pub(crate) enum Begun {
    Answered(Message),
    /// More will come.
    Streaming(Box<Streaming>),
    /// The caller gave the call up: nothing is to be said.
    Cancelled,
}

/// Tells a call that its caller gave it up.
#[derive(Debug, Clone)]
pub(crate) enum Cancel {
    /// The connection it came over is gone. Set by the connection's owner, who then polls the call himself.
    Gone(Arc<AtomicBool>),
    /// A message said so, or the session ended.
    Token(CancellationToken),
}

impl Cancel {
    /// Waits for `work`; `None` if the call was given up first.
    async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self {
            Self::Gone(gone) => {
                let mut work = pin!(work);
                std::future::poll_fn(|cx| {
                    if gone.load(Ordering::Relaxed) {
                        return Poll::Ready(None);
                    }
                    work.as_mut().poll(cx).map(Some)
                })
                .await
            }
            Self::Token(token) => tokio::select! {
                biased;
                () = token.cancelled() => None,
                done = work => Some(done),
            },
        }
    }
}

impl Attempt {
    fn link(&self) -> Option<&Link> {
        self.session.as_ref().map(|(_, link)| link)
    }

    /// Sends the call and waits for the first that comes back.
    ///
    /// # Cancel safety
    /// None: dropped, the call leaves no record. Whoever wants to stop it uses `cancel`.
    pub(crate) async fn begin(mut self, cancel: &Cancel) -> Begun {
        let era = self.call.era();
        let link = self.session.as_ref().map(|(_, link)| link);
        let (upstream, clocks, call) = (&self.upstream, &self.clocks, &mut self.call);
        let work = async {
            if !upstream.speaks(era, clocks).await? {
                return Err(Failure::new(
                    Kind::EraUnsupported,
                    format_args!("server `{}` does not speak it", upstream.id),
                ));
            }
            upstream.mirrored.judge(call)?;
            upstream.call(call, link, clocks).await
        };
        match cancel.or(upstream.while_open(work)).await {
            None => {
                // Boxed, as everything rare here: the future of a call is moved with every call.
                Box::pin(self.give_up("the caller cancelled")).await;
                Begun::Cancelled
            }
            Some(Ok(Reply::Whole { envelope, status })) => Begun::Answered(self.answer(&envelope, status)),
            Some(Ok(reply)) => {
                Begun::Streaming(Box::new(Streaming { attempt: self, reply, last_progress: f64::NEG_INFINITY }))
            }
            Some(Err(failure)) => Begun::Answered(Box::pin(self.fail(failure)).await),
        }
    }

    /// The call is answered: the caller's message, and the record.
    fn answer(mut self, envelope: &Envelope, status: StatusCode) -> Message {
        self.call.answered();
        if self.call.method == "tools/list" && self.call.era() == Era::Modern {
            self.upstream.mirrored.learn(envelope);
        }
        if self.call.aggregated && self.call.method == "tools/call" {
            self.gateway.names.see(self.place, envelope);
        }
        let outcome = classify(&self.call, envelope);
        let bytes = match &envelope.form {
            Form::Result { id, .. } if outcome == Outcome::InputRequired && self.call.aggregated => {
                self.with_sealed_state(envelope, *id)
            }
            Form::Result { id, .. } | Form::Error { id: Some(id), .. } => {
                splice::splice(&envelope.bytes, &[(*id, self.call.raw_id())])
            }
            _ => with_missing_id(envelope, self.call.raw_id()),
        };
        let status = match (self.call.era(), &outcome) {
            (Era::Modern, Outcome::Error { code }) => modern_status(*code, status),
            _ => StatusCode::OK,
        };
        self.conclude(Message { status, bytes }, outcome)
    }

    /// An answer that asks for something first, under the caller's id: the state it gives is bound to this call.
    fn with_sealed_state(&self, envelope: &Envelope, id: Span) -> Bytes {
        let (call, own) = (&self.call, envelope.member("requestState"));
        let own = own.filter(|span| call.era() == Era::Modern && envelope.raw(*span) != b"null");
        let Some(own) = own else { return splice::splice(&envelope.bytes, &[(id, call.raw_id())]) };
        let sealed = self.gateway.seal.close(envelope.raw(own), call, &self.upstream.id);
        let mut edits = [(id, call.raw_id()), (own, &sealed[..])];
        edits.sort_unstable_by_key(|(span, _)| span.start());
        splice::splice(&envelope.bytes, &edits)
    }

    /// There is no answer: what the caller gets instead, and the record.
    pub(crate) async fn fail(mut self, mut failure: Failure) -> Message {
        self.call.answered();
        if failure.fault.kind == Kind::Lost && self.call.upstream_id.is_none() {
            // What never left cannot have had an effect.
            failure.fault = Kind::Unreachable.fault();
        }
        if failure.fault.kind == Kind::Timeout {
            self.tell_cancelled(&failure.cause).await;
        }
        if failure.fault.kind == Kind::EraUnsupported {
            return self.era_unsupported();
        }
        if failure.fault.kind == Kind::Malformed {
            return self.refuse(&Refusal::malformed(code::HEADER_MISMATCH, failure.cause));
        }
        let message = Message { status: StatusCode::OK, bytes: answer::failed(&self.call, &failure) };
        self.conclude(message, Outcome::Failed(failure.fault))
    }

    /// MCP 2026-07-28, versioning: a client that speaks both eras goes on with a revision named here.
    fn era_unsupported(self) -> Message {
        let (requested, supported): (_, &[Version]) = match self.call.era() {
            Era::Modern => (self.call.version, &Version::ALL[..4]),
            Era::Legacy => (self.call.version, &[Version::MODERN]),
        };
        self.refuse(&Refusal::version(requested.as_str(), supported))
    }

    fn refuse(self, refusal: &Refusal) -> Message {
        let message = Message { status: refusal.status, bytes: refusal.message(Some(self.call.raw_id())) };
        self.conclude(message, refusal.outcome())
    }

    /// The caller does not wait any more: the server is told, and the record says so.
    async fn give_up(mut self, reason: &str) {
        self.call.answered();
        self.tell_cancelled(reason).await;
        // When it is the gateway that ends, nobody cancelled: the answer is lost.
        let ended =
            self.gateway.draining.is_cancelled() && self.session.as_ref().is_none_or(|(s, _)| s.stop.is_cancelled());
        let kind = if ended { Kind::Lost } else { Kind::Cancelled };
        let record = self.call.finish(Outcome::Failed(kind.fault()));
        self.gateway.recorder.record(record);
    }

    async fn tell_cancelled(&self, reason: &str) {
        if let Some(id) = self.call.upstream_id {
            self.upstream.cancel(id, self.link(), reason).await;
        }
    }

    fn conclude(self, message: Message, outcome: Outcome) -> Message {
        conclude(&self.gateway, self.call, message, outcome)
    }
}

/// A call whose answer is a stream.
pub(crate) struct Streaming {
    attempt: Attempt,
    reply: Reply,
    last_progress: f64,
}

/// What a stream brought.
pub(crate) enum Step {
    /// A notification or a question for the client.
    Message(Bytes),
    /// The answer; nothing follows. The record is made.
    Answer(Message),
    /// The server closed its stream, and what follows has to be fetched after this time.
    Pause(Duration),
    /// The caller gave the call up. The record is made.
    Cancelled,
}

impl Streaming {
    /// Waits for the next message. After [`Step::Answer`] and [`Step::Cancelled`] there is none.
    pub(crate) async fn next(mut self: Box<Self>, cancel: &Cancel) -> (Option<Box<Self>>, Step) {
        loop {
            let Attempt { upstream, clocks, .. } = &self.attempt;
            let next = async { clocks.within(self.reply.next()).await.flatten() };
            let waited = cancel.or(upstream.while_open(next)).await;
            let envelope = match waited {
                None => {
                    // Closing the connection is what tells a modern HTTP server; a pipe needs a message.
                    Box::pin(self.attempt.give_up("the caller cancelled")).await;
                    return (None, Step::Cancelled);
                }
                Some(Ok(Heard::Message(envelope))) => envelope,
                Some(Ok(Heard::Pause(retry))) => return (Some(self), Step::Pause(retry)),
                Some(Err(failure)) => {
                    return (None, Step::Answer(Box::pin(self.attempt.fail(failure)).await));
                }
            };
            match &envelope.form {
                Form::Result { id, .. } | Form::Error { id: Some(id), .. } => {
                    // An answer to somebody else's request is dropped, not delivered.
                    let ours = self.reply.id().is_some_and(|ours| envelope.raw(*id) == ours.to_string().as_bytes());
                    if ours {
                        return (None, Step::Answer(self.attempt.answer(&envelope, StatusCode::OK)));
                    }
                    tracing::debug!(target: "tollhouse.server", server = %self.attempt.upstream.id, "dropped an answer to another request");
                }
                Form::Error { id: None, .. } => {
                    return (None, Step::Answer(self.attempt.answer(&envelope, StatusCode::OK)));
                }
                Form::Request { .. } | Form::Notification { .. } => {
                    if let Some(bytes) = self.relay(&envelope) {
                        self.attempt.call.response_bytes += bytes.len() as u64;
                        return (Some(self), Step::Message(bytes));
                    }
                }
            }
        }
    }

    /// A message of the server on its way to the client, or nothing if it must not be sent on.
    fn relay(&mut self, envelope: &Envelope) -> Option<Bytes> {
        let attempt = &mut self.attempt;
        attempt.call.responded();
        if let Form::Notification { method } = &envelope.form
            && method == "notifications/progress"
        {
            return progress(&attempt.call, envelope, &mut self.last_progress);
        }
        match &attempt.session {
            Some((session, _)) => session.relay(attempt.place, envelope),
            // Modern streams carry no requests; a notification may name the listen it belongs to by our id.
            None => match envelope.form {
                Form::Notification { .. } => Some(with_subscription(&attempt.call, envelope)),
                _ => None,
            },
        }
    }
}

/// A progress notification under the caller's own token; nothing without a token, or if it does not rise.
fn progress(call: &Call, envelope: &Envelope, last: &mut f64) -> Option<Bytes> {
    let token = call.params.progress_token?;
    let params = Members::of(&envelope.bytes, envelope.params?);
    let span = params.get("progressToken")?;
    let value: f64 = std::str::from_utf8(envelope.raw(params.get("progress")?)).ok()?.parse().ok()?;
    if value <= *last {
        return None;
    }
    *last = value;
    Some(splice::splice(&envelope.bytes, &[(span, call.envelope.raw(token))]))
}

/// The subscription id of a notification is the listen's id, which the client knows by its own.
fn with_subscription(call: &Call, envelope: &Envelope) -> Bytes {
    let named = envelope.meta().and_then(|meta| Members::of(&envelope.bytes, meta).get(SUBSCRIPTION_ID));
    match (named, call.upstream_id) {
        (Some(span), Some(id)) if envelope.raw(span) == id.to_string().as_bytes() => {
            splice::splice(&envelope.bytes, &[(span, call.raw_id())])
        }
        _ => envelope.bytes.clone(),
    }
}

/// What an answer means for the record.
fn classify(call: &Call, envelope: &Envelope) -> Outcome {
    let text = &envelope.bytes;
    match &envelope.form {
        Form::Result { .. } => {
            let (mut failed, mut kind) = (false, Outcome::Ok);
            for (key, value) in envelope.members() {
                match key.of(text) {
                    b"isError" => failed = value.of(text) == b"true",
                    b"resultType" => match value.of(text) {
                        b"\"input_required\"" => kind = Outcome::InputRequired,
                        b"\"task\"" => kind = Outcome::Task,
                        _ => {}
                    },
                    _ => {}
                }
            }
            if failed && call.method == "tools/call" { Outcome::ToolError } else { kind }
        }
        Form::Error { error, .. } => Outcome::Error { code: error_code(envelope, *error) },
        Form::Request { .. } | Form::Notification { .. } => Outcome::Failed(Kind::InvalidAnswer.fault()),
    }
}

pub(crate) fn error_code(envelope: &Envelope, error: Span) -> i64 {
    let code = Members::of(&envelope.bytes, error).get("code");
    code.and_then(|code| members::integer(envelope.raw(code))).unwrap_or(code::INTERNAL)
}

/// The HTTP status of a modern error: the server's own if it gave one, else what the specification says of the code.
fn modern_status(code: i64, given: StatusCode) -> StatusCode {
    if given != StatusCode::OK {
        return given;
    }
    match code {
        code::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        -32022..=-32020 | -32700 | code::INVALID_REQUEST => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// An error without an id, or with `null`, under the id of the request it answers: over HTTP the exchange decides.
fn with_missing_id(envelope: &Envelope, id: &[u8]) -> Bytes {
    let whole = Span::new(0, envelope.bytes.len());
    if let Some(null) = Members::of(&envelope.bytes, trimmed(envelope, whole)).get("id") {
        return splice::splice(&envelope.bytes, &[(null, id)]);
    }
    let open = trimmed(envelope, whole).start() + 1;
    let member = [b"\"id\":", id, b","].concat();
    splice::splice(&envelope.bytes, &[(Span::new(open, open), &member)])
}

/// The span of the object itself, without the blanks before it.
fn trimmed(envelope: &Envelope, whole: Span) -> Span {
    let start = envelope.bytes.iter().position(|byte| *byte == b'{').unwrap_or(0);
    Span::new(start, whole.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(text: &str) -> Envelope {
        Envelope::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn an_error_without_an_id_gets_that_of_its_request() {
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":null,"error":{"code":1}}"#, r#"{"jsonrpc":"2.0","id":"a","error":{"code":1}}"#),
            (r#" {"jsonrpc":"2.0","error":{"code":1}}"#, r#" {"id":"a","jsonrpc":"2.0","error":{"code":1}}"#),
        ] {
            assert_eq!(with_missing_id(&envelope(text), br#""a""#), expected);
        }
    }
}
