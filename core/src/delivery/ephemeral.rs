//! Presence and typing on their way: told through the bus, heard by the hubs. Without a promise: a hint may be lost, a
//! queue may be full, and nothing is sent again.

use super::{Delivery, frame, presence::News, stream::Stream};
use crate::{
    bus::Hint,
    domain::{Caller, ConversationId, Place, Seq, Tenant, User},
};
use bytes::Bytes;
use nexus_proto::v1::{self, PresenceStatus, ephemeral::Body};
use prost::Message as _;
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::Instant;

impl Delivery {
    /// A caller who is a member types in a conversation, or in a thread of it, or stopped.
    pub async fn set_typing(&self, place: Place, user: &User, thread: Seq, typing: bool) {
        if self.typists.set(&place, user, thread, typing, Instant::now()) {
            self.conversations.tell(typing_hint(place, user.clone(), thread, typing)).await;
        }
    }

    /// A caller says how they are. `false` if they have had no stream on this node lately.
    pub fn set_presence(&self, caller: &Caller, status: PresenceStatus, text: &str) -> bool {
        self.here.set(&caller.tenant, &caller.user, status, text)
    }

    /// How a user is.
    pub fn presence(&self, tenant: &Tenant, user: &User) -> v1::Presence {
        self.here.get(tenant, user, self.clock.now_ms())
    }

    /// The members up to which a conversation shares presence.
    pub fn presence_members(&self) -> u32 {
        self.settings.presence_members
    }

    /// A stream has its conversations: its user is here.
    pub(super) fn announce(&self, stream: &Stream) {
        stream.announce(|| self.here.came(&stream.caller.tenant, &stream.caller.user));
    }

    /// A stream is being detached. If it was never announced it never will be.
    pub(super) fn went(&self, stream: &Stream) {
        if !stream.announce(|| ()) {
            let conversations = stream.live(self.settings.presence_conversations);
            let Caller { tenant, user, .. } = &stream.caller;
            self.here.went(tenant, user, conversations, Instant::now(), self.clock.now_ms());
        }
    }

    /// Tells what is new of presence, and whose typing is over.
    pub(super) fn tell_news(self: &Arc<Self>, now: Instant) {
        let news = self.here.news(now, self.clock.now_ms(), self.settings.presence_per_second);
        let over = self.typists.expired(now);
        if news.is_empty() && over.is_empty() {
            return;
        }
        let mut hints: Vec<Hint> = news.into_iter().map(|news| self.presence_hint(news)).collect();
        hints.extend(over.into_iter().map(|(place, user, thread)| typing_hint(place, user, thread, false)));
        let conversations = self.conversations.clone();
        tokio::spawn(async move {
            for hint in hints {
                conversations.tell(hint).await;
            }
        });
    }

    fn presence_hint(&self, News { tenant, user, presence, conversations }: News) -> Hint {
        let most = self.settings.presence_conversations;
        let conversations = conversations.unwrap_or_else(|| {
            let streams = self.attached.of(&tenant, &user);
            let mut all: Vec<_> = streams.iter().flat_map(|stream| stream.live(most)).collect();
            all.sort();
            all.dedup();
            all.truncate(most);
            all
        });
        let body = encoded(Body::Presence(presence));
        Hint::Presence { tenant, user, conversations: conversations.into(), body }
    }

    /// Passes on how a user is, to each stream once, however many conversations they share.
    pub(super) fn hear_presence(
        &self,
        tenant: &Tenant,
        user: &User,
        conversations: &[ConversationId],
        body: &Bytes,
    ) {
        let mut streams: BTreeMap<u64, Arc<Stream>> = BTreeMap::new();
        for conversation in conversations {
            let place = Place { tenant: tenant.clone(), conversation: *conversation };
            self.lanes.find(&place, |hub| {
                if hub.shares_presence(self.settings.presence_members) {
                    streams.extend(hub.listeners().map(|(key, stream)| (key, stream.clone())));
                }
            });
        }
        let frame = frame::ephemeral(body);
        for stream in streams.into_values().filter(|stream| stream.caller.user != *user) {
            self.offer_news(&stream, &frame);
        }
    }

    /// Passes on that something of a user's own changed, to all of their streams: it is not what `no_ephemeral` leaves
    /// out.
    pub(super) fn hear_account(&self, tenant: &Tenant, user: &User, body: &Bytes) {
        let frame = frame::ephemeral(body);
        for stream in self.attached.of(tenant, user) {
            self.offer_news(&stream, &frame);
        }
    }

    fn offer_news(&self, stream: &Stream, frame: &Bytes) {
        let told = stream.outbox.offer_lossy(frame);
        if told { self.metrics.ephemeral.inc() } else { self.metrics.ephemeral_dropped.inc() }
    }
}

fn typing_hint(place: Place, user: User, thread: Seq, typing: bool) -> Hint {
    let conversation_id = place.conversation.to_string();
    let body = v1::Typing { conversation_id, user: user.to_string(), typing, thread };
    Hint::Ephemeral { place, from: user, body: encoded(Body::Typing(body)) }
}

fn encoded(body: Body) -> Bytes {
    v1::Ephemeral { body: Some(body) }.encode_to_vec().into()
}
