//! What went wrong, on whose side, and whether the call may be sent again.

use std::fmt;

/// The answer is larger than allowed.
const TOO_LARGE: i64 = 4130;
/// It did not run.
const UNAVAILABLE: i64 = 5030;
/// It did not run in time.
const DEADLINE: i64 = 5040;
/// It may have run.
const OUTCOME_UNKNOWN: i64 = 5041;

/// Where the cause lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client sent something that cannot be served, or left.
    Downstream,
    /// The server did not answer as it must.
    Upstream,
    /// The gateway refused or could not.
    Gateway,
}

/// May the caller send the call again?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replay {
    /// It did not run: repeat it.
    Safe,
    /// It did not run and will not until something is changed.
    AfterFix,
    /// It may have run: look first.
    Never,
}

/// The kinds of fault; each is a value of `error.type` and has one replay rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The message is not JSON, or not a JSON-RPC message, or breaks a limit of form.
    Malformed,
    /// The arguments of a call do not fit the schema of its tool.
    Arguments,
    /// No such method, tool, server or session.
    Unknown,
    /// Over a size, depth or count limit.
    TooLarge,
    /// A rate, concurrency or session limit.
    Limited,
    /// The revision is not spoken here, or the server does not speak the era it was spoken to in.
    EraUnsupported,
    /// The server asked for something that is not carried to a client of the other era.
    Uncarried,
    /// The server could not be reached; nothing was sent.
    Unreachable,
    /// The server's process ended too often and is not started again; nothing was sent.
    Parked,
    /// The server's certificate was not accepted; nothing was sent.
    Tls,
    /// The server no longer knows the session the call was sent in.
    SessionGone,
    /// The server did not accept the gateway's credentials.
    Unauthorized,
    /// The server refused the HTTP request (another 4xx) without a JSON-RPC answer.
    Rejected,
    /// The server failed (5xx) without a JSON-RPC answer.
    ServerError,
    /// The connection or the process ended after the call was sent.
    Lost,
    /// The server answered with something that is no answer.
    InvalidAnswer,
    /// The server's answer is larger than allowed.
    AnswerTooLarge,
    /// The server was silent for too long, or the hard limit was reached.
    Timeout,
    /// The deadline passed while the call was still unsent.
    Deadline,
    /// The caller cancelled or, in the modern era, left.
    Cancelled,
    /// The gateway is shutting down.
    Draining,
}

/// One fault: kind, side, replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fault {
    /// What happened.
    pub kind: Kind,
    /// On whose side.
    pub side: Side,
    /// May it be sent again.
    pub replay: Replay,
}

impl Kind {
    /// The value of `error.type` (OpenTelemetry's words where it has them).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Arguments => "invalid_arguments",
            Self::Unknown => "unknown_name",
            Self::TooLarge => "too_large",
            Self::Limited => "limited",
            Self::EraUnsupported => "era_unsupported",
            Self::Uncarried => "not_carried",
            Self::Unreachable => "connection_refused",
            Self::Parked => "parked",
            Self::Tls => "tls",
            Self::SessionGone => "session_not_found",
            Self::Unauthorized => "unauthorized",
            Self::Rejected => "rejected",
            Self::ServerError => "server_error",
            Self::Lost => "connection_reset",
            Self::InvalidAnswer => "invalid_response",
            Self::AnswerTooLarge => "response_too_large",
            Self::Timeout => "timeout",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::Draining => "draining",
        }
    }

    /// The fault of this kind.
    pub const fn fault(self) -> Fault {
        let (side, replay) = match self {
            Self::Malformed | Self::Arguments | Self::Unknown | Self::TooLarge | Self::EraUnsupported => {
                (Side::Downstream, Replay::AfterFix)
            }
            Self::Cancelled => (Side::Downstream, Replay::Never),
            Self::Limited | Self::Deadline | Self::Draining => (Side::Gateway, Replay::Safe),
            Self::Uncarried => (Side::Gateway, Replay::AfterFix),
            Self::Unreachable | Self::SessionGone => (Side::Upstream, Replay::Safe),
            Self::Parked | Self::Tls | Self::Unauthorized | Self::Rejected => (Side::Upstream, Replay::AfterFix),
            Self::ServerError | Self::Lost | Self::InvalidAnswer | Self::AnswerTooLarge | Self::Timeout => {
                (Side::Upstream, Replay::Never)
            }
        };
        Fault { kind: self, side, replay }
    }
}

impl Fault {
    /// The JSON-RPC code of the error that says it, where the caller gets an error.
    pub const fn code(self) -> i64 {
        match self.kind {
            Kind::Deadline => DEADLINE,
            Kind::AnswerTooLarge => TOO_LARGE,
            _ if self.not_executed() => UNAVAILABLE,
            _ => OUTCOME_UNKNOWN,
        }
    }

    /// Did the call certainly not run?
    pub const fn not_executed(self) -> bool {
        matches!(self.replay, Replay::Safe | Replay::AfterFix)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())
    }
}
