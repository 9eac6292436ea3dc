//! Presence and typing on their way: told through the bus, heard by the hubs. Without a promise: a hint may be lost, a
//! queue may be full, and nothing is sent again.

use super::{
    Delivery, frame,
    presence::{News, offline},
    stream::Stream,
};
use crate::{
    bus::{Hint, Person},
    domain::{Caller, ConversationId, Place, Seq, Tenant, User},
};
use bytes::Bytes;
use nexus_proto::v1::{self, PresenceStatus, ephemeral::Body};
use prost::Message as _;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// Users that one hint names: with the longest names and texts about 50 KiB.
const PAGE: usize = 100;

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

    /// How a user is: as this node knows, or else by the word of others.
    pub fn presence(&self, tenant: &Tenant, user: &User) -> v1::Presence {
        let here = self.here.get(tenant, user, self.clock.now_ms());
        here.or_else(|| self.elsewhere.get(tenant, user)).unwrap_or_else(|| offline(user, 0))
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
        Hint::Presence { node: self.node, tenant, user, conversations: conversations.into(), body }
    }

    /// Names everybody who is here to the other nodes, when it is time. One that has no others only shows itself.
    pub(super) fn tell_roll(self: &Arc<Self>, now: Instant) {
        let Some(heard) = self.elsewhere.roll_call(now) else { return };
        let people = if heard { self.here.roll(self.clock.now_ms()) } else { Vec::new() };
        let (node, pages) = (self.node, people.len().div_ceil(PAGE).max(1));
        let conversations = self.conversations.clone();
        tokio::spawn(async move {
            for page in 0..pages {
                let of_page = people.iter().skip(page * PAGE).take(PAGE).cloned().collect();
                let last = heard && page + 1 == pages;
                conversations.tell(Hint::Roll { node, people: of_page, last }).await;
            }
        });
    }

    /// Takes what another node says of who is there, and passes on what is new of it.
    pub(super) fn hear_roll(self: &Arc<Self>, node: u64, people: &[Person], last: bool) {
        if node == self.node {
            return;
        }
        let news = self.elsewhere.rolled(node, people, last, Instant::now());
        self.pass_on_all(news.into_iter().map(|person| (person.tenant, person.user, None)).collect());
    }

    /// Passes on who is not here any more, because nobody says so.
    pub(super) fn tell_expired(self: &Arc<Self>, now: Instant) {
        let expired = self.elsewhere.expired(now).into_iter();
        self.pass_on_all(expired.map(|(tenant, user, gone)| (tenant, user, Some(gone))).collect());
    }

    /// Passes on how users are, in the conversations that the store says they have. Some at a time: a node that died
    /// had many.
    fn pass_on_all(self: &Arc<Self>, users: Vec<(Tenant, User, Option<v1::Presence>)>) {
        if users.is_empty() {
            return;
        }
        let delivery = self.clone();
        tokio::spawn(async move {
            for (tenant, user, gone) in users {
                let Ok(places) = delivery.conversations.memberships(&tenant, &user).await else {
                    delivery.metrics.faults.inc();
                    continue;
                };
                let most = delivery.settings.presence_conversations;
                let conversations: Vec<_> =
                    places.into_iter().map(|place| place.conversation).take(most).collect();
                let now = delivery.presence(&tenant, &user);
                let is_gone = now.status() == PresenceStatus::Offline;
                let body = encoded(Body::Presence(gone.filter(|_| is_gone).unwrap_or(now)));
                delivery.pass_on(&tenant, &user, &conversations, &body);
                sleep(Duration::from_secs(1) / delivery.settings.presence_per_second as u32).await;
            }
        });
    }

    /// Passes on how a user is, unless it is that they are gone from one node and still are on another.
    pub(super) fn hear_presence(
        &self,
        node: u64,
        tenant: &Tenant,
        user: &User,
        conversations: &[ConversationId],
        body: &Bytes,
    ) {
        let Ok(v1::Ephemeral { body: Some(Body::Presence(presence)) }) = v1::Ephemeral::decode(body.clone())
        else {
            return;
        };
        let goes = presence.status() == PresenceStatus::Offline;
        if node != self.node {
            self.elsewhere.told(node, tenant, user, presence, Instant::now());
        }
        if goes && self.presence(tenant, user).status() != PresenceStatus::Offline {
            return;
        }
        self.pass_on(tenant, user, conversations, body);
    }

    /// Passes on how a user is, to each stream once, however many conversations they share.
    fn pass_on(&self, tenant: &Tenant, user: &User, conversations: &[ConversationId], body: &Bytes) {
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
