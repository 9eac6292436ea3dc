//! Sockets bound before anything starts, so that a busy port is known at once and port 0 has a number.

use pingora_core::{
    listeners::{L4BufferSettings, ListenerConfig, TcpSocketOptions},
    protocols::TcpKeepalive,
    server::{Fds, ListenFds},
};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::IntoRawFd,
    sync::Arc,
    time::Duration,
};

/// A socket that listens.
pub(crate) struct Bound {
    listener: TcpListener,
    pub address: SocketAddr,
}

/// Binds now; the system queues connections until Pingora takes over.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Bound> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok(Bound { listener, address })
}

impl Bound {
    /// For servers other than Pingora.
    pub(crate) fn into_std(self) -> TcpListener {
        self.listener
    }

    /// Hands the socket to Pingora, through the table by which it takes over sockets of a process before it.
    pub(super) fn give(self, table: &ListenFds, user_timeout: Duration) -> ListenerConfig {
        let name = self.address.to_string();
        table.lock().add(name.clone(), self.listener.into_raw_fd());
        let mut options = TcpSocketOptions::default();
        // There is no HTTP/2 PING to clients: a client that vanished is found out by TCP.
        options.tcp_keepalive = Some(TcpKeepalive {
            idle: user_timeout,
            interval: Duration::from_secs(10),
            count: 3,
            #[cfg(target_os = "linux")]
            user_timeout,
        });
        // No buffers below TLS: 16 KiB less for every connection.
        ListenerConfig::tcp(name).tcp_socket_options(options).l4_buffer(L4BufferSettings::new(0, 0))
    }
}

/// An empty table.
pub(super) fn table() -> ListenFds {
    Arc::new(parking_lot::Mutex::new(Fds::new()))
}
