//! HTTP/2 without TLS, to those who know beforehand that it is spoken: calls, and what a hostile client may try.
//!
//! The frames are written by hand (RFC 9113): a client library would not send half of these.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, Message, legacy, modern};
use crate::gateway::{Gateway, gateway};
use crate::upstream::{self, Step, Upstream, event, text};
use crate::wait::{soon, until};

/// A megabyte as operators count it.
const MIB: usize = 1024 * 1024;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types of frames, and flags.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

// Codes of errors.
const NO_ERROR: u32 = 0;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames are small").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header field that no table knows (RFC 7541, 6.2.2), of short parts.
fn field(name: &str, value: &str) -> Vec<u8> {
    let part = |text: &str| {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("short");
        [&[length], text.as_bytes()].concat()
    };
    [vec![0], part(name), part(value)].concat()
}

/// A frame as it came.
#[derive(Debug, Clone)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A connection that has said its preface.
struct Connection {
    stream: TcpStream,
    next: u32,
}

impl Connection {
    async fn open(gateway: &Gateway) -> Self {
        Self::open_with(gateway, &[]).await
    }

    /// With these settings.
    async fn open_with(gateway: &Gateway, settings: &[(u16, u32)]) -> Self {
        let mut stream = TcpStream::connect(gateway.mcp).await.expect("the listener accepts");
        stream.set_nodelay(true).expect("a TCP socket has the option");
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat();
        stream.write_all(&hello).await.expect("the gateway listens");
        Self { stream, next: 1 }
    }

    /// Writes; a gateway that has closed already is no error.
    async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Sends a message as a request of its own; its stream.
    async fn send(&mut self, message: &Message<'_>) -> u32 {
        let stream = self.next;
        self.next += 2;
        let request = request(message, stream);
        assert!(self.write(&request).await, "the gateway reads a request");
        stream
    }

    /// The next frame; `None` at the end of the connection.
    async fn frame(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
            self.stream.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes(head[5..].try_into().expect("four bytes"));
            Some(Frame { kind: head[3], flags: head[4], stream, payload })
        };
        let frame = soon("a frame", read).await?;
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            self.write(&frame_of_ack(SETTINGS, &[])).await;
        }
        if frame.kind == PING && frame.flags & ACK == 0 {
            self.write(&frame_of_ack(PING, &frame.payload)).await;
        }
        Some(frame)
    }

    /// The answer on a stream: the first byte of its head, which for a usual status says it all, and its body.
    async fn answer(&mut self, stream: u32) -> (u8, String) {
        let (mut status, mut body) = (0, Vec::new());
        loop {
            let frame = self.frame().await.expect("the connection stays open");
            assert!(frame.kind != GOAWAY, "it is sent away: {frame:?}");
            if frame.stream != stream {
                continue;
            }
            assert!(frame.kind != RST_STREAM, "it is refused: {frame:?}");
            match frame.kind {
                HEADERS => status = frame.payload[0],
                DATA => body.extend(&frame.payload),
                _ => continue,
            }
            if !frame.payload.is_empty() && frame.kind == DATA {
                let more = u32::try_from(frame.payload.len()).expect("frames are small").to_be_bytes();
                let updates = [self::frame(WINDOW_UPDATE, 0, 0, &more), self::frame(WINDOW_UPDATE, 0, stream, &more)];
                self.write(&updates.concat()).await;
            }
            if frame.flags & END_STREAM != 0 {
                return (status, String::from_utf8(body).expect("the gateway writes UTF-8"));
            }
        }
    }

    /// The code with which the gateway sends the client away, if it says one before it closes the connection.
    async fn goaway(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.frame().await {
            if frame.kind == GOAWAY {
                code = Some(u32::from_be_bytes(frame.payload[4..8].try_into().expect("four bytes")));
            }
        }
        code
    }
}

fn frame_of_ack(kind: u8, payload: &[u8]) -> Vec<u8> {
    frame(kind, ACK, 0, payload)
}

/// `:status 200` and `:status 400` in the static table (RFC 7541, appendix A).
const OK: u8 = 0x88;
const BAD_REQUEST: u8 = 0x8c;

