//! W3C trace context: `traceparent`, `tracestate`, `baggage`.

/// The trace a call belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// 16 bytes, never all zero.
    pub trace_id: [u8; 16],
    /// The caller's span; all zero if the trace starts here.
    pub parent: [u8; 8],
    /// The flags byte; bit 0 is *sampled*.
    pub flags: u8,
}
