//! Messages as lines, for whoever sends them without a [`Client`](crate::client::Client).

use serde_json::{Value, json};

use crate::echo::MODERN;

/// A legacy call of `echo`, on one line.
pub(crate) fn legacy_call(id: &str, arguments: &Value) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{arguments}}}}}"#)
}

/// A modern call of `echo`, on one line.
pub(crate) fn modern_call(id: &str, arguments: &Value) -> String {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}
    });
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{arguments},"_meta":{meta}}}}}"#
    )
}

/// A cancellation, on one line.
pub(crate) fn cancel(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#)
}
