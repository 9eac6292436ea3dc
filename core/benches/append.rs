//! Rows per second of the embedded store against raw fjall with one fsync per equally sized group, interleaved, and
//! what a read costs on its own thread and in place. `cargo bench -p nexus-core --bench append`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use nexus_core::{
    domain::{ClientId, ConversationId, Event, Kind, Name, Place, Seq},
    store::{
        Bucket, Commit, Dedupe, Limits, Order, Outcome, Read, Statics, Store,
        embedded::{EmbeddedStore, Options},
    },
};
use prometheus::Registry;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
const BODY: [u8; 100] = [b'x'; 100];

/// Appends events one at a time to one conversation, for ever new buckets.
struct Committer {
    bucket: Bucket,
    last: Option<Seq>,
}

impl Committer {
    fn new(n: usize) -> Self {
        let tenant = Name::new("bench").unwrap();
        let place = Place { tenant, conversation: ConversationId(Uuid::from_u128(n as u128)) };
        Self { bucket: Bucket { place, first: 1 }, last: None }
    }

    async fn append(&mut self, store: &EmbeddedStore, rows: u64) {
        let from = self.last.map_or(self.bucket.first, |last| last + 1);
        let last = from + rows - 1;
        let sender = Name::new("alice").unwrap();
        let id =
            |seq: Seq| ClientId(Uuid::from_u64_pair(self.bucket.place.conversation.0.as_u64_pair().1, seq));
        let event = |seq| Event {
            seq,
            id: Some(id(seq)),
            sender: sender.clone(),
            kind: Kind::MessageSent,
            time_ms: 1_700_000_000_000,
            target: 0,
            messages: seq,
            erased: false,
            body: Bytes::from_static(&BODY),
        };
        let dedupe = |seq| Dedupe { seq, time_ms: 1_700_000_000_000, digest: [7; 32] };
        let statics = Statics {
            last_seq: last,
            closed: last - self.bucket.first > 8000,
            opened_at: 1_700_000_000_000,
            last_at: 1_700_000_000_000,
            id_max: 1_700_000_000_000,
            members_at: 1,
            messages: last,
            bytes: last * 100,
            limits: Limits::default(),
        };
        let commit = Commit {
            expect: self.last,
            statics,
            events: (from..=last).map(event).collect(),
            dedupe: (from..=last).map(|seq| (sender.clone(), id(seq), dedupe(seq))).collect(),
        };
        assert_eq!(store.commit(&self.bucket, commit).await.unwrap(), Outcome::Applied);
        self.last = Some(last);
        if statics.closed {
            self.bucket.first = last + 1;
            self.last = None;
        }
    }
}

/// Rows per second of these committers in one round.
async fn store_round(
    store: &Arc<EmbeddedStore>,
    committers: Vec<Committer>,
    rows: u64,
) -> (f64, Vec<Committer>) {
    let start = Instant::now();
    let tasks: Vec<_> = committers
        .into_iter()
        .map(|mut committer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut done = 0;
                while start.elapsed() < ROUND {
                    committer.append(&store, rows).await;
                    done += rows;
                }
                (done, committer)
            })
        })
        .collect();
    let (mut done, mut committers) = (0, Vec::new());
    for task in tasks {
        let (rows, committer) = task.await.unwrap();
        done += rows;
        committers.push(committer);
    }
    (done as f64 / start.elapsed().as_secs_f64(), committers)
}

