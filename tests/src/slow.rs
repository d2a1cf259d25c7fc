//! Clients that are slow, silent, or too many at once. The limits are lowered, so that nobody waits for half a minute.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::{legacy, modern};
use crate::gateway::{Gateway, gateway};
use crate::http::{Wire, status};
use crate::message::legacy_call;
use crate::sse;
use crate::upstream::{self, Step, event, honest, text};
use crate::wait::{soon, until};

/// A megabyte as operators count it.
const MIB: usize = 1024 * 1024;

/// The tests of this file open many sockets themselves.
fn many_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("up to the maximum");
}

/// Says `head`, then a byte of `drip` every now and then; how long the gateway bore it, and what it answered.
async fn dripping(address: SocketAddr, head: String, drip: &'static [u8]) -> (Duration, String) {
    let start = Instant::now();
    let stream = TcpStream::connect(address).await.expect("the listener accepts");
    let (mut read, mut write) = stream.into_split();
    let saying = async {
        write.write_all(head.as_bytes()).await?;
        for byte in drip.iter().cycle() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            write.write_all(&[*byte]).await?;
        }
        std::io::Result::Ok(())
    };
    let mut answer = Vec::new();
    // Whichever side sees the end first, and be it by a reset.
    let ended = async {
        tokio::select! {
            _ = read.read_to_end(&mut answer) => {}
            _ = saying => {}
        }
    };
    soon("the end of a slow connection", ended).await;
    (start.elapsed(), String::from_utf8_lossy(&answer).into_owned())
}

/// A call whose answer is larger than what lies between two sockets.
fn with_a_large_answer() -> upstream::Builder {
    let (before, after) = (text(r#"{"jsonrpc":"2.0","id":$ID,"result":{"x":""#), text("\"}}"));
    upstream::echo().answers([before, Step::Filler(9 * MIB), after])
}

/// The time of the slowest of some calls to the healthy server.
async fn slowest_healthy_call(gateway: &Gateway, calls: usize) -> Duration {
    let client = modern(gateway).at("/servers/neighbour/mcp");
    let mut slowest = Duration::ZERO;
    for _ in 0..calls {
        let start = Instant::now();
        let answer = client.call("echo", json!({"nonce": "healthy"})).await;
        assert_eq!(answer.text(), "healthy", "{answer:?}");
        slowest = slowest.max(start.elapsed());
    }
    slowest
}

#[tokio::test]
async fn a_20_slow_heads_bodies_and_readers_are_cut_off_and_a_healthy_client_does_not_notice() {
    const LIMIT: Duration = Duration::from_millis(1500);
    const SLOW_READERS: usize = 10;
    many_descriptors();
    let upstream = with_a_large_answer().start().await;
    let limits = "{head: 1500ms, body_idle: 1500ms, write_stall: 1500ms}";
    let gateway = gateway().with(&upstream).limits(limits).start().await;
    let mut unread = Vec::new();
    for _ in 0..SLOW_READERS {
        unread.push(modern(&gateway).tool("echo").raw_arguments("{}").sent_narrowly().await);
    }
    until("their calls are over", || gateway.outcomes() == ["ok"; SLOW_READERS]).await;
    let baseline = slowest_healthy_call(&gateway, 200).await;
    let (address, path) = (gateway.mcp, gateway.path());
    let fields = "Host: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";
    let mut slow = JoinSet::new();
    for _ in 0..95 {
        let head = format!("POST {path} HTTP/1.1\r\n{fields}X-Slow: ");
        slow.spawn(dripping(address, head, b"x"));
        let head = format!("POST {path} HTTP/1.1\r\n{fields}Content-Length: 100000\r\n\r\n");
        slow.spawn(dripping(address, head, b" "));
    }
    let mut disturbed = Duration::ZERO;
    while slow.len() > 95 {
        disturbed = disturbed.max(slowest_healthy_call(&gateway, 20).await);
        while slow.try_join_next().map(|ended| assert_slow(ended.expect("no task panics"), LIMIT)).is_some() {}
    }
    while let Some(ended) = slow.join_next().await {
        assert_slow(ended.expect("no task panics"), LIMIT);
    }
    gateway.lost("connections_cut", 200).await;
    for mut wire in unread {
        // What lies between the sockets can still be read; the rest of the answer never comes.
        let head = soon("the head of an answer", wire.head(false)).await.expect("it was sent long ago");
        let body = soon("the end of the connection", wire.rest()).await;
        assert!(!wire.whole, "{} bytes of {}", body.len(), head.get("content-length"));
    }
    // Others use this machine, too: a healthy client that waits for slow ones would wait for the limit at least.
    assert!(disturbed < (10 * baseline).max(Duration::from_secs(1)), "{disturbed:?} instead of {baseline:?}");
    gateway.ends_well(&["ok"; SLOW_READERS]).await;
}

fn assert_slow((took, answer): (Duration, String), limit: Duration) {
    assert!((limit..10 * limit).contains(&took), "{took:?}: {answer}");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

/// How many descriptors a gateway has that has served a call: files of its store are opened when there is something to
/// write, and its server is asked meanwhile.
async fn settled_descriptors(gateway: &Gateway) -> usize {
    slowest_healthy_call(gateway, 1).await;
    let (mut last, mut same) = (0, 0);
    until("as many descriptors as before, for a while", || {
        let now = gateway.open_descriptors();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same == 60
    })
    .await;
    last
}

#[tokio::test]
async fn a_21_silent_connections_are_closed_and_their_descriptors_return() {
    many_descriptors();
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).limits("{head: 10s}").start().await;
    let baseline = settled_descriptors(&gateway).await;
    let mut silent = Vec::new();
    // Nothing, the beginning of what could be HTTP of either version, and the beginning of a handshake.
    let said: [&[u8]; 4] = [b"", b"PO", b"PRI * HTTP/2.0\r\n\r\nSM", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"];
    for said in said.iter().cycle().take(1000) {
        let mut wire = Wire::connect(gateway.mcp).await;
        wire.write(said).await;
        silent.push(wire);
    }
    until("all are accepted", || gateway.open_descriptors() >= baseline + 990).await;
    slowest_healthy_call(&gateway, 20).await;
    for mut wire in silent {
        soon("the end of a silent connection", wire.closed()).await;
    }
    until("the descriptors return", || gateway.open_descriptors() <= baseline + 2).await;
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_21_a_handshake_of_another_protocol_is_closed_at_once() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).limits("{head: 1h}").start().await;
    let baseline = settled_descriptors(&gateway).await;
    let hello = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &[0xA5; 500]].concat();
    for said in [&hello[..], &hello[..3], b"SSH-2.0-OpenSSH_9.2\r\n\r\n", &[0; 4096]] {
        let mut wire = Wire::connect(gateway.mcp).await;
        wire.write(said).await;
        soon("the end of the connection", wire.closed()).await;
    }
    until("the descriptors return", || gateway.open_descriptors() <= baseline + 2).await;
    gateway.ends_well(&[]).await;
}

/// 50 MiB of events, and the answer.
fn torrent() -> Vec<Step> {
    let filler = "x".repeat(64 * 1024);
    let message = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","data":"{filler}"}}}}"#
    );
    std::iter::repeat_n(event(&message), 800).chain([honest()]).collect()
}

