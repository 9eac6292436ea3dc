//! What the store port promises. Each check takes an empty store of any kind.
//!
//! - [`log`]: of buckets. [`cells`]: of everything else. - here: the list, and what checks and tests are made of.

mod cells;
mod log;

use bytes::Bytes;
use cells::*;
use log::*;
use nexus_core::{
    domain::{ClientId, ConversationId, Event, Kind, Name, Place, Seq},
    store::{Bucket, Commit, Dedupe, Floor, Limits, Statics, Store},
};
use std::{future::Future, pin::Pin};
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
    an_id_is_known_whatever_its_time, dedupe_rows_are_of_a_bucket_and_a_user, events_come_in_ranges,
    an_event_of_the_server_has_no_sender, index_comes_newest_first,
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
        floor: Floor { seq: last_seq / 3, id_max: last_seq as i64 - 9, messages: last_seq / 4 },
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
