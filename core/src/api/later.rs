//! What is not there: methods that come in a later version are UNIMPLEMENTED by name.

use super::status;
use axum::{extract::Request, middleware::Next, response::Response};
use tonic::{Status, body::Body};

/// What generated code says of a method that a service has not.
const STUB: &str = "Not yet implemented";

/// Names the methods that come later of services that are there.
pub async fn by_name(request: Request, next: Next) -> axum::response::Response {
    let uri = request.uri().clone();
    let response = next.run(request).await;
    let is_stub = response.extensions().get::<Status>().is_some_and(|status| status.message() == STUB);
    if is_stub { said(uri.path()).into_http() } else { response }
}

/// Answers a request that no service took.
pub async fn answer(request: Request) -> Response<Body> {
    said(request.uri().path()).into_http()
}

fn said(path: &str) -> Status {
    let path = path.trim_start_matches('/');
    let known = path.split_once('/').is_some_and(|(service, method)| is_described(service, method));
    let method = path.replace('/', ".");
    if known {
        status::later(&method)
    } else {
        Status::unimplemented(format!("there is no method {method:?}"))
    }
}

fn is_described(service: &str, method: &str) -> bool {
    nexus_proto::methods().any(|(s, m)| s == service && m == method)
}
