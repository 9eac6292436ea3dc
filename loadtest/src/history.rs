//! What a server shows of a room after a run: its log, read afresh, and whether the views are the fold of it (VIEW-1).

use crate::seen::Seen;
use nexus_client::{CallError, Client, state::fold, v1};
use std::collections::BTreeMap;
use tonic::Code;

/// Messages, events or members of one page.
const PAGE: u32 = 200;

/// A conversation's whole log.
///
/// # Errors
/// Those of the call.
pub async fn log(client: &Client, room: &str) -> anyhow::Result<Vec<v1::Event>> {
    let mut all: Vec<v1::Event> = Vec::new();
    loop {
        let after = all.last().map_or(0, |event| event.seq);
        let page = client
            .call(v1::ListEventsRequest {
                conversation_id: room.to_owned(),
                anchor: Some(v1::list_events_request::Anchor::AfterSeq(after)),
                limit: PAGE,
                ..Default::default()
            })
            .await?;
        let end = page.events.is_empty();
        all.extend(page.events);
        if end {
            return Ok(all);
        }
    }
}

/// Whether a call failed because the caller may not know of the conversation.
pub fn is_hidden(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<CallError>().map(|error| error.status.code());
    matches!(code, Some(Code::NotFound | Code::PermissionDenied))
}

/// Compares messages and members as they are served with the fold of the log.
///
/// # Errors
/// Those of the calls.
pub async fn views(client: &Client, room: &str, log: &[v1::Event], seen: &Seen) -> anyhow::Result<()> {
    let head = log.last().map_or(0, |event| event.seq);
    let mut messages = messages(client, room, head).await?;
    // Nobody edits, reacts or deletes here: a message stays as it was sent.
    for folded in log.iter().filter_map(fold::sent) {
        let seq = folded.seq;
        let served = messages.remove(&seq);
        let equal = served.as_ref() == Some(&folded);
        seen.judge(|judge| judge.view(equal, || format!("{room}: message {seq} is served as {served:?}")));
    }
    for seq in messages.into_keys() {
        seen.judge(|judge| judge.view(false, || format!("{room}: {seq} is served and is no message")));
    }
    let (served, folded) = (members(client, room, head).await?, folded_members(log));
    let equal = served == folded;
    seen.judge(|judge| {
        judge.view(equal, || format!("{room}: the members are served as {served:?}, and are {folded:?}"));
    });
    Ok(())
}

/// The messages up to `head`, as they are served. What came later, such as one whose sender gave up on it, is left out.
async fn messages(client: &Client, room: &str, head: u64) -> anyhow::Result<BTreeMap<u64, v1::Message>> {
    let mut all = BTreeMap::new();
    loop {
        let after = all.last_key_value().map_or(0, |(seq, _)| *seq);
        let page = client
            .call(v1::ListMessagesRequest {
                conversation_id: room.to_owned(),
                anchor: Some(v1::list_messages_request::Anchor::AfterSeq(after)),
                limit: PAGE,
                at_least: head,
            })
            .await?;
        let before = all.len();
        all.extend(page.messages.into_iter().map(|message| (message.seq, message)));
        if all.len() == before || page.covered.unwrap_or_default().at_end {
            all.split_off(&(head + 1));
            return Ok(all);
        }
    }
}

/// Members by name: role, and since when.
type Members = BTreeMap<String, (i32, u64)>;

async fn members(client: &Client, room: &str, head: u64) -> anyhow::Result<Members> {
    let mut all = Members::new();
    let mut page_token = String::new();
    loop {
        let page = client
            .call(v1::ListMembersRequest {
                conversation_id: room.to_owned(),
                page_size: PAGE,
                page_token,
                at_least: head,
            })
            .await?;
        all.extend(page.members.into_iter().map(|member| (member.user, (member.role, member.since))));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

fn folded_members(log: &[v1::Event]) -> Members {
    use v1::event::Body;
    let mut all = Members::new();
    for event in log {
        match &event.body {
            Some(Body::ConversationCreated(v1::ConversationCreated { members, .. }))
            | Some(Body::MembersAdded(v1::MembersAdded { members })) => {
                all.extend(members.iter().map(|member| (member.user.clone(), (member.role, event.seq))));
            }
            Some(Body::MemberRemoved(removed)) => {
                all.remove(&removed.user);
            }
            _ => {}
        }
    }
    all
}
