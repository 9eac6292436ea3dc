//! Rows and events as clients see them.

use crate::{
    conversation::{
        Head, Markers,
        history::Look,
        rows::{About, Member, MessageRow, Text},
        survey::Survey,
    },
    domain::{Event, Place, Seq, User},
};
use nexus_proto::v1;
use tonic::Status;

/// An event.
pub fn event(event: &Event) -> Result<v1::Event, Status> {
    event.to_wire().map_err(|error| Status::data_loss(format!("event {}: {error}", event.seq)))
}

/// Messages.
pub fn messages(rows: Vec<(Seq, MessageRow)>) -> Vec<v1::Message> {
    rows.into_iter().map(|(seq, row)| message(seq, row)).collect()
}

fn message(seq: Seq, MessageRow { text, reactions }: MessageRow) -> v1::Message {
    let mut given: Vec<(Seq, (String, String))> = reactions.into_iter().map(|(key, at)| (at, key)).collect();
    given.sort();
    let mut kinds: Vec<v1::Reaction> = Vec::new();
    for (_, (reaction, user)) in given {
        match kinds.iter_mut().find(|kind| kind.reaction == reaction) {
            Some(kind) => kind.users.push(user),
            None => kinds.push(v1::Reaction { reaction, users: vec![user] }),
        }
    }
    // Not by when each kind was first given: that would depend on reactions that were taken back.
    kinds.sort_by(|a, b| a.reaction.cmp(&b.reaction));
    let Text { id, sender, time_ms, content, reply_to, thread, edited_at, .. } = text;
    v1::Message {
        seq,
        id,
        sender,
        time_ms,
        content,
        reply_to,
        thread,
        edited_at_ms: edited_at,
        deleted: text.deleted,
        erased: text.erased,
        reactions: kinds,
        pinned: text.pinned,
        thread_replies: text.replies,
        message_count: text.messages,
    }
}

/// A member.
pub fn member(user: &User, row: &Member) -> v1::Member {
    v1::Member { user: user.to_string(), role: row.role, since: row.from.last().copied().unwrap_or_default() }
}

/// A conversation without anything of one user's own.
fn of_everybody(place: &Place, about: &About, head: &Head) -> v1::Conversation {
    v1::Conversation {
        id: place.conversation.to_string(),
        kind: about.kind,
        title: about.title.clone(),
        topic: about.topic.clone(),
        visibility: about.visibility,
        post_role: about.post_role,
        slow_mode_seconds: about.slow_mode_seconds,
        creator: about.creator.clone(),
        created_at_ms: about.created_at,
        member_count: about.members,
        last_seq: head.last_seq,
        message_count: head.messages,
        last_at_ms: head.last_at,
        floor: head.floor,
        pinned: about.pinned.clone(),
        reflects: head.last_seq,
        ..Default::default()
    }
}

/// A conversation as those see it who look after it.
pub fn surveyed(survey: &Survey) -> v1::Conversation {
    of_everybody(&survey.place, &survey.about, &survey.head)
}

/// A conversation as one user sees it.
pub fn conversation(
    look: &Look,
    user: &User,
    markers: Markers,
    mentions: u32,
    preferences: v1::Preferences,
) -> v1::Conversation {
    let (about, head) = (&look.about, &look.head);
    let peer = about.pair.iter().find(|name| name.as_str() != user.as_str());
    let current = look.intervals.current();
    v1::Conversation {
        peer: peer.cloned().unwrap_or_default(),
        role: look.role.map_or(0, |role| role as i32),
        member_since: current.map_or(0, |span| span.from),
        read_seq: markers.read,
        unread_count: current.map_or(0, |_| head.unread(markers.read_messages)),
        mention_count: mentions,
        preferences: current.map(|_| preferences),
        reflects: look.reflects,
        ..of_everybody(&look.place, about, head)
    }
}
