//! Keys: order-preserving, so that a range of rows is a range of keys.
//!
//! Names end with a zero byte, which no name contains. Numbers are big-endian; signed ones with their sign flipped.
//! The key of a row of cells is escaped (0 becomes 0 255) and ends with 0 1, so that rows sort as their keys do
//! whatever columns follow. All of it is stored: golden files hold an example of each.

use crate::{
    domain::{ClientId, ConversationId, Name, Place, Seq, User},
    store::{Bucket, Partition, StoreError},
};
use uuid::Uuid;

const NAME_END: u8 = 0;
const ROW_END: [u8; 2] = [0, 1];
const ESCAPED_ZERO: [u8; 2] = [0, 255];

/// A key as it is put together.
#[derive(Default)]
struct Key(Vec<u8>);

impl Key {
    fn name(mut self, name: &Name) -> Self {
        self.0.extend_from_slice(name.as_str().as_bytes());
        self.0.push(NAME_END);
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn number(self, n: u64) -> Self {
        self.bytes(&n.to_be_bytes())
    }

    fn place(self, place: &Place) -> Self {
        self.name(&place.tenant).bytes(place.conversation.0.as_bytes())
    }

    fn bucket(self, bucket: &Bucket) -> Self {
        self.place(&bucket.place).number(bucket.first)
    }
}

/// Prefix of a conversation's rows.
pub fn place(place: &Place) -> Vec<u8> {
    Key::default().place(place).0
}

/// A row of the index.
pub fn index(place: &Place, first: Seq) -> Vec<u8> {
    Key::default().place(place).number(first).0
}

/// A bucket's static columns, and the prefix of its other rows.
pub fn bucket(bucket: &Bucket) -> Vec<u8> {
    Key::default().bucket(bucket).0
}

/// An event.
pub fn event(bucket: &Bucket, seq: Seq) -> Vec<u8> {
    Key::default().bucket(bucket).number(seq).0
}

/// A dedupe row.
pub fn dedupe(bucket: &Bucket, user: &User, id: ClientId) -> Vec<u8> {
    Key::default().bucket(bucket).name(user).bytes(id.0.as_bytes()).0
}

/// Prefix of a minute of a lane.
pub fn minute(lane: u16, minute: i64) -> Vec<u8> {
    Key::default().bytes(&lane.to_be_bytes()).number(minute as u64 ^ (1 << 63)).0
}

/// A conversation in a minute of a lane.
pub fn recent(lane: u16, at: i64, place: &Place) -> Vec<u8> {
    Key(minute(lane, at)).place(place).0
}

/// Prefix of a partition of cells.
pub fn partition(partition: &Partition) -> Vec<u8> {
    let key = Key::default();
    match partition {
        Partition::Reflects(place) => key.bytes(&[1]).place(place),
        Partition::View { place, generation, view, part } => {
            key.bytes(&[2]).place(place).bytes(&generation.to_be_bytes()).bytes(&[*view]).number(*part)
        }
        Partition::Memberships(tenant, user) => key.bytes(&[3]).name(tenant).name(user),
        Partition::Markers(place) => key.bytes(&[4]).place(place),
        Partition::Directory(tenant) => key.bytes(&[5]).name(tenant),
        Partition::Retention(tenant) => key.bytes(&[6]).name(tenant),
        Partition::Account(tenant, user) => key.bytes(&[9]).name(tenant).name(user),
        Partition::Conversations(tenant, part) => key.bytes(&[8]).name(tenant).bytes(&[*part]),
        Partition::Received(tenant, user) => key.bytes(&[7]).name(tenant).name(user),
    }
    .0
}

/// Prefix of a row's cells, after its partition's.
pub fn row(partition: &[u8], row: &[u8]) -> Vec<u8> {
    let mut key = row_start(partition, row);
    key.extend_from_slice(&ROW_END);
    key
}

/// The least key that a row which isn't below `row` can have.
pub fn row_start(partition: &[u8], row: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(partition.len() + row.len() + 34);
    key.extend_from_slice(partition);
    for byte in row {
        match byte {
            0 => key.extend_from_slice(&ESCAPED_ZERO),
            byte => key.push(*byte),
        }
    }
    key
}

/// The row and the column that a cell's key names, without its partition's prefix.
pub fn parse_cell(key: &[u8]) -> Result<(Vec<u8>, &[u8]), StoreError> {
    let mut row = Vec::new();
    let mut rest = key;
    loop {
        match rest {
            [0, 1, column @ ..] => return Ok((row, column)),
            [0, 255, more @ ..] => (row.push(0), rest = more).1,
            [0, ..] | [] => return Err(corrupt("cell", key)),
            [byte, more @ ..] => (row.push(*byte), rest = more).1,
        }
    }
}

/// The conversation that a key ends with, or begins with.
pub fn parse_place(key: &[u8]) -> Result<Place, StoreError> {
    let parse = || {
        let end = key.iter().position(|byte| *byte == NAME_END)?;
        let tenant = Name::new(std::str::from_utf8(&key[..end]).ok()?).ok()?;
        let conversation = ConversationId(Uuid::from_slice(key.get(end + 1..end + 17)?).ok()?);
        Some(Place { tenant, conversation })
    };
    parse().ok_or_else(|| corrupt("conversation", key))
}

/// The number that a key ends with.
pub fn parse_last_number(key: &[u8]) -> Result<u64, StoreError> {
    let last = key.last_chunk::<8>().ok_or_else(|| corrupt("row", key))?;
    Ok(u64::from_be_bytes(*last))
}

/// The least key above all keys with this prefix; `None` if there is none.
pub fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < 255)?;
    let mut key = prefix[..=last].to_vec();
    key[last] += 1;
    Some(key)
}

fn corrupt(what: &str, key: &[u8]) -> StoreError {
    StoreError::Corrupt(format!("the key of a {what} has {} bytes that make no sense", key.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    proptest! {
        #[test]
        fn rows_sort_as_their_keys(a: Vec<u8>, b: Vec<u8>, x: Vec<u8>, y: Vec<u8>) {
            let full = |r: &[u8], column: &[u8]| [row(b"p", r), column.to_vec()].concat();
            let key = full(&a, &x);
            prop_assert_eq!(parse_cell(&key[1..]).unwrap(), (a.clone(), &x[..]));
            if a != b {
                prop_assert_eq!(full(&a, &x).cmp(&full(&b, &y)), a.cmp(&b));
                prop_assert_eq!(row_start(b"p", &a) <= full(&b, &y), a < b);
            }
        }

        #[test]
        fn places_sort_as_their_keys(a in "[A-Za-z0-9._-]{1,5}", b in "[A-Za-z0-9._-]{1,5}", x: u128, y: u128) {
            let [a, b] = [(a, x), (b, y)].map(|(tenant, id)| Place {
                tenant: name(&tenant),
                conversation: ConversationId(Uuid::from_u128(id)),
            });
            prop_assert_eq!(place(&a).cmp(&place(&b)), a.cmp(&b));
            prop_assert_eq!(parse_place(&index(&a, 7)).unwrap(), a);
        }

        #[test]
        fn minutes_sort_as_numbers(a: i64, b: i64) {
            prop_assert_eq!(minute(1, a).cmp(&minute(1, b)), a.cmp(&b));
        }

        #[test]
        fn after_is_above_everything_with_the_prefix(prefix: Vec<u8>, more: Vec<u8>) {
            if let Some(after) = after(&prefix) {
                prop_assert!([prefix, more].concat() < after);
            }
        }
    }
}
