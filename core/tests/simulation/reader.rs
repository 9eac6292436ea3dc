//! Somebody who looks things up: whatever a node serves must be the fold of the log at some seq between the one that it says
//! it reflects and the log's end.

use crate::{
    fold::{Plain, Said, person, said},
    node::Node,
    store::short_place,
    world::{USERS, World, name},
};
use nexus_core::{
    conversation::history::{Anchor, Look, ReadError},
    domain::{Place, Seq},
};
use nexus_proto::v1::Visibility;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// For so long a node may not know what another acknowledged; beyond what it is set to, what a look takes.
const BELIEVED: Duration = Duration::from_secs(31);

/// The folds of a log at every seq of a range.
struct Folds(Vec<Plain>);

impl Folds {
    fn within(world: &World, place: &Place, from: Seq) -> Self {
        let mut plain = Plain::default();
        let mut all = Vec::new();
        for event in world.model.log(place) {
            plain.take(&event);
            if event.seq >= from {
                all.push(plain.clone());
            }
        }
        Self(all)
    }

    fn any(&self, is: impl Fn(&Plain) -> bool) -> bool {
        self.0.iter().any(is)
    }
}

/// Looks things up now and then, as long as it is asked to.
pub async fn live(world: Arc<World>, times: usize) {
    for _ in 0..times {
        sleep(world.fate.ms(100..12_000)).await;
        let (place, user) = (world.fate.one(&[0, 0, 1, 2]), world.fate.one(&USERS));
        let place = world.places[place].clone();
        if let Some(node) = world.any_node() {
            looks(&world, &node, &place, user).await;
        }
    }
}

/// Looks a conversation up at a node and tells the judge. `false`: it got no answer.
pub async fn looks(world: &Arc<World>, node: &Arc<Node>, place: &Place, user: &str) -> bool {
    let looking = async {
        let latest = world.judge().last_acknowledged(&place.conversation.to_string());
        // Who demands nothing gets what this node acknowledged, and of the others' what is not too young.
        let mine = world.acknowledged_before(place, BELIEVED).max(node.acknowledged(place));
        let (demand, known) = if world.fate.percent(50) { (latest, latest) } else { (0, mine) };
        let look = match node.conversations.look(place, &name(user), demand).await {
            Ok(look) => look,
            Err(ReadError::Fault(_)) => return false,
            Err(error) => {
                // Nobody but members is told anything, and what was acknowledged is there.
                let folds = Folds::within(world, place, known);
                let stranger = known == 0 || folds.any(|fold| !fold.members.contains_key(user));
                // Who left is told of no end but the one that they saw.
                let left = demand > 0 && folds.any(|fold| fold.role(user).is_none());
                let expected = match error {
                    ReadError::Ahead { .. } => left,
                    _ => matches!(error, ReadError::Refused(_)) && stranger,
                };
                world.served(expected, || format!("{} told {user}: {error}", node.name));
                return true;
            }
        };
        let (Ok(page), Ok((members, reflects))) =
            (look.messages(Anchor::Before(Seq::MAX), 200).await, look.members("", 200).await)
        else {
            return false;
        };
        let at = format!("{}, {} for {user}", node.name, short_place(place));
        let fresh = look.role.is_none() || (look.reflects >= known && page.reflects >= known);
        world.served(fresh, || format!("{at}: {known} is not in {} or {}", look.reflects, page.reflects));
        compare_about(world, &at, place, &look, user);
        let folds = Folds::within(world, place, page.reflects);
        let left = look.intervals.0.last().and_then(|span| span.to);
        for (seq, row) in &page.messages {
            let row = said(row);
            if let Some(left) = left {
                world.served(could_be_read(world, place, *seq, &row, left), || {
                    format!("{at}, who left at {left}: message {seq} is {row:?}")
                });
                continue;
            }
            world.served(folds.any(|fold| fold.messages.get(seq) == Some(&row)), || {
                let truth = folds.0.first().map(|fold| fold.messages.get(seq));
                format!("{at}: message {seq} is {row:?} instead of {truth:?}")
            });
        }
        let served: BTreeSet<Seq> = page.messages.iter().map(|(seq, _)| *seq).collect();
        let covered = page.covered.first..=page.covered.last.min(look.head.last_seq);
        let truth: BTreeSet<Seq> = folds.0.first().map_or_else(BTreeSet::new, |fold| {
            let seqs =
                fold.messages.keys().filter(|seq| covered.contains(seq) && look.intervals.covers(**seq));
            seqs.copied().collect()
        });
        world.served(served == truth, || format!("{at}: messages {served:?} instead of {truth:?}"));

        let folds = Folds::within(world, place, reflects);
        for (user, row) in &members {
            let row = person(row);
            world.served(folds.any(|fold| fold.members.get(user.as_str()) == Some(&row)), || {
                format!("{at}: {user} is served as {row:?}")
            });
        }
        for user in USERS {
            let listed = members.iter().any(|(member, _)| member.as_str() == user);
            world.served(folds.any(|fold| fold.role(user).is_some() == listed), || {
                format!("{at}: {user} is listed as a member: {listed}")
            });
        }
        true
    };
    tokio::select! {
        biased;
        () = node.gate.died() => false,
        done = timeout(Duration::from_secs(60), looking) => done.unwrap_or(false),
    }
}

/// Whether a message is as it could be read before its reader left. What was deleted since stays so; of pins nobody who
/// left is told.
fn could_be_read(world: &World, place: &Place, seq: Seq, row: &Said, left: Seq) -> bool {
    let folds = Folds::within(world, place, 1);
    let mut before = folds.0.iter().filter(|fold| fold.seq <= left);
    let text = row.text.is_none()
        || before.any(|fold| fold.messages.get(&seq).is_some_and(|said| said.text == row.text));
    let at_leave = folds.0.iter().find(|fold| fold.seq == left).and_then(|fold| fold.messages.get(&seq));
    let replies = at_leave.is_none_or(|said| said.replies == row.replies);
    text && replies && !row.pinned && row.reactions.values().all(|given| *given <= left)
}

fn compare_about(world: &World, at: &str, place: &Place, look: &Look, user: &str) {
    let folds = Folds::within(world, place, look.reflects);
    let hidden = look.role.is_none() && look.about.visibility() != Visibility::Public;
    world.served(!hidden || look.about.title.is_empty(), || format!("{at} sees {:?}", look.about));
    world.served(hidden || folds.any(|fold| fold.differs(&look.about).is_none()), || {
        let why = folds.0.first().and_then(|fold| fold.differs(&look.about));
        format!("{at} at {}: {}", look.reflects, why.unwrap_or_default())
    });
    let spans: Vec<_> = look.intervals.0.iter().map(|span| (span.from, span.to)).collect();
    world.served(folds.any(|fold| fold.spans(user).0 == spans), || {
        format!("{at} at {}: was a member {spans:?}", look.reflects)
    });
}
