//! The address of a chat node, as the configuration writes it.

use std::{fmt, path::PathBuf, str::FromStr};

/// Where a chat node listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `unix:/path`: a Unix socket.
    Unix(PathBuf),
    /// `http://host:port`: TCP without TLS. The host is a name or an address; IPv6 in brackets.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Why a text is no address of a chat node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" {reason}; write unix:/path/of/socket or http://host:port")]
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
        let Some(rest) = text.strip_prefix("http://") else { return Err(bad("has no scheme that is known")) };
        let uri: http::Uri = text.parse().map_err(|_| bad("is not an address"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("names no host"))?;
        let port = uri.port_u16().filter(|port| *port != 0).ok_or_else(|| bad("names no port"))?;
        if rest.contains(['/', '?', '@']) {
            return Err(bad("is more than host and port"));
        }
        Ok(Address::Tcp { host: host.trim_matches(['[', ']']).to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tcp { host, port } if host.contains(':') => write!(f, "http://[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "http://{host}:{port}"),
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
            ["unix:data/core.sock", "http://10.0.0.1:9000", "http://core-1.internal:80", "http://[::1]:9000"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, part) in [
            ("", "no scheme"),
            ("core:9000", "no scheme"),
            ("https://core:9000", "no scheme"),
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
