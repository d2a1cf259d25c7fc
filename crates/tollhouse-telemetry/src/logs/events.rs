//! From a `tracing` event to a line.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use tollhouse_core::clock;
use tollhouse_core::context::{self, Current};
use tollhouse_core::redact;
use tollhouse_core::trace::Hex;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::line::{Exception, Line, Location, Value};

/// Errors have causes, but hardly more; a longer chain is a cycle.
const CAUSES_MAX: usize = 32;

/// Writes each event as a line.
pub(super) struct Events<W>(W);

impl<W: Fn(&Line<'_>)> Events<W> {
    /// Hands each line to `write`.
    pub(super) fn new(write: W) -> Self {
        Self(write)
    }
}

impl<S: Subscriber, W: Fn(&Line<'_>) + 'static> Layer<S> for Events<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { event, message, mut request_id, user_id, mut trace_id, mut span_id, exception, extra } = fields;
        if let Some(Current { call, trace_id: trace, span_id: span }) = context::current() {
            request_id.get_or_insert_with(|| call.to_string());
            trace_id.get_or_insert_with(|| Hex(&trace).to_string());
            if span != [0; 8] {
                span_id.get_or_insert_with(|| Hex(&span).to_string());
            }
        }
        let location = metadata.file().zip(metadata.line()).map(|(file, line)| Location {
            file,
            line,
            function: metadata.module_path(),
        });
        let line = Line {
            at: clock::wall(),
            level: *metadata.level(),
            logger: metadata.target(),
            event,
            message,
            location,
            request_id,
            user_id,
            trace_id,
            span_id,
            exception,
            extra,
        };
        (self.0)(&line);
    }
}

/// The fields of one event, sorted by what they mean.
#[derive(Default)]
struct Fields {
    event: Option<String>,
    message: String,
    request_id: Option<String>,
    user_id: Option<String>,
    trace_id: Option<String>,
    span_id: Option<String>,
    exception: Option<Exception>,
    extra: Vec<(&'static str, Value<'static>)>,
}

impl Fields {
    /// Whatever is logged may hold what others said.
    fn text(&mut self, field: &Field, text: String) {
        let text = clean(text);
        match field.name() {
            "message" => self.message = text,
            "event" => self.event = Some(text),
            "request_id" => self.request_id = Some(text),
            "user_id" => self.user_id = Some(text),
            "trace_id" => self.trace_id = Some(text),
            "span_id" => self.span_id = Some(text),
            name => self.extra.push((plain(name), Value::Text(text.into()))),
        }
    }

    fn raw(&mut self, field: &Field, json: String) {
        self.extra.push((plain(field.name()), Value::Raw(json)));
    }
}

/// Without secrets.
fn clean(text: String) -> String {
    match redact::text(&text) {
        Cow::Owned(clean) => clean,
        Cow::Borrowed(_) => text,
    }
}

/// A field's name without the marks Rust needs.
fn plain(name: &'static str) -> &'static str {
    name.strip_prefix("r#").unwrap_or(name)
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.raw(field, value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.raw(field, value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.raw(field, value.to_string());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no name for what is no number.
        if value.is_finite() { self.raw(field, value.to_string()) } else { self.text(field, value.to_string()) }
    }

    fn record_error(&mut self, _: &Field, value: &(dyn Error + 'static)) {
        let causes = std::iter::successors(value.source(), |&cause| cause.source());
        // An error behind `dyn` has lost its type; what `Debug` begins with is its name or its variant's.
        let debug = format!("{value:?}");
        let kind = debug.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or_default();
        self.exception = Some(Exception {
            kind: if kind.is_empty() { "Error" } else { kind }.to_owned(),
            message: clean(value.to_string()),
            traceback: causes.take(CAUSES_MAX).map(|cause| clean(cause.to_string())).collect(),
        });
    }
}
