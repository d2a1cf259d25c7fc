use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
use prost::Message as _;
use tollhouse_core::era::{Era, Version};
use tollhouse_core::fault::Kind;
use tollhouse_core::ids::{CallId, ServerId};
use tollhouse_core::record::{
    Attempt, Failed, Hint, Listener, Outcome, Principal, Seen, SessionRef, SessionSource, Times, Traffic,
};
use tollhouse_core::trace::{Root, TraceContext};
use tollhouse_core::wire::method::intern;

use super::*;
use crate::otlp::Resource;

const CALLER: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn record(outcome: Outcome) -> CallRecord {
    let ms = Duration::from_millis;
    let attempt = Attempt { span: [2; 8], started: ms(1), ended: Some(ms(29)), failed: outcome.failure() };
    CallRecord {
        id: CallId::mint(UNIX_EPOCH),
        received_at: UNIX_EPOCH + ms(1_000),
        listener: Listener::Http,
        request_id: "\"a\"".into(),
        principal: Principal::Anonymous,
        session: SessionRef { id: "s".into(), source: SessionSource::Guess },
        hints: Box::default(),
        era: Era::Modern,
        version: Version::MODERN,
        client: None,
        method: intern("tools/call"),
        name: Some("files__read".into()),
        local_name: Some("read".into()),
        server: ServerId::new("files").ok(),
        trace: TraceContext::parse(CALLER).unwrap(),
        span: [1; 8],
        aside: None,
        sampled: true,
        times: Times { sent: Some(ms(1)), first_response: Some(ms(20)), answered: Some(ms(29)), done: ms(30) },
        bytes: Traffic { request: 100, response: 200 },
        arguments: None,
        answer: None,
        seen: Seen::default(),
        attempts: [attempt].into_iter().collect(),
        legs: Box::default(),
        asked_back: Box::default(),
        outcome,
    }
}

fn told_with(spans: &mut Spans, record: CallRecord) -> Vec<Span> {
    let items = spans.of(&mut [record]);
    let request = Resource::new(Vec::new(), "1").request(&items, 0);
    let request = TracesData::decode(&request[..]).unwrap();
    request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
}

fn told(record: CallRecord) -> Vec<Span> {
    let mut spans = Spans::new(Config::default());
    spans.know([("files".to_owned(), Peer::Http { address: "files.example".to_owned(), port: 8080 })].into());
    told_with(&mut spans, record)
}

fn value(span: &Span, key: &str) -> Option<String> {
    let mut found = span.attributes.iter().filter(|attribute| attribute.key == key);
    let value = found.next()?.value.clone()?.value?;
    assert!(found.next().is_none(), "{key} stands there twice");
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => format!("#{number}"),
        Value::DoubleValue(number) => format!("~{number}"),
        other => panic!("{key} is {other:?}"),
    })
}

