//! The certificate authority of development: kept, so that a browser needs to trust it only once. The
//! certificates it signs are not kept; each start makes one, with a key that never leaves the process.

use super::certificate::Certificate;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    time::{Duration, SystemTime},
};
use x509_parser::prelude::{FromDer, X509Certificate};

const DAY: Duration = Duration::from_secs(86_400);
/// A browser refuses certificates of more than 825 days (of private authorities); short ones prove renewal.
const LEAF: Duration = Duration::from_secs(90 * 86_400);
/// Of the authority itself.
const AUTHORITY: Duration = Duration::from_secs(3_650 * 86_400);

/// The authority, with its key.
pub(super) struct LocalCa {
    issuer: Issuer<'static, KeyPair>,
}

impl LocalCa {
    /// Reads it from the directory, or makes it there. The key file is readable by its owner only.
    pub(super) fn open(directory: &Path) -> Result<Self, String> {
        let (certificate, key) = (directory.join("ca.pem"), directory.join("ca.key"));
        let failed = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| failed(directory, &error))?;
        let params = params();

        let (pair, fresh) = if key.exists() {
            let mode = fs::metadata(&key).map_err(|error| failed(&key, &error))?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(format!("{}: others may read this key; run `chmod 600` on it", key.display()));
            }
            let text = fs::read_to_string(&key).map_err(|error| failed(&key, &error))?;
            (KeyPair::from_pem(&text).map_err(|error| failed(&key, &error))?, false)
        } else {
            let pair = KeyPair::generate().map_err(|error| failed(&key, &error))?;
            write(&key, 0o600, &pair.serialize_pem()).map_err(|error| failed(&key, &error))?;
            (pair, true)
        };
        let serves = !fresh && certificate.exists() && is_current(&certificate, &pair)?;
        if !serves {
            let signed = params.self_signed(&pair).map_err(|error| failed(&certificate, &error))?;
            write(&certificate, 0o644, &signed.pem()).map_err(|error| failed(&certificate, &error))?;
        }
        Ok(LocalCa { issuer: Issuer::new(params, pair) })
    }

    /// A certificate for these names and addresses, and its key.
    #[allow(clippy::disallowed_methods, reason = "clients judge it by the time of day")]
    pub(super) fn sign(&self, names: &[String]) -> Result<Certificate, String> {
        let make = || -> Result<_, rcgen::Error> {
            let pair = KeyPair::generate()?;
            let mut params = CertificateParams::new(names.to_vec())?;
            params.distinguished_name.push(DnType::CommonName, "Nexus development server");
            params.not_before = (SystemTime::now() - DAY).into();
            params.not_after = (SystemTime::now() + LEAF).into();
            params.use_authority_key_identifier_extension = true;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let signed = params.signed_by(&pair, &self.issuer)?;
            Ok((signed.der().clone(), pair.serialize_der()))
        };
        let (certificate, key) =
            make().map_err(|error| format!("no certificate for {}: {error}", names.join(", ")))?;
        Certificate::new(vec![certificate], &PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)))
    }
}

/// Whether the kept certificate belongs to the key and is good for as long as what it is to sign.
fn is_current(path: &Path, key: &KeyPair) -> Result<bool, String> {
    let wrong =
        |what: &str| format!("{}: {what}. Remove it and ca.key, and a new pair is made", path.display());
    let der = CertificateDer::from_pem_file(path).map_err(|_| wrong("it can't be read"))?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| wrong("it is no certificate"))?;
    if *parsed.public_key().subject_public_key.data != *key.public_key_raw() {
        return Err(wrong("it does not belong to ca.key"));
    }
    let left = parsed.validity().time_to_expiration().map_or(0, |left| left.whole_seconds());
    Ok(left > LEAF.as_secs() as i64)
}

/// Always the same, so that the issuer of what it signs is that of the kept certificate.
#[allow(clippy::disallowed_methods, reason = "clients judge it by the time of day")]
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Nexus development authority");
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + AUTHORITY).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Whole or not at all: a crash must not leave half a key.
fn write(path: &Path, mode: u32, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_authority_is_kept_and_its_key_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tls");
        LocalCa::open(&path).unwrap();
        let (certificate, key) =
            (fs::read(path.join("ca.pem")).unwrap(), fs::read(path.join("ca.key")).unwrap());
        LocalCa::open(&path).unwrap().sign(&["localhost".into(), "::1".into()]).unwrap();
        assert_eq!(fs::read(path.join("ca.pem")).unwrap(), certificate);
        assert_eq!(fs::read(path.join("ca.key")).unwrap(), key);
        assert_eq!(fs::metadata(path.join("ca.key")).unwrap().permissions().mode() & 0o777, 0o600);

        fs::set_permissions(path.join("ca.key"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(LocalCa::open(&path).err().unwrap().contains("chmod 600"));
    }

    #[test]
    fn a_certificate_of_another_key_is_an_error() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        LocalCa::open(one.path()).unwrap();
        LocalCa::open(two.path()).unwrap();
        fs::copy(one.path().join("ca.pem"), two.path().join("ca.pem")).unwrap();
        assert!(LocalCa::open(two.path()).err().unwrap().contains("does not belong"));
        fs::remove_file(two.path().join("ca.pem")).unwrap();
        LocalCa::open(two.path()).unwrap();
    }

    #[test]
    fn a_broken_key_file_is_an_error_and_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        write(&directory.path().join("ca.key"), 0o600, "no key").unwrap();
        assert!(LocalCa::open(directory.path()).is_err());
        assert_eq!(fs::read_to_string(directory.path().join("ca.key")).unwrap(), "no key");
    }
}
