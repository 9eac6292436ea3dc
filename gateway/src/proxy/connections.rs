//! How many connections there may be, in all and from one address.

use crate::{config::Limits, metrics::Metrics};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// What a connection is counted as before it is known what it speaks.
const HANDSHAKE: &str = "handshake";

/// The open connections of one edge.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Inner>);

struct Inner {
    open: AtomicUsize,
    by_address: Mutex<HashMap<u128, usize>>,
    limit: usize,
    limit_per_address: usize,
    empty: Notify,
    metrics: Metrics,
}

/// One open connection, until it is dropped.
pub(super) struct Connection {
    all: Connections,
    key: u128,
    protocol: &'static str,
}

impl Connections {
    pub(super) fn new(limits: &Limits, metrics: Metrics) -> Self {
        Connections(Arc::new(Inner {
            open: AtomicUsize::new(0),
            by_address: Mutex::default(),
            limit: limits.connections,
            limit_per_address: limits.connections_per_address,
            empty: Notify::new(),
            metrics,
        }))
    }

    /// Room for one more, or the reason why there is none.
    pub(super) fn enter(&self, peer: IpAddr) -> Result<Connection, &'static str> {
        let inner = &self.0;
        let key = match peer.to_canonical() {
            IpAddr::V4(v4) => u128::from(u32::from(v4)),
            // Whoever has one address has its whole /64.
            IpAddr::V6(v6) => u128::from(v6) >> 64 << 64,
        };
        {
            let mut by_address = inner.by_address.lock();
            let of_address = by_address.entry(key).or_insert(0);
            if *of_address >= inner.limit_per_address {
                return Err("address_limit");
            }
            if inner.open.load(Ordering::Relaxed) >= inner.limit {
                if *of_address == 0 {
                    by_address.remove(&key);
                }
                return Err("limit");
            }
            *of_address += 1;
            inner.open.fetch_add(1, Ordering::Relaxed);
        }
        inner.metrics.connections.with_label_values(&[HANDSHAKE]).inc();
        Ok(Connection { all: self.clone(), key, protocol: HANDSHAKE })
    }

    pub(super) fn refused(&self, reason: &str) {
        self.0.metrics.connections_refused.with_label_values(&[reason]).inc();
    }

    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Waits until none is open.
    pub(crate) async fn closed(&self) {
        loop {
            let empty = self.0.empty.notified();
            if self.open() == 0 {
                return;
            }
            empty.await;
        }
    }
}

impl Connection {
    /// Notes what it speaks, now that this is known.
    pub(super) fn speaks(&mut self, protocol: &'static str) {
        let connections = &self.all.0.metrics.connections;
        connections.with_label_values(&[self.protocol]).dec();
        connections.with_label_values(&[protocol]).inc();
        self.protocol = protocol;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let inner = &self.all.0;
        {
            let mut by_address = inner.by_address.lock();
            if let Some(of_address) = by_address.get_mut(&self.key) {
                *of_address -= 1;
                if *of_address == 0 {
                    by_address.remove(&self.key);
                }
            }
            inner.open.fetch_sub(1, Ordering::Relaxed);
        }
        inner.metrics.connections.with_label_values(&[self.protocol]).dec();
        if self.all.open() == 0 {
            inner.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use confique::Config as _;

    #[test]
    fn both_limits_hold_and_give_back() {
        let mut limits = crate::Config::builder().load().unwrap().limits;
        (limits.connections, limits.connections_per_address) = (3, 2);
        let all = Connections::new(&limits, Metrics::new(&prometheus::Registry::new()).unwrap());
        let (a, b): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let same_64: IpAddr = "2001:db8::2".parse().unwrap();
        let first = all.enter(a).unwrap();
        let _second = all.enter(same_64).unwrap();
        assert_eq!(all.enter(a).err(), Some("address_limit"));
        let third = all.enter(b).unwrap();
        assert_eq!(all.enter(b).err(), Some("limit"));
        drop(first);
        assert!(all.enter(a).is_ok());
        drop(third);
        assert_eq!(all.open(), 1);
        assert_eq!(all.0.by_address.lock().len(), 1);
    }
}
