//! An example of everything that is stored, committed. When a test here fails, what is already stored can't be read
//! any more, or not by the version before: don't change the file, but the code, or [`super::files::FORMAT`].

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{journal::Mark, keys, values};
use crate::{
    domain::{ClientId, ConversationId, Event, Kind, Name, Place},
    store::{Bucket, Dedupe, Floor, Limits, Partition, Statics},
};
use std::collections::BTreeMap;
use uuid::Uuid;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn place() -> Place {
    Place { tenant: name("default"), conversation: ConversationId(Uuid::from_u128(0x11 << 120 | 0x22)) }
}

fn id() -> ClientId {
    ClientId(Uuid::from_u128(0x33 << 120 | 0x44))
}

fn statics() -> Statics {
    Statics {
        last_seq: 1,
        closed: true,
        opened_at: 2,
        last_at: 3,
        id_max: 4,
        members_at: 5,
        messages: 6,
        bytes: 7,
        limits: Limits { window_ms: 8, events: 9, bytes: 10 },
        floor: Floor::default(),
    }
}

fn trimmed() -> Statics {
    Statics { floor: Floor { seq: 11, id_max: 12, messages: 13 }, ..statics() }
}

fn dedupe() -> Dedupe {
    Dedupe { seq: 1, time_ms: 2, digest: [3; 32] }
}

fn event(erased: bool) -> Event {
    Event {
        seq: 300,
        id: (!erased).then(id),
        sender: name("alice"),
        kind: Kind(21),
        time_ms: 1,
        target: 2,
        messages: 3,
        erased,
        body: if erased { "".into() } else { "body".into() },
    }
}

const MARK: Mark = Mark { number: 1, synced: 2 };

fn golden() -> BTreeMap<String, String> {
    serde_json::from_str(include_str!("../../../tests/golden/stored.json")).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn stored(name: &str) -> Vec<u8> {
    let text = &golden()[name];
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn everything_is_stored_as_before() {
    let bucket = Bucket { place: place(), first: 258 };
    let view = Partition::View { place: place(), generation: 1, view: 2, part: 3 };
    let user = name("alice");
    let stored = [
        ("key of an index row", keys::index(&place(), 258)),
        ("key of static columns", keys::bucket(&bucket)),
        ("key of an event", keys::event(&bucket, 300)),
        ("key of a dedupe row", keys::dedupe(&bucket, &user, id())),
        ("key of a recent conversation", keys::recent(63, -2, &place())),
        ("key of reflects", keys::partition(&Partition::Reflects(place()))),
        ("key of a view", keys::partition(&view)),
        ("key of memberships", keys::partition(&Partition::Memberships(name("default"), user.clone()))),
        ("key of an account", keys::partition(&Partition::Account(name("default"), user))),
        ("key of markers", keys::partition(&Partition::Markers(place()))),
        ("key of a directory", keys::partition(&Partition::Directory(name("default")))),
        ("key of retention", keys::partition(&Partition::Retention(name("default")))),
        ("key of a tenant's conversations", keys::partition(&Partition::Conversations(name("default"), 9))),
        ("key of received", keys::partition(&Partition::Received(name("default"), name("alice")))),
        ("key of a row", keys::row(b"p", b"a\0b")),
        ("index row", values::encode_index(-1)),
        ("static columns", values::encode_statics(&statics())),
        ("static columns of a trimmed log", values::encode_statics(&trimmed())),
        ("dedupe row", values::encode_dedupe(&dedupe())),
        ("event", values::encode_event(&event(false))),
        ("erased event", values::encode_event(&event(true))),
        (
            "event of the server",
            values::encode_event(&Event { sender: Name::lowest(), id: None, ..event(false) }),
        ),
        ("cell", values::encode_cell(1, Some("value".into()))),
        ("empty cell", values::encode_cell(1, Some("".into()))),
        ("deleted cell", values::encode_cell(1, None)),
        ("mark of a group", MARK.encode(&[7; 16])),
    ];
    let stored: BTreeMap<_, _> = stored.map(|(name, bytes)| (name.to_owned(), hex(&bytes))).into();
    assert_eq!(stored, golden(), "{}", serde_json::to_string_pretty(&stored).unwrap());
}

#[test]
fn everything_that_is_stored_is_read() {
    assert_eq!(values::decode_index(&stored("index row")).unwrap(), -1);
    assert_eq!(values::decode_statics(&stored("static columns")).unwrap(), statics());
    let of_trimmed = stored("static columns of a trimmed log");
    assert_eq!(values::decode_statics(&of_trimmed).unwrap(), trimmed());
    let system = Event { sender: Name::lowest(), id: None, ..event(false) };
    assert_eq!(values::decode_event(300, &stored("event of the server")).unwrap(), system);
    assert_eq!(values::decode_dedupe(&stored("dedupe row")).unwrap(), dedupe());
    assert_eq!(values::decode_event(300, &stored("event")).unwrap(), event(false));
    assert_eq!(values::decode_event(300, &stored("erased event")).unwrap(), event(true));
    assert_eq!(values::decode_cell(&stored("cell")).unwrap(), (1, Some("value".into())));
    assert_eq!(values::decode_cell(&stored("empty cell")).unwrap(), (1, Some("".into())));
    assert_eq!(values::decode_cell(&stored("deleted cell")).unwrap(), (1, None));
    assert_eq!(Mark::decode(&[7; 16], &stored("mark of a group")), Some(MARK));
    assert_eq!(keys::parse_last_number(&stored("key of an event")).unwrap(), 300);
    assert_eq!(keys::parse_place(&stored("key of an index row")).unwrap(), place());
    assert_eq!(keys::parse_cell(&stored("key of a row")[1..]).unwrap(), (b"a\0b".to_vec(), &b""[..]));
}