#[tokio::test]
async fn a_33_a_modern_client_that_reads_nothing_misses_notifications_and_is_disconnected() {
    let upstream = upstream::echo().streams(torrent()).start().await;
    let gateway = gateway().with(&upstream).limits("{write_stall: 5s}").start().await;
    slowest_healthy_call(&gateway, 1).await;
    let before = gateway.peak_memory();
    let unread = modern(&gateway).tool("echo").raw_arguments(r#"{"nonce":"n"}"#).sent_narrowly().await;
    let dropped = gateway.lost("messages_dropped", 1).await;
    slowest_healthy_call(&gateway, 100).await;
    until("the call ends without its client", || gateway.outcomes() == ["ok"]).await;
    gateway.lost("connections_cut", 1).await;
    assert_cut(unread).await;
    let grown = gateway.peak_memory() - before;
    assert!(grown < 24 * MIB, "memory grew by {grown} bytes while {dropped} messages were dropped");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_33_a_legacy_client_that_reads_nothing_misses_notifications_and_is_disconnected() {
    let upstream = upstream::echo().streams(torrent()).start().await;
    let gateway = gateway().with(&upstream).limits("{write_stall: 5s, event_bytes: 16MiB}").start().await;
    slowest_healthy_call(&gateway, 1).await;
    let client = legacy(&gateway, "2025-11-25").await;
    let before = gateway.peak_memory();
    let unread = client.tool("echo").raw_arguments(r#"{"nonce":"n"}"#).sent_narrowly().await;
    let dropped = gateway.lost("messages_dropped", 1).await;
    slowest_healthy_call(&gateway, 100).await;
    until("the call ends without its client", || gateway.outcomes() == ["ok"]).await;
    gateway.lost("connections_cut", 1).await;
    assert_cut(unread).await;
    let grown = gateway.peak_memory() - before;
    assert!(grown < 40 * MIB, "memory grew by {grown} bytes while {dropped} messages were dropped");
    assert_eq!(client.afresh().message("tools/list").send().await.status(), 200, "the session lives on");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_33_a_client_of_http_sse_that_reads_nothing_misses_notifications_and_is_disconnected() {
    let upstream = upstream::echo().streams(torrent()).start().await;
    let gateway = gateway().with(&upstream).limits("{write_stall: 5s}").start().await;
    slowest_healthy_call(&gateway, 1).await;
    let mut unread = sse::narrow_client(&gateway, "/servers/tested/sse").await;
    unread.initialize("2024-11-05").await;
    let before = gateway.peak_memory();
    unread.send(&legacy_call("1", &json!({"nonce": "n"}))).await;
    let dropped = gateway.lost("messages_dropped", 1).await;
    slowest_healthy_call(&gateway, 100).await;
    until("the call ends without its client", || gateway.outcomes() == ["ok"]).await;
    gateway.lost("connections_cut", 1).await;
    let grown = gateway.peak_memory() - before;
    assert!(grown < 24 * MIB, "memory grew by {grown} bytes while {dropped} messages were dropped");
    let again = unread.post(r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#).await;
    assert_eq!(again.status(), 404, "the session has ended with its stream");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_33_a_client_that_reads_slowly_misses_nothing() {
    let upstream = upstream::echo().streams(torrent()).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let mut stream = modern(&gateway).tool("echo").raw_arguments(r#"{"nonce":"n"}"#).open().await;
    let mut events = 0;
    while let Some(event) = stream.next().await {
        events += 1;
        if events % 100 == 0 {
            // Long enough for the pipe to fill, too short for a client that does not read.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(!event.data.is_empty());
    }
    assert_eq!(events, 801);
    assert_eq!(gateway.health().await["losses"]["messages_dropped"], 0);
    gateway.ends_well(&["ok"]).await;
}

/// The stream broke off.
async fn assert_cut(mut wire: Wire) {
    let _ = soon("the head of an answer", wire.head(false)).await;
    soon("the end of the connection", wire.rest()).await;
    assert!(!wire.whole, "the whole stream arrived");
}

#[tokio::test]
async fn a_72_few_descriptors_slow_nothing_down_for_long_and_cost_no_processor_time() {
    many_descriptors();
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).descriptors(64).limits("{head: 4s}").start().await;
    slowest_healthy_call(&gateway, 1).await;
    assert_eq!(modern(&gateway).call("echo", json!({})).await.outcome(), "ok");
    let quiet = gateway.open_descriptors() + 4;

    // More connections than there is room for: those beyond are told so, and health is answered.
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(Wire::connect(gateway.mcp).await);
    }
    gateway.lost("connections_refused", 150).await;
    let refusal = async {
        loop {
            let mut refused = modern(&gateway).tool("echo").raw_arguments("{}").sent().await;
            // Only so many are told at a time; the others are just disconnected.
            if let Some(head) = refused.head(false).await {
                return head;
            }
        }
    };
    let refusal = soon("a refusal", refusal).await;
    assert_eq!((status(&refusal), refusal.get("retry-after")), (503, "1"));
    let (start, used) = (Instant::now(), gateway.processor_time());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_idle(&gateway, start, used);
    drop(crowd);
    until("there is room again", || gateway.open_descriptors() <= quiet).await;
    is_served_again(&gateway).await;

    // No descriptor left at all, since health is asked by a crowd, too: accepting pauses, and goes on afterwards.
    let mut crowd = Vec::new();
    for address in [gateway.mcp, gateway.admin] {
        for _ in 0..100 {
            crowd.push(Wire::connect(address).await);
        }
    }
    until("no descriptor is left", || gateway.open_descriptors() >= 64).await;
    let (start, used) = (Instant::now(), gateway.processor_time());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_idle(&gateway, start, used);
    drop(crowd);
    until("there is room again", || gateway.open_descriptors() <= quiet).await;
    is_served_again(&gateway).await;
    gateway.ends_well(&["ok"; 3]).await;
}

/// A new client gets through, if not at once: behind a crowd that has left connections wait which nobody wants.
async fn is_served_again(gateway: &Gateway) {
    let served = async {
        loop {
            let mut wire = modern(gateway).tool("echo").raw_arguments("{}").sent().await;
            match wire.head(false).await.map(|head| status(&head)) {
                Some(200) => return,
                Some(503) | None => tokio::time::sleep(Duration::from_millis(20)).await,
                Some(other) => panic!("status {other}"),
            }
        }
    };
    soon("a call that is served", served).await;
}

fn assert_idle(gateway: &Gateway, start: Instant, used: Duration) {
    let (passed, used) = (start.elapsed(), gateway.processor_time().saturating_sub(used));
    assert!(used < passed / 5, "{used:?} of {passed:?}");
}
