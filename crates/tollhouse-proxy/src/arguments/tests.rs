use std::fmt::Write as _;

use serde_json::json;
use tokio::time::Instant;

use super::*;

/// What is said of arguments: nothing if they fit, `?` and why if that stays open, else where they do not.
fn said(schema: &Value, arguments: &Value) -> String {
    let schema = Schema::read(schema.to_string().as_bytes()).unwrap_or_else(|why| panic!("{why}"));
    match schema.check(arguments.to_string().as_bytes()) {
        Verdict::Fit => String::new(),
        Verdict::Unfit(cause) => cause,
        Verdict::Open(why) => format!("? {why}"),
    }
}

fn refused(schema: &str) -> String {
    Schema::read(schema.as_bytes()).err().unwrap_or_else(|| "it is used".to_owned())
}

#[test]
fn what_does_not_fit_is_told_by_its_path() {
    let schema = json!({
        "type": "object", "required": ["path"], "additionalProperties": false,
        "properties": {"path": {"type": "string", "pattern": "^/"}, "where": {"properties": {"zone": {"type": "integer"}}}},
    });
    for (arguments, expected) in [
        (json!({"path": "/a"}), ""),
        (json!({}), "at `/`: missing properties 'path'"),
        (json!({"path": 7}), "at `/path`: want string, but got number"),
        (json!({"path": "/a", "where": {"zone": "x"}}), "at `/where/zone`: want integer, but got string"),
        (json!({"path": "a"}), "at `/path`: 'a' does not match pattern '^/'"),
    ] {
        assert_eq!(said(&schema, &arguments), expected, "{arguments}");
    }
    let list = json!({"properties": {"of": {"items": {"type": "integer"}}}});
    assert!(said(&list, &json!({"of": ["a", "b", "c", "d", "e", "f", "g"]})).ends_with("; and 2 more"));
    assert!(said(&schema, &json!({"path": "x".repeat(1000)})).chars().count() < 2 * TOLD_LENGTH, "a long value is cut");
}

#[test]
fn parts_may_refer_to_one_another_and_to_themselves_further_down() {
    let tree = json!({
        "$ref": "#/$defs/node",
        "$defs": {"node": {
            "type": "object", "required": ["name"],
            "properties": {"name": {"type": "string"}, "children": {"items": {"$ref": "#/$defs/node"}}},
        }},
    });
    let deep = |last: Value| json!({"name": "a", "children": [{"name": "b", "children": [last]}]});
    assert_eq!(said(&tree, &deep(json!({"name": "c"}))), "");
    assert_eq!(said(&tree, &deep(json!({}))), "at `/children/0/children/0`: missing properties 'name'");
}

#[test]
fn older_drafts_are_understood() {
    let schema =
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"type": "integer"}}});
    assert_eq!(said(&schema, &json!({"a": "x"})), "at `/a`: want integer, but got string");
}

#[test]
fn a_16_nothing_is_fetched_for_a_schema() {
    for target in ["http://127.0.0.1:9/s.json", "file:///etc/passwd", "other.json", "urn:x:y"] {
        let schema = format!(r#"{{"properties": {{"a": {{"$ref": "{target}"}}}}}}"#);
        assert_eq!(refused(&schema), "its schema refers to another document");
    }
    assert!(refused(r#"{"$schema": "http://127.0.0.1:9/meta"}"#).starts_with("its schema: "));
}

#[test]
fn a_16_a_schema_over_a_bound_is_not_used_and_that_is_found_out_at_once() {
    let nested = |depth: usize| format!("{}{}{}", r#"{"not":"#.repeat(depth), "{}", "}".repeat(depth));
    let many = |parts: usize| format!(r#"{{"anyOf":[{}]}}"#, vec!["{}"; parts].join(","));
    let start = Instant::now();
    for (schema, why) in [
        (nested(1000), "recursion limit exceeded"),
        (nested(100), "its schema is nested deeper than 64 levels"),
        (many(20_000), "its schema has more than 10000 parts"),
        (many(1_000_000), "its schema is longer than 256 KiB"),
        (r##"{"$ref":"#"}"##.to_owned(), "its schema refers to itself for the same value"),
        (r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"not":{"$ref":"#/$defs/a"}}}}"##.to_owned(), "itself"),
        (r##"{"$dynamicRef":"#x"}"##.to_owned(), "its schema uses `$dynamicRef`"),
        (format!(r#"{{"pattern":"{}"}}"#, "a".repeat(20_000)), "bytes of patterns"),
        (r#"{"pattern":"(a{1000}){1000}"}"#.to_owned(), "its schema has a pattern that is too large"),
    ] {
        let refused = refused(&schema);
        assert!(refused.contains(why), "{refused}, not {why}: {}", &schema.get(..80).unwrap_or(&schema));
    }
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn a_schema_that_asks_for_endless_work_makes_none() {
    // Each part applies the next one twice.
    let mut doubling = String::from(r##"{"$ref":"#/$defs/p0","$defs":{"##);
    for at in 0..60 {
        let next = at + 1;
        write!(doubling, r##""p{at}":{{"allOf":[{{"$ref":"#/$defs/p{next}"}},{{"$ref":"#/$defs/p{next}"}}]}},"##)
            .unwrap();
    }
    doubling.push_str(r#""p60":{}}}"#);
    let doubling: Value = serde_json::from_str(&doubling).unwrap();
    // Twice at every level of the arguments.
    let branching = json!({"additionalProperties": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}});
    let deep = (0..100).fold(json!({}), |inner, _| json!({"a": inner}));
    let start = Instant::now();
    assert_eq!(said(&doubling, &json!({})), "? they are too large for their schema");
    assert_eq!(said(&branching, &deep), "? they are too large for their schema");
    assert_eq!(said(&branching, &json!({"a": {"b": {}}})), "");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn many_values_are_much_work_and_a_few_hundred_are_not() {
    let schema = json!({"properties": {"of": {"items": {"type": "integer", "minimum": 0}}}});
    let list = |length: usize| json!({"of": vec![7; length]});
    assert_eq!(said(&schema, &list(1000)), "");
    assert_eq!(said(&schema, &list(500_000)), "? they are too large for their schema");
}

#[test]
fn the_stack_of_the_thread_holds_the_longest_row_that_is_allowed() {
    // Each level of the arguments applies 60 parts within one another; 33 levels are just below the bound.
    let row =
        format!("{}{}{}", r#"{"allOf":["#.repeat(58), r##"{"additionalProperties":{"$ref":"#"}}"##, "]}".repeat(58));
    let deep = |levels| (0..levels).fold(json!({}), |inner, _| json!({"a": inner}));
    let said_of = |levels| said(&serde_json::from_str(&row).unwrap(), &deep(levels));
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let looked = thread.spawn_scoped(scope, || [said_of(30), said_of(100)]).unwrap();
        assert_eq!(looked.join().unwrap(), ["", "? they are too large for their schema"]);
    });
}
