//! A user's own settings for a conversation: cells of the row that points the user to it. They are in no log: the last
//! writer of each wins, and a rebuild leaves them as they are.

use super::{Conversations, Fault, list::row_of};
use crate::{
    domain::{Place, User},
    store::{Cell, Partition, Row, Rows, StoreError, Sync},
};
use bytes::Bytes;
use nexus_proto::v1;

const PINNED: Bytes = Bytes::from_static(b"up");
const MUTED_UNTIL: Bytes = Bytes::from_static(b"um");
const ARCHIVED: Bytes = Bytes::from_static(b"ua");
const MARKED_UNREAD: Bytes = Bytes::from_static(b"uu");
const NOTIFICATIONS: Bytes = Bytes::from_static(b"un");

/// What is to change.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// On top of the list.
    pub pinned: Option<bool>,
    /// Muted until this time, Unix milliseconds.
    pub muted_until_ms: Option<i64>,
    /// Hidden until the next message.
    pub archived: Option<bool>,
    /// Unread by hand.
    pub marked_unread: Option<bool>,
    /// What to notify of.
    pub notifications: Option<v1::NotificationLevel>,
}

impl Conversations {
    /// A user's settings for a conversation with this number of messages.
    pub async fn preferences(
        &self,
        place: &Place,
        user: &User,
        messages: u64,
    ) -> Result<v1::Preferences, Fault> {
        Ok(self.user_row(place, user).await?.map(|row| read(&row, messages)).unwrap_or_default())
    }

    /// Changes a user's settings, durably, and returns all of them.
    pub async fn prefer(
        &self,
        place: &Place,
        user: &User,
        messages: u64,
        wish: Wish,
    ) -> Result<v1::Preferences, Fault> {
        let row = self.user_row(place, user).await?;
        let at = Row::after(row.as_ref(), self.shared.clock.now_ms());
        let flag = |set: bool| Bytes::from_static(if set { b"1" } else { b"0" });
        let number = |n: u64| Bytes::copy_from_slice(&n.to_be_bytes());
        // So that the next message shows it again, on every device, and nobody has to write anything for that.
        let archived = |set: bool| if set { number(messages) } else { Bytes::new() };
        let values = [
            (PINNED, wish.pinned.map(flag)),
            (MUTED_UNTIL, wish.muted_until_ms.map(|until| number(until as u64))),
            (ARCHIVED, wish.archived.map(archived)),
            (MARKED_UNREAD, wish.marked_unread.map(flag)),
            (NOTIFICATIONS, wish.notifications.map(|level| number(level as u64))),
        ];
        let given = values.into_iter().filter(|(_, value)| value.is_some());
        let cells: Vec<_> =
            given.map(|(column, value)| Cell { row: row_of(place), column, at, value }).collect();
        if !cells.is_empty() {
            let partition = Partition::Memberships(place.tenant.clone(), user.clone());
            self.shared.store.write_cells(&partition, cells, Sync::Now).await?;
        }
        self.preferences(place, user, messages).await
    }

    async fn user_row(&self, place: &Place, user: &User) -> Result<Option<Row>, StoreError> {
        let partition = Partition::Memberships(place.tenant.clone(), user.clone());
        Ok(self.shared.store.read_rows(&partition, Rows::Keys(vec![row_of(place)])).await?.pop())
    }
}

fn read(row: &Row, messages: u64) -> v1::Preferences {
    let value = |column: &Bytes| row.cells.get(column).map(|(_, value)| &value[..]);
    let flag = |column| value(column) == Some(b"1");
    let number = |column| value(column).and_then(|value| value.try_into().ok()).map(u64::from_be_bytes);
    v1::Preferences {
        pinned: flag(&PINNED),
        muted_until_ms: number(&MUTED_UNTIL).unwrap_or_default() as i64,
        archived: number(&ARCHIVED).is_some_and(|then| messages <= then),
        marked_unread: flag(&MARKED_UNREAD),
        notifications: number(&NOTIFICATIONS).unwrap_or_default() as i32,
    }
}
