//! Values of the configuration that are more than a number.

use serde::Deserialize;
use std::{net::SocketAddr, str::FromStr};

/// What the process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A laptop: a certificate of our own, tokens for the asking.
    Development,
    /// The world: certificates and keys are given, nothing is handed out.
    Production,
}

/// An address to listen on, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Listen {
    /// Not served.
    Off,
    /// Served there; port 0 lets the system choose.
    At(SocketAddr),
}

impl Listen {
    /// The address, if there is one.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Listen::Off => None,
            Listen::At(address) => Some(address),
        }
    }
}

/// The limit of a method of its own, beside that of its class.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MethodLimit {
    /// `package.Service/Method`.
    pub method: String,
    /// A second.
    pub rate: u32,
    /// At once.
    pub burst: u32,
}

/// Why a text is no [`MethodLimit`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no method with its rate and its burst, such as \"nexus.v1.PresenceService/GetPresence 5 20\""
)]
pub struct BadMethodLimit(String);

impl TryFrom<String> for MethodLimit {
    type Error = BadMethodLimit;

    fn try_from(text: String) -> Result<Self, BadMethodLimit> {
        text.parse()
    }
}

impl FromStr for MethodLimit {
    type Err = BadMethodLimit;

    fn from_str(text: &str) -> Result<Self, BadMethodLimit> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        let read = || match parts[..] {
            [method, rate, burst] => {
                method.split_once('/').filter(|(service, name)| service.contains('.') && !name.is_empty())?;
                let (rate, burst) = (rate.parse().ok()?, burst.parse().ok()?);
                (rate > 0 && burst > 0).then(|| MethodLimit { method: method.to_owned(), rate, burst })
            }
            _ => None,
        };
        read().ok_or_else(|| BadMethodLimit(text.to_owned()))
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Listen::Off);
        }
        text.parse()
            .map(Listen::At)
            .map_err(|_| format!("\"{text}\" is neither \"off\" nor an address such as 0.0.0.0:8080"))
    }
}
