//! Invitations as the log says they are, written anew from the API's words.

use crate::{
    fold::Plain,
    node::Node,
    phone::Phone,
    rare::Rare,
    world::{USERS, World, name},
};
use nexus_core::{
    conversation::invitation::Invitation,
    domain::{Event, Kind, Place, Seq},
};
use nexus_proto::v1::{InvitationCreated, InvitationEnded, MemberRole, MembersAdded, Role, event::Body};
use std::{collections::BTreeSet, sync::Arc};
use tokio::{task::JoinSet, time::sleep};

/// An invitation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Invited {
    pub users: Vec<String>,
    pub expires_at: i64,
    pub max_uses: u32,
    pub uses: u32,
    /// Those who are named and accepted or declined.
    pub settled: BTreeSet<String>,
    pub revoked: bool,
}

impl Invited {
    pub fn of(body: InvitationCreated) -> Self {
        let InvitationCreated { users, expires_at_ms: expires_at, max_uses, .. } = body;
        Self { users, expires_at, max_uses, ..Self::default() }
    }

    fn used_up(&self) -> bool {
        let full = self.max_uses > 0 && self.uses >= self.max_uses;
        full || (!self.users.is_empty() && self.users.iter().all(|user| self.settled.contains(user)))
    }

    fn open_at(&self, now: i64) -> bool {
        !self.revoked && !self.used_up() && (self.expires_at == 0 || now < self.expires_at)
    }

    fn waits_for(&self, user: &str, now: i64) -> bool {
        let named = self.users.iter().any(|name| name == user);
        self.open_at(now) && named && !self.settled.contains(user)
    }

    fn settle(&mut self, user: &str) {
        if self.users.iter().any(|name| name == user) {
            self.settled.insert(user.to_owned());
        }
    }

    /// Somebody accepted, and so many joined.
    pub fn accepted(&mut self, user: &str, joined: usize) {
        self.uses += joined as u32;
        self.settle(user);
    }

    /// It was revoked, or declined.
    pub fn ended(&mut self, body: &InvitationEnded, now: i64) {
        match &body.user[..] {
            "" => self.revoked |= self.open_at(now),
            user => self.settle(user),
        }
    }

    fn is(&self, row: &Invitation) -> bool {
        let settled: BTreeSet<String> = row.settled.iter().cloned().collect();
        (&self.users, self.uses, &self.settled, self.revoked) == (&row.users, row.uses, &settled, row.revoked)
    }
}

impl Plain {
    /// Whether an event of invitations may follow; `None`: it is of another kind.
    pub fn allows_invited(&self, event: &Event, body: &Body) -> Option<bool> {
        let (sender, now) = (event.sender.as_str(), event.time_ms);
        let admin = self.role(sender).is_some_and(|role| role >= Role::Admin as i32);
        let invitation = self.invitations.get(&event.target);
        match body {
            Body::MembersAdded(b) if event.target > 0 => Some(invitation.is_some_and(|invitation| {
                let joins =
                    b.members.iter().all(|member| member.user == sender && self.role(sender).is_none());
                let may = invitation.users.is_empty() || invitation.waits_for(sender, now);
                joins && b.members.len() <= 1 && may && invitation.open_at(now)
            })),
            Body::InvitationCreated(b) => Some(admin && (b.expires_at_ms == 0 || b.expires_at_ms > now)),
            Body::InvitationEnded(b) if b.user.is_empty() => Some(admin && invitation.is_some()),
            Body::InvitationEnded(b) => Some(
                b.user == sender && invitation.is_some_and(|invitation| invitation.waits_for(sender, now)),
            ),
            _ => None,
        }
    }

    /// Those that only a use or somebody's word can end, and that are open.
    pub fn open(&self) -> Vec<Seq> {
        let lasting = self.invitations.iter().filter(|(_, i)| i.expires_at == 0 && i.open_at(0));
        lasting.map(|(seq, _)| *seq).collect()
    }
}

