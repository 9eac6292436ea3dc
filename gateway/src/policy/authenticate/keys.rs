//! What a token may be signed with. HS256 is checked with the secret and with nothing else, the asymmetric
//! algorithms with the key set and nothing else, and a key of the set with its own algorithm only: so a
//! public key can never be taken for a secret, whatever the token's header says.

use super::{
    claims::{Claims, Rules},
    jwks::KeySet,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, errors::ErrorKind};
use std::{collections::HashSet, sync::Arc};
use tonic::Status;

/// The keys, and what else a token must fulfil.
pub(crate) struct Keys {
    pub(super) rules: Rules,
    secret: Option<DecodingKey>,
    set: Option<Arc<KeySet>>,
}

impl Keys {
    pub(crate) fn new(config: &crate::config::Auth, secret: Option<&[u8]>, set: Option<Arc<KeySet>>) -> Self {
        let rules = Rules {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway_ms: i64::try_from(config.leeway_s).unwrap_or(0) * 1_000,
        };
        Keys { rules, secret: secret.map(DecodingKey::from_secret), set }
    }

    /// The claims of a token whose signature is good. Nothing in them has been looked at.
    pub(super) async fn verify(&self, token: &str) -> Result<Claims, Status> {
        let header = decode_header(token)
            .map_err(|_| refuse("it is no JSON Web Token of an algorithm that is known"))?;
        match header.alg {
            Algorithm::HS256 => match &self.secret {
                Some(secret) => check(token, secret, Algorithm::HS256),
                None => Err(refuse("HS256 is not accepted here")),
            },
            algorithm @ (Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) => match &self.set {
                Some(set) => {
                    let key = set.find(header.kid.as_deref(), algorithm).await?;
                    check(token, &key, algorithm)
                }
                None => Err(refuse("only HS256 is accepted here")),
            },
            _ => Err(refuse("its algorithm is not accepted; use RS256, ES256, EdDSA or HS256")),
        }
    }
}

pub(super) fn refuse(reason: &str) -> Status {
    Status::unauthenticated(format!("the token is refused: {reason}"))
}

fn check(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Claims, Status> {
    let mut validation = Validation::new(algorithm);
    // The library reads the machine's clock; the claims are checked by ours, with messages of our own.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims = HashSet::new();
    decode::<Claims>(token, key, &validation).map(|data| data.claims).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => refuse("its signature is not good"),
        ErrorKind::Json(_) | ErrorKind::Utf8(_) | ErrorKind::Base64(_) => refuse("its claims can't be read"),
        _ => refuse("it can't be checked with the key it names"),
    })
}
