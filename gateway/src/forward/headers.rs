//! Which headers go on to a node, and which come back from it.

use super::Asked;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, header, uri::PathAndQuery};

/// The only inbound header of ours that is passed on.
const CONVERSATION: &str = "nexus-conversation";

/// What belongs to the connection that a request came by (RFC 9110, 7.6.1), to its framing, or to the authority, which
/// HTTP/2 names elsewhere.
const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// The token stays at the edge, and so does what a client claims about the way it came.
const OF_THE_EDGE: &[&str] = &["authorization", "cookie", "forwarded", "x-forwarded-host", "x-real-ip"];

/// The request as a node gets it. `ours` replaces what the client may have sent by the same names.
pub(super) fn upward(asked: &Asked, ours: &[(HeaderName, HeaderValue)]) -> http::Result<Request<()>> {
    let path = asked.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    // An HTTP/1.0 client may have named nobody.
    let authority = asked.authority().unwrap_or("nexus");
    let uri = Uri::builder().scheme("http").authority(authority).path_and_query(path).build()?;
    let mut request = Request::builder().method(asked.method.clone()).uri(uri).version(Version::HTTP_2);
    if let Some(headers) = request.headers_mut() {
        copy(&asked.headers, headers);
        for (name, value) in ours {
            headers.insert(name, value.clone());
        }
    }
    request.body(())
}

fn copy(from: &HeaderMap, to: &mut HeaderMap) {
    to.reserve(from.len() + 7);
    let named: Vec<&str> = from
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        .collect();
    for (name, value) in from {
        let text = name.as_str();
        let ours = text.starts_with("nexus-") && text != CONVERSATION;
        // TE is of the connection too, but gRPC asks for this one end to end.
        let te = name == header::TE && value != "trailers";
        let hop =
            OF_THE_CONNECTION.contains(&text) || named.iter().any(|named| named.eq_ignore_ascii_case(text));
        if !ours && !te && !hop && !OF_THE_EDGE.contains(&text) {
            to.append(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn what_is_between_client_and_edge_stays_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "chat.example:8443"),
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "5"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip"),
            ("te", "trailers"),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("x-real-ip", "6.6.6.6"),
            ("nexus-user", "root"),
            ("nexus-conversation", "c"),
            ("grpc-timeout", "1S"),
            ("x-request-id", "theirs"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let asked = Asked {
            method: http::Method::POST,
            uri: Uri::from_static("/a.B/C?d=e"),
            headers,
            peer: [127, 0, 0, 1].into(),
            secure: true,
            http2: false,
        };
        let ours = [(HeaderName::from_static("x-request-id"), HeaderValue::from_static("ours"))];
        let request = upward(&asked, &ours).unwrap();
        assert_eq!(request.uri(), "http://chat.example:8443/a.B/C?d=e");
        let mut left: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        left.sort();
        assert_eq!(left, ["grpc-timeout: 1S", "nexus-conversation: c", "te: trailers", "x-request-id: ours"]);
    }
}
