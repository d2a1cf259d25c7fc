//! What every engine promises, as cases that run against any of them.
//!
//! A case gets an engine that is empty. [`run`] runs all of them; an engine's tests call it once, with a way to open.

use std::time::Duration;

use tollhouse_core::era::Version;
use tollhouse_core::ids::CallId;
use tollhouse_core::record::{Content, Digest, Listener, Seen};

use crate::call::{Call, Leg, Sending};
use crate::engine::{Read, Write};
use crate::event::{Event, Kind};
use crate::question::{Bounds, By, Field, Filter, Happened, Numbers, Range, Times, Width};

/// A moment on a day in 2026, at the beginning of an hour; in microseconds since 1970.
pub const NOON_US: u64 = 1_790_000_000_000_000 / Width::Day.us() * Width::Day.us() + 12 * 3_600_000_000;

/// A call: the `nth`, a millisecond after the one before it.
pub fn call(nth: u64) -> Call {
    let at_us = NOON_US + nth * 1000;
    Call {
        id: CallId::of((at_us / 1000) << 16, nth ^ 0x9e37_79b9_7f4a_7c15),
        at_us,
        listener: match nth % 5 {
            0 => Listener::Stdio,
            1 => Listener::Sse,
            _ => Listener::Http,
        },
        version: if nth.is_multiple_of(3) { Version::LATEST_LEGACY } else { Version::MODERN },
        principal: "anonymous".into(),
        session: format!("session-{}", nth % 7).into(),
        session_source: "vscode.conversationId".into(),
        session_confidence: "stated".into(),
        hints: if nth.is_multiple_of(4) {
            vec![("turn".into(), "1".into()), ("model".into(), "".into())]
        } else {
            vec![]
        },
        client: Some("agent".into()),
        method: "tools/call".into(),
        name: Some(format!("tool-{}", nth % 10).into()),
        asked_as: nth.is_multiple_of(6).then(|| format!("files__tool-{}", nth % 10).into()),
        server: Some(if nth.is_multiple_of(2) { "files".into() } else { "search".into() }),
        trace: u128::from(nth / 4 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes(),
        parent: nth.to_be_bytes(),
        span: (nth % 3).to_be_bytes(),
        sendings: (0..nth % 3).map(|at| sending(nth, at)).collect(),
        request_id: nth.to_string().into(),
        outcome: if nth.is_multiple_of(11) { "tool_error".into() } else { "ok".into() },
        error: nth.is_multiple_of(11).then(|| "tool_error".into()),
        fault: None,
        attempts: 1,
        total_us: 100 + nth % 900,
        upstream_us: 90,
        first_us: nth.is_multiple_of(2).then_some(80),
        request_bytes: 100,
        response_bytes: 1000 + nth,
        seen: Seen {
            shape: Some("{path:str(3)}".into()),
            request_hash: Some(Digest([1; 16])),
            response_hash: nth.is_multiple_of(2).then_some(Digest([2; 16])),
            content: nth.is_multiple_of(9).then(|| {
                Box::new(Content {
                    arguments: Some(r#"{"path":"a"}"#.into()),
                    result: nth.is_multiple_of(2).then(|| "[1]".into()),
                    truncated: nth.is_multiple_of(4),
                    redactions: 3,
                })
            }),
        },
    }
}

/// A sending of the `nth` call, the `at`-th of it.
fn sending(nth: u64, at: u64) -> Sending {
    Sending {
        span: (nth + at).to_be_bytes(),
        leg: nth.is_multiple_of(2).then(|| Leg { server: "files".into(), method: "tools/list".into() }),
        from_us: at,
        long_us: 10 * nth,
        error: nth.is_multiple_of(5).then(|| "timeout".into()),
    }
}

/// Some calls in order.
pub fn calls(count: u64) -> Vec<Call> {
    (0..count).map(call).collect()
}

/// Runs every case, each with an engine that `open` opens anew.
///
/// # Panics
/// The engine breaks a promise.
pub fn run<W: Write, R: Read>(mut open: impl FnMut() -> (W, R)) {
    for (name, case) in cases::<W, R>() {
        let (mut writer, mut reader) = open();
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&mut writer, &mut reader)));
        assert!(broken.is_ok(), "the engine breaks this promise: {name}");
    }
}

type Case<W, R> = fn(&mut W, &mut R);

