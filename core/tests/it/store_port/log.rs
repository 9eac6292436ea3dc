//! The log: buckets, their index, and the conversations that were appended to.

use super::{Promises, append, bucket, dedupe, event, id, place, statics, user};
use bytes::Bytes;
use nexus_core::{
    domain::{ClientId, Event, Name, Seq},
    store::{Bucket, Commit, IndexRow, Order, Outcome, Read, Statics, Store},
};
use std::{future::Future, pin::Pin, task::Poll};
use uuid::Uuid;

fn seal(expect: Seq) -> Commit {
    Commit { expect: Some(expect), statics: statics(expect, true), events: Vec::new(), dedupe: Vec::new() }
}

pub async fn applied(store: &dyn Store, bucket: &Bucket, commit: Commit) {
    assert_eq!(store.commit(bucket, commit).await.unwrap(), Outcome::Applied);
}

async fn refused(store: &dyn Store, bucket: &Bucket, commit: Commit) {
    let before = all(store, bucket).await;
    assert_eq!(store.commit(bucket, commit).await.unwrap(), Outcome::Refused);
    assert_eq!(all(store, bucket).await, before);
}

/// What a bucket holds, but for its dedupe rows.
async fn all(store: &dyn Store, bucket: &Bucket) -> (Option<Statics>, Vec<Event>) {
    let statics = store.statics(bucket, Read::Serial).await.unwrap();
    (statics, store.events(bucket, 0, Seq::MAX, Order::Up, usize::MAX).await.unwrap())
}

async fn seqs(store: &dyn Store, bucket: &Bucket) -> Vec<Seq> {
    all(store, bucket).await.1.iter().map(|event| event.seq).collect()
}

pub async fn opens_a_bucket_once(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 1);
    assert_eq!(all(store, &bucket).await, (None, vec![]));
    refused(store, &bucket, append(1, Some(0), 1)).await;
    refused(store, &bucket, append(1, Some(1), 1)).await;
    applied(store, &bucket, append(1, None, 2)).await;
    assert_eq!(all(store, &bucket).await, (Some(statics(2, false)), vec![event(1), event(2)]));
    assert_eq!(store.statics(&bucket, Read::Quorum).await.unwrap(), Some(statics(2, false)));
    refused(store, &bucket, append(1, None, 3)).await;
}

pub async fn appends_only_at_its_end(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 11);
    applied(store, &bucket, append(11, None, 2)).await;
    refused(store, &bucket, append(11, Some(11), 1)).await;
    refused(store, &bucket, append(11, Some(13), 1)).await;
    applied(store, &bucket, append(11, Some(12), 3)).await;
    refused(store, &bucket, append(11, Some(12), 3)).await;
    assert_eq!(seqs(store, &bucket).await, [11, 12, 13, 14, 15]);
}

pub async fn a_closed_bucket_is_closed_for_ever(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 1);
    applied(store, &bucket, append(1, None, 2)).await;
    refused(store, &bucket, seal(1)).await;
    applied(store, &bucket, seal(2)).await;
    assert_eq!(all(store, &bucket).await, (Some(statics(2, true)), vec![event(1), event(2)]));
    refused(store, &bucket, append(1, Some(2), 1)).await;
    refused(store, &bucket, append(1, None, 1)).await;
    refused(store, &bucket, seal(2)).await;
}

pub async fn an_append_may_seal(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 1);
    let mut commit = append(1, None, 2);
    commit.statics.closed = true;
    applied(store, &bucket, commit).await;
    assert_eq!(all(store, &bucket).await, (Some(statics(2, true)), vec![event(1), event(2)]));
    refused(store, &bucket, append(1, Some(2), 1)).await;
}

pub async fn an_empty_bucket_may_be_sealed(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 5);
    let mut commit = append(5, None, 0);
    commit.statics.closed = true;
    applied(store, &bucket, commit).await;
    assert_eq!(all(store, &bucket).await, (Some(statics(4, true)), vec![]));
    refused(store, &bucket, append(5, None, 1)).await;
    refused(store, &bucket, append(5, Some(4), 1)).await;
}

