//! Where a signal goes, and how.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Uri};

use super::Signal;

/// How requests are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// POSTs of protobuf messages over HTTP/1.1.
    Http,
    /// POSTs of the same messages as JSON.
    Json,
}

impl Protocol {
    /// The word the variables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
            Self::Json => "http/json",
        }
    }
}

/// Files with what a connection is secured with, each PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who may have signed the collector's certificate, instead of those the system trusts.
    pub authorities: Option<PathBuf>,
    /// Our own certificate.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// Where a signal goes, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct Transport {
    /// The collector.
    pub(super) authority: Authority,
    /// The path of HTTP requests.
    path: PathAndQuery,
    /// Is the connection encrypted?
    pub(super) secure: bool,
    /// How requests are put.
    pub protocol: Protocol,
    /// Sent with each request; values are secret.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Is gzip used?
    pub gzip: bool,
    /// What the connection is secured with.
    pub tls: Tls,
}

/// Why an endpoint is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// It cannot be read as a URL with a host.
    #[error("it is no URL with a host")]
    Url,
    /// Its scheme is neither `http` nor `https`.
    #[error("its scheme is neither `http` nor `https`")]
    Scheme,
}

impl Transport {
    /// The usual way to `url`, which has a scheme.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn to(url: &str, protocol: Protocol) -> Result<Self, TransportError> {
        let uri: Uri = url.parse().map_err(|_| TransportError::Url)?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(TransportError::Scheme),
        };
        let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or(TransportError::Url)?;
        // Credentials in a URL are neither sent nor shown: a header is the place for them.
        let bare = authority.as_str().rsplit('@').next().unwrap_or_default();
        Ok(Self {
            authority: bare.parse().map_err(|_| TransportError::Url)?,
            path: uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
            secure,
            protocol,
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            gzip: false,
            tls: Tls::default(),
        })
    }

    /// Where requests of `signal` go.
    pub(super) fn target(&self, signal: Signal) -> Uri {
        let path = match self.protocol {
            Protocol::Grpc => PathAndQuery::from_static(signal.method()),
            Protocol::Http | Protocol::Json => self.path.clone(),
        };
        let scheme = if self.secure { "https" } else { "http" };
        let parts = Uri::builder().scheme(scheme).authority(self.authority.clone()).path_and_query(path);
        parts.build().expect("its parts were taken from a URL")
    }

    /// Host and port, to connect to and to check a certificate against.
    pub(super) fn place(&self) -> (&str, u16) {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        (host, self.authority.port_u16().unwrap_or(if self.secure { 443 } else { 80 }))
    }
}

/// The endpoint as it may be shown: without credentials and query.
impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)?;
        match (self.protocol, self.path.path()) {
            (Protocol::Grpc, _) | (_, "/") => Ok(()),
            (Protocol::Http | Protocol::Json, path) => f.write_str(path),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Transport")
            .field("endpoint", &self.to_string())
            .field("protocol", &self.protocol)
            .field("headers", &names)
            .field("timeout", &self.timeout)
            .field("gzip", &self.gzip)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}
