//! Somebody who writes: each request has an id of its own, and is tried with it again, anywhere, until it is answered; and
//! now and then once more, as after a lost answer.

use crate::{
    fold::Plain,
    node::Node,
    rare::Rare,
    store::{short, short_place},
    trouble::Trouble,
    world::{USERS, World, name},
};
use nexus_core::{
    conversation::{Command, CommandError, Receipt, Refusal, Which},
    domain::{ClientId, Place, Seq},
};
use nexus_proto::v1::{self, MemberRole, Role, event::Body};
use rand::RngCore as _;
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// Tries until a phone gives up for now.
const TRIES: usize = 12;

/// Somebody who writes.
pub struct Phone {
    world: Arc<World>,
    user: &'static str,
    /// How far its clock is off, milliseconds.
    off: i64,
}

/// A request that was made.
#[derive(Clone)]
pub struct Asked {
    pub command: Command,
    /// Its receipt, if it ever got one.
    pub receipt: Option<Receipt>,
    /// Whether some try's outcome is unknown.
    pub unknown: bool,
    /// Whether it was refused.
    pub refused: bool,
}

/// What one try came to.
enum Try {
    Receipt(Receipt),
    Refused(Refusal),
    Unknown,
}

impl Phone {
    pub fn new(world: Arc<World>, user: &'static str) -> Self {
        let fate = &world.fate;
        let off = if fate.weather().clocks { fate.one(&[0, 90_000, 86_400_000, -86_400_000]) } else { 0 };
        Self { world, user, off }
    }

    fn id(&self) -> ClientId {
        let mut chance = [0; 10];
        self.world.fate.rng().fill_bytes(&mut chance);
        let time = (self.world.fate.now_ms() + self.off) as u64;
        ClientId(uuid::Builder::from_unix_timestamp_millis(time, &chance).into_uuid())
    }

    /// Does so many things, one after the other, with pauses.
    pub async fn live(mut self, things: usize) {
        for _ in 0..things {
            let fate = &self.world.fate;
            if fate.percent(70) {
                sleep(fate.ms(0..4000)).await;
            }
            let place = fate.one(&[0, 0, 0, 1, 2]);
            let place = self.world.places[place].clone();
            if self.world.fate.percent(8) {
                self.marks(&place).await;
                continue;
            }
            let (target, body) = self.whim(&place);
            self.does(&place, target, body).await;
        }
    }

    /// Something to do.
    fn whim(&self, place: &Place) -> (Seq, Body) {
        let fate = &self.world.fate;
        // What it acts on is anything, sometimes what isn't there: nodes know better than phones.
        let known = self.world.model.end(place) + 1;
        let any = || 1 + fate.below(known as usize) as Seq;
        let text = |text: String| Some(v1::Content { text, ..Default::default() });
        let other = USERS[fate.below(USERS.len())];
        match fate.below(100) {
            0..45 => {
                let content = text("x".repeat(1 + fate.below(120)));
                let thread = if fate.percent(10) { any() } else { 0 };
                (0, Body::MessageSent(v1::MessageSent { content, thread, reply_to: 0 }))
            }
            45..53 => (any(), Body::MessageEdited(v1::MessageEdited { content: text("edited".into()) })),
            53..57 => (any(), Body::MessageDeleted(v1::MessageDeleted {})),
            57..65 => (any(), Body::ReactionAdded(v1::ReactionAdded { reaction: "+".into() })),
            65..69 => (any(), Body::ReactionRemoved(v1::ReactionRemoved { reaction: "+".into() })),
            69..80 => {
                let members = vec![MemberRole { user: other.into(), role: Role::Member as i32 }];
                (0, Body::MembersAdded(v1::MembersAdded { members }))
            }
            80..84 => {
                let members = vec![MemberRole { user: self.user.into(), role: Role::Member as i32 }];
                (0, Body::MembersAdded(v1::MembersAdded { members }))
            }
            84..90 => (0, Body::MemberRemoved(v1::MemberRemoved { user: other.into() })),
            90..92 => (0, Body::MemberRemoved(v1::MemberRemoved { user: self.user.into() })),
            92..94 => {
                let role = fate.one(&[Role::Member, Role::Admin]) as i32;
                (0, Body::RoleChanged(v1::RoleChanged { user: other.into(), role }))
            }
            94..96 => (any(), Body::MessagePinned(v1::MessagePinned {})),
            96..97 => (any(), Body::MessageUnpinned(v1::MessageUnpinned {})),
            _ => {
                let title = Some(format!("title {}", fate.below(1000)));
                (0, Body::ConversationChanged(v1::ConversationChanged { title, ..Default::default() }))
            }
        }
    }

    /// Moves its read marker.
    async fn marks(&self, place: &Place) {
        let Some(node) = self.world.any_node() else { return };
        let at = self.world.model.end(place);
        let marking = async { node.conversations.mark(place, &name(self.user), Which::Read, at, 0).await };
        if let Ok(Ok(())) = tokio::select! {
            biased;
            () = node.gate.died() => return,
            done = timeout(Duration::from_secs(20), marking) => done,
        } {
            self.world.marked(place, self.user, at);
        }
    }

