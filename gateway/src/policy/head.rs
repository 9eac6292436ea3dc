//! A request's head, as the layers see it, and the parsers of single headers. They take whatever a client
//! may send and never panic.

use super::{
    decision::{Action, Decision, Facts, Reply},
    method::MethodPath,
    places::Place,
    protocol::Protocol,
};
use http::{HeaderMap, Method, header};
use std::{net::IpAddr, time::Duration};

/// The head of a request, and what the layers have found out about it.
pub(crate) struct RequestHead {
    pub method: Method,
    pub path: String,
    /// With its question mark, or empty.
    pub query: String,
    pub headers: HeaderMap,
    /// The name that the client called us by, with its port if it gave one.
    pub host: Option<String>,
    /// Whether it came over TLS.
    pub secure: bool,
    pub http2: bool,
    pub facts: Facts,
    /// Its place among the requests in progress, once it has one.
    pub place: Option<Place>,
}

impl RequestHead {
    pub(crate) fn new(method: Method, path: String, query: String, headers: HeaderMap, peer: IpAddr) -> Self {
        let protocol =
            headers.get(header::CONTENT_TYPE).map_or(Protocol::Http, |v| Protocol::parse(v.as_bytes()));
        let class = MethodPath::parse(&path).filter(|_| protocol.is_grpc()).map(|path| path.class());
        let content_type = headers.get(header::CONTENT_TYPE).cloned();
        let facts = Facts { content_type, class, ..Facts::new(peer, protocol) };
        RequestHead {
            method,
            path,
            query,
            headers,
            host: None,
            secure: true,
            http2: true,
            facts,
            place: None,
        }
    }

    /// Ends the matter here, on behalf of the named layer.
    pub(crate) fn answer(self, layer: &'static str, reply: Reply) -> Decision {
        let facts = Facts { answered_by: Some(layer), ..self.facts };
        Decision { facts, action: Action::Reply(reply), headers: HeaderMap::new() }
    }
}

/// A client's `grpc-timeout`: at most eight digits and a unit (gRPC over HTTP/2, "Timeout").
pub(crate) fn grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3_600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// The trace id of a W3C `traceparent`.
pub(crate) fn trace_id(value: &str) -> Option<&str> {
    let mut fields = value.split('-');
    let (version, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let known = hex(version, 2) && version != "ff" && hex(parent, 16) && hex(flags, 2);
    // A later version may append fields; version 00 has just these.
    (known
        && hex(trace, 32)
        && trace.bytes().any(|b| b != b'0')
        && (version != "00" || fields.next().is_none()))
    .then_some(trace)
}

/// Names of users, tenants and devices, and request ids: 1-64 characters of `A-Za-z0-9._-`.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn timeouts_are_read() {
        assert_eq!(grpc_timeout(b"10S"), Some(Duration::from_secs(10)));
        assert_eq!(grpc_timeout(b"99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(grpc_timeout(b"250m"), Some(Duration::from_millis(250)));
        for bad in ["", "S", "10", "10s", "-1S", "100000000S", " 1S", "1.5S"] {
            assert_eq!(grpc_timeout(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn trace_ids_are_read() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace_id(&format!("00-{trace}-00f067aa0ba902b7-01")), Some(trace));
        assert_eq!(trace_id(&format!("01-{trace}-00f067aa0ba902b7-01-more")), Some(trace));
        for bad in [
            String::new(),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
            format!("00-{trace}-00f067aa0ba902b7-01-more"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
        ] {
            assert_eq!(trace_id(&bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), text in ".{0,80}") {
            grpc_timeout(&bytes);
            trace_id(&text);
            prop_assert!(!is_name(&text) || text.is_ascii());
        }
    }
}
