//! Addresses that nobody uses.

use anyhow::Context as _;
use std::net::TcpListener;

/// As many ports of 127.0.0.1 as asked for, all different. Somebody may take one before it is used.
pub fn free(count: usize) -> anyhow::Result<Vec<u16>> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()
        .context("a free port")?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
