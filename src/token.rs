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
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
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
    /// How long it is valid: a number and s, m, h or d. Below zero it has expired already, to see what becomes of it.
    #[arg(long, default_value = "24h", value_parser = seconds, allow_hyphen_values = true)]
    ttl: i64,
}

/// Seconds of a time such as `90s` or `7d`.
fn seconds(text: &str) -> Result<i64, String> {
    let wrong = || "must be a number and s, m, h or d, such as 90s or 7d".to_owned();
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    digits.parse::<i64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)
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

    /// A token that is valid for so many seconds, and when it expires, Unix seconds.
    pub fn sign(&self, tenant: &Name, user: &Name, device: &Name, ttl: i64) -> anyhow::Result<(String, u64)> {
        #[allow(clippy::disallowed_methods, reason = "a person asks: the machine's clock is what is meant")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let exp = now.saturating_add_signed(ttl);
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
    let (token, _) = Signer::new(config)?.sign(&tenant, &user, &device, options.ttl)?;
    println!("{token}");
    Ok(())
}

/// Makes the secret of a development deployment, once, and the folder that it is in.
pub fn ensure_secret(path: &Path) -> anyhow::Result<()> {
    let failed = || format!("can't make {}: let this user write there, or set core.data", path.display());
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(failed)?;
    }
    if path.exists() {
        return Ok(());
    }
    // Whole or not at all: a crash must not leave half a secret.
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .with_context(failed)?;
    #[allow(clippy::disallowed_methods, reason = "a secret must come from the machine")]
    let bytes: [u8; 32] = rand::random();
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let made = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    // A link fails where a rename would replace what another process has made meanwhile.
    let placed = made.and_then(|()| match fs::hard_link(&new, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    placed.and_then(|()| fs::remove_file(&new)).with_context(failed)
}
