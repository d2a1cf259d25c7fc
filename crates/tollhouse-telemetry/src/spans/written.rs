//! A span as it is written: its protobuf form, field by field.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::encoding::{encode_varint, encoded_len_varint};
use tollhouse_core::trace::{SpanId, TraceContext};

use crate::compat::{Attributes, Said};
use crate::environment::Limits;

/// Kinds of field, in the lowest bits of a tag.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// The flag that says that the next one means something (`SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`).
const SAYS_REMOTE: u32 = 0x100;
/// The parent is a span of another process.
const REMOTE: u32 = 0x200;

/// Where a span stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) trace: [u8; 16],
    pub(super) span: SpanId,
    /// All zero: a root.
    pub(super) parent: SpanId,
    pub(super) parent_is_remote: bool,
    pub(super) kind: SpanKind,
    pub(super) start_nanos: u64,
    pub(super) end_nanos: u64,
}

/// One span after the other; its memory is used again.
#[derive(Debug)]
pub(super) struct Written {
    limits: Limits,
    bytes: Vec<u8>,
    /// Its attributes so far.
    said: Vec<(&'static str, Said)>,
    dropped: u64,
    links: usize,
    dropped_links: u64,
    nanos: u64,
    failed: bool,
}

impl Written {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            bytes: Vec::with_capacity(1024),
            said: Vec::with_capacity(32),
            dropped: 0,
            links: 0,
            dropped_links: 0,
            nanos: 0,
            failed: false,
        }
    }

    /// Begins a span.
    pub(super) fn begin(&mut self, place: &Place, name: &[&str]) {
        self.bytes.clear();
        self.said.clear();
        (self.dropped, self.links, self.dropped_links, self.failed) = (0, 0, 0, false);
        self.nanos = place.end_nanos.saturating_sub(place.start_nanos);
        self.field(1, &place.trace);
        self.field(2, &place.span);
        if place.parent != SpanId::default() {
            self.field(4, &place.parent);
        }
        self.tag(5, BYTES);
        encode_varint(name.iter().map(|part| part.len() as u64).sum(), &mut self.bytes);
        for part in name {
            self.bytes.extend_from_slice(part.as_bytes());
        }
        self.tag(6, VARINT);
        encode_varint(place.kind as u64, &mut self.bytes);
        self.tag(7, FIXED64);
        self.bytes.extend_from_slice(&place.start_nanos.to_le_bytes());
        self.tag(8, FIXED64);
        self.bytes.extend_from_slice(&place.end_nanos.max(place.start_nanos).to_le_bytes());
        // Only sampled spans are told.
        let remote = if place.parent_is_remote { REMOTE } else { 0 };
        self.tag(16, FIXED32);
        self.bytes.extend_from_slice(&(1 | SAYS_REMOTE | remote).to_le_bytes());
    }

    /// What tracers say of its trace.
    pub(super) fn state(&mut self, state: &str) {
        self.field(3, state.as_bytes());
    }

    /// Another span that it has to do with.
    pub(super) fn link(&mut self, to: &TraceContext, remote: bool) {
        if self.links >= self.limits.links {
            self.dropped_links += 1;
            return;
        }
        self.links += 1;
        self.tag(13, BYTES);
        // Two ids, each behind a tag and its length, and the flags.
        encode_varint(2 + 16 + 2 + 8 + 5, &mut self.bytes);
        self.field(1, &to.trace_id);
        self.field(2, &to.parent);
        self.tag(6, FIXED32);
        let flags = u32::from(to.flags) | SAYS_REMOTE | if remote { REMOTE } else { 0 };
        self.bytes.extend_from_slice(&flags.to_le_bytes());
    }

    /// It failed.
    pub(super) fn failed(&mut self) {
        self.failed = true;
        self.tag(15, BYTES);
        encode_varint(2, &mut self.bytes);
        self.tag(3, VARINT);
        encode_varint(StatusCode::Error as u64, &mut self.bytes);
    }

    /// Bytes that a value may have.
    pub(super) fn longest(&self) -> usize {
        self.limits.value
    }

    pub(super) fn seconds(&mut self, key: &'static str, value: std::time::Duration) {
        self.fraction(key, value.as_secs_f64());
    }

    /// Begins an attribute with a value of `len` bytes, if there may be one more.
    fn attribute(&mut self, key: &str, len: usize) -> bool {
        if self.said.len() >= self.limits.attributes {
            self.dropped += 1;
            return false;
        }
        let of = |len: usize| 1 + encoded_len_varint(len as u64) + len;
        self.tag(9, BYTES);
        encode_varint((of(key.len()) + of(len)) as u64, &mut self.bytes);
        self.field(1, key.as_bytes());
        self.tag(2, BYTES);
        encode_varint(len as u64, &mut self.bytes);
        true
    }

    /// The whole span.
    pub(super) fn finish(&mut self) -> &[u8] {
        if self.dropped > 0 {
            self.tag(10, VARINT);
            encode_varint(self.dropped, &mut self.bytes);
        }
        if self.dropped_links > 0 {
            self.tag(14, VARINT);
            encode_varint(self.dropped_links, &mut self.bytes);
        }
        &self.bytes
    }

    fn tag(&mut self, field: u32, kind: u32) {
        encode_varint(u64::from(field << 3 | kind), &mut self.bytes);
    }

    fn field(&mut self, field: u32, value: &[u8]) {
        self.tag(field, BYTES);
        encode_varint(value.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(value);
    }
}

