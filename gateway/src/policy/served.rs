//! Lets through what we serve, and says what is wrong with the rest.

use super::{decision::Reply, gate::Check, head::RequestHead, method::MethodPath, protocol::Protocol};
use crate::config::Mode;
use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use tonic::Status;

/// Packages that a chat node serves.
const PACKAGES: &[&str] = &["nexus.v1", "grpc.health.v1"];
/// Packages that it serves in development only.
const DEVELOPMENT_PACKAGES: &[&str] = &["grpc.reflection.v1", "grpc.reflection.v1alpha"];
/// Services that it serves in development only.
const DEVELOPMENT_SERVICES: &[&str] = &["nexus.v1.DevelopmentService"];
/// Services that need no token.
const PUBLIC_SERVICES: &[&str] = &["grpc.health.v1.Health", "nexus.v1.DevelopmentService"];

/// Methods of those that it does not serve to clients: each would hold a place for as long as anybody likes,
/// without a token. Clients of the health protocol know that a server may lack it.
const NOT_HERE: &[&str] = &["/grpc.health.v1.Health/Watch"];

/// The layer's check.
pub(crate) struct Served {
    mode: Mode,
}

impl Served {
    pub(crate) fn new(mode: Mode) -> Self {
        Served { mode }
    }
}

/// Whether a method that is served may be called without a token.
pub(crate) fn is_public(path: &str) -> bool {
    MethodPath::parse(path).is_some_and(|method| {
        PUBLIC_SERVICES.contains(&method.service) || DEVELOPMENT_PACKAGES.contains(&method.package)
    })
}

impl Check for Served {
    fn check(&self, head: &mut RequestHead) -> Result<(), Reply> {
        let method = MethodPath::parse(&head.path);
        if !head.facts.protocol.is_grpc() {
            return Err(Reply::http(not_grpc(method.is_some() && head.method == Method::POST)));
        }
        if head.method != Method::POST {
            return Err(Reply::Status(Status::unimplemented("gRPC calls are POST requests")));
        }
        if head.facts.protocol == Protocol::Grpc && !head.http2 {
            return Err(Reply::Status(Status::unimplemented(
                "gRPC needs HTTP/2; over HTTP/1.1 send gRPC-Web (content-type application/grpc-web+proto)",
            )));
        }
        let development = self.mode == Mode::Development;
        let known = method.filter(|method| {
            let package = PACKAGES.contains(&method.package)
                || (development && DEVELOPMENT_PACKAGES.contains(&method.package));
            let here = !NOT_HERE.contains(&head.path.as_str());
            here && package && (development || !DEVELOPMENT_SERVICES.contains(&method.service))
        });
        match known {
            Some(_) => Ok(()),
            None => Err(Reply::Status(Status::unimplemented(
                "no such method here; the services are those of package nexus.v1",
            ))),
        }
    }
}

fn not_grpc(looks_like_a_call: bool) -> Response<Bytes> {
    let (status, text) = if looks_like_a_call {
        (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send content-type application/grpc or application/grpc-web+proto\n",
        )
    } else {
        (StatusCode::NOT_FOUND, "nothing here\n")
    };
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
