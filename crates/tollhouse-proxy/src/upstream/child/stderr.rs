//! Reads a child's standard error from its first moment to its last: a pipe nobody empties stops the child after
//! 64 KiB. What it says goes to the log, and its end is kept for error messages.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use memchr::memchr;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tollhouse_core::ids::ServerId;
use tollhouse_core::redact;
use tracing::{debug, enabled};

/// Text kept: some hundred lines, more than a stack trace.
const RING: usize = 64 << 10;

/// What is kept of one line. Longer ones are data, not messages for people.
const LINE: usize = 4 << 10;

/// The end of what a child wrote to its standard error.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Arc<Mutex<Ring>>);

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<String>,
    /// The text of `lines`.
    bytes: usize,
    /// The line not yet ended, up to [`LINE`] of it.
    open: Vec<u8>,
    /// What it had beyond that.
    cut: usize,
}

impl Tail {
    /// The last `n` lines, oldest first; among them one without an end, such as a prompt.
    pub(super) fn last(&self, n: usize) -> Vec<String> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = (!ring.open.is_empty()).then(|| readable(&ring.open, ring.cut));
        let whole = n.saturating_sub(usize::from(open.is_some())).min(ring.lines.len());
        ring.lines.range(ring.lines.len() - whole..).cloned().chain(open).take(n).collect()
    }

    /// Adds what was read. Gives each line it ends to `ended`.
    fn add(&self, mut bytes: &[u8], mut ended: impl FnMut(&str)) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(at) = memchr(b'\n', bytes) {
            ring.extend(&bytes[..at]);
            ring.end(&mut ended);
            bytes = &bytes[at + 1..];
        }
        ring.extend(bytes);
    }

    /// Ends the last line, if it had no end.
    fn close(&self, mut ended: impl FnMut(&str)) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !ring.open.is_empty() {
            ring.end(&mut ended);
        }
    }
}

impl Ring {
    fn extend(&mut self, bytes: &[u8]) {
        let room = LINE - self.open.len();
        let (kept, cut) = bytes.split_at(bytes.len().min(room));
        self.open.extend_from_slice(kept);
        self.cut += cut.len();
    }

    fn end(&mut self, ended: &mut impl FnMut(&str)) {
        let line = readable(&self.open, self.cut);
        self.open.clear();
        self.cut = 0;
        ended(&line);
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > RING
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= oldest.len();
        }
        // Empty lines weigh nothing; they are bounded all the same.
        self.lines.drain(..self.lines.len().saturating_sub(RING / 8));
    }
}

/// Reads until the end of the stream, or an error, which is the same to us.
pub(super) async fn drain(server: ServerId, mut io: impl AsyncRead + Unpin, tail: Tail) {
    let log =
        |line: &str| debug!(target: "tollhouse.server", server = %server, line, "server wrote to its standard error");
    let quiet = |_: &str| {};
    let mut chunk = vec![0; 8 << 10];
    while let Ok(count @ 1..) = io.read(&mut chunk).await {
        if enabled!(target: "tollhouse.server", tracing::Level::DEBUG) {
            tail.add(&chunk[..count], log);
        } else {
            tail.add(&chunk[..count], quiet);
        }
    }
    tail.close(log);
}

/// As text that is safe in a terminal, a log line and a page: what is not UTF-8 replaced, what would move the
/// cursor or turn the direction of writing made visible, secrets taken out.
fn readable(bytes: &[u8], cut: usize) -> String {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let mut text = String::with_capacity(bytes.len());
    for character in String::from_utf8_lossy(bytes).chars() {
        let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if turns || (character.is_control() && character != '\t') {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    if let Cow::Owned(clean) = redact::text(&text) {
        text = clean;
    }
    if cut > 0 {
        write!(text, "… (and {cut} bytes)").expect("a String takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(pieces: &[&[u8]]) -> Tail {
        let tail = Tail::default();
        for piece in pieces {
            tail.add(piece, |_| {});
        }
        tail
    }

    #[test]
    fn the_last_lines_are_kept_with_one_that_has_no_end() {
        let tail = tail(&[b"one\ntw", b"o\r\nthr", b"ee\nPassword: "]);
        assert_eq!(tail.last(3), ["two", "three", "Password: "]);
        assert_eq!(tail.last(1), ["Password: "]);
        assert_eq!(tail.last(0), [""; 0]);
        tail.close(|_| {});
        assert_eq!(tail.last(9), ["one", "two", "three", "Password: "]);
    }

    #[test]
    fn secrets_that_a_server_prints_are_not_kept() {
        let [line] = &tail(&[b"401 for https://u:hunter2@host/x?api_key=hunter3 token=hunter4\n"]).last(1)[..] else {
            panic!("one line")
        };
        assert!(!line.contains("hunter") && line.starts_with("401 for https://host/x token=[REDACTED:"), "{line}");
    }

    #[test]
    fn what_could_act_on_a_terminal_is_made_visible() {
        let tail = tail(&[b"\x1b[31mred\x07 \xff\tok \xe2\x80\xae\n"]);
        assert_eq!(tail.last(1), ["\\u{1b}[31mred\\u{7} \u{fffd}\tok \\u{202e}"]);
    }

    #[test]
    fn memory_stays_bounded_for_one_endless_line_and_for_many_short_ones() {
        let endless = tail(&[&b"x".repeat(100_000)]);
        assert_eq!(endless.last(1), [format!("{}… (and {} bytes)", "x".repeat(LINE), 100_000 - LINE)]);

        let many = tail(&[&b"0123456789\n".repeat(100_000)]);
        let kept: usize = many.last(usize::MAX).iter().map(String::len).sum();
        assert!((RING - 10..=RING).contains(&kept), "{kept}");

        let empty = tail(&[&b"\n".repeat(1_000_000)]);
        assert!(empty.last(usize::MAX).len() <= RING / 8);
    }
}
