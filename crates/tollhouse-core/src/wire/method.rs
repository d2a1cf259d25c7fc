//! The methods of MCP, and what the gateway must know of each.

use std::borrow::Cow;

/// A method's name: one of the specification's without a copy, anything else as it came.
pub type Method = Cow<'static, str>;

/// `name` as a [`Method`].
pub fn intern(name: &str) -> Method {
    match KNOWN.iter().find(|known| **known == name) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(name.to_owned()),
    }
}

/// `method` as a member of a closed set: what the specification does not know is `_OTHER`.
pub fn known(method: &Method) -> &'static str {
    match method {
        Cow::Borrowed(known) => known,
        Cow::Owned(_) => "_OTHER",
    }
}

/// The most frequent first: the list is searched from its start.
static KNOWN: [&str; 36] = [
    "tools/call",
    "tools/list",
    "resources/read",
    "prompts/get",
    "notifications/progress",
    "notifications/message",
    "ping",
    "initialize",
    "notifications/initialized",
    "server/discover",
    "subscriptions/listen",
    "resources/list",
    "resources/templates/list",
    "prompts/list",
    "completion/complete",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "notifications/cancelled",
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
    "notifications/roots/list_changed",
    "notifications/subscriptions/acknowledged",
    "notifications/elicitation/complete",
    "notifications/tasks",
    "notifications/tasks/status",
    "sampling/createMessage",
    "elicitation/create",
    "roots/list",
    "tasks/get",
    "tasks/result",
    "tasks/list",
    "tasks/cancel",
    "tasks/update",
];

/// The member of `params` that names what a request is about; the same that `Mcp-Name` must repeat
/// (MCP 2026-07-28, streamable HTTP, standard request headers).
pub fn subject(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some("uri"),
        "tasks/get" | "tasks/update" | "tasks/cancel" | "tasks/result" => Some("taskId"),
        _ => None,
    }
}

/// Does the modern revision demand `Mcp-Name` for this method?
pub fn names_in_header(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read" | "tasks/get" | "tasks/update" | "tasks/cancel")
}
