//! Sends plain HTTP to HTTPS. 308 keeps the method, so that nothing is silently turned into a GET.

use super::{decision::Reply, gate::Check, head::RequestHead};
use bytes::Bytes;
use http::{Response, StatusCode, header, uri::Authority};

/// The layer's check.
pub(crate) struct ToHttps {
    /// The port of HTTPS as clients see it.
    pub port: u16,
}

impl Check for ToHttps {
    fn check(&self, head: &mut RequestHead) -> Result<(), Reply> {
        if head.secure {
            return Ok(());
        }
        let host = head.host.as_deref().and_then(|host| host.parse::<Authority>().ok());
        let location =
            host.filter(|host| !host.as_str().contains('@') && !host.host().is_empty()).map(|host| {
                let port = if self.port == 443 { String::new() } else { format!(":{}", self.port) };
                format!("https://{}{port}{}{}", host.host(), head.path, head.query)
            });
        let mut response = Response::new(Bytes::new());
        match location.and_then(|location| location.parse().ok()) {
            Some(location) => {
                *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
                response.headers_mut().insert(header::LOCATION, location);
            }
            None => {
                *response.status_mut() = StatusCode::BAD_REQUEST;
                *response.body_mut() =
                    Bytes::from_static(b"no usable Host header; this is served over https://\n");
            }
        }
        Err(Reply::http(response))
    }
}
