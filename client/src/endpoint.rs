//! A connection to a server: TCP, TLS (rustls with ring) and HTTP/2 with keepalive.
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tower::Service;

use crate::transport::Transport;

/// Where a server is, and whom to trust that it is the one.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `https://host:port`, or `http://host:port` for HTTP/2 in clear text (tests, a Unix host's own network).
    pub url: String,
    /// Certificates of the authorities to trust, PEM. None: those of the operating system.
    pub ca_pem: Option<Vec<u8>>,
    /// How long TCP and TLS together may take. 10 s.
    pub connect_timeout: Duration,
    /// An HTTP/2 PING is sent this often, even when idle, and the connection is given up when none of it is
    /// answered for as long. 20 s.
    pub keepalive: Duration,
}

/// Why a connection can't even be tried.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The URL is not one.
    #[error("the server's URL {url:?} is not usable: {reason}; write it as https://HOST:PORT")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificates of the authorities can't be read.
    #[error("the certificate authority is not usable: {0}")]
    Authority(String),
}

impl Endpoint {
    /// The endpoint with default timeouts that trusts the operating system's authorities.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ca_pem: None,
            connect_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(20),
        }
    }

    /// Trusts these authorities (PEM) and no others.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// A transport that connects at the first request, and again whenever the connection has ended.
    ///
    /// # Errors
    /// When the URL or the authorities are not usable. That the server can't be reached shows at the calls.
    pub fn connect(&self) -> Result<Transport, EndpointError> {
        let bad_url = |reason: String| EndpointError::Url { url: self.url.clone(), reason };
        let uri: Uri = self.url.parse().map_err(|error: http::uri::InvalidUri| bad_url(error.to_string()))?;
        let host = uri.host().ok_or_else(|| bad_url("it names no host".into()))?;
        let tls = match uri.scheme_str() {
            Some("http") => None,
            Some("https") => {
                let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(bare).map_err(|error| bad_url(error.to_string()))?;
                Some((TlsConnector::from(Arc::new(self.tls_config()?)), name))
            }
            _ => return Err(bad_url("it is neither https nor http".into())),
        };
        let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        // With its own TLS compiled in, by whichever crate of a build, tonic refuses an https address that it is not to
        // encrypt itself: it is given the address as http, and the origin as it is.
        let address: Uri = format!("http://{host}:{port}")
            .parse()
            .map_err(|error: http::uri::InvalidUri| bad_url(error.to_string()))?;
        let channel = tonic::transport::Endpoint::from(address)
            .origin(uri.clone())
            .connect_timeout(self.connect_timeout)
            .http2_keep_alive_interval(self.keepalive)
            .keep_alive_timeout(self.keepalive)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(Connector { tls });
        Ok(Transport::new(channel))
    }

    fn tls_config(&self) -> Result<ClientConfig, EndpointError> {
        let unusable = |error: &dyn std::fmt::Display| EndpointError::Authority(error.to_string());
        let mut roots = RootCertStore::empty();
        match &self.ca_pem {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| unusable(&error))?;
                    roots.add(certificate).map_err(|error| unusable(&error))?;
                }
            }
            None => {
                let native = rustls_native_certs::load_native_certs().map_err(|error| unusable(&error))?;
                roots.add_parsable_certificates(native);
            }
        }
        if roots.is_empty() {
            return Err(EndpointError::Authority("it holds no certificate".into()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

#[derive(Clone)]
struct Connector {
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Connection>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = self.tls.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
            let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
            let tcp = TcpStream::connect((host, port)).await?;
            tcp.set_nodelay(true)?;
            let connection: Box<dyn Connection> = match tls {
                None => Box::new(tcp),
                Some((connector, name)) => {
                    let stream = connector.connect(name, tcp).await?;
                    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                        return Err(io::Error::other("the server doesn't speak HTTP/2 on this port"));
                    }
                    Box::new(stream)
                }
            };
            Ok(TokioIo::new(connection))
        })
    }
}
