//! What there is: the store, writes that may still come, nodes, and what was sent and answered. A few dozen bytes, since there
//! are many millions of it.

use crate::Bounds;

/// Nodes.
pub const NODES: usize = 2;
/// Messages, at most.
pub const MESSAGES: usize = 3;
/// Events that fill a bucket.
pub const ROOM: u8 = 2;
/// First seqs that a bucket can have: 1 to 4.
const FIRSTS: u8 = 4;
/// Names of buckets: a first seq, and who named it, where that matters.
pub const NAMES: usize = FIRSTS as usize * NODES;
/// Writes that may still come: as many as can be unknown, or under way at a crash.
const LATE: usize = 4;
/// Messages that a node can hold; more than there are, for a queue that doesn't join them.
const QUEUE: usize = 6;

/// A message; 0: none.
pub type Message = u8;
/// A place in the log; 0: none.
pub type Seq = u8;

/// A bucket's name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(u8);

impl Name {
    /// The first bucket's.
    pub const FIRST: Name = Name(0);

    /// The bucket that begins at a seq; `None`: no such run comes that far.
    pub fn new(first: Seq, by: usize) -> Option<Name> {
        (first <= FIRSTS).then(|| Name((first - 1) * NODES as u8 + by as u8))
    }

    /// Where it begins.
    pub fn first(self) -> Seq {
        self.0 / NODES as u8 + 1
    }

    /// Its place in a table.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Every name, in order.
    pub fn all() -> impl DoubleEndedIterator<Item = Name> {
        (0..NAMES as u8).map(Name)
    }
}

/// A bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket {
    /// Its events; the first none ends them.
    pub events: [Message; ROOM as usize],
    /// Sealed.
    pub closed: bool,
}

impl Bucket {
    /// How many events it has; 0: it was never opened.
    pub fn len(self) -> u8 {
        self.events.iter().filter(|message| **message > 0).count() as u8
    }

    /// Whether it was never opened.
    pub fn is_empty(self) -> bool {
        self.events[0] == 0
    }

    /// Where in it a message is.
    pub fn find(self, message: Message) -> Option<u8> {
        self.events.iter().position(|event| *event == message).map(|index| index as u8)
    }
}

/// A conditional write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Write {
    /// Whether there is one at all.
    pub any: bool,
    /// To which bucket.
    pub to: Name,
    /// Events that the bucket must have; 0: it must not exist.
    pub expects: u8,
    /// What is appended; nothing: it only seals.
    pub messages: [Message; ROOM as usize],
    /// Whether it seals.
    pub seals: bool,
}

impl Write {
    /// What is appended.
    pub fn messages(&self) -> impl Iterator<Item = Message> + '_ {
        self.messages.iter().copied().filter(|message| *message > 0)
    }

    /// How much is appended.
    pub fn count(&self) -> usize {
        self.messages().count()
    }
}

/// What a node does next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// It doesn't know where the log ends.
    #[default]
    Cold,
    /// It reads a bucket's columns, to find the end.
    Follow,
    /// It knows the end, or thinks that it does.
    Ready,
    /// Its write is at the store.
    Waits,
    /// Its write was refused, or the answer didn't come.
    Decides,
    /// It opened a bucket and writes the index row now: only where the rule is left out.
    Indexes,
}

/// A node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// What it does next.
    pub step: Step,
    /// The bucket that it looks at.
    pub at: Name,
    /// The events that it knows there; 0: not opened.
    pub len: u8,
    /// What it wrote last and has no answer to.
    pub write: Write,
    /// Messages that wait, the next one first, each with whether it was looked up in closed buckets.
    queue: [(Message, bool); QUEUE],
}

impl Node {
    /// What waits, with whether it was looked up.
    pub fn queue(&self) -> impl Iterator<Item = (Message, bool)> + '_ {
        self.queue.iter().copied().take_while(|(message, _)| *message > 0)
    }

    /// Whether it has nothing to do.
    pub fn idle(&self) -> bool {
        self.queue[0].0 == 0
    }

    /// Whether a message waits, or is being written.
    pub fn has(&self, message: Message) -> bool {
        self.queue().any(|(waiting, _)| waiting == message)
    }

    /// Takes a message. `false`: there is no room.
    pub fn take(&mut self, message: Message) -> bool {
        let count = self.queue().count();
        let Some(place) = self.queue.get_mut(count) else { return false };
        *place = (message, false);
        true
    }

    /// Keeps of what waits what `keep` says, of its number in the queue.
    pub fn retain(&mut self, mut keep: impl FnMut(usize, Message) -> bool) {
        let old = std::mem::take(&mut self.queue);
        let waiting =
            old.into_iter().enumerate().filter(|(n, (message, _))| *message > 0 && keep(*n, *message));
        for (place, (_, entry)) in self.queue.iter_mut().zip(waiting) {
            *place = entry;
        }
    }

    /// Notes that the first so many were looked up.
    pub fn looked_up(&mut self, count: usize) {
        self.queue.iter_mut().take(count).filter(|entry| entry.0 > 0).for_each(|entry| entry.1 = true);
    }

    /// Everything is to be looked up again.
    pub fn look_up_again(&mut self) {
        self.queue.iter_mut().for_each(|entry| entry.1 = false);
    }
}

