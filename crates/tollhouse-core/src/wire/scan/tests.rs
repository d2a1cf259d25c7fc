use proptest::prelude::*;

use super::*;

fn check(text: &str) -> Result<Top, ScanError> {
    scan(text.as_bytes(), |_, _, _| {})
}

#[test]
fn what_the_grammar_allows_is_accepted() {
    for text in [
        "{}",
        "[]",
        " [ ] ",
        "0",
        "-0",
        "-1.5e+10",
        "1E5",
        "\"\"",
        "\"\\u00e9\\n\"",
        "null",
        "true",
        "false",
        "{\"a\":[1,{\"b\":null}],\"c\":\"d\"}",
        "[[],{}]",
        "\"\\ud800\"",
    ] {
        assert!(check(text).is_ok(), "{text}: {:?}", check(text));
    }
}

#[test]
fn what_the_grammar_forbids_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{'a':1}",
        "[1 2]",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "0x1",
        "NaN",
        "Infinity",
        "nul",
        "truex",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"\t\"",
        "[\"a\",\n4,\n1,",
        "{\"a\":\"b\"}/**/",
        "{}{}",
        "[1]x",
        "\u{feff}{}",
        "{\"a\":1 \"b\":2}",
        "[,1]",
        "{,}",
        "[1:2]",
        "{\"a\",1}",
        "]",
        "[}",
        "{]",
    ] {
        assert!(check(text).is_err(), "{text} was accepted");
    }
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(check(&nested(MAX_DEPTH)), Ok(Top::Array));
    for depth in [MAX_DEPTH + 1, 2 * MAX_DEPTH, 2 * MAX_DEPTH + 1, 100_000] {
        assert_eq!(check(&nested(depth)), Err(ScanError::Depth { limit: MAX_DEPTH, at: MAX_DEPTH }), "{depth}");
    }
    let mixed = format!("{}null{}", "[{\"\":".repeat(1000), "}]".repeat(1000));
    assert_eq!(check(&mixed), Err(ScanError::Depth { limit: MAX_DEPTH, at: 64 * 5 }));
}

#[test]
fn what_is_no_json_is_said_to_be_none_however_deep() {
    assert!(matches!(check(&"[".repeat(100_000)), Err(ScanError::Syntax { .. })));
    assert!(matches!(check(&"[{\"\":".repeat(50_000)), Err(ScanError::Syntax { .. })));
    let crossed = format!("{}{}", "[".repeat(300), "}".repeat(300));
    assert!(matches!(check(&crossed), Err(ScanError::Syntax { .. })));
}

#[test]
fn members_of_the_two_outermost_levels_are_reported_with_their_spans() {
    let text = r#" { "a" : {"x":1,"y":{"deep":{}}} , "b":[{"no":2}, 3],"c":"d","e":{},"f":{"z":[]} } "#;
    let mut seen = Vec::new();
    let top = scan(text.as_bytes(), |level, key, value| {
        let of = |span: Span| String::from_utf8(span.of(text.as_bytes()).to_vec()).unwrap();
        seen.push((level == Level::Outer, of(key), of(value)));
    });
    assert_eq!(top, Ok(Top::Object));
    let seen: Vec<_> = seen.iter().map(|(outer, key, value)| (*outer, key.as_str(), value.as_str())).collect();
    assert_eq!(
        seen,
        [
            (false, "x", "1"),
            (false, "y", r#"{"deep":{}}"#),
            (true, "a", r#"{"x":1,"y":{"deep":{}}}"#),
            (true, "b", r#"[{"no":2}, 3]"#),
            (true, "c", r#""d""#),
            (true, "e", "{}"),
            (false, "z", "[]"),
            (true, "f", r#"{"z":[]}"#),
        ]
    );
    let mut seen = 0;
    scan(br#"[{"a":1},{"b":{"c":1}}]"#, |_, _, _| seen += 1).unwrap();
    assert_eq!(seen, 0, "what is in an array has no outermost object around it");
}

#[test]
fn a_control_character_is_found_wherever_it_stands() {
    for length in 0..200 {
        for at in 0..length {
            let mut text = vec![b'x'; length];
            text[at] = 7;
            let quoted = [b"\"".as_slice(), &text, b"\""].concat();
            assert_eq!(scan(&quoted, |_, _, _| {}), Err(ScanError::Syntax { at: at + 1 }));
        }
    }
}

/// JSON-like text: real JSON, and real JSON with one byte changed.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        ".{0,40}".prop_map(|s| serde_json::to_string(&s).unwrap()),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::vec((".{0,8}", inner), 0..6).prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(k, v)| format!("{}: {v}", serde_json::to_string(k).unwrap())).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn every_json_text_is_accepted(text in json()) {
        prop_assert!(check(&text).is_ok());
    }

    #[test]
    fn a_changed_byte_is_judged_as_another_parser_judges_it(text in json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let ours = scan(&bytes, |_, _, _| {}).is_ok();
        // Raw, since building values refuses numbers beyond f64, which the grammar allows.
        let theirs = std::str::from_utf8(&bytes).is_ok() && serde_json::from_slice::<&serde_json::value::RawValue>(&bytes).is_ok();
        prop_assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = scan(&bytes, |_, _, _| {});
    }
}
