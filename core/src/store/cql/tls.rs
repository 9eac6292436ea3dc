//! Connections that are encrypted: whom the driver trusts, and what it shows.
//!
//! The driver checks the address that it connects to, never a name: nodes' certificates need their IP addresses as
//! subject alternative names.

use super::options::Options;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use std::{fs, io, path::Path, sync::Arc};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// What the options ask for; `None`: no TLS. An error says which setting, and what is wrong with its file.
pub fn configure(options: &Options) -> Result<Option<Arc<ClientConfig>>, String> {
    if !options.tls {
        return Ok(None);
    }
    let mut authorities = RootCertStore::empty();
    match &options.tls_ca {
        Some(path) => {
            for authority in certificates("tls_ca", path)? {
                authorities.add(authority).map_err(|error| about("tls_ca", path, error))?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            let system = system.map_err(|error| format!("tls: the system's authorities: {error}"))?;
            // As everywhere: one that can't be read is no reason to trust none.
            authorities.add_parsable_certificates(system);
        }
    }
    // The driver brings a second library for cryptography, which is not used: whoever is not asked takes no part.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("tls: {error}"))?
        .with_root_certificates(authorities);
    let config = match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates("tls_cert", certificate)?;
            let key = PrivateKeyDer::from_pem_slice(&read("tls_key", key)?)
                .map_err(|_| about("tls_key", key, "there is no private key in PEM in it"))?;
            let config = config.with_client_auth_cert(chain, key);
            config.map_err(|error| format!("tls_cert and tls_key: {error}"))?
        }
        _ => config.with_no_client_auth(),
    };
    Ok(Some(Arc::new(config)))
}

/// What is wrong between the two ends, when the driver couldn't connect, and how it shows. The driver doesn't always say
/// which end broke off, and why, so each node is listened to once more. `None`: nothing that has to do with TLS.
pub async fn trouble(options: &Options, config: Arc<ClientConfig>) -> Option<(&'static str, String)> {
    for node in &options.nodes {
        if let Ok(Err(error)) = timeout(options.connect_timeout(), listen(node, config.clone())).await
            && let Some(trouble) = explain(&error)
        {
            return Some((trouble, error.to_string()));
        }
    }
    None
}

/// Connects, and waits for what a node has against it. It says nothing itself: to somebody whom the node has refused
/// that would be answered by a reset, which discards what the node said before.
async fn listen(node: &str, config: Arc<ClientConfig>) -> io::Result<()> {
    let socket = TcpStream::connect(node).await?;
    let name = ServerName::IpAddress(socket.peer_addr()?.ip().into());
    let mut stream = TlsConnector::from(config).connect(name, socket).await?;
    stream.read_u8().await.map(drop)
}

fn explain(error: &io::Error) -> Option<&'static str> {
    use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error};
    let plain = "the database doesn't speak TLS; turn on its client encryption, or set core.cql.tls = false";
    let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<Error>()) else {
        // A server that waits for something else closes the connection.
        return (error.kind() == io::ErrorKind::UnexpectedEof).then_some(plain);
    };
    match error {
        Error::InvalidMessage(_) => Some(plain),
        Error::InvalidCertificate(Certificate::UnknownIssuer) => {
            Some("no authority of core.cql.tls_ca has signed the certificate of the database")
        }
        Error::InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        ) => Some(
            "the certificate of the database doesn't name the address that was connected to; certificates of nodes need \
             their IP addresses as subject alternative names",
        ),
        Error::InvalidCertificate(_) => Some("the certificate of the database can't be taken"),
        Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::UnknownCA
            | Alert::HandshakeFailure,
        ) => Some(
            "the database takes none but certificates that it knows; check core.cql.tls_cert and core.cql.tls_key",
        ),
        _ => None,
    }
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(setting, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(about(setting, path, "there is no certificate in PEM in it")),
        Err(error) => Err(about(setting, path, error)),
    }
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| about(setting, path, error))
}

fn about(setting: &str, path: &Path, error: impl std::fmt::Display) -> String {
    format!("{setting} {}: {error}", path.display())
}
