//! Server-sent events, read and written: the framing of every streamed MCP answer.
//!
//! The reader follows the WHATWG `EventSource` rules byte by byte, because servers do differ: LF, CRLF and CR, a byte
//! order mark, comments between fields, chunks cut anywhere. It deviates where MCP asks for more: an event that
//! carries an id or a `retry` but no data is reported too, since a priming event is just that. And it has a limit,
//! which `EventSource` lacks: an endless line must not become our memory.
//!
//! An event's data is a slice of the chunk it arrived in whenever it lies in there whole, and is copied once
//! otherwise. Data is handed on as bytes: whether they are UTF-8 is for the JSON scanner to say.
//!
//! Path: `upstream/http` → **`sse`** → `scan` on the way in; the same module frames what leaves downstream.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use memchr::{memchr, memchr2};

use crate::units::ByteSize;

/// May stand before the first line of a stream, and only there.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What a line may be longer than the data it carries, so that a payload of exactly the limit still passes.
const LINE_OVERHEAD: usize = BYTE_ORDER_MARK.len() + b"data: ".len();

/// One event of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// The lines of data, joined by LF; empty also if there was no `data` field.
    pub data: Bytes,
    /// The id this event itself carries; an empty one resets what a client would resume from.
    pub id: Option<Box<str>>,
    /// The type, if it is not the default `message`.
    pub event: Option<Box<str>>,
    /// How long to wait before reconnecting, in milliseconds; a number beyond `u64` is its largest value.
    pub retry: Option<u64>,
}

/// Why a stream cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// A line, of whatever kind, outgrew the limit; nothing of its event was delivered.
    #[error("a line of the event stream is longer than {0}")]
    Line(ByteSize),
    /// The fields of one event outgrew the limit together; nothing of it was delivered.
    #[error("an event of the stream is larger than {0}")]
    Event(ByteSize),
}

/// Reads events from the chunks of one stream.
///
/// Push a chunk, take events until there are none, push the next. At the end of the stream just drop it: an event
/// that was not closed by a blank line is none.
#[derive(Debug)]
pub struct Decoder {
    limit: ByteSize,
    /// What of the pushed bytes is still unread.
    chunk: Bytes,
    /// A line that began in an earlier chunk.
    partial: BytesMut,
    /// The last line ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    first_line: bool,
    pending: Pending,
    broken: Option<SseError>,
}

/// The fields of an event whose blank line has not come yet.
#[derive(Debug, Default)]
struct Pending {
    data: Data,
    id: Option<Box<str>>,
    event: Option<Box<str>>,
    retry: Option<u64>,
}

/// The data lines so far. One, the usual case, needs no copy.
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Joined(BytesMut),
}

impl Decoder {
    /// A reader that refuses events with more than `limit` of data, id and type together.
    pub fn new(limit: ByteSize) -> Self {
        Self {
            limit,
            chunk: Bytes::new(),
            partial: BytesMut::new(),
            after_cr: false,
            first_line: true,
            pending: Pending::default(),
            broken: None,
        }
    }

