//! Values of the configuration that are more than a number.

use serde::Deserialize;
use std::net::SocketAddr;

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
