use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{Baggage, Hex, TraceContext, TraceState, mint_span};

const ID: &str = "12345678901234567890123456789012";
const SPAN: &str = "1234567890123456";

fn parse(traceparent: &str) -> Option<TraceContext> {
    TraceContext::parse(traceparent.as_bytes())
}

/// The `tracestate` passed on for these headers, if any.
fn state(headers: &[&str]) -> Option<String> {
    TraceState::parse(headers.iter().map(|header| header.as_bytes())).map(|state| state.as_str().to_owned())
}

fn baggage(headers: &[&str]) -> Option<Baggage> {
    Baggage::parse(headers.iter().map(|header| header.as_bytes()))
}

/// The session and conversation id found in one header.
fn ids(header: &str) -> (Option<String>, Option<String>) {
    let Baggage { session_id, conversation_id } = baggage(&[header]).expect("the header is small");
    (session_id.map(String::from), conversation_id.map(String::from))
}

#[test]
fn a_valid_traceparent_continues_its_trace() {
    for (text, flags) in [
        (format!("00-{ID}-{SPAN}-00"), 0),
        (format!("00-{ID}-{SPAN}-01"), 1),
        (format!("00-{ID}-{SPAN}-02"), 2),
        (format!("00-{ID}-{SPAN}-03"), 3),
        (format!("00-{ID}-{SPAN}-ff"), 3),
        (format!("01-{ID}-{SPAN}-01"), 1),
        (format!("cc-{ID}-{SPAN}-01"), 1),
        (format!("fe-{ID}-{SPAN}-01"), 1),
        (format!("cc-{ID}-{SPAN}-01-what-the-future-will-be-like"), 1),
        (format!("cc-{ID}-{SPAN}-01-"), 1),
        (format!(" 00-{ID}-{SPAN}-01"), 1),
        (format!("\t00-{ID}-{SPAN}-01"), 1),
        (format!("00-{ID}-{SPAN}-01 "), 1),
        (format!("00-{ID}-{SPAN}-01\t"), 1),
        (format!("\t 00-{ID}-{SPAN}-01 \t"), 1),
    ] {
        let context = parse(&text).unwrap_or_else(|| panic!("{text:?} is valid"));
        assert_eq!(Hex(&context.trace_id).to_string(), ID);
        assert_eq!(Hex(&context.parent).to_string(), SPAN);
        assert_eq!((context.flags, context.sampled()), (flags, flags & 1 == 1), "{text}");
    }
}

#[test]
fn an_invalid_traceparent_is_none() {
    for text in [
        format!("00-{ID}-{SPAN}-01."),
        format!("00-{ID}-{SPAN}-01-"),
        format!("00-{ID}-{SPAN}-01-what-the-future-will-be-like"),
        format!("cc-{ID}-{SPAN}-01.what-the-future-will-be-like"),
        format!("cc-{ID}-{SPAN}-012"),
        format!("ff-{ID}-{SPAN}-01"),
        format!("ff-{ID}-{SPAN}-01-more"),
        format!(".0-{ID}-{SPAN}-01"),
        format!("0.-{ID}-{SPAN}-01"),
        format!("0-{ID}-{SPAN}-01"),
        format!("000-{ID}-{SPAN}-01"),
        format!("0000-{ID}-{SPAN}-01"),
        format!("CC-{ID}-{SPAN}-01"),
        format!("00-{}-{SPAN}-01", "0".repeat(32)),
        format!("00-.2345678901234567890123456789012-{SPAN}-01"),
        format!("00-1234567890123456789012345678901.-{SPAN}-01"),
        format!("00-{ID}3-{SPAN}-01"),
        format!("00-1234567890123456789012345678901-{SPAN}-01"),
        format!("00-1234567890ABCDEF1234567890123456-{SPAN}-01"),
        format!("00-{ID}-{}-01", "0".repeat(16)),
        format!("00-{ID}-.234567890123456-01"),
        format!("00-{ID}-123456789012345.-01"),
        format!("00-{ID}-{SPAN}7-01"),
        format!("00-{ID}-123456789012345-01"),
        format!("00-{ID}-123456789012345A-01"),
        format!("00-{ID}-{SPAN}-.0"),
        format!("00-{ID}-{SPAN}-0."),
        format!("00-{ID}-{SPAN}-001"),
        format!("00-{ID}-{SPAN}-1"),
        format!("00-{ID}-{SPAN}-"),
        format!("00-{ID}-{SPAN}-0A"),
        format!("00_{ID}-{SPAN}-01"),
        format!("00-{ID}_{SPAN}-01"),
        format!("00-{ID}-{SPAN}_01"),
        format!("00-{ID}-{SPAN}-01,00-{ID}-{SPAN}-01"),
        format!("\n00-{ID}-{SPAN}-01"),
        String::new(),
        " \t ".to_owned(),
    ] {
        assert_eq!(parse(&text), None, "{text:?}");
    }
}

