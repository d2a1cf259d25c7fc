//! One call from the moment it is routed to its record: sent, waited for, answered.
//!
//! The same for every listener and both eras. What comes back is one message, or a stream of messages whose last is
//! the answer; either way [`Attempt`] ends exactly once and leaves exactly one record.

mod paced;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tollhouse_core::context;
use tollhouse_core::era::Era;
use tollhouse_core::fault::Kind;
use tollhouse_core::record::{Answer, Outcome};
use tollhouse_core::wire::{Envelope, Form, Members, Span, splice};

use self::paced::{Paced, Pass};
use crate::answer::{self, Refusal, code};
use crate::call::Call;
use crate::clocks::Clocks;
use crate::crossing::{self, Approach, Round, Way};
use crate::failure::Failure;
use crate::gateway::{Admitted, Gateway};
use crate::links::{heard, refuse_question};
use crate::meta::SUBSCRIPTION_ID;
use crate::retry::Rounds;
use crate::session::legacy::Session;
use crate::upstream::{Heard, LISTEN, Reply, Upstream};

/// A message for the client, and the HTTP status it goes out with.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) status: StatusCode,
    pub(crate) bytes: Bytes,
}

/// Records a call with the message that answers it, whoever wrote that.
pub(crate) fn conclude(gateway: &Gateway, mut call: Box<Call>, message: Message, outcome: Outcome) -> Message {
    call.response_bytes += message.bytes.len() as u64;
    call.answer.get_or_insert_with(|| Answer::Message(message.bytes.clone()));
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
    /// The caller's legacy session.
    pub(crate) session: Option<Arc<Session>>,
    /// How it reaches the server; found when it is begun.
    pub(crate) way: Way,
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
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
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
    /// Sends the call and waits for the first that comes back.
    ///
    /// # Cancel safety
    /// None: dropped, the call leaves no record. Whoever wants to stop it uses `cancel`.
    pub(crate) async fn begin(mut self, cancel: &Cancel) -> Begun {
        let sent = {
            // Pinned here and lent, as all of a call's work: passed on by value, it would be part of each future on the way.
            let sending = pin!(self.send());
            cancel.or(sending).await
        };
        match sent {
            None => {
                self.give_up("the caller cancelled");
                Begun::Cancelled
            }
            Some(Ok(sent)) => self.begun(sent),
            // Boxed, as everything rare here: the future of a call is moved with every call.
            Some(Err(failure)) => Box::pin(self.persist(failure, cancel)).await,
        }
    }

    /// One attempt: the way found, if it is none of the usual ones, and the call sent along it.
    async fn send(&mut self) -> Result<Result<Reply, Approach>, Failure> {
        let (gateway, upstream, place, clocks) = (&self.gateway, &self.upstream, self.place, &self.clocks);
        let (call, way) = (&mut self.call, &mut self.way);
        let session = self.session.as_ref();
        let work = async {
            match crossing::at_hand(upstream, session, place) {
                Some(usual) => *way = usual,
                None => match Box::pin(crossing::approach(gateway, call, session, place, clocks)).await? {
                    Approach::By(found) => *way = found,
                    here => return Ok(Err(here)),
                },
            }
            if let Some(arguments) = &upstream.arguments {
                Box::pin(arguments.check(call)).await?;
            }
            let reply = if way.crosses() {
                Box::pin(crossing::send(gateway, upstream, place, call, way, None, clocks)).await
            } else {
                if let Way::Direct = way {
                    upstream.mirror(call)?;
                }
                upstream.call(call, way.link(), clocks).await
            };
            reply.map(Ok)
        };
        let work = pin!(work);
        upstream.while_open(work).await
    }

    fn begun(self, sent: Result<Reply, Approach>) -> Begun {
        match sent {
            Ok(Reply::Whole { envelope, status }) => match crossing::questions(&self.way, &envelope, 0) {
                None => Begun::Answered(self.answer(&envelope, status)),
                Some(Ok(round)) => Begun::Streaming(Streaming::asking(self, round)),
                Some(Err(failure)) => Begun::Answered(self.fail(failure)),
            },
            Ok(reply) => Begun::Streaming(Streaming::of(self, reply)),
            Err(here) => Begun::Answered(self.answer_here(here)),
        }
    }

    /// Goes on where an attempt has failed. If nothing of the call was sent, others follow as long as `retry` lets them
    /// and the caller waits.
    async fn persist(mut self, mut failure: Failure, cancel: &Cancel) -> Begun {
        let (gateway, upstream) = (self.gateway.clone(), self.upstream.clone());
        let mut rounds = upstream.retry.rounds(self.call.received, self.clocks.hard());
        loop {
            let attempt = async {
                if !wait_for_next(&gateway, &upstream, &mut self.call, &mut rounds, &failure).await {
                    return Ok(None);
                }
                self.send().await.map(Some)
            };
            match cancel.or(attempt).await {
                None => {
                    self.give_up("the caller cancelled");
                    return Begun::Cancelled;
                }
                Some(Ok(None)) => return Begun::Answered(self.fail(failure)),
                Some(Ok(Some(sent))) => return self.begun(sent),
                Some(Err(another)) => failure = another,
            }
        }
    }

    /// The server does not have to be asked.
    fn answer_here(self, here: Approach) -> Message {
        match here {
            Approach::Known(result) => {
                let message = Message { status: StatusCode::OK, bytes: answer::result(self.call.raw_id(), &result) };
                self.conclude(message, Outcome::Ok)
            }
            Approach::Refused(refusal) => self.refuse(&refusal),
            Approach::By(_) => unreachable!("a way leads to the server"),
        }
    }

    /// The call is answered: the caller's message, and the record.
    fn answer(mut self, envelope: &Envelope, status: StatusCode) -> Message {
        self.call.answered();
        if self.call.method == "tools/list" {
            // In the caller's own session nobody looks after headers.
            let era = if let Way::Linked(..) = self.way { Era::Legacy } else { Era::Modern };
            self.upstream.learn(envelope, era);
        }
        if self.call.aggregated && self.call.method == "tools/call" {
            self.gateway.names.see(self.place, envelope);
        }
        if !self.way.crosses() {
            return self.pass_back(envelope, status);
        }
        match crossing::translated(&self.way, &self.upstream, &self.call, envelope) {
            // A status means something else in the other era.
            Ok(translated) => self.pass_back(&translated, StatusCode::OK),
            Err(failure) => self.failed(&failure),
        }
    }

    /// An answer in the caller's era goes to the caller.
    fn pass_back(mut self, envelope: &Envelope, status: StatusCode) -> Message {
        let outcome = classify(&self.call, envelope);
        if let (Way::Linked(session, _), Outcome::Ok) = (&self.way, &outcome)
            && let on @ ("resources/subscribe" | "resources/unsubscribe") = self.call.method.as_ref()
            && let Some(uri) = self.call.name()
        {
            session.subscribed(self.place, &uri, on == "resources/subscribe");
        }
        if let Form::Result { result, .. } = envelope.form {
            self.call.answered_with(envelope, result);
        }
        let bytes = match &envelope.form {
            Form::Result { id, .. } if outcome == Outcome::InputRequired && self.call.aggregated => {
                self.with_sealed_state(envelope, *id)
            }
            Form::Result { id, .. } | Form::Error { id: Some(id), .. } => {
                splice::splice(&envelope.bytes, &[(*id, self.call.raw_id())])
            }
            _ => with_missing_id(envelope, self.call.raw_id()),
        };
        if let (Outcome::InputRequired, Some(here)) = (&outcome, self.call.traced.here()) {
            self.gateway.follow_ups.note(&bytes, here);
        }
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
    fn fail(mut self, mut failure: Failure) -> Message {
        self.call.answered();
        if failure.fault.kind == Kind::Lost && self.call.upstream_id.is_none() {
            // What never left cannot have had an effect.
            failure.fault = Kind::Unreachable.fault();
        }
        if failure.fault.kind == Kind::Timeout {
            self.tell_cancelled(failure.cause.clone());
            self.upstream.doubt(self.way.link());
            if self.call.upstream_id.is_none() {
                // Time was up before a byte had left.
                failure.fault = Kind::Deadline.fault();
            }
        }
        if failure.fault.kind == Kind::Malformed {
            return self.refuse(&Refusal::malformed(code::HEADER_MISMATCH, failure.cause));
        }
        self.failed(&failure)
    }

    fn failed(self, failure: &Failure) -> Message {
        let message = Message { status: StatusCode::OK, bytes: answer::failed(&self.call, failure) };
        self.conclude(message, Outcome::Failed(failure.fault))
    }

    fn refuse(self, refusal: &Refusal) -> Message {
        let message = Message { status: refusal.status, bytes: refusal.message(Some(self.call.raw_id())) };
        self.conclude(message, refusal.outcome())
    }

    /// The caller does not wait any more: the server is told, and the record says so.
    fn give_up(mut self, reason: &str) {
        self.call.answered();
        self.tell_cancelled(reason.to_owned());
        // When it is the gateway that ends, nobody cancelled: the answer is lost.
        let ended = self.gateway.draining.is_cancelled()
            && self.session.as_ref().is_none_or(|session| session.stop.is_cancelled());
        let kind = match self.call.upstream_id {
            _ if !ended => Kind::Cancelled,
            Some(_) => Kind::Lost,
            None => Kind::Draining,
        };
        let record = self.call.finish(Outcome::Failed(kind.fault()));
        self.gateway.recorder.record(record);
    }

    /// Beside the call: whoever waits for it need not wait for a server that does not take this either.
    fn tell_cancelled(&self, reason: String) {
        let Some(id) = self.call.upstream_id else { return };
        let (upstream, link) = (self.upstream.clone(), self.way.link().cloned());
        let telling = async move { upstream.cancel(id, link.as_ref(), &reason).await };
        self.gateway.tasks.spawn(context::carried(telling));
    }

    fn conclude(self, message: Message, outcome: Outcome) -> Message {
        conclude(&self.gateway, self.call, message, outcome)
    }
}

/// Waits until a call whose attempt failed is to be tried again; false if its failure stands.
pub(crate) async fn wait_for_next(
    gateway: &Gateway,
    upstream: &Upstream,
    call: &mut Call,
    rounds: &mut Rounds<'_>,
    failure: &Failure,
) -> bool {
    if matches!(failure.fault.kind, Kind::Unreachable | Kind::Tls) {
        call.unsent(failure.fault.kind);
    }
    let Some(pause) = upstream.pause_before_retry(rounds, failure.fault) else { return false };
    tokio::select! {
        biased;
        // Who waits would only hold up the end.
        () = gateway.draining.cancelled() => return false,
        () = sleep(pause) => {}
    }
    call.again();
    true
}

/// A call whose answer is a stream.
pub(crate) struct Streaming {
    attempt: Attempt,
    /// Nothing comes any more from a server that waits for the call to be sent again.
    reply: Option<Reply>,
    last_progress: f64,
    /// What the caller has to be asked before that.
    round: Option<Box<Round>>,
    rounds: u32,
    /// Of a listen: when its client is told what.
    paced: Option<Box<Paced>>,
}

/// Messages on their way to a client, the last of which is the answer.
pub(crate) trait Steps: Send + Sized {
    /// Waits for the next message. After [`Step::Answer`] and [`Step::Cancelled`] there is none.
    fn next(self: Box<Self>, cancel: &Cancel) -> impl Future<Output = (Option<Box<Self>>, Step)> + Send;
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

impl Steps for Streaming {
    async fn next(mut self: Box<Self>, cancel: &Cancel) -> (Option<Box<Self>>, Step) {
        loop {
            if let Some(round) = &mut self.round {
                if let Some(question) = round.next_question() {
                    self.attempt.call.response_bytes += question.len() as u64;
                    return (Some(self), Step::Message(question));
                }
                match Box::pin(self.send_again(cancel)).await {
                    None => {
                        self.attempt.give_up("the caller cancelled");
                        return (None, Step::Cancelled);
                    }
                    Some(Ok(Reply::Whole { envelope, .. })) => match self.answered(&envelope) {
                        Ok(asking) => self = asking,
                        Err(answer) => return (None, Step::Answer(answer)),
                    },
                    Some(Ok(reply)) => self.reply = Some(reply),
                    Some(Err(failure)) => return (None, Step::Answer(self.attempt.fail(failure))),
                }
                continue;
            }
            let reply = self.reply.as_mut().expect("without questions there is a stream");
            let Attempt { upstream, clocks, gateway, .. } = &self.attempt;
            let waited = match &mut self.paced {
                None => {
                    let next = pin!(async { clocks.within(reply.next()).await.flatten() });
                    cancel.or(upstream.while_open(next)).await
                }
                Some(paced) => match Box::pin(paced.next(reply, upstream, &gateway.draining, cancel)).await {
                    Pass::Through(heard) => heard,
                    Pass::Held(bytes) => {
                        self.attempt.call.response_bytes += bytes.len() as u64;
                        return (Some(self), Step::Message(bytes));
                    }
                    Pass::End => return self.end(),
                },
            };
            let envelope = match waited {
                None => {
                    // Closing the connection is what tells a modern HTTP server; a pipe needs a message.
                    self.attempt.give_up("the caller cancelled");
                    return (None, Step::Cancelled);
                }
                Some(Ok(Heard::Message(envelope))) => envelope,
                Some(Ok(Heard::Pause(retry))) => return (Some(self), Step::Pause(retry)),
                Some(Err(failure)) => {
                    return (None, Step::Answer(self.attempt.fail(failure)));
                }
            };
            match &envelope.form {
                Form::Result { id, .. } | Form::Error { id: Some(id), .. } => {
                    // An answer to somebody else's request is dropped, not delivered.
                    let ours = reply.id().is_some_and(|ours| envelope.raw(*id) == ours.to_string().as_bytes());
                    if ours {
                        match self.answered(&envelope) {
                            Ok(asking) => self = asking,
                            Err(answer) => return (None, Step::Answer(answer)),
                        }
                        continue;
                    }
                    tracing::debug!(target: "tollhouse.server", server = %self.attempt.upstream.id, "dropped an answer to another request");
                }
                Form::Error { id: None, .. } => {
                    return (None, Step::Answer(self.attempt.answer(&envelope, StatusCode::OK)));
                }
                Form::Request { .. } if let Way::Lent(_) = self.attempt.way => {
                    let Attempt { gateway, place, way, .. } = &self.attempt;
                    let link = way.link().expect("a lent session has a link");
                    if cancel.or(Box::pin(refuse_question(gateway, *place, link, &envelope))).await.is_none() {
                        self.attempt.give_up("the caller cancelled");
                        return (None, Step::Cancelled);
                    }
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
}

impl Streaming {
    fn of(attempt: Attempt, reply: Reply) -> Box<Self> {
        let listens = attempt.call.era() == Era::Modern && attempt.call.method == LISTEN;
        let paced = listens.then(Box::default);
        Box::new(Self { attempt, reply: Some(reply), last_progress: f64::NEG_INFINITY, round: None, rounds: 0, paced })
    }

    fn asking(attempt: Attempt, round: Round) -> Box<Self> {
        let round = Some(Box::new(round));
        Box::new(Self { attempt, reply: None, last_progress: f64::NEG_INFINITY, round, rounds: 1, paced: None })
    }

    /// What an answer of the server begins, a round of questions, or ends.
    fn answered(mut self: Box<Self>, envelope: &Envelope) -> Result<Box<Self>, Message> {
        match crossing::questions(&self.attempt.way, envelope, self.rounds) {
            None => Err(self.attempt.answer(envelope, StatusCode::OK)),
            Some(Ok(round)) => {
                self.rounds += 1;
                self.round = Some(Box::new(round));
                self.reply = None;
                Ok(self)
            }
            Some(Err(failure)) => Err(self.attempt.fail(failure)),
        }
    }

    /// Sends the call again with the answers to the questions that came instead of its own. `None` if it was given up.
    async fn send_again(&mut self, cancel: &Cancel) -> Option<Result<Reply, Failure>> {
        let mut round = self.round.take();
        let Attempt { gateway, upstream, place, call, way, clocks, .. } = &mut self.attempt;
        call.again();
        let work = Box::pin(crossing::send(gateway, upstream, *place, call, way, round.as_deref_mut(), clocks));
        cancel.or(upstream.while_open(work)).await
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
        match (&attempt.way, &envelope.form) {
            (Way::Linked(session, _), Form::Request { .. }) => {
                let told = attempt.call.asked_back(envelope);
                session.relay_question(attempt.place, envelope, told)
            }
            (Way::Linked(session, _), _) => heard(&attempt.gateway, session, attempt.place, envelope),
            // A modern client is told what belongs to its call, and of the server's log only what it asked for.
            (Way::Lent(loan), Form::Notification { method }) if method == "notifications/message" => {
                crossing::wants_log(loan, envelope).then(|| envelope.bytes.clone())
            }
            // Modern streams carry no requests; a notification may name the listen it belongs to by our id.
            (Way::Direct | Way::Lifted(_), Form::Notification { method }) => {
                let bytes = with_subscription(&attempt.call, envelope);
                match &mut self.paced {
                    Some(paced) => paced.pass(method, bytes),
                    None => Some(bytes),
                }
            }
            (Way::Direct | Way::Lifted(_) | Way::Lent(_), _) => None,
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
        Form::Error { .. } => Outcome::Error { code: envelope.error_code().unwrap_or(code::INTERNAL) },
        Form::Request { .. } | Form::Notification { .. } => Outcome::Failed(Kind::InvalidAnswer.fault()),
    }
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
