//! JSON without secrets, and short enough, that is still JSON.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::keys::sensitive;
use super::{LEN_MAX, mark, text};
use crate::wire::members::text as unquoted;

/// Deeper values are replaced.
const DEPTH_MAX: usize = 64;
/// Strings are first shortened to this many bytes, then to less.
const STRINGS: [usize; 3] = [1024, 256, 64];
/// What stands for members and elements that were left out; its value is how many.
const LEFT_OUT: &str = "__truncated__";

/// What came of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// JSON; `null` if the text was none.
    pub json: String,
    /// Secrets that were replaced.
    pub redactions: usize,
    /// Something was left out because it was too long.
    pub truncated: bool,
}

/// A value with what must stand in it, and no more.
enum Node {
    /// A number or a word, as it stood.
    Plain(String),
    Text(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// The JSON text `raw` without secrets, in at most `max` bytes, which are 64 at least.
pub fn json(raw: &[u8], max: usize) -> Redacted {
    let max = max.max(64);
    if raw.len() > LEN_MAX {
        let instead = quoted(&mark("length", &String::from_utf8_lossy(raw)));
        return Redacted { json: instead, redactions: 1, truncated: true };
    }
    let mut reader = Reader { raw, at: 0, redactions: 0 };
    let Some(mut node) = reader.value(0).filter(|_| reader.is_over()) else {
        return Redacted { json: "null".to_owned(), redactions: reader.redactions, truncated: false };
    };
    let redactions = reader.redactions;
    let mut whole = written(&node);
    let truncated = whole.len() > max;
    for longest in STRINGS {
        if whole.len() <= max {
            break;
        }
        shorten(&mut node, longest);
        whole = written(&node);
    }
    if whole.len() > max {
        whole.clear();
        fit(&node, max, &mut whole);
    }
    Redacted { json: whole, redactions, truncated }
}

struct Reader<'a> {
    raw: &'a [u8],
    at: usize,
    redactions: usize,
}

impl Reader<'_> {
    fn blank(&mut self) {
        while self.raw.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn is_over(&mut self) -> bool {
        self.blank();
        self.at == self.raw.len()
    }

    fn takes(&mut self, byte: u8) -> bool {
        self.blank();
        let takes = self.raw.get(self.at) == Some(&byte);
        self.at += usize::from(takes);
        takes
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.blank();
        match self.raw.get(self.at)? {
            b'"' => Some(Node::Text(self.clean()?)),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            _ => {
                let start = self.at;
                let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                while self.raw.get(self.at).is_some_and(plain) {
                    self.at += 1;
                }
                let word = std::str::from_utf8(&self.raw[start..self.at]).ok()?;
                let number = word.starts_with(|first: char| first == '-' || first.is_ascii_digit());
                // The number of a card may stand there as a number.
                let found = text(word);
                if number && found != word {
                    self.redactions += 1;
                    return Some(Node::Text(found.into_owned()));
                }
                (number || matches!(word, "true" | "false" | "null")).then(|| Node::Plain(word.to_owned()))
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Node> {
        self.at += 1;
        let mut elements = Vec::new();
        if self.takes(b']') {
            return Some(Node::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            if self.takes(b']') {
                return Some(Node::Array(elements));
            }
            if !self.takes(b',') {
                return None;
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Node> {
        self.at += 1;
        let mut members = Vec::new();
        if self.takes(b'}') {
            return Some(Node::Object(members));
        }
        loop {
            self.blank();
            let name = self.string()?.into_owned();
            if !self.takes(b':') {
                return None;
            }
            self.blank();
            let (start, before) = (self.at, self.redactions);
            let mut value = self.value(depth + 1)?;
            let void = matches!(&value, Node::Plain(word) if word == "null");
            if sensitive(&name) && !void {
                let whole = match &value {
                    Node::Text(found) if found.starts_with(super::MARK) => None,
                    _ => Some(String::from_utf8_lossy(&self.raw[start..self.at])),
                };
                if let Some(whole) = whole {
                    value = Node::Text(mark("key", &whole));
                }
                self.redactions = before + 1;
            }
            // What is a secret may stand on the left side, too.
            let shown = text(&name);
            self.redactions += usize::from(shown != name);
            members.push((shown.into_owned(), value));
            if self.takes(b'}') {
                return Some(Node::Object(members));
            }
            if !self.takes(b',') {
                return None;
            }
        }
    }

    /// A string without secrets.
    fn clean(&mut self) -> Option<String> {
        let found = self.string()?.into_owned();
        let clean = text(&found);
        self.redactions += usize::from(clean != found);
        Some(clean.into_owned())
    }

    fn string(&mut self) -> Option<Cow<'_, str>> {
        let start = self.at;
        if self.raw.get(start) != Some(&b'"') {
            return None;
        }
        let mut at = start + 1;
        loop {
            match self.raw.get(at)? {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.at = at + 1;
        unquoted(&self.raw[start..=at])
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if control < ' ' => write!(out, "\\u{:04x}", u32::from(control)).expect("memory takes it"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

fn written(node: &Node) -> String {
    match node {
        Node::Plain(word) => word.clone(),
        Node::Text(text) => quoted(text),
        Node::Array(elements) => format!("[{}]", elements.iter().map(written).collect::<Vec<_>>().join(",")),
        Node::Object(members) => {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("{}:{}", quoted(name), written(value))).collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

/// Shortens strings to `longest` bytes.
fn shorten(node: &mut Node, longest: usize) {
    match node {
        Node::Text(text) if text.len() > longest => {
            text.truncate(text.floor_char_boundary(longest));
            text.push('…');
        }
        Node::Plain(_) | Node::Text(_) => {}
        Node::Array(elements) => elements.iter_mut().for_each(|element| shorten(element, longest)),
        Node::Object(members) => {
            for (name, value) in members {
                name.truncate(name.floor_char_boundary(longest));
                shorten(value, longest);
            }
        }
    }
}

/// Room for the mark of what was left out, with its brackets.
const RESERVED: usize = 40;

/// Writes as much of `node` as fits into `room` bytes, of which there are 48 at least.
fn fit(node: &Node, room: usize, out: &mut String) {
    let whole = written(node);
    if whole.len() <= room {
        return out.push_str(&whole);
    }
    let begin = out.len();
    let left = |out: &String| room.saturating_sub(out.len() - begin);
    match node {
        Node::Plain(_) | Node::Text(_) => out.push_str(&quoted("…")),
        Node::Array(elements) => {
            out.push('[');
            for (at, element) in elements.iter().enumerate() {
                let next = written(element);
                if next.len() + RESERVED > left(out) {
                    if left(out) > 2 * RESERVED + 48 && next.len() > 48 {
                        let rest = left(out) - RESERVED;
                        fit(element, rest, out);
                        out.push(',');
                        write!(out, "{{\"{LEFT_OUT}\":{}}}", elements.len() - at - 1).expect("memory takes it");
                    } else {
                        write!(out, "{{\"{LEFT_OUT}\":{}}}", elements.len() - at).expect("memory takes it");
                    }
                    break;
                }
                out.push_str(&next);
                if at + 1 < elements.len() {
                    out.push(',');
                }
            }
            out.push(']');
        }
        Node::Object(members) => {
            out.push('{');
            for (at, (name, value)) in members.iter().enumerate() {
                let next = format!("{}:{}", quoted(name), written(value));
                if next.len() + RESERVED > left(out) {
                    let name = quoted(name);
                    if left(out) > 2 * RESERVED + 48 + name.len() && next.len() > 48 + name.len() {
                        out.push_str(&name);
                        out.push(':');
                        let rest = left(out) - RESERVED;
                        fit(value, rest, out);
                        out.push(',');
                        write!(out, "\"{LEFT_OUT}\":{}", members.len() - at - 1).expect("memory takes it");
                    } else {
                        write!(out, "\"{LEFT_OUT}\":{}", members.len() - at).expect("memory takes it");
                    }
                    break;
                }
                out.push_str(&next);
                if at + 1 < members.len() {
                    out.push(',');
                }
            }
            out.push('}');
        }
    }
}
