//! One log line: what it may hold, and how that is written.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::SystemTime;

use tracing::Level;

use super::Format;
use crate::civil::Civil;

/// Everything a line can say, in the order in which it is written.
pub(super) struct Line<'a> {
    pub(super) at: SystemTime,
    pub(super) level: Level,
    /// A module path; it is shown with dots.
    pub(super) logger: &'a str,
    /// What happened, by its name among events; a line of text is for people and has none.
    pub(super) event: Option<String>,
    pub(super) message: String,
    pub(super) location: Option<Location<'a>>,
    pub(super) request_id: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) trace_id: Option<String>,
    pub(super) span_id: Option<String>,
    pub(super) exception: Option<Exception>,
    pub(super) extra: Vec<(&'static str, Value<'a>)>,
}

/// Where in the source a line comes from.
pub(super) struct Location<'a> {
    pub(super) file: &'a str,
    pub(super) line: u32,
    /// The module path.
    pub(super) function: Option<&'a str>,
}

/// An error and what led to it.
pub(super) struct Exception {
    pub(super) kind: String,
    pub(super) message: String,
    pub(super) traceback: Vec<String>,
}

/// The value of one of the other fields.
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    /// Written as it is: a JSON value of our own making.
    Raw(String),
}

impl Line<'_> {
    /// The line, without its end. Whatever its parts hold, it is one line.
    pub(super) fn render(&self, format: Format) -> String {
        match format {
            Format::Json => self.json(),
            Format::Text => self.text(),
        }
    }

    fn json(&self) -> String {
        let mut text = String::with_capacity(1024);
        let mut json = Object::new(&mut text);
        json.text("timestamp", &Civil::new(self.at).iso());
        json.text("level", self.level());
        json.text("logger", &self.logger());
        json.text("message", &self.message);
        if let Some(Location { file, line, function }) = &self.location {
            json.object("location", |location| {
                location.text("file", file);
                location.raw("line", &line.to_string());
                if let Some(function) = function {
                    location.text("function", function);
                }
            });
        }
        let ids = [
            ("request_id", &self.request_id),
            ("user_id", &self.user_id),
            ("trace_id", &self.trace_id),
            ("span_id", &self.span_id),
        ];
        for (key, id) in ids.iter().filter_map(|(key, id)| Some((key, id.as_ref()?))) {
            json.text(key, id);
        }
        if let Some(Exception { kind, message, traceback }) = &self.exception {
            let causes: Vec<String> = traceback.iter().map(|cause| quoted(cause)).collect();
            json.object("exception", |exception| {
                exception.text("type", kind);
                exception.text("message", message);
                exception.raw("traceback", &format!("[{}]", causes.join(",")));
            });
        }
        if !self.extra.is_empty() || self.event.is_some() {
            json.object("extra", |extra| {
                if let Some(event) = &self.event {
                    extra.text("event", event);
                }
                for (key, value) in &self.extra {
                    match value {
                        Value::Text(text) => extra.text(key, text),
                        Value::Raw(value) => extra.raw(key, value),
                    }
                }
            });
        }
        json.end();
        text
    }

    fn text(&self) -> String {
        let (at, logger, level) = (Civil::new(self.at).plain(), self.logger(), self.level());
        let mut text = format!("{at} - {logger} - {level} - {}", one_line(&self.message));
        for (key, value) in &self.extra {
            match value {
                Value::Text(value) if is_plain(value) => write!(text, " {key}={value}"),
                Value::Text(value) => write!(text, " {key}={}", quoted(value)),
                Value::Raw(value) => write!(text, " {key}={value}"),
            }
            .expect("writing to memory does not fail");
        }
        if let Some(Exception { message, traceback, .. }) = &self.exception {
            for cause in std::iter::once(message).chain(traceback) {
                text.push_str(": ");
                text.push_str(&one_line(cause));
            }
        }
        text
    }

    fn logger(&self) -> Cow<'_, str> {
        if self.logger.contains(':') { self.logger.replace("::", ".").into() } else { self.logger.into() }
    }

    fn level(&self) -> &'static str {
        match self.level {
            Level::TRACE | Level::DEBUG => "DEBUG",
            Level::INFO => "INFO",
            Level::WARN => "WARNING",
            Level::ERROR => "ERROR",
        }
    }
}

/// A JSON object in the making, with its members in the order they are added. Keys are ours and need no escapes.
struct Object<'t> {
    text: &'t mut String,
    empty: bool,
}

impl<'t> Object<'t> {
    fn new(text: &'t mut String) -> Self {
        text.push('{');
        Self { text, empty: true }
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        // Nearly all values are plain.
        if value.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.text.extend(["\"", value, "\""]);
        } else {
            self.text.push_str(&quoted(value));
        }
    }

    fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.text.push_str(value);
    }

    fn object(&mut self, key: &str, members: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        let mut inner = Object::new(self.text);
        members(&mut inner);
        inner.end();
    }

    fn key(&mut self, key: &str) {
        if !self.empty {
            self.text.push(',');
        }
        self.empty = false;
        self.text.extend(["\"", key, "\":"]);
    }

    fn end(self) {
        self.text.push('}');
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("every text can be written as JSON")
}

/// May a value stand in a line of text without quotes?
fn is_plain(value: &str) -> bool {
    !value.is_empty() && !value.contains(|letter: char| letter.is_control() || " \"\\=".contains(letter))
}

/// The text with control characters escaped, so that it neither ends the line nor commands the terminal.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    line
}