#[test]
fn a_call_is_a_span_of_each_side() {
    let [served, sent] = &told(record(Outcome::Ok))[..] else { panic!("two spans") };
    let hex = |bytes: &[u8]| tollhouse_core::trace::Hex(bytes).to_string();
    assert_eq!(hex(&served.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&served.parent_span_id), "b7ad6b7169203331");
    assert_eq!((served.span_id.clone(), sent.parent_span_id.clone()), (vec![1; 8], vec![1; 8]));
    assert_eq!((sent.span_id.clone(), &sent.trace_id), (vec![2; 8], &served.trace_id));
    assert_eq!((served.name.as_str(), sent.name.as_str()), ("tools/call files__read", "tools/call read"));
    assert_eq!((served.kind(), sent.kind()), (SpanKind::Server, SpanKind::Client));
    assert_eq!((served.start_time_unix_nano, served.end_time_unix_nano), (1_000_000_000, 1_030_000_000));
    assert_eq!((sent.start_time_unix_nano, sent.end_time_unix_nano), (1_001_000_000, 1_029_000_000));
    assert_eq!((served.flags, sent.flags), (0x301, 0x101), "sampled; the caller is elsewhere");
    for (key, of_served, of_sent) in [
        ("mcp.method.name", Some("tools/call"), Some("tools/call")),
        ("gen_ai.tool.name", Some("files__read"), Some("read")),
        ("gen_ai.operation.name", Some("execute_tool"), Some("execute_tool")),
        ("jsonrpc.request.id", Some("a"), None),
        ("network.transport", Some("tcp"), Some("tcp")),
        ("server.address", None, Some("files.example")),
        ("server.port", None, Some("#8080")),
        ("tollhouse.attempt", None, Some("#1")),
        ("tollhouse.server.name", Some("files"), Some("files")),
        ("tollhouse.server.tool.name", Some("read"), Some("read")),
        ("tollhouse.request.size", Some("#100"), None),
        ("tollhouse.response.size", Some("#200"), None),
        ("tollhouse.time_to_first_output", Some("~0.02"), Some("~0.019")),
        ("tollhouse.overhead.duration", Some("~0.002"), None),
        ("tollhouse.sampling.reason", Some("head"), None),
        ("mcp.session.id", None, None),
        ("error.type", None, None),
    ] {
        assert_eq!((value(served, key).as_deref(), value(sent, key).as_deref()), (of_served, of_sent), "{key}");
    }
}

#[test]
fn each_side_fails_as_the_conventions_have_it() {
    let failed = |kind: Kind| Outcome::Failed(kind.fault());
    let refused = |code| Outcome::Refused { code, fault: Kind::Unknown.fault() };
    // method, outcome, then error.type and code of the attempt, and error.type, code and fault of the call.
    let rows: [(&str, Outcome, [Option<&str>; 5]); 14] = [
        ("tools/call", Outcome::Ok, [None; 5]),
        ("tools/call", Outcome::InputRequired, [None; 5]),
        ("tools/call", Outcome::ToolError, [Some("tool_error"), None, Some("tool_error"), None, None]),
        ("tools/call", Outcome::Error { code: -32602 }, [Some("-32602"), Some("-32602"), None, Some("-32602"), None]),
        ("x", Outcome::Error { code: -32700 }, [Some("-32700"), Some("-32700"), None, Some("-32700"), None]),
        ("x", Outcome::Error { code: -32603 }, [Some("-32603"), Some("-32603"), Some("-32603"), Some("-32603"), None]),
        ("x", Outcome::Error { code: -32020 }, [Some("-32020"), Some("-32020"), Some("-32020"), Some("-32020"), None]),
        ("x", failed(Kind::Timeout), [Some("timeout"), None, Some("5041"), Some("5041"), Some("timeout")]),
        ("tools/call", failed(Kind::Timeout), [Some("timeout"), None, Some("5041"), None, Some("timeout")]),
        (
            "x",
            failed(Kind::Unreachable),
            [Some("connection_refused"), None, Some("5030"), Some("5030"), Some("connection_refused")],
        ),
        ("x", failed(Kind::Cancelled), [Some("cancelled"), None, Some("cancelled"), None, Some("cancelled")]),
        ("x", refused(-32602), [None, None, None, Some("-32602"), Some("unknown_name")]),
        ("x", refused(-32022), [None, None, None, Some("-32022"), Some("unknown_name")]),
        ("x", refused(4290), [None, None, Some("4290"), Some("4290"), Some("unknown_name")]),
    ];
    for (method, outcome, expected) in rows {
        let mut call = CallRecord { method: intern(method), ..record(outcome.clone()) };
        if matches!(outcome, Outcome::Refused { .. }) {
            call.attempts = std::iter::empty().collect();
        }
        let spans = told(call);
        let served = &spans[0];
        let sent = spans.get(1);
        let of = |key: &str| sent.and_then(|sent| value(sent, key));
        let found = [
            of("error.type"),
            of("rpc.response.status_code"),
            value(served, "error.type"),
            value(served, "rpc.response.status_code"),
            value(served, "tollhouse.fault"),
        ];
        assert_eq!(found.each_ref().map(Option::as_deref), expected, "{method} {outcome:?}");
        for span in &spans {
            let error = span.status.as_ref().is_some_and(|status| status.code == 2);
            assert_eq!(error, value(span, "error.type").is_some(), "{method} {outcome:?}");
        }
    }
}

