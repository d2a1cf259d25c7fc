//! What is no message, or not quite one: refused at the door, never forwarded.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{legacy, legacy_at, modern};
use crate::gateway::{Gateway, gateway};
use crate::http::post;
use crate::upstream::{self, Upstream};

/// The only server there is, so that both paths lead to it.
async fn echo_behind_both_paths() -> (Upstream, Gateway) {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).alone().start().await;
    (upstream, gateway)
}

/// Each body gets this refusal on both paths, and none reaches the upstream.
async fn check_refused<B: AsRef<[u8]>>(bodies: impl IntoIterator<Item = B>, expected: &[(u16, i64)]) {
    let (upstream, gateway) = echo_behind_both_paths().await;
    let mut surprises = Vec::new();
    for body in bodies {
        for path in gateway.paths() {
            let body = body.as_ref();
            let refusal = post(gateway.mcp, &path).body(body).send().await.refusal();
            if !expected.contains(&refusal) {
                surprises.push((shown(body), path, refusal));
            }
        }
    }
    assert_eq!((surprises, upstream.executions()), (vec![], 0), "bodies answered otherwise than by {expected:?}");
    gateway.ends_well(&[]).await;
}

fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned()
}

/// A call whose arguments are written as given.
fn call_with(arguments: &str) -> String {
    let meta =
        r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{arguments},"_meta":{meta}}}}}"#
    )
}

#[tokio::test]
async fn a_01_a_body_that_is_not_json_is_refused_without_an_id() {
    let (upstream, gateway) = echo_behind_both_paths().await;
    for path in gateway.paths() {
        for body in ["", "hello", "{\"jsonrpc\":\"2.0\",\"id\":1,"] {
            let response = post(gateway.mcp, &path).body(body).send().await;
            assert_eq!((response.refusal(), response.has_id()), ((400, -32700), false), "{body:?} to {path}");
        }
    }
    assert_eq!(upstream.executions(), 0);
    gateway.ends_well(&[]).await;
}

/// Documents that no JSON parser may accept.
#[rustfmt::skip]
const NOT_JSON: &[&[u8]] = &[
    // Structure.
    b"[", b"]", b"{", b"}", b"[1", b"[1,", b"[1,]", b"[,1]", b"[1,,2]", b"[1 2]", b"[1]]", b"[1:2]", b"{]", b"[}",
    b"{\"a\"", b"{\"a\":", b"{\"a\":1", b"{\"a\":1,", b"{\"a\":1,}", b"{,\"a\":1}", b"{\"a\" 1}", b"{\"a\"::1}",
    b"{\"a\",1}", b"{a:1}", b"{'a':1}", b"{1:1}", b"{null:1}", b"{\"a\":1 \"b\":2}", b"{\"a\":1}{\"a\":1}", b"{}x", b"1 2",
    // Literals.
    b"nul", b"nulll", b"True", b"FALSE", b"undefined", b"tru", b"NaN", b"Infinity", b"-Infinity",
    // Numbers.
    b"01", b"-01", b"+1", b"-", b".5", b"1.", b"1.e1", b"1e", b"1e+", b"0x1F", b"1_000", b"1,5", b"--1", b"1e1.5", b"- 1",
    // Strings.
    b"\"", b"\"a", b"\"a\\\"", b"'a'", b"\"\\x41\"", b"\"\\u12\"", b"\"\\u12G4\"", b"\"\\\"", b"\"a\nb\"", b"\"a\tb\"",
    b"\"a\0b\"", b"\"\\a\"", b"\"\xff\"", b"\"\xc0\xaf\"", b"\"\xed\xa0\x80\"", b"\"\xe2\x82\"", b"\"\xf4\x90\x80\x80\"",
    // Around it.
    b"// comment\n{}", b"/* comment */{}", b"{}/**/", b"{} #", b"\xef\xbb\xbf{", b"\xff\xfe{\0}\0", b"<xml/>", b"\x0c{}", b"{}\0",
    b"\xc2\xa0{}", b"{\"a\":\x0b1}",
];

