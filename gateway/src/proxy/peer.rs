//! Connections to chat nodes: HTTP/2 without TLS, over TCP or a Unix socket.

use crate::{config, routing::Endpoint};
use pingora_core::{
    Result,
    protocols::TcpKeepalive,
    upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, PeerOptions},
};
use std::time::Duration;

/// How to connect.
pub(super) struct Peers {
    options: PeerOptions,
}

impl Peers {
    /// Every value that Pingora would choose otherwise is set here.
    pub(super) fn new(upstream: &config::Upstream, write: Duration) -> Self {
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
        Peers { options }
    }

    /// For one request, whose node may say nothing for this long.
    pub(super) fn peer(&self, endpoint: &Endpoint, silence: Duration) -> Result<Box<HttpPeer>> {
        let mut peer = match endpoint {
            Endpoint::Tcp(address) => HttpPeer::new(*address, false, String::new()),
            Endpoint::Unix(path) => HttpPeer::new_uds(&path.to_string_lossy(), false, String::new())?,
        };
        peer.options = self.options.clone();
        peer.options.read_timeout = Some(silence);
        if matches!(endpoint, Endpoint::Unix(_)) {
            peer.options.tcp_keepalive = None;
        }
        Ok(Box::new(peer))
    }
}
