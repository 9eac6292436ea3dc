//! The certificate in use, renewed while it is used: connections that stand are never touched.

use super::{certificate::Certificate, local_ca::LocalCa};
use crate::{Clock, config::Tls, metrics::Metrics};
use arc_swap::ArcSwap;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::Notify;

/// A certificate of our own is replaced when less than this is left of it, in seconds.
const RENEW_BEFORE: i64 = 30 * 86_400;

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The files that the configuration names.
    #[error("gateway.tls: {0}")]
    Files(String),
    /// They hold a certificate that is over.
    #[error("gateway.tls: the certificate in {0} has expired; renew it")]
    Expired(PathBuf),
    /// The authority of development.
    #[error("gateway.tls.directory: {0}")]
    Local(String),
}

/// Gives Pingora the certificate for each handshake.
pub(crate) struct Keeper {
    origin: Origin,
    current: ArcSwap<Certificate>,
    wanted: Notify,
    clock: Clock,
    metrics: Metrics,
}

enum Origin {
    Files { chain: PathBuf, key: PathBuf },
    Local { ca: Box<LocalCa>, names: Vec<String> },
}

impl Origin {
    fn make(&self) -> Result<Certificate, TlsError> {
        match self {
            Origin::Files { chain, key } => Certificate::read(chain, key).map_err(TlsError::Files),
            Origin::Local { ca, names } => ca.sign(names).map_err(TlsError::Local),
        }
    }
}

impl Keeper {
    pub(crate) fn open(config: &Tls, clock: Clock, metrics: Metrics) -> Result<Self, TlsError> {
        let origin = match (&config.certificate, &config.key) {
            (Some(chain), Some(key)) => Origin::Files { chain: chain.clone(), key: key.clone() },
            _ => {
                let ca = LocalCa::open(&config.directory).map_err(TlsError::Local)?;
                Origin::Local { ca: Box::new(ca), names: config.names.clone() }
            }
        };
        let first = origin.make()?;
        if let (Origin::Files { chain, .. }, true) = (&origin, first.expires * 1_000 <= clock.now_ms()) {
            return Err(TlsError::Expired(chain.clone()));
        }
        metrics.certificate_expiry.set(first.expires as f64);
        Ok(Keeper { origin, current: ArcSwap::from_pointee(first), wanted: Notify::new(), clock, metrics })
    }

    /// Asks for the files to be read again now, as on SIGHUP.
    pub(crate) fn reload(&self) {
        self.wanted.notify_one();
    }

    /// Renews the certificate when its files change, when it runs out, or when asked; until dropped.
    pub(crate) async fn keep(&self, every: Duration) {
        let mut seen = self.stamp();
        loop {
            let asked = tokio::select! {
                () = self.wanted.notified() => true,
                () = tokio::time::sleep(every) => false,
            };
            let now = self.stamp();
            let left = self.current.load().expires - self.clock.now_ms() / 1_000;
            let ends = matches!(self.origin, Origin::Local { .. }) && left < RENEW_BEFORE;
            if asked || ends || now != seen {
                self.renew();
                seen = now;
            }
        }
    }

    fn renew(&self) {
        match self.origin.make() {
            Ok(fresh) => {
                tracing::info!(expires = fresh.expires, "a new certificate is in use");
                self.metrics.certificate_expiry.set(fresh.expires as f64);
                self.metrics.certificate_reloads.with_label_values(&["ok"]).inc();
                self.current.store(Arc::new(fresh));
            }
            Err(error) => {
                tracing::error!(%error, "the certificate could not be read again; the one before stays in use");
                self.metrics.certificate_reloads.with_label_values(&["error"]).inc();
            }
        }
    }

    /// When the files were last changed; both, since they are replaced one after the other.
    fn stamp(&self) -> Option<(SystemTime, SystemTime)> {
        let changed = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified()).ok();
        match &self.origin {
            Origin::Files { chain, key } => Some((changed(chain)?, changed(key)?)),
            Origin::Local { .. } => None,
        }
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Keeper {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load().certified.clone())
    }
}
