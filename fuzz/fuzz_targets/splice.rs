//! Cutting a member out of an object leaves an object that lacks it, and every other member as it was.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tollhouse_core::wire::scan::{Top, scan};
use tollhouse_core::wire::splice::splice;
use tollhouse_core::wire::{Members, Span, members};

fuzz_target!(|input: (u8, &[u8])| {
    let (which, text) = input;
    if scan(text, |_, _, _| {}) != Ok(Top::Object) {
        return;
    }
    let object = |text: &[u8]| {
        let start = text.iter().position(|byte| *byte == b'{').expect("it is an object");
        Span::new(start, text.trim_ascii_end().len())
    };
    let all: Vec<_> = Members::of(text, object(text)).collect();
    let Some(at) = usize::from(which).checked_rem(all.len()) else { return };
    let (key, value) = all[at];
    let cut = splice(&Bytes::copy_from_slice(text), &[(members::removal(text, key, value), b"")]);
    assert_eq!(scan(&cut, |_, _, _| {}), Ok(Top::Object));
    let left: Vec<_> =
        Members::of(&cut, object(&cut)).map(|(key, value)| (key.of(&cut).to_vec(), value.of(&cut).to_vec())).collect();
    let expected: Vec<_> = all
        .iter()
        .enumerate()
        .filter(|(place, _)| *place != at)
        .map(|(_, (key, value))| (key.of(text).to_vec(), value.of(text).to_vec()))
        .collect();
    assert_eq!(left, expected);
});
