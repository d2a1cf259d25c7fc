//! W3C trace context and baggage: which trace a call belongs to, and what its caller says of the conversation.
//!
//! Both come in `params._meta` or in HTTP headers, written by anyone. What breaks a rule is as good as absent: a bad
//! header starts a new trace and never costs a call. Where the text of Trace Context level 2 and its test suite
//! differ (where `@` may stand in a `tracestate` key) the suite's stricter rule holds.
//!
//! Path: `session/era` → **`trace`** → `record`, and onto every message sent upstream.

use std::fmt;

use crate::clock;

pub use sampler::{Root, Sampler};

mod sampler;

/// A `traceparent` of version 00 has this length; later versions may append to it.
const TRACEPARENT_LEN: usize = 55;
/// Members of one `tracestate`, as the specification limits them.
const STATE_MEMBERS_MAX: usize = 32;
/// What the specification asks everyone to pass on; more is dropped whole, since cutting could part what belongs
/// together.
const STATE_LEN_MAX: usize = 512;
/// Bytes of all `baggage` of a request together.
const BAGGAGE_LEN_MAX: usize = 8192;
/// Members of all `baggage` of a request together.
const BAGGAGE_MEMBERS_MAX: usize = 64;

/// The id of a span; all zero is none.
pub type SpanId = [u8; 8];

/// A `traceparent` of ours, as it is written.
pub type Traceparent = [u8; TraceContext::LEN];

/// Mints the id of a span of ours.
pub fn mint_span() -> SpanId {
    nonzero().to_be_bytes()
}

/// The trace a call belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// 16 bytes, never all zero.
    pub trace_id: [u8; 16],
    /// The caller's span; all zero if the trace starts here.
    pub parent: SpanId,
    /// The flags byte; bit 0 is *sampled*.
    pub flags: u8,
}

impl TraceContext {
    /// The flag of a trace that is being recorded.
    pub const SAMPLED: u8 = 0b01;
    /// Bytes of a `traceparent` of ours.
    pub const LEN: usize = TRACEPARENT_LEN;
    /// The flag of a trace whose id was drawn at random.
    pub const RANDOM: u8 = 0b10;

    /// Reads a `traceparent`; `None` if it is invalid, and then there is none. Flags without a meaning are dropped.
    pub fn parse(traceparent: &[u8]) -> Option<Self> {
        let text = trim(traceparent);
        let known = text.get(..TRACEPARENT_LEN)?;
        let (version, trace_id, parent, flags) = (&known[..2], &known[3..35], &known[36..52], &known[53..]);
        if [known[2], known[35], known[52]] != *b"---" {
            return None;
        }
        match (unhex::<1>(version)?, text.get(TRACEPARENT_LEN)) {
            ([0xff], _) => return None,
            (_, None) | ([1..=0xfe], Some(b'-')) => {}
            (_, Some(_)) => return None,
        }
        let [flags] = unhex(flags)?;
        let context =
            Self { trace_id: unhex(trace_id)?, parent: unhex(parent)?, flags: flags & (Self::SAMPLED | Self::RANDOM) };
        (context.trace_id != [0; 16] && context.parent != [0; 8]).then_some(context)
    }

    /// Starts a trace. It is sampled: a server that follows the flag should record it unless someone decided not to.
    pub fn mint() -> Self {
        let (high, low) = (nonzero().to_be_bytes(), nonzero().to_be_bytes());
        let mut trace_id = [0; 16];
        trace_id[..8].copy_from_slice(&high);
        trace_id[8..].copy_from_slice(&low);
        Self { trace_id, parent: [0; 8], flags: Self::SAMPLED }
    }

    /// The same trace as seen from a span of ours: what a server is told.
    #[must_use]
    pub fn within(&self, span: SpanId, sampled: bool) -> Self {
        let flags = if sampled { self.flags | Self::SAMPLED } else { self.flags & !Self::SAMPLED };
        Self { parent: span, flags, ..*self }
    }

    /// Is the trace being recorded?
    pub fn sampled(&self) -> bool {
        self.flags & Self::SAMPLED != 0
    }

    /// The `traceparent` that names this trace and span, always 55 bytes; `None` where the trace starts here, since
    /// there is no span to name.
    pub fn traceparent(&self) -> Option<String> {
        (self.parent != [0; 8]).then(|| self.written().iter().map(|&byte| char::from(byte)).collect())
    }

    /// The same, whether there is a span or not.
    pub fn written(&self) -> [u8; Self::LEN] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let mut put = |at: usize, bytes: &[u8]| {
            for (pair, byte) in text[at..].chunks_exact_mut(2).zip(bytes) {
                pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
                pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
            }
        };
        put(3, &self.trace_id);
        put(36, &self.parent);
        put(53, &[self.flags]);
        text
    }
}

/// Bytes as lower-case hexadecimal digits: 32 for a trace id, 16 for a span id.
#[derive(Debug, Clone, Copy)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        for part in self.0.chunks(16) {
            let mut digits = [0; 32];
            for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(part) {
                *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
            }
            f.write_str(std::str::from_utf8(&digits[..2 * part.len()]).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}