    /// Asks for something until there is an answer.
    pub async fn does(&mut self, place: &Place, target: Seq, body: Body) {
        let id = Some(self.id());
        let command = Command { place: place.clone(), sender: name(self.user), id, target, body };
        let mut asked = Asked { command, receipt: None, unknown: false, refused: false };
        // Some have no patience at all.
        let tries = if self.world.fate.percent(10) { 1 } else { TRIES };
        self.world.pursue(&mut asked, tries).await;
        if asked.receipt.is_none() && !asked.refused && self.world.model.log(place).iter().any(|e| e.id == id)
        {
            self.world.fate.saw(Rare::GivenUp);
        }
        if asked.refused && self.off > 0 {
            // Every frame of a stream tells the server's time.
            self.off = 0;
        }
        let fate = &self.world.fate;
        if asked.receipt.is_some() && fate.percent(30) {
            // The answer was lost, and it is tried again after a while, while this one does other things.
            let (world, late) = (self.world.clone(), fate.ms(0..60_000));
            tokio::spawn(async move {
                sleep(late).await;
                world.pursue(&mut asked, 1).await;
                world.keep(asked);
            });
        } else {
            self.world.keep(asked);
        }
    }
}

impl World {
    /// Tries a request until it is answered, and tells the judge.
    pub async fn pursue(self: &Arc<Self>, asked: &mut Asked, tries: usize) {
        let Command { place, sender, id, .. } = asked.command.clone();
        let (conversation, id) = (place.conversation.to_string(), id.unwrap());
        for n in 0..tries {
            if n > 0 {
                sleep(self.fate.ms(0..3000)).await;
            }
            let Some(node) = self.route(&place) else {
                // Nobody answered the call: it certainly did nothing.
                continue;
            };
            let begun = self.model.end(&place);
            match self.attempt(&node, asked).await {
                Try::Unknown => asked.unknown = true,
                Try::Receipt(receipt) => {
                    self.fate.note(|| format!("{}: {} is {}", node.name, short(id), receipt.seq));
                    self.judge().acknowledged(&conversation, sender.as_str(), &id.to_string(), receipt.seq);
                    node.acknowledges(&place, receipt.seq);
                    self.acknowledged(&place, receipt.seq);
                    asked.receipt = Some(receipt);
                    // Now and then at once again, as if it had not heard.
                    if !self.fate.percent(10) {
                        return;
                    }
                }
                Try::Refused(refusal) => {
                    self.fate.note(|| format!("{}: {} is refused: {refusal}", node.name, short(id)));
                    let beyond = matches!(refusal, Refusal::Beyond { .. }) && self.short_horizon();
                    let after_all = asked.receipt.is_some() && !beyond;
                    // Whatever was tried before may have been done, and then still is; this says nothing of it.
                    let for_good = asked.receipt.is_none() && !asked.unknown;
                    if for_good || after_all {
                        self.judge().refused(&conversation, sender.as_str(), &id.to_string());
                    }
                    asked.refused = true;
                    self.justified(&node, asked, &refusal, begun);
                    return;
                }
            }
        }
    }

    async fn attempt(&self, node: &Arc<Node>, asked: &Asked) -> Try {
        let patience = self.fate.one(&[300, 3000, 11_000]);
        let submit = node.conversations.submit(asked.command.clone());
        let answer = tokio::select! {
            biased;
            () = node.gate.died() => return Try::Unknown,
            answer = timeout(Duration::from_millis(patience), submit) => answer,
        };
        match answer {
            Ok(Ok(_)) if self.fate.troubles.lasts(Trouble::AnswersLost) => {
                self.fate.saw(Rare::AnswerLost);
                Try::Unknown
            }
            Ok(Ok(receipt)) => Try::Receipt(receipt),
            Ok(Err(CommandError::Refused(refusal))) => Try::Refused(refusal),
            // Both are UNAVAILABLE: try again, with the same id.
            Ok(Err(CommandError::Unknown(why))) => {
                self.fate.note(|| format!("{}: unavailable: {why}", node.name));
                Try::Unknown
            }
            Err(_) => Try::Unknown,
        }
    }

    /// A member who was one all the time may say something: whoever refuses that decided on a view that is no fold.
    fn justified(&self, node: &Node, asked: &Asked, refusal: &Refusal, begun: Seq) {
        let Command { place, sender, body, .. } = &asked.command;
        let plain = matches!(body, Body::MessageSent(b) if b.thread == 0 && b.reply_to == 0);
        if !plain || !matches!(refusal, Refusal::NoConversation | Refusal::Denied(_) | Refusal::State(_)) {
            return;
        }
        let mut fold = Plain::default();
        let mut refusable = false;
        for event in self.model.log(place) {
            fold.take(&event);
            refusable |= event.seq >= begun
                && fold.role(sender.as_str()).is_none_or(|role| role < Role::Member as i32);
        }
        self.judge().view(refusable || begun == 0, || {
            let place = short_place(place);
            format!("{}: {sender} was a member of {place} since {begun} and was told: {refusal}", node.name)
        });
    }
}
