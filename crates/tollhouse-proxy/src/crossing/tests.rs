use bytes::Bytes;
use proptest::prelude::*;
use tollhouse_core::wire::{Envelope, Form, Members, Span};

use super::{edited, lend, lift};
use crate::call::{Params, spliced};
use crate::log_level::LogLevel;
use crate::meta::Meta;

const INFO: &[u8] = br#"{"name":"s"}"#;

fn envelope(text: &str) -> Envelope {
    Envelope::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn text(envelope: &Envelope) -> String {
    String::from_utf8(envelope.bytes.to_vec()).unwrap()
}

fn params(request: &Envelope) -> Params {
    let params = Params::read(request, request.method().unwrap()).unwrap();
    let meta = Meta::read(request, params.meta).unwrap();
    Params { progress_token: meta.progress_token, excess: meta.excess, ..params }
}

fn lifted(request: &Envelope) -> Envelope {
    let Form::Request { id, .. } = request.form else { panic!("only requests are lifted") };
    let introduction = lift::introduction(&envelope(
        r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"clientInfo":{"name":"c"},"capabilities":{"roots":{},"tasks":{}}}}"#,
    ));
    let meta = lift::meta(&introduction, Some(LogLevel::Warning), None);
    edited(request, lift::request(request, id, &params(request), meta, None).into())
}

fn lent(request: &Envelope) -> Envelope {
    edited(request, lend::request(request, &params(request), None).into())
}

/// A result as the other era's client gets it.
fn to_modern(answer: &Envelope, method: &str, info: Option<&[u8]>) -> Envelope {
    let Form::Result { result, .. } = answer.form else { panic!("only results come here") };
    edited(answer, lend::result(answer, result, method, info))
}

fn to_legacy(answer: &Envelope) -> Envelope {
    let Form::Result { result, .. } = answer.form else { panic!("only results come here") };
    edited(answer, lift::result(answer, result, Vec::new()))
}

#[test]
fn a_modern_request_says_nothing_of_itself_in_a_session() {
    for (meta, rest) in [
        (
            r#""_meta":{"io.modelcontextprotocol/protocolVersion":"x","progressToken":1},"#,
            r#""_meta":{"progressToken":1},"#,
        ),
        (r#""_meta":{"a":1, "io.modelcontextprotocol\/clientInfo":{},"b":2},"#, r#""_meta":{"a":1, "b":2},"#),
        (r#""_meta":{"io.modelcontextprotocol/logLevel":"info"},"#, ""),
        (r#""_meta" : {} , "#, ""),
        ("", ""),
    ] {
        let request =
            |meta| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{meta}"name":"t"}}}}"#);
        assert_eq!(text(&lent(&envelope(&request(meta)))), request(rest));
    }
}

