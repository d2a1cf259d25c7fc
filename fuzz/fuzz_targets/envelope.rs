//! Whatever arrives, the envelope is refused or read; what is read is what another parser reads, and a message whose
//! id is exchanged and exchanged back has not changed.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tollhouse_core::wire::splice::splice;
use tollhouse_core::wire::{Envelope, Form};

fuzz_target!(|text: &[u8]| {
    let Ok(envelope) = Envelope::parse(Bytes::copy_from_slice(text)) else { return };
    for (key, value) in envelope.members() {
        assert!(key.end() < value.start() && value.end() <= text.len());
    }
    let id = match envelope.form {
        Form::Request { id, .. } | Form::Result { id, .. } | Form::Error { id: Some(id), .. } => id,
        Form::Notification { .. } | Form::Error { id: None, .. } => return,
    };
    let ours = Envelope::parse(splice(&envelope.bytes, &[(id, b"12345")])).expect("a number is an id like any other");
    let (Form::Request { id: other, .. } | Form::Result { id: other, .. } | Form::Error { id: Some(other), .. }) = ours.form
    else {
        panic!("the form has changed");
    };
    assert_eq!(ours.raw(other), b"12345");
    assert_eq!(splice(&ours.bytes, &[(other, envelope.raw(id))]), text);
});
