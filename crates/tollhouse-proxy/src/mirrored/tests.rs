use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tollhouse_core::wire::{Envelope, Span};

use super::{ANNOTATION, DEPTH_MAX, HEADERS_MAX, Mirrored};

/// What is known after lists of these tools.
fn learned(lists: &[Value]) -> Mirrored {
    let mirrored = Mirrored::default();
    for tools in lists {
        let page = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools, "resultType": "complete"}});
        mirrored.learn(&Envelope::parse(Bytes::from(page.to_string())).unwrap());
    }
    mirrored
}

/// The headers of the tool `t` and where they lead, in the order of the schema.
fn known(mirrored: &Mirrored) -> Vec<(String, String)> {
    let tools = mirrored.tools.read().unwrap();
    let mirrors = tools.get("t").map(Vec::as_slice).unwrap_or_default();
    mirrors.iter().map(|mirror| (mirror.header.to_string(), mirror.path.join("."))).collect()
}

/// The headers of a tool with this input schema.
fn headers_of(schema: &Value) -> Vec<(String, String)> {
    known(&learned(&[json!([{"name": "t", "inputSchema": schema}])]))
}

fn property(kind: &str, header: &str) -> Value {
    json!({"type": kind, ANNOTATION: header})
}

fn with(properties: &Value) -> Value {
    json!({"type": "object", "properties": properties})
}

fn pair(header: &str, path: &str) -> (String, String) {
    (header.to_owned(), path.to_owned())
}

#[test]
fn strings_integers_and_booleans_are_mirrored_however_deep_their_properties_lie() {
    let schema = with(&json!({
        "region": property("string", "Region"),
        "where": {"type": "object", "properties": {"zone": property("integer", "Zone"), "x": {"type": "string"}}},
        "dry": property("boolean", "dry-run"),
    }));
    let mut headers = headers_of(&schema);
    headers.sort();
    let expected =
        [pair("mcp-param-dry-run", "dry"), pair("mcp-param-region", "region"), pair("mcp-param-zone", "where.zone")];
    assert_eq!(headers, expected);
}

#[test]
fn one_bad_annotation_leaves_a_tool_without_any() {
    let good = || property("string", "Good");
    let mut deep = property("string", "Deep");
    for _ in 0..DEPTH_MAX {
        deep = with(&json!({"p": deep}));
    }
    let many: Value = (0..=HEADERS_MAX).map(|n| (n.to_string(), property("string", &n.to_string()))).collect();
    for (what, schema) in [
        ("no token", with(&json!({"a": good(), "b": property("string", "two words")}))),
        ("an empty name", with(&json!({"a": good(), "b": property("string", "")}))),
        ("no string", with(&json!({"a": good(), "b": {"type": "string", ANNOTATION: 7}}))),
        ("a number", with(&json!({"a": good(), "b": property("number", "B")}))),
        ("an object", with(&json!({"a": good(), "b": property("object", "B")}))),
        ("several types", with(&json!({"a": good(), "b": {"type": ["string", "null"], ANNOTATION: "B"}}))),
        ("no type", with(&json!({"a": good(), "b": {ANNOTATION: "B"}}))),
        ("the same twice", with(&json!({"a": good(), "b": property("string", "gOOD")}))),
        ("the root", json!({"type": "string", ANNOTATION: "Root", "properties": {"a": good()}})),
        ("items", with(&json!({"a": good(), "b": {"type": "array", "items": property("string", "B")}}))),
        ("a choice", json!({"properties": {"a": good()}, "anyOf": [with(&json!({"b": property("string", "B")}))]})),
        ("a definition", json!({"properties": {"a": good()}, "$defs": {"b": property("string", "B")}})),
        ("too many", with(&many)),
        ("too deep", with(&json!({"a": good(), "b": deep}))),
    ] {
        assert_eq!(headers_of(&schema), [], "{what}");
    }
    assert_eq!(headers_of(&with(&json!({"a": good()}))), [pair("mcp-param-good", "a")]);
}

#[test]
fn the_word_is_an_annotation_only_where_it_names_a_header() {
    let schema = with(&json!({
        "a": {"type": "string", ANNOTATION: "A", "description": "see \"x-mcp-header\": it names a header"},
        ANNOTATION: {"type": "string", "enum": [ANNOTATION], "default": {ANNOTATION: 1}},
        "b": {"type": "array", "items": {"enum": [ANNOTATION, "other"]}},
    }));
    assert_eq!(headers_of(&schema), [pair("mcp-param-a", "a")]);
}

#[test]
fn the_last_list_that_holds_a_tool_counts() {
    let with_header = |header| json!([{"name": "t", "inputSchema": with(&json!({"a": property("string", header)}))}]);
    let other = json!([{"name": "u", "inputSchema": with(&json!({}))}]);
    let bare = json!([{"name": "t", "inputSchema": with(&json!({}))}]);
    let first = with_header("A");
    assert_eq!(known(&learned(&[first.clone(), other])), [pair("mcp-param-a", "a")], "another page");
    assert_eq!(known(&learned(&[first.clone(), with_header("B")])), [pair("mcp-param-b", "a")], "another name");
    assert_eq!(known(&learned(&[first, bare])), [], "no header any more");
}

