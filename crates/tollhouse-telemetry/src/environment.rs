//! The variables of OpenTelemetry, and ours beside them.
