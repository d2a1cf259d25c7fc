//! Servers that take a call and then say nothing any more, to nobody.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{legacy, modern};
use crate::gateway::gateway;
use crate::stdio::child;
use crate::upstream::echo;
use crate::wait::until;

#[tokio::test]
async fn a_50_a_server_that_fell_silent_ends_calls_at_the_idle_clock_and_is_noticed() {
    let upstream = echo().start().await;
    let gateway = gateway().with(&upstream).timeouts("{idle: 500ms, start: 1s}").start().await;
    let (modern, legacy) = (modern(&gateway), legacy(&gateway, "2025-06-18").await);
    gateway.becomes("tested", "connected").await;
    upstream.falls_silent(true);
    for client in [&modern, &legacy] {
        let start = Instant::now();
        let answer = client.call("echo", json!({"nonce": "n"})).await;
        let told = (answer.outcome(), answer.json()["result"]["_meta"]["dev.tollhouse/cause"].clone());
        assert_eq!(told, ("unknown".to_owned(), json!("timeout")), "{answer:?}");
        assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
        if client.session.is_none() {
            // Else the next call would be refused before it is sent.
            upstream.falls_silent(false);
            gateway.becomes("tested", "connected").await;
            upstream.falls_silent(true);
        }
    }
    let calls = upstream.received("tools/call");
    until("the modern upstream is left, which cancels", || calls[0].left()).await;
    until("the legacy upstream is told", || upstream.received("notifications/cancelled").len() == 1).await;

    // Nobody calls, and still it is noticed.
    let told = gateway.becomes("tested", "failed").await;
    assert_eq!(told["reason"], "no answer within 1 s");
    let answer = modern.call("echo", json!({"nonce": "m"})).await;
    assert_eq!((answer.outcome().as_str(), upstream.received("tools/call").len()), ("not_executed", 2));

    upstream.falls_silent(false);
    gateway.becomes("tested", "connected").await;
    assert_eq!(modern.call("echo", json!({"nonce": "m"})).await.text(), "m");
    gateway.ends_well(&["timeout", "timeout", "not_executed", "ok"]).await;
}

#[tokio::test]
async fn a_50_a_server_that_is_slow_with_one_call_only_stays_connected() {
    let upstream = echo().held().start().await;
    let gateway = gateway().with(&upstream).timeouts("{idle: 300ms, start: 5s}").start().await;
    let client = modern(&gateway);
    assert_eq!(client.call("echo", json!({"nonce": "n"})).await.outcome(), "unknown");
    let asked = upstream.received("server/discover").len();
    until("it was asked whether it lives", || upstream.received("server/discover").len() > asked.min(1)).await;
    assert_eq!(gateway.health_of("tested").await["state"], "connected");
    gateway.ends_well(&["timeout"]).await;
}

#[tokio::test]
async fn a_50_a_process_that_fell_silent_is_noticed_and_replaced() {
    let child = child().argument("goes-mute");
    let gateway = gateway().with(&child).timeouts("{idle: 300ms, start: 1s}").start().await;
    let client = modern(&gateway);
    let first = client.call("echo", json!({"nonce": "first"})).await;
    assert_eq!(first.outcome(), "unknown", "{first:?}");
    until("another process has been started", || child.starts().len() == 2).await;
    gateway.becomes("tested", "connected").await;
    let second = client.call("echo", json!({"nonce": "second"})).await;
    assert_eq!((second.outcome().as_str(), child.ledger()), ("unknown", vec!["first".to_owned(), "second".to_owned()]));
    gateway.ends_well(&["timeout", "timeout"]).await;
}

#[tokio::test]
async fn a_50_the_process_of_a_session_that_fell_silent_is_replaced() {
    let child = child().argument("legacy").argument("goes-mute");
    let gateway = gateway().with(&child).timeouts("{idle: 1s, start: 1s}").start().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let started = child.starts().len();
    assert_eq!(client.call("echo", json!({"nonce": "first"})).await.outcome(), "unknown");
    until("the process was ended", || gateway.stderr().contains("says nothing any more")).await;
    let mut outcomes = vec!["timeout"];
    // Until its process has ended, calls go to the old one.
    while child.starts().len() == started {
        assert_eq!(client.call("echo", json!({"nonce": "next"})).await.outcome(), "unknown");
        outcomes.push("timeout");
        assert!(outcomes.len() < 20, "no other process takes its place");
    }
    gateway.ends_well(&outcomes).await;
}