/// The header block of a message's request, its fields in small letters and `Host` as the authority.
fn block(message: &Message<'_>) -> Vec<u8> {
    let bytes = message.request().bytes();
    let text = String::from_utf8(bytes).expect("the tests write UTF-8");
    let (head, _) = text.split_once("\r\n\r\n").expect("a request has a head");
    let mut lines = head.split("\r\n");
    let line: Vec<&str> = lines.next().expect("a request has a first line").split(' ').collect();
    let fields: Vec<(String, &str)> =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value)).collect();
    let authority = fields.iter().find(|(name, _)| name == "host").expect("requests name a host").1;
    let mut block = [field(":method", line[0]), field(":scheme", "http"), field(":path", line[1])].concat();
    block.extend(field(":authority", authority));
    for (name, value) in fields.iter().filter(|(name, _)| name != "host" && name != "content-length") {
        block.extend(field(name, value));
    }
    block
}

fn request(message: &Message<'_>, stream: u32) -> Vec<u8> {
    let body = message.text();
    let data: Vec<u8> = body.as_bytes().chunks(16_384).flat_map(|piece| frame(DATA, 0, stream, piece)).collect();
    [frame(HEADERS, END_HEADERS, stream, &block(message)), data, frame(DATA, END_STREAM, stream, b"")].concat()
}

async fn echo() -> (Upstream, Gateway) {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    (upstream, gateway)
}

async fn held() -> (Upstream, Gateway) {
    let upstream = upstream::echo().held().start().await;
    let gateway = gateway().with(&upstream).start().await;
    (upstream, gateway)
}

