//! A collector that takes what it is sent, over HTTP or gRPC, and misbehaves where a test wants it to.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::wait::until;

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    /// Takes it.
    Takes,
    /// Answers with this HTTP status.
    Refuses(u16),
    /// Never answers.
    Stalls,
    /// Takes the request, but not so many of its items.
    Rejects(i64),
}

/// What it was sent.
#[derive(Debug, Default)]
pub(crate) struct Got {
    pub(crate) spans: Vec<Span>,
    /// Names of metrics.
    pub(crate) metrics: Vec<String>,
    pub(crate) logs: Vec<LogRecord>,
    /// Paths and documents of requests in JSON, which are not read any further.
    pub(crate) json: Vec<(String, serde_json::Value)>,
    /// Every request, unzipped.
    pub(crate) raw: Vec<Vec<u8>>,
    /// Of the last request.
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) requests: usize,
    pub(crate) connections: usize,
}

/// A collector that listens.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    grpc: bool,
    does: Mutex<Does>,
    got: Mutex<Got>,
}

impl Sink {
    /// One for requests over HTTP/1.1.
    pub(crate) async fn http() -> Self {
        Self::start(false, None).await
    }

    /// One for gRPC.
    pub(crate) async fn grpc() -> Self {
        Self::start(true, None).await
    }

    /// One that shows a certificate of its own and wants to see the gateway's.
    pub(crate) async fn tls(grpc: bool) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut trusted = RootCertStore::empty();
        trusted.add(certificate("gateway")).expect("a certificate");
        let trusted = WebPkiClientVerifier::builder_with_provider(trusted.into(), provider.clone()).build();
        let key = PrivateKeyDer::from_pem_file(certificate_path("collector.key.pem")).expect("a key");
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports them")
            .with_client_cert_verifier(trusted.expect("a certificate is trusted"))
            .with_single_cert(vec![certificate("collector")], key)
            .expect("the key belongs to it");
        config.alpn_protocols = vec![if grpc { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Self::start(grpc, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start(grpc: bool, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared { grpc, does: Mutex::new(Does::Takes), got: Mutex::default() });
        let mut tasks = JoinSet::new();
        let listening = shared.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                listening.got().connections += 1;
                let (shared, tls) = (listening.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => speak(shared, stream).await,
                        // Whoever is refused comes again, or not.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                speak(shared, stream).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, scheme, shared, _tasks: tasks }
    }

    /// From now on it does this.
    pub(crate) fn does(&self, does: Does) {
        *self.shared.does.lock().expect("no test panics while it holds the lock") = does;
    }

    pub(crate) fn got(&self) -> MutexGuard<'_, Got> {
        self.shared.got()
    }

    /// What stands in `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The spans of calls of tools and of their sessions, once there are `count`, in the order of their beginning.
    pub(crate) async fn spans(&self, count: usize) -> Vec<Span> {
        self.spans_of(count, |name| name.starts_with("tools/call") || name == "tollhouse.session").await
    }

    /// The same of spans with such names.
    pub(crate) async fn spans_of(&self, count: usize, named: impl Fn(&str) -> bool) -> Vec<Span> {
        let calls = || -> Vec<Span> {
            let got = self.got();
            let about = |span: &&Span| named(&span.name);
            let mut spans: Vec<_> = got.spans.iter().filter(about).cloned().collect();
            spans.sort_by_key(|span| (span.start_time_unix_nano, span.kind != 1, span.kind != 2));
            spans
        };
        until(&format!("{count} spans arrive"), || calls().len() >= count).await;
        calls()
    }
}

impl Shared {
    fn got(&self) -> MutexGuard<'_, Got> {
        self.got.lock().expect("no test panics while it holds the lock")
    }
}

/// Serves a connection. However it ends: the next one is another.
async fn speak(shared: Arc<Shared>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let serve = service_fn(|request| serve(shared.clone(), request));
    let io = TokioIo::new(stream);
    if shared.grpc {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, serve).await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, serve).await;
    }
}

