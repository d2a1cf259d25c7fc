//! The questions of a modern server, put to a legacy client.
//!
//! A modern server that has to ask first answers a call with its questions, and gets the call once more with the
//! answers. A legacy client is asked by requests on the stream of its call. So the gateway asks in between: each
//! question becomes a request of its own, and once all are answered, the call is sent again under a fresh id.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use tollhouse_core::fault::Kind;
use tollhouse_core::wire::{Envelope, Form, Members, members};

use crate::failure::Failure;
use crate::session::legacy::{Asked, Session};

/// How often a server may ask before it answers.
pub(super) const ROUNDS_MAX: u32 = 10;
/// Questions of one round.
const QUESTIONS_MAX: usize = 100;

/// One round of questions. Those without an answer are withdrawn when it is dropped.
pub(crate) struct Round {
    session: Arc<Session>,
    /// Requests that have not gone out yet.
    unasked: VecDeque<Bytes>,
    waiting: VecDeque<Waiting>,
    /// What the server wants back with the answers, as it wrote it.
    state: Option<Bytes>,
}

struct Waiting {
    /// The server's key for the question, with its quotes.
    key: Bytes,
    /// The id under which the client is asked.
    id: u64,
    answer: oneshot::Receiver<Envelope>,
}

impl Round {
    /// Reads the questions in an answer that asks for input.
    ///
    /// # Errors
    /// They are not as they must be.
    pub(super) fn read(session: &Arc<Session>, asking: &Envelope) -> Result<Self, Failure> {
        let malformed = |why| Failure::new(Kind::InvalidAnswer, why);
        let text = &asking.bytes;
        let state = asking.member("requestState").map(|span| asking.slice(span));
        let mut round = Self { session: session.clone(), unasked: VecDeque::new(), waiting: VecDeque::new(), state };
        let questions = asking.member("inputRequests").map(|object| Members::of(text, object));
        for (key, question) in questions.into_iter().flatten() {
            if round.waiting.len() == QUESTIONS_MAX {
                return Err(malformed("the server asks too much at once"));
            }
            let [method, params] = members::pick(text, question, ["method", "params"])
                .map_err(|_| malformed("a question of the server is ambiguous"))?;
            let name = method.and_then(|span| members::text(asking.raw(span)));
            // MCP 2026-07-28, basic/patterns/mrtr: nothing else can be asked.
            let method = match (method, name.as_deref()) {
                (Some(span), Some("elicitation/create" | "sampling/createMessage" | "roots/list")) => asking.raw(span),
                _ => return Err(malformed("the server asks for something that nobody can be asked for")),
            };
            let (sender, answer) = oneshot::channel();
            let id = session.ask(Asked::Gateway(sender));
            let mut request = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"#).into_bytes();
            request.extend_from_slice(method);
            if let Some(params) = params {
                request.extend_from_slice(&[b",\"params\":", asking.raw(params)].concat());
            }
            request.push(b'}');
            round.unasked.push_back(request.into());
            round.waiting.push_back(Waiting { key: text.slice(key.start() - 1..=key.end()), id, answer });
        }
        if round.waiting.is_empty() && round.state.is_none() {
            return Err(malformed("the server asks for input and does not say which"));
        }
        Ok(round)
    }

    /// The next request to the client.
    pub(crate) fn next_question(&mut self) -> Option<Bytes> {
        self.unasked.pop_front()
    }

    /// Waits for the client's answers: what is put into the call when it is sent again, without braces around it.
    ///
    /// # Errors
    /// The client refused to answer.
    pub(super) async fn answers(&mut self) -> Result<Vec<u8>, Failure> {
        let asked = !self.waiting.is_empty();
        let mut responses = Vec::new();
        while let Some(waiting) = self.waiting.front_mut() {
            let answer = (&mut waiting.answer).await;
            let key = waiting.key.clone();
            self.waiting.pop_front();
            let answer = answer.map_err(|_| Failure::new(Kind::Lost, "the session ended"))?;
            let Form::Result { result, .. } = answer.form else {
                return Err(Failure::new(Kind::Uncarried, "the client did not answer what the server asks first"));
            };
            if !responses.is_empty() {
                responses.push(b',');
            }
            responses.extend_from_slice(&[&key[..], b":", answer.raw(result)].concat());
        }
        let mut members = Vec::new();
        if asked {
            members.extend_from_slice(&[b"\"inputResponses\":{", &responses[..], b"}"].concat());
        }
        if let Some(state) = &self.state {
            if asked {
                members.push(b',');
            }
            members.extend_from_slice(&[b"\"requestState\":", &state[..]].concat());
        }
        Ok(members)
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        for waiting in &self.waiting {
            self.session.answered(waiting.id);
        }
    }
}
