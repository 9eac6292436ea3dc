//! Tokens: for `nexus token`, and for whoever asks during development.

use crate::config::Config;
use anyhow::{Context as _, bail};
use clap::Args;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use nexus_core::domain::Name;
use serde::Serialize;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// What a token says.
#[derive(Debug, Args)]
pub struct Options {
    /// The user: 1-64 characters of A-Za-z0-9._-
    #[arg(long)]
    user: String,
    /// The tenant.
    #[arg(long, default_value = "default")]
    tenant: String,
    /// The device.
    #[arg(long, default_value = "cli")]
    device: String,
    /// Hours for which it is valid.
    #[arg(long, default_value_t = 24)]
    hours: u64,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    tenant: &'a str,
    sid: &'a str,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

/// Signs tokens with the configured secret.
pub struct Signer {
    key: EncodingKey,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Signer {
    /// A signer; an error if there is no secret to sign with.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let auth = &config.gateway.auth;
        let secret = match (&auth.secret, &auth.secret_file) {
            (Some(secret), _) => secret.clone(),
            (None, Some(path)) => fs::read_to_string(path).with_context(|| {
                format!("{}: start `nexus` once, or set gateway.auth.secret", path.display())
            })?,
            (None, None) => bail!("tokens are signed elsewhere (gateway.auth.jwks): ask there for one"),
        };
        let key = EncodingKey::from_secret(secret.trim_end().as_bytes());
        Ok(Self { key, issuer: auth.issuer.clone(), audience: auth.audience.clone() })
    }

    /// A token, and when it expires, Unix seconds.
    pub fn sign(
        &self,
        tenant: &Name,
        user: &Name,
        device: &Name,
        hours: u64,
    ) -> anyhow::Result<(String, u64)> {
        #[allow(clippy::disallowed_methods, reason = "a person asks: the machine's clock is what is meant")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let exp = now + hours * 3600;
        let claims = Claims {
            sub: user.as_str(),
            tenant: tenant.as_str(),
            sid: device.as_str(),
            exp,
            iss: self.issuer.as_deref(),
            aud: self.audience.as_deref(),
        };
        Ok((jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key)?, exp))
    }
}

/// Prints a token.
pub fn run(config: &Config, options: &Options) -> anyhow::Result<()> {
    let name = |what: &str, text: &str| Name::new(text).with_context(|| format!("--{what} {text:?}"));
    let (tenant, user) = (name("tenant", &options.tenant)?, name("user", &options.user)?);
    let device = name("device", &options.device)?;
    let (token, _) = Signer::new(config)?.sign(&tenant, &user, &device, options.hours)?;
    println!("{token}");
    Ok(())
}

/// Makes the secret of a development deployment, once.
pub fn ensure_secret(path: &Path) -> anyhow::Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(mut file) => {
            #[allow(clippy::disallowed_methods, reason = "a secret must come from the machine")]
            let bytes: [u8; 32] = rand::random();
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| path.display().to_string())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}
