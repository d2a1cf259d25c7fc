//! The closed sets that labels of a call are taken from.

use tollhouse_core::record::{CallRecord, Failed, Listener, Outcome};

use super::word::{OTHER, Word};

/// Codes that a server may answer with as it likes, of which these mean something everywhere.
const CODES: [(i64, &str); 18] = [
    (-32700, "-32700"),
    (-32600, "-32600"),
    (-32601, "-32601"),
    (-32602, "-32602"),
    (-32603, "-32603"),
    (-32000, "-32000"),
    (-32001, "-32001"),
    (-32002, "-32002"),
    (-32020, "-32020"),
    (-32021, "-32021"),
    (-32022, "-32022"),
    (-32042, "-32042"),
    (4130, "4130"),
    (4290, "4290"),
    (5030, "5030"),
    (5040, "5040"),
    (5041, "5041"),
    (5070, "5070"),
];

fn known(code: i64) -> &'static str {
    CODES.iter().find(|(known, _)| *known == code).map_or(OTHER, |(_, word)| word)
}

/// `error.type` as its server's side has it.
pub(super) fn error_type(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Ok | Outcome::InputRequired | Outcome::Task => None,
        Outcome::ToolError => Some("tool_error"),
        Outcome::Error { code } | Outcome::Refused { code, .. } => Some(known(*code)),
        Outcome::Failed(fault) => Some(fault.kind.as_str()),
    }
}

/// `error.type` as the client's side has it: the caller's own mistake is no error there, only a code (OpenTelemetry
/// conventions for MCP).
pub(super) fn served_error(outcome: &Outcome) -> Option<&'static str> {
    let own = matches!(
        outcome,
        Outcome::Error { code: -32700 | -32600 | -32601 | -32602 | -32002 }
            | Outcome::Refused { code: -32700 | -32600 | -32601 | -32602 | -32002 | -32022..=-32020, .. }
    );
    if own { None } else { error_type(outcome) }
}

/// The JSON-RPC code, if there was one.
pub(super) fn code(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Error { code } | Outcome::Refused { code, .. } => Some(known(*code)),
        Outcome::Ok | Outcome::ToolError | Outcome::InputRequired | Outcome::Task | Outcome::Failed(_) => None,
    }
}

/// `error.type` and the JSON-RPC code of what one server was asked.
pub(super) fn failed(failed: Option<Failed>) -> (Option<&'static str>, Option<&'static str>) {
    match failed {
        None => (None, None),
        Some(Failed::Tool) => (Some("tool_error"), None),
        Some(Failed::Code(code)) => (Some(known(code)), Some(known(code))),
        Some(Failed::Fault(kind)) => (Some(kind.as_str()), None),
    }
}

/// Outcomes that labels do not tell apart are the same.
pub(super) fn outcome(outcome: &Outcome) -> (u8, &'static str) {
    let kind = match outcome {
        Outcome::Ok | Outcome::InputRequired | Outcome::Task => 0,
        Outcome::ToolError => 1,
        Outcome::Error { .. } => 2,
        Outcome::Refused { .. } => 3,
        Outcome::Failed(_) => 4,
    };
    (kind, error_type(outcome).unwrap_or_default())
}

/// Has the server answered for the name that it was called by?
pub(super) fn vouched(record: &CallRecord) -> bool {
    record.server.is_some()
        && matches!(record.outcome, Outcome::Ok | Outcome::ToolError | Outcome::InputRequired | Outcome::Task)
}

/// How it came in.
pub(super) fn transport(listener: Listener) -> &'static str {
    match listener {
        Listener::Http | Listener::Sse => "tcp",
        Listener::Stdio => "pipe",
    }
}

/// The scheme of a URI.
pub(super) fn scheme(uri: &str) -> &'static str {
    match uri.split_once(':').map(|(scheme, _)| scheme) {
        Some("file") => "file",
        Some("http" | "https") => "http",
        Some("git") => "git",
        Some("ui") => "ui",
        _ => "other",
    }
}

/// A word of ours, as a label has it.
#[expect(clippy::unnecessary_wraps, reason = "a label may be empty; a word of ours never is")]
pub(super) fn ours(word: &'static str) -> Option<Word> {
    Some(Word::Ours(word))
}
