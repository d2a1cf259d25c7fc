use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::{option, sample};

use super::{ByteSize, Bytes, BytesMut, Decoder, Event, SseError, comment, priming};

const LIMIT: ByteSize = ByteSize::kib(64);

/// Reads `input` cut after every `size` bytes.
fn decode(input: &[u8], size: usize) -> Vec<Event> {
    try_decode(input.chunks(size), LIMIT).expect("the input stays within the limit")
}

fn try_decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, limit: ByteSize) -> Result<Vec<Event>, SseError> {
    let mut decoder = Decoder::new(limit);
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = decoder.next_event()? {
            events.push(event);
        }
    }
    Ok(events)
}

fn message(data: &str) -> Event {
    Event::message(data.to_owned())
}

/// Whatever the chunks, `input` holds exactly `expected`.
#[track_caller]
fn check(input: &str, expected: &[Event]) {
    for size in [1, 2, 3, 5, 7, usize::MAX] {
        assert_eq!(decode(input.as_bytes(), size), expected, "{input:?} in chunks of {size}");
    }
}

#[test]
fn a_line_may_end_in_lf_crlf_or_cr() {
    check("data: a\n\ndata: b\n\n", &[message("a"), message("b")]);
    check("data: a\r\n\r\ndata: b\r\n\r\n", &[message("a"), message("b")]);
    check("data: a\r\rdata: b\r\r", &[message("a"), message("b")]);
    check("data: a\n\rdata: b\r\n\n\ndata: c\r\n\r", &[message("a"), message("b"), message("c")]);
    check("data: a\rdata: b\r\ndata: c\n\n", &[message("a\nb\nc")]);
}

#[test]
fn a_byte_order_mark_is_dropped_at_the_start_and_only_there() {
    check("\u{feff}data: a\n\n", &[message("a")]);
    check("\u{feff}\n\u{feff}data: a\n\ndata: b\n\n", &[message("b")]);
    check("\u{feff}\u{feff}data: a\n\ndata: b\n\n", &[message("b")]);
    check("data: \u{feff}a\n\n", &[message("\u{feff}a")]);
}

#[test]
fn one_blank_after_the_colon_is_dropped_and_no_other() {
    check("data:a\n\ndata: b\n\ndata:  c\n\ndata:\td\n\n", &["a", "b", " c", "\td"].map(message));
    check("data : a\n\n data: a\n\ndata: a \n\n", &[message("a ")]);
}

#[test]
fn several_data_lines_are_one_text() {
    check("data: a\ndata: b\ndata:\ndata: c\n\n", &[message("a\nb\n\nc")]);
    check("data\ndata\n\n", &[message("\n")]);
}

#[test]
fn an_empty_data_field_is_an_event() {
    check("data\n\ndata:\n\ndata: \n\n", &["", "", ""].map(message));
}

#[test]
fn a_value_may_hold_colons() {
    check("data: a: b:c\n\ndata::x\n\n", &[message("a: b:c"), message(":x")]);
}

#[test]
fn comments_and_unknown_fields_are_no_events() {
    check(": hello\n\n:\n:x\n\n", &[]);
    check(": hello\ndata: a\n:\ndata: b\n\n", &[message("a\nb")]);
    check("message: a\nDATA: b\ndat: c\ndatab: d\n\n\u{0}data: a\n\n", &[]);
}

#[test]
fn an_event_cut_off_by_the_end_is_not_delivered() {
    check("data: a\n\ndata: b\n", &[message("a")]);
    check("data: a\n\ndata: b", &[message("a")]);
    check("id: 1\nretry: 5\n", &[]);
    check("", &[]);
}

#[test]
fn a_type_lasts_for_its_event_and_needs_data() {
    let endpoint = Event { event: Some("endpoint".into()), ..message("/messages") };
    check("event: endpoint\ndata: /messages\n\ndata: a\n\n", &[endpoint, message("a")]);
    check("event: a\n\ndata: b\n\n", &[message("b")]);
    check("event: a\nevent:\ndata: b\n\n", &[message("b")]);
}

#[test]
fn an_id_belongs_to_its_event_unless_it_holds_nul() {
    check("id: 7\ndata: a\n\ndata: b\n\n", &[message("a").with_id("7"), message("b")]);
    check("id: 7\nid: a\0b\ndata: a\n\n", &[message("a").with_id("7")]);
    check("id: 7\nid\ndata: a\n\n", &[message("a").with_id("")]);
    check("id: \u{e9}\ndata: a\n\n", &[message("a").with_id("\u{e9}")]);
}