/// Rows per second of raw fjall in one round: rows of the same size under keys of the same size.
fn raw_round(db: &Database, space: &Keyspace, next: &mut u64, group: usize) -> f64 {
    let start = Instant::now();
    let from = *next;
    while start.elapsed() < ROUND {
        let mut batch = db.batch().durability(Some(PersistMode::SyncData));
        for _ in 0..group {
            let mut key = [0; 40];
            // As spread over the conversations as the store's.
            key[..8].copy_from_slice(&(*next % 64).to_be_bytes());
            key[32..].copy_from_slice(&next.to_be_bytes());
            batch.insert(space, key, [b'x'; 140]);
            *next += 1;
        }
        batch.commit().unwrap();
    }
    (*next - from) as f64 / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Groups so far, and the seconds that they took to be written.
fn groups(registry: &Registry) -> (f64, f64) {
    let families = registry.gather();
    let family = families.iter().find(|family| family.get_name() == "nexus_store_commit_seconds");
    let histogram = family.map(|family| family.get_metric()[0].get_histogram());
    histogram.map_or((0.0, 0.0), |h| (h.get_sample_count() as f64, h.get_sample_sum()))
}

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let store = EmbeddedStore::open(&dir.path().join("store"), Options::default(), &registry).unwrap();
    let store = Arc::new(store);
    let db = Database::builder(dir.path().join("raw")).open().unwrap();
    let space = db.keyspace("rows", KeyspaceCreateOptions::default).unwrap();
    let mut next = 0;

    println!("committers x rows   group   store rows/s   raw rows/s   store/raw   us not writing");
    let mut from = 0;
    for (count, rows) in [(1, 1), (64, 1), (64, 16)] {
        let mut committers: Vec<_> = (from..from + count).map(Committer::new).collect();
        from += count;
        let (mut of_store, mut of_raw, mut deciding, mut group) = (Vec::new(), Vec::new(), Vec::new(), 1.0);
        for _ in 0..ROUNDS {
            let before = groups(&registry);
            let start = Instant::now();
            let (rate, back) = store_round(&store, committers, rows).await;
            committers = back;
            let seconds = start.elapsed().as_secs_f64();
            let after = groups(&registry);
            let count = after.0 - before.0;
            group = rate * seconds / count;
            deciding.push((seconds - after.1 + before.1) * 1e6 / count);
            of_store.push(rate);
            of_raw.push(raw_round(&db, &space, &mut next, (group.round() as usize).max(1)));
        }
        let (of_store, of_raw) = (median(of_store), median(of_raw));
        let (ratio, besides) = (of_store / of_raw, median(deciding));
        println!(
            "{count:>10} x {rows:<4} {group:>9.1} {of_store:>14.0} {of_raw:>12.0} {ratio:>11.2} {besides:>14.0}"
        );
    }
    reads(&store, &space).await;
}

/// What a read costs when what it reads is in memory: as the store does it, and raw fjall in place.
async fn reads(store: &Arc<EmbeddedStore>, space: &Keyspace) {
    const READS: u32 = 50_000;
    let bucket = Committer::new(1).bucket;
    println!();
    println!("read                      readers   us each");
    let tell = |what, readers, start: Instant, reads| {
        let each = start.elapsed().as_secs_f64() * 1e6 / f64::from(reads);
        println!("{what:<24} {readers:>8} {each:>9.1}");
    };
    for readers in [1, 64] {
        let start = Instant::now();
        let tasks: Vec<_> = (0..readers)
            .map(|_| {
                let (store, bucket) = (store.clone(), bucket.clone());
                tokio::spawn(async move {
                    for _ in 0..READS / readers {
                        store.statics(&bucket, Read::Quorum).await.unwrap().unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        tell("statics", readers, start, READS);
    }
    let start = Instant::now();
    for _ in 0..READS / 50 {
        assert_eq!(store.events(&bucket, 1, Seq::MAX, Order::Up, 50).await.unwrap().len(), 50);
    }
    tell("a page of 50 events", 1, start, READS / 50);
    let start = Instant::now();
    for n in 0..READS {
        let mut key = [0; 40];
        key[..8].copy_from_slice(&u64::from(n % 64).to_be_bytes());
        key[32..].copy_from_slice(&u64::from(n % 64).to_be_bytes());
        assert!(space.get(key).unwrap().is_some());
    }
    tell("a row of raw fjall", 1, start, READS);
}
