//! A user's own settings for a conversation.

use super::{
    Api,
    check::{invalid, one_of, place},
    identity::Caller,
    status,
};
use crate::{bus::Hint, conversation::preferences::Wish};
use nexus_proto::v1::{self, NotificationLevel, ephemeral};
use prost::Message as _;
use tonic::Status;

impl Api {
    /// Changes the caller's settings for a conversation, and tells their devices.
    pub(super) async fn prefer(
        &self,
        caller: &Caller,
        r: &v1::SetPreferencesRequest,
    ) -> Result<v1::Preferences, Status> {
        let place = place(&caller.tenant, &r.conversation_id)?;
        if r.muted_until_ms.is_some_and(|until| until < 0) {
            return Err(invalid("muted_until_ms", "must be a Unix time in milliseconds, or 0"));
        }
        let level = |n| one_of("notifications", n, Some(NotificationLevel::Unspecified));
        let wish = Wish {
            pinned: r.pinned,
            muted_until_ms: r.muted_until_ms,
            archived: r.archived,
            marked_unread: r.marked_unread,
            notifications: r.notifications.map(level).transpose()?,
        };
        let look = self.conversations.look(&place, &caller.user, 0).await.map_err(status::read)?;
        if look.role.is_none() {
            return Err(Status::permission_denied("only members have preferences for a conversation"));
        }
        let now = self.conversations.prefer(&place, &caller.user, look.head.messages, wish).await;
        let now = now.map_err(status::fault)?;
        let area = v1::AccountArea::Preferences.into();
        let changed = v1::AccountChanged { area, conversation_id: place.conversation.to_string() };
        let body = v1::Ephemeral { body: Some(ephemeral::Body::Account(changed)) }.encode_to_vec().into();
        let (tenant, user) = (place.tenant, caller.user.clone());
        self.conversations.tell(Hint::Account { tenant, user, body }).await;
        Ok(now)
    }
}