pub async fn a_known_id_refuses_the_whole_batch(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 1);
    let alice = user("alice");
    let mut first = append(1, None, 1);
    first.dedupe = vec![(alice.clone(), id(1), dedupe(1))];
    applied(store, &bucket, first).await;
    let mut second = append(1, Some(1), 2);
    second.dedupe = vec![(alice.clone(), id(2), dedupe(2)), (alice.clone(), id(1), dedupe(3))];
    refused(store, &bucket, second.clone()).await;
    let ids = [(alice.clone(), id(2)), (alice.clone(), id(1))];
    assert_eq!(store.dedupe(&bucket, &ids, Read::Serial).await.unwrap(), [None, Some(dedupe(1))]);
    second.dedupe.pop();
    applied(store, &bucket, second).await;
    assert_eq!(store.dedupe(&bucket, &ids, Read::Quorum).await.unwrap(), [Some(dedupe(2)), Some(dedupe(1))]);
}

/// A store may conclude from `id_max` that an id is new.
pub async fn an_id_is_known_whatever_its_time(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 1);
    let of = |ms: u128, n: u128| ClientId(Uuid::from_u128(ms << 80 | 7 << 76 | 2 << 62 | n));
    let with = |seq: u64, id: ClientId| {
        let mut commit = append(1, (seq > 1).then(|| seq - 1), 1);
        commit.dedupe = vec![(user("alice"), id, dedupe(seq))];
        commit
    };
    let newest = statics(1, false).id_max as u128;
    applied(store, &bucket, with(1, of(newest, 1))).await;
    refused(store, &bucket, with(2, of(newest, 1))).await;
    applied(store, &bucket, with(2, of(newest, 2))).await;
    applied(store, &bucket, with(3, of(newest + 2, 3))).await;
    for (ms, n) in [(newest, 1), (newest, 2), (newest + 2, 3)] {
        refused(store, &bucket, with(4, of(ms, n))).await;
    }
    applied(store, &bucket, with(4, of(newest, 4))).await;
}

pub async fn dedupe_rows_are_of_a_bucket_and_a_user(store: &dyn Store) {
    let (one, two) = (bucket(&place("t", 1), 1), bucket(&place("t", 1), 2));
    // "a" with an id is not a prefix of anything of "ab".
    let users = ["a", "ab", "b"].map(user);
    for (seq, user) in (1..).zip(&users) {
        let mut commit = append(1, (seq > 1).then(|| seq - 1), 1);
        commit.dedupe = vec![(user.clone(), id(9), dedupe(seq))];
        applied(store, &one, commit).await;
    }
    let ids = users.map(|user| (user, id(9)));
    let rows = store.dedupe(&one, &ids, Read::Serial).await.unwrap();
    assert_eq!(rows, [1, 2, 3].map(|seq| Some(dedupe(seq))));
    assert_eq!(store.dedupe(&two, &ids, Read::Serial).await.unwrap(), [None, None, None]);
    assert_eq!(store.dedupe(&one, &[], Read::Quorum).await.unwrap(), []);
}

pub async fn events_come_in_ranges(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 250);
    applied(store, &bucket, append(250, None, 20)).await;
    let all: Vec<Seq> = (250..270).collect();
    let cases: [(Seq, Seq, usize, &[Seq]); 8] = [
        (0, Seq::MAX, usize::MAX, &all),
        (250, 269, 20, &all),
        (0, 251, 10, &all[..2]),
        (255, 257, 10, &all[5..8]),
        (255, 255, 10, &all[5..6]),
        (257, 255, 10, &[]),
        (270, Seq::MAX, 10, &[]),
        (0, Seq::MAX, 0, &[]),
    ];
    for (from, to, limit, expected) in cases {
        let up = store.events(&bucket, from, to, Order::Up, limit).await.unwrap();
        assert_eq!(up, expected.iter().copied().map(event).collect::<Vec<_>>(), "{from}..={to}, {limit}");
        let down = store.events(&bucket, from, to, Order::Down, limit).await.unwrap();
        assert_eq!(down, expected.iter().rev().copied().map(event).collect::<Vec<_>>());
    }
    let seqs = |events: Vec<Event>| events.iter().map(|event| event.seq).collect::<Vec<_>>();
    assert_eq!(seqs(store.events(&bucket, 0, Seq::MAX, Order::Up, 3).await.unwrap()), [250, 251, 252]);
    assert_eq!(seqs(store.events(&bucket, 0, 268, Order::Down, 3).await.unwrap()), [268, 267, 266]);
}

