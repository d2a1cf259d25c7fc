//! `subscriptions/listen` at the endpoint of all servers, and at that of a legacy one: a stream of what they tell.
//!
//! The gateway answers it, under the client's own id: first what it will tell, then the notices, and at the end of the
//! gateway the result. It never carries progress or log lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::timeout;
use tollhouse_core::fault::Kind;
use tollhouse_core::record::{Listener, Outcome};
use tollhouse_core::wire::{Envelope, Members, Span, members, splice};

use super::list_resources;
use super::listen::{Because, attend, attend_all, filter};
use crate::answer::{self, Refusal, code};
use crate::call::Call;
use crate::exchange::{Cancel, Message, Step, Steps, conclude};
use crate::gateway::{Admitted, Gateway};
use crate::kinds::{Topic, Topics};
use crate::meta::SUBSCRIPTION_ID;
use crate::notices::board::{PutUp, Told, URIS_MAX};
use crate::notices::view::FIRST;
use crate::upstream::ACKNOWLEDGED;

/// A client's listen.
pub(crate) struct Listening {
    gateway: Arc<Gateway>,
    call: Box<Call>,
    /// The server it is about; none: all of them.
    place: Option<usize>,
    asked: Asked,
    /// Once it is open.
    listen: Option<PutUp>,
    /// A client on a pipe was told that it ends.
    ending: bool,
    _admitted: Admitted,
}

/// What a client wants to hear of.
struct Asked {
    topics: Topics,
    uris: Vec<Box<str>>,
}

impl Asked {
    fn read(call: &Call) -> Result<Self, Refusal> {
        let malformed = |message: &str| Refusal::malformed(code::INVALID_PARAMS, message);
        let picked = call.envelope.pick_params(["notifications"]);
        let [filter] = picked.map_err(|error| Refusal::malformed(code::INVALID_REQUEST, error.to_string()))?;
        let text = &call.envelope.bytes;
        let filter = filter.filter(|span| text[span.start()] == b'{');
        let filter = Members::of(text, filter.ok_or_else(|| malformed("`notifications` must be an object"))?);
        let wants = |topic: &Topic| filter.get(topic.flag()).is_some_and(|flag| flag.of(text) == b"true");
        let topics = Topic::ALL.into_iter().filter(wants).fold(Topics::default(), Topics::with);
        let uris = filter.get("resourceSubscriptions").into_iter().flat_map(|uris| members::elements(text, uris));
        let uris = uris.filter_map(|uri| members::text(uri.of(text))).take(URIS_MAX).map(|uri| uri.as_ref().into());
        Ok(Self { topics, uris: uris.collect() })
    }
}

impl Listening {
    /// Takes a listen; refused, it is answered and recorded.
    pub(crate) fn new(
        gateway: &Arc<Gateway>,
        call: Box<Call>,
        place: Option<usize>,
        admitted: Admitted,
    ) -> Result<Box<Self>, Message> {
        match Asked::read(&call) {
            Ok(asked) => {
                let gateway = gateway.clone();
                Ok(Box::new(Self { gateway, call, place, asked, listen: None, ending: false, _admitted: admitted }))
            }
            Err(refusal) => {
                let bytes = refusal.message(Some(call.raw_id()));
                Err(conclude(gateway, call, Message { status: refusal.status, bytes }, refusal.outcome()))
            }
        }
    }

    /// Finds whose resources are meant, and asks each server for what is wanted of it.
    async fn open(&mut self) -> PutUp {
        let owner = |uri: &str| self.place.or_else(|| self.gateway.names.owner(uri));
        if self.asked.uris.iter().any(|uri| owner(uri).is_none()) {
            list_resources(&self.gateway, &mut self.call, None).await;
        }
        // What nobody offers is not acknowledged.
        let uris: BTreeMap<_, _> = self.asked.uris.iter().filter_map(|uri| Some((uri.clone(), owner(uri)?))).collect();
        let listen = self.gateway.board.put_up(self.place, self.asked.topics, uris);
        match self.place {
            Some(place) => attend(&self.gateway, place, Because::ClientListens),
            None => attend_all(&self.gateway, Because::ClientListens),
        }
        // It is not kept waiting longer for servers that are slow.
        let _ = timeout(FIRST, listen.asked()).await;
        listen
    }

