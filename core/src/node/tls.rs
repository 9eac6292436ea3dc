//! The certificate with which a node answers edges, and whose certificates it takes; read again when the files change.
//! Connections that stand are never touched.

use arc_swap::ArcSwap;
use confique::Config as Derive;
use rustls::{RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// Who this node is to the edges, and who they are to it. Needed with `core.listen`, all three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Derive)]
pub struct Tls {
    /// This node's certificate chain, PEM, its own first; it names the address that edges connect to. Read again when
    /// it changes.
    #[config(env = "NEXUS_CORE_TLS_CERTIFICATE")]
    pub certificate: Option<PathBuf>,

    /// The private key of that certificate, PEM.
    #[config(env = "NEXUS_CORE_TLS_KEY")]
    pub key: Option<PathBuf>,

    /// Authorities, PEM, whose certificates are let in. Whoever holds one can speak for any user: sign the edges'
    /// certificates with an authority that signs nothing else.
    #[config(env = "NEXUS_CORE_TLS_CLIENT_CA")]
    pub client_ca: Option<PathBuf>,
}

impl Tls {
    /// Whether everything that `core.listen` needs is named.
    pub fn is_whole(&self) -> bool {
        self.certificate.is_some() && self.key.is_some() && self.client_ca.is_some()
    }
}

/// The files as they were read.
#[derive(PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<u8>,
}

impl Files {
    fn read(names: &Tls) -> Result<Self, String> {
        let read = |setting: &str, path: &Option<PathBuf>| {
            let path = path.as_deref().ok_or_else(|| format!("{setting} is not set"))?;
            fs::read(path).map_err(|error| format!("{setting} {}: {error}", Path::display(path)))
        };
        Ok(Self {
            certificate: read("certificate", &names.certificate)?,
            key: read("key", &names.key)?,
            client_ca: read("client_ca", &names.client_ca)?,
        })
    }

    fn configure(&self) -> Result<ServerConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let mut authorities = RootCertStore::empty();
        for authority in certificates("client_ca", &self.client_ca)? {
            authorities.add(authority).map_err(|error| format!("client_ca: {error}"))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider.clone())
            .build()
            .map_err(|error| format!("client_ca: {error}"))?;
        let chain = certificates("certificate", &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| "key: there is no private key in PEM in it".to_owned())?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| format!("certificate and key: {error}"))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

fn certificates(setting: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{setting}: there is no certificate in PEM in it")),
        Err(error) => Err(format!("{setting}: {error}")),
    }
}

/// The certificate in use.
pub(super) struct Identity {
    names: Tls,
    current: ArcSwap<(Files, Arc<ServerConfig>)>,
}

impl Identity {
    /// Reads the files. The error says which, and what is wrong with it.
    pub fn open(names: &Tls) -> Result<Self, String> {
        let files = Files::read(names)?;
        let config = Arc::new(files.configure()?);
        Ok(Self { names: names.clone(), current: ArcSwap::from_pointee((files, config)) })
    }

    /// For the next handshake.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load().1.clone())
    }

    /// Looks at the files now and then, until dropped. What can't be used leaves in use what was there.
    pub async fn keep(&self, every: Duration) {
        let mut broken = false;
        loop {
            sleep(every).await;
            match self.renew() {
                Ok(false) => broken = false,
                Ok(true) => {
                    tracing::info!("a new certificate for edges is in use");
                    broken = false;
                }
                Err(error) if !broken => {
                    tracing::error!(%error, "core.tls could not be read again; what was read before stays in use");
                    broken = true;
                }
                Err(_) => {}
            }
        }
    }

    fn renew(&self) -> Result<bool, String> {
        let files = Files::read(&self.names)?;
        if files == self.current.load().0 {
            return Ok(false);
        }
        let config = Arc::new(files.configure()?);
        self.current.store(Arc::new((files, config)));
        Ok(true)
    }
}
