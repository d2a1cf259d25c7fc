//! Where lines go: to stderr, and to a collector once there is one.

use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::Format;
use super::line::Line;
use super::otlp::{encode, is_own};
use crate::otlp::{Exporter, Items};

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Out {
    format: Format,
    exporter: Arc<OnceLock<Exporter>>,
}

impl Out {
    pub(super) fn new(format: Format) -> Self {
        Self { format, exporter: Arc::default() }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// From now on lines go to a collector as well. The first call counts.
    pub(super) fn export(&self, exporter: Exporter) {
        _ = self.exporter.set(exporter);
    }

    pub(super) fn write(&self, line: &Line<'_>) {
        let text = line.render(self.format);
        // There is nowhere left to tell of an error here.
        _ = std::io::stderr().lock().write_all(format!("{text}\n").as_bytes());
        // What the export itself says would be exported for ever.
        if self.exporter.get().is_some() && !is_own(line.logger) {
            self.tell(&encode(line));
        }
    }

    /// Tells the collector, if there is one.
    pub(super) fn tell(&self, record: &LogRecord) {
        if let Some(exporter) = self.exporter.get() {
            let mut items = Items::new(false);
            items.push(record);
            exporter.offer(items);
        }
    }
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out").field("format", &self.format).field("exports", &self.exporter.get().is_some()).finish()
    }
}
