//! Takes what a gateway exports over OTLP and counts it: requests, bytes, spans.
//!
//! That tracing is on says nothing of what is exported; a row that claims spans is believed when as many arrived as
//! calls were made. Takes protobuf over HTTP, as it comes or in gzip, whose spans cannot be counted unopened.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use crate::wire::Connection;

/// Fields of `ExportTraceServiceRequest` down to its spans: resource spans, scope spans, spans.
const WAY_TO_SPANS: [u64; 3] = [1, 2, 2];

/// What arrived since the sink was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    pub(crate) spans: u64,
    /// Requests whose spans were not counted: compressed, or not protobuf.
    pub(crate) uncounted: u64,
}

/// Takes exports until the process is ended; a GET answers the counts.
pub(crate) async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    let counts = Rc::new(RefCell::new(Counts::default()));
    let local = LocalSet::new();
    local
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                let counts = Rc::clone(&counts);
                let service = service_fn(move |request| take(request, Rc::clone(&counts)));
                tokio::task::spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        })
        .await
}

/// Asks a sink for its counts.
pub(crate) async fn counts(sink: SocketAddr) -> anyhow::Result<Counts> {
    let mut connection = Connection::new(sink);
    let head = connection.exchange(format!("GET / HTTP/1.1\r\nHost: {sink}\r\n\r\n").as_bytes()).await?;
    ensure!(head.status == 200, "the sink answered status {}", head.status);
    serde_json::from_slice(connection.body()).context("read the sink's counts")
}

async fn take(request: Request<Incoming>, counts: Rc<RefCell<Counts>>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == Method::GET {
        let json = serde_json::to_vec(&*counts.borrow()).expect("four numbers are JSON");
        return Ok(Response::new(Full::from(json)));
    }
    let traces = request.uri().path().ends_with("/v1/traces");
    let plain = !request.headers().contains_key(header::CONTENT_ENCODING);
    // An export that breaks off did not arrive.
    if let Ok(body) = request.into_body().collect().await {
        let body = body.to_bytes();
        let mut counts = counts.borrow_mut();
        counts.requests += 1;
        counts.bytes += body.len() as u64;
        if traces {
            match plain.then(|| count(&body, &WAY_TO_SPANS)).flatten() {
                Some(spans) => counts.spans += spans,
                None => counts.uncounted += 1,
            }
        }
    }
    Ok(Response::new(Full::default()))
}

/// Counts the embedded messages reached by going down these fields; none when the bytes are not protobuf.
fn count(mut message: &[u8], way: &[u64]) -> Option<u64> {
    let Some((field, below)) = way.split_first() else { return Some(1) };
    let mut found = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        // The kinds of the wire format: varint, eight bytes, length and bytes, four bytes.
        let length = match tag & 7 {
            0 => {
                varint(&mut message)?;
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (value, rest) = message.split_at_checked(length)?;
        message = rest;
        if tag == field << 3 | 2 {
            found += count(value, below)?;
        }
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        let length = u8::try_from(value.len()).expect("short test values");
        [&[number << 3 | 2, length], value].concat()
    }

    #[test]
    fn spans_are_counted_in_every_scope_and_nothing_else_is() {
        let span = field(2, &[]);
        let scope = field(2, &[field(1, b"name"), span.clone(), span.clone(), field(3, b"url")].concat());
        let other = field(2, &span);
        let resource = field(1, &[field(1, b"resource"), scope, other].concat());
        let request = [resource.clone(), resource, vec![0x18, 0x96, 0x01]].concat();
        assert_eq!(count(&request, &WAY_TO_SPANS), Some(6));
        assert_eq!(count(&[], &WAY_TO_SPANS), Some(0));
    }

    #[test]
    fn what_is_not_protobuf_is_not_counted() {
        assert_eq!(count(b"{\"resourceSpans\":[]}", &WAY_TO_SPANS), None);
        assert_eq!(count(&[0x0a, 0x20, 0x00], &WAY_TO_SPANS), None);
    }
}
