//! What may happen next, and what it does.

use crate::{
    Protocol,
    mutation::Mutation,
    state::{Bucket, MESSAGES, Message, NODES, Name, ROOM, State, Step, Write},
};

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Somebody sends a message, for the first time or again, to a node.
    Send(Message, usize),
    /// A write that was held back is done now.
    Late(usize),
    /// A node dies, and starts knowing nothing. Its write may still be done.
    Crash(usize),
    /// A node asks the index for the newest bucket.
    ReadIndex(usize),
    /// A node reads a bucket's columns at `SERIAL`.
    ReadBucket(usize),
    /// The window of the open bucket has passed, by a node's clock.
    Window(usize),
    /// A node looks up in closed buckets what it is about to append.
    Ask(usize),
    /// The same, from a replica that lacks it all: only where the rule is left out.
    AskInVain(usize),
    /// A node writes the index row of the bucket that it is about to open.
    PutIndex(usize),
    /// A node writes so many of the messages that wait.
    Append(usize, u8),
    /// A node's write is decided, and it hears of it.
    Outcome(usize),
    /// A node's write is done, but it doesn't hear of it.
    Unheard(usize),
    /// A node's write is held back: it may be done later, or never, and the node doesn't hear of it.
    HeldBack(usize),
    /// A node reads what became of its messages, at `SERIAL`.
    Decide(usize),
}

/// What may happen next.
pub fn actions(model: &Protocol, state: &State, actions: &mut Vec<Action>) {
    for message in 1..=MESSAGES as Message {
        if state.attempts[usize::from(message) - 1] == 0 {
            continue;
        }
        for node in 0..NODES {
            // The same id joins what is there already.
            if model.lacks(Mutation::JoinedInQueue) || !state.nodes[node].has(message) {
                actions.push(Action::Send(message, node));
            }
        }
    }
    for (n, write) in state.late().enumerate() {
        // Being refused changes nothing.
        if holds(model, state.bucket(write.to), &write) {
            actions.push(Action::Late(n));
        }
    }
    for n in 0..NODES {
        let node = &state.nodes[n];
        if state.crashes > 0 && (node.step != Step::Cold || !node.idle()) {
            actions.push(Action::Crash(n));
        }
        match node.step {
            Step::Waits => {
                actions.push(Action::Outcome(n));
                if state.unknown > 0 {
                    if holds(model, state.bucket(node.write.to), &node.write) {
                        actions.push(Action::Unheard(n));
                    }
                    actions.push(Action::HeldBack(n));
                }
            }
            Step::Decides => actions.push(Action::Decide(n)),
            Step::Indexes => actions.push(Action::PutIndex(n)),
            _ if node.idle() => {}
            Step::Cold => actions.push(Action::ReadIndex(n)),
            Step::Follow => actions.push(Action::ReadBucket(n)),
            Step::Ready => ready(model, state, n, actions),
        }
    }
}

fn ready(model: &Protocol, state: &State, n: usize, actions: &mut Vec<Action>) {
    let node = &state.nodes[n];
    if state.windows > 0 && node.len > 0 {
        actions.push(Action::Window(n));
    }
    let room = usize::from(ROOM - node.len);
    let next = node.queue().take(room);
    let (count, looked_up) =
        next.fold((0, true), |(count, all), (_, looked_up)| (count + 1, all && looked_up));
    if !looked_up {
        actions.push(Action::Ask(n));
        if model.lacks(Mutation::ClosedAtOne) {
            actions.push(Action::AskInVain(n));
        }
    } else if node.len == 0 && !state.indexed(node.at) && !model.lacks(Mutation::IndexBeforeOpen) {
        actions.push(Action::PutIndex(n));
    } else if count > 0 {
        actions.push(Action::Append(n, 1));
        if count > 1 {
            actions.push(Action::Append(n, count));
        }
    }
}

