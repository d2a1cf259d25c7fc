//! Opens a connection to the collector: name, TCP, TLS.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::otlp::{Protocol, Tls, Transport};

/// A connection, encrypted or not.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub(super) async fn open(transport: &Transport) -> io::Result<Stream> {
    let (host, port) = transport.place();
    let tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    if !transport.secure {
        return Ok(Stream::Plain(tcp));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let (tls, protocol) = (transport.tls.clone(), transport.protocol);
    // Files are read for each connection, so that renewed ones are used, and not on the threads of calls.
    let config = tokio::task::spawn_blocking(move || config(&tls, protocol)).await.map_err(io::Error::other)??;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    Ok(Stream::Tls(Box::new(tls)))
}

fn config(tls: &Tls, protocol: Protocol) -> io::Result<ClientConfig> {
    let roots = match &tls.authorities {
        None => system_roots()?,
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| told(path, error))?;
            }
            Arc::new(roots)
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let mut config = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            let own = PrivateKeyDer::from_pem_file(key).map_err(|error| told(key, error))?;
            builder.with_client_auth_cert(certificates(certificate)?, own).map_err(|error| told(certificate, error))?
        }
        _ => builder.with_no_client_auth(),
    };
    let spoken: &[u8] = if protocol == Protocol::Grpc { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![spoken.to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|error| told(path, error))?;
    if certificates.is_empty() {
        return Err(told(path, "no certificate in it"));
    }
    Ok(certificates)
}

fn told(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("read {}: {error}", path.display()))
}

/// Read once: the system's do not change while we run.
fn system_roots() -> io::Result<Arc<RootCertStore>> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(roots.clone());
    }
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs).0 == 0 {
        return Err(io::Error::other("this system offers no root certificates"));
    }
    Ok(ROOTS.get_or_init(|| Arc::new(roots)).clone())
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
