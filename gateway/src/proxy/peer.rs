//! Connections to chat nodes: HTTP/2, over TCP with certificates on both sides or without, or over a Unix socket.

use crate::{
    config,
    routing::Endpoint,
    tls::{Credentials, Towards},
};
use parking_lot::Mutex;
use pingora_core::{
    Error, ErrorType, Result,
    protocols::{TcpKeepalive, tls::CaType},
    upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, PeerOptions},
    utils::tls::{CertKey, WrappedX509, parse_x509},
};
use std::{sync::Arc, time::Duration};

/// How to connect.
pub(super) struct Peers {
    options: PeerOptions,
    towards: Option<Arc<Towards>>,
    made: Mutex<Option<Made>>,
}

/// Credentials as Pingora takes them, and those that they were made of.
#[derive(Clone)]
struct Made {
    of: Arc<Credentials>,
    pair: Arc<CertKey>,
    authorities: Arc<CaType>,
}

impl Made {
    /// What was read was parsed already, so that Pingora does not panic on it.
    fn new(of: Arc<Credentials>) -> Self {
        let authorities: Vec<WrappedX509> =
            of.authorities.iter().map(|der| WrappedX509::new(der.clone(), parse_x509)).collect();
        let pair = Arc::new(CertKey::new(of.chain.clone(), of.key.clone()));
        Self { of, pair, authorities: authorities.into() }
    }
}

impl Peers {
    /// Every value that Pingora would choose otherwise is set here.
    pub(super) fn new(upstream: &config::Upstream, towards: Option<Arc<Towards>>, write: Duration) -> Self {
        let mut options = PeerOptions::new();
        options.set_http_version(2, 2);
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
        // Its default of 1 makes a connection for every stream.
        options.max_h2_streams = upstream.streams_per_connection;
        options.h2_stream_window_size = Some(upstream.stream_window_bytes);
        options.h2_connection_window_size = Some(upstream.connection_window_bytes);
        options.connection_timeout = Some(Duration::from_millis(upstream.connect_ms));
        options.total_connection_timeout = Some(Duration::from_millis(upstream.connect_ms));
        options.write_timeout = Some(write);
        options.idle_timeout = Some(Duration::from_secs(upstream.idle_s));
        let ping = Duration::from_secs(upstream.ping_s);
        options.h2_ping_interval = Some(ping);
        options.tcp_keepalive = Some(TcpKeepalive {
            idle: ping,
            interval: ping,
            count: 3,
            #[cfg(target_os = "linux")]
            user_timeout: ping * 2,
        });
        Peers { options, towards, made: Mutex::default() }
    }

    fn credentials(&self) -> Result<Made> {
        let missing = || {
            Error::explain(ErrorType::InvalidCert, "gateway.upstream: certificate, key and ca are not set")
        };
        let now = self.towards.as_ref().ok_or_else(missing)?.now();
        let mut made = self.made.lock();
        match &*made {
            Some(made) if Arc::ptr_eq(&made.of, &now) => Ok(made.clone()),
            _ => Ok(made.insert(Made::new(now)).clone()),
        }
    }

    /// For one request, whose node may say nothing for this long.
    pub(super) fn peer(&self, endpoint: &Endpoint, silence: Duration) -> Result<Box<HttpPeer>> {
        let mut peer = match endpoint {
            Endpoint::Tcp { at, name } => {
                HttpPeer::new(*at, name.is_some(), name.clone().unwrap_or_default())
            }
            Endpoint::Unix(path) => HttpPeer::new_uds(&path.to_string_lossy(), false, String::new())?,
        };
        peer.options = self.options.clone();
        peer.options.read_timeout = Some(silence);
        match endpoint {
            Endpoint::Unix(_) => peer.options.tcp_keepalive = None,
            Endpoint::Tcp { name: Some(_), .. } => {
                let made = self.credentials()?;
                peer.client_cert_key = Some(made.pair);
                peer.options.ca = Some(made.authorities);
            }
            Endpoint::Tcp { name: None, .. } => {}
        }
        Ok(Box::new(peer))
    }
}
