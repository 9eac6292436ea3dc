//! What is not there: methods that come in a later version are UNIMPLEMENTED by name.

use super::status;
use axum::{extract::Request, response::Response};
use tonic::{Status, body::Body};

/// Answers a request that no service took.
pub async fn answer(request: Request) -> Response<Body> {
    let path = request.uri().path().trim_start_matches('/');
    let known = path.split_once('/').is_some_and(|(service, method)| is_described(service, method));
    let method = path.replace('/', ".");
    let status = if known {
        status::later(&method)
    } else {
        Status::unimplemented(format!("there is no method {method:?}"))
    };
    status.into_http()
}

fn is_described(service: &str, method: &str) -> bool {
    nexus_proto::methods().any(|(s, m)| s == service && m == method)
}
