//! What others may see of a call: log lines, metrics and spans.
//!
//! Everything here is made from a finished [`CallRecord`](tollhouse_core::record::CallRecord) or from a diagnostic
//! event, beside the path of a call: no call waits for it.

pub mod spans;
pub mod environment;
pub mod metrics;
pub mod catalogue;
pub mod logs;
pub mod otlp;

pub mod compat;

mod civil;
