//! What the store port promises. Each check takes an empty store of any kind.

use bytes::Bytes;
use nexus_core::{
    domain::{ClientId, ConversationId, Event, Kind, Name, Place, Seq},
    store::{
        Bucket, Cell, Commit, Dedupe, IndexRow, Limits, Order, Outcome, Partition, Read, Row, Rows, Statics,
        Store, Sync,
    },
};
use std::{collections::BTreeMap, future::Future, pin::Pin, task::Poll};
use uuid::Uuid;

/// A check and its name.
pub struct Check {
    pub name: &'static str,
    pub run: for<'a> fn(&'a dyn Store, Promises) -> Run<'a>,
}

/// What a store promises beyond what every one does, each where the core doesn't depend on it.
#[derive(Debug, Clone, Copy)]
pub struct Promises {
    /// Of cells with one time the last wins; else the larger value does.
    pub last_of_equals: bool,
    /// A dropped partition of cells forgets their times; else it shadows what is written to it later.
    pub dropping_forgets: bool,
    /// Places come in their own order; else in any that is the same each time.
    pub places_in_order: bool,
    /// A serial read comes after every commit that was called before it; else it may come before one that has no answer
    /// yet.
    pub calls_in_order: bool,
}

impl Promises {
    /// All of them: what a store in one process can promise.
    #[allow(dead_code, reason = "a binary may have no such store")]
    pub const ALL: Self =
        Self { last_of_equals: true, dropping_forgets: true, places_in_order: true, calls_in_order: true };
}

type Run<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! checks {
    ($($name:ident),*; $($by_promise:ident),* $(,)?) => {
        /// All of them.
        pub const CHECKS: &[Check] = &[
            $(Check { name: stringify!($name), run: |store, _| Box::pin($name(store)) },)*
            $(Check { name: stringify!($by_promise), run: |store, promises| Box::pin($by_promise(store, promises)) },)*
        ];
    };
}

checks! {
    opens_a_bucket_once, appends_only_at_its_end, a_closed_bucket_is_closed_for_ever,
    an_append_may_seal, an_empty_bucket_may_be_sealed, a_known_id_refuses_the_whole_batch,
    dedupe_rows_are_of_a_bucket_and_a_user, events_come_in_ranges, index_comes_newest_first,
    blanking_keeps_the_envelope, dropping_takes_one_bucket_only, recent_comes_in_pages,
    rows_come_whole_and_in_order, one_of_many_writers_wins, malformed_batches_are_refused;
    places_come_in_pages, cells_are_won_by_the_greater_time, partitions_are_apart,
    a_serial_read_settles_what_is_under_way,
}

pub fn place(tenant: &str, conversation: u128) -> Place {
    Place { tenant: Name::new(tenant).unwrap(), conversation: ConversationId(Uuid::from_u128(conversation)) }
}

pub fn bucket(place: &Place, first: Seq) -> Bucket {
    Bucket { place: place.clone(), first }
}

pub fn user(name: &str) -> Name {
    Name::new(name).unwrap()
}

pub fn id(n: u128) -> ClientId {
    ClientId(Uuid::from_u128(n))
}

pub fn event(seq: Seq) -> Event {
    Event {
        seq,
        id: seq.is_multiple_of(2).then(|| id(seq.into())),
        sender: user("alice"),
        kind: Kind::MessageSent,
        time_ms: 1_000 + seq as i64,
        target: seq / 3,
        messages: seq,
        erased: false,
        body: Bytes::from(format!("body {seq}")),
    }
}

pub fn statics(last_seq: Seq, closed: bool) -> Statics {
    Statics {
        last_seq,
        closed,
        opened_at: 17,
        last_at: 1_000 + last_seq as i64,
        id_max: 5_000 + last_seq as i64,
        members_at: last_seq / 2,
        messages: last_seq,
        bytes: last_seq * 100,
        limits: Limits::default(),
    }
}

pub fn dedupe(seq: Seq) -> Dedupe {
    Dedupe { seq, time_ms: 1_000 + seq as i64, digest: [seq as u8; 32] }
}

/// An append of `count` events after `expect` in a bucket that begins with `first`.
pub fn append(first: Seq, expect: Option<Seq>, count: u64) -> Commit {
    let last = expect.unwrap_or(first - 1);
    Commit {
        expect,
        statics: statics(last + count, false),
        events: (last + 1..=last + count).map(event).collect(),
        dedupe: Vec::new(),
    }
}

fn seal(expect: Seq) -> Commit {
    Commit { expect: Some(expect), statics: statics(expect, true), events: Vec::new(), dedupe: Vec::new() }
}

