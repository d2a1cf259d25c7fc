//! A header value is refused or survives being written and read again; comparing arguments is symmetric.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tollhouse_core::wire::header::{Param, decode_name, encode_name, is_token};

fuzz_target!(|input: (&[u8], &str)| {
    let (value, text) = input;
    if let Ok(name) = decode_name(value) {
        assert_eq!(decode_name(encode_name(&name).as_bytes()).as_deref(), Ok(&*name));
        assert_eq!(Param::Number(&name).matches(text), Param::Number(text).matches(&name));
    }
    assert_eq!(decode_name(encode_name(text).as_bytes()).as_deref(), Ok(text));
    assert!(Param::Text(text).matches(text));
    if let Some(number) = Param::Number(text).encode() {
        assert!(Param::Number(text).matches(&number));
    }
    assert!(!is_token(text) || text.is_ascii());
});
