//! What a client speaks.

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web.
    Web,
    /// gRPC-Web with its body in base64.
    WebText,
    /// Anything else: a browser that loads the page, or a stray client.
    Http,
}

impl Protocol {
    /// From a content type, whose suffix (`+proto`) and parameters do not matter.
    pub(crate) fn parse(content_type: &[u8]) -> Self {
        let end =
            content_type.iter().position(|b| matches!(b, b'+' | b';' | b' ')).unwrap_or(content_type.len());
        let essence = content_type[..end].to_ascii_lowercase();
        match essence.as_slice() {
            b"application/grpc" => Protocol::Grpc,
            b"application/grpc-web" => Protocol::Web,
            b"application/grpc-web-text" => Protocol::WebText,
            _ => Protocol::Http,
        }
    }

    pub(crate) fn is_grpc(self) -> bool {
        self != Protocol::Http
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn protocols_are_told_by_content_type() {
        for (content_type, protocol) in [
            ("application/grpc", Protocol::Grpc),
            ("application/grpc+proto", Protocol::Grpc),
            ("application/grpc; charset=utf-8", Protocol::Grpc),
            ("application/grpc-web+proto", Protocol::Web),
            ("Application/gRPC-Web", Protocol::Web),
            ("application/grpc-web-text+proto", Protocol::WebText),
            ("application/grpcx", Protocol::Http),
            ("application/json", Protocol::Http),
            ("", Protocol::Http),
        ] {
            assert_eq!(Protocol::parse(content_type.as_bytes()), protocol, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            Protocol::parse(&bytes);
        }
    }
}