#[test]
fn a_repeated_call_has_a_span_for_each_attempt() {
    let ms = Duration::from_millis;
    let lost =
        Attempt { span: [3; 8], started: ms(0), ended: Some(ms(1)), failed: Some(Failed::Fault(Kind::Unreachable)) };
    let brought = Attempt { span: [4; 8], started: ms(5), ended: Some(ms(29)), failed: None };
    let spans = told(CallRecord { attempts: [lost, brought].into_iter().collect(), ..record(Outcome::Ok) });
    let of = |key| spans.iter().map(|span| value(span, key)).collect::<Vec<_>>();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(of("error.type"), [None, some("connection_refused"), None]);
    assert_eq!(of("tollhouse.attempt"), [None, some("#1"), some("#2")]);
    assert_eq!(of("tollhouse.recovery.outcome"), [some("success"), None, some("success")]);
    assert!(spans[1..].iter().all(|sent| sent.parent_span_id == spans[0].span_id));
}

#[test]
fn a_session_has_a_root_that_is_told_once_and_first() {
    let mut spans = Spans::new(Config::default());
    let session = SessionRef { id: "s".into(), source: SessionSource::Protocol };
    let mut call = record(Outcome::Ok);
    call.trace = spans.config.roots.context(&session, call.listener, call.received_at).unwrap();
    call.session = session;
    (call.era, call.version) = (Era::Legacy, Version::LATEST_LEGACY);
    let first = told_with(&mut spans, call.clone());
    let [root, served, _] = &first[..] else { panic!("{first:?}") };
    assert_eq!((root.name.as_str(), root.kind()), ("tollhouse.session", SpanKind::Internal));
    assert!(root.parent_span_id.is_empty() && root.span_id == served.parent_span_id);
    assert_eq!(root.start_time_unix_nano, root.end_time_unix_nano);
    assert_eq!(value(root, "mcp.session.id").as_deref(), Some("s"));
    assert_eq!(told_with(&mut spans, call.clone()).len(), 2, "once");
    spans.repeat_roots();
    assert_eq!(told_with(&mut spans, call).len(), 3, "it may have been lost");
}

#[test]
fn names_that_no_server_has_stand_in_no_span_name() {
    let made_up =
        CallRecord { local_name: None, name: Some("made-up".into()), ..record(Outcome::Error { code: -32602 }) };
    let mut spans = Spans::new(Config::default());
    let names = |spans: &[Span]| spans.iter().map(|span| span.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&told_with(&mut spans, made_up.clone())), ["tools/call _OTHER"; 2]);
    let known = CallRecord { outcome: Outcome::Ok, ..made_up.clone() };
    assert_eq!(names(&told_with(&mut spans, known)), ["tools/call made-up"; 2]);
    assert_eq!(names(&told_with(&mut spans, made_up)), ["tools/call made-up"; 2], "its server has it");
    let read = CallRecord {
        method: intern("resources/read"),
        name: Some("https://user:pass@host/path?token=x".into()),
        ..record(Outcome::Ok)
    };
    let [served, _] = &told(read)[..] else { panic!("two spans") };
    assert_eq!(served.name, "resources/read");
    assert_eq!(value(served, "mcp.resource.uri").as_deref(), Some("https://host/path"));
}

