//! The variables of OpenTelemetry, and ours beside them.

pub mod metrics;