#[tokio::test]
async fn a_02_no_malformed_document_is_taken_for_json_or_takes_long_to_refuse() {
    let (upstream, gateway) = echo_behind_both_paths().await;
    let mut documents: Vec<Vec<u8>> = NOT_JSON.iter().map(|&document| document.to_vec()).collect();
    // The same, where a value is read least carefully.
    documents.extend(NOT_JSON.iter().map(|&document| {
        let (before, after) = (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"#, "}}");
        [before.as_bytes(), document, after.as_bytes()].concat()
    }));
    // Balanced by chance: the inner document opens or closes what is around it.
    documents.retain(|document| serde_json::from_slice::<Value>(document).is_err());
    let count = documents.len();
    assert!(count > 150, "{count} documents");

    let start = Instant::now();
    let mut surprises = Vec::new();
    for document in documents {
        let response = post(gateway.mcp, &gateway.path()).body(document.as_slice()).send().await;
        if (response.refusal(), response.has_id()) != ((400, -32700), false) {
            surprises.push((shown(&document), response.refusal(), response.has_id()));
        }
    }
    assert_eq!((surprises, upstream.executions()), (vec![], 0));
    // On average, so that a busy machine does not fail the row.
    let each = start.elapsed() / u32::try_from(count).expect("a few hundred");
    assert!(each < Duration::from_millis(50), "{each:?} for each");
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_02_nesting_that_never_ends_is_malformed_and_harms_nobody() {
    let (brackets, objects) = ("[".repeat(100_000), format!("{}\n", r#"[{"":"#.repeat(50_000)));
    check_refused([brackets, objects], &[(400, -32700)]).await;
}

#[tokio::test]
async fn a_03_every_json_value_reaches_the_upstream_as_it_was_written() {
    let (upstream, gateway) = echo_behind_both_paths().await;
    let client = modern(&gateway);
    #[rustfmt::skip]
    let values = [
        "null", "true", "false", "0", "-0", "1.0", "-1.50", "1E2", "1e+2", "1e-2", "0.1e1", "\"\"", "[]", "{}", "[ ]", "{ }",
        "12345678901234567890", "-9223372036854775809", "0.1000000000000000055511151231257827", "1e400", "-1e400", "1e-400",
        "123456789012345678901234567890123456789012345678901234567890",
        r#""\u0041""#, r#""\/""#, r#""/""#, r#""\b\f\n\r\t\"\\""#, r#""\u0000""#, r#""\uD834\uDD1E""#, "\"𝄞\"", "\"é\"",
        r#""\u00e9""#, "\"\u{7f}\"", "\"\u{2028}\u{2029}\"", "\"\u{fdd0}\u{ffff}\"", "\"\u{202e}\"", r#""\u200b""#,
        "[1,[2,[3,[]]]]", "[ 1 ,\t2\n,\r3 ]", r#"{"b":1,"a":2}"#, r#"{"":0}"#, r#"{"a b":{"c.d":[null]}}"#,
        r#"{"jsonrpc":"1.0","id":7,"method":"x","params":{}}"#, r#"{"$ref":"http://example.com/"}"#, "[\"a\",1,true,null,{}]",
    ];
    for value in values {
        let arguments = format!(r#"{{"x":{value}}}"#);
        let answer = client.tool("echo").raw_arguments(&arguments).send().await;
        assert_eq!((answer.outcome(), upstream.last_arguments()), ("ok".to_owned(), arguments));
        let echoed = format!(r#""structuredContent":{{"x":{value}}}"#);
        assert!(answer.finals()[0].contains(&echoed), "{value} on its way back: {}", answer.finals()[0]);
    }
    gateway.ends_well(&vec!["ok"; values.len()]).await;
}

#[tokio::test]
async fn a_03_what_parsers_disagree_about_is_refused_or_passes_unaltered() {
    let (upstream, gateway) = echo_behind_both_paths().await;
    let client = modern(&gateway);
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    #[rustfmt::skip]
    let values = [
        r#""\uD800""#, r#""\uDC00""#, r#""\uDC00\uD800""#, r#""\uD800\uD800""#, r#""\uD800x""#, r#""\uD800\n""#,
        r#"{"a":1,"a":2}"#, r#"{"a":1,"A":2}"#, r#"{"\u0061":1,"a":1}"#, "\"\u{feff}\"", "1e99999999999", "-1e99999999999",
        "0e99999999999", &deep,
    ];
    let mut passed = 0;
    for value in values {
        let before = upstream.executions();
        let arguments = format!(r#"{{"x":{value}}}"#);
        let answer = client.tool("echo").raw_arguments(&arguments).send().await;
        let refused = [(400, -32700), (400, -32600), (400, -32602), (200, -32602)].contains(&answer.refusal());
        if refused {
            assert_eq!(upstream.executions(), before, "{value} was refused and sent on");
        } else {
            assert_eq!((answer.status(), upstream.last_arguments()), (200, arguments), "{value}");
            passed += 1;
        }
    }
    gateway.ends_well(&vec!["ok"; passed]).await;
}

#[tokio::test]
async fn a_04_json_that_is_no_request_is_refused() {
    let bodies = [
        "[]",
        "[1]",
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        "\"hello\"",
        "1",
        "null",
        "true",
        "{}",
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#,
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}"#,
    ];
    check_refused(bodies, &[(400, -32600)]).await;
}

#[tokio::test]
async fn a_04_a_batch_is_accepted_only_by_a_session_of_2025_03_26() {
    let (upstream, gateway) = echo_behind_both_paths().await;
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"}]"#;
    let mut statuses = Vec::new();
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let client = legacy_at(&gateway, "/mcp", version).await;
        statuses.push(client.body(batch).send().await.refusal());
    }
    assert_eq!(statuses, [(400, -32600), (200, 0), (400, -32600), (400, -32600)]);
    assert_eq!(upstream.executions(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_05_a_member_given_twice_is_refused() {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let bodies = [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"echo"}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"ping"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"params":{"name":"echo"}}"#.to_owned(),
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"a","name":"echo",{meta}}}}}"#),
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","n\u0061me":"a",{meta}}}}}"#
        ),
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo",{meta},{meta}}}}}"#),
    ];
    check_refused(bodies, &[(400, -32600)]).await;
}

