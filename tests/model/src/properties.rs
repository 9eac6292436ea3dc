//! What must hold in every state, and what must be possible in some.

use crate::{
    Protocol,
    state::{MESSAGES, Message, ROOM, State, Step},
};
use stateright::Property;

/// What must hold.
pub fn must_hold() -> Vec<Property<Protocol>> {
    vec![
        Property::always("LOG-1: the log is dense", |_, state: &State| dense(state)),
        Property::always("LOG-2: an id is one event, and every answer names it", |_, state: &State| {
            !state.two_receipts && once(state)
        }),
        Property::always("LOG-3: what was acknowledged is in the log", |_, state: &State| {
            acknowledged(state).all(|(message, seq)| state.places(message).any(|(place, _)| place == seq))
        }),
        Property::always(
            "INDEX: what was acknowledged is in a bucket that the index names",
            |_, state: &State| {
                let mut places = acknowledged(state).flat_map(|(message, _)| state.places(message));
                places.all(|(_, name)| state.indexed(name))
            },
        ),
    ]
}

/// What must be possible, lest what holds holds because nothing happens.
pub fn must_be_possible() -> Vec<Property<Protocol>> {
    vec![
        Property::sometimes("all messages are acknowledged", |model: &Protocol, state: &State| {
            acknowledged(state).count() == usize::from(model.bounds.messages)
        }),
        Property::sometimes(
            "a bucket is closed by its window, and the next one opened",
            |_, state: &State| {
                let mut opened = state.opened();
                opened.any(|(_, bucket)| bucket.closed && bucket.len() < ROOM) && state.opened().count() > 1
            },
        ),
        Property::sometimes(
            "a bucket is closed because it is full, and the next one opened",
            |_, state: &State| {
                state.opened().any(|(_, bucket)| bucket.closed && bucket.len() == ROOM)
                    && state.opened().count() > 1
            },
        ),
        Property::sometimes("the index names a bucket that nobody opened", |_, state: &State| {
            state.newest().is_some_and(|name| state.bucket(name).is_empty())
        }),
        Property::sometimes("both nodes append at the same end", |_, state: &State| {
            let [one, other] = &state.nodes;
            let both = one.step == Step::Waits && other.step == Step::Waits;
            both && (one.write.to, one.write.expects) == (other.write.to, other.write.expects)
                && one.write.count() > 0
                && other.write.count() > 0
        }),
        Property::sometimes("both nodes open the same bucket, after another one", |_, state: &State| {
            let opens = |step: Step, len: u8, first: u8| step == Step::Ready && len == 0 && first > 1;
            state.nodes.iter().all(|node| opens(node.step, node.len, node.at.first()))
        }),
        Property::sometimes("one seals what the other appends to", |_, state: &State| {
            let seals = |node: usize| {
                let write = state.nodes[node].write;
                write.any && write.count() == 0
            };
            let appends = |node: usize| state.nodes[node].write.count() > 0;
            seals(0) && appends(1) || seals(1) && appends(0)
        }),
        Property::sometimes("both nodes have the same message", |_, state: &State| {
            messages().any(|message| state.nodes.iter().all(|node| node.has(message)))
        }),
        Property::sometimes("what a node doesn't know to be done is done", |_, state: &State| {
            let node = state.nodes.iter().find(|node| node.step == Step::Decides);
            node.is_some_and(|node| node.write.messages().all(|m| state.places(m).count() > 0))
        }),
        Property::sometimes(
            "a late write can still be done, and a node has the same message",
            |_, state: &State| {
                let mut late = state.late().filter(|late| state.bucket(late.to).len() == late.expects);
                late.any(|late| {
                    late.messages().any(|message| state.nodes.iter().any(|node| node.has(message)))
                        && !state.bucket(late.to).closed
                })
            },
        ),
        Property::sometimes(
            "a late write comes to a bucket that was sealed at the same end",
            |_, state: &State| {
                let mut late = state.late();
                late.any(|late| state.bucket(late.to).closed && state.bucket(late.to).len() == late.expects)
            },
        ),
        Property::sometimes("a retry is in a bucket that was closed meanwhile", |_, state: &State| {
            let retried = |message: Message| state.nodes.iter().any(|node| node.has(message));
            let closed = |message| state.places(message).any(|(_, name)| state.bucket(name).closed);
            messages().any(|message| retried(message) && closed(message))
        }),
        Property::sometimes("what was acknowledged is sent again", |_, state: &State| {
            acknowledged(state).any(|(message, _)| state.nodes.iter().any(|node| node.has(message)))
        }),
        Property::sometimes("a crash leaves an event that nobody acknowledged", |_, state: &State| {
            let forgotten =
                |m: Message| state.receipts[usize::from(m) - 1] == 0 && state.places(m).count() > 0;
            state.crashes == 0 && state.nodes.iter().all(|node| node.idle()) && messages().any(forgotten)
        }),
    ]
}

fn messages() -> impl Iterator<Item = Message> {
    1..=MESSAGES as Message
}

fn acknowledged(state: &State) -> impl Iterator<Item = (Message, u8)> + '_ {
    messages().map(|message| (message, state.receipts[usize::from(message) - 1])).filter(|(_, seq)| *seq > 0)
}

/// Whether no message is in the log twice.
fn once(state: &State) -> bool {
    let mut seen = 0u32;
    state.opened().all(|(_, bucket)| {
        bucket.events.into_iter().filter(|message| *message > 0).all(|message| {
            let again = seen & 1 << message != 0;
            seen |= 1 << message;
            !again
        })
    })
}

/// Whether the seqs are 1, 2, 3, ..., each once.
fn dense(state: &State) -> bool {
    let (mut seen, mut count) = (0u32, 0);
    for (name, bucket) in state.opened() {
        for seq in name.first()..name.first() + bucket.len() {
            seen |= 1 << seq;
            count += 1;
        }
    }
    seen == (1 << (count + 1)) - 2
}
