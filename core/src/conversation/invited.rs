//! Reading invitations: one, for whoever may know of it; and all of a conversation, for its admins.

use super::{
    Conversations, Fault,
    history::{Look, ReadError},
    invitation::Invitation,
    rows::{self, About, Key, seq_key},
};
use crate::{
    domain::{Place, Seq, User},
    store::Rows,
};

/// An invitation, and what it is to, for somebody who need not be in it.
#[derive(Debug, Clone)]
pub struct Found {
    /// The conversation.
    pub place: Place,
    /// Seq of the invitation.
    pub seq: Seq,
    /// The invitation.
    pub invitation: Invitation,
    /// What the conversation is.
    pub about: About,
    /// Whether the user is a member of it.
    pub member: bool,
}

impl Conversations {
    /// An invitation as it is now, and how a user stands to it. `None`: there is none with this seq.
    pub async fn invitation(&self, place: &Place, seq: Seq, user: &User) -> Result<Option<Found>, Fault> {
        let Some(head) = self.head(place).await?.filter(|head| seq <= head.last_seq) else { return Ok(None) };
        let conversation = self.conversation(place);
        let views = conversation.views(head.last_seq, head.floor).await?;
        let Some(invitation) = views.invitation(seq).await? else { return Ok(None) };
        let about = views.about().await?.unwrap_or_default();
        let member = views.member(user).await?.is_some_and(|member| member.present());
        Ok(Some(Found { place: place.clone(), seq, invitation, about, member }))
    }
}

impl Look {
    /// Invitations below a seq, newest first, at most `limit`; without those that are not open at a time, unless they are
    /// asked for. And the seq that they reflect.
    pub async fn invitations(
        &self,
        below: Seq,
        limit: usize,
        open_at: Option<i64>,
    ) -> Result<(Vec<(Seq, Invitation)>, Seq), ReadError> {
        let views = self.conversation.views(self.head.last_seq, self.head.floor).await?;
        let ask = match open_at {
            None => {
                let (from, to) = (seq_key(0), Some(seq_key(below)));
                Rows::Range { from, to, down: true, limit }
            }
            Some(now) => {
                let about = views.about().await?.unwrap_or_default();
                let open = about.invitations.iter().rev().filter(|open| open.seq < below && open.at(now));
                Rows::Keys(open.take(limit).map(|open| seq_key(open.seq)).collect())
            }
        };
        let mut found = Vec::new();
        for row in views.read_rows(&Key::Invitation(0), ask).await? {
            if let Some(invitation) = rows::main_cell(Some(&row))? {
                found.push((rows::key_seq(&row)?, invitation));
            }
        }
        Ok((found, views.folded()))
    }
}
