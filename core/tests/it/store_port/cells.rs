//! Everything that is not the log: rows of cells.

use super::{Promises, place, user};
use bytes::Bytes;
use nexus_core::{
    domain::Name,
    store::{Cell, Partition, Row, Rows, Store, Sync},
};
use std::collections::BTreeMap;

fn cell(row: &str, column: &str, at: u64, value: Option<&str>) -> Cell {
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

pub async fn cells_are_won_by_the_greater_time(store: &dyn Store, promises: Promises) {
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

pub async fn rows_come_whole_and_in_order(store: &dyn Store) {
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

pub async fn partitions_are_apart(store: &dyn Store, promises: Promises) {
    let place = |n| self::place("t", n);
    let view = |n, generation, view, part| Partition::View { place: place(n), generation, view, part };
    let partitions = [
        Partition::Reflects(place(1)),
        Partition::Reflects(place(2)),
        Partition::Markers(place(1)),
        Partition::Directory(user("t")),
        Partition::Directory(user("ta")),
        Partition::Retention(user("t")),
        Partition::Retention(user("ta")),
        Partition::Retention(Name::lowest()),
        Partition::Account(user("t"), user("a")),
        Partition::Account(user("t"), user("ab")),
        Partition::Account(user("ta"), user("b")),
        Partition::Conversations(user("t"), 0),
        Partition::Conversations(user("t"), 1),
        Partition::Conversations(user("ta"), 0),
        Partition::Received(user("t"), user("a")),
        Partition::Received(user("t"), user("ab")),
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
