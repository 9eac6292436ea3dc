//! Reading the past: in both directions, by seq and by time; what a page covers, and up to where it is true.

use crate::{
    person::{Person, content},
    refusal::{expect, expect_invalid},
    world::World,
};
use nexus_client::v1::{self, list_messages_request::Anchor};
use std::{collections::BTreeSet, sync::Arc};
use tonic::Code;

struct Past {
    ann: Person,
    group: String,
    /// Seqs of the messages; between them are other events.
    messages: Vec<u64>,
    last: u64,
}

async fn past(world: &Arc<World>) -> Past {
    let ann = Person::new(world, "ann").await;
    let group = ann.group(&[]).await;
    let mut messages = Vec::new();
    for n in 0..21 {
        messages.push(ann.say(&group, &n.to_string()).await);
        if n % 3 == 0 {
            let (conversation_id, client_id) = (group.clone(), ann.id());
            let seq = messages[n];
            let reaction = "👍".into();
            ann.call(v1::AddReactionRequest { conversation_id, client_id, seq, reaction }).await;
        }
    }
    let last = ann.see(&group).await.last_seq;
    Past { ann, group, messages, last }
}

impl Past {
    async fn page(&self, anchor: Option<Anchor>, limit: u32) -> v1::ListMessagesResponse {
        let conversation_id = self.group.clone();
        self.ann.call(v1::ListMessagesRequest { conversation_id, anchor, limit, at_least: 0 }).await
    }
}

fn seqs(page: &v1::ListMessagesResponse) -> Vec<u64> {
    page.messages.iter().map(|message| message.seq).collect()
}

pub async fn pages_join_up_in_both_directions(world: Arc<World>) {
    let past = past(&world).await;
    let newest = past.page(None, 4).await;
    assert_eq!(seqs(&newest), past.messages[17..]);
    assert_eq!(newest.reflects, past.last);
    let covered = newest.covered.unwrap();
    assert!(covered.at_end && !covered.at_start && covered.last == past.last, "{covered:?}");

    let (mut back, mut low) = (seqs(&newest), covered.first);
    loop {
        let page = past.page(Some(Anchor::BeforeSeq(low)), 4).await;
        let covered = page.covered.unwrap();
        assert_eq!(covered.last, low - 1, "a page covers up to its anchor");
        back.splice(0..0, seqs(&page));
        low = covered.first;
        if covered.at_start {
            break;
        }
    }
    assert_eq!(back, past.messages);

    let (mut up, mut high) = (Vec::new(), 0);
    loop {
        let page = past.page(Some(Anchor::AfterSeq(high)), 4).await;
        let covered = page.covered.unwrap();
        assert_eq!(covered.first, high + 1);
        up.extend(seqs(&page));
        high = covered.last;
        if covered.at_end {
            break;
        }
    }
    assert_eq!((up, high), (past.messages.clone(), past.last));
    assert_eq!(seqs(&past.page(None, 0).await), past.messages, "50 when it isn't said");
    let beyond = past.page(Some(Anchor::AfterSeq(past.last + 10)), 4).await;
    assert!(beyond.messages.is_empty() && beyond.covered.unwrap().at_end);
}

pub async fn around_a_message_there_is_half_a_page_on_each_side(world: Arc<World>) {
    let past = past(&world).await;
    let page = past.page(Some(Anchor::AroundSeq(past.messages[10])), 6).await;
    assert_eq!(seqs(&page), past.messages[8..14]);
    let covered = page.covered.unwrap();
    assert!(covered.first <= past.messages[8] && covered.last >= past.messages[13]);
    assert!(!covered.at_start && !covered.at_end);
    let first = past.page(Some(Anchor::AroundSeq(past.messages[0])), 6).await;
    assert_eq!(seqs(&first), past.messages[..4]);
    assert!(first.covered.unwrap().at_start);
}

pub async fn a_time_is_a_place_in_the_log(world: Arc<World>) {
    let past = past(&world).await;
    let all = past.page(None, 200).await.messages;
    for at in [0, 7, 20] {
        let time = all[at].time_ms;
        // Several may have been accepted in one millisecond.
        let first = all.iter().position(|message| message.time_ms >= time).unwrap();
        let before = past.page(Some(Anchor::BeforeTimeMs(time)), 3).await;
        assert_eq!(seqs(&before), past.messages[first.saturating_sub(3)..first], "before {at}");
        let after = past.page(Some(Anchor::AfterTimeMs(time)), 3).await;
        assert_eq!(seqs(&after), past.messages[first..(first + 3).min(21)], "after {at}");
        let around = past.page(Some(Anchor::AroundTimeMs(time)), 4).await;
        assert_eq!(seqs(&around), past.messages[first.saturating_sub(2)..(first + 2).min(21)], "around {at}");
    }
    assert!(past.page(Some(Anchor::BeforeTimeMs(0)), 3).await.messages.is_empty());
    let future = past.page(Some(Anchor::AfterTimeMs(i64::MAX)), 3).await;
    assert!(future.messages.is_empty() && future.covered.unwrap().at_end);
    assert_eq!(seqs(&past.page(Some(Anchor::AfterTimeMs(i64::MIN)), 3).await), past.messages[..3]);
}

