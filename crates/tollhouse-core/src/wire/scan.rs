//! Validates a JSON text in one pass and reports the members of its outermost object.
//!
//! Strict by RFC 8259: what this accepts, every conforming parser accepts, so that nothing behind the gateway sees
//! another document than the gateway did. A subtree that is skipped is not a checked one; therefore the whole body
//! passes here once, without recursion, with a bound on nesting. Lone surrogates written as escapes are accepted:
//! the grammar allows them and the bytes pass on as they are; where a string is read, [`super::members::text`]
//! refuses them.
//!
//! Long strings are where the time goes: see `plain`.

use super::members::Span;
use super::plain::plain_end;

/// The deepest nesting accepted of a client. Arguments that need more are broken or an attack.
pub const MAX_DEPTH: usize = 128;
/// The deepest nesting accepted of a server: what it lists is for its clients, and one odd schema must not cost them the
/// whole list.
pub const MAX_SERVER_DEPTH: usize = 10_000;
/// Brackets that one word holds.
const WORD: usize = 128;

/// Why a text is refused, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// Nothing but white space.
    #[error("the body is empty")]
    Empty,
    /// Not UTF-8.
    #[error("not UTF-8 at byte {at}")]
    Utf8 {
        /// The first bad byte.
        at: usize,
    },
    /// Not JSON.
    #[error("not JSON at byte {at}")]
    Syntax {
        /// Where the grammar was left.
        at: usize,
    },
    /// Nested deeper than allowed.
    #[error("nested deeper than {limit} levels at byte {at}")]
    Depth {
        /// How deep it may be.
        limit: usize,
        /// The bracket that is one too many.
        at: usize,
    },
}

/// What the outermost value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Top {
    /// An object; its members were reported.
    Object,
    /// An array: a batch.
    Array,
    /// A string, number or literal.
    Scalar,
}

/// Where a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// In the outermost object.
    Outer,
    /// In an object that is the value of an outermost member; reported before that one.
    Inner,
}

/// [Scans](scan_to) a text of a client.
pub fn scan(text: &[u8], member: impl FnMut(Level, Span, Span)) -> Result<Top, ScanError> {
    scan_to(MAX_DEPTH, text, member)
}

/// Validates `text`, which may be nested `limit` levels deep; `member` gets the spans of key (without quotes) and value of each member of the two outermost
/// levels, in the order in which they end.
pub fn scan_to(limit: usize, text: &[u8], mut member: impl FnMut(Level, Span, Span)) -> Result<Top, ScanError> {
    if !text.is_ascii()
        && let Err(error) = std::str::from_utf8(text)
    {
        return Err(ScanError::Utf8 { at: error.valid_up_to() });
    }
    let mut scanner = Scanner { text, at: 0, limit, too_deep: None };
    let top = match scanner.token() {
        None => return Err(ScanError::Empty),
        Some(b'{') => Top::Object,
        Some(b'[') => Top::Array,
        Some(_) => Top::Scalar,
    };
    if scanner.value(&mut member).is_none() || scanner.token().is_some() {
        return Err(scanner.syntax());
    }
    match scanner.too_deep {
        Some(at) => Err(ScanError::Depth { limit, at }),
        None => Ok(top),
    }
}

/// Reads tokens one by one. What is no JSON gives `None` and leaves [`Self::at`] there: smaller to hand on than an
/// error, many times a message.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    limit: usize,
    /// Where a value that was read is nested too deeply.
    too_deep: Option<usize>,
}

/// The open brackets, innermost last: one bit each, set for an object.
///
/// Usually a word holds them all. A text that goes deeper than the limit is refused, but still read to its end, since
/// whether it is JSON at all decides how.
struct Nesting {
    objects: u128,
    depth: usize,
    limit: usize,
    /// Full words of brackets further out.
    outer: Vec<u128>,
    /// The first bracket that was one too many.
    too_deep: Option<usize>,
}

impl Nesting {
    fn open(&mut self, object: bool, at: usize) {
        if self.depth >= WORD {
            if self.depth >= self.limit {
                self.too_deep.get_or_insert(at);
            }
            if self.depth.is_multiple_of(WORD) {
                self.outer.push(self.objects);
            }
        }
        self.objects = self.objects << 1 | u128::from(object);
        self.depth += 1;
    }

