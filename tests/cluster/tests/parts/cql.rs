//! The store in Cassandra: what the port promises, and what can go wrong between the two.
//!
//! One node serves all trials, each in a keyspace of its own. A trial that stops the node has it to itself.

use crate::{
    encrypted::{encrypted_connections_prove_both_ends, told},
    hold::Hold,
    store_port::{CHECKS, Promises, append, bucket, dedupe, id, place, user},
};
use libtest_mimic::{Failed, Trial};
use nexus_cluster::cassandra::{self, Cassandra, Settings};
use nexus_core::store::{
    Bucket, Cell, Health, Order, Outcome, Partition, Read, Rows, Store as _, StoreError, Sync,
    cql::{CqlStore, OpenError, Options, Scope},
};
use prometheus::Registry;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Runtime, sync::RwLock};

/// What Cassandra can't promise, by its nature.
const PROMISES: Promises = Promises {
    last_of_equals: false,
    dropping_forgets: false,
    places_in_order: false,
    calls_in_order: false,
};

/// In which the trials that wait for a timeout have it.
const SHORT: u64 = 1500;

/// The node, once somebody needs it.
#[derive(Clone, Default)]
pub struct Parts(Arc<Shared>);

#[derive(Default)]
struct Shared {
    runtime: std::sync::OnceLock<Runtime>,
    node: RwLock<Option<Node>>,
    keyspaces: AtomicU32,
}

struct Node {
    cassandra: Cassandra,
    folder: tempfile::TempDir,
}

impl Parts {
    fn runtime(&self) -> &Runtime {
        self.0.runtime.get_or_init(|| Runtime::new().unwrap())
    }

    /// Ends what was started.
    pub fn end(self) {
        if self.0.runtime.get().is_some() {
            self.runtime().block_on(async { drop(self.0.node.write().await.take()) });
        }
    }

    async fn start(&self) {
        let mut node = self.0.node.write().await;
        if node.is_none() {
            let settings = Settings { passwords: true, ..Settings::default() };
            let cassandra = Cassandra::start(settings).await.unwrap();
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("right"), "cassandra\n").unwrap();
            std::fs::write(folder.path().join("wrong"), "cassandre\n").unwrap();
            *node = Some(Node { cassandra, folder });
        }
    }

    /// Options for a keyspace that nobody has.
    fn options(&self, node: &Node) -> Options {
        Options {
            nodes: node.cassandra.addresses(),
            keyspace: format!("test_{}", self.0.keyspaces.fetch_add(1, Ordering::Relaxed)),
            replication_factor: 1,
            username: Some("cassandra".into()),
            password_file: Some(node.folder.path().join("right")),
            // The machine may be busy; nothing waits for it but what is meant to.
            connect_timeout_ms: 20_000,
            request_timeout_ms: 20_000,
            connections: 1,
            ..Options::default()
        }
    }
}

pub async fn open(options: Options) -> CqlStore {
    CqlStore::connect(options, true, &Registry::new()).await.unwrap()
}

pub async fn refused(options: Options, development: bool) -> OpenError {
    CqlStore::connect(options, development, &Registry::new()).await.err().expect("it opened")
}