/// Every way of naming the messages; none stays none.
const RENAMED: [[Message; MESSAGES + 1]; 6] =
    [[0, 1, 2, 3], [0, 1, 3, 2], [0, 2, 1, 3], [0, 2, 3, 1], [0, 3, 1, 2], [0, 3, 2, 1]];

/// Everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    buckets: [Bucket; NAMES],
    /// A bit for each bucket that the index names.
    index: u8,
    /// Writes that may still be done, in order.
    late: [Write; LATE],
    /// The nodes.
    pub nodes: [Node; NODES],
    /// Times that each message may still be sent.
    pub attempts: [u8; MESSAGES],
    /// Where each message is, as its sender was told first.
    pub receipts: [Seq; MESSAGES],
    /// Whether somebody was told two places of one message.
    pub two_receipts: bool,
    /// Answers that may still fail to come.
    pub unknown: u8,
    /// Crashes that may still come.
    pub crashes: u8,
    /// Windows that may still pass.
    pub windows: u8,
}

impl State {
    /// Before anything happened.
    pub fn new(bounds: &Bounds) -> Self {
        let Bounds { messages, attempts, unknown, crashes, windows } = *bounds;
        Self {
            buckets: Default::default(),
            index: 0,
            late: Default::default(),
            nodes: Default::default(),
            attempts: std::array::from_fn(|n| if n < usize::from(messages) { attempts } else { 0 }),
            receipts: Default::default(),
            two_receipts: false,
            unknown,
            crashes,
            windows,
        }
    }

    /// The one that stands for all that differ from it in nothing but which message is called what; and which node,
    /// where `nodes` says that this makes no difference either. No rule asks for more of a message than whether it is the same.
    pub fn representative(&self, nodes: bool) -> Self {
        let named = RENAMED.iter().map(|names| self.renamed(names, nodes));
        named.min().unwrap_or(*self)
    }

    fn renamed(&self, names: &[Message; MESSAGES + 1], sorted: bool) -> Self {
        let name = |message: &mut Message| *message = names[usize::from(*message)];
        let mut renamed = *self;
        renamed.buckets.iter_mut().flat_map(|bucket| &mut bucket.events).for_each(name);
        renamed.late.iter_mut().flat_map(|write| &mut write.messages).for_each(name);
        renamed.late.sort_unstable();
        for node in &mut renamed.nodes {
            node.write.messages.iter_mut().for_each(name);
            node.queue.iter_mut().for_each(|(message, _)| name(message));
        }
        if sorted {
            renamed.nodes.sort_unstable();
        }
        for (old, new) in names[1..].iter().enumerate() {
            renamed.attempts[usize::from(*new) - 1] = self.attempts[old];
            renamed.receipts[usize::from(*new) - 1] = self.receipts[old];
        }
        renamed
    }

    /// A bucket.
    pub fn bucket(&self, name: Name) -> Bucket {
        self.buckets[name.index()]
    }

    /// A bucket, to change it.
    pub fn bucket_mut(&mut self, name: Name) -> &mut Bucket {
        &mut self.buckets[name.index()]
    }

    /// Buckets that were opened.
    pub fn opened(&self) -> impl Iterator<Item = (Name, Bucket)> + '_ {
        Name::all().map(|name| (name, self.bucket(name))).filter(|(_, bucket)| !bucket.is_empty())
    }

    /// Whether the index names a bucket.
    pub fn indexed(&self, name: Name) -> bool {
        self.index & (1 << name.index()) != 0
    }

    /// Has the index name a bucket.
    pub fn put_index(&mut self, name: Name) {
        self.index |= 1 << name.index();
    }

    /// The newest bucket that the index names.
    pub fn newest(&self) -> Option<Name> {
        Name::all().rfind(|name| self.indexed(*name))
    }

    /// Where a message is in the log, as often as it is there.
    pub fn places(&self, message: Message) -> impl Iterator<Item = (Seq, Name)> + '_ {
        self.opened().filter_map(move |(name, bucket)| Some((name.first() + bucket.find(message)?, name)))
    }

    /// Writes that may still be done.
    pub fn late(&self) -> impl Iterator<Item = Write> + '_ {
        self.late.iter().copied().filter(|write| write.any)
    }

    /// One more that may. `false`: there are too many.
    pub fn hold_back(&mut self, write: Write) -> bool {
        let Some(place) = self.late.iter_mut().find(|place| !place.any) else { return false };
        *place = write;
        self.late.sort_unstable();
        true
    }

    /// Takes one of them, by its number in [`Self::late`].
    pub fn release(&mut self, number: usize) -> Option<Write> {
        let place = self.late.iter_mut().filter(|write| write.any).nth(number)?;
        let write = std::mem::take(place);
        self.late.sort_unstable();
        Some(write)
    }

    /// Somebody is told where a message is.
    pub fn answer(&mut self, message: Message, seq: Seq) {
        let receipt = &mut self.receipts[usize::from(message) - 1];
        if *receipt == 0 {
            *receipt = seq;
        } else {
            self.two_receipts |= *receipt != seq;
        }
    }
}