/// What is wrong with a call of these arguments and headers to a tool that mirrors `region` and `where.zone`.
fn judged(arguments: &str, headers: &[(&'static str, &'static str)]) -> Option<&'static str> {
    let schema = with(&json!({
        "region": property("string", "Region"),
        "where": with(&json!({"zone": property("integer", "Zone")})),
    }));
    let mirrored = learned(&[json!([{"name": "t", "inputSchema": schema}])]);
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let arguments = (!arguments.is_empty()).then_some(arguments);
    let span = arguments.map(|arguments| Span::new(0, arguments.len()));
    let text = arguments.unwrap_or_default().as_bytes();
    let tools = mirrored.tools.read().unwrap();
    tools["t"].iter().find_map(|mirror| mirror.agrees(text, span, &map).err())
}

const REGION: &str = "mcp-param-region";
const ZONE: &str = "mcp-param-zone";

#[test]
fn headers_that_say_what_the_arguments_say_are_accepted() {
    for (arguments, headers) in [
        ("", &[][..]),
        ("{}", &[]),
        (r#"{"region":null,"where":{"zone":null}}"#, &[]),
        (r#"{"region":null,"where":7}"#, &[]),
        (r#"{"region":"eu"}"#, &[(REGION, "eu"), ("mcp-param-other", "=?base64?%?=")]),
        (r#"{"region":"eu"}"#, &[(REGION, " eu ")]),
        (r#"{"region":"Gr\u00fc\u00dfe"}"#, &[(REGION, "=?base64?R3LDvMOfZQ==?=")]),
        (r#"{"region":"SGVsbG8="}"#, &[(REGION, "SGVsbG8=")]),
        (r#"{"region":"=?base64?SGVsbG8="}"#, &[(REGION, "=?base64?SGVsbG8=")]),
        (r#"{"reg\u0069on":"eu"}"#, &[(REGION, "eu")]),
        (r#"{"region":""}"#, &[(REGION, "")]),
        (r#"{"where" : { "zone" : 42.0 } }"#, &[(ZONE, "42")]),
        (r#"{"where":{"zone":-7},"region":"x"}"#, &[(ZONE, "-7"), (REGION, "x")]),
        // Whether the argument has the right type is the server's question.
        (r#"{"region":true}"#, &[(REGION, "true")]),
    ] {
        assert_eq!(judged(arguments, headers), None, "{arguments} {headers:?}");
    }
}

#[test]
fn headers_that_say_something_else_are_refused() {
    let (missing, twice, differs) = ("is missing", "is there twice", "differs from the body");
    let (malformed, nothing) = ("is malformed", "repeats an argument that is not there");
    for (arguments, headers, why) in [
        (r#"{"region":"eu"}"#, &[][..], missing),
        (r#"{"region":["eu"]}"#, &[], missing),
        (r#"{"where":{"zone":1}}"#, &[(REGION, "1")], nothing),
        (r#"{"region":"eu"}"#, &[(REGION, "us")], differs),
        (r#"{"region":"eu"}"#, &[(REGION, "EU")], differs),
        (r#"{"region":"eu"}"#, &[(REGION, "")], differs),
        (r#"{"region":["eu"]}"#, &[(REGION, "[\"eu\"]")], differs),
        (r#"{"region":{}}"#, &[(REGION, "{}")], differs),
        (r#"{"region":"a\u0000"}"#, &[(REGION, "=?base64?YQA=?=")], differs),
        (r#"{"where":{"zone":42.5}}"#, &[(ZONE, "42.5")], differs),
        (r#"{"where":{"zone":9007199254740992}}"#, &[(ZONE, "9007199254740992")], differs),
        (r#"{"region":"eu"}"#, &[(REGION, "eu"), (REGION, "eu")], twice),
        (r#"{"region":"Hello"}"#, &[(REGION, "=?base64?SGVsbG8?=")], malformed),
        (r#"{"region":"Hello"}"#, &[(REGION, "=?base64?SGVs!!!bG8=?=")], malformed),
        ("", &[(REGION, "eu")], nothing),
        (r#"{"region":null}"#, &[(REGION, "null")], nothing),
        (r#"{"region":null}"#, &[(REGION, "")], nothing),
        (r#"{"where":"eu"}"#, &[(ZONE, "eu")], nothing),
        (r#"{"region":"eu","region":"us"}"#, &[(REGION, "eu")], "repeats an argument that is there twice"),
        (r#"{"region":"eu","\u0072egion":"us"}"#, &[(REGION, "eu")], "repeats an argument that is there twice"),
    ] {
        assert_eq!(judged(arguments, headers), Some(why), "{arguments} {headers:?}");
    }
}