/// Every trial, or every one as ignored.
pub fn trials(parts: &Parts) -> Vec<Trial> {
    let missing = cassandra::missing();
    let mut trials = Vec::new();
    let mut add = |name: &str, run: Box<dyn FnOnce(&Parts) + Send>| {
        let parts = parts.clone();
        let name = match &missing {
            None => format!("cql::{name}"),
            Some(why) => format!("cql::{name} ({why})"),
        };
        let trial = Trial::test(name, move || {
            run(&parts);
            Ok::<(), Failed>(())
        });
        trials.push(trial.with_ignored_flag(missing.is_some()));
    };
    for check in CHECKS {
        let run = move |parts: &Parts| {
            parts.runtime().block_on(async {
                parts.start().await;
                let node = parts.0.node.read().await;
                let store = open(parts.options(node.as_ref().unwrap())).await;
                (check.run)(&store, PROMISES).await;
            });
        };
        add(check.name, Box::new(run));
    }
    macro_rules! shared {
        ($($name:ident),* $(,)?) => {$(
            add(stringify!($name), Box::new(|parts: &Parts| parts.runtime().block_on(async {
                parts.start().await;
                let node = parts.0.node.read().await;
                let node = node.as_ref().unwrap();
                $name(node, parts.options(node)).await;
            })));
        )*};
    }
    shared! {
        a_held_back_append_loses_against_a_seal, a_held_back_append_may_still_come,
        an_id_twice_never_reaches_the_database, four_nodes_make_one_schema, a_schema_of_the_future_is_refused, an_older_schema_is_migrated,
        few_replicas_are_refused_in_production, a_time_to_live_is_refused, another_scope_is_refused,
        a_wrong_password_is_told, no_database_is_told, a_database_without_tls_is_told, wide_reads_come_in_pages, a_full_bucket_fits_into_one_batch,
        health_and_metrics_are_told,
    }
    add(
        "a_stopped_node_leaves_it_unknown",
        Box::new(|parts: &Parts| {
            parts.runtime().block_on(async {
                parts.start().await;
                let node = parts.0.node.write().await;
                let node = node.as_ref().unwrap();
                a_stopped_node_leaves_it_unknown(node, parts.options(node)).await;
            })
        }),
    );
    add(
        "encrypted_connections_prove_both_ends",
        Box::new(|parts: &Parts| parts.runtime().block_on(encrypted_connections_prove_both_ends())),
    );
    add(
        "the_loss_of_one_node_of_three_loses_nothing",
        Box::new(|parts: &Parts| parts.runtime().block_on(the_loss_of_one_node_of_three_loses_nothing())),
    );
    trials
}

async fn applied(store: &CqlStore, bucket: &Bucket, expect: Option<u64>, count: u64) {
    let outcome = store.commit(bucket, append(bucket.first, expect, count)).await.unwrap();
    assert_eq!(outcome, Outcome::Applied);
}

async fn last(store: &CqlStore, bucket: &Bucket) -> Option<(u64, bool)> {
    store.statics(bucket, Read::Serial).await.unwrap().map(|statics| (statics.last_seq, statics.closed))
}

async fn seqs(store: &CqlStore, bucket: &Bucket) -> Vec<u64> {
    let events = store.events(bucket, 0, u64::MAX, Order::Up, usize::MAX).await.unwrap();
    events.iter().map(|event| event.seq).collect()
}

/// A store whose requests can be held back.
async fn held(node: &Node, options: &Options) -> (Hold, CqlStore) {
    let hold = Hold::open(node.cassandra.addresses()[0].clone()).await;
    let through =
        Options { nodes: vec![hold.address.to_string()], request_timeout_ms: SHORT, ..options.clone() };
    let slow = open(through).await;
    (hold, slow)
}

async fn a_held_back_append_loses_against_a_seal(node: &Node, options: Options) {
    let store = open(options.clone()).await;
    let (hold, slow) = held(node, &options).await;
    let bucket = bucket(&place("t", 1), 1);
    applied(&store, &bucket, None, 2).await;
    hold.hold();
    let mut late = append(1, Some(2), 1);
    late.dedupe = vec![(user("alice"), id(1), dedupe(3))];
    let error = slow.commit(&bucket, late).await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown(_)), "{error}");
    let mut seal = append(1, Some(2), 0);
    seal.statics.closed = true;
    assert_eq!(store.commit(&bucket, seal).await.unwrap(), Outcome::Applied);
    hold.release();
    // It arrives somewhere in this second, and finds the bucket closed.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(last(&store, &bucket).await, Some((2, true)));
    assert_eq!(seqs(&store, &bucket).await, [1, 2]);
    let row = store.dedupe(&bucket, &[(user("alice"), id(1))], Read::Serial).await.unwrap();
    assert_eq!(row, [None]);
}

async fn a_held_back_append_may_still_come(node: &Node, options: Options) {
    let store = open(options.clone()).await;
    let (hold, slow) = held(node, &options).await;
    let bucket = bucket(&place("t", 1), 1);
    applied(&store, &bucket, None, 1).await;
    hold.hold();
    let error = slow.commit(&bucket, append(1, Some(1), 2)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown(_)), "{error}");
    assert_eq!(last(&store, &bucket).await, Some((1, false)));
    hold.release();
    while last(&store, &bucket).await != Some((3, false)) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(seqs(&store, &bucket).await, [1, 2, 3]);
}

