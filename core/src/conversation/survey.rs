//! A conversation as those see it who look after it, whether or not they are members.

use super::{
    Conversations, Fault, Head, Receipt, Refusal,
    command::{Command, CommandError},
    rows::{self, About, Member},
    views::Views,
    writer::Conversation,
};
use crate::{
    domain::{Event, Place, Seq, User},
    store::{Rows, StoreError},
};
use bytes::Bytes;
use nexus_proto::v1::{self, Role, event::Body};
use std::sync::Arc;

/// Members among whom owners are looked for, besides the creator.
const LOOKED_AT: usize = 1000;

/// A conversation, whoever is a member.
pub struct Survey {
    /// Which.
    pub place: Place,
    /// What it is.
    pub about: About,
    /// Its end, which all this reflects.
    pub head: Head,
    conversation: Arc<Conversation>,
}

impl Conversations {
    /// A conversation with its end, as it is believed to be; `None`: it has not begun.
    pub async fn survey(&self, place: &Place) -> Result<Option<Survey>, Fault> {
        let Some(head) = self.end(place, 0).await? else { return Ok(None) };
        let conversation = self.conversation(place);
        let about = conversation.views(head.last_seq, head.floor).await?.about().await?;
        Ok(about.map(|about| Survey { place: place.clone(), about, head, conversation }))
    }

    /// Trims a conversation's log up to a seq, or to the end of the last bucket before it whose events are old enough. It is done even if the caller goes
    /// away.
    pub async fn trim_through(
        &self,
        place: &Place,
        sender: User,
        id: crate::domain::ClientId,
        through: Seq,
    ) -> Result<Receipt, CommandError> {
        if through == 0 {
            let why = "must be a seq of the log".to_owned();
            return Err(Refusal::Invalid { field: "through", why }.into());
        }
        let body = Body::Trimmed(v1::Trimmed { through });
        let command = Command { place: place.clone(), sender, id: Some(id), target: 0, body };
        self.conversation(place).trim_asked(command, through).await
    }
}

impl Survey {
    /// A user's row; `None`: never was a member.
    pub async fn member(&self, user: &User) -> Result<Option<Member>, Fault> {
        let views = self.conversation.views(self.head.last_seq, self.head.floor).await?;
        Ok(views.member(user).await?)
    }

    /// Members by name, after a name, and the seq that this reflects.
    pub async fn members(&self, after: &str, limit: usize) -> Result<(Vec<(User, Member)>, Seq), Fault> {
        let views = self.conversation.views(self.head.last_seq, self.head.floor).await?;
        Ok((members(&views, after, limit).await?, views.folded()))
    }

    /// Owners, at most `limit`: the creator, if they are one, and those among the first members by name.
    pub async fn owners(&self, limit: usize) -> Result<Vec<User>, Fault> {
        let most = limit.min(self.about.owners as usize);
        let mut owners: Vec<User> = Vec::new();
        if most == 0 {
            return Ok(owners);
        }
        if let Ok(creator) = User::new(&self.about.creator)
            && self.member(&creator).await?.is_some_and(|row| row.present() && row.role() == Role::Owner)
        {
            owners.push(creator);
        }
        if owners.len() < most {
            let (members, _) = self.members("", LOOKED_AT).await?;
            let found = members.into_iter().filter(|(_, member)| member.role() == Role::Owner);
            let found = found.map(|(user, _)| user).filter(|user| !owners.contains(user));
            let found: Vec<User> = found.take(most - owners.len()).collect();
            owners.extend(found);
        }
        Ok(owners)
    }

    /// Bytes of its log, about; `sample` of its buckets are looked at.
    pub async fn log_bytes(&self, sample: usize) -> Result<u64, Fault> {
        Ok(self.conversation.log.bytes(self.head.floor, sample).await?)
    }

    /// Events above a seq, lowest first, at most `limit`.
    pub async fn events(&self, after: Seq, limit: usize) -> Result<Vec<Event>, Fault> {
        let from = after.max(self.head.floor).saturating_add(1);
        Ok(self.conversation.log.events_up(from, self.head.last_seq, limit).await?)
    }
}

/// Members by name, after a name.
pub(super) async fn members(
    views: &Views,
    after: &str,
    limit: usize,
) -> Result<Vec<(User, Member)>, StoreError> {
    let mut members = Vec::new();
    let mut from: Bytes =
        if after.is_empty() { Bytes::new() } else { [after.as_bytes(), &[0]].concat().into() };
    while members.len() < limit {
        let range = Rows::Range { from: from.clone(), to: None, down: false, limit: limit.max(100) };
        let page = views.read_members(range).await?;
        let Some(last) = page.last() else { break };
        from = [&last.key[..], &[0]].concat().into();
        for row in &page {
            let user = std::str::from_utf8(&row.key).ok().and_then(|name| User::new(name).ok());
            let member = rows::main_cell::<Member>(Some(row))?.filter(|member| member.present());
            members.extend(user.zip(member));
        }
    }
    members.truncate(limit);
    Ok(members)
}
