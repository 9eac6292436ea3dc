//! Who chats, with which server, and where what they wrote is kept until it is sent.

use super::Options;
use anyhow::{Context as _, bail, ensure};
use jsonwebtoken::{DecodingKey, Validation};
use nexus_client::{
    Backoff, Client, ClientOptions, DevelopmentTokens, Endpoint, RetryPolicy, StaticToken,
    outbox::{Folder, Outbox},
};
use nexus_core::domain::Name;
use serde::Deserialize;
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// A user on a device, ready to talk to the server.
pub struct Identity {
    pub user: String,
    pub client: Client,
    pub outbox: Outbox,
}

/// What is read of a token; the server is who checks it.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    tenant: Option<String>,
}

impl Identity {
    /// Nothing is sent yet, and the server need not be there.
    pub fn new(options: &Options) -> anyhow::Result<Self> {
        let (user, tenant) = names(options)?;
        let transport = endpoint(options)?.connect()?;
        let place = place(options)?.join(server_folder(&options.server)).join(format!("{user}@{tenant}"));
        let (device, folder) = claim(&place).with_context(|| {
            format!("{} can't keep what you write (--state DIR chooses another folder)", place.display())
        })?;
        // A person waits: try again sooner than a program would.
        let backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(2) };
        let retry = RetryPolicy { backoff, ..RetryPolicy::default() };
        let how = ClientOptions { retry, ..ClientOptions::default() };
        let client = match &options.token {
            Some(token) => Client::with_options(transport, StaticToken::new(token), how),
            None => {
                let tokens = DevelopmentTokens::new(transport.clone(), &user, device);
                Client::with_options(transport, tokens, how)
            }
        };
        let outbox = Outbox::open(client.clone(), folder).with_context(|| place.display().to_string())?;
        Ok(Self { user, client, outbox })
    }
}

/// The user and the tenant: the token's, if there is one.
fn names(options: &Options) -> anyhow::Result<(String, String)> {
    let Some(token) = &options.token else {
        let user = options.user.clone().context("say who you are: --user NAME")?;
        Name::new(&user).with_context(|| format!("--user {user:?}"))?;
        return Ok((user, "default".into()));
    };
    let mut unchecked = Validation::default();
    unchecked.insecure_disable_signature_validation();
    unchecked.validate_exp = false;
    unchecked.validate_aud = false;
    unchecked.required_spec_claims.clear();
    let claims: Claims = jsonwebtoken::decode(token, &DecodingKey::from_secret(&[]), &unchecked)
        .context("the token can't be read; `nexus token` makes one")?
        .claims;
    let tenant = claims.tenant.unwrap_or_else(|| "default".into());
    let unusual = "the token names a user or a tenant that can't be";
    Name::new(&claims.sub).and(Name::new(&tenant)).context(unusual)?;
    if let Some(user) = options.user.as_ref().filter(|user| **user != claims.sub) {
        bail!("the token is {}'s, not {user}'s: leave out --user", claims.sub);
    }
    Ok((claims.sub, tenant))
}

/// The certificate of the local authority, where `nexus` keeps it.
pub const LOCAL_CA: &str = "data/tls/ca.pem";

fn endpoint(options: &Options) -> anyhow::Result<Endpoint> {
    let endpoint = Endpoint::new(&options.server);
    let local = PathBuf::from(LOCAL_CA);
    Ok(match options.ca.clone().or_else(|| local.exists().then_some(local)) {
        Some(path) => endpoint.ca_pem(std::fs::read(&path).with_context(|| path.display().to_string())?),
        None => endpoint,
    })
}

/// The folder of everybody's chats.
fn place(options: &Options) -> anyhow::Result<PathBuf> {
    if let Some(state) = &options.state {
        return Ok(state.clone());
    }
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = from("XDG_STATE_HOME").or_else(|| from("HOME").map(|home| home.join(".local/state")));
    Ok(state.context("there is no home folder: choose one with --state DIR")?.join("nexus/chat"))
}

/// `https://localhost:8443/` as the name of a folder: `localhost_8443`.
fn server_folder(url: &str) -> String {
    let host = url.split_once("://").map_or(url, |(_, host)| host).trim_end_matches('/');
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' };
    // Never `.` or `..`.
    match host.chars().map(plain).collect::<String>() {
        name if name.starts_with('.') => format!("_{name}"),
        name => name,
    }
}

/// Takes the first device that no other chat of this user is, with whatever the others that are gone left behind.
fn claim(place: &Path) -> anyhow::Result<(String, Folder)> {
    let mut known: Vec<String> = match std::fs::read_dir(place) {
        Ok(found) => found.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    known.retain(|name| name.starts_with("terminal-"));
    known.sort();
    let mut mine: Option<(String, Folder)> = None;
    for name in known {
        match (Folder::open(place.join(&name)), &mut mine) {
            (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => {}
            (Err(error), _) => return Err(error.into()),
            (Ok(folder), None) => mine = Some((name, folder)),
            (Ok(folder), Some((_, mine))) => mine.absorb(&folder)?,
        }
    }
    if let Some(mine) = mine {
        return Ok(mine);
    }
    #[allow(clippy::disallowed_methods, reason = "a device is named once, by the machine")]
    let name = format!("terminal-{:08x}", rand::random::<u32>());
    ensure!(!place.join(&name).exists(), "{name} is there already: try again");
    let folder = Folder::open(place.join(&name))?;
    Ok((name, folder))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use nexus_client::outbox::Shelf as _;

    #[test]
    fn two_chats_are_two_devices_and_the_next_one_takes_up_what_both_left() {
        let place = tempfile::tempdir().unwrap();
        let (first, mut one) = claim(place.path()).unwrap();
        let (second, mut two) = claim(place.path()).unwrap();
        assert_ne!(first, second);
        one.put(0, b"one").unwrap();
        two.put(0, b"two").unwrap();
        drop((one, two));
        let (third, mut both) = claim(place.path()).unwrap();
        assert!(third == first || third == second);
        let mut held: Vec<_> = both.load().unwrap().into_iter().map(|(_, entry)| entry).collect();
        held.sort();
        assert_eq!(held, [b"one", b"two"]);
    }

    #[test]
    fn a_server_is_a_folder_and_stays_inside() {
        assert_eq!(server_folder("https://localhost:8443"), "localhost_8443");
        assert_eq!(server_folder("https://[::1]:8443/"), "___1__8443");
        assert_eq!(server_folder("https://../x"), "_.._x");
    }
}
