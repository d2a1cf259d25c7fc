//! One JSON-RPC message as the demo servers see it, and the errors they answer with.
//!
//! A server may read whole values here; the gateway, which must not change a byte, may not.

use serde_json::{Map, Value, json};
use tollhouse_core::era::{Era, Version};

/// The prefix of the protocol's own `_meta` keys.
pub(super) const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub(super) const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub(super) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// What came in.
pub(super) enum Message {
    Request(Request),
    Notification(Notification),
    /// The answer to a request; these servers ask nothing, so it is of no use.
    Response,
}

/// A message that wants an answer.
pub(super) struct Request {
    pub(super) id: Value,
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
}

/// A message that wants none.
pub(super) struct Notification {
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
}

/// An error of the protocol, in place of a result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub(super) code: i64,
    pub(super) message: String,
    pub(super) data: Option<Value>,
    /// The status a modern client gets over HTTP.
    pub(super) status: u16,
}

impl Fault {
    pub(super) fn unparsable() -> Self {
        Self::of(-32700, 400, "this is not JSON")
    }

    pub(super) fn malformed(why: impl Into<String>) -> Self {
        Self::of(-32600, 400, why)
    }

    pub(super) fn unknown_method(method: &str) -> Self {
        Self::of(-32601, 404, format!("there is no method `{method}`"))
    }

    /// Parameters that name nothing, or not what they must.
    pub(super) fn params(why: impl Into<String>) -> Self {
        Self::of(-32602, 200, why)
    }

    /// `_meta` lacks what every request of 2026-07-28 carries.
    pub(super) fn incomplete(why: impl Into<String>) -> Self {
        Self::of(-32602, 400, why)
    }

    pub(super) fn header_mismatch(why: impl Into<String>) -> Self {
        Self::of(-32020, 400, why)
    }

    pub(super) fn version(requested: &str) -> Self {
        let data = json!({"supported": [Version::MODERN.as_str()], "requested": requested});
        Self { data: Some(data), ..Self::of(-32022, 400, format!("protocol version `{requested}` is not spoken here")) }
    }

    fn of(code: i64, status: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None, status }
    }

    /// The message that tells it. Without an id nobody could be told whose it is, so the member is left out.
    pub(super) fn response(&self, id: Option<&Value>) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        let mut message = json!({"jsonrpc": "2.0", "error": error});
        if let Some(id) = id {
            message["id"] = id.clone();
        }
        message
    }
}

impl Message {
    /// Reads one message.
    ///
    /// # Errors
    /// The fault to answer, and the id to answer it to if there is one.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, (Fault, Option<Value>)> {
        let value: Value = serde_json::from_slice(bytes).map_err(|_| (Fault::unparsable(), None))?;
        let Value::Object(mut message) = value else {
            return Err((Fault::malformed("one JSON-RPC message is an object"), None));
        };
        let id = match message.remove("id") {
            None => None,
            Some(id @ (Value::String(_) | Value::Number(_))) => Some(id),
            Some(_) => return Err((Fault::malformed("`id` must be a text or a number"), None)),
        };
        let malformed = |why: &str| (Fault::malformed(why), id.clone());
        if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err(malformed("`jsonrpc` must be \"2.0\""));
        }
        let Some(method) = message.remove("method") else {
            let answers = message.contains_key("result") || message.contains_key("error");
            return if answers { Ok(Self::Response) } else { Err(malformed("there is no `method`")) };
        };
        let Value::String(method) = method else { return Err(malformed("`method` must be a text")) };
        let params = match message.remove("params") {
            None => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return Err(malformed("`params` must be an object")),
        };
        Ok(match id {
            Some(id) => Self::Request(Request { id, method, params }),
            None => Self::Notification(Notification { method, params }),
        })
    }
}

impl Request {
    /// The era the request itself claims: `_meta` says so or `initialize` does; `None` leaves it to the transport.
    pub(super) fn claims(&self) -> Option<Era> {
        match self.method.as_str() {
            "initialize" => Some(Era::Legacy),
            // Exists in no other revision, so that even an incomplete one gets the error of its own era.
            "server/discover" => Some(Era::Modern),
            _ => self.meta(PROTOCOL_VERSION).map(|_| Era::Modern),
        }
    }

    /// A member of `params._meta`.
    pub(super) fn meta(&self, key: &str) -> Option<&Value> {
        self.params.get("_meta")?.get(key)
    }

    /// The parameter a modern client repeats in `Mcp-Name`.
    pub(super) fn name(&self) -> Option<&str> {
        let key = if self.method == "resources/read" { "uri" } else { "name" };
        self.params.get(key)?.as_str()
    }

    /// The token under which the caller wants to hear of progress.
    pub(super) fn progress_token(&self) -> Option<&Value> {
        self.meta("progressToken").filter(|token| token.is_string() || token.is_number())
    }

    /// The message that answers it.
    pub(super) fn response(&self, answer: Result<Value, Fault>) -> Value {
        match answer {
            Ok(result) => json!({"jsonrpc": "2.0", "id": self.id, "result": result}),
            Err(fault) => fault.response(Some(&self.id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, code: i64, id: Option<Value>) {
        let (fault, named) = Message::read(text.as_bytes()).err().unwrap();
        assert_eq!((fault.code, named), (code, id), "{text}");
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_id_where_it_has_one() {
        check("", -32700, None);
        check("{", -32700, None);
        check("[]", -32600, None);
        check(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600, None);
        check(r#"{"id":1,"method":"ping"}"#, -32600, Some(json!(1)));
        check(r#"{"jsonrpc":"2.0","id":"a"}"#, -32600, Some(json!("a")));
        check(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, -32600, Some(json!(1)));
    }
}
