//! One request to the collector over HTTP/1.1 or gRPC, and what its answer means.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tokio_util::task::TaskTracker;
use tollhouse_core::record::clip;

use super::{Protocol, Reason, Signal, Transport};

mod connect;

/// An answer says a few words; what is longer is none.
const ANSWER_MAX: usize = 1 << 20;
/// Connections of HTTP/1.1 that are kept while nothing is sent.
const IDLE_MAX: usize = 4;

/// The collector took the request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Items it did not take all the same.
    pub(super) rejected: u64,
    pub(super) message: String,
}

/// It did not, or nobody knows.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) retry: Retry,
    pub(super) cause: String,
}

/// May it be sent again?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    Never,
    Soon,
    /// The collector says when.
    After(Duration),
}

#[expect(clippy::needless_pass_by_value, reason = "what stands behind `map_err` takes its error")]
impl Failure {
    fn unavailable(cause: impl ToString) -> Self {
        Self { reason: Reason::Unavailable, retry: Retry::Soon, cause: clip(&cause.to_string()).into_owned() }
    }

    fn refused(cause: impl ToString) -> Self {
        Self { reason: Reason::Refused, retry: Retry::Never, cause: clip(&cause.to_string()).into_owned() }
    }
}

type H1 = http1::SendRequest<Full<Bytes>>;
type H2 = http2::SendRequest<Full<Bytes>>;

/// The way to the collector.
pub(super) struct Wire {
    transport: Transport,
    target: Uri,
    headers: HeaderMap,
    tasks: TaskTracker,
    idle: Mutex<Vec<H1>>,
    shared: Mutex<Option<H2>>,
}

impl Wire {
    pub(super) fn new(signal: Signal, transport: Transport, tasks: TaskTracker) -> Self {
        let target = transport.target(signal);
        let headers = headers(&transport);
        Self { transport, target, headers, tasks, idle: Mutex::default(), shared: Mutex::default() }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.transport.timeout
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.transport.protocol
    }

    pub(super) fn gzip(&self) -> bool {
        self.transport.gzip
    }

    /// Sends one request and reads its answer.
    ///
    /// # Cancel safety
    /// Dropped, the request may or may not have been taken; its connection is given up.
    pub(super) async fn send(&self, body: Bytes) -> Result<Taken, Failure> {
        match self.transport.protocol {
            Protocol::Http | Protocol::Json => self.post(body).await,
            Protocol::Grpc => self.call(body).await,
        }
    }

