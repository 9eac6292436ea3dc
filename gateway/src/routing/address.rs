//! The address of a chat node, as the configuration writes it.

use std::{fmt, io, net::SocketAddr, path::PathBuf, str::FromStr};

/// Where a chat node listens, or several that share a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `unix:/path`: a Unix socket.
    Unix(PathBuf),
    /// `https://host:port` with certificates on both sides, or `http://host:port` without.
    Tcp {
        /// Whether with certificates.
        tls: bool,
        /// A name or an address, without brackets. The node's certificate is for it.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Something that can be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP.
    Tcp {
        /// Where.
        at: SocketAddr,
        /// With TLS: what the node's certificate must be for.
        name: Option<String>,
    },
}

impl Address {
    /// What it leads to without asking anybody; `None` for a name.
    pub fn endpoint(&self) -> Option<Endpoint> {
        match self {
            Address::Unix(path) => Some(Endpoint::Unix(path.clone())),
            Address::Tcp { host, port, .. } => {
                host.parse().ok().map(|ip| self.at(SocketAddr::new(ip, *port)))
            }
        }
    }

    /// What it leads to now: every address that its name has.
    pub(super) async fn resolve(&self) -> io::Result<Vec<Endpoint>> {
        match (self, self.endpoint()) {
            (_, Some(endpoint)) => Ok(vec![endpoint]),
            (Address::Tcp { host, port, .. }, None) => {
                let found = tokio::net::lookup_host((host.as_str(), *port)).await?;
                Ok(found.map(|at| self.at(at)).collect())
            }
            (Address::Unix(_), None) => Ok(Vec::new()),
        }
    }

    fn at(&self, at: SocketAddr) -> Endpoint {
        let name = match self {
            Address::Tcp { tls: true, host, .. } => Some(host.clone()),
            _ => None,
        };
        Endpoint::Tcp { at, name }
    }

    /// Whether connecting to it takes certificates.
    pub fn is_tls(&self) -> bool {
        matches!(self, Address::Tcp { tls: true, .. })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
            Endpoint::Tcp { at, name: None } => write!(f, "http://{at}"),
            Endpoint::Tcp { at, name: Some(_) } => write!(f, "https://{at}"),
        }
    }
}

/// Why a text is no address of a chat node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" {reason}; write unix:/path/of/socket, https://host:port or http://host:port")]
pub struct BadAddress {
    text: String,
    reason: &'static str,
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = |reason| BadAddress { text: text.to_owned(), reason };
        if let Some(path) = text.strip_prefix("unix:") {
            // The kernel's limit for the path of a Unix socket is 108 bytes with its final zero.
            return match path.len() {
                0 => Err(bad("names no path")),
                108.. => Err(bad("is longer than the 107 bytes that a Unix socket's path may have")),
                _ => Ok(Address::Unix(path.into())),
            };
        }
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(bad("has no scheme that is known")),
        };
        let uri: http::Uri = text.parse().map_err(|_| bad("is not an address"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("names no host"))?;
        let port = uri.port_u16().filter(|port| *port != 0).ok_or_else(|| bad("names no port"))?;
        if rest.contains(['/', '?', '@']) {
            return Err(bad("is more than host and port"));
        }
        Ok(Address::Tcp { tls, host: host.trim_matches(['[', ']']).to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tcp { tls, host, port } => {
                let scheme = if *tls { "https" } else { "http" };
                if host.contains(':') {
                    write!(f, "{scheme}://[{host}]:{port}")
                } else {
                    write!(f, "{scheme}://{host}:{port}")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in
            ["unix:data/core.sock", "http://10.0.0.1:9000", "https://core-1.internal:80", "http://[::1]:9000"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, part) in [
            ("", "no scheme"),
            ("core:9000", "no scheme"),
            ("ftp://core:9000", "no scheme"),
            ("unix:", "no path"),
            ("http://core", "no port"),
            ("http://:9000", ""),
            ("http://core:0", "no port"),
            ("http://core:9000/x", "more than host and port"),
        ] {
            assert!(text.parse::<Address>().unwrap_err().to_string().contains(part), "{text}");
        }
        assert!(format!("unix:/{}", "x".repeat(107)).parse::<Address>().is_err());
    }
}
