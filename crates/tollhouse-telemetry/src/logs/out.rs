//! Where lines go: to stderr, and to a collector once there is one.

use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::Format;
use super::line::Line;
use super::otlp::{encode, is_own};
use crate::otlp::{Exporter, Items};

/// Bytes of lines that are written in one go.
const TOGETHER: usize = 32 << 10;

/// There is nowhere left to tell of an error here.
fn put(text: &str) {
    _ = std::io::stderr().lock().write_all(text.as_bytes());
}

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
        let mut text = line.render(self.format);
        text.push('\n');
        put(&text);
        self.export_line(line);
    }

    /// Writes lines that come together: many of them in one go, each of them whole.
    pub(super) fn write_all<'a>(&self, lines: impl Iterator<Item = Line<'a>>) {
        let mut text = String::new();
        for line in lines {
            text.push_str(&line.render(self.format));
            text.push('\n');
            if text.len() >= TOGETHER {
                put(&text);
                text.clear();
            }
            self.export_line(&line);
        }
        if !text.is_empty() {
            put(&text);
        }
    }

    fn export_line(&self, line: &Line<'_>) {
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
