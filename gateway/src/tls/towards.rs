//! Who the edge is to chat nodes on other machines, and whose certificates it takes from them; read again when the files
//! change. Connections that stand are never touched.

use super::certificate::Certificate;
use crate::config::Upstream;
use arc_swap::ArcSwap;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::time::sleep;

/// What a connection to a node is made with.
pub(crate) struct Credentials {
    /// The edge's certificates, its own first, DER.
    pub chain: Vec<Vec<u8>>,
    /// Its key, DER.
    pub key: Vec<u8>,
    /// Whose certificates are taken, DER.
    pub authorities: Vec<Vec<u8>>,
    /// All of it as rustls takes it.
    pub client: Arc<ClientConfig>,
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

impl Files {
    fn read(&self) -> Result<Credentials, String> {
        // It checks that the two belong together.
        let pair = Certificate::read(&self.certificate, &self.key)?;
        let of_key = |error: &dyn std::fmt::Display| format!("{}: {error}", self.key.display());
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| of_key(&error))?;
        let of_ca = |error: &dyn std::fmt::Display| format!("{}: {error}", self.ca.display());
        let authorities = CertificateDer::pem_file_iter(&self.ca)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| of_ca(&error))?;
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots.add(authority.clone()).map_err(|error| of_ca(&error))?;
        }
        if roots.is_empty() {
            return Err(of_ca(&"there is no certificate in PEM in it"));
        }
        let chain = pair.certified.cert.clone();
        let mut client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| of_key(&error))?;
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Credentials {
            chain: chain.iter().map(|certificate| certificate.to_vec()).collect(),
            key: key.secret_der().to_vec(),
            authorities: authorities.iter().map(|authority| authority.to_vec()).collect(),
            client: Arc::new(client),
        })
    }
}

/// The credentials in use.
pub(crate) struct Towards {
    files: Files,
    current: ArcSwap<Credentials>,
}

impl Towards {
    /// Reads the files that the configuration names; `None` if it names none.
    pub(crate) fn open(config: &Upstream) -> Result<Option<Self>, String> {
        let (Some(certificate), Some(key), Some(ca)) = (&config.certificate, &config.key, &config.ca) else {
            return Ok(None);
        };
        let files = Files { certificate: certificate.clone(), key: key.clone(), ca: ca.clone() };
        let current = ArcSwap::from_pointee(files.read()?);
        Ok(Some(Self { files, current }))
    }

    /// For the next connection.
    pub(crate) fn now(&self) -> Arc<Credentials> {
        self.current.load_full()
    }

    /// Looks at the files now and then, until dropped. What can't be used leaves in use what was there.
    pub(crate) async fn keep(&self, every: Duration) {
        let mut broken = false;
        loop {
            sleep(every).await;
            match self.files.read() {
                Ok(fresh) => {
                    broken = false;
                    let now = self.current.load();
                    if (&fresh.chain, &fresh.key, &fresh.authorities)
                        != (&now.chain, &now.key, &now.authorities)
                    {
                        tracing::info!("a new certificate towards chat nodes is in use");
                        self.current.store(Arc::new(fresh));
                    }
                }
                Err(error) if !broken => {
                    broken = true;
                    tracing::error!(%error, "gateway.upstream could not be read again; what was read before stays in use");
                }
                Err(_) => {}
            }
        }
    }
}
