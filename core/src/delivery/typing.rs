//! Who types, until they stop or say no more. Kept in memory of the node that they told; the others hear when it
//! begins and when it ends.

use crate::domain::{Place, Seq, User};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long typing lasts without being said again.
pub const LASTS: Duration = Duration::from_secs(6);
/// How soon it is told again when it is said again.
const AGAIN: Duration = Duration::from_secs(2);
type Who = (Place, User, Seq);

/// Those who type.
pub struct Typists {
    all: Mutex<BTreeMap<Who, Typist>>,
    most: usize,
    most_in_one: usize,
}

struct Typist {
    until: Instant,
    told: Instant,
}

impl Typists {
    /// Nobody types. `most` may at once, and `most_in_one` in one conversation; beyond, nobody is told of more.
    pub fn new(most: usize, most_in_one: usize) -> Self {
        Self { all: Mutex::default(), most, most_in_one }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Who, Typist>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody types, or stopped, in a conversation or in one of its threads. Gives whether to tell others.
    pub fn set(&self, place: &Place, user: &User, thread: Seq, typing: bool, now: Instant) -> bool {
        let mut all = self.all();
        let who = (place.clone(), user.clone(), thread);
        if !typing {
            return all.remove(&who).is_some();
        }
        let until = now + LASTS;
        if let Some(typist) = all.get_mut(&who) {
            typist.until = until;
            let tell = now.duration_since(typist.told) >= AGAIN;
            if tell {
                typist.told = now;
            }
            return tell;
        }
        let first = (place.clone(), User::lowest(), 0);
        let here = all.range(first..).take_while(|((of, ..), _)| of == place).take(self.most_in_one).count();
        let room = all.len() < self.most && here < self.most_in_one;
        if room {
            all.insert(who, Typist { until, told: now });
        }
        room
    }

    /// Those whose typing is over because they said no more.
    pub fn expired(&self, now: Instant) -> Vec<Who> {
        let mut all = self.all();
        let over: Vec<Who> =
            all.iter().filter(|(_, typist)| typist.until <= now).map(|(who, _)| who.clone()).collect();
        for who in &over {
            all.remove(who);
        }
        over
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::domain::ConversationId;

    #[tokio::test(start_paused = true)]
    async fn typing_is_told_when_it_begins_goes_on_and_ends() {
        let typists = Typists::new(9, 9);
        let place =
            Place { tenant: User::new("t").unwrap(), conversation: ConversationId(uuid::Uuid::nil()) };
        let (ann, start) = (User::new("ann").unwrap(), Instant::now());
        assert!(!typists.set(&place, &ann, 0, false, start));
        assert!(typists.set(&place, &ann, 0, true, start));
        assert!(!typists.set(&place, &ann, 0, true, start + Duration::from_secs(1)));
        assert!(typists.set(&place, &ann, 0, true, start + Duration::from_secs(3)));
        assert!(typists.expired(start + Duration::from_secs(8)).is_empty());
        assert_eq!(typists.expired(start + Duration::from_secs(9)), [(place.clone(), ann.clone(), 0)]);
        assert!(!typists.set(&place, &ann, 0, false, start));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_not_told_of() {
        let typists = Typists::new(7, 5);
        let told = |conversation| {
            let conversation = ConversationId(uuid::Uuid::from_u128(conversation));
            let place = Place { tenant: User::new("t").unwrap(), conversation };
            let users = (0..9).map(|n| User::new(&format!("u{n}")).unwrap());
            users.filter(|user| typists.set(&place, user, 0, true, Instant::now())).count()
        };
        assert_eq!([told(1), told(2)], [5, 2]);
    }
}
