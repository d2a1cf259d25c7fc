//! Log lines: one per call, and what happens beside calls.
//!
//! Lines go to stderr, because stdout may carry the protocol. Each is written whole, under stderr's lock. A line is
//! JSON for a collector or text for a person at a terminal; both hold the same, but the text of a call is short.
//! Names that callers choose are shortened and cannot break a line.
//!
//! Diagnostic events come through [`tracing`]; the line of a call is made by the pipeline from its record, so that
//! it says what became of the call and costs the call nothing.
//!
//! Path: `tracing::info!` or `pipeline` → **`logs`** → stderr, and `otlp` where that is asked for.
//!
//! `MCP_LOG_LEVEL` is a level (`debug`, `info`, `warning`, `error`, `critical`, `off`) or a list of levels per module
//! (`info,tollhouse_proxy.upstream=debug`); `MCP_LOG_FORMAT` is `json`, `text` or `auto`.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use tollhouse_core::fault;
use tollhouse_core::record::{CallRecord, Outcome, Principal, clip};
use tollhouse_core::trace::Hex;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::otlp::Exporter;

use line::{Exception, Line, Location, Value};
use out::Out;

mod content;
mod events;
mod filter;
mod line;
mod otlp;
mod out;

#[cfg(test)]
mod tests;

/// The logger of the lines of calls, as it stands in filters.
const CALL_TARGET: &str = "tollhouse::call";

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object, for collectors.
    Json,
    /// `time - logger - LEVEL - message`, for people.
    Text,
}

