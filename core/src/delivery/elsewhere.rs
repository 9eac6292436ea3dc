//! Who is here by the word of other nodes, which repeat it: whoever is no longer named, or named by nobody who lives, is
//! not here any more. A node that starts learns it because nobody knows it yet, and so everybody tells it.

use super::presence::offline;
use crate::{
    bus::Person,
    domain::{Tenant, User},
};
use nexus_proto::v1::{self, PresenceStatus};
use prost::Message as _;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How often a node names everybody who is here.
pub const ROLL: Duration = Duration::from_secs(20);
/// How long its word counts: three rolls, and some time on the way.
pub const COUNTS: Duration = Duration::from_secs(65);
/// How soon a roll is called again because somebody unknown was heard.
const SOON: Duration = Duration::from_secs(2);
/// Users of other nodes that are kept in mind; of more nothing is known.
const MOST: usize = 1_000_000;
/// Nodes that are kept in mind.
const NODES: usize = 1000;

/// The users who are here elsewhere.
#[derive(Default)]
pub struct Elsewhere(Mutex<State>);

#[derive(Default)]
struct State {
    nodes: BTreeMap<u64, Node>,
    users: BTreeMap<(Tenant, User), BTreeMap<u64, Known>>,
    /// When the roll was called last on this node.
    called: Option<Instant>,
    /// Somebody was heard who may not know who is here.
    stranger: bool,
}

struct Node {
    heard: Instant,
    /// Whether it has named everybody once: what is new from then on is news.
    met: bool,
}

struct Known {
    presence: v1::Presence,
    heard: Instant,
    since: Instant,
}

impl Elsewhere {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node said how a user is.
    pub fn told(&self, node: u64, tenant: &Tenant, user: &User, presence: v1::Presence, now: Instant) {
        let mut state = self.state();
        if state.meet(node, now) {
            state.learn(node, tenant, user, presence, now);
        }
    }

    /// A node called its roll, or a page of it. Gives who is otherwise than was known, if that can be known.
    pub fn rolled(&self, node: u64, people: &[Person], last: bool, now: Instant) -> Vec<Person> {
        let mut state = self.state();
        if !state.meet(node, now) {
            return Vec::new();
        }
        let met = state.nodes.get(&node).is_some_and(|node| node.met);
        let mut news = Vec::new();
        for person in people {
            let Ok(presence) = v1::Presence::decode(person.body.clone()) else { continue };
            if state.learn(node, &person.tenant, &person.user, presence, now) && met {
                news.push(person.clone());
            }
        }
        if let Some(node) = state.nodes.get_mut(&node) {
            node.met |= last;
        }
        news
    }

    /// How a user is by the word of the node that had news of them last.
    pub fn get(&self, tenant: &Tenant, user: &User) -> Option<v1::Presence> {
        let state = self.state();
        let known = state.users.get(&(tenant.clone(), user.clone()))?;
        known.values().max_by_key(|known| known.since).map(|known| known.presence.clone())
    }

    /// Whether to call this node's roll now, and if so whether anybody else is there who would hear it.
    pub fn roll_call(&self, now: Instant) -> Option<bool> {
        let mut state = self.state();
        let wait = if state.stranger { SOON } else { ROLL };
        if state.called.is_some_and(|at| now.saturating_duration_since(at) < wait) {
            return None;
        }
        state.called = Some(now);
        state.stranger = false;
        Some(!state.nodes.is_empty())
    }

    /// Those of whom nobody says any more that they are here, as they are now.
    pub fn expired(&self, now: Instant) -> Vec<(Tenant, User, v1::Presence)> {
        let mut state = self.state();
        let counts = |heard: Instant| now.saturating_duration_since(heard) < COUNTS;
        state.nodes.retain(|_, node| counts(node.heard));
        let mut expired = Vec::new();
        state.users.retain(|(tenant, user), known| {
            let mut seen = 0;
            known.retain(|_, known| {
                seen = seen.max(known.presence.last_seen_at_ms);
                counts(known.heard)
            });
            if known.is_empty() {
                expired.push((tenant.clone(), user.clone(), offline(user, seen)));
            }
            !known.is_empty()
        });
        expired
    }
}