    /// Adds the next bytes of the stream.
    ///
    /// Take all events first: what is still unread is copied in front of `chunk`, which is right but slow.
    pub fn push(&mut self, chunk: impl Into<Bytes>) {
        let chunk = chunk.into();
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            self.chunk = [self.chunk.as_ref(), chunk.as_ref()].concat().into();
        }
    }

    /// Takes the next complete event; `None` when more bytes are needed.
    ///
    /// # Errors
    /// The stream broke the limit. It stays broken: every later call says the same.
    pub fn next_event(&mut self) -> Result<Option<Event>, SseError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let next = self.read();
        if let Err(error) = next {
            self.broken = Some(error);
            self.chunk = Bytes::new();
            self.partial = BytesMut::new();
            self.pending = Pending::default();
        }
        next
    }

    fn read(&mut self) -> Result<Option<Event>, SseError> {
        while let Some(line) = self.take_line()? {
            if !line.is_empty() {
                self.pending.field(&line);
                if self.pending.held() > self.limit.bytes() {
                    return Err(SseError::Event(self.limit));
                }
            } else if let Some(event) = std::mem::take(&mut self.pending).dispatch() {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Takes one line, without its end. A CR ends it at once: waiting for the LF would hold back the event.
    fn take_line(&mut self) -> Result<Option<Bytes>, SseError> {
        if self.after_cr && !self.chunk.is_empty() {
            self.after_cr = false;
            if self.chunk.starts_with(b"\n") {
                self.chunk = self.chunk.slice(1..);
            }
        }
        let end = memchr2(b'\n', b'\r', &self.chunk);
        let here = end.unwrap_or(self.chunk.len());
        if self.partial.len() + here > self.limit.bytes().saturating_add(LINE_OVERHEAD) {
            return Err(SseError::Line(self.limit));
        }
        let Some(end) = end else {
            self.partial.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
            return Ok(None);
        };
        let mut line = self.chunk.split_to(end);
        self.after_cr = self.chunk.starts_with(b"\r");
        self.chunk = self.chunk.slice(1..);
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(&line);
            line = self.partial.split().freeze();
        }
        if self.first_line {
            self.first_line = false;
            if line.starts_with(BYTE_ORDER_MARK) {
                line = line.slice(BYTE_ORDER_MARK.len()..);
            }
        }
        Ok(Some(line))
    }
}

impl Pending {
    /// Notes one field; a comment is a field without a name and, like every unknown one, means nothing.
    fn field(&mut self, line: &Bytes) {
        let colon = memchr(b':', line);
        let value = match colon {
            Some(colon) if line.get(colon + 1) == Some(&b' ') => line.slice(colon + 2..),
            Some(colon) => line.slice(colon + 1..),
            None => Bytes::new(),
        };
        match &line[..colon.unwrap_or(line.len())] {
            b"data" => self.data.add(value),
            b"id" if !value.contains(&0) => self.id = Some(text(&value)),
            b"event" => self.event = (!value.is_empty()).then(|| text(&value)),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let parsed = str::from_utf8(&value).expect("digits are ASCII").parse();
                self.retry = Some(parsed.unwrap_or(u64::MAX));
            }
            _ => {}
        }
    }

    /// The bytes it keeps in memory.
    fn held(&self) -> usize {
        let data = match &self.data {
            Data::None => 0,
            Data::One(line) => line.len(),
            Data::Joined(lines) => lines.len(),
        };
        data + self.id.as_ref().map_or(0, |id| id.len()) + self.event.as_ref().map_or(0, |event| event.len())
    }

    /// The finished event, if it says anything. A type alone does not, as in `EventSource`.
    fn dispatch(self) -> Option<Event> {
        let data = match self.data {
            Data::None if self.id.is_none() && self.retry.is_none() => return None,
            Data::None => Bytes::new(),
            Data::One(line) => line,
            Data::Joined(lines) => lines.freeze(),
        };
        Some(Event { data, id: self.id, event: self.event, retry: self.retry })
    }
}

impl Data {
    fn add(&mut self, line: Bytes) {
        let mut lines = match std::mem::take(self) {
            Self::None => {
                *self = Self::One(line);
                return;
            }
            Self::One(first) => BytesMut::from(first),
            Self::Joined(lines) => lines,
        };
        lines.put_u8(b'\n');
        lines.extend_from_slice(&line);
        *self = Self::Joined(lines);
    }
}

/// A copy of its own, so that an id kept for resuming does not keep a chunk of megabytes alive.
fn text(value: &[u8]) -> Box<str> {
    String::from_utf8_lossy(value).into()
}

impl Event {
    /// An event of the default type that carries `data` alone.
    pub fn message(data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// The same event under an id, from which a client may resume.
    #[must_use]
    pub fn with_id(self, id: impl Into<Box<str>>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// The event as it goes on the wire.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.data.len() + 64);
        self.append_to(&mut out);
        out.freeze()
    }

    /// Writes the event to the end of `out`.
    ///
    /// CR and CRLF in the data arrive as LF, since the format has no other line end inside an event. An id or type
    /// that holds a line end, or an id with NUL, cannot be expressed and is left out.
    pub fn append_to(&self, out: &mut BytesMut) {
        if let Some(id) = self.id.as_deref().filter(|id| !id.contains(['\r', '\n', '\0'])) {
            field(out, b"id: ", id.as_bytes());
        }
        if let Some(event) = self.event.as_deref().filter(|event| !event.contains(['\r', '\n'])) {
            field(out, b"event: ", event.as_bytes());
        }
        if let Some(retry) = self.retry {
            writeln!(out, "retry: {retry}").expect("writing to memory does not fail");
        }
        for line in Lines(Some(&self.data)) {
            field(out, b"data: ", line);
        }
        out.put_u8(b'\n');
    }
}

/// The event that opens a resumable stream: an id to resume from and when to do so, without a message.
pub fn priming(id: &str, retry_ms: u64) -> Bytes {
    Event { retry: Some(retry_ms), ..Event::default() }.with_id(id).encode()
}

/// A comment, which readers drop: keeps an idle connection alive.
pub fn comment(text: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(text.len() + 4);
    for line in Lines(Some(text.as_bytes())) {
        field(&mut out, b": ", line);
    }
    out.put_u8(b'\n');
    out.freeze()
}

fn field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 1);
    out.put_slice(name);
    out.put_slice(value);
    out.put_u8(b'\n');
}

/// The lines of a text, split at LF, CRLF and CR; there is always one, if only an empty one.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.0.take()?;
        let Some(end) = memchr2(b'\n', b'\r', text) else { return Some(text) };
        let (line, rest) = text.split_at(end);
        self.0 = rest.strip_prefix(b"\r\n").or_else(|| rest.get(1..));
        Some(line)
    }
}

#[cfg(test)]
mod tests;
