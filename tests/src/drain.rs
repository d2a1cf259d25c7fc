//! The end of the gateway: calls in flight are finished, nothing is left behind.
//!
//! That a second SIGTERM leaves its calls as unknown in the journal, waits for the journal.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::{legacy, modern};
use crate::gateway::gateway;
use crate::message::legacy_call;
use crate::stdio::{child, exists};
use crate::upstream;
use crate::wait::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_77_sigterm_finishes_every_call_in_flight_and_exits_with_0() {
    let (http, child) = (upstream::echo().held().start().await, child());
    let mut gateway = gateway().with(&http).server("child", &child).start().await;
    let mut calls = JoinSet::new();
    for (version, count, path) in [
        ("2025-06-18", 50, gateway.path()),
        ("2025-11-25", 50, gateway.path()),
        ("2025-06-18", 5, "/servers/child/mcp".into()),
    ] {
        let client = std::sync::Arc::new(crate::client::legacy_at(&gateway, &path, version).await);
        for number in 0..count {
            let (client, gate) = (std::sync::Arc::clone(&client), child.gate());
            calls.spawn(async move {
                let nonce = format!("{version}/{number}");
                let answer = client.call("echo", json!({"nonce": nonce, "gate": gate})).await;
                answer.text() == nonce
            });
        }
    }
    http.executed(100).await;
    until("the child holds its calls", || child.executions() == 5).await;

    gateway.process.signal(Signal::TERM);
    let mut closed = false;
    while !closed {
        closed = TcpStream::connect(gateway.mcp).await.is_err();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    http.release(100);
    child.open();
    let answered = calls.join_all().await.into_iter().filter(|&own| own).count();
    let status = gateway.process.exit().await;
    assert_eq!((answered, status.code()), (105, Some(0)), "{}", gateway.stderr());
    assert!(!child.starts().into_iter().any(exists), "a child is left");
    until("every call has left its record", || gateway.outcomes().len() >= 105).await;
    assert_eq!(gateway.outcomes(), ["ok"; 105]);
}

#[tokio::test]
async fn a_77_an_idle_gateway_ends_at_once() {
    let (http, child) = (upstream::echo().start().await, child());
    let mut gateway = gateway().with(&http).server("child", &child).start().await;
    let client = legacy(&gateway, "2025-11-25").await;
    assert_eq!(client.call("echo", json!({"nonce": "n"})).await.text(), "n");
    let on_child = modern(&gateway).at("/servers/child/mcp").call("echo", json!({"nonce": "n"})).await;
    assert_eq!(on_child.text(), "n");
    let start = Instant::now();
    gateway.process.signal(Signal::TERM);
    let status = gateway.process.exit().await;
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
    assert_eq!((status.code(), child.starts().into_iter().any(exists)), (Some(0), false));
    assert_eq!(gateway.outcomes(), ["ok", "ok"]);
}

#[tokio::test]
async fn a_77_a_second_sigterm_ends_the_gateway_at_once_and_its_children() {
    let (http, child) = (upstream::echo().held().start().await, child());
    let mut gateway = gateway().with(&http).server("child", &child).start().await;
    let client = modern(&gateway);
    let on_child = modern(&gateway).at("/servers/child/mcp");
    let _held = client.tool("echo").arguments(&json!({"nonce": "n"})).sent().await;
    let _gated = on_child.tool("echo").arguments(&json!({"nonce": "n", "gate": child.gate()})).sent().await;
    http.executed(1).await;
    until("the child holds its call", || child.executions() == 1).await;
    gateway.process.signal(Signal::TERM);
    until("the drain has begun", || std::net::TcpStream::connect(gateway.mcp).is_err()).await;
    let start = Instant::now();
    gateway.process.signal(Signal::TERM);
    gateway.process.exit().await;
    assert!(start.elapsed() < Duration::from_secs(2), "it took {:?}", start.elapsed());
    until("no child is left", || !child.starts().into_iter().any(exists)).await;
}

#[tokio::test]
async fn a_77_a_drain_lasts_no_longer_than_its_limit() {
    let http = upstream::echo().held().start().await;
    let mut gateway = gateway().with(&http).limits("{drain: 1s}").start().await;
    let client = modern(&gateway);
    let held = client.tool("echo").arguments(&json!({"nonce": "n"})).sent().await;
    http.executed(1).await;
    let start = Instant::now();
    gateway.process.signal(Signal::TERM);
    let status = gateway.process.exit().await;
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "it took {took:?}");
    assert_eq!((status.code(), gateway.outcomes()), (Some(0), vec!["unknown".to_owned()]));
    drop(held);
}

#[tokio::test]
async fn a_77_on_stdio_the_end_of_stdin_ends_the_gateway_after_its_calls() {
    let child = child();
    let mut client = gateway().with(&child).alone().stdio();
    client.initialize("2025-06-18").await;
    client.send(&legacy_call("1", &json!({"nonce": "n", "gate": child.gate()}))).await;
    until("the child holds the call", || child.executions() == 1).await;
    client.hang_up();
    child.open();
    assert_eq!(client.message().await["result"]["content"][0]["text"], "n");
    assert!(client.message().await.is_null(), "nothing follows");
    assert_eq!(client.process.exit().await.code(), Some(0), "{}", client.process.stderr());
    assert!(!child.starts().into_iter().any(exists), "a child is left");
}
