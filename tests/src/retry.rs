//! Calls that could not be sent: which are tried again, how often, and when the caller is told at once instead.
//!
//! That the pauses are 1, 2 and 4 s unless configured is shown beside the policy; here they are shorter.

use std::io::Cursor;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::client::{Answer, legacy, legacy_client, modern};
use crate::gateway::gateway;
use crate::stdio::child;
use crate::upstream::{Server, echo};
use crate::wait::until;

/// A server at a URL where nobody is.
struct Nobody(&'static str);

impl Server for Nobody {
    fn yaml(&self) -> Vec<String> {
        vec![format!("url: {}", self.0)]
    }
}

/// How often a call was tried, as its caller is told.
fn attempts(answer: &Answer) -> Option<u64> {
    let json = answer.json();
    let told = [&json["result"]["_meta"]["dev.tollhouse/attempts"], &json["error"]["data"]["attempts"]];
    told.into_iter().find_map(Value::as_u64)
}

/// Calls to a server at `url` are tried four times and were not executed.
async fn check_unreachable(url: &'static str) {
    let gateway = gateway().with(&Nobody(url)).retry("{backoff: 100ms}").start().await;
    let client = modern(&gateway);
    let start = Instant::now();
    let call = client.call("echo", json!({})).await;
    // Pauses of 100, 200 and 400 ms, each shorter by a fifth at most.
    assert!(start.elapsed() >= Duration::from_millis(560), "{:?}", start.elapsed());
    let seen = (call.status(), call.outcome(), attempts(&call), call.json()["result"]["isError"] == true);
    assert_eq!(seen, (200, "not_executed".to_owned(), Some(4), true), "{call:?}");
    gateway.ends_well(&["not_executed"]).await;
}

#[tokio::test]
async fn a_48_a_call_nobody_listens_for_is_tried_four_times_and_was_not_executed() {
    // Port 1 of the loopback: reserved, and refused at once.
    check_unreachable("http://127.0.0.1:1/mcp").await;
}

#[tokio::test]
async fn a_48_a_call_to_a_name_that_does_not_exist_is_tried_four_times_and_was_not_executed() {
    check_unreachable("http://nobody.invalid/mcp").await;
}

#[tokio::test]
async fn a_48_another_request_nobody_listens_for_is_an_error_in_either_era() {
    let gateway = gateway().with(&Nobody("http://127.0.0.1:1/mcp")).retry("{backoff: 50ms}").start().await;
    let list = modern(&gateway).message("tools/list").send().await;
    let params = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"tests","version":"1"}}"#;
    let session = legacy_client(&gateway, "2025-11-25").message("initialize").params(params).send().await;
    for answer in [list, session] {
        assert_eq!((answer.refusal(), answer.outcome().as_str()), ((200, 5030), "not_executed"), "{answer:?}");
        assert!(attempts(&answer).is_some_and(|attempts| (1..=4).contains(&attempts)), "{answer:?}");
    }
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_48_a_server_whose_certificate_is_not_accepted_is_tried_once() {
    let certificate = include_bytes!("certificate/elsewhere.pem");
    let key = PrivateKeyDer::try_from(include_bytes!("certificate/elsewhere.key.der").to_vec()).expect("it is a key");
    let chain = CertificateDer::pem_reader_iter(Cursor::new(certificate)).collect::<Result<Vec<_>, _>>();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports them")
        .with_no_client_auth()
        .with_single_cert(chain.expect("it is a certificate"), key)
        .expect("the key belongs to it");
    let (acceptor, listener) =
        (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports"));
    let url = format!("https://127.0.0.1:{}/mcp", listener.local_addr().expect("it is bound").port());
    let mut server = JoinSet::new();
    server.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a bound listener accepts");
            // The other side hangs up.
            let _ = acceptor.accept(stream).await;
        }
    });
    // Its issuer is trusted, but the name in it is another.
    let issuer = concat!(env!("CARGO_MANIFEST_DIR"), "/src/certificate/elsewhere.pem");
    let gateway = gateway().with(&Nobody(url.leak())).env("SSL_CERT_FILE", issuer).start().await;
    let client = modern(&gateway);
    let (call, list) = (client.call("echo", json!({})).await, client.message("tools/list").send().await);
    assert_eq!((call.outcome().as_str(), list.refusal()), ("not_executed", (200, 5030)), "{call:?} {list:?}");
    let meta = call.json()["result"]["_meta"].clone();
    assert_eq!((&meta["dev.tollhouse/cause"], &meta["dev.tollhouse/replaySafe"]), (&json!("tls"), &json!(false)));
    assert_eq!((attempts(&call), attempts(&list)), (Some(1), Some(1)));
    gateway.ends_well(&["not_executed"]).await;
}