    fn acknowledgement(&self, listen: &PutUp) -> Bytes {
        let (topics, uris) = listen.accepted();
        let (filter, id) = (filter(topics, &uris), String::from_utf8_lossy(self.call.raw_id()));
        let params = format!(r#"{{"notifications":{filter},"_meta":{{"{SUBSCRIPTION_ID}":{id}}}}}"#);
        format!(r#"{{"jsonrpc":"2.0","method":"{ACKNOWLEDGED}","params":{params}}}"#).into()
    }

    fn say(mut self: Box<Self>, message: Bytes) -> (Option<Box<Self>>, Step) {
        self.call.responded();
        self.call.response_bytes += message.len() as u64;
        (Some(self), Step::Message(message))
    }

    /// The gateway drains.
    fn end(mut self: Box<Self>) -> (Option<Box<Self>>, Step) {
        if self.call.listener == Listener::Stdio && !self.ending {
            self.ending = true;
            let message = answer::listen_cancelled(self.call.raw_id());
            return self.say(message);
        }
        let bytes = answer::listen_ended(self.call.raw_id());
        let message = conclude(&self.gateway, self.call, Message { status: StatusCode::OK, bytes }, Outcome::Ok);
        (None, Step::Answer(message))
    }
}

impl Steps for Listening {
    async fn next(mut self: Box<Self>, cancel: &Cancel) -> (Option<Box<Self>>, Step) {
        let gateway = self.gateway.clone();
        let waited = match &self.listen {
            None => cancel.or(self.open()).await.map(|listen| Err(Some(listen))),
            Some(listen) => {
                let told = async {
                    tokio::select! {
                        biased;
                        () = gateway.draining.cancelled() => Err(None),
                        told = listen.next() => Ok(told),
                    }
                };
                cancel.or(told).await
            }
        };
        match waited {
            // MCP 2026-07-28: the client has closed the stream, or cancelled.
            None => {
                let record = self.call.finish(Outcome::Failed(Kind::Cancelled.fault()));
                gateway.recorder.record(record);
                (None, Step::Cancelled)
            }
            Some(Err(Some(listen))) => {
                let message = self.acknowledgement(&listen);
                self.listen = Some(listen);
                self.say(message)
            }
            Some(Err(None)) => self.end(),
            Some(Ok(Told::Changed(topic))) => {
                let message = topic.notice(Some(self.call.raw_id()));
                self.say(message)
            }
            Some(Ok(Told::Updated(notice))) => {
                let message = tagged(&notice, self.call.raw_id());
                self.say(message)
            }
        }
    }
}

/// A notice of a server under the id of the client's listen.
fn tagged(notice: &Envelope, id: &[u8]) -> Bytes {
    let text = &notice.bytes;
    let Some(params) = notice.params else { return text.clone() };
    let member = [b"\"", SUBSCRIPTION_ID.as_bytes(), b"\":", id].concat();
    let meta = Members::of(text, params).get("_meta");
    let (at, inserted) = match meta {
        Some(meta) => match Members::of(text, meta).get(SUBSCRIPTION_ID) {
            Some(named) => return splice::splice(text, &[(named, id)]),
            None => (meta, member),
        },
        None => (params, [b"\"_meta\":{", &member[..], b"}"].concat()),
    };
    // Behind the brace, before what is there already.
    let comma: &[u8] = if Members::of(text, at).next().is_some() { b"," } else { b"" };
    let open = Span::new(at.start() + 1, at.start() + 1);
    splice::splice(text, &[(open, &[&inserted, comma].concat())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_gets_the_id_of_the_clients_listen_whatever_it_had() {
        for (params, expected) in [
            (r#"{"uri":"a"}"#, r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":"7"},"uri":"a"}"#),
            (r"{ }", r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":"7"} }"#),
            (
                r#"{"uri":"a","_meta":{"x":1}}"#,
                r#"{"uri":"a","_meta":{"io.modelcontextprotocol/subscriptionId":"7","x":1}}"#,
            ),
            (
                r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":12},"uri":"a"}"#,
                r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":"7"},"uri":"a"}"#,
            ),
        ] {
            let whole = |params: &str| format!(r#"{{"jsonrpc":"2.0","method":"n","params":{params}}}"#);
            let notice = Envelope::parse(whole(params).into()).unwrap();
            assert_eq!(tagged(&notice, br#""7""#), whole(expected));
        }
    }
}
