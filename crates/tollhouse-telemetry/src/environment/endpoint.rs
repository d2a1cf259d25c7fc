//! Where a signal goes: its endpoint, in the variants that people write, and what is sent along.

use std::path::PathBuf;

use http::{HeaderName, HeaderValue};

use super::values::Reader;
use crate::otlp::{Protocol, Signal, Tls, Transport, TransportError};

/// What makes a signal leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    /// An endpoint of its own.
    Own,
    /// Any endpoint.
    Any,
    /// It was asked for by name: where no endpoint is named, it is the local collector.
    Asked,
}

/// The way of `signal`, if it leaves.
pub(super) fn transport(reader: &mut Reader<'_>, signal: Signal, by: Activation) -> Option<Transport> {
    let own = reader.text(&format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.variable()));
    let all = reader.text("OTEL_EXPORTER_OTLP_ENDPOINT").filter(|_| by != Activation::Own);
    let asked = protocol(reader, signal);
    let (url, protocol) = match (&own, &all) {
        (Some(own), _) => url(reader, signal, own, asked, false),
        (None, Some(all)) => url(reader, signal, all, asked, true),
        (None, None) if by == Activation::Asked => match asked.unwrap_or(Protocol::Http) {
            Protocol::Grpc => ("http://localhost:4317".to_owned(), Protocol::Grpc),
            protocol @ (Protocol::Http | Protocol::Json) => {
                (format!("http://localhost:4318{}", signal.path()), protocol)
            }
        },
        (None, None) => return None,
    };
    let mut transport = match Transport::to(&url, protocol) {
        Ok(transport) => transport,
        Err(error) => {
            let name = if own.is_some() { format!("{}_", signal.variable()) } else { String::new() };
            let tracer = if signal == Signal::Traces { "tracer" } else { "exporter" };
            let why = match error {
                TransportError::Url | TransportError::Scheme => error.to_string(),
            };
            reader.warn(format!(
                "Failed to create exporter, falling back to noop {tracer}: OTEL_EXPORTER_OTLP_{name}ENDPOINT: {why}"
            ));
            return None;
        }
    };
    if let Some(timeout) = either(reader, signal, "TIMEOUT", Reader::millis) {
        transport.timeout = timeout;
    }
    transport.gzip = match text(reader, signal, "COMPRESSION").map(|word| word.to_ascii_lowercase()).as_deref() {
        Some("gzip") => true,
        None | Some("none") => false,
        Some(_) => {
            reader.warn("OTEL_EXPORTER_OTLP_COMPRESSION is neither gzip nor none: nothing is compressed".to_owned());
            false
        }
    };
    transport.headers = headers(reader, signal);
    let file = |reader: &mut Reader<'_>, name: &str| text(reader, signal, name).map(PathBuf::from);
    transport.tls = Tls {
        authorities: file(reader, "CERTIFICATE"),
        certificate: file(reader, "CLIENT_CERTIFICATE"),
        key: file(reader, "CLIENT_KEY"),
    };
    if transport.tls.certificate.is_some() != transport.tls.key.is_some() {
        reader.warn("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _CLIENT_KEY go together: neither is used".to_owned());
    }
    Some(transport)
}

/// The URL, complete, and the protocol spoken there. The path of the signal is appended to that of a `base`.
fn url(
    reader: &mut Reader<'_>,
    signal: Signal,
    written: &str,
    asked: Option<Protocol>,
    base: bool,
) -> (String, Protocol) {
    let schemeless = !written.contains("://");
    let mut url = if schemeless {
        let insecure = either(reader, signal, "INSECURE", |reader, name| reader.text(name).map(|_| reader.flag(name)));
        let secure = !insecure.unwrap_or_else(|| on_loopback(written));
        format!("{}://{written}", if secure { "https" } else { "http" })
    } else {
        written.to_owned()
    };
    let port = url.parse::<http::Uri>().ok().and_then(|url| url.port_u16());
    let usual = if schemeless || port == Some(4317) { Protocol::Grpc } else { Protocol::Http };
    let protocol = asked.unwrap_or(usual);
    if base && protocol != Protocol::Grpc {
        let (front, query) = match url.split_once('?') {
            Some((front, query)) => (front.to_owned(), format!("?{query}")),
            None => (url, String::new()),
        };
        let front = front.trim_end_matches('/');
        let path = if front.ends_with(signal.path()) { "" } else { signal.path() };
        url = format!("{front}{path}{query}");
    }
    (url, protocol)
}

fn on_loopback(written: &str) -> bool {
    let authority = written.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn protocol(reader: &mut Reader<'_>, signal: Signal) -> Option<Protocol> {
    match text(reader, signal, "PROTOCOL")?.to_ascii_lowercase().as_str() {
        "grpc" => Some(Protocol::Grpc),
        "http/protobuf" | "http" => Some(Protocol::Http),
        "http/json" => Some(Protocol::Json),
        _ => {
            reader.warn("OTEL_EXPORTER_OTLP_PROTOCOL is none of grpc, http/protobuf and http/json".to_owned());
            None
        }
    }
}

/// Those of the signal and those of all, which it overrides one by one.
fn headers(reader: &mut Reader<'_>, signal: Signal) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    let own = format!("OTEL_EXPORTER_OTLP_{}_HEADERS", signal.variable());
    for name in ["OTEL_EXPORTER_OTLP_HEADERS", &own] {
        for (key, value) in reader.pairs(name) {
            let (Ok(key), Ok(mut value)) = (key.parse::<HeaderName>(), HeaderValue::from_str(&value)) else {
                reader.warn(format!("{name} holds something that is no header"));
                continue;
            };
            value.set_sensitive(true);
            headers.retain(|(known, _)| *known != key);
            headers.push((key, value));
        }
    }
    headers
}

/// A value of the signal's own variable, else of that of all.
fn either<'a, T>(
    reader: &mut Reader<'a>,
    signal: Signal,
    name: &str,
    read: impl Fn(&mut Reader<'a>, &str) -> Option<T>,
) -> Option<T> {
    read(reader, &format!("OTEL_EXPORTER_OTLP_{}_{name}", signal.variable()))
        .or_else(|| read(reader, &format!("OTEL_EXPORTER_OTLP_{name}")))
}

fn text(reader: &mut Reader<'_>, signal: Signal, name: &str) -> Option<String> {
    either(reader, signal, name, |reader, name| reader.text(name))
}
