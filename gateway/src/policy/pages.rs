//! Serves the web page.

use super::{decision::Reply, gate::Check, head::RequestHead};
use crate::assets::Assets;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};

/// The layer's check.
pub(crate) struct Pages {
    assets: Assets,
}

impl Pages {
    pub(crate) fn new(assets: Assets) -> Self {
        Pages { assets }
    }
}

impl Check for Pages {
    fn check(&self, head: &mut RequestHead) -> Result<(), Reply> {
        if head.facts.protocol.is_grpc() {
            return Ok(());
        }
        let Some(asset) = self.assets.get(&head.path) else { return Ok(()) };
        let mut response = Response::new(Bytes::new());
        if head.method != Method::GET && head.method != Method::HEAD {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Err(Reply::http(response));
        }
        let known =
            head.headers.get_all(header::IF_NONE_MATCH).iter().any(|value| matches(value, &asset.etag));
        let headers = response.headers_mut();
        headers.insert(header::ETAG, asset.etag.clone());
        headers.insert(header::CACHE_CONTROL, asset.cache_control.clone());
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            headers.insert(header::CONTENT_TYPE, asset.content_type.clone());
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(asset.body.len()));
            if head.method == Method::GET {
                *response.body_mut() = asset.body.clone();
            }
        }
        Err(Reply::http(response))
    }
}

/// Weak comparison (RFC 9110, 13.1.2): a proxy that compressed the page made the tag weak.
fn matches(header: &HeaderValue, etag: &HeaderValue) -> bool {
    let Ok(text) = header.to_str() else { return false };
    text.split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
}