impl State {
    /// Gives whether a node is kept in mind.
    fn meet(&mut self, node: u64, now: Instant) -> bool {
        if !self.nodes.contains_key(&node) {
            if self.nodes.len() >= NODES {
                return false;
            }
            self.stranger = true;
        }
        self.nodes.entry(node).or_insert(Node { heard: now, met: false }).heard = now;
        true
    }

    /// Gives whether it is otherwise than was known.
    fn learn(
        &mut self,
        node: u64,
        tenant: &Tenant,
        user: &User,
        presence: v1::Presence,
        now: Instant,
    ) -> bool {
        let key = (tenant.clone(), user.clone());
        if presence.status() == PresenceStatus::Offline {
            let Some(known) = self.users.get_mut(&key) else { return false };
            let was = known.remove(&node).is_some();
            if known.is_empty() {
                self.users.remove(&key);
            }
            return was;
        }
        if self.users.len() >= MOST && !self.users.contains_key(&key) {
            return false;
        }
        let of_nodes = self.users.entry(key).or_default();
        let before = of_nodes.get(&node);
        let same = before.filter(|before| {
            before.presence.status == presence.status && before.presence.text == presence.text
        });
        let (new, since) = (same.is_none(), same.map_or(now, |same| same.since));
        of_nodes.insert(node, Known { presence, heard: now, since });
        new
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use tokio::time::advance;

    fn name(text: &str) -> User {
        User::new(text).unwrap()
    }

    fn person(user: &str, status: PresenceStatus) -> Person {
        let presence = v1::Presence { user: user.into(), status: status.into(), ..Default::default() };
        Person { tenant: name("t"), user: name(user), body: presence.encode_to_vec().into() }
    }

    fn users(people: &[Person]) -> Vec<&str> {
        people.iter().map(|person| person.user.as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_roll_is_no_news_and_what_changes_later_is() {
        let (all, now) = (Elsewhere::default(), Instant::now());
        let ann = person("ann", PresenceStatus::Online);
        assert!(all.rolled(1, std::slice::from_ref(&ann), true, now).is_empty());
        assert!(all.rolled(1, std::slice::from_ref(&ann), true, now).is_empty());
        let people = [person("ann", PresenceStatus::Busy), person("bob", PresenceStatus::Away)];
        assert_eq!(users(&all.rolled(1, &people, true, now)), ["ann", "bob"]);
        assert_eq!(all.get(&name("t"), &name("ann")).unwrap().status(), PresenceStatus::Busy);
        assert!(all.get(&name("t"), &name("cid")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_word_of_a_dead_node_counts_for_a_while() {
        let all = Elsewhere::default();
        let people = [person("ann", PresenceStatus::Online), person("bob", PresenceStatus::Online)];
        all.rolled(1, &people, true, Instant::now());
        all.rolled(2, &people[..1], true, Instant::now());
        advance(COUNTS / 2).await;
        all.rolled(2, &people[..1], true, Instant::now());
        assert!(all.expired(Instant::now()).is_empty());
        advance(COUNTS / 2).await;
        let expired = all.expired(Instant::now());
        assert_eq!(expired.iter().map(|(_, user, _)| user.as_str()).collect::<Vec<_>>(), ["bob"]);
        assert!(all.get(&name("t"), &name("ann")).is_some(), "node 2 has her still");
        all.told(2, &name("t"), &name("ann"), offline(&name("ann"), 7), Instant::now());
        assert!(all.get(&name("t"), &name("ann")).is_none());
        advance(COUNTS).await;
        assert!(all.expired(Instant::now()).is_empty(), "it was told before");
    }

    #[tokio::test(start_paused = true)]
    async fn the_roll_is_called_now_and_then_and_soon_for_a_stranger() {
        let all = Elsewhere::default();
        assert_eq!(all.roll_call(Instant::now()), Some(false));
        advance(SOON).await;
        assert_eq!(all.roll_call(Instant::now()), None);
        all.rolled(1, &[], false, Instant::now());
        assert_eq!(all.roll_call(Instant::now()), Some(true));
        advance(SOON).await;
        all.rolled(1, &[], true, Instant::now());
        assert_eq!(all.roll_call(Instant::now()), None);
        advance(ROLL).await;
        assert_eq!(all.roll_call(Instant::now()), Some(true));
    }
}