impl Format {
    /// The format of that name; `auto` is text where stderr is a terminal, else JSON.
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            "auto" => Some(Self::auto()),
            _ => None,
        }
    }

    /// Text where stderr is a terminal, else JSON.
    pub fn auto() -> Self {
        if std::io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// Where lines go, from [`init`] on.
#[derive(Debug, Clone)]
pub struct Log {
    filter: Targets,
    out: Out,
}

/// Sends diagnostic events and panics to stderr, for the rest of the process.
///
/// A `level` that cannot be read is taken for `info`, and the first line warns of it.
///
/// # Errors
/// Something else receives the events of this process already.
pub fn init(level: &str, format: Format) -> Result<Log, tracing::subscriber::SetGlobalDefaultError> {
    let filter = filter::parse(level);
    let readable = filter.is_some();
    let out = Out::new(format);
    let log = Log { filter: filter.unwrap_or_else(filter::fallback), out: out.clone() };
    let lines = out.clone();
    let events = events::Events::new(move |line: &Line<'_>| lines.write(line));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(log.filter.clone()).with(events))?;
    std::panic::set_hook(Box::new(move |panic| out.write(&panic_line(panic, format))));
    if !readable {
        tracing::warn!(value = level, "MCP_LOG_LEVEL names no level and no filter; lines are written from info up");
    }
    Ok(log)
}

impl Log {
    /// Writes the lines of finished calls whose level passes the filter under the name `tollhouse.call`.
    pub fn calls(&self, records: &[CallRecord]) {
        let wanted = |record: &&CallRecord| self.filter.would_enable(CALL_TARGET, &level_of(&record.outcome));
        let format = self.out.format();
        self.out.write_all(records.iter().filter(wanted).map(|record| call_line(record, format)));
    }

    /// Tells a collector of lines what a call carried, if that was captured. It is no line: content is for collectors that
    /// are meant to have it.
    pub fn content(&self, record: &CallRecord) {
        if let Some(event) = content::event(record) {
            self.out.tell(&event);
        }
    }

    /// From now on lines go to a collector as well; once only.
    pub fn export(&self, exporter: Exporter) {
        self.out.export(exporter);
    }
}

/// The line of one finished call. It holds the shape of the arguments, never their values.
fn call_line(record: &CallRecord, format: Format) -> Line<'_> {
    let trace = &record.trace;
    let mut line = Line {
        at: record.received_at + record.times.done,
        level: level_of(&record.outcome),
        logger: CALL_TARGET,
        event: None,
        message: call_message(record),
        location: Some(Location { file: file!(), line: line!(), function: Some(module_path!()) }),
        request_id: Some(record.id.to_string()),
        user_id: match record.principal {
            Principal::Anonymous => None,
        },
        trace_id: Some(Hex(&trace.trace_id).to_string()),
        // Where no spans of ours leave, the caller's is the one that can be looked up.
        span_id: [record.span, trace.parent].iter().find(|id| **id != [0; 8]).map(|id| Hex(id).to_string()),
        exception: None,
        extra: Vec::new(),
    };
    match format {
        Format::Json => line.extra = call_extra(record),
        Format::Text => {
            line.extra.extend(record.outcome.error_type().map(|text| ("error_type", Value::Text(text))));
        }
    }
    line
}

/// `tools/call files.read - ok - 15.23ms`
fn call_message(record: &CallRecord) -> String {
    let mut message = clip(&record.method).into_owned();
    let subject = record.subject();
    match (&record.server, subject) {
        (Some(server), Some(subject)) => {
            // Aggregated names begin with their server; one mention is enough.
            let own = subject.strip_prefix(server.as_str()).and_then(|rest| rest.strip_prefix("__"));
            let local = own.unwrap_or(&subject);
            write!(message, " {server}.{local}")
        }
        (Some(server), None) => write!(message, " {server}"),
        (None, Some(subject)) => write!(message, " {subject}"),
        (None, None) => Ok(()),
    }
    .expect("writing to memory does not fail");
    let micros = record.times.done.as_micros();
    let (whole, hundredths) = (micros / 1000, micros % 1000 / 10);
    write!(message, " - {} - {whole}.{hundredths:02}ms", record.outcome.as_str()).expect("as above");
    message
}

fn call_extra(record: &CallRecord) -> Vec<(&'static str, Value<'_>)> {
    fn text(text: &str) -> Value<'_> {
        Value::Text(text.into())
    }
    let mut extra = Vec::with_capacity(24);
    extra.extend(record.server.as_ref().map(|server| ("server", text(server.as_str()))));
    let kind = match &*record.method {
        "tools/call" => "tool",
        "prompts/get" => "prompt",
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "resource",
        _ => "name",
    };
    extra.extend(record.subject().map(|subject| (kind, Value::Text(subject))));
    extra.extend([
        ("method", Value::Text(clip(&record.method))),
        ("jsonrpc_id", Value::Text(clip(&record.request_id))),
        ("session", Value::Text(clip(&record.session.id))),
        ("session_source", text(record.session.source.key().unwrap_or(record.session.source.as_str()))),
        ("session_confidence", text(record.session.source.confidence().as_str())),
        ("era", text(record.era.as_str())),
        ("version", text(record.version.as_str())),
    ]);
    extra.extend(record.hints.iter().map(|hint| (hint.key, Value::Text(clip(&hint.value)))));
    extra.extend(record.client.as_ref().map(|client| ("client", Value::Text(clip(client)))));
    extra.push(("outcome", text(record.outcome.as_str())));
    extra.extend(record.outcome.error_type().map(|error| ("error_type", Value::Text(error))));
    if let Outcome::Refused { fault, .. } = record.outcome {
        extra.push(("fault", text(fault.kind.as_str())));
    }
    let bytes = &record.bytes;
    extra.extend([
        ("attempts", Value::Raw(record.attempts.count().to_string())),
        ("bytes", Value::Raw(format!(r#"{{"request":{},"response":{}}}"#, bytes.request, bytes.response))),
        ("times_ms", Value::Raw(times(record))),
    ]);
    extra.extend(record.seen.shape.as_deref().map(|shape| ("arguments", text(shape))));
    extra
}

fn times(record: &CallRecord) -> String {
    let millis = |time: Duration| format!("{}.{:03}", time.as_micros() / 1000, time.as_micros() % 1000);
    let times = &record.times;
    let first = times.first_response.map(|first| format!(r#","first_response":{}"#, millis(first)));
    format!(
        r#"{{"total":{},"gateway":{},"upstream":{}{}}}"#,
        millis(times.done),
        millis(times.gateway()),
        millis(times.upstream()),
        first.unwrap_or_default()
    )
}

/// Error: someone must look what became of the call. Warning: it was not served, and that is all.
fn level_of(outcome: &Outcome) -> Level {
    match outcome {
        Outcome::Ok | Outcome::ToolError | Outcome::InputRequired | Outcome::Task => Level::INFO,
        Outcome::Error { .. } | Outcome::Refused { .. } => Level::WARN,
        Outcome::Failed(fault) if fault.kind == fault::Kind::Cancelled => Level::INFO,
        Outcome::Failed(fault) if fault.not_executed() => Level::WARN,
        Outcome::Failed(_) => Level::ERROR,
    }
}

/// The line of a panic. A message put together at run time is withheld: it may hold what a caller sent.
fn panic_line<'a>(panic: &'a std::panic::PanicHookInfo<'_>, format: Format) -> Line<'a> {
    let literal = panic.payload().downcast_ref::<&'static str>().copied();
    let backtrace = std::backtrace::Backtrace::capture();
    // Asked for by `RUST_BACKTRACE`; far too long for a line of text.
    let wanted = format == Format::Json && backtrace.status() == std::backtrace::BacktraceStatus::Captured;
    let backtrace = if wanted { backtrace.to_string() } else { String::new() };
    let location = panic.location();
    Line {
        at: tollhouse_core::clock::wall(),
        level: Level::ERROR,
        logger: "tollhouse::panic",
        event: None,
        message: format!("panic in thread {}", std::thread::current().name().unwrap_or("without a name")),
        location: location.map(|at| Location { file: at.file(), line: at.line(), function: None }),
        request_id: None,
        user_id: None,
        trace_id: None,
        span_id: None,
        exception: Some(Exception {
            kind: "panic".to_owned(),
            message: literal.unwrap_or("message withheld, it may hold data").to_owned(),
            traceback: backtrace.lines().map(|frame| frame.trim().to_owned()).collect(),
        }),
        extra: Vec::new(),
    }
}