#[test]
fn what_matters_is_told_though_it_was_not_sampled() {
    let mut config = Config { sampler: Sampler { root: Root::Ratio(0.0), by_parent: true }, ..Config::default() };
    let call = |outcome| CallRecord { sampled: false, ..record(outcome) };
    let why = |spans: &mut Spans, call: CallRecord| {
        told_with(spans, call).first().and_then(|span| value(span, "tollhouse.sampling.reason"))
    };
    let mut spans = Spans::new(config.clone());
    for n in 0..200 {
        let known = CallRecord { trace: TraceContext::mint(), ..call(Outcome::Ok) };
        assert_eq!(why(&mut spans, known).as_deref(), (n < 10).then_some("new"), "{n}");
    }
    let slow = |millis| {
        let times = Times { done: Duration::from_millis(millis), ..Times::default() };
        CallRecord { times, trace: TraceContext::mint(), ..call(Outcome::Ok) }
    };
    assert_eq!(why(&mut spans, slow(110)), None);
    assert_eq!(why(&mut spans, slow(140)).as_deref(), Some("slow"), "four times what is usual");
    assert_eq!(why(&mut spans, call(Outcome::ToolError)).as_deref(), Some("error"));
    assert_eq!(why(&mut spans, call(Outcome::Ok)).as_deref(), Some("trace"), "the rest of its trace");
    config.sampler = Sampler { root: Root::Off, by_parent: false };
    assert_eq!(why(&mut Spans::new(config), call(Outcome::ToolError)), None, "off is off");
}

#[test]
fn disabled_tools_have_no_spans() {
    for (list, count) in [("files", 0), ("read", 0), ("files__*", 0), ("write", 2)] {
        let mut spans = Spans::new(Config { disabled: Tools::read(list), ..Config::default() });
        let mut calls = [record(Outcome::ToolError)];
        let items = spans.of(&mut calls);
        assert_eq!(items.iter().map(Items::count).sum::<usize>(), count, "{list}");
        assert_eq!(calls[0].sampled, count > 0);
    }
}

#[test]
fn a_span_is_limited() {
    let limits = Limits { attributes: 4, value: 8, ..Limits::default() };
    let mut spans = Spans::new(Config { limits, ..Config::default() });
    let hint = Hint { key: "gen_ai.conversation.id", value: "x".into() };
    let told = told_with(&mut spans, CallRecord { hints: [hint].into(), ..record(Outcome::ToolError) });
    for span in &told {
        assert_eq!(span.attributes.len(), 4);
        assert!(span.dropped_attributes_count > 5, "{}", span.dropped_attributes_count);
        assert_eq!(value(span, "mcp.method.name").as_deref(), Some("tools/ca"));
        assert_eq!(span.status.as_ref().map(|status| status.code), Some(2));
    }
}

#[test]
fn the_span_of_a_subscription_ends_when_it_is_acknowledged() {
    let hour = Duration::from_hours(1);
    let method = intern("subscriptions/listen");
    let open = CallRecord { method, name: None, local_name: None, ..record(Outcome::Ok) };
    let mut attempts = open.attempts.clone();
    attempts.push(Attempt { span: [3; 8], started: Duration::from_millis(1), ended: Some(hour), failed: None });
    let spans = told(CallRecord { times: Times { done: hour, ..open.times }, attempts, ..open });
    let lasted = |span: &Span| (span.end_time_unix_nano - span.start_time_unix_nano) / 1_000_000;
    assert_eq!(spans.iter().map(lasted).max(), Some(20), "{spans:?}");
}

#[test]
fn the_root_of_a_session_is_linked_to_that_of_the_hour_before() {
    let config = Config::default();
    let session = SessionRef { id: "s".into(), source: SessionSource::Protocol };
    let at = |hours: u64| UNIX_EPOCH + Duration::from_hours(1000 + hours);
    let call = |hours: u64| {
        let trace = config.roots.context(&session, Listener::Http, at(hours)).unwrap();
        CallRecord { received_at: at(hours), session: session.clone(), trace, ..record(Outcome::Ok) }
    };
    let mut spans = Spans::new(config.clone());
    let mut root = |hours| told_with(&mut spans, call(hours)).into_iter().find(|span| span.kind == 1).unwrap();
    let (first, second, later) = (root(0), root(1), root(5));
    assert_eq!((first.links.len(), later.links.len()), (0, 0), "nothing was told of the hour before");
    let [link] = &second.links[..] else { panic!("{second:?}") };
    assert_eq!((&link.trace_id, &link.span_id), (&first.trace_id, &first.span_id));
}