impl Attributes for Written {
    fn text(&mut self, key: &'static str, value: &str) {
        let value = value.get(..value.floor_char_boundary(self.limits.value)).unwrap_or_default();
        let len = value.len() as u64;
        if self.attribute(key, 1 + encoded_len_varint(len) + value.len()) {
            self.field(1, value.as_bytes());
            self.said.push((key, Said::Text(self.bytes.len() - value.len(), value.len())));
        }
    }

    fn truth(&mut self, key: &'static str, value: bool) {
        if self.attribute(key, 2) {
            self.tag(2, VARINT);
            encode_varint(value.into(), &mut self.bytes);
            self.said.push((key, Said::Truth(value)));
        }
    }

    fn number(&mut self, key: &'static str, value: u64) {
        // No size is as large as to be cut here.
        let value = value.min(i64::MAX as u64);
        if self.attribute(key, 1 + encoded_len_varint(value)) {
            self.tag(3, VARINT);
            encode_varint(value, &mut self.bytes);
            self.said.push((key, Said::Number(value)));
        }
    }

    fn fraction(&mut self, key: &'static str, value: f64) {
        if self.attribute(key, 9) {
            self.tag(4, FIXED64);
            self.bytes.extend_from_slice(&value.to_le_bytes());
            self.said.push((key, Said::Fraction(value)));
        }
    }

    fn find(&self, key: &str) -> Option<Said> {
        self.said.iter().find(|(said, _)| *said == key).map(|(_, value)| *value)
    }

    fn said(&self, said: Said) -> &str {
        let Said::Text(at, len) = said else { return "" };
        self.bytes.get(at..at + len).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }

    fn again(&mut self, key: &'static str, said: Said) {
        match said {
            Said::Text(at, len) => {
                let value = 1 + encoded_len_varint(len as u64) + len;
                if self.attribute(key, value) {
                    self.tag(1, BYTES);
                    encode_varint(len as u64, &mut self.bytes);
                    self.bytes.extend_from_within(at..at + len);
                    self.said.push((key, Said::Text(self.bytes.len() - len, len)));
                }
            }
            Said::Number(number) => self.number(key, number),
            Said::Fraction(fraction) => self.fraction(key, fraction),
            Said::Truth(truth) => self.truth(key, truth),
        }
    }

    fn nanos(&self) -> u64 {
        self.nanos
    }

    fn has_failed(&self) -> bool {
        self.failed
    }
}
