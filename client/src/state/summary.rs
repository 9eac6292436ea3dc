//! What an event does to a conversation's line in the list. Pure.
use nexus_proto::v1::{Content, Conversation, Event, MemberRole, Role, event::Body};

/// Whether a content mentions a user.
pub(super) fn mentions(content: Option<&Content>, user: &str) -> bool {
    let mentions = content.and_then(|content| content.mentions.as_ref());
    mentions.is_some_and(|mentions| mentions.everyone || mentions.users.iter().any(|named| named == user))
}

/// Applies the next event. Read markers and what is counted from them are the caller's.
pub(super) fn apply(summary: &mut Conversation, user: &str, event: &Event) {
    summary.last_seq = event.seq;
    summary.last_at_ms = event.time_ms;
    summary.message_count = event.message_count;
    summary.reflects = event.seq;
    match &event.body {
        Some(Body::ConversationCreated(body)) => {
            summary.kind = body.kind;
            summary.title.clone_from(&body.title);
            summary.topic.clone_from(&body.topic);
            summary.visibility = body.visibility;
            summary.post_role = body.post_role;
            summary.creator.clone_from(&event.sender);
            summary.created_at_ms = event.time_ms;
            if summary.kind() == nexus_proto::v1::ConversationKind::Direct {
                let peer = body.members.iter().map(|member| &member.user).find(|name| *name != user);
                summary.peer = peer.cloned().unwrap_or_default();
            }
            joined(summary, user, event.seq, &body.members);
        }
        Some(Body::ConversationChanged(body)) => {
            let old = std::mem::take(summary);
            *summary = Conversation {
                title: body.title.clone().unwrap_or(old.title),
                topic: body.topic.clone().unwrap_or(old.topic),
                visibility: body.visibility.unwrap_or(old.visibility),
                post_role: body.post_role.unwrap_or(old.post_role),
                slow_mode_seconds: body.slow_mode_seconds.unwrap_or(old.slow_mode_seconds),
                ..old
            };
        }
        Some(Body::MembersAdded(body)) => joined(summary, user, event.seq, &body.members),
        Some(Body::MemberRemoved(body)) => {
            summary.member_count = summary.member_count.saturating_sub(1);
            if body.user == user {
                summary.set_role(Role::Unspecified);
                summary.member_since = 0;
            }
        }
        Some(Body::RoleChanged(body)) if body.user == user => summary.role = body.role,
        Some(Body::MessagePinned(_)) if !summary.pinned.contains(&event.target) => {
            summary.pinned.push(event.target);
        }
        Some(Body::MessageUnpinned(_)) => summary.pinned.retain(|seq| *seq != event.target),
        Some(Body::Trimmed(body)) => summary.floor = summary.floor.max(body.through),
        _ => {}
    }
}

fn joined(summary: &mut Conversation, user: &str, seq: u64, members: &[MemberRole]) {
    summary.member_count += u32::try_from(members.len()).unwrap_or(u32::MAX);
    if let Some(own) = members.iter().find(|member| member.user == user) {
        summary.role = own.role;
        summary.member_since = seq;
    }
}