/// What it does; `None`: further than this model goes.
pub fn next(model: &Protocol, state: &State, action: Action) -> Option<State> {
    let mut state = *state;
    match action {
        Action::Send(message, n) => {
            state.attempts[usize::from(message) - 1] -= 1;
            state.nodes[n].take(message).then_some(state)
        }
        Action::Late(number) => {
            let write = state.release(number)?;
            apply(model, &mut state, &write).then_some(state)
        }
        Action::Crash(n) => {
            state.crashes -= 1;
            let node = std::mem::take(&mut state.nodes[n]);
            (node.step != Step::Waits || state.hold_back(node.write)).then_some(state)
        }
        Action::ReadIndex(n) => {
            let newest = state.newest();
            let node = &mut state.nodes[n];
            (node.step, node.at) = match newest {
                Some(name) => (Step::Follow, name),
                None => (Step::Ready, Name::FIRST),
            };
            Some(state)
        }
        Action::ReadBucket(n) => {
            let bucket = state.bucket(state.nodes[n].at);
            if bucket.closed {
                move_on(model, &mut state, n, bucket.len())?;
                state.nodes[n].step = Step::Follow;
            } else {
                (state.nodes[n].step, state.nodes[n].len) = (Step::Ready, bucket.len());
            }
            Some(state)
        }
        Action::Window(n) => {
            state.windows -= 1;
            let node = &mut state.nodes[n];
            if model.lacks(Mutation::SealBeforeOpen) {
                let len = node.len;
                return move_on(model, &mut state, n, len).map(|()| state);
            }
            node.write = Write {
                any: true,
                to: node.at,
                expects: node.len,
                seals: true,
                messages: Default::default(),
            };
            node.step = Step::Waits;
            Some(state)
        }
        Action::Ask(n) => {
            ask(model, &mut state, n);
            Some(state)
        }
        Action::AskInVain(n) => {
            let node = &mut state.nodes[n];
            node.looked_up(usize::from(ROOM - node.len));
            Some(state)
        }
        Action::PutIndex(n) => {
            state.put_index(state.nodes[n].at);
            if state.nodes[n].step == Step::Indexes {
                return done(model, state, n);
            }
            Some(state)
        }
        Action::Append(n, count) => {
            let node = &mut state.nodes[n];
            let mut messages = [0; ROOM as usize];
            let waiting = node.queue().take(usize::from(count));
            messages.iter_mut().zip(waiting).for_each(|(place, (message, _))| *place = message);
            // What fills a bucket seals it.
            let seals = node.len + count == ROOM;
            node.write = Write { any: true, to: node.at, expects: node.len, messages, seals };
            node.step = Step::Waits;
            Some(state)
        }
        Action::Outcome(n) => {
            let write = state.nodes[n].write;
            if !apply(model, &mut state, &write) {
                return Some(not_done(model, state, n));
            }
            if write.expects == 0 && model.lacks(Mutation::IndexBeforeOpen) {
                state.nodes[n].step = Step::Indexes;
                return Some(state);
            }
            done(model, state, n)
        }
        Action::Unheard(n) => {
            state.unknown -= 1;
            let write = state.nodes[n].write;
            apply(model, &mut state, &write);
            unknown(model, state, n)
        }
        Action::HeldBack(n) => {
            state.unknown -= 1;
            if state.hold_back(state.nodes[n].write) { unknown(model, state, n) } else { None }
        }
        Action::Decide(n) => Some(decide(model, state, n)),
    }
}

/// Whether a write's condition holds.
fn holds(model: &Protocol, bucket: Bucket, write: &Write) -> bool {
    let end = bucket.len() == write.expects
        || model.lacks(Mutation::EndInCondition) && bucket.len() >= write.expects && !bucket.is_empty();
    let open = !bucket.closed || model.lacks(Mutation::ClosedInCondition);
    let known = write.messages().any(|message| bucket.find(message).is_some());
    end && open && (!known || model.lacks(Mutation::IdsInCondition))
}

/// Does a write, if its condition holds.
fn apply(model: &Protocol, state: &mut State, write: &Write) -> bool {
    let holds = holds(model, state.bucket(write.to), write);
    if holds {
        let bucket = state.bucket_mut(write.to);
        let places = bucket.events.iter_mut().skip(usize::from(write.expects));
        places.zip(write.messages()).for_each(|(place, message)| *place = message);
        // All static columns are written, this one too.
        bucket.closed = write.seals;
    }
    holds
}

