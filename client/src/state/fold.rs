//! What an event does to a message. Pure.
use nexus_proto::v1::{Event, Message, Reaction, event::Body};

/// The message that an event begins, if it begins one.
pub fn sent(event: &Event) -> Option<Message> {
    let Some(Body::MessageSent(body)) = &event.body else { return None };
    Some(Message {
        seq: event.seq,
        id: event.id.clone(),
        sender: event.sender.clone(),
        time_ms: event.time_ms,
        content: body.content.clone(),
        reply_to: body.reply_to,
        thread: body.thread,
        erased: event.erased,
        message_count: event.message_count,
        ..Message::default()
    })
}

/// The seqs of the earlier messages that an event changes.
pub fn touched(event: &Event) -> Vec<u64> {
    match &event.body {
        Some(Body::MessageSent(body)) => Vec::from_iter((body.thread > 0).then_some(body.thread)),
        Some(Body::ErasedEvents(body)) => body.seqs.clone(),
        _ => Vec::from_iter((event.target > 0).then_some(event.target)),
    }
}

/// Changes a message that the event [`touched`]. Events must be applied in order, each once.
pub fn apply(message: &mut Message, event: &Event) {
    match &event.body {
        Some(Body::MessageSent(_)) => message.thread_replies += 1,
        Some(Body::MessageEdited(body)) => {
            if !(message.deleted || message.erased || event.erased) {
                message.content = body.content.clone();
            }
            message.edited_at_ms = event.time_ms;
        }
        Some(Body::MessageDeleted(_)) => {
            message.content = None;
            message.deleted = true;
        }
        Some(Body::ErasedEvents(_)) => {
            message.content = None;
            message.erased = true;
        }
        Some(Body::ReactionAdded(body)) => add_reaction(message, &body.reaction, &event.sender),
        Some(Body::ReactionRemoved(body)) => remove_reaction(message, &body.reaction, &event.sender),
        Some(Body::MessagePinned(_)) => message.pinned = true,
        Some(Body::MessageUnpinned(_)) => message.pinned = false,
        _ => {}
    }
}

fn add_reaction(message: &mut Message, reaction: &str, user: &str) {
    let place = message.reactions.binary_search_by(|kind| kind.reaction.as_str().cmp(reaction));
    let place = place.unwrap_or_else(|place| {
        message.reactions.insert(place, Reaction { reaction: reaction.to_owned(), users: Vec::new() });
        place
    });
    let users = &mut message.reactions[place].users;
    if !users.iter().any(|given| given == user) {
        users.push(user.to_owned());
    }
}

fn remove_reaction(message: &mut Message, reaction: &str, user: &str) {
    for kind in message.reactions.iter_mut().filter(|kind| kind.reaction == reaction) {
        kind.users.retain(|given| given != user);
    }
    message.reactions.retain(|kind| !kind.users.is_empty());
}
