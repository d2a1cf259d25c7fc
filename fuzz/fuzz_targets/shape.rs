//! A shape keeps to its limit and shows nothing but names and types.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tollhouse_core::shape::shape;

fuzz_target!(|input: (u16, &[u8])| {
    let (max, raw) = input;
    let shape = shape(raw, usize::from(max));
    assert!(shape.len() <= usize::from(max));
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "{}[]():,?_$-.×…".contains(letter);
    assert!(shape.chars().all(allowed), "{shape}");
});
