//! Requests over HTTP/1.1, as Pingora hands them on. It is given no peer: the edge forwards by itself.

use super::http1::Http1;
use crate::forward::{Asked, Forwarder};
use async_trait::async_trait;
use http::Version;
use pingora_core::{Error, ErrorType, Result, upstreams::peer::HttpPeer};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

/// For reading the rest of a request's body that nobody wants.
const DRAIN: Duration = Duration::from_secs(2);

/// Every request, on every connection.
pub(super) struct Edge {
    pub forwarder: Arc<Forwarder>,
}

fn asked(session: &Session) -> Asked {
    let request = session.req_header();
    let peer = session.client_addr().and_then(|peer| peer.as_inet()).map(|peer| peer.ip());
    Asked {
        method: request.method.clone(),
        uri: request.uri.clone(),
        headers: request.headers.clone(),
        peer: peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        secure: session.digest().is_some_and(|digest| digest.ssl_digest.is_some()),
        http2: request.version == Version::HTTP_2,
    }
}

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<bool> {
        session.set_write_timeout(Some(self.forwarder.write_timeout()));
        session.set_total_drain_timeout(Some(DRAIN));
        let asked = asked(session);
        let mut client = Http1::new(session);
        self.forwarder.carry(&mut client, Box::new(asked)).await;
        if client.broken {
            return Err(Error::explain(ErrorType::InternalError, "an answer was broken off").into_down());
        }
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Err(Error::explain(ErrorType::InternalError, "the edge forwards by itself").into_in())
    }

    // There is nobody to be told.
    async fn fail_to_proxy(&self, _: &mut Session, _: &Error, (): &mut ()) -> FailToProxy {
        FailToProxy { error_code: 0, can_reuse_downstream: false }
    }

    // Whatever happened stands in the request's own line; a client that leaves is no error.
    fn suppress_error_log(&self, _: &Session, (): &(), _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, (): &(), _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}