async fn applied(store: &dyn Store, bucket: &Bucket, commit: Commit) {
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

async fn opens_a_bucket_once(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 1);
    assert_eq!(all(store, &bucket).await, (None, vec![]));
    refused(store, &bucket, append(1, Some(0), 1)).await;
    refused(store, &bucket, append(1, Some(1), 1)).await;
    applied(store, &bucket, append(1, None, 2)).await;
    assert_eq!(all(store, &bucket).await, (Some(statics(2, false)), vec![event(1), event(2)]));
    assert_eq!(store.statics(&bucket, Read::Quorum).await.unwrap(), Some(statics(2, false)));
    refused(store, &bucket, append(1, None, 3)).await;
}

async fn appends_only_at_its_end(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 11);
    applied(store, &bucket, append(11, None, 2)).await;
    refused(store, &bucket, append(11, Some(11), 1)).await;
    refused(store, &bucket, append(11, Some(13), 1)).await;
    applied(store, &bucket, append(11, Some(12), 3)).await;
    refused(store, &bucket, append(11, Some(12), 3)).await;
    assert_eq!(seqs(store, &bucket).await, [11, 12, 13, 14, 15]);
}

async fn a_closed_bucket_is_closed_for_ever(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 1);
    applied(store, &bucket, append(1, None, 2)).await;
    refused(store, &bucket, seal(1)).await;
    applied(store, &bucket, seal(2)).await;
    assert_eq!(all(store, &bucket).await, (Some(statics(2, true)), vec![event(1), event(2)]));
    refused(store, &bucket, append(1, Some(2), 1)).await;
    refused(store, &bucket, append(1, None, 1)).await;
    refused(store, &bucket, seal(2)).await;
}

async fn an_append_may_seal(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 1);
    let mut commit = append(1, None, 2);
    commit.statics.closed = true;
    applied(store, &bucket, commit).await;
    assert_eq!(all(store, &bucket).await, (Some(statics(2, true)), vec![event(1), event(2)]));
    refused(store, &bucket, append(1, Some(2), 1)).await;
}

async fn an_empty_bucket_may_be_sealed(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 5);
    let mut commit = append(5, None, 0);
    commit.statics.closed = true;
    applied(store, &bucket, commit).await;
    assert_eq!(all(store, &bucket).await, (Some(statics(4, true)), vec![]));
    refused(store, &bucket, append(5, None, 1)).await;
    refused(store, &bucket, append(5, Some(4), 1)).await;
}