fn cases<W: Write, R: Read>() -> [(&'static str, Case<W, R>); 11] {
    [
        ("what was kept is found by its id, whole", whole::<W, R>),
        ("a call is kept once, however often it comes", once::<W, R>),
        ("the newest calls come first, page by page, without a gap", pages::<W, R>),
        ("a filter shows what fits, and only that", filters::<W, R>),
        ("a bound that is reached is said, and the rest can be asked for", bounds::<W, R>),
        ("a trace and a session are found among many", threads::<W, R>),
        ("sums are those of the calls, in every width and group", sums::<W, R>),
        ("a session knows what its calls did", sessions::<W, R>),
        ("failures are grouped by their kind", errors::<W, R>),
        ("what happened is found, the last first, by kind, server and time", events::<W, R>),
        ("the tools that are listed are those that events left", tools::<W, R>),
    ]
}

fn kept<W: Write>(writer: &mut W, calls: &[Call]) {
    calls.chunks(700).for_each(|batch| writer.append(batch).unwrap_or_else(|error| panic!("append: {error}")));
    writer.flush().unwrap_or_else(|error| panic!("flush: {error}"));
}

fn whole<W: Write, R: Read>(writer: &mut W, reader: &mut R) {
    let mut odd = call(3);
    (odd.client, odd.name, odd.asked_as) = (None, None, None);
    (odd.server, odd.seen.shape, odd.first_us) = (None, None, None);
    (odd.attempts, odd.fault, odd.error) = (0, Some("malformed".into()), Some("-32600".into()));
    (odd.method, odd.session) = ("\u{202e}odd\0 'method'".into(), "ω".into());
    let calls = [call(0), call(1), odd];
    kept(writer, &calls);
    for call in &calls {
        assert_eq!(reader.call(call.id).ok().flatten().as_ref(), Some(call));
    }
    assert_eq!(reader.call(call(2).id).ok(), Some(None));
}

fn once<W: Write, R: Read>(writer: &mut W, reader: &mut R) {
    kept(writer, &calls(10));
    kept(writer, &calls(20));
    let page = reader.latest(&Filter::default(), None, Bounds::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(page.calls.len(), 20);
    assert_eq!(total(reader, By::All), [("".into(), 20)]);
}

/// Calls per group over all of time.
fn total<R: Read>(reader: &mut R, by: By) -> Vec<(Box<str>, u64)> {
    let numbers =
        Numbers { range: Range::ALL, width: Width::Day, by, server: None, over_time: false, times: Times::All };
    let figures = reader.numbers(&numbers).unwrap_or_else(|error| panic!("numbers: {error}"));
    figures.into_iter().map(|figure| (figure.group[0].clone(), figure.sum.calls)).collect()
}

fn pages<W: Write, R: Read>(writer: &mut W, reader: &mut R) {
    let calls = calls(2500);
    kept(writer, &calls);
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let bounds = Bounds { limit: 400, ..Bounds::default() };
        let page = reader.latest(&Filter::default(), before, bounds).unwrap_or_else(|error| panic!("latest: {error}"));
        found.extend(page.calls);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert!(found.iter().rev().eq(&calls), "all calls once, newest first");
}

fn filters<W: Write, R: Read>(writer: &mut W, reader: &mut R) {
    let calls = calls(3000);
    kept(writer, &calls);
    let not_search = crate::question::Term { field: Field::Server, value: "search".into(), exclude: true };
    for filter in [
        Filter::default().with(Field::Server, "files"),
        Filter::default().with(Field::Name, "tool-3").with(Field::Server, "search"),
        Filter::default().with(Field::Session, "session-2").with(Field::Outcome, "ok"),
        Filter::default().with(Field::Error, "tool_error").with(Field::Client, "agent"),
        Filter::default().with(Field::Name, "no such tool"),
        Filter { terms: vec![not_search], ..Filter::default() },
        Filter { failed: true, ..Filter::default() },
        Filter { min_us: 950, ..Filter::default() },
        Filter { range: Range { from_us: NOON_US + 1_000_000, to_us: NOON_US + 1_100_000 }, ..Filter::default() },
    ] {
        let bounds = Bounds { limit: 5000, ..Bounds::default() };
        let page = reader.latest(&filter, None, bounds).unwrap_or_else(|error| panic!("latest: {error}"));
        assert!(page.calls.iter().eq(calls.iter().rev().filter(|call| filter.wants(call))), "{filter:?}");
        assert_eq!((page.next, page.cut_short), (None, false), "{filter:?}");
    }
}

fn bounds<W: Write, R: Read>(writer: &mut W, reader: &mut R) {
    kept(writer, &calls(2000));
    let filter = Filter::default().with(Field::Name, "tool-9");
    let (mut found, mut before, mut asked) = (0, None, 0);
    loop {
        let bounds = Bounds { limit: 100, scan: 500, time: Duration::from_mins(1) };
        let page = reader.latest(&filter, before, bounds).unwrap_or_else(|error| panic!("latest: {error}"));
        found += page.calls.len();
        asked += 1;
        before = page.next;
        assert_eq!(page.cut_short, before.is_some());
        if before.is_none() {
            break;
        }
    }
    assert_eq!((found, asked), (200, 4));
}

fn threads<W: Write, R: Read>(writer: &mut W, reader: &mut R) {
    let calls = calls(10_000);
    kept(writer, &calls);
    for nth in [0, 4001, 9999] {
        let trace = call(nth).trace;
        let found = reader.trace(trace, 100).unwrap_or_else(|error| panic!("trace: {error}"));
        assert!(found.iter().eq(calls.iter().filter(|call| call.trace == trace)), "the trace of call {nth}");
    }
    assert_eq!(reader.trace([9; 16], 100).ok(), Some(vec![]));
    let mut of_session: Vec<_> = calls.iter().filter(|call| &*call.session == "session-5").cloned().collect();
    of_session.reverse();
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = reader.timeline("anonymous", "session-5", before, 600).unwrap_or_else(|error| panic!("{error}"));
        found.extend(page.calls);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(found, of_session);
    let stranger = reader.timeline("somebody", "session-5", None, 10).unwrap_or_else(|error| panic!("{error}"));
    assert!(stranger.calls.is_empty(), "a session is its principal's");
}

fn sums<W: Write, R: Read>(writer: &mut W, reader: &mut R) {
    let mut calls = calls(200);
    // A quarter of an hour later, and a day later.
    calls.extend((200..300).map(|nth| Call { at_us: NOON_US + 15 * 60_000_000, ..call(nth) }));
    calls.extend((300..350).map(|nth| Call { at_us: NOON_US + Width::Day.us(), ..call(nth) }));
    kept(writer, &calls);
    assert_eq!(total(reader, By::All), [("".into(), 350)]);
    assert_eq!(total(reader, By::Server), [("files".into(), 175), ("search".into(), 175)]);
    assert_eq!(total(reader, By::Client), [("agent".into(), 350)]);
    for (width, expected) in
        [(Width::Minute, vec![200, 100, 50]), (Width::Quarter, vec![200, 100, 50]), (Width::Day, vec![300, 50])]
    {
        let numbers =
            Numbers { range: Range::ALL, width, by: By::All, server: None, over_time: true, times: Times::All };
        let figures = reader.numbers(&numbers).unwrap_or_else(|error| panic!("numbers: {error}"));
        assert_eq!(figures.iter().map(|figure| figure.sum.calls).collect::<Vec<_>>(), expected, "{width:?}");
    }
    let range = Range { from_us: NOON_US, to_us: NOON_US + 60_000_000 };
    let numbers = Numbers {
        range,
        width: Width::Minute,
        by: By::Tool,
        server: Some("search".into()),
        over_time: false,
        times: Times::All,
    };
    let figures = reader.numbers(&numbers).unwrap_or_else(|error| panic!("numbers: {error}"));
    let wanted: Vec<_> =
        calls.iter().filter(|call| call.server.as_deref() == Some("search") && range.holds(call.at_us)).collect();
    let names: Vec<_> = figures.iter().map(|figure| (&*figure.group[0], &*figure.group[1])).collect();
    assert_eq!(names, [1, 3, 5, 7, 9].map(|n| ("search", ["tool-1", "tool-3", "tool-5", "tool-7", "tool-9"][n / 2])));
    let sum = |of: fn(&crate::question::Sum) -> u64| figures.iter().map(|figure| of(&figure.sum)).sum::<u64>();
    assert_eq!(sum(|sum| sum.calls), wanted.len() as u64);
    assert_eq!(sum(|sum| sum.failed), wanted.iter().filter(|call| call.failed()).count() as u64);
    assert_eq!(sum(|sum| sum.total.sum()), wanted.iter().map(|call| call.total_us).sum::<u64>());
    assert_eq!(sum(|sum| sum.response_bytes), wanted.iter().map(|call| call.response_bytes).sum::<u64>());
}

fn sessions<W: Write, R: Read>(writer: &mut W, reader: &mut R) {
    kept(writer, &calls(70));
    kept(writer, &(70..77).map(call).collect::<Vec<_>>());
    let sessions = reader.sessions(Range::ALL, 3).unwrap_or_else(|error| panic!("sessions: {error}"));
    let ids: Vec<_> = sessions.iter().map(|session| &*session.id).collect();
    assert_eq!(ids, ["session-6", "session-5", "session-4"]);
    let newest = &sessions[0];
    assert_eq!((newest.calls, newest.failed, newest.first_us), (11, 1, NOON_US + 6000));
    assert_eq!(newest.servers, ["files".into(), "search".into()]);
    assert_eq!(newest.last_ok, Some(call(76).id));
    let later = Range { from_us: NOON_US + Width::Day.us(), to_us: u64::MAX };
    assert_eq!(reader.sessions(later, 10).ok(), Some(vec![]));
}

fn errors<W: Write, R: Read>(writer: &mut W, reader: &mut R) {
    kept(writer, &calls(440));
    let groups = reader.errors(Range::ALL, 100).unwrap_or_else(|error| panic!("errors: {error}"));
    assert_eq!(groups.iter().map(|group| group.count).sum::<u64>(), 40);
    let newest = &groups[0];
    assert_eq!((&*newest.server, &*newest.name, &*newest.error), ("search", "tool-9", "tool_error"));
    assert_eq!((newest.calls[0], newest.last_us), (call(429).id, call(429).ended_us()));
    assert_eq!(reader.errors(Range { from_us: 0, to_us: NOON_US }, 100).ok(), Some(vec![]));
}

fn happened<R: Read>(reader: &mut R, wanted: &Happened, before: Option<u64>, limit: usize) -> Vec<Event> {
    reader.events(wanted, before, limit).unwrap_or_else(|error| panic!("events: {error}"))
}

fn noted<W: Write>(writer: &mut W, events: &[Event]) {
    writer.note(events).unwrap_or_else(|error| panic!("note: {error}"));
}

fn events<W: Write, R: Read>(writer: &mut W, reader: &mut R) {
    let of = |nth: u64| {
        let event = Event::new(if nth.is_multiple_of(3) { Kind::ServerDown } else { Kind::ServerUp }, NOON_US + nth);
        event.at(if nth.is_multiple_of(2) { "files" } else { "search" }).detail(format!("the {nth}th"))
    };
    let all: Vec<_> = (0..20).map(of).collect();
    noted(writer, &all[..15]);
    noted(writer, &all[15..]);
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = happened(reader, &Happened::default(), before, 7);
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        found.extend(page);
    }
    assert!(found.windows(2).all(|pair| pair[0].number > pair[1].number), "numbers fall");
    let plain = |event: &Event| Event { number: 0, ..event.clone() };
    assert!(found.iter().rev().map(plain).eq(all.iter().cloned()));
    for wanted in [
        Happened { kinds: vec![Kind::ServerDown], ..Happened::default() },
        Happened { server: Some("files".to_owned()), ..Happened::default() },
        Happened { subject: Some("read".to_owned()), ..Happened::default() },
        Happened { range: Range { from_us: NOON_US + 3, to_us: NOON_US + 9 }, ..Happened::default() },
    ] {
        let found = happened(reader, &wanted, None, 100);
        assert!(
            found.iter().map(plain).eq(all.iter().rev().filter(|event| wanted.wants(event)).cloned()),
            "{wanted:?}"
        );
    }
}

fn tools<W: Write, R: Read>(writer: &mut W, reader: &mut R) {
    let event = |kind, at, tool| Event::new(kind, NOON_US + at).at("files").of(tool);
    noted(
        writer,
        &[
            event(Kind::ToolAdded, 1, "read").body("{\"a\":1}"),
            event(Kind::ToolAdded, 1, "write").body("{}"),
            event(Kind::ToolAdded, 2, "gone").body("{}"),
            Event::new(Kind::ServerDown, NOON_US + 3).at("files"),
        ],
    );
    noted(writer, &[event(Kind::ToolChanged, 5, "read").body("{\"a\":2}"), event(Kind::ToolRemoved, 6, "gone")]);
    let tools = reader.tools().unwrap_or_else(|error| panic!("tools: {error}"));
    let seen: Vec<_> = tools
        .iter()
        .map(|tool| (&*tool.name, tool.first_us - NOON_US, tool.changed_us - NOON_US, tool.changes, &*tool.definition))
        .collect();
    assert_eq!(seen, [("read", 1, 5, 1, "{\"a\":2}"), ("write", 1, 1, 0, "{}")]);
    let wanted = Happened { subject: Some("read".to_owned()), ..Happened::default() };
    let history: Vec<_> = happened(reader, &wanted, None, 10).into_iter().map(|event| event.body).collect();
    assert_eq!(history, [Some("{\"a\":2}".into()), Some("{\"a\":1}".into())]);
}
