//! What a request says of itself in `params._meta`, read in one pass.

use tollhouse_core::wire::members::{KeyError, Picked};
use tollhouse_core::wire::{Envelope, Members, Span, members};

/// Members by which known clients say where a call belongs. Not standardised: what each client sends was read in its
/// source or its users' reports. The first [`SESSION_KEYS`] name a conversation, best first.
const KEYS: [&str; 13] = [
    "dev.tollhouse/session",
    CODEX,
    "threadId",
    "vscode.conversationId",
    "openai/session",
    "agent-session-id",
    "sessionID",
    "ai.opencode/sessionID",
    "antigravity.google/conversation_id",
    "vscode.requestId",
    "openai/subject",
    "openai/organization",
    "claudecode/toolUseId",
];
const SESSION_KEYS: usize = 9;

/// No client has longer ids; what is longer is none.
pub(crate) const ID_MAX: usize = 256;

/// Codex puts an object there.
const CODEX: &str = "x-codex-turn-metadata";
/// Its members, and what each is called where ids are listed.
const CODEX_KEYS: [(&str, &str); 4] = [
    ("session_id", "x-codex-turn-metadata.session_id"),
    ("thread_id", "x-codex-turn-metadata.thread_id"),
    ("turn_id", "x-codex-turn-metadata.turn_id"),
    ("model", "x-codex-turn-metadata.model"),
];

/// The member that says to which listen a message belongs.
pub(crate) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// Above this a baggage is dropped (W3C baggage, limits: at least this much is to be passed on; we pass no more).
pub(crate) const BAGGAGE_MAX: usize = 8192;

/// The members of `_meta` that the gateway reads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meta {
    /// `io.modelcontextprotocol/protocolVersion`: makes the request a modern one.
    pub(crate) version: Option<Span>,
    pub(crate) capabilities: Option<Span>,
    pub(crate) client: Option<Span>,
    pub(crate) progress_token: Option<Span>,
    pub(crate) traceparent: Option<Span>,
    pub(crate) tracestate: Option<Span>,
    pub(crate) baggage: Option<Span>,
    /// A baggage that is too large to be passed on, key and all.
    pub(crate) excess: Option<Span>,
    /// The best member that names a conversation, with its name.
    session: Option<(&'static str, Span)>,
    /// All of `_meta`, if there are any ids in it.
    ids: Option<Span>,
}

impl Meta {
    /// Reads the `_meta` of a request, if it has one.
    ///
    /// # Errors
    /// A member the gateway acts on stands there twice or in a confusing spelling.
    pub(crate) fn read(envelope: &Envelope, meta: Option<Span>) -> Result<Self, KeyError> {
        let Some(meta) = meta else { return Ok(Self::default()) };
        let text = &envelope.bytes;
        let mut acted_on = Picked::new([
            "io.modelcontextprotocol/protocolVersion",
            "io.modelcontextprotocol/clientCapabilities",
            "io.modelcontextprotocol/clientInfo",
            "progressToken",
            "traceparent",
            "baggage",
        ]);
        let (mut session, mut ids, mut excess): (Option<(usize, Span)>, _, _) = (None, None, None);
        let mut tracestate = None;
        for (key, value) in Members::of(text, meta) {
            acted_on.see(key.of(text), value)?;
            if value.end() - value.start() > BAGGAGE_MAX && members::is_key(key.of(text), "baggage") {
                excess = Some(members::removal(text, key, value));
            }
            if key.of(text) == b"tracestate" {
                tracestate = Some(value);
            }
            let Some(rank) = KEYS.iter().position(|name| key.of(text) == name.as_bytes()) else { continue };
            ids = Some(meta);
            if rank < SESSION_KEYS && session.is_none_or(|(best, _)| rank < best) {
                session = Some((rank, value));
            }
        }
        let [version, capabilities, client, progress_token, traceparent, baggage] = acted_on.values();
        let session = session.map(|(rank, value)| (KEYS[rank], value));
        Ok(Self {
            version,
            capabilities,
            client,
            progress_token,
            traceparent,
            tracestate,
            baggage,
            excess,
            session,
            ids,
        })
    }

    /// The conversation the client names, and the member that names it.
    pub(crate) fn session<'a>(&self, envelope: &'a Envelope) -> Option<(&'static str, std::borrow::Cow<'a, str>)> {
        let (key, value) = self.session?;
        let value = if key == CODEX { Members::of(&envelope.bytes, value).get("session_id")? } else { value };
        let id = members::text(envelope.raw(value))?;
        (!id.is_empty() && id.len() <= ID_MAX).then_some((key, id))
    }

    /// Is any known client's id there?
    pub(crate) fn has_ids(&self) -> bool {
        self.ids.is_some()
    }

    /// Every id of a known client that is a string, in the order in which it stands there.
    pub(crate) fn ids(&self, envelope: &Envelope) -> Vec<(&'static str, Box<str>)> {
        let text = &envelope.bytes;
        let mut ids = Vec::new();
        let mut note = |key: &'static str, value: Span| {
            ids.extend(members::text(value.of(text)).map(|id| (key, id.as_ref().into())));
        };
        for (key, value) in self.ids.into_iter().flat_map(|meta| Members::of(text, meta)) {
            let Some(name) = KEYS.iter().find(|name| key.of(text) == name.as_bytes()) else { continue };
            if *name != CODEX {
                note(name, value);
                continue;
            }
            for (member, name) in CODEX_KEYS {
                if let Some(value) = Members::of(text, value).get(member) {
                    note(name, value);
                }
            }
        }
        ids
    }

    /// The name the client gives itself.
    pub(crate) fn client<'a>(&self, envelope: &'a Envelope) -> Option<std::borrow::Cow<'a, str>> {
        let name = Members::of(&envelope.bytes, self.client?).get("name")?;
        members::text(envelope.raw(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(meta: &str) -> (Envelope, Result<Meta, KeyError>) {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"_meta":{meta}}}}}"#);
        let envelope = Envelope::parse(text.into()).unwrap();
        let meta = Meta::read(&envelope, envelope.meta());
        (envelope, meta)
    }

    #[test]
    fn the_best_known_member_names_the_conversation() {
        let (envelope, meta) = read(r#"{"sessionID":"b","threadId":"a","x":{"threadId":"c"}}"#);
        assert_eq!(meta.unwrap().session(&envelope), Some(("threadId", "a".into())));
        let (envelope, meta) = read(r#"{"x-codex-turn-metadata":{"turn_id":"t","session_id":"s"}}"#);
        assert_eq!(meta.unwrap().session(&envelope), Some(("x-codex-turn-metadata", "s".into())));
        let (envelope, meta) = read(r#"{"threadId":7}"#);
        assert_eq!(meta.unwrap().session(&envelope), None);
    }

    #[test]
    fn what_is_acted_on_may_stand_there_once() {
        assert!(read(r#"{"progressToken":1,"progressToken":2}"#).1.is_err());
        assert!(read(r#"{"ProgressToken":1}"#).1.is_err());
        assert!(read(r#"{"vendor":1,"vendor":2}"#).1.is_ok());
    }
}