#[test]
fn a_retry_is_made_of_digits() {
    let retry = |ms| Event { retry: Some(ms), ..Event::default() };
    check("retry: 3000\n\nretry:0012\n\n", &[retry(3000), retry(12)]);
    check("retry: 3s\n\nretry: -1\n\nretry: 1.5\n\nretry\n\nretry:  5\n\nretry: +5\n\n", &[]);
    check("retry: 99999999999999999999999\n\n", &[retry(u64::MAX)]);
}

#[test]
fn a_priming_event_is_reported_with_or_without_a_data_field() {
    let primed = Event { retry: Some(3000), ..message("").with_id("s1-0") };
    check("id: s1-0\nretry: 3000\ndata:\n\n", std::slice::from_ref(&primed));
    check("id: s1-0\nretry: 3000\n\n", std::slice::from_ref(&primed));
    assert_eq!(priming("s1-0", 3000), "id: s1-0\nretry: 3000\ndata: \n\n");
    check("id: s1-0\n\n", &[message("").with_id("s1-0")]);
}

#[test]
fn the_event_is_there_as_soon_as_its_blank_line_is() {
    for stream in [&b"data: a\n\n"[..], b"data: a\r\r", b"data: a\r\n\r"] {
        assert_eq!(decode(stream, usize::MAX), [message("a")]);
    }
}

#[test]
fn bytes_that_are_not_utf8_stay_what_they_are() {
    let events = decode(b"id: \xff\ndata: a\xff\xfeb\n\n", 1);
    assert_eq!(events, [Event::message(&b"a\xff\xfeb"[..]).with_id("\u{fffd}")]);
}

#[test]
fn a_whole_event_is_not_copied() {
    let chunk = Bytes::from_static(b"event: message\nid: 1\ndata: {\"a\":1}\n\ndata: {\"b\":2}\n\n");
    let mut decoder = Decoder::new(LIMIT);
    decoder.push(chunk.clone());
    for at in [27, 42] {
        let event = decoder.next_event().unwrap().unwrap();
        assert_eq!(event.data.as_ptr(), chunk[at..].as_ptr());
    }
}

#[test]
fn unread_events_survive_the_next_chunk() {
    let mut decoder = Decoder::new(LIMIT);
    decoder.push(&b"data: a\n\ndata: b\n\r"[..]);
    decoder.push(&b"\ndata: c\n\n"[..]);
    let events: Vec<_> = std::iter::from_fn(|| decoder.next_event().unwrap()).collect();
    assert_eq!(events, ["a", "b", "c"].map(message));
}

#[test]
fn a_payload_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let limit = ByteSize(100);
    for (length, passes) in [(100, true), (101, false)] {
        let event = message(&"x".repeat(length));
        for size in [1, 64, 1000] {
            let read = try_decode(event.encode().chunks(size), limit);
            assert_eq!(read, if passes { Ok(vec![event.clone()]) } else { Err(SseError::Event(limit)) });
        }
    }
}

#[test]
fn an_endless_line_ends_in_an_error_that_names_the_limit() {
    let limit = ByteSize::kib(1);
    for start in ["data: ", ": ", "id: ", ""] {
        let line = format!("{start}{}", "x".repeat(2000));
        let error = try_decode(line.as_bytes().chunks(10), limit).unwrap_err();
        assert_eq!(error.to_string(), "a line of the event stream is longer than 1 KiB");
    }
}

#[test]
fn an_endless_event_ends_in_an_error_that_names_the_limit() {
    let limit = ByteSize::kib(1);
    for line in ["data: 12345678\n", "data\n"] {
        let error = try_decode(line.repeat(2000).as_bytes().chunks(10), limit).unwrap_err();
        assert_eq!(error.to_string(), "an event of the stream is larger than 1 KiB");
    }
    // Comments are not kept, so any number of them may stand in an event.
    let chatty = format!("data: a\n{}\n", ": ping\n".repeat(2000));
    assert_eq!(try_decode([chatty.as_bytes()], limit), Ok(vec![message("a")]));
}

#[test]
fn a_broken_stream_stays_broken() {
    let mut decoder = Decoder::new(ByteSize(10));
    decoder.push(Bytes::from("x".repeat(30)));
    let error = decoder.next_event().unwrap_err();
    decoder.push(&b"\n\ndata: a\n\n"[..]);
    assert_eq!(decoder.next_event(), Err(error));
}

