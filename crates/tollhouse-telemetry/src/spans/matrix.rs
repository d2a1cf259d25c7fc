//! What counts as an error, and as which, on either side of the gateway.
//!
//! A caller's own mistake is an error of the attempt that was refused, but none of the gateway that passed the refusal on:
//! its span has the code alone (OpenTelemetry conventions for MCP).

use std::borrow::Cow;

use tollhouse_core::fault::Kind;
use tollhouse_core::record::{Failed, Outcome};

/// What a span says of the end of its call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `error.type`; the span has failed exactly if there is one.
    pub(super) error: Option<Cow<'static, str>>,
    /// `rpc.response.status_code`.
    pub(super) code: Option<i64>,
    /// `tollhouse.fault`: the cause, where the gateway itself found it.
    pub(super) fault: Option<Kind>,
}

/// A caller's own mistake, by the code it was answered with.
fn own_mistake(code: i64) -> bool {
    matches!(code, -32700 | -32600 | -32601 | -32602 | -32002)
}

/// As the caller sees it. A tool call that brought no answer is answered by a result, which has no code.
pub(super) fn served(outcome: &Outcome, tool: bool) -> Verdict {
    let by_code = |code: i64, own: bool| (!own).then(|| Cow::from(code.to_string()));
    match *outcome {
        Outcome::Ok | Outcome::InputRequired | Outcome::Task => Verdict::default(),
        Outcome::ToolError => Verdict { error: Some("tool_error".into()), ..Verdict::default() },
        Outcome::Error { code } => Verdict { error: by_code(code, own_mistake(code)), code: Some(code), fault: None },
        Outcome::Refused { code, fault } => {
            let own = own_mistake(code) || (-32022..=-32020).contains(&code);
            Verdict { error: by_code(code, own), code: Some(code), fault: Some(fault.kind) }
        }
        Outcome::Failed(fault) if fault.kind == Kind::Cancelled => {
            Verdict { error: Some("cancelled".into()), code: None, fault: Some(fault.kind) }
        }
        Outcome::Failed(fault) => Verdict {
            error: by_code(fault.code(), false),
            code: (!tool).then(|| fault.code()),
            fault: Some(fault.kind),
        },
    }
}

/// As the gateway sees an attempt, or what a server was asked for a list of several.
pub(super) fn sent(failed: Option<Failed>) -> Verdict {
    let error = failed.map(Failed::error_type);
    match failed {
        Some(Failed::Code(code)) => Verdict { error, code: Some(code), fault: None },
        Some(Failed::Fault(kind)) => Verdict { error, code: None, fault: Some(kind) },
        Some(Failed::Tool) | None => Verdict { error, code: None, fault: None },
    }
}
