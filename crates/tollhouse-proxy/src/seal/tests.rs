use std::time::SystemTime;

use http::HeaderMap;
use tollhouse_core::era::Version;
use tollhouse_core::record::{Listener, SessionRef, SessionSource};
use tollhouse_core::trace::TraceContext;
use tollhouse_core::wire::{Envelope, Form};

use super::*;
use crate::call::{Caller, Params};
use crate::settings::Tracing;
use crate::traced::{Telling, Traced};

fn server(id: &str) -> ServerId {
    ServerId::new(id).unwrap()
}

/// A call of a tool with these arguments.
fn call(name: &str, arguments: &str) -> Box<Call> {
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","arguments":{arguments}}}}}"#
    );
    let envelope = Envelope::parse(text.into()).unwrap();
    let Form::Request { method, .. } = &envelope.form else { panic!("it is a request") };
    let params = Params::read(&envelope, method).unwrap();
    let caller = Caller {
        listener: Listener::Http,
        principal: Principal::Anonymous,
        session: SessionRef { id: "s".into(), source: SessionSource::Header },
        version: Version::MODERN,
        client: None,
        hints: Box::default(),
        peer: std::net::IpAddr::from([127, 0, 0, 1]),
        traced: Traced::new(TraceContext::mint(), false, None, &Tracing::default(), Telling::Nothing),
        passed: HeaderMap::new(),
        accept: None,
    };
    Call::new(Instant::now(), SystemTime::UNIX_EPOCH, envelope, params, caller)
}

#[tokio::test]
async fn a_state_comes_back_to_the_byte_and_says_nothing_on_its_way() {
    let (seal, call, server) = (Seal::new(), call("ask", "{}"), server("a"));
    for raw in [&br#""step \u0032\/3""#[..], b"\"\"", b"{\"any\": 1}"] {
        let sealed = seal.close(raw, &call, &server);
        assert!(members::text(&sealed).is_some_and(|text| !text.contains("step")));
        assert_eq!(seal.open(&sealed, &call, &server), Ok(raw.to_vec()));
    }
}

#[tokio::test]
async fn a_state_is_worth_nothing_elsewhere() {
    let (seal, asked) = (Seal::new(), call("ask", r#"{"x":1}"#));
    let sealed = seal.close(b"\"state\"", &asked, &server("a"));
    let mut other_name = call("ask", r#"{"x":1}"#);
    other_name.local_name = Some("other".into());
    let open = |call: &Call, id: &str| seal.open(&sealed, call, &server(id));
    assert_eq!(open(&call("ask", r#"{"x":1}"#), "a"), Ok(b"\"state\"".to_vec()));
    assert_eq!(open(&asked, "b"), Err(Broken::Foreign));
    assert_eq!(open(&other_name, "a"), Err(Broken::Foreign));
    assert_eq!(open(&call("ask", r#"{"x":2}"#), "a"), Err(Broken::Foreign));
    assert_eq!(open(&call("ask", r#"{"x": 1}"#), "a"), Err(Broken::Foreign));
    assert_eq!(Seal::new().open(&sealed, &asked, &server("a")), Err(Broken::Foreign));
}

#[tokio::test]
async fn a_state_that_was_changed_anywhere_is_not_taken() {
    let (seal, call, server) = (Seal::new(), call("ask", "{}"), server("a"));
    let sealed = seal.close(b"\"state\"", &call, &server);
    for at in 1..sealed.len() - 1 {
        let mut changed = sealed.clone();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(seal.open(&changed, &call, &server), Err(Broken::Foreign), "at {at}");
    }
    for other in [&b"\"\""[..], b"\"state\"", b"7", b"null", b"\"AAAA\"", b"{}"] {
        assert_eq!(seal.open(other, &call, &server), Err(Broken::Foreign));
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_expires_after_a_quarter_of_an_hour() {
    let (seal, call, server) = (Seal::new(), call("ask", "{}"), server("a"));
    let sealed = seal.close(b"\"state\"", &call, &server);
    let last = Duration::from_millis(1);
    tokio::time::advance(LIFE.saturating_sub(last)).await;
    assert!(seal.open(&sealed, &call, &server).is_ok());
    tokio::time::advance(last).await;
    assert_eq!(seal.open(&sealed, &call, &server), Err(Broken::Expired));
}
