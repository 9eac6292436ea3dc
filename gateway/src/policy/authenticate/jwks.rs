//! The key set (RFC 7517), and when it is read again.

use super::{keys::refuse, source::Source};
use crate::{metrics::Metrics, policy::reply::unavailable};
use arc_swap::ArcSwapOption;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::Instant};
use tonic::Status;

/// A key that is not in the set is looked for at most this often: tokens with made-up key ids must not
/// become requests to the issuer.
const COOLDOWN: Duration = Duration::from_secs(10);
/// For reading the set once.
const FETCH: Duration = Duration::from_secs(5);
/// RSA keys with a shorter modulus are refused (RFC 7518, 3.3).
const RSA_BYTES: usize = 256;

/// The keys of one issuer.
pub(crate) struct KeySet {
    source: Source,
    /// None until it was read for the first time.
    keys: ArcSwapOption<Vec<Key>>,
    /// When a key was last looked for out of turn; holding it is the right to read.
    looked: Mutex<Option<Instant>>,
    metrics: Metrics,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl KeySet {
    pub(crate) fn new(source: Source, metrics: Metrics) -> Self {
        KeySet { source, keys: ArcSwapOption::empty(), looked: Mutex::new(None), metrics }
    }

    /// Reads the set. What was known is kept if that fails.
    pub(crate) async fn refresh(&self) -> Result<(), String> {
        let _reading = self.looked.lock().await;
        self.read().await
    }

    /// Looks for a key that is not there. Whoever waits for another's look is content with it.
    async fn look_again(&self) {
        let mut looked = self.looked.lock().await;
        if looked.is_none_or(|last| last.elapsed() >= COOLDOWN) {
            if let Err(reason) = self.read().await {
                tracing::warn!(%reason, "the key set could not be read");
            }
            *looked = Some(Instant::now());
        }
    }

    async fn read(&self) -> Result<(), String> {
        let read = match tokio::time::timeout(FETCH, self.source.fetch()).await {
            Ok(Ok(bytes)) => parse(&bytes),
            Ok(Err(reason)) => Err(reason),
            Err(_) => Err(format!("no answer within {} seconds", FETCH.as_secs())),
        };
        let result = if read.is_ok() { "ok" } else { "error" };
        self.metrics.jwks_refreshes.with_label_values(&[result]).inc();
        let keys = read?;
        self.metrics.jwks_keys.set(keys.len() as i64);
        self.keys.store(Some(Arc::new(keys)));
        Ok(())
    }

    /// Reads the set again and again, until dropped.
    pub(crate) async fn keep_fresh(&self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            if let Err(reason) = self.refresh().await {
                tracing::warn!(%reason, "the key set could not be read; the one before is kept");
            }
        }
    }

    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, Status> {
        if let Some(key) = self.known(id, algorithm) {
            return Ok(key);
        }
        self.look_again().await;
        if self.keys.load().is_none() {
            return Err(unavailable("the keys that tokens are checked with could not be read yet", COOLDOWN));
        }
        self.known(id, algorithm).ok_or_else(|| refuse("the key it names (`kid`) is not in the key set"))
    }

    fn known(&self, id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let keys = self.keys.load();
        let mut fitting = keys.as_ref()?.iter().filter(|key| key.algorithm == algorithm);
        let key = match id {
            Some(id) => fitting.find(|key| key.id.as_deref() == Some(id))?,
            // Without an id there must be no choice.
            None => fitting.next().filter(|_| fitting.next().is_none())?,
        };
        Some(key.key.clone())
    }
}

/// The usable keys of a set. A key that is not for us is passed over, a set without any is an error.
fn parse(bytes: &[u8]) -> Result<Vec<Key>, String> {
    // Key by key: one of a kind that we don't know must not spoil the others.
    let set: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON: {error}"))?;
    let entries = set.get("keys").and_then(|keys| keys.as_array()).ok_or("it has no list `keys`")?;
    let keys: Vec<Key> = entries
        .iter()
        .filter_map(|entry| serde_json::from_value::<Jwk>(entry.clone()).ok())
        .filter_map(|jwk| usable(&jwk))
        .collect();
    if keys.is_empty() { Err("it has no key for RS256, ES256 or EdDSA".into()) } else { Ok(keys) }
}

/// Whatever an issuer's document holds is keys, or what is wrong with it.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(bytes: &[u8]) {
    match parse(bytes) {
        Ok(keys) => assert!(!keys.is_empty()),
        Err(why) => assert!(!why.is_empty()),
    }
}

fn usable(jwk: &Jwk) -> Option<Key> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    // A secret (`oct`) has no place in a public set.
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if rsa.n.len() >= RSA_BYTES * 4 / 3 => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let named = match jwk.common.key_algorithm {
        None => true,
        Some(KeyAlgorithm::RS256) => algorithm == Algorithm::RS256,
        Some(KeyAlgorithm::ES256) => algorithm == Algorithm::ES256,
        Some(KeyAlgorithm::EdDSA) => algorithm == Algorithm::EdDSA,
        Some(_) => false,
    };
    let key = DecodingKey::from_jwk(jwk).ok().filter(|_| named)?;
    Some(Key { id: jwk.common.key_id.clone(), algorithm, key })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn only_public_keys_for_signatures_are_taken() {
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let mut encryption = ed.clone();
        encryption["use"] = json!("enc");
        let mut other = ed.clone();
        other["alg"] = json!("HS256");
        let secret = json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"});
        let short = json!({"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"});
        let unknown = json!({"kty": "AKP", "kid": "m"});
        let set = json!({"keys": [encryption, other, secret, short, unknown, ed]});
        let keys = parse(set.to_string().as_bytes()).unwrap();
        assert_eq!(keys.len(), 1);
        assert_eq!((keys[0].id.as_deref(), keys[0].algorithm), (Some("a"), Algorithm::EdDSA));
    }

    #[test]
    fn a_set_without_keys_is_an_error() {
        for text in ["", "[]", "{}", r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "k": "AAAA"}]}"#] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
