use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use tollhouse_core::era::{Era, Version};
use tollhouse_core::fault::Kind;
use tollhouse_core::ids::{CallId, ServerId};
use tollhouse_core::record::{
    Attempt, CallRecord, Listener, Outcome, Principal, Seen, SessionRef, SessionSource, Times, Traffic,
};
use tollhouse_core::trace::TraceContext;
use tracing_subscriber::layer::SubscriberExt as _;

use super::line::Line;
use super::{Format, events::Events, filter, otlp, panic_line};

/// A call of `files__read` that arrived on 6 March 2026 at 10:30 and took 15.23 ms.
fn record() -> CallRecord {
    let received_at = UNIX_EPOCH + Duration::from_micros(1_772_793_000_107_770);
    CallRecord {
        id: CallId::mint(received_at),
        received_at,
        listener: Listener::Http,
        request_id: "1".into(),
        principal: Principal::Anonymous,
        session: SessionRef { id: "s-1".into(), source: SessionSource::Protocol },
        hints: Box::default(),
        era: Era::Legacy,
        version: Version::V2025_11_25,
        client: Some("inspector".into()),
        method: "tools/call".into(),
        name: Some("files__read".into()),
        local_name: None,
        server: Some(ServerId::new("files").unwrap()),
        trace: TraceContext::parse(b"00-12345678901234567890123456789012-1234567890123456-01").unwrap(),
        span: [0; 8],
        aside: None,
        sampled: true,
        times: Times {
            sent: Some(Duration::from_micros(120)),
            first_response: Some(Duration::from_millis(9)),
            answered: Some(Duration::from_micros(15_120)),
            done: Duration::from_micros(15_230),
        },
        bytes: Traffic { request: 424, response: 788 },
        arguments: Some(br#"{"path":"/etc/passwd","depth":3}"#[..].into()),
        answer: None,
        seen: Seen::default(),
        attempts: [Attempt::default()].into_iter().collect(),
        legs: Box::default(),
        asked_back: Box::default(),
        outcome: Outcome::Ok,
    }
}

/// The line of a call whose content has been looked at, as the pipeline does.
fn call_line(record: &CallRecord, format: Format) -> String {
    let seen = CallRecord { seen: Seen::of(record, false), ..record.clone() };
    super::call_line(&seen, format).render(format)
}

fn json_of(record: &CallRecord) -> Value {
    serde_json::from_str(&call_line(record, Format::Json)).expect("a line is JSON")
}

fn message(record: &CallRecord) -> String {
    json_of(record)["message"].as_str().unwrap().to_owned()
}

/// The lines written while `act` runs.
fn lines(format: Format, act: impl FnOnce()) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let written = lines.clone();
    let events = Events::new(move |line: &Line<'_>| written.lock().unwrap().push(line.render(format)));
    let subscriber = tracing_subscriber::registry().with(filter::parse("debug").unwrap()).with(events);
    tracing::subscriber::with_default(subscriber, act);
    let lines = lines.lock().unwrap();
    lines.clone()
}

#[test]
fn the_line_of_a_call_has_the_agreed_keys_in_their_order() {
    let record = record();
    let line = call_line(&record, Format::Json);
    // Where in the source it is made may change without anyone noticing.
    let (before, rest) = line.split_once(r#","location":{"#).unwrap();
    let (location, after) = rest.split_once('}').unwrap();
    assert_eq!(
        before,
        r#"{"timestamp":"2026-03-06T10:30:00.123000+00:00","level":"INFO","logger":"tollhouse.call","message":"tools/call files.read - ok - 15.23ms""#
    );
    assert!(location.starts_with(r#""file":"crates/tollhouse-telemetry/src/logs.rs","line":"#), "{location}");
    assert!(location.ends_with(r#","function":"tollhouse_telemetry::logs""#), "{location}");
    assert_eq!(
        after.replace(&record.id.to_string(), "ID"),
        concat!(
            r#","request_id":"ID","trace_id":"12345678901234567890123456789012","span_id":"1234567890123456","#,
            r#""extra":{"server":"files","tool":"files__read","method":"tools/call","jsonrpc_id":"1","session":"s-1","#,
            r#""session_source":"protocol","session_confidence":"connection","era":"legacy","version":"2025-11-25","client":"inspector","outcome":"ok","#,
            r#""attempts":1,"bytes":{"request":424,"response":788},"#,
            r#""times_ms":{"total":15.230,"gateway":0.230,"upstream":15.000,"first_response":9.000},"#,
            r#""arguments":"{path:str(11),depth:int}"}}"#
        )
    );
}

#[test]
fn the_line_of_a_call_reads_as_text() {
    let mut record = record();
    let at = "2026-03-06 10:30:00,123 - tollhouse.call";
    assert_eq!(call_line(&record, Format::Text), format!("{at} - INFO - tools/call files.read - ok - 15.23ms"));
    record.outcome = Outcome::Failed(Kind::Lost.fault());
    assert_eq!(
        call_line(&record, Format::Text),
        format!("{at} - ERROR - tools/call files.read - unknown - 15.23ms error_type=connection_reset")
    );
}

#[test]
fn what_did_not_exist_is_not_in_the_line() {
    let mut record = record();
    record.trace = TraceContext::mint();
    record.client = None;
    record.name = None;
    record.server = None;
    record.arguments = None;
    record.times = Times { done: Duration::from_micros(90), ..Times::default() };
    record.method = "tools/list".into();
    let line = json_of(&record);
    assert_eq!(line["message"], "tools/list - ok - 0.09ms");
    assert_eq!(line.get("span_id"), None);
    assert_eq!(
        line["extra"],
        json!({
            "method": "tools/list", "jsonrpc_id": "1", "session": "s-1", "session_source": "protocol", "session_confidence": "connection",
            "era": "legacy", "version": "2025-11-25", "outcome": "ok", "attempts": 1,
            "bytes": {"request": 424, "response": 788},
            "times_ms": {"total": 0.09, "gateway": 0.09, "upstream": 0.0},
        })
    );
}

#[test]
fn a_failure_says_what_kind_it_is_and_how_bad() {
    let mut record = record();
    let refused = |kind: Kind| Outcome::Refused { code: -32_602, fault: kind.fault() };
    for (outcome, level, word, error_type, fault) in [
        (Outcome::InputRequired, "INFO", "input_required", Value::Null, Value::Null),
        (Outcome::ToolError, "INFO", "tool_error", json!("tool_error"), Value::Null),
        (Outcome::Error { code: -32_603 }, "WARNING", "error", json!("-32603"), Value::Null),
        (refused(Kind::Unknown), "WARNING", "refused", json!("-32602"), json!("unknown_name")),
        (Outcome::Failed(Kind::Cancelled.fault()), "INFO", "cancelled", json!("cancelled"), Value::Null),
        (
            Outcome::Failed(Kind::Unreachable.fault()),
            "WARNING",
            "not_executed",
            json!("connection_refused"),
            Value::Null,
        ),
        (Outcome::Failed(Kind::Timeout.fault()), "ERROR", "timeout", json!("timeout"), Value::Null),
    ] {
        record.outcome = outcome;
        let line = json_of(&record);
        let extra = &line["extra"];
        assert_eq!(line["level"], level, "{word}");
        assert_eq!(extra["outcome"], word);
        assert_eq!(extra["error_type"], error_type, "{word}");
        assert_eq!(extra["fault"], fault, "{word}");
    }
}

#[test]
fn a_call_is_named_by_server_and_local_name() {
    let mut record = record();
    record.name = Some("read".into());
    assert_eq!(message(&record), "tools/call files.read - ok - 15.23ms");
    record.name = Some("other__read".into());
    assert_eq!(message(&record), "tools/call files.other__read - ok - 15.23ms");
    record.server = None;
    assert_eq!(message(&record), "tools/call other__read - ok - 15.23ms");
}

#[test]
fn the_address_of_a_resource_is_shown_without_credentials_and_query() {
    let mut record = record();
    record.method = "resources/read".into();
    record.server = None;
    for (uri, shown) in [
        ("https://user:pass@example.com/a/b?token=secret#part", "https://example.com/a/b"),
        ("https://a@b@example.com", "https://example.com"),
        ("file:///home/x@y", "file:///home/x@y"),
        ("test://static-text", "test://static-text"),
        ("urn:x?secret", "urn:x"),
    ] {
        record.name = Some(uri.into());
        assert_eq!(message(&record), format!("resources/read {shown} - ok - 15.23ms"));
        assert_eq!(json_of(&record)["extra"]["resource"], shown);
    }
}

#[test]
fn no_argument_and_no_long_claim_reaches_a_line() {
    let mut record = record();
    record.arguments = Some(br#"{"password":"CANARY","list":["CANARY"],"CANARY 1":1}"#[..].into());
    record.name = Some("x".repeat(10_000).into());
    record.request_id = format!("\"{}\"", "y".repeat(10_000)).into();
    record.session.id = "z".repeat(10_000).into();
    record.client = Some("\u{4e16}".repeat(10_000).into());
    record.method = "m".repeat(10_000).into();
    for format in [Format::Json, Format::Text] {
        let line = call_line(&record, format);
        assert!(!line.contains("CANARY"), "{line}");
        assert!(line.len() < 3000, "{} bytes", line.len());
    }
}

#[test]
fn a_name_cannot_break_the_line_or_command_the_terminal() {
    let mut record = record();
    record.server = None;
    record.name = Some("a\n2026-03-06 - fake\u{1b}[2J\u{9b}2J\"".into());
    let text = call_line(&record, Format::Text);
    assert!(text.contains(r"tools/call a\n2026-03-06 - fake\u{1b}[2J\u{9b}2J"), "{text}");
    assert!(!text.contains(char::is_control), "{text}");
    let json = call_line(&record, Format::Json);
    assert!(!json.contains('\n'));
    assert_eq!(json_of(&record)["extra"]["tool"], "a\n2026-03-06 - fake\u{1b}[2J\u{9b}2J\"");
}

#[test]
fn an_event_becomes_a_line_with_its_fields() {
    let act = || {
        tracing::warn!(
            target: "tollhouse::http", server = "files", attempt = 2_u64, share = 0.5, nan = f64::NAN, open = true,
            request_id = "r1", user_id = %"u1", trace_id = "t1", span_id = "s1", r#type = ?Some(1),
            "call refused by the {}", "breaker"
        );
    };
    let [line] = &lines(Format::Json, act)[..] else { panic!("one line") };
    let (timestamp, rest) = line.split_once(r#","level""#).unwrap();
    assert!(timestamp.ends_with("+00:00\""), "{timestamp}");
    let (before, location) =
        rest.split_once(r#","location":{"file":"crates/tollhouse-telemetry/src/logs/tests.rs","line":"#).unwrap();
    let (_, after) = location.split_once(',').unwrap();
    assert_eq!(before, r#":"WARNING","logger":"tollhouse.http","message":"call refused by the breaker""#);
    assert_eq!(
        after,
        concat!(
            r#""function":"tollhouse_telemetry::logs::tests"},"#,
            r#""request_id":"r1","user_id":"u1","trace_id":"t1","span_id":"s1","#,
            r#""extra":{"server":"files","attempt":2,"share":0.5,"nan":"NaN","open":true,"type":"Some(1)"}}"#
        )
    );
    let [text] = &lines(
        Format::Text,
        || tracing::info!(target: "a::b", path = "x y", port = 1_u64, name = "z", "POST /mcp"),
    )[..] else {
        panic!("one line")
    };
    let (_, rest) = text.split_once(" - ").unwrap();
    assert_eq!(rest, r#"a.b - INFO - POST /mcp path="x y" port=1 name=z"#);
}

#[derive(Debug, thiserror::Error)]
#[error("cannot start")]
struct Outer(#[source] Inner);

#[derive(Debug, thiserror::Error)]
#[error("port\n7070 is taken")]
struct Inner;

#[test]
fn an_error_is_told_with_its_causes() {
    let error: &dyn std::error::Error = &Outer(Inner);
    let json = lines(Format::Json, || tracing::error!(error, "giving up"));
    let line: Value = serde_json::from_str(&json[0]).unwrap();
    assert_eq!(
        line["exception"],
        json!({"type": "Outer", "message": "cannot start", "traceback": ["port\n7070 is taken"]})
    );
    assert_eq!(line.get("extra"), None);
    let text = lines(Format::Text, || tracing::error!(target: "a", error, "giving up"));
    assert!(text[0].ends_with(r" - a - ERROR - giving up: cannot start: port\n7070 is taken"), "{}", text[0]);
}

/// The lines of the panics of `act`, in a thread of its own.
fn panic_lines(format: Format, act: fn(&str)) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (written, name) = (lines.clone(), format!("panics as {format:?}"));
    let (ours, others) = (name.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| match std::thread::current().name() {
        Some(name) if name == ours => written.lock().unwrap().push(panic_line(panic, format).render(format)),
        _ => others(panic),
    }));
    let thread = std::thread::Builder::new().name(name).spawn(move || act("CANARY")).unwrap();
    assert!(thread.join().is_err(), "it panicked");
    let lines = lines.lock().unwrap();
    lines.clone()
}

#[test]
fn a_panic_becomes_a_line_without_what_it_may_have_been_given() {
    let [line] = &panic_lines(Format::Json, |_| panic!("a literal"))[..] else { panic!("one line") };
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["level"], &line["logger"]), (&json!("ERROR"), &json!("tollhouse.panic")));
    assert_eq!(line["message"], "panic in thread panics as Json");
    assert_eq!(line["location"]["file"], "crates/tollhouse-telemetry/src/logs/tests.rs");
    assert_eq!(line["exception"]["message"], "a literal");
    let [line] = &panic_lines(Format::Text, |data| panic!("failed for {data}"))[..] else { panic!("one line") };
    assert!(line.ends_with(" - ERROR - panic in thread panics as Text: message withheld, it may hold data"), "{line}");
}

#[test]
fn a_format_is_known_by_its_name() {
    assert_eq!(Format::parse("json"), Some(Format::Json));
    assert_eq!(Format::parse("TEXT"), Some(Format::Text));
    assert_eq!(Format::parse("auto"), Some(Format::auto()));
    assert_eq!(Format::parse("xml"), None);
}

#[test]
fn a_log_record_says_what_the_line_says() {
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    let record = CallRecord { span: [7; 8], outcome: Outcome::Failed(Kind::Timeout.fault()), ..record() };
    let told = otlp::encode(&super::call_line(&record, Format::Json));
    assert_eq!((told.trace_id.as_slice(), told.span_id.as_slice()), (&record.trace.trace_id[..], &[7; 8][..]));
    assert_eq!((told.severity_number, told.severity_text.as_str()), (17, "ERROR"));
    assert_eq!(told.event_name, "tollhouse.call");
    assert_eq!(
        told.body.unwrap().value,
        Some(Any::StringValue("tools/call files.read - timeout - 15.23ms".to_owned()))
    );
    let find = |name: &str| {
        let found = told.attributes.iter().find(|attribute| attribute.key == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", told.attributes)).value.clone().unwrap().value.unwrap()
    };
    for (name, value) in [
        ("mcp.method.name", "tools/call"),
        ("gen_ai.tool.name", "files__read"),
        ("tollhouse.server.name", "files"),
        ("error.type", "timeout"),
        ("tollhouse.call.id", &record.id.to_string()),
        ("tollhouse.logger", "tollhouse.call"),
    ] {
        assert_eq!(find(name), Any::StringValue(value.to_owned()), "{name}");
    }
    assert_eq!(find("tollhouse.attempts"), Any::IntValue(1));
    assert!(matches!(find("tollhouse.bytes"), Any::KvlistValue(bytes) if bytes.values.len() == 2));
    let keys: std::collections::BTreeSet<_> = told.attributes.iter().map(|attribute| &attribute.key).collect();
    assert_eq!(keys.len(), told.attributes.len());
}

#[test]
fn what_the_export_says_is_not_exported() {
    for (logger, own) in [
        ("tollhouse.otel", true),
        ("hyper_util::client::legacy", true),
        ("h2::codec", true),
        ("tollhouse_telemetry::otlp::delivery", true),
        ("tollhouse.http", false),
        ("h2o", false),
        ("tollhouse::call", false),
    ] {
        assert_eq!(otlp::is_own(logger), own, "{logger}");
    }
}
