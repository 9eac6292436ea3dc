//! Who calls. The edge has checked the token and says so in request headers; the core believes them, because it
//! listens where only an edge can reach it (a Unix socket of mode 0600, or mutual TLS).

pub use crate::domain::Caller;
use crate::domain::Name;
use tonic::{Request, Status, metadata::MetadataMap};

/// Header: the tenant of the caller.
pub const TENANT: &str = "nexus-tenant";
/// Header: the user.
pub const USER: &str = "nexus-user";
/// Header: the device.
pub const DEVICE: &str = "nexus-device";
/// Header: when the caller's token expires, Unix milliseconds. Absent: never.
pub const TOKEN_EXPIRES: &str = "nexus-token-expires";

/// Who sent a request. UNAUTHENTICATED if the edge didn't say, or said something that is no name.
pub fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let headers = request.metadata();
    Ok(Caller { tenant: name(headers, TENANT)?, user: name(headers, USER)?, device: name(headers, DEVICE)? })
}

/// When the caller's token expires, Unix milliseconds. UNAUTHENTICATED if the header is no number.
pub fn token_expires<T>(request: &Request<T>) -> Result<Option<i64>, Status> {
    let Some(value) = request.metadata().get(TOKEN_EXPIRES) else { return Ok(None) };
    let time = value.to_str().ok().and_then(|text| text.parse().ok());
    time.map(Some)
        .ok_or_else(|| Status::unauthenticated(format!("header {TOKEN_EXPIRES}: not a Unix time in ms")))
}

fn name(headers: &MetadataMap, header: &'static str) -> Result<Name, Status> {
    let value = headers.get(header).ok_or_else(|| {
        Status::unauthenticated(format!(
            "header {header} is missing: send requests through the edge, with a token"
        ))
    })?;
    let text = value.to_str().map_err(|_| Status::unauthenticated(format!("header {header}: not ASCII")))?;
    Name::new(text).map_err(|wrong| Status::unauthenticated(format!("header {header}: {wrong}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::new(());
        for (name, value) in headers {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        request
    }

    #[test]
    fn the_edges_word_is_taken() {
        let request = request(&[
            (TENANT, "default"),
            (USER, "ann"),
            (DEVICE, "phone-1"),
            (TOKEN_EXPIRES, "1700000000000"),
        ]);
        let caller = caller(&request).unwrap();
        assert_eq!(
            (caller.tenant.as_str(), caller.user.as_str(), caller.device.as_str()),
            ("default", "ann", "phone-1")
        );
        assert_eq!(token_expires(&request).unwrap(), Some(1_700_000_000_000));
    }

    #[test]
    fn without_it_nobody_is_known() {
        let cases: [&[(&'static str, &str)]; 3] = [
            &[],
            &[(TENANT, "default"), (USER, "ann")],
            &[(TENANT, "default"), (USER, "ann smith"), (DEVICE, "phone")],
        ];
        for headers in cases {
            assert_eq!(caller(&request(headers)).unwrap_err().code(), tonic::Code::Unauthenticated);
        }
        let wrong = request(&[(TOKEN_EXPIRES, "soon")]);
        assert_eq!(token_expires(&wrong).unwrap_err().code(), tonic::Code::Unauthenticated);
    }
}
