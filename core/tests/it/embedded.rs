//! What the embedded store promises beyond the port: locking, formats, limits.

use nexus_core::store::{
    Health, Store,
    embedded::{EmbeddedStore, OpenError, Options},
};
use prometheus::Registry;
use std::path::Path;

/// Opens a store with small limits.
pub fn open(path: &Path) -> EmbeddedStore {
    EmbeddedStore::open(path, Options { cache_bytes: 1 << 20, ..Options::default() }, &Registry::new())
        .unwrap()
}

#[tokio::test]
async fn keeps_the_ports_promises() {
    for check in crate::store_port::CHECKS {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        eprintln!("{}", check.name);
        (check.run)(&store, crate::store_port::Promises::ALL).await;
    }
}

#[tokio::test]
async fn a_second_process_is_told_who_uses_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let second = EmbeddedStore::open(dir.path(), Options::default(), &Registry::new()).err().unwrap();
    assert!(
        matches!(&second, OpenError::InUse { pid, .. } if *pid == std::process::id().to_string()),
        "{second}"
    );
    assert!(second.to_string().starts_with("another nexus process"), "{second}");
    drop(first);
    open(dir.path());
}

#[test]
fn a_format_of_the_future_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    std::fs::write(dir.path().join("format"), "2\n").unwrap();
    let error = EmbeddedStore::open(dir.path(), Options::default(), &Registry::new()).err().unwrap();
    assert!(matches!(error, OpenError::Format { found: 2, .. }), "{error}");
}

#[tokio::test]
async fn an_almost_full_disk_refuses_writes_and_still_reads() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { min_free_bytes: u64::MAX, ..Options::default() };
    let store = EmbeddedStore::open(dir.path(), options, &Registry::new()).unwrap();
    let place = crate::store_port::place("t", 1);
    let error = store.put_recent(0, 0, &place).await.unwrap_err();
    assert!(error.to_string().contains("disk almost full"), "{error}");
    assert!(store.recent(0, 0, None, 10).await.unwrap().is_empty());
    assert!(matches!(store.health().await, Health::ReadOnly(_)));
}
