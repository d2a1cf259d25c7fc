use proptest::prelude::*;

use super::*;
use crate::wire::splice::splice;

fn parse(text: &str) -> Result<Envelope, EnvelopeError> {
    Envelope::parse(Bytes::copy_from_slice(text.as_bytes()))
}

fn code(text: &str) -> Option<i64> {
    parse(text).err().map(EnvelopeError::code)
}

#[test]
fn a_request_is_read_wherever_its_members_stand() {
    let envelope = parse(r#" {"params":{"name":"x"},"method":"tools/call","id":"a\"b","jsonrpc":"2.0"} "#).unwrap();
    let Form::Request { id, method } = &envelope.form else { panic!("{envelope:?}") };
    assert_eq!((envelope.raw(*id), method.as_ref()), (br#""a\"b""#.as_slice(), "tools/call"));
    assert_eq!(envelope.pick_params(["name"]).unwrap()[0].map(|span| envelope.raw(span)), Some(br#""x""#.as_slice()));
}

#[test]
fn ids_are_strings_or_integers_in_their_own_spelling() {
    for id in ["1", "-1", "9007199254740993", r#""1""#, r#""""#, r#""\u00e9""#] {
        let envelope = parse(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)).unwrap();
        let Form::Request { id: span, .. } = envelope.form else { panic!() };
        assert_eq!(envelope.raw(span), id.as_bytes());
    }
    for id in ["null", "1.5", "{}", "[]", "true", "1e3", "-"] {
        assert!(parse(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)).is_err(), "{id}");
    }
}

#[test]
fn what_is_no_message_is_refused_by_the_right_code() {
    for (text, expected) in [
        ("", -32700),
        ("nonsense", -32700),
        ("[]", -32600),
        (r#""text""#, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (r#"{"id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a\u0000b"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"Method":"tools/call"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"ping"}"#, -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"param\u{17f}\":{}}", -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"x"}"#, -32600),
    ] {
        assert_eq!(code(text), Some(expected), "{text}");
    }
}

#[test]
fn an_error_may_lack_the_id_of_its_request() {
    for text in [r#"{"jsonrpc":"2.0","id":null,"error":{"code":1}}"#, r#"{"jsonrpc":"2.0","error":{"code":1}}"#] {
        assert!(matches!(parse(text).unwrap().form, Form::Error { id: None, .. }), "{text}");
    }
}

#[test]
fn confusing_spellings_are_refused_where_the_gateway_reads_and_pass_where_it_does_not() {
    let call = |params: &str| {
        parse(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)).unwrap()
    };
    assert!(call(r#"{"name":"a","name":"b"}"#).pick_params(["name", "arguments"]).is_err());
    assert!(call(r#"{"Name":"a"}"#).pick_params(["name", "arguments"]).is_err());
    assert!(
        call(r#"{"name":"a","arguments":{"Name":1,"name":2,"name":3}}"#).pick_params(["name", "arguments"]).is_ok()
    );
}

#[test]
fn members_are_found_however_many_there_are() {
    for count in [0, 1, INNER_MAX, INNER_MAX + 1, 100] {
        let members: Vec<_> = (0..count).map(|n| format!(r#""m{n}":{{"deep":{n}}}"#)).collect();
        let text =
            format!(r#"{{"x":{{"m0":9}},"result":{{{}}},"id":1,"y":{{"m1":9}},"jsonrpc":"2.0"}}"#, members.join(","));
        let envelope = parse(&text).unwrap();
        assert_eq!(envelope.members().count(), count);
        for n in 0..count {
            let found = envelope.member(&format!("m{n}")).map(|span| envelope.raw(span).to_vec());
            assert_eq!(found, Some(format!(r#"{{"deep":{n}}}"#).into_bytes()));
        }
        assert_eq!(envelope.member("deep"), None);
    }
    let text = r#"{"jsonrpc":"2.0","method":"a","x":{"name":1}}"#;
    assert_eq!(parse(text).unwrap().pick_params(["name"]), Ok([None]));
}

/// Messages with unknown members, odd spacing and odd numbers: what a typed model would lose.
fn message() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("1.0".to_owned()),
        Just("1e400".to_owned()),
        Just("-0".to_owned()),
        Just("12345678901234567890123".to_owned()),
        Just(r#"{"a":null,"a":[ ]}"#.to_owned()),
        Just(r#""\ud800\u0000""#.to_owned()),
        ".{0,20}".prop_map(|s| serde_json::to_string(&s).unwrap()),
    ];
    let blank = prop_oneof![Just(""), Just(" "), Just("\n\t")];
    (prop::collection::vec(("[a-z]{8}", value), 0..6), any::<u32>(), blank).prop_map(|(extra, id, blank)| {
        let mut members = vec![
            r#""jsonrpc":"2.0""#.to_owned(),
            format!(r#""id"{blank}:{blank}{id}"#),
            r#""method":"tools/call""#.to_owned(),
        ];
        members.extend(extra.into_iter().map(|(k, v)| format!("\"{k}\":{blank}{v}")));
        members.rotate_left(id as usize % 3);
        format!("{{{}}}", members.join(&format!("{blank},")))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, ..ProptestConfig::default() })]

    /// A message whose id is exchanged and exchanged back leaves as the bytes it came as.
    #[test]
    fn messages_leave_equal_bytes_where_nothing_had_to_change(text in message()) {
        let envelope = parse(&text).unwrap();
        let Form::Request { id, .. } = envelope.form else { panic!() };
        let original = envelope.slice(id);
        let outbound = splice(&envelope.bytes, &[(id, b"\"upstream-1\"")]);
        let outbound = Envelope::parse(outbound).unwrap();
        let Form::Request { id, .. } = outbound.form else { panic!() };
        prop_assert_eq!(outbound.raw(id), b"\"upstream-1\"");
        let back = splice(&outbound.bytes, &[(id, &original)]);
        prop_assert_eq!(back, text.as_bytes());
    }
}

#[test]
fn objects_beside_the_one_a_message_is_about_are_not_taken_for_it() {
    let text = r#"{"x":{"name":"a","b":1},"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"c"},"y":{"name":"d"}}"#;
    let envelope = Envelope::parse(Bytes::from_static(text.as_bytes())).unwrap();
    let values: Vec<_> = envelope.members().map(|(_, value)| envelope.raw(value)).collect();
    assert_eq!(values, [b"\"c\""]);
}

#[test]
fn every_member_is_found_behind_an_object_that_does_not_matter() {
    for count in [0, 1, INNER_MAX, INNER_MAX + 1, 300] {
        let members: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{n}")).collect();
        let text = format!(r#"{{"x":{{"a":1}},"jsonrpc":"2.0","id":1,"result":{{{}}}}}"#, members.join(","));
        assert_eq!(Envelope::parse(text.into()).unwrap().members().count(), count);
    }
}