pub async fn an_event_of_the_server_has_no_sender(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 1);
    let mut commit = append(1, None, 2);
    commit.events[1].sender = Name::lowest();
    let events = commit.events.clone();
    applied(store, &bucket, commit).await;
    assert_eq!(all(store, &bucket).await.1, events);
}

pub async fn index_comes_newest_first(store: &dyn Store) {
    let (place, other) = (place("t", 1), place("t", 2));
    for first in [1, 300, 70_000] {
        store.put_index(&place, IndexRow { first, opened_at: first as i64 }).await.unwrap();
    }
    store.put_index(&place, IndexRow { first: 300, opened_at: 300 }).await.unwrap();
    store.put_index(&other, IndexRow { first: 7, opened_at: -7 }).await.unwrap();
    let firsts = async |at_most, limit| {
        let rows = store.index(&place, at_most, limit).await.unwrap();
        assert!(rows.iter().all(|row| row.opened_at == row.first as i64));
        rows.iter().map(|row| row.first).collect::<Vec<_>>()
    };
    assert_eq!(firsts(Seq::MAX, 10).await, [70_000, 300, 1]);
    assert_eq!(firsts(Seq::MAX, 1).await, [70_000]);
    assert_eq!(firsts(300, 10).await, [300, 1]);
    assert_eq!(firsts(299, 10).await, [1]);
    assert_eq!(firsts(0, 10).await, [0; 0]);
    assert_eq!(store.index(&other, Seq::MAX, 9).await.unwrap(), [IndexRow { first: 7, opened_at: -7 }]);
}

pub async fn blanking_keeps_the_envelope(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 1);
    let mut commit = append(1, None, 3);
    commit.statics.closed = true;
    applied(store, &bucket, commit).await;
    for _ in 0..2 {
        store.blank(&bucket, &[3, 1, 9]).await.unwrap();
        let blank = |seq| Event { erased: true, body: Bytes::new(), ..event(seq) };
        assert_eq!(all(store, &bucket).await, (Some(statics(3, true)), vec![blank(1), event(2), blank(3)]));
    }
}

pub async fn dropping_takes_one_bucket_only(store: &dyn Store) {
    let (mine, other) = (place("t", 1), place("t", 2));
    let buckets = [bucket(&mine, 1), bucket(&mine, 2), bucket(&other, 1)];
    let ids = [(user("alice"), id(1))];
    for bucket in &buckets {
        store.put_index(&bucket.place, IndexRow { first: bucket.first, opened_at: 1 }).await.unwrap();
        let mut commit = append(bucket.first, None, 2);
        commit.dedupe = vec![(user("alice"), id(1), dedupe(bucket.first))];
        applied(store, bucket, commit).await;
    }
    for _ in 0..2 {
        store.drop_bucket(&buckets[0]).await.unwrap();
        assert_eq!(all(store, &buckets[0]).await, (None, vec![]));
        assert_eq!(store.dedupe(&buckets[0], &ids, Read::Serial).await.unwrap(), [None]);
        assert_eq!(store.index(&mine, 9, 9).await.unwrap(), [IndexRow { first: 2, opened_at: 1 }]);
        for bucket in &buckets[1..] {
            assert_eq!(seqs(store, bucket).await, [bucket.first, bucket.first + 1]);
            assert_eq!(store.dedupe(bucket, &ids, Read::Serial).await.unwrap(), [Some(dedupe(bucket.first))]);
        }
    }
    store.drop_bucket(&buckets[1]).await.unwrap();
    assert_eq!(store.places(None, 9).await.unwrap(), [other]);
}

pub async fn recent_comes_in_pages(store: &dyn Store) {
    let places = [place("a", 2), place("a", 3), place("ab", 1), place("b", 1)];
    for at in [0, 3, 1, 2, 1] {
        store.put_recent(3, -5, &places[at]).await.unwrap();
    }
    store.put_recent(3, -4, &place("z", 1)).await.unwrap();
    store.put_recent(4, -5, &place("z", 2)).await.unwrap();
    let page = async |after, limit| store.recent(3, -5, after, limit).await.unwrap();
    assert_eq!(page(None, 9).await, places);
    assert_eq!(page(None, 2).await, places[..2]);
    assert_eq!(page(Some(&places[1]), 1).await, places[2..3]);
    let absent = place("a", 4);
    assert_eq!(page(Some(&absent), 9).await, places[2..]);
    assert_eq!(page(Some(&places[3]), 9).await, []);
    assert_eq!(store.recent(3, -4, None, 9).await.unwrap(), [place("z", 1)]);
    assert_eq!(store.recent(3, 5, None, 9).await.unwrap(), []);
}

