//! One HTTP/1.1 connection of the load generator, by hand.
//!
//! The generator shares a core with the upstream, and what it spends on a call limits the load it can put on a
//! gateway. It needs little of HTTP: one request at a time, sent as made, and an answer with a length or in chunks.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Room for one read; a 32 KiB answer takes one or two.
const READ_BYTES: usize = 64 * 1024;

/// Where calls are sent.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
}

impl Endpoint {
    /// Reads `http://address:port/path`; the host is an address, there is nothing to look up.
    pub(crate) fn parse(url: &str) -> anyhow::Result<Self> {
        let uri: http::Uri = url.parse().with_context(|| format!("read the address `{url}`"))?;
        ensure!(uri.scheme_str() == Some("http"), "the address `{url}` does not begin with http://");
        let authority = uri.authority().with_context(|| format!("the address `{url}` has no host"))?.as_str();
        let authority = authority.replace("localhost", "127.0.0.1");
        let address = authority.parse().with_context(|| format!("`{authority}` is not an IP address and a port"))?;
        Ok(Self { address, path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned() })
    }
}

/// What came back: the body is [`Connection::body`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Whether the body is a stream of events.
    pub(crate) events: bool,
    pub(crate) session: Option<String>,
    length: Length,
    closes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
}

/// An open connection; kept for the next call unless the other side closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    received: Vec<u8>,
    body: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, received: Vec::with_capacity(READ_BYTES), body: Vec::new() }
    }

    /// Sends one request and reads its whole answer; connects first where there is no connection.
    ///
    /// # Cancel safety
    /// None: the connection is lost when dropped half-way.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Head> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open().await?,
        };
        stream.write_all(request).await.context("send the call")?;
        let head = self.receive(&mut stream).await?;
        if !head.closes {
            self.stream = Some(stream);
        }
        Ok(head)
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    async fn open(&self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await.with_context(|| format!("connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn receive(&mut self, stream: &mut TcpStream) -> anyhow::Result<Head> {
        self.received.clear();
        self.body.clear();
        let end = loop {
            read(stream, &mut self.received).await?;
            if let Some(end) = memchr::memmem::find(&self.received, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = parse_head(&self.received[..end])?;
        match head.length {
            Length::Known(length) => {
                while self.received.len() < end + length {
                    read(stream, &mut self.received).await?;
                }
                self.body.extend_from_slice(&self.received[end..end + length]);
            }
            Length::Chunked => {
                let mut at = end;
                while !take_chunks(&self.received, &mut at, &mut self.body)? {
                    read(stream, &mut self.received).await?;
                }
            }
        }
        Ok(head)
    }
}

async fn read(stream: &mut TcpStream, into: &mut Vec<u8>) -> anyhow::Result<()> {
    into.reserve(READ_BYTES);
    let count = stream.read_buf(into).await.context("read the answer")?;
    ensure!(count > 0, "the connection was closed before the answer was complete");
    Ok(())
}

fn parse_head(head: &[u8]) -> anyhow::Result<Head> {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let status = lines.next().and_then(|line| line.strip_prefix(b"HTTP/1.1 ")?.get(..3));
    let status = status.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
    let status: u16 = status.context("the answer does not begin with a status line of HTTP/1.1")?;
    let mut parsed = Head { status, events: false, session: None, length: Length::Known(0), closes: false };
    for line in lines {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // The length decides which names can match at all: most lines cost one comparison.
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                parsed.length = Length::Known(length.context("`content-length` is not a number")?);
            }
            12 if name.eq_ignore_ascii_case(b"content-type") => parsed.events = value.starts_with(b"text/event-stream"),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => parsed.length = Length::Chunked,
            14 if name.eq_ignore_ascii_case(b"mcp-session-id") => {
                parsed.session = Some(String::from_utf8_lossy(value).into_owned());
            }
            10 if name.eq_ignore_ascii_case(b"connection") => parsed.closes = value.eq_ignore_ascii_case(b"close"),
            _ => {}
        }
    }
    Ok(parsed)
}

/// Moves all complete chunks from `received`, beginning at `at`, into `body`; true once the last was seen.
fn take_chunks(received: &[u8], at: &mut usize, body: &mut Vec<u8>) -> anyhow::Result<bool> {
    loop {
        let rest = &received[*at..];
        let Some(line_end) = memchr::memmem::find(rest, b"\r\n") else { return Ok(false) };
        let digits = rest[..line_end].split(|byte| *byte == b';').next().unwrap_or_default();
        let size = str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok());
        let Some(size) = size else { bail!("a chunk does not begin with its size") };
        let (start, end) = (line_end + 2, line_end + 2 + size);
        if rest.len() < end + 2 {
            return Ok(false);
        }
        body.extend_from_slice(&rest[start..end]);
        *at += end + 2;
        if size == 0 {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_split_into_socket_and_path() {
        let endpoint = Endpoint::parse("http://127.0.0.1:7070/servers/echo/mcp?x=1").unwrap();
        assert_eq!((endpoint.address.port(), endpoint.path.as_str()), (7070, "/servers/echo/mcp?x=1"));
        assert_eq!(Endpoint::parse("http://localhost:1").unwrap().path, "/");
        assert!(Endpoint::parse("https://127.0.0.1:1/").is_err() && Endpoint::parse("http://example.org/").is_err());
    }

    #[test]
    fn a_head_is_read_whatever_the_case_of_its_names() {
        let head = parse_head(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nMCP-SESSION-ID: abc\r\n\
              transfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        );
        let expected =
            Head { status: 200, events: true, session: Some("abc".to_owned()), length: Length::Chunked, closes: true };
        assert_eq!(head.unwrap(), expected);
        let plain = parse_head(b"HTTP/1.1 202 Accepted\r\ncontent-length: 17\r\n\r\n").unwrap();
        assert_eq!((plain.status, plain.length, plain.events), (202, Length::Known(17), false));
        assert!(parse_head(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[test]
    fn chunks_are_joined_wherever_the_reads_were_cut() {
        let whole = b"5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n";
        for cut in 0..whole.len() {
            let (mut at, mut body) = (0, Vec::new());
            assert!(!take_chunks(&whole[..cut], &mut at, &mut body).unwrap(), "complete at {cut}");
            assert!(take_chunks(whole, &mut at, &mut body).unwrap());
            assert_eq!(body, b"hello, world", "cut at {cut}");
        }
        assert!(take_chunks(b"zz\r\n", &mut 0, &mut Vec::new()).is_err());
    }
}
