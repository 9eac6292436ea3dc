//! How a gRPC status looks to each kind of client.

use super::{decision::Facts, protocol::Protocol};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The first byte of the frame that carries trailers in a gRPC-Web body.
const TRAILER_FRAME: u8 = 0x80;

/// UNAVAILABLE, with when to try again.
pub(crate) fn unavailable(message: &str, retry: Duration) -> Status {
    Status::with_error_details(Code::Unavailable, message, ErrorDetails::with_retry_info(Some(retry)))
}

/// RESOURCE_EXHAUSTED, with when to try again.
pub(crate) fn exhausted(message: String, retry: Duration) -> Status {
    Status::with_error_details(Code::ResourceExhausted, message, ErrorDetails::with_retry_info(Some(retry)))
}

/// A whole answer. For gRPC and gRPC-Web it is "trailers-only": HTTP status 200 and the status in the header.
pub(crate) fn render(status: &Status, facts: &Facts) -> Response<Bytes> {
    if !facts.protocol.is_grpc() {
        return plain(status);
    }
    let mut response = status.clone().into_http();
    if let (Protocol::Web | Protocol::WebText, Some(content_type)) = (facts.protocol, &facts.content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
    }
    response
}

fn plain(status: &Status) -> Response<Bytes> {
    let code = match status.code() {
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = Response::new(Bytes::from(format!("{}\n", status.message())));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
    if let Some(delay) = retry {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(delay.as_secs_f64().ceil() as u64));
    }
    response
}

/// A status as trailers.
pub(crate) fn trailers(status: &Status) -> HeaderMap {
    let mut headers = status.clone().into_http::<()>().into_parts().0.headers;
    headers.remove(header::CONTENT_TYPE);
    headers
}

/// A status as the last frame of a gRPC-Web body that has begun.
pub(crate) fn trailer_frame(status: &Status, protocol: Protocol) -> Bytes {
    let mut block = BytesMut::new();
    for (name, value) in &trailers(status) {
        block.put_slice(name.as_str().as_bytes());
        block.put_slice(b":");
        block.put_slice(value.as_bytes());
        block.put_slice(b"\r\n");
    }
    let mut frame = BytesMut::with_capacity(block.len() + 5);
    frame.put_u8(TRAILER_FRAME);
    frame.put_u32(block.len() as u32);
    frame.put_slice(&block);
    match protocol {
        Protocol::WebText => STANDARD.encode(&frame).into(),
        _ => frame.freeze(),
    }
}

/// The grpc-status in a chunk of a gRPC-Web body, if it is its last frame and stands in one chunk, as chat
/// nodes send it. For the log; nothing depends on it.
pub(crate) fn trailer_status(chunk: &[u8], protocol: Protocol) -> Option<u16> {
    let decoded;
    let frame = match protocol {
        Protocol::Web => chunk,
        Protocol::WebText => {
            decoded = STANDARD.decode(chunk).ok()?;
            &decoded
        }
        _ => return None,
    };
    let (first, rest) = frame.split_first()?;
    let (length, block) = rest.split_first_chunk::<4>()?;
    if *first != TRAILER_FRAME || u32::from_be_bytes(*length) as usize != block.len() {
        return None;
    }
    let text = std::str::from_utf8(block).ok()?;
    text.split("\r\n").find_map(|line| line.strip_prefix("grpc-status:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    fn facts(content_type: &'static str) -> Facts {
        let protocol = Protocol::parse(content_type.as_bytes());
        let content_type = Some(HeaderValue::from_static(content_type));
        Facts { content_type, ..Facts::new([127, 0, 0, 1].into(), protocol) }
    }

    #[test]
    fn a_status_is_trailers_only_for_grpc_and_plain_for_the_rest() {
        let status = exhausted("slow down: 5/s".into(), Duration::from_millis(1_200));
        let response = render(&status, &facts("application/grpc"));
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], "8");
        assert!(response.headers().contains_key("grpc-status-details-bin"));
        let response = render(&status, &facts("application/grpc-web-text"));
        assert_eq!(response.headers()["content-type"], "application/grpc-web-text");
        let response = render(&status, &facts("text/html"));
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.body(), "slow down: 5/s\n");
    }

    #[test]
    fn the_last_frame_of_a_body_is_read_back() {
        let status = unavailable("gone", Duration::from_secs(1));
        for protocol in [Protocol::Web, Protocol::WebText] {
            let frame = trailer_frame(&status, protocol);
            assert_eq!(trailer_status(&frame, protocol), Some(14));
        }
        assert_eq!(trailer_status(&[0x80, 0, 0, 0, 9, b'x'], Protocol::Web), None);
    }

    proptest! {
        #[test]
        fn any_chunk_is_read_without_a_panic(chunk in prop::collection::vec(any::<u8>(), 0..64)) {
            trailer_status(&chunk, Protocol::Web);
            trailer_status(&chunk, Protocol::WebText);
        }
    }
}