pub async fn places_come_in_pages(store: &dyn Store, promises: Promises) {
    let mut places = [place("a", 2), place("a", u128::MAX), place("a-b", 1), place("b", 0)];
    for place in places.iter().rev() {
        for first in [1, 2, 3] {
            store.put_index(place, IndexRow { first, opened_at: 1 }).await.unwrap();
        }
    }
    let all = store.places(None, 9).await.unwrap();
    if !promises.places_in_order {
        let mut sorted = all.clone();
        sorted.sort();
        assert_eq!(sorted, places);
        places.clone_from_slice(&all);
    }
    assert_eq!(all, places);
    assert_eq!(store.places(None, 3).await.unwrap(), places[..3]);
    assert_eq!(store.places(Some(&places[1]), 1).await.unwrap(), places[2..3]);
    if promises.places_in_order {
        assert_eq!(store.places(Some(&place("a", 3)), 9).await.unwrap(), places[1..]);
    }
    assert_eq!(store.places(Some(&places[3]), 9).await.unwrap(), []);
    assert_eq!(store.places(None, 0).await.unwrap(), []);
}

pub async fn one_of_many_writers_wins(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 1);
    for round in 0..5 {
        let expect = (round > 0).then_some(round);
        let writers = (0..8).map(|writer| {
            let mut commit = append(1, expect, 1);
            commit.dedupe = vec![(user("alice"), id((round * 100 + writer).into()), dedupe(round + 1))];
            let bucket = &bucket;
            async move { store.commit(bucket, commit).await.unwrap() == Outcome::Applied }
        });
        let won = join_all(writers).await;
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        let ids: Vec<_> = (0..8).map(|writer| (user("alice"), id((round * 100 + writer).into()))).collect();
        let rows = store.dedupe(&bucket, &ids, Read::Serial).await.unwrap();
        assert_eq!(rows.iter().map(Option::is_some).collect::<Vec<_>>(), won);
    }
    assert_eq!(seqs(store, &bucket).await, [1, 2, 3, 4, 5]);
}

pub async fn a_serial_read_settles_what_is_under_way(store: &dyn Store, promises: Promises) {
    for n in 0..20 {
        let bucket = bucket(&place("t", n), 1);
        let commit = async {
            assert_eq!(store.commit(&bucket, append(1, None, 1)).await.unwrap(), Outcome::Applied);
            None
        };
        let read = async { store.statics(&bucket, Read::Serial).await.unwrap() };
        let both: [Pin<Box<dyn Future<Output = Option<Statics>>>>; 2] = [Box::pin(commit), Box::pin(read)];
        let seen = join_all(both.into_iter()).await[1];
        // The commit came first, so what wasn't there could never come.
        if promises.calls_in_order || seen.is_some() {
            assert_eq!(seen, Some(statics(1, false)));
        }
        assert_eq!(store.statics(&bucket, Read::Serial).await.unwrap(), Some(statics(1, false)));
    }
}

pub async fn malformed_batches_are_refused(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 1);
    let mut gap = append(1, None, 3);
    gap.events.remove(1);
    let mut ahead = append(1, None, 3);
    ahead.statics.last_seq = 4;
    let mut twice = append(1, None, 2);
    twice.dedupe = vec![(user("alice"), id(1), dedupe(1)), (user("alice"), id(1), dedupe(2))];
    let mut newer = append(1, None, 1);
    newer.statics.id_max = 0;
    newer.dedupe = vec![(user("alice"), ClientId(Uuid::from_u128(1 << 80 | 7 << 76 | 2 << 62)), dedupe(1))];
    for malformed in [gap, ahead, twice, newer] {
        store.commit(&bucket, malformed).await.unwrap_err();
        assert_eq!(all(store, &bucket).await, (None, vec![]));
    }
}

/// Polls all of them in turn, so that they are under way together, on whatever runtime there is.
async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut outputs: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
            }
        }
        if outputs.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
