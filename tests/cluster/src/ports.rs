//! Addresses that nobody uses.

use anyhow::Context as _;
use std::{
    net::TcpListener,
    ops::Range,
    process,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

/// Below those that Linux gives to outgoing connections, one of which would have taken a port before its server starts.
const PORTS: Range<u16> = 10_000..32_768;

/// One port, as `free` gives them.
pub fn one() -> anyhow::Result<u16> {
    free(1).map(|ports| ports[0])
}

/// As many ports of 127.0.0.1 as asked for, none of which this process was given before.
pub fn free(count: usize) -> anyhow::Result<Vec<u16>> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that run beside each other begin far from each other.
    let begin = process::id().wrapping_mul(97) % PORTS.len() as u32;
    let at = |step: u16| PORTS.start + ((begin + u32::from(step)) % PORTS.len() as u32) as u16;
    let unused = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let found: Vec<u16> =
        (0..PORTS.len()).map(|_| at(NEXT.fetch_add(1, Relaxed))).filter(unused).take(count).collect();
    (found.len() == count).then_some(found).context("no port is free below 32768")
}
