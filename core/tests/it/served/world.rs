//! A node on a folder of its own, with a clock that stands still until it is moved, and people who call it.

use nexus_core::{
    clock::Clock,
    config::Config,
    domain::Name,
    node::{Node, Outside},
};
use rand::{SeedableRng as _, rngs::StdRng};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::SeqCst},
};
use tempfile::TempDir;
use tonic::{
    Request,
    transport::{Channel, Endpoint},
};

/// A clock that stands still until it is moved.
pub struct Still(AtomicI64);

impl Clock for Still {
    fn now_ms(&self) -> i64 {
        self.0.load(SeqCst)
    }
}

const NOON: i64 = 1_790_000_000_000;

/// A node that is served.
pub struct World {
    pub channel: Channel,
    node: Node,
    _folder: TempDir,
}

impl World {
    /// A node with the default settings, in development mode.
    pub async fn new() -> Self {
        let (folder, clock) = (TempDir::new().unwrap(), Arc::new(Still(AtomicI64::new(NOON))));
        let mut config = <Config as confique::Config>::builder().load().unwrap();
        config.data = folder.path().join("data");
        config.socket = folder.path().join("core.sock");
        config.admin = "off".into();
        let tokens = Arc::new(|_: &Name, user: &Name, _: &Name| Ok((user.to_string(), NOON)));
        let outside = Outside { clock, chance: StdRng::seed_from_u64(1), tokens: Some(tokens) };
        let node = Node::start(&config, outside).await.unwrap();
        let endpoint = Endpoint::new(format!("unix://{}", config.socket.display())).unwrap();
        let channel = endpoint.connect().await.unwrap();
        Self { channel, node, _folder: folder }
    }

    /// Ends the node in good order.
    pub async fn shutdown(self) {
        drop(self.channel);
        self.node.shutdown().await;
    }
}

/// A request as the edge passes it on.
pub fn by<T>(user: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    for (header, value) in [("nexus-tenant", "default"), ("nexus-user", user), ("nexus-device", "phone")] {
        request.metadata_mut().insert(header, value.parse().unwrap());
    }
    request
}