/// A node goes on to the bucket that follows one with so many events.
fn move_on(model: &Protocol, state: &mut State, n: usize, len: u8) -> Option<()> {
    let first = state.nodes[n].at.first() + len;
    let name = if model.lacks(Mutation::NamesBySeq) {
        let known = state.newest().filter(|name| name.first() >= first);
        known.or_else(|| Name::new(first, n))?
    } else {
        Name::new(first, 0)?
    };
    let node = &mut state.nodes[n];
    (node.at, node.len) = (name, 0);
    if !model.lacks(Mutation::AskedOnceClosed) {
        node.look_up_again();
    }
    Some(())
}

/// Looks up what fits into the bucket, and answers what is in those before it.
fn ask(model: &Protocol, state: &mut State, n: usize) {
    let node = state.nodes[n];
    let room = usize::from(ROOM - node.len);
    let mut found = [false; MESSAGES];
    for (message, looked_up) in node.queue().take(room) {
        if looked_up || model.lacks(Mutation::ClosedAsked) {
            continue;
        }
        // In a bucket that isn't closed yet, only those look who don't look again later.
        let behind = |name: Name| name.first() < node.at.first() || model.lacks(Mutation::AskedOnceClosed);
        let place = state.places(message).find(|(_, name)| behind(*name));
        if let Some((seq, _)) = place {
            state.answer(message, seq);
            found[usize::from(message) - 1] = true;
        }
    }
    let node = &mut state.nodes[n];
    node.looked_up(room);
    node.retain(|_, message| !found[usize::from(message) - 1]);
}

/// A node's write is done, and it knows.
fn done(model: &Protocol, mut state: State, n: usize) -> Option<State> {
    let write = std::mem::take(&mut state.nodes[n].write);
    if write.count() == 0 {
        // Where the log ends after a seal is read afresh.
        return Some(cold(model, state, n));
    }
    let first = write.to.first() + write.expects;
    write.messages().zip(first..).for_each(|(message, seq)| state.answer(message, seq));
    let node = &mut state.nodes[n];
    node.retain(|place, _| place >= write.count());
    (node.step, node.at, node.len) = (Step::Ready, write.to, write.expects + write.count() as u8);
    if write.seals {
        let len = node.len;
        move_on(model, &mut state, n, len)?;
    }
    Some(state)
}

/// A node hears nothing of its write.
fn unknown(model: &Protocol, state: State, n: usize) -> Option<State> {
    if model.lacks(Mutation::UnknownLookedUp) {
        return done(model, state, n);
    }
    Some(not_done(model, state, n))
}

/// A node's write was refused, or may have been.
fn not_done(model: &Protocol, mut state: State, n: usize) -> State {
    if state.nodes[n].write.count() == 0 {
        return cold(model, state, n);
    }
    state.nodes[n].step = Step::Decides;
    state
}

/// Answers what is in the bucket; the rest waits, where it waited.
fn decide(model: &Protocol, mut state: State, n: usize) -> State {
    let write = state.nodes[n].write;
    let bucket = state.bucket(write.to);
    let mut found = [false; MESSAGES];
    for message in write.messages() {
        if let Some(place) = bucket.find(message) {
            state.answer(message, write.to.first() + place);
            found[usize::from(message) - 1] = true;
        }
    }
    let count = write.count();
    state.nodes[n].retain(|place, message| place >= count || !found[usize::from(message) - 1]);
    cold(model, state, n)
}

/// A node forgets where the log ends.
fn cold(model: &Protocol, mut state: State, n: usize) -> State {
    let node = &mut state.nodes[n];
    (node.step, node.at, node.len, node.write) = (Step::Cold, Name::FIRST, 0, Write::default());
    if !model.lacks(Mutation::AskedOnceClosed) {
        node.look_up_again();
    }
    state
}