    async fn post(&self, body: Bytes) -> Result<Taken, Failure> {
        // A connection that was kept may have ended unseen, and then nothing was sent: that is worth one more.
        let mut kept = self.kept();
        let (mut sender, answer) = loop {
            let fresh = kept.is_none();
            let mut sender = match kept.take() {
                Some(sender) => sender,
                None => self.open_h1().await?,
            };
            let path = self.target.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
            match sender.send_request(self.request(path, Version::HTTP_11, body.clone())).await {
                Ok(answer) => break (sender, answer),
                Err(error) if !fresh && (error.is_canceled() || error.is_closed() || error.is_incomplete_message()) => {
                }
                Err(error) => return Err(Failure::unavailable(error)),
            }
        };
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(Failure::unavailable)?.to_bytes();
        if sender.ready().await.is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_MAX {
                idle.push(sender);
            }
        }
        match head.status {
            // The answer is in the request's form.
            status if status.is_success() && self.transport.protocol == Protocol::Json => Ok(taken_json(&body)),
            status if status.is_success() => Ok(taken(&body)),
            status @ (StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT) => {
                let cause = format!("the collector answered HTTP {status}");
                Err(Failure { retry: retry_after(&head.headers), ..Failure::unavailable(cause) })
            }
            status => Err(Failure::refused(format!("the collector answered HTTP {status}"))),
        }
    }

    fn kept(&self) -> Option<H1> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        idle.pop()
    }

    async fn open_h1(&self) -> Result<H1, Failure> {
        let stream = connect::open(&self.transport).await.map_err(Failure::unavailable)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Failure::unavailable)?;
        // It ends with its sender.
        self.tasks.spawn(async move { _ = connection.await });
        Ok(sender)
    }

    async fn call(&self, body: Bytes) -> Result<Taken, Failure> {
        let mut sender = self.h2().await?;
        let uri = self.target.to_string();
        let request = self.request(&uri, Version::HTTP_2, body);
        let answer = sender.send_request(request).await.map_err(|error| {
            self.shared.lock().unwrap_or_else(PoisonError::into_inner).take();
            Failure::unavailable(error)
        })?;
        let (head, body) = answer.into_parts();
        match head.status {
            StatusCode::OK => {}
            status @ (StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT) => {
                let cause = format!("the collector answered HTTP {status}");
                return Err(Failure { retry: retry_after(&head.headers), ..Failure::unavailable(cause) });
            }
            status => return Err(Failure::refused(format!("the collector answered HTTP {status}"))),
        }
        let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(Failure::unavailable)?;
        // Without a message the status may stand in the headers.
        let trailers = body.trailers().filter(|trailers| trailers.contains_key("grpc-status")).unwrap_or(&head.headers);
        status(trailers)?;
        let message = body.to_bytes();
        Ok(message.get(5..).map(taken).unwrap_or_default())
    }

    /// The one connection of gRPC: opened if there is none.
    async fn h2(&self) -> Result<H2, Failure> {
        let ready = self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(sender) = ready.filter(|sender| !sender.is_closed()) {
            return Ok(sender);
        }
        let stream = connect::open(&self.transport).await.map_err(Failure::unavailable)?;
        let opening = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .handshake(TokioIo::new(stream));
        let (sender, connection) = opening.await.map_err(Failure::unavailable)?;
        self.tasks.spawn(async move { _ = connection.await });
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender.clone());
        Ok(sender)
    }

    fn request(&self, target: &str, version: Version, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.parse().expect("it was taken from a URL");
        *request.version_mut() = version;
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// What each request says of itself.
fn headers(transport: &Transport) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.extend(transport.headers.iter().cloned());
    let agent = concat!("OTel-OTLP-Exporter-Tollhouse/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    let gzip = HeaderValue::from_static("gzip");
    match transport.protocol {
        Protocol::Http | Protocol::Json => {
            let host = HeaderValue::from_str(transport.authority.as_str());
            headers.insert(HOST, host.expect("an authority is a valid header"));
            let json = transport.protocol == Protocol::Json;
            let content = if json { "application/json" } else { "application/x-protobuf" };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
            if transport.gzip {
                headers.insert(CONTENT_ENCODING, gzip);
            }
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        Protocol::Grpc => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(TE, HeaderValue::from_static("trailers"));
            if transport.gzip {
                headers.insert("grpc-encoding", gzip);
            }
        }
    }
    headers
}

/// What an answer says of the items; one that cannot be read says nothing. The answers of all signals have one form.
fn taken(answer: &[u8]) -> Taken {
    let partial = ExportTraceServiceResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
    let Some(partial) = partial else { return Taken::default() };
    Taken {
        rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
        message: clip(&partial.error_message).into_owned(),
    }
}

/// The same of an answer in JSON, where the count is a number or a string, and nothing rejected may be written as `null`.
fn taken_json(answer: &[u8]) -> Taken {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let partial = &answer["partialSuccess"];
    let count = ["rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"].into_iter().find_map(|name| {
        let count = &partial[name];
        count.as_u64().or_else(|| count.as_str()?.parse().ok())
    });
    let message = partial["errorMessage"].as_str().unwrap_or_default();
    Taken { rejected: count.unwrap_or_default(), message: clip(message).into_owned() }
}

/// When the collector wants to be asked again.
fn retry_after(headers: &HeaderMap) -> Retry {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    seconds.map_or(Retry::Soon, |seconds| Retry::After(Duration::from_secs(seconds)))
}

/// Codes of gRPC after which OTLP lets a request be repeated; the last only where the answer says when.
const CANCELLED: u16 = 1;
const DEADLINE_EXCEEDED: u16 = 4;
const RESOURCE_EXHAUSTED: u16 = 8;
const ABORTED: u16 = 10;
const OUT_OF_RANGE: u16 = 11;
const UNAVAILABLE: u16 = 14;
const DATA_LOSS: u16 = 15;

fn status(trailers: &HeaderMap) -> Result<(), Failure> {
    let code = trailers.get("grpc-status").and_then(|code| code.to_str().ok()?.parse::<u16>().ok());
    let Some(code) = code else { return Err(Failure::unavailable("the collector's answer has no gRPC status")) };
    let message = trailers.get("grpc-message").and_then(|message| message.to_str().ok()).unwrap_or_default();
    let cause = format!("the collector answered gRPC status {code} {message}");
    let asked = trailers.get("grpc-status-details-bin").and_then(|details| retry_info(details.as_bytes()));
    match (code, asked) {
        (0, _) => Ok(()),
        (CANCELLED | DEADLINE_EXCEEDED | ABORTED | OUT_OF_RANGE | UNAVAILABLE | DATA_LOSS, None) => {
            Err(Failure::unavailable(cause))
        }
        (
            CANCELLED | DEADLINE_EXCEEDED | RESOURCE_EXHAUSTED | ABORTED | OUT_OF_RANGE | UNAVAILABLE | DATA_LOSS,
            Some(asked),
        ) => Err(Failure { retry: Retry::After(asked), ..Failure::unavailable(cause) }),
        _ => Err(Failure::refused(cause)),
    }
}

/// `google.rpc.Status`, as far as it says when to come back.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

fn retry_info(details: &[u8]) -> Option<Duration> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let details = GeneralPurpose::new(&base64::alphabet::STANDARD, lenient).decode(details).ok()?;
    let details = Details::decode(&details[..]).ok()?;
    let info = details.details.into_iter().find(|any| any.type_url.ends_with("google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(&info.value[..]).ok()?.retry_delay?;
    Some(Duration::new(u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD_NO_PAD;

    use super::*;

    #[test]
    fn an_answer_in_json_says_what_was_not_taken() {
        for (answer, rejected, message) in [
            ("{}", 0, ""),
            ("", 0, ""),
            (r#"{"partialSuccess":null}"#, 0, ""),
            (r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}"#, 3, "too old"),
            (r#"{"partialSuccess":{"rejectedDataPoints":2}}"#, 2, ""),
        ] {
            let expected = Taken { rejected, message: message.to_owned() };
            assert_eq!(taken_json(answer.as_bytes()), expected, "{answer}");
        }
    }

    fn trailers(code: &str, details: Option<&[u8]>) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.parse().unwrap());
        if let Some(details) = details {
            trailers.insert("grpc-status-details-bin", STANDARD_NO_PAD.encode(details).parse().unwrap());
        }
        trailers
    }

    #[test]
    fn a_grpc_status_says_whether_to_come_back_and_when() {
        let delay = RetryInfo { retry_delay: Some(Delay { seconds: 2, nanos: 500_000_000 }) };
        let any = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: delay.encode_to_vec() };
        let details = Details { details: vec![any] }.encode_to_vec();
        let retry = |code, details| status(&trailers(code, details)).err().map(|failure| failure.retry);
        assert_eq!(retry("0", None), None);
        assert_eq!(retry("14", None), Some(Retry::Soon));
        assert_eq!(retry("14", Some(&details)), Some(Retry::After(Duration::from_millis(2500))));
        assert_eq!(retry("8", None), Some(Retry::Never), "exhausted, and nobody knows until when");
        assert_eq!(retry("8", Some(&details)), Some(Retry::After(Duration::from_millis(2500))));
        assert_eq!(retry("16", Some(&details)), Some(Retry::Never));
    }
}
