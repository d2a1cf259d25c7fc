//! What an honest MCP server answers, whatever carries it: one tool, `echo`, which gives its arguments back.
//!
//! The text of its result is `arguments.nonce`, `structuredContent` the arguments byte by byte. Both the HTTP
//! upstream inside the tests and the child program speak through it.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// The modern revision.
pub(crate) const MODERN: &str = "2026-07-28";

/// The member of `_meta` that makes a request modern.
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";

/// Which handshakes a server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Eras {
    /// `initialize` only.
    Legacy,
    /// 2026-07-28 only.
    Modern,
    /// Both.
    Dual,
}

/// The members of an object, each as it was written.
fn members(text: &str) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_str(text).ok()
}

/// A JSON-RPC message as a server looks at it; raw parts are the sender's bytes.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) id: Option<String>,
    pub(crate) method: String,
    pub(crate) params: Value,
    pub(crate) arguments: String,
}

impl Message {
    /// Reads one message; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let message = members(text)?;
        let params = message.get("params").and_then(|params| members(params.get())).unwrap_or_default();
        // `arguments` may hold what no `Value` can, a number of 400 digits for instance, and is kept raw beside.
        let arguments = params.get("arguments").map_or("{}", |value| value.get());
        let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).unwrap_or_default();
        Some(Self {
            id: message.get("id").map(|id| id.get().to_owned()),
            method: serde_json::from_str(message.get("method")?.get()).ok()?,
            arguments: arguments.to_owned(),
            params: params.iter().map(|(name, raw)| (name.clone(), value(raw))).collect(),
        })
    }

    /// Was it sent in the modern way?
    pub(crate) fn modern(&self) -> bool {
        self.params["_meta"][VERSION_KEY].is_string()
    }

    /// A string among the arguments, or nothing.
    pub(crate) fn argument(&self, name: &str) -> &str {
        self.params["arguments"][name].as_str().unwrap_or_default()
    }

    /// The progress token as it was written, if there is one.
    pub(crate) fn token(&self) -> Option<String> {
        Some(&self.params["_meta"]["progressToken"]).filter(|token| !token.is_null()).map(Value::to_string)
    }

    /// The answer with this result.
    pub(crate) fn result(&self, result: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, self.id.as_deref().unwrap_or("null"))
    }

    /// The answer with this error.
    pub(crate) fn error(&self, code: i64, message: &str) -> String {
        let data = if code == -32022 { format!(r#","data":{{"supported":["{MODERN}"]}}"#) } else { String::new() };
        let id = self.id.as_deref().unwrap_or("null");
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"{data}}}}}"#)
    }

    /// The result of `echo`.
    pub(crate) fn echoed(&self) -> String {
        self.said(self.argument("nonce"))
    }

    /// A result of `echo` that says something else.
    pub(crate) fn said(&self, text: &str) -> String {
        let (text, arguments) = (Value::from(text), &self.arguments);
        let complete = if self.modern() { r#","resultType":"complete""# } else { "" };
        format!(
            r#"{{"content":[{{"type":"text","text":{text}}}],"structuredContent":{arguments},"isError":false{complete}}}"#
        )
    }

    /// The result of `tools/list` where `echo` asks for two of its arguments in headers, `region` and `where.zone`. It
    /// stands on the second page.
    pub(crate) fn mirroring(&self) -> String {
        let hints = if self.modern() { r#","resultType":"complete","ttlMs":0,"cacheScope":"private""# } else { "" };
        if self.params["cursor"] != "second" {
            return format!(r#"{{"tools":[{{"name":"other","inputSchema":{{}}}}],"nextCursor":"second"{hints}}}"#);
        }
        let zone = r#"{"type":"object","properties":{"zone":{"type":"integer","x-mcp-header":"Zone"}}}"#;
        let properties = format!(r#"{{"region":{{"type":"string","x-mcp-header":"Region"}},"where":{zone}}}"#);
        format!(r#"{{"tools":[{{"name":"echo","inputSchema":{{"type":"object","properties":{properties}}}}}]{hints}}}"#)
    }

    /// What an honest server of these eras answers; `None` to a notification.
    pub(crate) fn answer(&self, eras: Eras) -> Option<String> {
        self.id.as_ref()?;
        let hints = if self.modern() { r#","resultType":"complete","ttlMs":0,"cacheScope":"private""# } else { "" };
        let info = r#"{"name":"echo","version":"1"}"#;
        Some(match self.method.as_str() {
            "initialize" if eras == Eras::Modern => self.error(-32022, "initialize is not served"),
            "initialize" => {
                let asked = self.params["protocolVersion"].as_str().unwrap_or("2025-11-25");
                self.result(&format!(
                    r#"{{"protocolVersion":"{asked}","capabilities":{{"tools":{{}}}},"serverInfo":{info}}}"#
                ))
            }
            "server/discover" if eras != Eras::Legacy => self.result(&format!(
                r#"{{"supportedVersions":["{MODERN}"],"capabilities":{{"tools":{{}}}},"_meta":{{"io.modelcontextprotocol/serverInfo":{info}}},"resultType":"complete","ttlMs":0,"cacheScope":"private"}}"#
            )),
            "ping" if !self.modern() => self.result("{}"),
            "tools/list" => self.result(&format!(
                r#"{{"tools":[{{"name":"echo","description":"gives its arguments back","inputSchema":{{"type":"object"}}}}]{hints}}}"#
            )),
            "tools/call" if self.params["name"] != "echo" => self.error(-32602, "no such tool"),
            "tools/call" => self.result(&self.echoed()),
            _ => self.error(-32601, "no such method"),
        })
    }
}