    fn close(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
        if self.depth >= WORD && self.depth.is_multiple_of(WORD) {
            self.objects = self.outer.pop().expect("a word was put there when this depth was passed");
        }
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

impl Scanner<'_> {
    /// One value with everything in it. A loop over tokens: depth costs a bit, not a stack frame.
    ///
    /// One that is nested too deeply is read like any other, and noted in [`Self::too_deep`].
    fn value(&mut self, member: &mut impl FnMut(Level, Span, Span)) -> Option<()> {
        let mut nesting = Nesting { objects: 0, depth: 0, limit: self.limit, outer: Vec::new(), too_deep: None };
        // Key and start of the value of the member that is being read, at either level.
        let mut outer: Option<(Span, usize)> = None;
        let mut inner: Option<(Span, usize)> = None;
        loop {
            // A value begins here, behind its key if it has one.
            if nesting.in_object() {
                let key = self.key()?;
                match nesting.depth {
                    1 => outer = Some((key, self.at)),
                    2 if outer.is_some() => inner = Some((key, self.at)),
                    _ => {}
                }
            }
            match self.token() {
                Some(b'"') => {
                    self.at += 1;
                    self.string()?;
                }
                Some(open @ (b'{' | b'[')) => {
                    let object = open == b'{';
                    nesting.open(object, self.at);
                    self.at += 1;
                    if self.token() != Some(if object { b'}' } else { b']' }) {
                        continue;
                    }
                    self.at += 1;
                    nesting.close();
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return None,
            }
            // A value has ended; close what ends with it.
            loop {
                match nesting.depth {
                    0 => {
                        self.too_deep = nesting.too_deep;
                        return Some(());
                    }
                    1 => {
                        if let Some((key, start)) = outer.take() {
                            member(Level::Outer, key, Span::new(start, self.at));
                        }
                    }
                    2 => {
                        if let Some((key, start)) = inner.take() {
                            member(Level::Inner, key, Span::new(start, self.at));
                        }
                    }
                    _ => {}
                }
                match self.token() {
                    Some(b',') => {
                        self.at += 1;
                        break;
                    }
                    Some(b'}') if nesting.in_object() => {}
                    Some(b']') if !nesting.in_object() => {}
                    _ => return None,
                }
                self.at += 1;
                nesting.close();
            }
        }
    }

    /// A key, its colon, and the blanks up to the value.
    #[inline]
    fn key(&mut self) -> Option<Span> {
        if self.token() != Some(b'"') {
            return None;
        }
        self.at += 1;
        let start = self.at;
        self.string()?;
        let key = Span::new(start, self.at - 1);
        if self.token() != Some(b':') {
            return None;
        }
        self.at += 1;
        self.token();
        Some(key)
    }

    /// The rest of a string behind its opening quote, up to and with the closing one.
    #[inline]
    fn string(&mut self) -> Option<()> {
        self.at = plain_end(self.text, self.at);
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Some(());
        }
        self.string_with_escapes()
    }

    /// The same from where a string is not plain.
    #[inline(never)]
    fn string_with_escapes(&mut self) -> Option<()> {
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Some(());
                }
                Some(b'\\') => self.escape()?,
                _ => return None,
            }
            self.at = plain_end(self.text, self.at);
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Some(())
            }
            Some(b'u') => {
                let digits = self.text.get(self.at + 2..self.at + 6);
                if digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    self.at += 6;
                    Some(())
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Some(())
    }

    fn some_digits(&mut self) -> Option<()> {
        let start = self.at;
        self.digits();
        if self.at == start { None } else { Some(()) }
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn literal(&mut self, literal: &[u8]) -> Option<()> {
        if self.text[self.at..].starts_with(literal) {
            self.at += literal.len();
            Some(())
        } else {
            None
        }
    }

    /// The next byte that is not blank, still unread.
    #[inline]
    fn token(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                // Written without blanks, as most are.
                Some(byte) if byte > b' ' => return Some(byte),
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn syntax(&self) -> ScanError {
        ScanError::Syntax { at: self.at }
    }
}

#[cfg(test)]
mod tests;
