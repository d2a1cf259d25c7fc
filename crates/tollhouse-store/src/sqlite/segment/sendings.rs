//! What was sent of a call, as bytes.
//!
//! Each sending is its span (8 bytes), when it began and how long it took, how it failed, and for one of several servers
//! its name and what it was asked: numbers as groups of seven bits, the lowest first, texts behind their length.

use crate::call::{Leg, Sending};

/// The sendings of a call; `None` if there is nothing to say of them.
pub(super) fn written(sendings: &[Sending]) -> Option<Vec<u8>> {
    if sendings.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(16 * sendings.len());
    for sending in sendings {
        bytes.extend_from_slice(&sending.span);
        number(&mut bytes, sending.from_us);
        number(&mut bytes, sending.long_us);
        text(&mut bytes, sending.error.as_deref().unwrap_or_default());
        let (server, method) = sending.leg.as_ref().map_or(("", ""), |leg| (&leg.server, &leg.method));
        text(&mut bytes, server);
        if !server.is_empty() {
            text(&mut bytes, method);
        }
    }
    Some(bytes)
}

/// The reverse; what cannot be read ends it.
pub(super) fn read(bytes: &[u8]) -> Box<[Sending]> {
    let mut rest = bytes;
    std::iter::from_fn(|| one(&mut rest)).collect()
}

fn one(rest: &mut &[u8]) -> Option<Sending> {
    let (span, after) = rest.split_first_chunk()?;
    *rest = after;
    let (from_us, long_us) = (read_number(rest)?, read_number(rest)?);
    let error = Some(read_text(rest)?).filter(|error| !error.is_empty());
    let server = read_text(rest)?;
    let leg = if server.is_empty() { None } else { Some(Leg { server, method: read_text(rest)? }) };
    Some(Sending { span: *span, leg, from_us, long_us, error })
}

fn number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(low(number) | 0x80);
        number >>= 7;
    }
    bytes.push(low(number));
}

/// The lowest seven bits.
fn low(number: u64) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or_default()
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    number(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn read_text(rest: &mut &[u8]) -> Option<Box<str>> {
    let len = usize::try_from(read_number(rest)?).ok()?;
    let (text, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(std::str::from_utf8(text).ok()?.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sendings() -> impl Strategy<Value = Vec<Sending>> {
        let leg = ("[a-z0-9-]{1,24}", "[a-z/]{0,20}")
            .prop_map(|(server, method)| Leg { server: server.into(), method: method.into() });
        let sending =
            (any::<[u8; 8]>(), any::<u64>(), any::<u64>(), proptest::option::of(".{1,20}"), proptest::option::of(leg));
        let sending = sending.prop_map(|(span, from_us, long_us, error, leg)| Sending {
            span,
            leg,
            from_us,
            long_us,
            error: error.map(Into::into),
        });
        proptest::collection::vec(sending, 0..5)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(sendings in sendings()) {
            prop_assert_eq!(&*read(&written(&sendings).unwrap_or_default()), &sendings[..]);
        }

        #[test]
        fn whatever_is_read_ends(bytes in any::<Vec<u8>>()) {
            prop_assert!(read(&bytes).len() <= bytes.len() / 8);
        }
    }
}