pub async fn raw_events_are_the_log(world: Arc<World>) {
    let past = past(&world).await;
    use v1::list_events_request::Anchor;
    let page = async |anchor, limit| {
        let conversation_id = past.group.clone();
        let page = past.ann.call(v1::ListEventsRequest { conversation_id, anchor, limit, at_least: 0 }).await;
        assert_eq!(page.reflects, past.last);
        (page.events.iter().map(|event| event.seq).collect::<Vec<_>>(), page.covered.unwrap())
    };
    let (newest, covered) = page(None, 3).await;
    assert_eq!(newest, (past.last - 2..=past.last).collect::<Vec<_>>());
    assert!(covered.at_end && !covered.at_start);
    let (before, covered) = page(Some(Anchor::BeforeSeq(4)), 200).await;
    assert_eq!((&before[..], covered.at_start, covered.at_end), (&[1, 2, 3][..], true, false));
    let (after, covered) = page(Some(Anchor::AfterSeq(5)), 2).await;
    assert_eq!((&after[..], covered.first, covered.last), (&[6, 7][..], 6, 7));
}

pub async fn an_answer_says_what_it_reflects(world: Arc<World>) {
    let past = past(&world).await;
    let (ann, group) = (&past.ann, &past.group);
    let seq = past.messages[3];
    let edit = v1::EditMessageRequest {
        conversation_id: group.clone(),
        client_id: ann.id(),
        seq,
        content: Some(content("changed")),
    };
    let edited = ann.call(edit).await.receipt.unwrap().seq;
    let get = |at_least| v1::GetMessagesRequest {
        conversation_id: group.clone(),
        seqs: vec![past.last + 50, seq, 1, seq],
        at_least,
    };
    let answer = ann.call(get(edited)).await;
    assert!(answer.reflects >= edited);
    assert_eq!(answer.messages.len(), 1, "what is no message is left out, and each is there once");
    assert_eq!(answer.messages[0].content, Some(content("changed")));
    expect(&ann.refused(get(edited + 1)).await, Code::OutOfRange);
    let conversation_id = group.clone();
    let at_least = edited + 1;
    let list = v1::ListMessagesRequest { conversation_id, at_least, ..Default::default() };
    expect(&ann.refused(list).await, Code::OutOfRange);
    let see = v1::GetConversationRequest { conversation_id: group.clone(), at_least };
    expect(&ann.refused(see).await, Code::OutOfRange);
    let members = v1::ListMembersRequest { conversation_id: group.clone(), at_least, ..Default::default() };
    expect(&ann.refused(members).await, Code::OutOfRange);
    let many = v1::GetMessagesRequest { seqs: (1..=201).collect(), ..get(0) };
    expect_invalid(&ann.refused(many).await, "seqs");
    let large = v1::ListMessagesRequest { conversation_id: group.clone(), limit: 201, ..Default::default() };
    expect_invalid(&ann.refused(large).await, "limit");
}

pub async fn conversations_are_listed_by_activity(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let mut groups = Vec::new();
    for _ in 0..7 {
        groups.push(ann.group(&[]).await);
    }
    ann.say(&groups[2], "news").await;
    let moved = groups.remove(2);
    groups.push(moved);
    groups.reverse();
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = ann.call(v1::ListConversationsRequest { page_size: 3, page_token }).await;
        listed.extend(page.conversations);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let times: Vec<i64> = listed.iter().map(|conversation| conversation.last_at_ms).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    let ids: Vec<&String> = listed.iter().map(|conversation| &conversation.id).collect();
    assert_eq!((ids.len(), ids[0]), (7, &groups[0]));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 7, "each is there once");
    assert_eq!(listed[0], ann.see(&groups[0]).await, "an entry of the list is the conversation");
    for page_token in ["nonsense", "1:2:3", "::"] {
        let request = v1::ListConversationsRequest { page_size: 0, page_token: page_token.into() };
        expect_invalid(&ann.refused(request).await, "page_token");
    }
    let request = v1::ListConversationsRequest { page_size: 201, page_token: String::new() };
    expect_invalid(&ann.refused(request).await, "page_size");
}

pub async fn members_are_listed_by_name(world: Arc<World>) {
    let ann = Person::new(&world, "m").await;
    let names: BTreeSet<String> = (0..9).map(|_| world.name("m")).collect();
    let members = names.iter().map(|user| v1::MemberRole { user: user.clone(), role: 0 }).collect();
    let create = v1::CreateConversationRequest {
        client_id: ann.id(),
        kind: v1::ConversationKind::Group as i32,
        title: "Many".into(),
        members,
        ..Default::default()
    };
    let conversation = ann.call(create).await.conversation.unwrap();
    assert_eq!((conversation.member_count, &conversation.creator), (10, &ann.user));
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let conversation_id = conversation.id.clone();
        let request = v1::ListMembersRequest { conversation_id, page_size: 3, page_token, at_least: 1 };
        let page = ann.call(request).await;
        assert_eq!(page.reflects, 1);
        listed.extend(page.members);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let owner = listed.iter().find(|member| member.user == ann.user).unwrap();
    assert_eq!((owner.role(), owner.since), (v1::Role::Owner, 1));
    let all: Vec<String> = listed.into_iter().map(|member| member.user).collect();
    let expected: BTreeSet<String> = names.into_iter().chain([ann.user.clone()]).collect();
    assert_eq!(all, expected.into_iter().collect::<Vec<_>>());
}
