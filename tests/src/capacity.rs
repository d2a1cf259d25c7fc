//! Legacy sessions by the thousand: how many there may be, who makes room, and what they cost.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::client::{Answer, Client, Stream, legacy, legacy_client};
use crate::gateway::{Gateway, gateway};
use crate::upstream;
use crate::wait::until;

/// A megabyte as operators count it.
const MIB: usize = 1024 * 1024;

const INITIALIZE: &str =
    r#"{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}"#;

async fn initialize(gateway: &Gateway) -> Answer {
    legacy_client(gateway, "2025-06-18").message("initialize").params(INITIALIZE).send().await
}

async fn sessions(gateway: &Gateway) -> u64 {
    gateway.health().await["sessions"].as_u64().expect("a number")
}

/// Does the client's session live?
async fn lives(client: &Client) -> bool {
    // Its idle connection may have been closed meanwhile.
    match client.afresh().message("tools/list").send().await.status() {
        200 => true,
        404 => false,
        status => panic!("status {status}"),
    }
}

/// Both caps, of all and of one principal. Nobody says who they are, so all are the same one.
const CAPS: [(&str, &str); 2] = [
    ("{sessions: 3, sessions_per_principal: 1000}", "sessions"),
    ("{sessions: 1000, sessions_per_principal: 3}", "sessions_per_principal"),
];

#[tokio::test]
async fn a_34_a_session_above_the_limit_is_refused_while_the_others_are_in_use() {
    for (limits, name) in CAPS {
        let upstream = upstream::echo().held().start().await;
        let gateway = gateway().with(&upstream).limits(limits).start().await;
        let mut held = Vec::new();
        let mut clients = Vec::new();
        for n in 0..3 {
            let client = legacy(&gateway, "2025-06-18").await;
            held.push(client.tool("echo").arguments(&json!({"nonce": n.to_string()})).sent().await);
            clients.push(client);
        }
        until("the calls are held", || upstream.executions() == 3).await;
        let opened = upstream.received("initialize").len();
        for _ in 0..2 {
            let refused = initialize(&gateway).await;
            assert_eq!((refused.refusal(), refused.head.get("Retry-After")), ((429, 4290), "5"));
            assert_eq!(refused.json()["error"]["data"]["limit"], name);
        }
        assert_eq!(upstream.received("initialize").len(), opened, "no server opened a session in vain");
        for client in &clients {
            assert!(lives(client).await, "an existing session was touched");
        }
        upstream.release(3);
        for call in held {
            assert_eq!(Stream::of(call).await.rest().await.outcome(), "ok");
        }
        until("the others are idle", || gateway.outcomes().len() == 3).await;
        assert_eq!(initialize(&gateway).await.status(), 200);
        assert_eq!(sessions(&gateway).await, 3);
        gateway.ends_well(&["ok"; 3]).await;
    }
}

#[tokio::test]
async fn a_34_the_session_that_was_idle_longest_makes_room() {
    for (limits, _) in CAPS {
        let upstream = upstream::echo().start().await;
        let gateway = gateway().with(&upstream).limits(limits).start().await;
        let first = legacy(&gateway, "2025-06-18").await;
        let second = legacy(&gateway, "2025-06-18").await;
        let third = legacy(&gateway, "2025-06-18").await;
        assert!(lives(&first).await);
        // The second has been idle longest, since the first was just used; then the third.
        let fourth = legacy(&gateway, "2025-06-18").await;
        assert_eq!((lives(&second).await, lives(&first).await, lives(&fourth).await), (false, true, true));
        let fifth = legacy(&gateway, "2025-06-18").await;
        assert_eq!((lives(&third).await, lives(&first).await, lives(&fifth).await), (false, true, true));
        assert_eq!(sessions(&gateway).await, 3);
        gateway.ends_well(&[]).await;
    }
}

#[tokio::test]
async fn a_34_a_session_whose_stream_is_read_is_not_idle() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).limits("{sessions: 1}").start().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let mut reading = client.verb("GET").sent().await;
    assert!(reading.head(false).await.is_some());
    assert_eq!(initialize(&gateway).await.refusal(), (429, 4290));
    drop(reading);
    let mut status = 429;
    while status == 429 {
        status = initialize(&gateway).await.status();
    }
    assert_eq!(status, 200);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn an_initialize_too_large_to_be_kept_is_refused() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let name = "n".repeat(64 << 10);
    let params = INITIALIZE.replace("test", &name);
    let refused = legacy_client(&gateway, "2025-06-18").message("initialize").params(&params).send().await;
    assert_eq!((refused.refusal(), sessions(&gateway).await), ((413, 4130), 0));
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_36_ten_thousand_sessions_cost_little_and_idle_ones_are_forgotten() {
    const SESSIONS: usize = 10_000;
    let upstream = upstream::echo().held().start().await;
    let limits = "{sessions_per_principal: 20000, session_idle: 6s}";
    let gateway = gateway().with(&upstream).limits(limits).start().await;
    let active = legacy(&gateway, "2025-06-18").await;
    let held = active.tool("echo").arguments(&json!({"nonce": "n"})).sent().await;
    until("the call is held", || upstream.executions() == 1).await;
    let read = legacy(&gateway, "2025-06-18").await;
    let mut reading = read.verb("GET").sent().await;
    assert!(reading.head(false).await.is_some());
    let before = gateway.memory();
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        // One connection each: what is measured is sessions.
        let client = legacy_client(&gateway, "2025-06-18");
        clients.spawn(async move {
            for _ in 0..SESSIONS / 20 {
                let opened = client.message("initialize").params(INITIALIZE).send().await;
                assert_eq!(opened.status(), 200, "{opened:?}");
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.expect("no task panics");
    }
    let grown = gateway.memory().saturating_sub(before);
    // An answer, a record and a log line each have passed, too.
    assert!(grown < 64 * MIB, "memory grew by {grown} bytes");
    let start = std::time::Instant::now();
    while sessions(&gateway).await > 2 {
        assert!(start.elapsed() < Duration::from_mins(1), "{} sessions are left", sessions(&gateway).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(lives(&read).await, "a session whose stream is read was forgotten");
    upstream.release(1);
    assert_eq!(Stream::of(held).await.rest().await.outcome(), "ok");
    assert!(lives(&active).await, "a session with a call under way was forgotten");
    drop(reading);
    gateway.ends_well(&["ok"]).await;
}