#[tokio::test]
async fn a_06_a_member_in_another_case_is_refused_alone_and_beside_the_right_one() {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let bodies = [
        r#"{"jsonrpc":"2.0","id":1,"Method":"ping"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","METHOD":"tools/call"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"ID":2,"method":"ping"}"#.to_owned(),
        r#"{"JSONRPC":"2.0","id":1,"method":"ping"}"#.to_owned(),
        // The long s folds to s.
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"param\u{17f}\":{}}".to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","param\u017f":{}}"#.to_owned(),
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"Name":"echo",{meta}}}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","Name":"a",{meta}}}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","_Meta":{{}},{meta}}}}}"#),
    ];
    check_refused(bodies, &[(400, -32600)]).await;
}

#[tokio::test]
async fn a_06_inside_arguments_any_spelling_is_data() {
    let (upstream, gateway) = echo_behind_both_paths().await;
    let arguments = "{\"Method\":1,\"method\":2,\"Name\":3,\"name\":4,\"param\u{17f}\":5}";
    let answer = modern(&gateway).tool("echo").raw_arguments(arguments).send().await;
    assert_eq!((answer.outcome(), upstream.last_arguments()), ("ok".to_owned(), arguments.to_owned()));
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_07_text_that_is_no_unicode_is_refused() {
    let bodies: [&[u8]; 6] = [
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"pi\xffng\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\\ud800\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\\u0000\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":\"\xc3\x28\",\"method\":\"ping\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\\u0000\"}}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"\\udc00\"}}",
    ];
    check_refused(bodies, &[(400, -32700), (400, -32600)]).await;
}

#[tokio::test]
async fn a_08_nesting_beyond_the_limit_is_refused_and_harms_nobody() {
    let nested = |depth: usize| call_with(&format!(r#"{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth)));
    let mut objects = String::new();
    let _ = write!(objects, r#"{{"x":{}1{}}}"#, r#"{"x":"#.repeat(10_000), "}".repeat(10_000));
    check_refused([nested(129), nested(10_000), nested(1_000_000), call_with(&objects)], &[(400, -32600)]).await;
}

#[tokio::test]
async fn a_12_a_header_that_differs_from_the_body_is_refused() {
    let (upstream, gateway) = echo_behind_both_paths().await;
    let client = modern(&gateway);
    let call = || client.tool("echo").arguments(&json!({})).request();
    let cases = [
        ("another name", call().field("Mcp-Name", "other")),
        ("a name in another case", call().field("Mcp-Name", "Echo")),
        ("no name", call().without("Mcp-Name")),
        ("another method", call().field("Mcp-Method", "tools/list")),
        ("no method", call().without("Mcp-Method")),
        ("a sentinel that is no base64", call().field("Mcp-Name", "=?base64?%%%?=")),
        ("a sentinel of another name", call().field("Mcp-Name", "=?base64?b3RoZXI=?=")),
    ];
    for (what, request) in cases {
        for path in gateway.paths() {
            assert_eq!(request.clone().to(&path).send().await.refusal(), (400, -32020), "{what} at {path}");
        }
    }
    assert_eq!(upstream.executions(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_12_a_header_may_spell_the_name_in_base64_and_between_blanks() {
    let (upstream, gateway) = echo_behind_both_paths().await;
    let client = modern(&gateway);
    let call = || client.tool("echo").arguments(&json!({}));
    // "echo"
    let encoded = call().field("Mcp-Name", "=?base64?ZWNobw==?=").send().await;
    let padded = call().field("mcp-name", "  echo  ").send().await;
    assert_eq!((encoded.outcome(), padded.outcome(), upstream.executions()), ("ok".into(), "ok".into(), 2));
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_13_a_version_that_differs_or_is_unknown_is_refused() {
    let (upstream, gateway) = echo_behind_both_paths().await;
    let client = modern(&gateway);
    let version = "io.modelcontextprotocol/protocolVersion";
    let call = || client.tool("echo").arguments(&json!({}));
    let differs = call().field("MCP-Protocol-Version", "2025-11-25").send().await;
    assert_eq!(differs.refusal(), (400, -32020), "the header differs from _meta: {differs:?}");
    let absent = call().request().without("MCP-Protocol-Version").send().await;
    assert_eq!(absent.refusal(), (400, -32020), "no header: {absent:?}");
    let unknown = call().meta(version, "\"1900-01-01\"").field("MCP-Protocol-Version", "1900-01-01").send().await;
    let supported = unknown.json()["error"]["data"]["supported"].clone();
    assert_eq!((unknown.refusal(), supported), ((400, -32022), json!(["2026-07-28"])));
    let incomplete = call().meta("io.modelcontextprotocol/clientCapabilities", "7").send().await;
    assert_eq!(incomplete.refusal(), (400, -32602), "capabilities that are no object: {incomplete:?}");
    assert_eq!(upstream.executions(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_14_an_unknown_method_is_404_to_a_modern_client_and_200_to_a_legacy_one() {
    let (_upstream, gateway) = echo_behind_both_paths().await;
    for path in gateway.paths() {
        let modern = modern(&gateway).at(&path).message("no/such").send().await;
        let legacy = legacy_at(&gateway, &path, "2025-06-18").await.message("no/such").send().await;
        assert_eq!((modern.refusal(), legacy.refusal()), ((404, -32601), (200, -32601)), "at {path}");
    }
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_17_a_response_nobody_waits_for_is_refused_without_an_id() {
    let (upstream, gateway) = echo_behind_both_paths().await;
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    for path in gateway.paths() {
        let response = modern(&gateway).at(&path).body(body).send().await;
        assert_eq!((response.status(), response.has_id()), (400, false), "at {path}");
    }
    assert_eq!(upstream.executions(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_18_an_unknown_notification_is_accepted_and_goes_to_the_server_of_its_session_only() {
    let (upstream, gateway) = echo_behind_both_paths().await;
    let from_modern = modern(&gateway).notify("notifications/no-such", "{}").await;
    let from_legacy = legacy(&gateway, "2025-06-18").await.notify("notifications/no-such", "{}").await;
    for response in [from_modern, from_legacy] {
        assert_eq!((response.status(), response.body), (202, vec![]));
    }
    // The gateway ignores what it does not know; in a session the server may know it, so nothing is lost.
    assert_eq!(upstream.received("notifications/no-such").len(), 1, "that of the session was forwarded");
    gateway.ends_well(&[]).await;
}
