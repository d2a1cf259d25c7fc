//! HTTP/1.1 by hand: a client library would refuse to send half of what a gateway must withstand.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::wait::soon;

/// The head of a message: its first line and its fields, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) line: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    /// The first field of that name, or nothing.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    fn length(&self, request: bool) -> Length {
        if self.get("transfer-encoding").eq_ignore_ascii_case("chunked") {
            return Length::Chunked;
        }
        match self.get("content-length").parse() {
            Ok(length) => Length::Bytes(length),
            Err(_) if request || ["202", "204", "304"].iter().any(|code| self.line.contains(code)) => Length::Bytes(0),
            Err(_) => Length::UntilClosed,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Length {
    Bytes(usize),
    Chunked,
    UntilClosed,
}

/// Reads messages of one connection, one after the other, piece by piece.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    stream: R,
    buffer: Vec<u8>,
    left: Length,
    /// The body ended as its framing says it should.
    pub(crate) whole: bool,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new(), left: Length::Bytes(0), whole: false }
    }

    /// The next head; `None` if the peer closed before a whole one.
    pub(crate) async fn head(&mut self, request: bool) -> Option<Head> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            self.more().await?;
        };
        let text = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = text.split("\r\n");
        let line = lines.next()?.to_owned();
        let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        let head = Head { line, fields: lines.filter_map(field).collect() };
        self.left = head.length(request);
        self.whole = false;
        Some(head)
    }

    /// The next piece of the body; `None` at its end, be it regular ([`whole`](Self::whole)) or not.
    pub(crate) async fn piece(&mut self) -> Option<Vec<u8>> {
        match self.left {
            Length::Bytes(0) => {
                self.whole = true;
                None
            }
            Length::Bytes(left) => {
                if self.buffer.is_empty() {
                    self.more().await?;
                }
                let piece: Vec<u8> = self.buffer.drain(..left.min(self.buffer.len())).collect();
                self.left = Length::Bytes(left - piece.len());
                Some(piece)
            }
            Length::UntilClosed => {
                if self.buffer.is_empty() && self.more().await.is_none() {
                    self.whole = true;
                    return None;
                }
                Some(std::mem::take(&mut self.buffer))
            }
            Length::Chunked => {
                let line_end = self.find(b"\r\n").await?;
                let size = String::from_utf8_lossy(&self.buffer[..line_end]).into_owned();
                let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
                while self.buffer.len() < line_end + 2 + size + 2 {
                    self.more().await?;
                }
                self.buffer.drain(..line_end + 2);
                let piece: Vec<u8> = self.buffer.drain(..size).collect();
                self.buffer.drain(..2);
                if size == 0 {
                    self.left = Length::Bytes(0);
                    self.whole = true;
                    return None;
                }
                Some(piece)
            }
        }
    }

    /// The stream, without what was read ahead.
    pub(crate) fn into_stream(self) -> R {
        self.stream
    }

    /// What remains of the body.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await {
            body.extend(piece);
        }
        body
    }

    /// Waits until the peer closes the connection, whatever it still sends.
    pub(crate) async fn closed(&mut self) {
        while self.more().await.is_some() {
            self.buffer.clear();
        }
    }

    async fn find(&mut self, needle: &[u8]) -> Option<usize> {
        loop {
            if let Some(at) = find(&self.buffer, needle) {
                return Some(at);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Option<()> {
        self.buffer.reserve(64 * 1024);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// A connection of a client.
pub(crate) type Wire = Reader<TcpStream>;

impl Wire {
    /// Connects to `address`.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the listener accepts");
        stream.set_nodelay(true).expect("a TCP socket has the option");
        Self::new(stream)
    }

    /// Connects to `address` with room for next to nothing that is not read.
    pub(crate) async fn narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be had");
        socket.set_recv_buffer_size(4096).expect("a TCP socket has the option");
        let stream = socket.connect(address).await.expect("the listener accepts");
        stream.set_nodelay(true).expect("a TCP socket has the option");
        Self::new(stream)
    }

    /// Writes `bytes`; a peer that has closed already is no error, since it may answer before it has read all.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Reads one whole answer.
    pub(crate) async fn response(&mut self) -> Response {
        let head = soon("the head of an answer", self.head(false)).await;
        let head = head.expect("the gateway answers before it closes the connection");
        Response { head, body: soon("the end of an answer", self.rest()).await }
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        status(&self.head)
    }

    /// The body as JSON; `null` if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// HTTP status and JSON-RPC error code (0 without one).
    pub(crate) fn refusal(&self) -> (u16, i64) {
        (self.status(), self.json()["error"]["code"].as_i64().unwrap_or(0))
    }

    /// Has the message an `id` member?
    pub(crate) fn has_id(&self) -> bool {
        self.json().get("id").is_some()
    }
}

/// The HTTP status of an answer.
pub(crate) fn status(head: &Head) -> u16 {
    head.line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line holds a status")
}

/// A request to be sent as it is built, however odd.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    address: SocketAddr,
    line: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    chunked: bool,
}

/// A POST to `path`, with the fields every client sends.
pub(crate) fn post(address: SocketAddr, path: &str) -> Request {
    request(address, "POST", path)
        .field("Content-Type", "application/json")
        .field("Accept", "application/json, text/event-stream")
}

/// The admin token of the gateways that tests start.
pub(crate) const ADMIN_TOKEN: &str = "a-token-for-tests-only";

/// A request without body fields, to any listener.
pub(crate) fn request(address: SocketAddr, verb: &str, path: &str) -> Request {
    let request = Request {
        address,
        line: format!("{verb} {path} HTTP/1.1"),
        fields: Vec::new(),
        body: Vec::new(),
        chunked: false,
    };
    let request = request.field("Host", &address.to_string());
    // What was recorded is shown to who has the token.
    if path.starts_with("/api/") { request.field("Authorization", &format!("Bearer {ADMIN_TOKEN}")) } else { request }
}

impl Request {
    /// The same request to another path.
    pub(crate) fn to(mut self, path: &str) -> Self {
        let verb = self.line.split(' ').next().expect("a request line begins with a verb");
        self.line = format!("{verb} {path} HTTP/1.1");
        self
    }

    /// Sets a field, in place of an earlier one of that name.
    pub(crate) fn field(self, name: &str, value: &str) -> Self {
        self.without(name).also(name, value)
    }

    /// Adds a field beside earlier ones of that name.
    pub(crate) fn also(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes a field.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        self
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the body in chunks, without saying how long it is.
    pub(crate) fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// The bytes on the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{}\r\n", self.line);
        for (name, value) in &self.fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if self.chunked {
            let mut bytes = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            for chunk in self.body.chunks(64 * 1024) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
            }
            bytes.extend(b"0\r\n\r\n");
            return bytes;
        }
        if self.line.starts_with("POST") {
            let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        }
        head.push_str("\r\n");
        [head.into_bytes(), self.body.clone()].concat()
    }

    /// Sends it on a connection of its own and reads the whole answer.
    pub(crate) async fn send(&self) -> Response {
        self.sent().await.response().await
    }

    /// Sends it on a connection of its own and reads nothing.
    pub(crate) async fn sent(&self) -> Wire {
        let mut wire = Wire::connect(self.address).await;
        wire.write(&self.bytes()).await;
        wire
    }

    /// Sends it on a connection of its own and says whether the gateway closes that afterwards, unasked.
    pub(crate) async fn send_until_closed(&self) -> Response {
        exchange_until_closed(self.address, &self.bytes()).await
    }
}

/// Sends `bytes`, reads the answer, and waits until the gateway closes the connection.
pub(crate) async fn exchange_until_closed(address: SocketAddr, bytes: &[u8]) -> Response {
    let stream = TcpStream::connect(address).await.expect("the listener accepts");
    let (read, mut write) = stream.into_split();
    let mut reader = Reader::new(read);
    // The gateway may answer and close while we still write, so both go on at once.
    let answer = async {
        let head = reader.head(false).await.expect("the gateway answers before it closes the connection");
        let response = Response { body: reader.rest().await, head };
        reader.closed().await;
        response
    };
    let (_, response) = tokio::join!(write.write_all(bytes), soon("an answer and the connection's end", answer));
    response
}
