//! Sends what was made of calls to a collector, in the words of OTLP.
//!
//! One [`Exporter`] a signal. Whoever has something to tell puts it down as [`Items`] and goes on; the exporter puts
//! items together to requests, compresses, sends and repeats them. What finds no room or no collector is dropped and
//! counted by its reason; nothing waits for it.
//!
//! The three signals differ in paths and in nothing else: their messages have the same shape down to the numbers of
//! the fields, an item is the second field of the scope, that the second of the resource, that the first of the
//! request. So items are encoded where they are made, and are only framed here.
//!
//! The sender is ours: the SDK's exports one batch after the other from a queue of 2,048 spans and tells of drops at
//! the end. It speaks gRPC itself too, on hyper, since one unary call is a message behind five bytes and a status in
//! the trailers, and tonic with tower would weigh more than all of this.
//!
//! Path: `pipeline` → `spans` and the other encoders → **`otlp`** → the collector.

use std::fmt;

pub use counts::{Counts, Reason};
pub use exporter::{Batching, Exporter};
pub use items::{Items, Resource};
pub use transport::{Protocol, Tls, Transport, TransportError};

mod exporter;
mod queue;
mod delivery;
mod json;
mod wire;
mod transport;
mod counts;
mod items;

/// What is told of: each has its own endpoint, queue and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// The word of labels and paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// The word in names of variables.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
        }
    }

    /// Where HTTP requests go, below the base of an endpoint.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }

    /// Where gRPC requests go.
    fn method(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