fn call<'c>(client: &'c Client, nonce: &str) -> Message<'c> {
    client.tool("echo").raw_arguments(&format!(r#"{{"nonce":"{nonce}"}}"#))
}

#[tokio::test]
async fn a_83_calls_of_both_eras_share_a_connection_over_http2() {
    let (_upstream, gateway) = echo().await;
    let (modern, legacy) = (modern(&gateway), legacy(&gateway, "2025-06-18").await);
    let mut connection = Connection::open(&gateway).await;
    let first = connection.send(&call(&modern, "first")).await;
    let second = connection.send(&call(&legacy, "second")).await;
    let (status, body) = connection.answer(first).await;
    assert!(status == OK && body.contains(r#""text":"first""#), "{status:x} {body}");
    let third = connection.send(&call(&modern, "third")).await;
    let (status, body) = connection.answer(third).await;
    assert!(status == OK && body.contains(r#""text":"third""#), "{status:x} {body}");
    let again = connection.send(&call(&legacy, "again")).await;
    let (status, body) = connection.answer(again).await;
    assert!(status == OK && body.contains(r#""text":"again""#), "{status:x} {body}");
    assert!(second < third);
    gateway.ends_well(&["ok"; 4]).await;
}

#[tokio::test]
async fn a_83_streams_and_large_answers_pass_over_http2() {
    let notification = event(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":1}}"#);
    let (before, after) = (text("data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"x\":\""), text("\"}}\n\n"));
    let steps = [notification, before, Step::Filler(2 * MIB), after];
    let upstream = upstream::echo().streams(steps).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    let mut connection = Connection::open(&gateway).await;
    let stream = connection.send(&call(&client, "n")).await;
    let (status, body) = connection.answer(stream).await;
    let events: Vec<&str> = body.split("\n\n").filter(|event| !event.is_empty()).collect();
    assert_eq!((status, events.len(), body.len() > 2 * MIB), (OK, 2, true));
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_83_a_foreign_authority_is_refused_over_http2_as_a_foreign_host_is() {
    let (upstream, gateway) = echo().await;
    let client = modern(&gateway);
    let call = call(&client, "n");
    let local = block(&call);
    let at = local.windows(10).position(|window| window == b":authority").expect("it is there") + 10;
    let length = usize::from(local[at]);
    let mut connection = Connection::open(&gateway).await;
    for (stream, authority) in [(1, "attacker.com"), (3, "localhost.attacker.com:80")] {
        let mut foreign = local[..at].to_vec();
        foreign.push(u8::try_from(authority.len()).expect("short"));
        foreign.extend(authority.as_bytes());
        foreign.extend(&local[at + 1 + length..]);
        connection.write(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &foreign)).await;
        let (status, body) = connection.answer(stream).await;
        assert!(body.contains("not allowed"), "{status:x} {body}");
    }
    // Nobody named at all.
    let mut nameless = local[..at - 12].to_vec();
    nameless.extend(&local[at + 1 + length..]);
    connection.write(&frame(HEADERS, END_HEADERS | END_STREAM, 5, &nameless)).await;
    assert_eq!(connection.answer(5).await.0, BAD_REQUEST);
    assert_eq!(upstream.executions(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_83_a_reset_stream_cancels_a_modern_call_and_no_other() {
    let (upstream, gateway) = held().await;
    let client = modern(&gateway);
    let mut connection = Connection::open(&gateway).await;
    let reset = connection.send(&call(&client, "reset")).await;
    let kept = connection.send(&call(&client, "kept")).await;
    upstream.executed(2).await;
    connection.write(&frame(RST_STREAM, 0, reset, &CANCEL.to_be_bytes())).await;
    until("one call is cancelled", || gateway.outcomes() == ["cancelled"]).await;
    upstream.release(1);
    let (status, body) = connection.answer(kept).await;
    assert!(status == OK && body.contains("kept"), "{status:x} {body}");
    gateway.ends_well(&["cancelled", "ok"]).await;
}

#[tokio::test]
async fn a_83_a_reset_stream_cancels_a_modern_call_whose_answer_has_begun() {
    let progress = event(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":1}}"#);
    let upstream = upstream::echo().streams([progress, Step::Silence]).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    let mut connection = Connection::open(&gateway).await;
    let stream = connection.send(&call(&client, "n")).await;
    while connection.frame().await.is_some_and(|frame| frame.kind != DATA) {}
    connection.write(&frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())).await;
    until("the upstream is left", || upstream.last_call().left()).await;
    gateway.ends_well(&["cancelled"]).await;
}

#[tokio::test]
async fn a_83_a_lost_connection_cancels_modern_calls_and_lets_legacy_ones_run() {
    let (upstream, gateway) = held().await;
    let (modern, legacy) = (modern(&gateway), legacy(&gateway, "2025-06-18").await);
    let mut connection = Connection::open(&gateway).await;
    for n in 0..5 {
        connection.send(&call(&modern, &n.to_string())).await;
        connection.send(&call(&legacy, &n.to_string())).await;
    }
    upstream.executed(10).await;
    drop(connection);
    until("the modern ones are cancelled", || gateway.outcomes() == ["cancelled"; 5]).await;
    upstream.release(5);
    until("the legacy ones run to their ends", || gateway.outcomes().len() == 10).await;
    gateway.ends_well(&[["cancelled"; 5], ["ok"; 5]].concat()).await;
}

/// Sends `flood` until the gateway has had enough; the code it says, and by how much its memory has grown.
async fn flooded(gateway: &Gateway, mut flood: impl FnMut(u32) -> Vec<u8>) -> (Option<u32>, usize) {
    let before = gateway.peak_memory();
    let mut connection = Connection::open(gateway).await;
    let (mut read, mut write) = connection.stream.split();
    let flooding = async {
        let mut sent = 0;
        for round in 0..1000 {
            sent += 1;
            if write.write_all(&flood(round)).await.is_err() {
                break;
            }
        }
        sent
    };
    // What comes back is read all the time, or both sides would wait for each other.
    let mut answers = Vec::new();
    let reading = read.read_to_end(&mut answers);
    let both = async { tokio::join!(flooding, reading) };
    let _ = soon("the end of a flooded connection", both).await;
    let mut code = None;
    let mut rest = &answers[..];
    while let Some((head, payload)) = rest.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((payload, next)) = payload.split_at_checked(length) else { break };
        if head[3] == GOAWAY {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().expect("four bytes")));
        }
        rest = next;
    }
    (code, gateway.peak_memory() - before)
}

#[tokio::test]
async fn a_83_a_thousand_rapid_resets_end_the_connection() {
    let (upstream, gateway) = held().await;
    let client = modern(&gateway);
    let (code, grown) = flooded(&gateway, |round| {
        let stream = 2 * round + 1;
        [request(&call(&client, "n"), stream), frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
    })
    .await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    assert!(grown < 24 * MIB, "memory grew by {grown} bytes");
    // Those that got through before are calls like any other: cancelled, each with its record.
    let over = async { while gateway.health().await["calls_in_flight"] != 0 {} };
    soon("the end of all calls", over).await;
    gateway.stranger_is_served().await;
    let outcomes = gateway.outcomes();
    assert!(outcomes.iter().all(|outcome| outcome == "cancelled"), "{outcomes:?}");
    upstream.release(outcomes.len());
    let outcomes: Vec<&str> = outcomes.iter().map(String::as_str).collect();
    gateway.ends_well(&outcomes).await;
}

#[tokio::test]
async fn a_83_floods_of_empty_frames_end_the_connection() {
    let (upstream, gateway) = echo().await;
    let client = modern(&gateway);
    let head = block(&call(&client, "n"));
    let opening = frame(HEADERS, END_HEADERS, 1, &head);
    let data = flooded(&gateway, |round| {
        let flood = frame(DATA, 0, 1, b"").repeat(1000);
        if round == 0 { [opening.clone(), flood].concat() } else { flood }
    })
    .await;
    let continuation = flooded(&gateway, |round| {
        let flood = frame(CONTINUATION, 0, 1, &field("x-more", &"x".repeat(100)).repeat(100));
        if round == 0 { [frame(HEADERS, 0, 1, &head), flood].concat() } else { flood }
    })
    .await;
    let empty_continuation = flooded(&gateway, |round| {
        let flood = frame(CONTINUATION, 0, 1, b"").repeat(1000);
        if round == 0 { [frame(HEADERS, 0, 1, &head), flood].concat() } else { flood }
    })
    .await;
    for (flood, (code, grown)) in
        [("DATA", data), ("CONTINUATION", continuation), ("empty CONTINUATION", empty_continuation)]
    {
        assert_eq!(code, Some(ENHANCE_YOUR_CALM), "after a flood of {flood}");
        assert!(grown < 24 * MIB, "memory grew by {grown} bytes under a flood of {flood}");
    }
    assert_eq!(upstream.executions(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_83_an_answer_that_gets_no_room_to_be_sent_ends_the_connection() {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    let (before, after) = (text(r#"{"jsonrpc":"2.0","id":$ID,"result":{"x":""#), text("\"}}"));
    let upstream = upstream::echo().answers([before, Step::Filler(MIB), after]).start().await;
    let gateway = gateway().with(&upstream).limits("{write_stall: 1s}").start().await;
    let client = modern(&gateway);
    // No room on any stream; and room for the beginning, which is all that the connection has room for.
    for window in [0, 1 << 20] {
        let mut connection = Connection::open_with(&gateway, &[(INITIAL_WINDOW_SIZE, window)]).await;
        connection.send(&call(&client, "n")).await;
        assert_eq!(connection.goaway().await, None, "it is just closed");
    }
    gateway.lost("connections_cut", 2).await;
    gateway.ends_well(&["ok"; 2]).await;
}

#[tokio::test]
async fn a_83_a_client_cannot_let_some_streams_wait_by_taking_others() {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).limits("{write_stall: 2s}").start().await;
    let client = modern(&gateway);
    let mut connection = Connection::open_with(&gateway, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    connection.send(&call(&client, "waits")).await;
    let mut taken = 0;
    let taking = async {
        while connection.write(&request(&call(&client, "taken"), connection.next)).await {
            let stream = connection.next;
            connection.next += 2;
            connection.write(&frame(WINDOW_UPDATE, 0, stream, &(1_u32 << 20).to_be_bytes())).await;
            loop {
                let Some(frame) = connection.frame().await else { return };
                if frame.stream == stream && frame.flags & END_STREAM != 0 {
                    break;
                }
            }
            taken += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon("the end of the connection", taking).await;
    assert!(taken > 0, "no stream was taken");
    gateway.lost("connections_cut", 1).await;
    let outcomes = gateway.outcomes();
    assert!(outcomes.len() > taken && outcomes.iter().all(|outcome| outcome == "ok"), "{outcomes:?}");
}

#[tokio::test]
async fn a_83_a_connection_without_requests_is_closed() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).limits("{head: 1s}").start().await;
    let mut silent = Connection::open(&gateway).await;
    assert_eq!(silent.goaway().await, Some(NO_ERROR));
    let client = modern(&gateway);
    let mut used = Connection::open(&gateway).await;
    for _ in 0..4 {
        let stream = used.send(&call(&client, "n")).await;
        used.answer(stream).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert_eq!(used.goaway().await, Some(NO_ERROR));
    gateway.ends_well(&["ok"; 4]).await;
}

#[tokio::test]
async fn a_83_a_drain_lets_a_call_over_http2_finish() {
    let (upstream, mut gateway) = held().await;
    let client = modern(&gateway);
    let mut connection = Connection::open(&gateway).await;
    let stream = connection.send(&call(&client, "n")).await;
    upstream.executed(1).await;
    gateway.signal(rustix::process::Signal::TERM);
    loop {
        let frame = connection.frame().await.expect("the connection stays open for the answer");
        if frame.kind == GOAWAY {
            break;
        }
    }
    upstream.release(1);
    let mut answered = false;
    while let Some(frame) = connection.frame().await {
        answered |= frame.kind == DATA && frame.stream == stream && !frame.payload.is_empty();
    }
    assert!(answered, "the call under way is answered");
    assert!(gateway.process.exit().await.success());
}