#[test]
fn a_legacy_request_says_what_its_client_said_once() {
    let said = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c"},"io.modelcontextprotocol/clientCapabilities":{"roots":{}},"io.modelcontextprotocol/logLevel":"warning""#;
    for (before, after) in [
        (String::new(), format!(r#","params":{{"_meta":{{{said}}}}}"#)),
        (r#","params":{}"#.to_owned(), format!(r#","params":{{"_meta":{{{said}}}}}"#)),
        (r#","params":{"a":1}"#.to_owned(), format!(r#","params":{{"_meta":{{{said}}},"a":1}}"#)),
        (r#","params":{"a":1,"_meta":{"b":2}}"#.to_owned(), format!(r#","params":{{"a":1,"_meta":{{{said},"b":2}}}}"#)),
        (r#","params":{"_meta":null,"a":1}"#.to_owned(), format!(r#","params":{{"_meta":{{{said}}},"a":1}}"#)),
        (
            r#","params":{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}},"requestState":"x"}"#
                .to_owned(),
            format!(r#","params":{{"_meta":{{{said}}}}}"#),
        ),
    ] {
        let request = |params: &str| format!(r#"{{"jsonrpc":"2.0","method":"tools/list","id":1{params}}}"#);
        assert_eq!(text(&lifted(&envelope(&request(&before)))), request(&after), "{before}");
    }
}

#[test]
fn a_result_says_what_its_era_demands() {
    let result = |members: &str| format!(r#"{{"jsonrpc":"2.0","result":{members},"id":1}}"#);
    for (method, before, after) in [
        ("tools/call", r#"{"content":[]}"#, r#"{"resultType":"complete","content":[]}"#),
        ("tools/call", "{}", r#"{"resultType":"complete"}"#),
        ("tools/call", r#"{"resultType":"odd"}"#, r#"{"resultType":"complete"}"#),
        (
            "prompts/list",
            r#"{"prompts":[]}"#,
            r#"{"resultType":"complete","ttlMs":0,"cacheScope":"private","prompts":[]}"#,
        ),
        (
            "tools/list",
            r#"{"ttlMs":5,"tools":[]}"#,
            r#"{"resultType":"complete","ttlMs":0,"cacheScope":"private","tools":[]}"#,
        ),
        ("tools/call", "null", "null"),
    ] {
        assert_eq!(text(&to_modern(&envelope(&result(before)), method, None)), result(after));
    }
    let with_info = to_modern(&envelope(&result(r#"{"_meta":{"a":1}}"#)), "tools/call", Some(INFO));
    let expected = r#"{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"},"a":1}}"#;
    assert_eq!(text(&with_info), result(expected));
}

#[test]
fn tools_that_run_only_as_tasks_are_taken_out_of_a_list() {
    let list = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","execution":{"taskSupport":"required"}},{"name":"b"}]}}"#;
    let shown = text(&to_modern(&envelope(list), "tools/list", None));
    assert!(shown.ends_with(r#""tools":[{"name":"b"}]}}"#), "{shown}");
}

#[test]
fn a_resource_that_is_not_there_has_the_code_of_the_era() {
    let error = |error: &str| envelope(&format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#));
    let (legacy, modern) = (r#"{"code":-32002,"message":"m"}"#, r#"{"data":{"uri":"u"},"code":-32602,"message":"m"}"#);
    let crossed = |message: &Envelope, lends: bool| {
        let Form::Error { error, .. } = message.form else { panic!("only errors come here") };
        let edits =
            if lends { lend::error(message, error, Some("u")) } else { lift::error(message, error, "resources/read") };
        text(&edited(message, edits))
    };
    assert_eq!(crossed(&error(legacy), true), text(&error(modern)));
    assert_eq!(crossed(&error(modern), false), text(&error(&modern.replace("-32602", "-32002"))));
    for (data, expected) in
        [("7", r#"{"uri":"u"}"#), (r#"{"a":1}"#, r#"{"uri":"u","a":1}"#), (r#"{"uri":"v"}"#, r#"{"uri":"v"}"#)]
    {
        let with = |code: &str, data: &str| text(&error(&format!(r#"{{"code":{code},"message":"m","data":{data}}}"#)));
        assert_eq!(crossed(&envelope(&with("-32002", data)), true), with("-32602", expected));
    }
    assert_eq!(
        crossed(&error(r#"{"code":-32601,"message":"m"}"#), true),
        text(&error(r#"{"code":-32601,"message":"m"}"#))
    );
}

/// Any JSON value, written in any way.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1.0".to_owned()),
        Just("1e3".to_owned()),
        "[ a-z]{0,6}".prop_map(|text| format!("\"{text}\\u0041\"")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(" , "))),
            proptest::collection::vec(("[a-z]{1,4}", inner), 0..3).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\" : {value}")).collect();
                format!("{{ {} }}", members.join(","))
            }),
        ]
    })
}

/// The members of an object with blanks around them, each key with `prefix`.
fn members(prefix: &'static str, least: usize) -> impl Strategy<Value = String> {
    let blank = prop_oneof![Just(""), Just(" "), Just("\n\t")];
    proptest::collection::vec((blank, value()), least..5).prop_map(move |members| {
        let members: Vec<_> = members
            .iter()
            .enumerate()
            .map(|(n, (blank, value))| format!("{blank}\"{prefix}{n}\"{blank}:{blank}{value}{blank}"))
            .collect();
        members.join(",")
    })
}

proptest! {
    #[test]
    fn there_and_back_a_request_is_the_same_to_the_byte(
        own in members("m", 1), meta in proptest::option::of(members("x", 1)), first in any::<bool>(),
    ) {
        let meta = meta.map(|meta| format!("\"_meta\":{{{meta}}}"));
        let params = match (meta, first) {
            (None, _) => own,
            (Some(meta), true) => format!("{meta},{own}"),
            (Some(meta), false) => format!("{own},{meta}"),
        };
        let request = format!(r#"{{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{{{params}}}}}"#);
        let there = lifted(&envelope(&request));
        prop_assert!(text(&there).contains("io.modelcontextprotocol/protocolVersion"));
        prop_assert_eq!(text(&lent(&there)), request);
    }

    #[test]
    fn there_and_back_a_result_is_the_same_to_the_byte(own in members("m", 0), listed in any::<bool>()) {
        let answer = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{{own}}}}}"#);
        let there = to_modern(&envelope(&answer), if listed { "resources/list" } else { "tools/call" }, None);
        let found = there.member("resultType").map(|span| there.raw(span));
        prop_assert_eq!(found, Some(&b"\"complete\""[..]));
        prop_assert_eq!(text(&to_legacy(&there)), answer);
    }

    #[test]
    fn what_a_server_said_of_itself_is_put_in_and_nothing_else_moves(
        own in members("m", 0), meta in members("x", 0),
    ) {
        let comma = if own.is_empty() { "" } else { "," };
        let answer = envelope(&format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"_meta":{{{meta}}}{comma}{own}}}}}"#));
        let there = to_modern(&answer, "tools/call", Some(INFO));
        let kept = |message: &Envelope, object: Span| -> Vec<(Vec<u8>, Vec<u8>)> {
            let ours = |key: &[u8]| matches!(key, b"resultType" | b"_meta" | b"io.modelcontextprotocol/serverInfo");
            Members::of(&message.bytes, object)
                .map(|(key, value)| (message.raw(key).to_vec(), message.raw(value).to_vec()))
                .filter(|(key, _)| !ours(key))
                .collect()
        };
        let result = |message: &Envelope| {
            let Form::Result { result, .. } = message.form else { unreachable!("it was a result") };
            (result, message.member("_meta").unwrap())
        };
        let ((before, before_meta), (after, after_meta)) = (result(&answer), result(&there));
        prop_assert_eq!(kept(&answer, before), kept(&there, after));
        prop_assert_eq!(kept(&answer, before_meta), kept(&there, after_meta));
        let info = Members::of(&there.bytes, after_meta).get("io.modelcontextprotocol/serverInfo");
        prop_assert_eq!(info.map(|span| there.raw(span)), Some(INFO));
    }
}

#[test]
fn edits_at_one_place_keep_their_order() {
    let at = Span::new(1, 1);
    let edits = vec![(Span::new(1, 2), Bytes::new()), (Span::EMPTY, Bytes::from_static(b">"))];
    assert_eq!(spliced(&Bytes::from_static(b"abc"), edits), ">ac");
    let edits = vec![(at, Bytes::from_static(b"1")), (Span::new(1, 2), Bytes::from_static(b"2"))];
    assert_eq!(spliced(&Bytes::from_static(b"abc"), edits), "a12c");
}
