//! A stream reads the same however it is cut, and what was read can be written and read again.

#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use tollhouse_core::units::ByteSize;
use tollhouse_core::wire::sse::{Decoder, Event, SseError};

fuzz_target!(|input: (u8, u16, Vec<u8>)| {
    let (size, limit, stream) = input;
    let limit = ByteSize(u64::from(limit));
    let whole = decode(&stream, stream.len().max(1), limit);
    assert_eq!(decode(&stream, usize::from(size).max(1), limit), whole);

    let mut wire = BytesMut::new();
    for event in &whole.0 {
        assert!(event.data.len() <= limit.bytes());
        event.append_to(&mut wire);
    }
    let (again, error) = decode(&wire, usize::from(size).max(1), ByteSize::mib(1));
    assert_eq!((again, error), (whole.0, None));
});

/// The events of a stream cut after every `size` bytes, up to the first error.
fn decode(stream: &[u8], size: usize, limit: ByteSize) -> (Vec<Event>, Option<SseError>) {
    let mut decoder = Decoder::new(limit);
    let mut events = Vec::new();
    for chunk in stream.chunks(size) {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}
