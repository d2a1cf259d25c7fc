//! Opens a connection to a server: name, TCP, TLS.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tollhouse_core::fault::Kind;

use crate::failure::Failure;

/// Where a server listens.
#[derive(Clone)]
pub(crate) struct Origin {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Why a URL names no server.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// Not `http` or `https`, or no host.
    #[error("`{0}` is no http or https URL")]
    Url(String),
    /// The host is neither a name nor an address.
    #[error("`{0}` cannot be checked against a certificate")]
    Name(String),
    /// The system gives no thread for what the configuration asks for.
    #[error("start a thread: {0}")]
    Thread(#[from] io::Error),
    /// The system has no certificates to check against.
    #[error("this system offers no root certificates: {0}")]
    Roots(String),
}

impl Origin {
    /// Reads the origin of `url`.
    pub(crate) fn of(url: &Uri) -> Result<Self, OriginError> {
        let host = url.host().ok_or_else(|| OriginError::Url(url.to_string()))?;
        let tls = match url.scheme_str() {
            Some("http") => None,
            Some("https") => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let name = ServerName::try_from(bare.to_owned()).map_err(|_| OriginError::Name(host.to_owned()))?;
                Some((TlsConnector::from(client_config()?), name))
            }
            _ => return Err(OriginError::Url(url.to_string())),
        };
        let port = url.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        Ok(Self { host: host.trim_start_matches('[').trim_end_matches(']').to_owned(), port, tls })
    }

    /// Connects. Nothing of a call has been sent when this fails.
    pub(crate) async fn connect(&self) -> Result<Stream, Failure> {
        let unreachable = |error: io::Error| Failure::new(Kind::Unreachable, plain_cause(&error));
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        // A call is one write and one read; waiting for more to send would only add latency.
        tcp.set_nodelay(true).map_err(unreachable)?;
        // Without it a stream would only wait longer for a peer that is no more.
        let _ = watch(&tcp);
        match &self.tls {
            None => Ok(Stream::Plain(tcp)),
            Some((connector, name)) => match connector.connect(name.clone(), tcp).await {
                Ok(tls) => Ok(Stream::Tls(Box::new(tls))),
                Err(error) => Err(Failure::new(Kind::Tls, format_args!("the TLS handshake failed: {error}"))),
            },
        }
    }
}

/// Has the system look after a silent peer: one that went without a word, as a machine does that loses its power, is
/// noticed a minute and a half later. Event streams may be silent for hours and are read all the same.
fn watch(tcp: &TcpStream) -> io::Result<()> {
    sockopt::set_tcp_keepidle(tcp, Duration::from_mins(1))?;
    sockopt::set_tcp_keepintvl(tcp, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(tcp, 3)?;
    sockopt::set_socket_keepalive(tcp, true)?;
    Ok(())
}

/// The operating system's words without its error number.
fn plain_cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::TimedOut => "the connection timed out".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "the host cannot be reached".to_owned(),
        _ => error.to_string(),
    }
}

/// One configuration for all servers: the system's roots, TLS 1.2 and 1.3.
fn client_config() -> Result<Arc<ClientConfig>, OriginError> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(OriginError::Roots(if reasons.is_empty() { "none found".to_owned() } else { reasons.join("; ") }));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(CONFIG.get_or_init(|| Arc::new(config)).clone())
}

/// A connection, encrypted or not.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
