//! Random sequences of operations, with the database closed and opened in between, give what the model gives.

use crate::{
    embedded::open,
    memory::MemoryStore,
    store_port::{append, bucket, dedupe, id, place, user},
};
use nexus_core::{
    domain::{Place, Seq},
    store::{Bucket, Cell, IndexRow, Order, Partition, Read, Rows, Store, StoreError, Sync},
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::time::Duration;

/// A step; small ranges, so that steps meet.
#[derive(Debug, Clone)]
enum Step {
    PutIndex(Place, IndexRow),
    /// After the log's end plus this much (`None`: as the first), so many events, sealing, ids.
    Commit {
        bucket: Bucket,
        off: Option<u64>,
        count: u64,
        closed: bool,
        ids: Vec<(&'static str, u64)>,
    },
    Blank(Bucket, Vec<Seq>),
    DropBucket(Bucket),
    PutRecent(u16, i64, Place),
    WriteCells(Partition, Vec<Cell>),
    DropCells(Partition),
    Index(Place, Seq, usize),
    Events(Bucket, Seq, Seq, bool, usize),
    Recent(u16, i64, Option<Place>, usize),
    Rows(Partition, Rows),
    Places(Option<Place>, usize),
    Reopen,
}

fn places() -> impl Strategy<Value = Place> {
    select(vec![place("a", 1), place("a", 2), place("a-", 1), place("b", u128::MAX)])
}

fn buckets() -> impl Strategy<Value = Bucket> {
    select(vec![bucket(&place("a", 1), 1), bucket(&place("a", 1), 2), bucket(&place("a-", 1), 1)])
}

fn commits() -> impl Strategy<Value = Step> {
    let ids = vec((select(vec!["x", "y"]), 0..12u64), 0..3);
    let off = prop_oneof![8 => Just(Some(0)), 1 => Just(Some(1)), 3 => Just(None)];
    let closed = proptest::bool::weighted(0.05);
    (buckets(), off, 0..4u64, closed, ids).prop_map(|(bucket, off, count, closed, ids)| Step::Commit {
        bucket,
        off,
        count,
        closed,
        ids,
    })
}

fn partitions() -> impl Strategy<Value = Partition> {
    let view = |(place, generation, part)| Partition::View { place, generation, view: 1, part };
    prop_oneof![
        places().prop_map(Partition::Reflects),
        (places(), 0..2u32, 0..2u64).prop_map(view),
        select(vec!["a", "ab"]).prop_map(|name| Partition::Memberships(user("t"), user(name))),
        select(vec!["a", "ab"]).prop_map(|name| Partition::Received(user("t"), user(name))),
        places().prop_map(Partition::Markers),
        select(vec!["t", "ta"]).prop_map(|name| Partition::Directory(user(name))),
        (select(vec!["t", "ta"]), 0..2u8).prop_map(|(name, part)| Partition::Conversations(user(name), part)),
    ]
}

fn row_keys() -> impl Strategy<Value = bytes::Bytes> {
    vec(select(vec![0u8, 1, 97, 255]), 0..3).prop_map(bytes::Bytes::from)
}

fn cells() -> impl Strategy<Value = Cell> {
    (row_keys(), row_keys(), 0..5u64, option::weighted(0.7, row_keys()))
        .prop_map(|(row, column, at, value)| Cell { row, column, at, value })
}

fn rows() -> impl Strategy<Value = Rows> {
    let range = (row_keys(), option::of(row_keys()), any::<bool>(), 0..9usize)
        .prop_map(|(from, to, down, limit)| Rows::Range { from, to, down, limit });
    prop_oneof![vec(row_keys(), 0..4).prop_map(Rows::Keys), range]
}

fn steps() -> impl Strategy<Value = Step> {
    let index = (places(), 1..6u64, any::<i64>());
    prop_oneof![
        2 => index.prop_map(|(place, first, opened_at)| Step::PutIndex(place, IndexRow { first, opened_at })),
        8 => commits(),
        2 => (buckets(), vec(0..12u64, 0..4)).prop_map(|(bucket, seqs)| Step::Blank(bucket, seqs)),
        1 => buckets().prop_map(Step::DropBucket),
        2 => (0..2u16, -1..2i64, places()).prop_map(|(lane, minute, place)| Step::PutRecent(lane, minute, place)),
        6 => (partitions(), vec(cells(), 0..5)).prop_map(|(partition, cells)| Step::WriteCells(partition, cells)),
        1 => partitions().prop_map(Step::DropCells),
        1 => (places(), 0..7u64, 0..4usize).prop_map(|(place, at_most, limit)| Step::Index(place, at_most, limit)),
        4 => (buckets(), 0..12u64, 0..12u64, any::<bool>(), 0..9usize)
            .prop_map(|(bucket, from, to, down, limit)| Step::Events(bucket, from, to, down, limit)),
        1 => (0..2u16, -1..2i64, option::of(places()), 0..4usize)
            .prop_map(|(lane, minute, after, limit)| Step::Recent(lane, minute, after, limit)),
        4 => (partitions(), rows()).prop_map(|(partition, rows)| Step::Rows(partition, rows)),
        1 => (option::of(places()), 0..5usize).prop_map(|(after, limit)| Step::Places(after, limit)),
        1 => Just(Step::Reopen),
    ]
}

/// What a step came to, as text; an error as such.
async fn run(store: &dyn Store, step: Step) -> Option<String> {
    fn text<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Option<String> {
        result.ok().map(|value| format!("{value:?}"))
    }
    match step {
        Step::PutIndex(place, row) => text(store.put_index(&place, row).await),
        Step::Commit { bucket, off, count, closed, ids } => {
            let before = store.statics(&bucket, Read::Serial).await.unwrap();
            let last = before.map_or(bucket.first, |statics| statics.last_seq);
            let mut commit = append(bucket.first, off.map(|off| last + off), count);
            commit.statics.closed = closed;
            let rows = ids.iter().map(|(name, n)| (user(name), id((*n).into()), dedupe(*n)));
            commit.dedupe = rows.collect();
            let ids: Vec<_> = ids.iter().map(|(name, n)| (user(name), id((*n).into()))).collect();
            let outcome = store.commit(&bucket, commit).await;
            let statics = store.statics(&bucket, Read::Serial).await;
            text(Ok((outcome.ok(), statics.ok(), store.dedupe(&bucket, &ids, Read::Quorum).await.ok())))
        }
        Step::Blank(bucket, seqs) => text(store.blank(&bucket, &seqs).await),
        Step::DropBucket(bucket) => text(store.drop_bucket(&bucket).await),
        Step::PutRecent(lane, minute, place) => text(store.put_recent(lane, minute, &place).await),
        Step::WriteCells(partition, cells) => text(store.write_cells(&partition, cells, Sync::Later).await),
        Step::DropCells(partition) => text(store.drop_cells(&partition).await),
        Step::Index(place, at_most, limit) => text(store.index(&place, at_most, limit).await),
        Step::Events(bucket, from, to, down, limit) => {
            let order = if down { Order::Down } else { Order::Up };
            text(store.events(&bucket, from, to, order, limit).await)
        }
        Step::Recent(lane, minute, after, limit) => {
            text(store.recent(lane, minute, after.as_ref(), limit).await)
        }
        Step::Rows(partition, rows) => text(store.read_rows(&partition, rows).await),
        Step::Places(after, limit) => text(store.places(after.as_ref(), limit).await),
        Step::Reopen => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_the_model(steps in vec(steps(), 0..100)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (dir, model) = (tempfile::tempdir().unwrap(), MemoryStore::new(0, Duration::ZERO));
            let mut store = open(dir.path());
            for step in steps {
                if matches!(step, Step::Reopen) {
                    drop(store);
                    store = open(dir.path());
                    continue;
                }
                let expected = run(&model, step.clone()).await;
                let got = run(&store, step.clone()).await;
                prop_assert_eq!(got, expected, "{:?}", step);
            }
            Ok(())
        })?;
    }
}
