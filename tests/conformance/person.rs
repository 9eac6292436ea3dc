//! Somebody who uses the deployment, on one device.

use crate::{stream::Stream, tokens::Wanted, world::World};
use nexus_client::{Call, Client, StaticToken, Transport, v1};
use std::sync::Arc;
use tonic::Status;

/// A user on a device, with a connection of their own.
pub struct Person {
    pub world: Arc<World>,
    pub user: String,
    pub tenant: String,
    pub token: String,
    pub transport: Transport,
    client: Client,
}

impl Person {
    /// Somebody whom nobody knows yet, in the tenant of this run.
    pub async fn new(world: &Arc<World>, who: &str) -> Self {
        Self::named(world, &world.name(who), &world.tenant(), "phone").await
    }

    /// Who administers the tenant of this run.
    pub async fn administrator(world: &Arc<World>) -> Self {
        let name = world.administrator.as_ref().expect("without one this test is not run");
        Self::named(world, name, &world.tenant(), "phone").await
    }

    /// This user of this tenant, on this device.
    pub async fn named(world: &Arc<World>, user: &str, tenant: &str, device: &str) -> Self {
        let token = world.tokens.make(Wanted { user, tenant, device, ttl: None }).await;
        let token = token.unwrap_or_else(|why| panic!("the token maker made no token for {user}: {why}"));
        let (user, tenant) = (user.to_owned(), tenant.to_owned());
        let transport = world.transport();
        let client = Client::new(transport.clone(), StaticToken::new(&token));
        Self { world: world.clone(), user, tenant, token, transport, client }
    }

    /// The same user on another device.
    pub async fn on(&self, device: &str) -> Self {
        Self::named(&self.world, &self.user, &self.tenant, device).await
    }

    /// The answer; a refusal fails the test.
    pub async fn call<C: Call>(&self, request: C) -> C::Answer {
        self.client.call(request).await.unwrap_or_else(|error| panic!("{} was refused: {error}", self.user))
    }

    /// The refusal; an answer fails the test.
    pub async fn refused<C: Call>(&self, request: C) -> Status
    where
        C::Answer: std::fmt::Debug,
    {
        match self.client.call(request).await {
            Ok(answer) => panic!("{} was not refused, but got {answer:?}", self.user),
            Err(error) => error.status,
        }
    }

    /// A client id that was never used.
    pub fn id(&self) -> String {
        self.world.id()
    }

    /// A group of one's own with these members.
    pub async fn group(&self, members: &[&Person]) -> String {
        self.create(v1::ConversationKind::Group, members, v1::Visibility::Private).await
    }

    /// A public channel of one's own.
    pub async fn channel(&self, members: &[&Person]) -> String {
        self.create(v1::ConversationKind::Channel, members, v1::Visibility::Public).await
    }

    async fn create(
        &self,
        kind: v1::ConversationKind,
        members: &[&Person],
        visibility: v1::Visibility,
    ) -> String {
        let members = members.iter().map(|who| v1::MemberRole { user: who.user.clone(), role: 0 }).collect();
        let request = v1::CreateConversationRequest {
            client_id: self.id(),
            kind: kind as i32,
            title: "Conformance".into(),
            visibility: visibility as i32,
            members,
            ..Default::default()
        };
        self.call(request).await.conversation.unwrap().id
    }

    /// The direct conversation with somebody.
    pub async fn direct(&self, other: &Person) -> v1::Conversation {
        let request = v1::GetOrCreateDirectRequest { user: other.user.clone() };
        self.call(request).await.conversation.unwrap()
    }

    /// Sends a text; gives its seq.
    pub async fn say(&self, conversation: &str, text: &str) -> u64 {
        self.send(self.message(conversation, text)).await.seq
    }

    /// A message that is not sent yet.
    pub fn message(&self, conversation: &str, text: &str) -> v1::SendMessageRequest {
        v1::SendMessageRequest {
            conversation_id: conversation.into(),
            client_id: self.id(),
            content: Some(content(text)),
            ..Default::default()
        }
    }

    /// Sends a message; gives its receipt.
    pub async fn send(&self, message: v1::SendMessageRequest) -> v1::Receipt {
        self.call(message).await.receipt.expect("a message has a receipt")
    }

    /// A conversation as this person sees it now.
    pub async fn see(&self, conversation: &str) -> v1::Conversation {
        let request = v1::GetConversationRequest { conversation_id: conversation.into(), at_least: 0 };
        self.call(request).await.conversation.unwrap()
    }

    /// Everything of a conversation that this person may read, as the history gives it.
    pub async fn events(&self, conversation: &str) -> Vec<v1::Event> {
        let mut events: Vec<v1::Event> = Vec::new();
        loop {
            let anchor =
                v1::list_events_request::Anchor::AfterSeq(events.last().map_or(0, |event| event.seq));
            let page = self
                .call(v1::ListEventsRequest {
                    conversation_id: conversation.into(),
                    anchor: Some(anchor),
                    limit: 200,
                    at_least: 0,
                })
                .await;
            events.extend(page.events);
            if page.covered.unwrap().at_end {
                return events;
            }
        }
    }

    /// Attaches, with these cursors.
    pub async fn attach(&self, cursors: &[(&str, u64)]) -> Stream {
        Stream::attach(self, cursors, false).await
    }

    /// Adds people to a conversation; gives the seq.
    pub async fn add(&self, conversation: &str, people: &[&Person]) -> u64 {
        let request = v1::AddMembersRequest {
            conversation_id: conversation.into(),
            client_id: self.id(),
            users: people.iter().map(|who| who.user.clone()).collect(),
            role: 0,
        };
        self.call(request).await.receipt.unwrap().seq
    }

    /// Removes somebody; gives the seq.
    pub async fn remove(&self, conversation: &str, other: &Person) -> u64 {
        let request = v1::RemoveMemberRequest {
            conversation_id: conversation.into(),
            client_id: self.id(),
            user: other.user.clone(),
        };
        self.call(request).await.receipt.unwrap().seq
    }
}

/// A plain text.
pub fn content(text: &str) -> v1::Content {
    v1::Content { text: text.into(), ..Default::default() }
}