#[test]
fn a_minted_trace_is_sampled_and_has_no_parent() {
    let root = TraceContext::mint();
    assert_ne!(root.trace_id, [0; 16]);
    assert_eq!((root.parent, root.sampled(), root.traceparent()), ([0; 8], true, None));
    assert_ne!(TraceContext::mint().trace_id, root.trace_id);
}

#[test]
fn a_server_is_told_another_span_of_the_same_trace_and_what_was_decided() {
    let inbound = parse(&format!("00-{ID}-{SPAN}-02")).unwrap();
    let span = mint_span();
    assert!(span != inbound.parent && span != mint_span());
    for (sampled, flags) in [(true, "03"), (false, "02")] {
        let expected = format!("00-{ID}-{}-{flags}", Hex(&span));
        assert_eq!(inbound.within(span, sampled).traceparent(), Some(expected));
    }
}

#[test]
fn a_tracestate_is_passed_on_in_its_order() {
    for (headers, passed) in [
        (&["foo=1,bar=2"][..], "foo=1,bar=2"),
        (&["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
        (&["foo=1", ""], "foo=1"),
        (&["", "foo=1"], "foo=1"),
        (&["foo=1,,bar=2,"], "foo=1,bar=2"),
        (&["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
        (&["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
        (&[" foo=1"], "foo=1"),
        (&["\tfoo=1"], "foo=1"),
        (&["foo=1 "], "foo=1"),
        (&["foo=1\t"], "foo=1"),
        (&["\t foo=1 \t"], "foo=1"),
        (&["foo= a b"], "foo= a b"),
        (&["1special=x,special@vendor=x"], "1special=x,special@vendor=x"),
    ] {
        assert_eq!(state(headers).as_deref(), Some(passed), "{headers:?}");
    }
}

#[test]
fn every_allowed_character_may_stand_in_a_tracestate() {
    let value: String = (' '..='~').filter(|letter| !",=".contains(*letter)).collect();
    let value = value.trim_end();
    for key in ["abcdefghijklmnopqrstuvwxyz0123456789_-*/", "abcdefghijklmnopqrstuvwxyz0123456789_-*/@a-z0-9_-*/"] {
        let member = format!("{key}={value}");
        assert_eq!(state(&[&member]), Some(member));
    }
}

#[test]
fn one_fault_drops_the_whole_tracestate() {
    for headers in [
        &[""][..],
        &[" , ,"],
        &["foo=1,foo=1"],
        &["foo=1,foo=2"],
        &["foo=1", "foo=1"],
        &["foo=1", "foo=2"],
        &["foo =1"],
        &["FOO=1"],
        &["foo.bar=1"],
        &["foo@=1,bar=2"],
        &["@foo=1,bar=2"],
        &["foo@@bar=1,bar=2"],
        &["foo@bar@baz=1,bar=2"],
        &["foo=bar=baz"],
        &["foo=,bar=3"],
        &["=1,bar=3"],
        &["foobarbaz"],
        &["foo=1\tx"],
        &["foo=\u{e9}"],
        &["_foo=1"],
    ] {
        assert_eq!(state(headers), None, "{headers:?}");
    }
}

#[test]
fn a_tracestate_has_at_most_32_members() {
    let members: Vec<String> = (1..=33).map(|n| format!("bar{n:02}={n:02}")).collect();
    assert_eq!(state(&[&members[..32].join(",")]), Some(members[..32].join(",")));
    assert_eq!(state(&[&members[..20].join(","), &members[20..32].join(",")]), Some(members[..32].join(",")));
    assert_eq!(state(&[&members.join(",")]), None);
    assert_eq!(state(&[&members[..20].join(","), &members[20..].join(",")]), None);
}

#[test]
fn a_tracestate_keeps_to_its_lengths() {
    let repeat = |letter: &str, times| letter.repeat(times);
    for (member, passes) in [
        (format!("{}=1", repeat("z", 256)), true),
        (format!("{}=1", repeat("z", 257)), false),
        (format!("{}@{}=1", repeat("t", 241), repeat("v", 14)), true),
        (format!("{}@v=1", repeat("t", 242)), false),
        (format!("t@{}=1", repeat("v", 15)), false),
        (format!("foo={}", repeat("x", 256)), true),
        (format!("foo={}", repeat("x", 257)), false),
        // With its 5 bytes for `foo=1` and the comma, 512 and 513 in all.
        (format!("{}={}", repeat("z", 249), repeat("x", 256)), true),
        (format!("{}={}", repeat("z", 250), repeat("x", 256)), false),
    ] {
        let headers = if member.starts_with("foo") { vec![member.as_str()] } else { vec!["foo=1", &member] };
        assert_eq!(state(&headers).is_some(), passes, "{} bytes: {member}", member.len());
    }
}

#[test]
fn baggage_names_the_session_and_the_conversation() {
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(ids("session.id=s1"), (some("s1"), None));
    assert_eq!(ids("a=1, session.id = s1 ;p=1;q , gen_ai.conversation.id=c%201%2C"), (some("s1"), some("c 1,")));
    assert_eq!(ids("session.id=first,session.id=second"), (some("first"), None));
    assert_eq!(ids("session.id=,session.id=second"), (some("second"), None));
    assert_eq!(ids("session.id=a=b"), (some("a=b"), None));
    assert_eq!(ids("session.id=%E4%B8%96"), (some("世"), None));
    assert_eq!(ids("session.id=100%"), (some("100%"), None));
    assert_eq!(ids("session.id=%zz%+1"), (some("%zz%+1"), None));
    assert_eq!(ids("session.id=%ff"), (some("\u{fffd}"), None));
    let both = baggage(&["session.id=s1", "gen_ai.conversation.id=c1"]).unwrap();
    assert_eq!((both.session_id.as_deref(), both.conversation_id.as_deref()), (Some("s1"), Some("c1")));
}

#[test]
fn baggage_of_others_says_nothing() {
    for header in ["", ",,", "a=b", "Session.Id=s1", "session.id", "session.id=", "session.id=%0a", "session.id=a%00b"]
    {
        assert_eq!(ids(header), (None, None), "{header:?}");
    }
}

#[test]
fn baggage_over_a_limit_is_dropped_whole() {
    let sized = |length: usize| format!("session.id=s,a={}", "x".repeat(length - 15));
    assert!(baggage(&[&sized(8192)]).is_some());
    assert_eq!(baggage(&[&sized(8193)]), None);
    assert_eq!(baggage(&[&sized(65_536)]), None);
    assert_eq!(baggage(&[&sized(8000), &sized(200)]), None);
    let counted = |members: usize| format!("session.id=s{}", ",a=b".repeat(members - 1));
    assert!(baggage(&[&counted(64)]).is_some());
    assert_eq!(baggage(&[&counted(65)]), None);
}

proptest! {
    #[test]
    fn a_written_traceparent_is_read_back(trace_id: [u8; 16], parent: [u8; 8], flags in 0_u8..4) {
        let context = TraceContext { trace_id, parent, flags };
        if let Some(text) = context.traceparent() {
            prop_assert_eq!(text.len(), 55);
            prop_assert_eq!(parse(&text), (trace_id != [0; 16]).then_some(context));
        }
    }

    #[test]
    fn any_bytes_are_read_without_fault(bytes in any::<Vec<u8>>(), tail in "[ -~]{0,60}") {
        for input in [&bytes[..], tail.as_bytes(), format!("00-{ID}-{tail}").as_bytes()] {
            if let Some(context) = TraceContext::parse(input) {
                prop_assert!(context.traceparent().is_some());
            }
            if let Some(state) = TraceState::parse([input]) {
                prop_assert_eq!(TraceState::parse([state.as_str().as_bytes()]), Some(state.clone()));
            }
            Baggage::parse([input]);
        }
    }
}