/// Where a file of a certificate lies.
pub(crate) fn certificate_path(file: &str) -> String {
    format!("{}/src/certificate/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn certificate(of: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(certificate_path(&format!("{of}.pem"))).expect("a certificate")
}

async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let does = *shared.does.lock().expect("no test panics while it holds the lock");
    {
        let mut got = shared.got();
        got.requests += 1;
        got.headers = head.headers.clone();
    }
    match does {
        Does::Stalls => std::future::pending().await,
        Does::Refuses(status) => {
            let status = StatusCode::from_u16(status).expect("a status");
            return Ok(Response::builder().status(status).body(body_of(Bytes::new(), None)).expect("a response"));
        }
        Does::Takes | Does::Rejects(_) => {}
    }
    let zipped = |name: &str| head.headers.get(name).is_some_and(|value| value == "gzip");
    let message = if shared.grpc {
        let (prefix, message) = body.split_at(5);
        if prefix[0] == 1 { unzipped(message) } else { message.to_vec() }
    } else if zipped("content-encoding") {
        unzipped(&body)
    } else {
        body.to_vec()
    };
    if head.headers.get("content-type").is_some_and(|value| value == "application/json") {
        let document = serde_json::from_slice(&message).expect("JSON");
        let mut got = shared.got();
        got.json.push((head.uri.path().to_owned(), document));
        let rejected = if let Does::Rejects(items) = does { items } else { 0 };
        let answer = format!(r#"{{"partialSuccess":{{"rejectedSpans":"{rejected}"}}}}"#);
        let response = Response::builder().header("content-type", "application/json");
        return Ok(response.body(body_of(answer.into(), None)).expect("a response"));
    }
    take(&shared, head.uri.path(), &message);
    let mut answer = Vec::new();
    if let Does::Rejects(items) = does {
        // ExportTraceServiceResponse { partial_success: { rejected_spans } }, the same for each signal.
        let count = u8::try_from(items).expect("a small number");
        answer.extend([0x0a, 2, 0x08, count]);
    }
    let response = Response::builder();
    Ok(if shared.grpc {
        let mut frame = vec![0];
        frame.extend(u32::try_from(answer.len()).expect("a short answer").to_be_bytes());
        frame.extend(answer);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        response.header("content-type", "application/grpc").body(body_of(frame.into(), Some(trailers)))
    } else {
        response.header("content-type", "application/x-protobuf").body(body_of(answer.into(), None))
    }
    .expect("a response"))
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

fn body_of(bytes: Bytes, trailers: Option<HeaderMap>) -> Body {
    Full::new(bytes).with_trailers(async move { trailers.map(Ok) }).boxed()
}

fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).expect("gzip");
    plain
}

fn take(shared: &Shared, path: &str, message: &[u8]) {
    let mut got = shared.got();
    got.raw.push(message.to_vec());
    match path {
        "/v1/traces" | "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => {
            let request = ExportTraceServiceRequest::decode(message).expect("a request of traces");
            for resource in request.resource_spans {
                got.resource = texts(&resource.resource.unwrap_or_default().attributes);
                got.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        "/v1/metrics" | "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => {
            let request = ExportMetricsServiceRequest::decode(message).expect("a request of metrics");
            let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
            got.metrics.extend(scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name));
        }
        "/v1/logs" | "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => {
            let request = ExportLogsServiceRequest::decode(message).expect("a request of log records");
            let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
            got.logs.extend(scopes.flat_map(|scope| scope.log_records));
        }
        other => panic!("nothing is sent to {other}"),
    }
}

/// Attributes as texts; a number stands behind `#`, one with a fraction behind `~`.
pub(crate) fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => format!("#{number}"),
        Some(Value::DoubleValue(number)) => format!("~{number}"),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::KvlistValue(members)) => format!("{:?}", texts(&members.values)),
        other => panic!("an attribute of another type: {other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(&attribute.value))).collect()
}