#[tokio::test]
async fn a_call_reaches_a_server_that_comes_back_while_it_waits() {
    let closed = echo().closed();
    let gateway = gateway().with(&closed).retry("{backoff: 500ms}").start().await;
    let client = modern(&gateway);
    let call = client.tool("echo").arguments(&json!({"nonce": "n"})).field("Mcp-Param-Region", "eu");
    let call = call.field("Accept", "text/event-stream, application/json");
    let (answer, upstream) = tokio::join!(call.send(), async {
        gateway.becomes("tested", "failed").await;
        closed.open()
    });
    assert_eq!((answer.outcome().as_str(), answer.text().as_str(), upstream.executions()), ("ok", "n", 1));
    let head = &upstream.last_call().head;
    let passed = ["mcp-param-region", "accept", "mcp-name"].map(|name| head.get(name));
    assert_eq!(passed, ["eu", "text/event-stream, application/json", "echo"], "what the caller said of it");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn the_headers_of_a_caller_survive_a_connection_that_was_refused() {
    let upstream = echo().start().await;
    let gateway = gateway().with(&upstream).retry("{backoff: 500ms}").start().await;
    let client = modern(&gateway);
    assert_eq!(client.call("echo", json!({"nonce": "first"})).await.text(), "first");
    // Kept connections are closed as well.
    let closed = upstream.close().await;
    let call = client.tool("echo").arguments(&json!({"nonce": "n"})).field("Mcp-Param-Region", "eu");
    let call = call.field("Accept", "text/event-stream, application/json");
    let (answer, upstream) = tokio::join!(call.send(), async {
        gateway.becomes("tested", "failed").await;
        closed.open()
    });
    assert_eq!((answer.outcome().as_str(), answer.text().as_str(), upstream.executions()), ("ok", "n", 1));
    let head = &upstream.last_call().head;
    let passed = ["mcp-param-region", "accept", "mcp-name"].map(|name| head.get(name));
    assert_eq!(passed, ["eu", "text/event-stream, application/json", "echo"], "what the caller said of it");
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_server_that_is_known_to_be_away_is_not_waited_for_and_found_again_at_once() {
    let closed = echo().closed();
    // Away for longer than 350 ms, which all pauses together last.
    let gateway = gateway().with(&closed).retry("{backoff: 50ms}").start().await;
    let client = modern(&gateway);
    let mut outcomes = Vec::new();
    loop {
        let answer = client.call("echo", json!({})).await;
        assert_eq!(answer.outcome(), "not_executed", "{answer:?}");
        outcomes.push("not_executed");
        if attempts(&answer) == Some(1) {
            break;
        }
        assert!(outcomes.len() < 20, "it is repeated for ever: {answer:?}");
    }
    let upstream = closed.open();
    let answer = client.call("echo", json!({"nonce": "n"})).await;
    assert_eq!((answer.outcome().as_str(), answer.text().as_str(), upstream.executions()), ("ok", "n", 1));
    outcomes.push("ok");
    gateway.ends_well(&outcomes).await;
}

#[tokio::test]
async fn a_caller_who_goes_away_ends_the_waiting() {
    let gateway =
        gateway().with(&Nobody("http://127.0.0.1:1/mcp")).retry("{backoff: 1min, patience: 1h}").start().await;
    let waiting = modern(&gateway).tool("echo").arguments(&json!({})).sent().await;
    gateway.becomes("tested", "failed").await;
    drop(waiting);
    until("the call has left its record", || gateway.outcomes() == ["cancelled"]).await;
    gateway.ends_well(&["cancelled"]).await;
}

#[tokio::test]
async fn of_many_calls_that_fail_at_once_three_are_tried_again() {
    let gateway = gateway().with(&Nobody("http://127.0.0.1:1/mcp")).retry("{backoff: 300ms}").start().await;
    gateway.becomes("tested", "failed").await;
    let mut calls = JoinSet::new();
    for _ in 0..12 {
        let client = modern(&gateway);
        calls.spawn(async move { attempts(&client.call("echo", json!({})).await) });
    }
    let attempts = calls.join_all().await;
    let repeated = attempts.iter().filter(|attempts| attempts.is_some_and(|attempts| attempts > 1)).count();
    assert!((1..=3).contains(&repeated), "{attempts:?}");
    gateway.ends_well(&["not_executed"; 12]).await;
}

#[tokio::test]
async fn none_is_tried_again_where_that_is_switched_off() {
    let gateway = gateway().with(&Nobody("http://127.0.0.1:1/mcp")).retry("{attempts: 0}").start().await;
    let answer = modern(&gateway).call("echo", json!({})).await;
    assert_eq!((answer.outcome().as_str(), attempts(&answer)), ("not_executed", Some(1)), "{answer:?}");
    gateway.ends_well(&["not_executed"]).await;
}

#[tokio::test]
async fn a_call_waits_for_a_process_that_is_being_started_again() {
    let child = child().argument("exit").argument("1");
    let gateway = gateway().with(&child).start().await;
    let client = modern(&gateway);
    assert_eq!(client.call("echo", json!({"nonce": "first"})).await.outcome(), "unknown");
    // The next process is there after half a second.
    let answer = client.call("echo", json!({"nonce": "second"})).await;
    assert_eq!((answer.outcome().as_str(), child.ledger()), ("unknown", vec!["first".to_owned(), "second".to_owned()]));
    let legacy = legacy(&gateway, "2025-06-18").await;
    for nonce in ["third", "fourth"] {
        assert_eq!(legacy.call("echo", json!({"nonce": nonce})).await.outcome(), "unknown");
    }
    assert_eq!(child.executions(), 4, "nothing is sent twice");
    gateway.ends_well(&["unknown"; 4]).await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_tried_as_often_as_it_is_started() {
    let missing = child().program("/no/such/program".as_ref());
    let gateway = gateway().with(&missing).retry("{backoff: 50ms}").start().await;
    let answer = modern(&gateway).call("echo", json!({})).await;
    assert_eq!(answer.outcome(), "not_executed", "{answer:?}");
    assert!(attempts(&answer).is_some_and(|attempts| (1..=4).contains(&attempts)), "{answer:?}");
    gateway.ends_well(&["not_executed"]).await;
}

#[tokio::test]
async fn calls_that_wait_to_be_tried_again_do_not_hold_up_the_end() {
    let mut gateway =
        gateway().with(&Nobody("http://127.0.0.1:1/mcp")).retry("{backoff: 1min, patience: 1h}").start().await;
    let client = modern(&gateway);
    let call = client.tool("echo").arguments(&json!({}));
    let mut waiting = call.sent().await;
    gateway.becomes("tested", "failed").await;
    gateway.process.signal(rustix::process::Signal::TERM);
    let answer = waiting.response().await;
    assert_eq!(answer.json()["result"]["_meta"]["dev.tollhouse/outcome"], "not_executed", "{answer:?}");
    assert_eq!(gateway.process.exit().await.code(), Some(0));
}