async fn a_stopped_node_leaves_it_unknown(node: &Node, options: Options) {
    let options = Options { request_timeout_ms: SHORT, ..options };
    let patient = open(Options { request_timeout_ms: 20_000, ..options.clone() }).await;
    let store = open(options).await;
    let bucket = bucket(&place("t", 1), 1);
    applied(&patient, &bucket, None, 1).await;
    let began = tokio::time::Instant::now();
    node.cassandra.pause(0).unwrap();
    let commit = store.commit(&bucket, append(1, Some(1), 2)).await;
    let read = store.statics(&bucket, Read::Serial).await;
    let health = store.health().await;
    node.cassandra.resume(0).unwrap();
    assert!(matches!(commit, Err(StoreError::Unknown(_))), "{commit:?}");
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    assert!(matches!(health, Health::Failed(_)), "{health:?}");
    assert!(began.elapsed() < Duration::from_millis(4 * SHORT), "calls are bounded");
    // Its connections may count as broken by now.
    while patient.health().await != Health::Well {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Whatever became of it: after a serial read it stays, and the log goes on from there.
    let (seq, _) = last(&patient, &bucket).await.unwrap();
    assert!(seq == 1 || seq == 3, "{seq}");
    let next = patient.commit(&bucket, append(1, Some(seq), 1)).await.unwrap();
    let (end, _) = last(&patient, &bucket).await.unwrap();
    match next {
        Outcome::Applied => assert_eq!(end, seq + 1),
        // It came after the read.
        Outcome::Refused => assert_eq!(end, 3),
    }
    assert_eq!(seqs(&patient, &bucket).await, (1..=end).collect::<Vec<_>>());
}

async fn an_id_twice_never_reaches_the_database(_: &Node, options: Options) {
    let store = open(options).await;
    let bucket = bucket(&place("t", 1), 1);
    let mut twice = append(1, None, 2);
    twice.dedupe = vec![(user("alice"), id(1), dedupe(1)), (user("alice"), id(1), dedupe(2))];
    let error = store.commit(&bucket, twice).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert_eq!(last(&store, &bucket).await, None);
    assert_eq!(seqs(&store, &bucket).await, [0; 0]);
}

async fn four_nodes_make_one_schema(_: &Node, options: Options) {
    let four = [(); 4].map(|()| tokio::spawn(open(options.clone())));
    let mut stores = Vec::new();
    for store in four {
        stores.push(store.await.unwrap());
    }
    let bucket = bucket(&place("t", 1), 1);
    for (n, store) in (0..).zip(&stores) {
        applied(store, &bucket, (n > 0).then_some(n), 1).await;
    }
    for store in &stores {
        assert_eq!(seqs(store, &bucket).await, [1, 2, 3, 4]);
    }
}

/// What an administrator types.
async fn type_in(options: &Options, text: &str) {
    let session = scylla::client::session_builder::SessionBuilder::new()
        .known_nodes(&options.nodes)
        .user("cassandra", "cassandra")
        .build()
        .await
        .unwrap();
    session.query_unpaged(text, ()).await.unwrap();
}

async fn a_schema_of_the_future_is_refused(_: &Node, options: Options) {
    drop(open(options.clone()).await);
    let keyspace = &options.keyspace;
    type_in(&options, &format!("UPDATE {keyspace}.schema_version SET version = 99 WHERE id = 0 IF EXISTS"))
        .await;
    let error = refused(options, true).await;
    assert!(matches!(error, OpenError::Future { found: 99, .. }), "{error}");
}

async fn an_older_schema_is_migrated(_: &Node, options: Options) {
    drop(open(options.clone()).await);
    let keyspace = &options.keyspace;
    // As the first version made it.
    type_in(&options, &format!("ALTER TABLE {keyspace}.log DROP floor")).await;
    type_in(&options, &format!("UPDATE {keyspace}.schema_version SET version = 1 WHERE id = 0 IF EXISTS"))
        .await;
    let two = [(); 2].map(|()| tokio::spawn(open(options.clone())));
    let mut stores = Vec::new();
    for store in two {
        stores.push(store.await.unwrap());
    }
    let bucket = bucket(&place("t", 1), 1);
    assert_eq!(stores[0].commit(&bucket, append(1, None, 12)).await.unwrap(), Outcome::Applied);
    let floor = stores[1].statics(&bucket, Read::Quorum).await.unwrap().unwrap().floor;
    assert_eq!((floor.seq, floor.messages), (4, 3));
}

async fn few_replicas_are_refused_in_production(_: &Node, options: Options) {
    // One that would be made, and one that is there.
    for _ in 0..2 {
        let error = refused(options.clone(), false).await;
        assert!(matches!(error, OpenError::Replication { replicas: 1, .. }), "{error}");
        drop(open(options.clone()).await);
    }
}

async fn a_time_to_live_is_refused(_: &Node, options: Options) {
    drop(open(options.clone()).await);
    let keyspace = &options.keyspace;
    type_in(&options, &format!("ALTER TABLE {keyspace}.log WITH default_time_to_live = 86400")).await;
    let error = refused(options, true).await;
    assert!(matches!(error, OpenError::Lifetime { seconds: 86400, .. }), "{error}");
}

async fn another_scope_is_refused(_: &Node, options: Options) {
    drop(open(options.clone()).await);
    let local = Options { scope: Scope::Local, local_dc: Some("datacenter1".into()), ..options };
    let error = refused(local, true).await;
    assert!(matches!(error, OpenError::Scope { .. }), "{error}");
}

async fn a_wrong_password_is_told(node: &Node, options: Options) {
    let wrong = Options { password_file: Some(node.folder.path().join("wrong")), ..options.clone() };
    let error = refused(wrong, true).await;
    assert!(matches!(error, OpenError::LogIn { .. }), "{error}");
    assert!(!error.to_string().contains("cassandre"), "{error}");
    let nobody = Options { username: None, password_file: None, ..options.clone() };
    let error = refused(nobody, true).await;
    assert!(matches!(error, OpenError::LogIn { .. }), "{error}");
    let absent = Options { password_file: Some(node.folder.path().join("absent")), ..options };
    let error = refused(absent, true).await;
    assert!(matches!(error, OpenError::Password { .. }), "{error}");
}

async fn no_database_is_told(_: &Node, options: Options) {
    let error = refused(Options { nodes: vec!["127.0.0.1:1".into()], ..options }, true).await;
    assert!(matches!(error, OpenError::Connect { .. }), "{error}");
}

async fn a_database_without_tls_is_told(_: &Node, options: Options) {
    told(Options { tls: true, ..options }, "the database doesn't speak TLS").await;
}

async fn wide_reads_come_in_pages(_: &Node, options: Options) {
    let store = open(options).await;
    let bucket = bucket(&place("t", 1), 1);
    let ids = |from: u64, to: u64| (from..=to).map(|seq| (user("alice"), id(u128::from(seq))));
    for from in (0..2500).step_by(500) {
        let mut commit = append(1, (from > 0).then_some(from), 500);
        let rows = (from + 1..).zip(ids(from + 1, from + 500));
        commit.dedupe = rows.map(|(seq, (user, id))| (user, id, dedupe(seq))).collect();
        assert_eq!(store.commit(&bucket, commit).await.unwrap(), Outcome::Applied);
    }
    assert_eq!(seqs(&store, &bucket).await, (1..=2500).collect::<Vec<_>>());
    let down = store.events(&bucket, 0, u64::MAX, Order::Down, 1500).await.unwrap();
    assert_eq!(
        down.iter().map(|event| event.seq).collect::<Vec<_>>(),
        (1001..=2500).rev().collect::<Vec<_>>()
    );
    let asked: Vec<_> = ids(1, 250).collect();
    let rows = store.dedupe(&bucket, &asked, Read::Serial).await.unwrap();
    assert_eq!(rows, (1..=250).map(|seq| Some(dedupe(seq))).collect::<Vec<_>>());
    let seqs: Vec<u64> = (1..=250).collect();
    store.blank(&bucket, &seqs).await.unwrap();
    let blank = store.events(&bucket, 0, 251, Order::Up, 999).await.unwrap();
    assert_eq!(blank.iter().filter(|event| event.erased).count(), 250);

    let partition = Partition::Markers(place("t", 1));
    let cell = |n: u64| Cell {
        row: n.div_euclid(2).to_be_bytes().to_vec().into(),
        column: vec![n as u8 % 2].into(),
        at: n,
        value: Some(vec![7; 300].into()),
    };
    store.write_cells(&partition, (0..3000).map(cell).collect(), Sync::Now).await.unwrap();
    let range = |down, limit| Rows::Range { from: vec![].into(), to: None, down, limit };
    for (down, limit, expected) in
        [(false, 9999, 1500), (true, 9999, 1500), (false, 700, 700), (true, 700, 700)]
    {
        let rows = store.read_rows(&partition, range(down, limit)).await.unwrap();
        assert_eq!(rows.len(), expected);
        assert!(rows.iter().all(|row| row.cells.len() == 2));
    }
}

async fn a_full_bucket_fits_into_one_batch(_: &Node, options: Options) {
    let store = open(options).await;
    let bucket = bucket(&place("t", 1), 1);
    let mut full = append(1, None, 128);
    for event in &mut full.events {
        event.body = vec![9; 32 << 10].into();
    }
    full.statics.closed = true;
    assert_eq!(store.commit(&bucket, full.clone()).await.unwrap(), Outcome::Applied);
    assert_eq!(store.events(&bucket, 0, 999, Order::Up, 999).await.unwrap(), full.events);
}

/// How long three nodes may take to agree on who is there.
const PATIENCE: Duration = Duration::from_secs(180);

/// As in production: three replicas, and whoever is asked answers for two.
async fn the_loss_of_one_node_of_three_loses_nothing() {
    let mut cassandra = Cassandra::start(Settings { nodes: 3, ..Settings::default() }).await.unwrap();
    let options = Options { nodes: cassandra.addresses(), request_timeout_ms: 4000, ..Options::default() };
    let store = CqlStore::connect(options.clone(), false, &Registry::new()).await.unwrap();
    let buckets: Vec<Bucket> = (1..=8).map(|n| bucket(&place("t", n), 1)).collect();
    for bucket in &buckets {
        applied(&store, bucket, None, 1).await;
    }
    let mut acknowledged = vec![1; buckets.len()];
    let begun = tokio::time::Instant::now();
    cassandra.kill(1).await.unwrap();
    for round in 0..60 {
        if round == 30 {
            cassandra.start_node(1).await.unwrap();
            cassandra.pause(2).unwrap();
        }
        for (bucket, known) in buckets.iter().zip(&mut acknowledged) {
            match store.commit(bucket, append(1, Some(*known), 1)).await {
                Ok(Outcome::Applied) => *known += 1,
                Ok(Outcome::Refused) => panic!("nobody else writes, and what is unknown is settled"),
                // Until a serial read answers, nothing is known.
                Err(_) => loop {
                    match store.statics(bucket, Read::Serial).await {
                        Ok(statics) => break *known = statics.unwrap().last_seq,
                        // The stopped node, until its connections count as broken; and nodes take a while until they
                        // believe that one has come back.
                        Err(StoreError::Unavailable(_)) if begun.elapsed() < PATIENCE => {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                        Err(error) => panic!("{error}"),
                    }
                },
            }
        }
    }
    cassandra.resume(2).unwrap();
    for (bucket, known) in buckets.iter().zip(&acknowledged) {
        assert!(*known > 30, "{known}");
        assert_eq!(seqs(&store, bucket).await, (1..=*known).collect::<Vec<_>>());
    }
}

async fn health_and_metrics_are_told(_: &Node, options: Options) {
    let registry = Registry::new();
    let store = CqlStore::connect(options, true, &registry).await.unwrap();
    assert_eq!(store.health().await, Health::Well);
    applied(&store, &bucket(&place("t", 1), 1), None, 1).await;
    let families = registry.gather();
    let value = |name: &str| {
        let family = families.iter().find(|family| family.get_name() == name);
        let metric = &family.unwrap_or_else(|| panic!("no {name}")).get_metric()[0];
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    };
    assert_eq!(value("nexus_cql_commits_total"), 1.0);
    assert!(value("nexus_cql_connections") >= 1.0);
    assert_eq!(value("nexus_cql_driver_timeouts_total"), 0.0);
}
