//! Where the key set is read from: a file, or an https:// address.

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A key set is a few kilobytes.
const SET_BYTES: usize = 1_048_576;

/// Where the key set is.
pub(crate) enum Source {
    File(PathBuf),
    Https { uri: Uri, tls: TlsConnector },
}

impl Source {
    /// From the configuration: a path, or an https:// address, checked with the system's certificates or
    /// with those of a file.
    pub(crate) fn new(place: &str, trust: Option<&Path>) -> Result<Self, String> {
        if !place.starts_with("https://") {
            return Ok(Source::File(place.into()));
        }
        let uri: Uri = place.parse().map_err(|_| format!("\"{place}\" is no address"))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(format!("\"{place}\" names no host"));
        }
        let mut roots = RootCertStore::empty();
        match trust {
            Some(path) => {
                for certificate in
                    CertificateDer::pem_file_iter(path).map_err(|e| format!("{}: {e}", path.display()))?
                {
                    let certificate = certificate.map_err(|e| format!("{}: {e}", path.display()))?;
                    roots.add(certificate).map_err(|e| format!("{}: {e}", path.display()))?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs()
                    .map_err(|e| format!("the system's certificates: {e}"))?;
                roots.add_parsable_certificates(found);
            }
        }
        if roots.is_empty() {
            return Err("no certificate to trust was found; set gateway.auth.jwks_ca".into());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Source::Https { uri, tls: TlsConnector::from(Arc::new(config)) })
    }

    pub(super) async fn fetch(&self) -> Result<Bytes, String> {
        match self {
            Source::File(path) => {
                let read = tokio::fs::read(path).await;
                read.map(Bytes::from).map_err(|error| format!("{}: {error}", path.display()))
            }
            Source::Https { uri, tls } => get(uri, tls).await.map_err(|error| format!("{uri}: {error}")),
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// One GET on a connection of its own; redirects are not followed.
async fn get(uri: &Uri, tls: &TlsConnector) -> Result<Bytes, BoxError> {
    let host = uri.host().ok_or("no host")?.to_owned();
    let bare = host.trim_matches(['[', ']']);
    let tcp = TcpStream::connect((bare, uri.port_u16().unwrap_or(443))).await?;
    let stream = tls.connect(ServerName::try_from(bare.to_owned())?, tcp).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let authority = uri.authority().ok_or("no host")?.as_str();
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        driver.abort();
        return Err(format!("it answers {}", response.status()).into());
    }
    let body = Limited::new(response.into_body(), SET_BYTES).collect().await?.to_bytes();
    driver.abort();
    Ok(body)
}