async fn a_known_id_refuses_the_whole_batch(store: &dyn Store) {
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

async fn dedupe_rows_are_of_a_bucket_and_a_user(store: &dyn Store) {
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

async fn events_come_in_ranges(store: &dyn Store) {
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

async fn index_comes_newest_first(store: &dyn Store) {
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

async fn blanking_keeps_the_envelope(store: &dyn Store) {
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

async fn dropping_takes_one_bucket_only(store: &dyn Store) {
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

async fn recent_comes_in_pages(store: &dyn Store) {
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

async fn places_come_in_pages(store: &dyn Store, promises: Promises) {
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

pub fn cell(row: &str, column: &str, at: u64, value: Option<&str>) -> Cell {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Cell { row: bytes(row), column: bytes(column), at, value: value.map(bytes) }
}

fn row(key: &str, cells: &[(&str, u64, &str)]) -> Row {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let cells = cells.iter().map(|(column, at, value)| (bytes(column), (*at, bytes(value))));
    Row { key: bytes(key), cells: cells.collect::<BTreeMap<_, _>>() }
}

fn range(from: &str, to: Option<&str>, down: bool, limit: usize) -> Rows {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Rows::Range { from: bytes(from), to: to.map(bytes), down, limit }
}

async fn write(store: &dyn Store, partition: &Partition, cells: &[Cell]) {
    store.write_cells(partition, cells.to_vec(), Sync::Later).await.unwrap();
}

async fn cells_are_won_by_the_greater_time(store: &dyn Store, promises: Promises) {
    let partition = Partition::Reflects(place("t", 1));
    let read = async || store.read_rows(&partition, range("", None, false, 9)).await.unwrap();
    write(store, &partition, &[cell("r", "c", 5, Some("five"))]).await;
    write(store, &partition, &[cell("r", "c", 4, Some("four"))]).await;
    assert_eq!(read().await, [row("r", &[("c", 5, "five")])]);
    write(store, &partition, &[cell("r", "c", 5, Some("again"))]).await;
    let won = if promises.last_of_equals { "again" } else { "five" };
    assert_eq!(read().await, [row("r", &[("c", 5, won)])]);
    write(store, &partition, &[cell("r", "c", 7, None)]).await;
    assert_eq!(read().await, []);
    write(store, &partition, &[cell("r", "c", 6, Some("late"))]).await;
    assert_eq!(read().await, []);
    write(store, &partition, &[cell("r", "c", 8, Some(""))]).await;
    assert_eq!(read().await, [row("r", &[("c", 8, "")])]);
    // Within one call too, whatever the order; and the last of equals.
    let mixed = [("a", 2, "x"), ("a", 1, "y"), ("b", 1, "x"), ("b", 1, "y")];
    let mixed = mixed.map(|(column, at, value)| cell("s", column, at, Some(value)));
    store.write_cells(&partition, mixed.to_vec(), Sync::Now).await.unwrap();
    assert_eq!(read().await[1], row("s", &[("a", 2, "x"), ("b", 1, "y")]));
    write(store, &partition, &[]).await;
}

async fn rows_come_whole_and_in_order(store: &dyn Store) {
    let partition = Partition::Markers(place("t", 1));
    let names = ["", "\0", "\0\u{1}", "a", "a\0", "a\0b", "a\u{1}", "ab", "b"];
    for name in names.iter().rev() {
        write(store, &partition, &[cell(name, "", 1, Some("x")), cell(name, "c", 2, Some(name))]).await;
    }
    write(store, &partition, &[cell("aa", "gone", 1, Some("x")), cell("aa", "gone", 2, None)]).await;
    let whole = |name: &&str| row(name, &[("", 1, "x"), ("c", 2, name)]);
    let rows: Vec<Row> = names.iter().map(whole).collect();
    let cases: [(&str, Option<&str>, &[Row]); 7] = [
        ("", None, &rows),
        ("a", None, &rows[3..]),
        ("a", Some("ab"), &rows[3..7]),
        ("a\0", Some("a\0b"), &rows[4..5]),
        ("aa", Some("aaa"), &[]),
        ("b", Some("a"), &[]),
        ("c", None, &[]),
    ];
    for (from, to, expected) in cases {
        for limit in [0, 1, 2, 100] {
            let up = store.read_rows(&partition, range(from, to, false, limit)).await.unwrap();
            assert_eq!(up, expected.iter().take(limit).cloned().collect::<Vec<_>>(), "{from:?}..{to:?}");
            let down = store.read_rows(&partition, range(from, to, true, limit)).await.unwrap();
            assert_eq!(down, expected.iter().rev().take(limit).cloned().collect::<Vec<_>>());
        }
    }
    let keys = ["b", "aa", "none", "a"].map(|key| Bytes::copy_from_slice(key.as_bytes()));
    let some = store.read_rows(&partition, Rows::Keys(keys.to_vec())).await.unwrap();
    assert_eq!(some, [rows[8].clone(), rows[3].clone()]);
}

async fn partitions_are_apart(store: &dyn Store, promises: Promises) {
    let place = |n| self::place("t", n);
    let view = |n, generation, view, part| Partition::View { place: place(n), generation, view, part };
    let partitions = [
        Partition::Reflects(place(1)),
        Partition::Reflects(place(2)),
        Partition::Markers(place(1)),
        Partition::Directory(user("t")),
        Partition::Directory(user("ta")),
        Partition::Memberships(user("t"), user("a")),
        Partition::Memberships(user("t"), user("ab")),
        Partition::Memberships(user("ta"), user("b")),
        view(1, 0, 0, 0),
        view(1, 1, 0, 0),
        view(1, 0, 1, 0),
        view(1, 0, 0, 1),
        view(2, 0, 0, 0),
    ];
    let value = |n: usize| n.to_string();
    for (n, partition) in partitions.iter().enumerate() {
        write(store, partition, &[cell("r", "c", 1, Some(&value(n)))]).await;
    }
    let all = range("", None, false, 9);
    for (n, partition) in partitions.iter().enumerate() {
        let rows = store.read_rows(partition, all.clone()).await.unwrap();
        assert_eq!(rows, [row("r", &[("c", 1, &value(n))])], "{partition:?}");
    }
    for (n, partition) in partitions.iter().enumerate() {
        store.drop_cells(partition).await.unwrap();
        assert_eq!(store.read_rows(partition, all.clone()).await.unwrap(), []);
        for partition in &partitions[n + 1..] {
            assert_eq!(store.read_rows(partition, all.clone()).await.unwrap().len(), 1, "{partition:?}");
        }
    }
    // A dropped cell's time is forgotten with it, or shadows for ever.
    write(store, &partitions[0], &[cell("r", "c", 0, Some("new"))]).await;
    let new = if promises.dropping_forgets { vec![row("r", &[("c", 0, "new")])] } else { vec![] };
    assert_eq!(store.read_rows(&partitions[0], all).await.unwrap(), new);
}

async fn one_of_many_writers_wins(store: &dyn Store) {
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

async fn a_serial_read_settles_what_is_under_way(store: &dyn Store, promises: Promises) {
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

async fn malformed_batches_are_refused(store: &dyn Store) {
    let bucket = bucket(&place("t", 1), 1);
    let mut gap = append(1, None, 3);
    gap.events.remove(1);
    let mut ahead = append(1, None, 3);
    ahead.statics.last_seq = 4;
    let mut twice = append(1, None, 2);
    twice.dedupe = vec![(user("alice"), id(1), dedupe(1)), (user("alice"), id(1), dedupe(2))];
    for malformed in [gap, ahead, twice] {
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