/// A link that lets in one, or two, and more who want to come in by it at once.
pub async fn rush(world: Arc<World>) {
    let place = world.places[0].clone();
    let (role, max_uses) = (Role::Member as i32, 1 + world.fate.below(2) as u32);
    let link = InvitationCreated { role, max_uses, secret_sha256: vec![7; 32], ..Default::default() };
    Phone::new(world.clone(), "ann").does(&place, 0, Body::InvitationCreated(link)).await;
    let log = world.model.log(&place);
    let Some(made) = log.iter().rfind(|event| event.kind == Kind::InvitationCreated) else { return };
    let (target, mut all) = (made.seq, JoinSet::new());
    for user in ["dee", "eve", "dee", "eve", "bob"] {
        let (mut phone, place, pause) =
            (Phone::new(world.clone(), user), place.clone(), world.fate.ms(0..500));
        let world = world.clone();
        all.spawn(async move {
            sleep(pause).await;
            phone.does(&place, target, accepts(user)).await;
            for _ in 0..world.fate.below(4) {
                sleep(world.fate.ms(0..2000)).await;
                let (target, body) = whim(&world, &place, user);
                phone.does(&place, target, body).await;
            }
        });
    }
    all.join_all().await;
}

fn accepts(user: &str) -> Body {
    let members = vec![MemberRole { user: user.into(), role: 0 }];
    Body::MembersAdded(MembersAdded { members })
}

/// To invite, or to do something with one of the last invitations, if there is any.
fn whim(world: &World, place: &Place, user: &str) -> (Seq, Body) {
    let (fate, log) = (&world.fate, world.model.log(place));
    let made: Vec<Seq> =
        log.iter().filter(|event| event.kind == Kind::InvitationCreated).map(|event| event.seq).collect();
    let target = if made.is_empty() { 1 } else { made[made.len() - 1 - fate.below(made.len().min(3))] };
    match fate.below(10) {
        0..4 => {
            let mut users =
                [USERS[fate.below(USERS.len())], user].map(str::to_owned)[..fate.below(3)].to_vec();
            users.dedup();
            let link = users.is_empty();
            let soon = if fate.percent(30) { fate.now_ms() + 1000 * fate.below(60) as i64 } else { 0 };
            let body = InvitationCreated {
                role: Role::Member as i32,
                secret_sha256: if link { vec![7; 32] } else { Vec::new() },
                max_uses: if link { fate.below(3) as u32 } else { 0 },
                users,
                expires_at_ms: soon,
                note: String::new(),
            };
            (0, Body::InvitationCreated(body))
        }
        4..7 => (target, accepts(user)),
        7..9 => (target, Body::InvitationEnded(InvitationEnded { user: user.into() })),
        _ => (target, Body::InvitationEnded(InvitationEnded { user: String::new() })),
    }
}

/// Compares what a node serves of a conversation's invitations with the fold of its log.
pub async fn compare(world: &Arc<World>, node: &Node, place: &Place, fold: &Plain) {
    let ann = name(USERS[0]);
    for (seq, invited) in &fold.invitations {
        if invited.max_uses > 0 && invited.used_up() {
            world.fate.saw(Rare::InvitationUsedUp);
        }
        let found = node.conversations.invitation(place, *seq, &ann).await.unwrap();
        let same = found.as_ref().is_some_and(|found| invited.is(&found.invitation));
        world.served(same, || format!("invitation {seq} is {invited:?}, and served as {found:?}"));
    }
    for user in USERS {
        let page = node.conversations.received(&place.tenant, &name(user), None, 1000).await.unwrap();
        // Whether time has ended one depends on the node's clock.
        let here = page.found.iter().filter(|f| f.place == *place && f.invitation.expires_at == 0);
        let listed: BTreeSet<Seq> = here.map(|found| found.seq).collect();
        let lasting = fold.invitations.iter().filter(|(_, invited)| invited.expires_at == 0);
        let wait = lasting.filter(|(_, invited)| invited.waits_for(user, 0));
        let wait: BTreeSet<Seq> = wait.map(|(seq, _)| *seq).collect();
        world.served(listed == wait, || format!("{wait:?} wait for {user}, and {listed:?} are listed"));
    }
}
