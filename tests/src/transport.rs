//! HTTP that is odd, oversized or ambiguous. What is slow or too much stands in `slow`.

use crate::client::{legacy, modern};
use crate::gateway::{Gateway, gateway};
use crate::http::{Request, exchange_until_closed, post, request};
use crate::upstream::{self, Upstream};

/// A megabyte as operators count it.
const MIB: usize = 1024 * 1024;

async fn echo() -> (Upstream, Gateway) {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).alone().start().await;
    (upstream, gateway)
}

/// A call padded to this size.
fn padded(gateway: &Gateway, size: usize) -> Request {
    let call = modern(gateway).tool("echo").raw_arguments("{\"x\":\"PADDING\"}").request();
    let body = modern(gateway).tool("echo").raw_arguments(&format!(r#"{{"x":"{}"}}"#, "x".repeat(size))).text();
    call.body(body)
}

#[tokio::test]
async fn a_09_a_body_over_the_limit_is_cut_off_as_soon_as_it_exceeds_it() {
    let (upstream, gateway) = echo().await;
    let before = gateway.peak_memory();
    let response = padded(&gateway, 11 * MIB).chunked().send_until_closed().await;
    assert_eq!((response.refusal(), upstream.executions()), ((413, 4130), 0));
    let grown = gateway.peak_memory() - before;
    assert!(grown < 16 * MIB, "memory grew by {grown} bytes");
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_09_a_body_that_announces_too_much_is_refused_unread() {
    let (upstream, gateway) = echo().await;
    let call = post(gateway.mcp, "/mcp").body("").bytes();
    let announced = String::from_utf8(call).expect("ASCII").replace("Content-Length: 0", "Content-Length: 99999999999");
    let response = exchange_until_closed(gateway.mcp, announced.as_bytes()).await;
    assert_eq!((response.refusal(), upstream.executions()), ((413, 4130), 0));
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_09_a_body_within_the_limit_passes_in_chunks() {
    let (upstream, gateway) = echo().await;
    let response = padded(&gateway, 3 * MIB).chunked().send().await;
    assert_eq!((response.refusal(), upstream.executions()), ((200, 0), 1));
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_10_other_media_types_are_refused() {
    let (upstream, gateway) = echo().await;
    let client = modern(&gateway);
    let call = || client.tool("echo").raw_arguments("{}").request();
    for path in gateway.paths() {
        let sent = call().to(&path).field("Content-Type", "text/plain").send().await.status();
        let unsaid = call().to(&path).without("Content-Type").send().await.status();
        let json_only = call().to(&path).field("Accept", "application/json").send().await.status();
        let html_only = call().to(&path).field("Accept", "text/html").send().await.status();
        assert_eq!([sent, unsaid, json_only, html_only], [415, 415, 406, 406], "at {path}");
    }
    assert_eq!(upstream.executions(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_10_media_types_may_carry_parameters_and_wildcards() {
    let (_upstream, gateway) = echo().await;
    let client = modern(&gateway);
    let call = || client.tool("echo").raw_arguments("{}").request();
    let parameter = call().field("Content-Type", "application/json; charset=utf-8").send().await.status();
    let wildcard = call().field("Accept", "*/*").send().await.status();
    let order = call().field("Accept", "text/event-stream;q=0.9, application/json").send().await.status();
    assert_eq!([parameter, wildcard, order], [200, 200, 200]);
    gateway.ends_well(&["ok", "ok", "ok"]).await;
}

// GET and DELETE are 405 only while legacy clients are switched off, for which there is no setting yet.
#[tokio::test]
async fn a_11_get_and_delete_follow_the_legacy_rules_and_other_verbs_are_not_allowed() {
    let (_upstream, gateway) = echo().await;
    for path in gateway.paths() {
        let sessionless = request(gateway.mcp, "GET", &path).field("Accept", "text/event-stream").send().await;
        let delete = request(gateway.mcp, "DELETE", &path).send().await;
        let put = request(gateway.mcp, "PUT", &path).send().await;
        assert_eq!([sessionless.status(), delete.status(), put.status()], [400, 400, 405], "at {path}");
        assert!(put.head.get("allow").contains("POST"), "Allow: {:?}", put.head.get("allow"));
    }
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_11_delete_ends_a_session() {
    let (_upstream, gateway) = echo().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let deleted = client.verb("DELETE").send().await.status();
    let afterwards = client.message("tools/list").send().await.status();
    assert_eq!((deleted / 100, afterwards), (2, 404));
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_19_headers_over_the_limits_are_refused_and_the_connection_closed() {
    let (upstream, gateway) = echo().await;
    let client = modern(&gateway);
    let call = || client.tool("echo").raw_arguments("{}").request();
    let big = call().field("X-Big", &"x".repeat(100 * 1024)).send_until_closed().await.status();
    let many = (0..500).fold(call(), |request, n| request.also(&format!("X-{n}"), "x"));
    let many = many.send_until_closed().await.status();
    assert_eq!((big, many, upstream.executions()), (431, 431, 0));
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_19_a_request_that_two_readers_could_read_differently_is_refused_and_the_connection_closed() {
    let (upstream, gateway) = echo().await;
    let client = modern(&gateway);
    let call = || client.tool("echo").raw_arguments("{}").request();
    let both_lengths = call().also("Transfer-Encoding", "chunked").send_until_closed().await.status();
    let two_lengths = call().also("Content-Length", "1").send_until_closed().await.status();
    let two_hosts = call().also("Host", "localhost").send_until_closed().await.status();
    let no_host = call().without("Host").send_until_closed().await.status();
    assert_eq!([both_lengths, two_lengths, two_hosts, no_host], [400, 400, 400, 400]);
    assert_eq!(upstream.executions(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_19_what_is_no_http_is_refused_and_the_connection_closed() {
    let (upstream, gateway) = echo().await;
    let garbage = exchange_until_closed(gateway.mcp, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").await;
    let folded =
        exchange_until_closed(gateway.mcp, b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n Folded: x\r\n\r\n").await;
    assert_eq!((garbage.status(), folded.status(), upstream.executions()), (400, 400, 0));
    gateway.ends_well(&[]).await;
}