#[test]
fn line_ends_in_data_become_lines_of_data() {
    assert_eq!(message("a\nb\rc\r\nd\n").encode(), "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n");
    assert_eq!(message("").encode(), "data: \n\n");
    let mut out = BytesMut::from("data: before\n\n");
    message("{}").with_id("1").append_to(&mut out);
    assert_eq!(out, "data: before\n\nid: 1\ndata: {}\n\n");
}

#[test]
fn an_id_or_type_cannot_smuggle_in_a_line() {
    let event = Event { event: Some("a\ndata: x".into()), ..message("b").with_id("1\r\rdata: y\n\n") };
    assert_eq!(event.encode(), "data: b\n\n");
    assert_eq!(message("b").with_id("1\0").encode(), "data: b\n\n");
}

#[test]
fn a_comment_is_dropped_by_readers_whatever_it_says() {
    assert_eq!(comment("ping"), ": ping\n\n");
    check(str::from_utf8(&comment("a\ndata: b\r\n\rid: 1\n")).unwrap(), &[]);
}

/// The rules once more, over the whole stream at once and without regard for cost.
fn oracle(input: &[u8]) -> Vec<Event> {
    let input = input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(input);
    let mut lines = vec![Vec::new()];
    let mut previous = 0;
    for &byte in input {
        match byte {
            b'\n' if previous == b'\r' => {}
            b'\n' | b'\r' => lines.push(Vec::new()),
            _ => lines.last_mut().unwrap().push(byte),
        }
        previous = byte;
    }
    lines.pop();
    let mut events = Vec::new();
    let (mut current, mut data) = (Event::default(), Vec::new());
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() || current.id.is_some() || current.retry.is_some() {
                data.pop();
                current.data = std::mem::take(&mut data).into();
                events.push(current);
            }
            current = Event::default();
            continue;
        }
        let mut parts = line.splitn(2, |&byte| byte == b':');
        let name = parts.next().unwrap();
        let value = parts.next().unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = String::from_utf8_lossy(value);
        if name == b"data" {
            data.extend_from_slice(value);
            data.push(b'\n');
        } else if name == b"id" && !text.contains('\0') {
            current.id = Some(text.into());
        } else if name == b"event" {
            current.event = Some(text.into_owned().into_boxed_str()).filter(|text| !text.is_empty());
        } else if name == b"retry" && !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit()) {
            current.retry = Some(text.parse().unwrap_or(u64::MAX));
        }
    }
    events
}

/// Streams made of what matters to the rules, so that random ones meet them.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let words: &[&[u8]] = &[
        b"\n",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b":",
        b": ",
        b" ",
        b"data",
        b"data:",
        b"data: ",
        b"id",
        b"id: ",
        b"event: ",
        b"retry: ",
        b"12",
        b"\0",
        b"{\"a\":1}",
        b"\xEF\xBB\xBF",
        b"\xEF",
        b"\xff",
    ];
    let word = prop_oneof![sample::select(words).prop_map(<[u8]>::to_vec), vec(any::<u8>(), 0..3)];
    vec(word, 0..40).prop_map(|words| words.concat())
}

fn event() -> impl Strategy<Value = Event> {
    let line = "[^\r\n]{0,8}";
    let id = option::of("[^\r\n\0]{0,6}").prop_map(|id| id.map(String::into_boxed_str));
    let kind = option::of("[^\r\n]{1,6}").prop_map(|kind| kind.map(String::into_boxed_str));
    let retry = option::of(prop_oneof![any::<u64>(), Just(u64::MAX)]);
    (vec(line, 1..4), id, kind, retry).prop_map(|(lines, id, event, retry)| Event {
        data: lines.join("\n").into(),
        id,
        event,
        retry,
    })
}

/// `input` cut at the given places, each taken modulo its length.
fn cut<'a>(input: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (input.len() + 1)).collect();
    places.extend([0, input.len()]);
    places.sort_unstable();
    places.windows(2).map(|ends| &input[ends[0]..ends[1]]).collect()
}

proptest! {
    #[test]
    fn any_stream_in_any_chunks_reads_as_the_rules_say(input in stream(), places in vec(any::<usize>(), 0..20)) {
        prop_assert_eq!(try_decode(cut(&input, &places), LIMIT).unwrap(), oracle(&input));
    }

    #[test]
    fn what_is_written_is_read_back(events in vec(event(), 0..6), places in vec(any::<usize>(), 0..20)) {
        let mut wire = BytesMut::new();
        for event in &events {
            wire.extend_from_slice(&comment("idle"));
            event.append_to(&mut wire);
        }
        prop_assert_eq!(try_decode(cut(&wire, &places), LIMIT).unwrap(), events);
    }
}
