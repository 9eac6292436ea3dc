//! The store over TLS, on a Cassandra that takes nothing else; which is also set as it must not be in production.

use crate::{
    cql::{open, refused},
    hold::Hold,
};
use nexus_cluster::{
    authority::{Authority, Pair},
    cassandra::{Cassandra, Settings, Tls},
};
use nexus_core::store::{
    Health, Store as _,
    cql::{OpenError, Options},
};
use std::path::Path;

/// A node, and clients whose certificates it knows.
struct World {
    folder: tempfile::TempDir,
    cassandra: Cassandra,
    client: Pair,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let (nodes, clients) = (authority(path, "nodes"), authority(path, "clients"));
        let pair = nodes.sign("node", &["127.0.0.1"]).unwrap();
        let client = clients.sign("client", &["core"]).unwrap();
        authority(path, "strangers");
        std::fs::write(path.join("right"), "cassandra\n").unwrap();
        std::fs::write(path.join("wrong"), "cassandre\n").unwrap();
        let tls = Tls { pair, clients: path.join("clients-ca.pem") };
        let settings = Settings {
            passwords: true,
            tls: Some(tls),
            commitlog_sync: "periodic",
            paxos_variant: "v1",
            ..Settings::default()
        };
        let cassandra = Cassandra::start(settings).await.unwrap();
        Self { folder, cassandra, client }
    }

    /// What it takes.
    fn options(&self) -> Options {
        let file = |name: &str| Some(self.folder.path().join(name));
        Options {
            nodes: self.cassandra.addresses(),
            keyspace: "encrypted".into(),
            replication_factor: 1,
            username: Some("cassandra".into()),
            password_file: file("right"),
            tls: true,
            tls_ca: file("nodes-ca.pem"),
            tls_cert: Some(self.client.certificate.clone()),
            tls_key: Some(self.client.key.clone()),
            connect_timeout_ms: 20_000,
            request_timeout_ms: 20_000,
            connections: 1,
            ..Options::default()
        }
    }
}

fn authority(folder: &Path, name: &str) -> Authority {
    Authority::new(folder, name).unwrap()
}

/// All that can go right and wrong with one such node.
pub async fn encrypted_connections_prove_both_ends() {
    let world = World::start().await;
    let options = world.options();
    assert_eq!(open(options.clone()).await.health().await, Health::Well);
    let file = |name: &str| Some(world.folder.path().join(name));

    let wrong = Options { password_file: file("wrong"), ..options.clone() };
    let error = refused(wrong, true).await;
    assert!(matches!(error, OpenError::LogIn { .. }), "{error}");

    let strangers = Options { tls_ca: file("strangers-ca.pem"), ..options.clone() };
    told(strangers, "no authority of core.cql.tls_ca has signed the certificate").await;

    let nobody = Options { tls_cert: None, tls_key: None, ..options.clone() };
    told(nobody, "check core.cql.tls_cert and core.cql.tls_key").await;

    // The same node at an address that its certificate doesn't name.
    let elsewhere = Hold::open_at("127.0.0.9", world.cassandra.addresses()[0].clone()).await;
    let elsewhere = Options { nodes: vec![elsewhere.address.to_string()], ..options.clone() };
    told(elsewhere, "need their IP addresses as subject alternative names").await;

    let plain = Options { tls: false, tls_ca: None, tls_cert: None, tls_key: None, ..options.clone() };
    let error = refused(plain, true).await;
    assert!(error.to_string().contains("check core.cql.nodes, core.cql.tls"), "{error}");

    let absent = Options { tls_ca: file("absent.pem"), ..options.clone() };
    let error = refused(absent, true).await.to_string();
    assert!(error.starts_with("core.cql.tls_ca ") && error.contains("absent.pem"), "{error}");
    let no_key = Options { tls_key: file("nodes-ca.pem"), ..options.clone() };
    let error = refused(no_key, true).await.to_string();
    assert!(error.contains("there is no private key in PEM in it"), "{error}");

    // How the node is set matters in production, before anything is made there.
    let fresh = Options { keyspace: "production".into(), ..options };
    let error = refused(fresh.clone(), false).await;
    assert!(matches!(error, OpenError::Server { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1 has commitlog_sync: periodic"), "{error}");
    let error = refused(Options { allow_periodic_sync: true, ..fresh }, false).await;
    assert!(matches!(error, OpenError::Replication { .. }), "{error}");
}

/// It is refused, and what to do is said.
pub async fn told(options: Options, what: &str) {
    let error = refused(options, true).await;
    assert!(matches!(error, OpenError::Handshake { .. }), "{error}");
    assert!(error.to_string().contains(what), "{error}");
}
