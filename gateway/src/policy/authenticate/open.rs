//! The keys that the configuration names.

use super::{jwks::KeySet, keys::Keys, source::Source};
use crate::{config::Auth, metrics::Metrics};
use std::{path::Path, sync::Arc};

/// A shorter secret is refused (RFC 7518, 3.2).
const SECRET_BYTES: usize = 32;

/// Reads the secret and the key set, which is to be kept fresh. The error says which setting is wrong, and why.
pub(crate) async fn open(config: &Auth, metrics: &Metrics) -> Result<(Keys, Option<Arc<KeySet>>), String> {
    let secret = match (&config.secret, &config.secret_file) {
        (Some(secret), _) => Some(secret.clone().into_bytes()),
        (None, Some(path)) => Some(read(path)?),
        (None, None) => None,
    };
    let set = match &config.jwks {
        Some(place) => {
            let source =
                Source::new(place, config.jwks_ca.as_deref()).map_err(|error| format!("jwks: {error}"))?;
            let is_file = matches!(source, Source::File(_));
            let set = Arc::new(KeySet::new(source, metrics.clone()));
            match set.refresh().await {
                Ok(()) => {}
                // A file is ours to get right; an issuer that is down comes back.
                Err(reason) if is_file => return Err(format!("jwks: {reason}")),
                Err(reason) => {
                    tracing::warn!(%reason, "the key set could not be read yet; it is tried again")
                }
            }
            Some(set)
        }
        None => None,
    };
    Ok((Keys::new(config, secret.as_deref(), set.clone()), set))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let read = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let secret = read.trim_ascii_end().to_vec();
    if secret.len() < SECRET_BYTES {
        return Err(format!("{}: the secret is too short to be safe; 32 bytes or more", path.display()));
    }
    Ok(secret)
}
