//! A certificate chain and its key, read and checked. Pingora panics on a pair that does not fit, so nothing
//! unchecked ever reaches it.

use rustls::{crypto::ring::sign::any_supported_type, sign::CertifiedKey};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use std::{path::Path, sync::Arc};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A pair that can be served.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub certified: Arc<CertifiedKey>,
    /// Unix seconds.
    pub expires: i64,
}

impl Certificate {
    pub(super) fn read(chain: &Path, key: &Path) -> Result<Self, String> {
        let in_file = |path: &Path, what: &str, error: pem::Error| match error {
            pem::Error::Io(error) => format!("{}: {error}", path.display()),
            pem::Error::NoItemsFound => format!("{}: there is no {what} in PEM in it", path.display()),
            error => format!("{}: {error}", path.display()),
        };
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| in_file(chain, "certificate", error))?;
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| in_file(key, "private key", error))?;
        Certificate::new(certificates, &private)
            .map_err(|reason| format!("{} and {}: {reason}", chain.display(), key.display()))
    }

    pub(super) fn new(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Result<Self, String> {
        let first = chain.first().ok_or("there is no certificate in it")?;
        let (_, parsed) = X509Certificate::from_der(first)
            .map_err(|error| format!("the certificate can't be read: {error}"))?;
        let expires = parsed.validity().not_after.timestamp();
        let key = any_supported_type(key)
            .map_err(|_| "the key is of a kind that can't be used; RSA, ECDSA and Ed25519 can")?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| "the key does not belong to the certificate")?;
        Ok(Certificate { certified: Arc::new(certified), expires })
    }
}