/// What else is said of a call's trace; seldom anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aside {
    /// What tracers have to say about it.
    pub state: Option<TraceState>,
    /// The trace of the HTTP request, where the message named another.
    pub http: Option<TraceContext>,
    /// The call that asked for the input which this one brings.
    pub follows: Option<TraceContext>,
}

/// What other tracers have to say about a trace; not ours to understand, only to pass on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceState(Box<str>);

impl TraceState {
    /// Reads the `tracestate` headers of a request, in their order, as one list. `None` if there is nothing in them
    /// or anything wrong with them. The trace itself stands either way; without a valid `traceparent` there is no
    /// use for it.
    pub fn parse<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut keys: Vec<&[u8]> = Vec::new();
        let mut list = String::new();
        for member in headers.into_iter().flat_map(|header| header.split(|&byte| byte == b',')).map(trim) {
            if member.is_empty() {
                continue;
            }
            let equals = member.iter().position(|&byte| byte == b'=')?;
            let (key, value) = (&member[..equals], &member[equals + 1..]);
            if !is_state_key(key) || !is_state_value(value) || keys.contains(&key) || keys.len() == STATE_MEMBERS_MAX {
                return None;
            }
            if !keys.is_empty() {
                list.push(',');
            }
            keys.push(key);
            list.push_str(str::from_utf8(member).ok()?);
        }
        (!list.is_empty() && list.len() <= STATE_LEN_MAX).then(|| Self(list.into()))
    }

    /// The list led by what OpenTelemetry samplers say of the threshold they decided by, in place of what it said of that.
    #[must_use]
    pub fn sampled_at(threshold: &str, rest: Option<&Self>) -> Self {
        let mut list = format!("ot=th:{threshold}");
        let others = rest.into_iter().flat_map(|rest| rest.0.split(',')).filter(|member| !member.starts_with("ot="));
        for member in others.take(STATE_MEMBERS_MAX - 1) {
            if list.len() + 1 + member.len() <= STATE_LEN_MAX {
                list.push(',');
                list.push_str(member);
            }
        }
        Self(list.into())
    }

    /// The list as it is passed on.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_state_key(key: &[u8]) -> bool {
    let part = |part: &[u8], max: usize| {
        part.len() <= max
            && part.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            && part.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    match key.iter().position(|&byte| byte == b'@') {
        Some(at) => part(&key[..at], 241) && part(&key[at + 1..], 14),
        None => part(key, 256),
    }
}

fn is_state_value(value: &[u8]) -> bool {
    (1..=256).contains(&value.len()) && value.iter().all(|byte| matches!(byte, b' '..=b'~') && !b",=".contains(byte))
}

/// What the caller's `baggage` says about the conversation; its other members are not ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baggage {
    /// `session.id`.
    pub session_id: Option<Box<str>>,
    /// `gen_ai.conversation.id`.
    pub conversation_id: Option<Box<str>>,
}

impl Baggage {
    /// Reads the `baggage` headers of a request as one list; the first of a name counts, and a value that is empty or
    /// holds control characters is none.
    ///
    /// `None` if it is larger than 8,192 bytes or 64 members, and then all of it is dropped.
    pub fn parse<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut baggage = Self::default();
        let (mut length, mut members) = (0, 0);
        for member in headers.into_iter().flat_map(|header| header.split(|&byte| byte == b',')) {
            length += member.len() + 1;
            if length > BAGGAGE_LEN_MAX + 1 {
                return None;
            }
            if trim(member).is_empty() {
                continue;
            }
            members += 1;
            if members > BAGGAGE_MEMBERS_MAX {
                return None;
            }
            let Some(equals) = member.iter().position(|&byte| byte == b'=') else { continue };
            let slot = match trim(&member[..equals]) {
                b"session.id" => &mut baggage.session_id,
                b"gen_ai.conversation.id" => &mut baggage.conversation_id,
                _ => continue,
            };
            // What follows a semicolon are properties of the member.
            let value = member[equals + 1..].split(|&byte| byte == b';').next().unwrap_or_default();
            if slot.is_none() {
                *slot = percent_decoded(trim(value));
            }
        }
        Some(baggage)
    }
}

/// The text a baggage value stands for. A percent sign without two digits stands for itself.
fn percent_decoded(value: &[u8]) -> Option<Box<str>> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten().and_then(|digits| {
            let digits = str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
            u8::from_str_radix(digits, 16).ok()
        });
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    let text = String::from_utf8_lossy(&bytes);
    (!text.is_empty() && !text.contains(char::is_control)).then(|| text.into())
}

/// Without the blanks HTTP allows around a value, and only those.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The bytes that lower-case hexadecimal `digits` stand for.
fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// A fresh half of an id. All zero would be no id at all, so the one chance in 2^64 is drawn again.
fn nonzero() -> u64 {
    loop {
        let id = clock::distinct_u64();
        if id != 0 {
            return id;
        }
    }
}

#[cfg(test)]
mod tests;
