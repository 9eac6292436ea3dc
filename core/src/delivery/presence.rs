//! Who is here, on this node. Kept in memory only, per node; told to those who share a conversation, at most once a second per user.

use crate::{
    bus::Person,
    domain::{ConversationId, Tenant, User},
};
use nexus_proto::v1::{self, PresenceStatus};
use prost::Message as _;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a user is here after their last stream ended.
pub const LINGER: Duration = Duration::from_secs(60);

/// The users who are here.
#[derive(Default)]
pub struct Here(Mutex<BTreeMap<(Tenant, User), Entry>>);

struct Entry {
    status: PresenceStatus,
    text: String,
    streams: usize,
    /// To be told to others.
    news: bool,
    /// When the last stream ended, and who is to be told when that is long ago.
    gone: Option<Gone>,
}

struct Gone {
    at: Instant,
    at_ms: i64,
    conversations: Vec<ConversationId>,
}

/// Something to tell others about a user.
pub struct News {
    /// The user's tenant.
    pub tenant: Tenant,
    /// The user.
    pub user: User,
    /// How they are.
    pub presence: v1::Presence,
    /// Where to tell it; `None`: in the conversations of their streams.
    pub conversations: Option<Vec<ConversationId>>,
}

impl Here {
    fn users(&self) -> MutexGuard<'_, BTreeMap<(Tenant, User), Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream of a user was attached and has its conversations.
    pub fn came(&self, tenant: &Tenant, user: &User) {
        let fresh = || Entry {
            status: PresenceStatus::Online,
            text: String::new(),
            streams: 0,
            news: true,
            gone: None,
        };
        let mut users = self.users();
        let entry = users.entry((tenant.clone(), user.clone())).or_insert_with(fresh);
        entry.streams += 1;
        entry.gone = None;
    }

    /// A stream that came was detached; these were its conversations.
    pub fn went(
        &self,
        tenant: &Tenant,
        user: &User,
        conversations: Vec<ConversationId>,
        now: Instant,
        now_ms: i64,
    ) {
        if let Some(entry) = self.users().get_mut(&(tenant.clone(), user.clone())) {
            entry.streams = entry.streams.saturating_sub(1);
            if entry.streams == 0 {
                entry.gone = Some(Gone { at: now, at_ms: now_ms, conversations });
            }
        }
    }

    /// A user says how they are. `false` if they aren't here.
    pub fn set(&self, tenant: &Tenant, user: &User, status: PresenceStatus, text: &str) -> bool {
        let mut users = self.users();
        let Some(entry) = users.get_mut(&(tenant.clone(), user.clone())) else { return false };
        if entry.status != status || entry.text != text {
            entry.status = status;
            text.clone_into(&mut entry.text);
            entry.news = true;
        }
        true
    }

    /// How a user is, if they are here.
    pub fn get(&self, tenant: &Tenant, user: &User, now_ms: i64) -> Option<v1::Presence> {
        self.users().get(&(tenant.clone(), user.clone())).map(|entry| entry.shown(user, now_ms))
    }

    /// Everybody who is here.
    pub fn roll(&self, now_ms: i64) -> Vec<Person> {
        let users = self.users();
        let person = |((tenant, user), entry): (&(Tenant, User), &Entry)| Person {
            tenant: tenant.clone(),
            user: user.clone(),
            body: entry.shown(user, now_ms).encode_to_vec().into(),
        };
        users.iter().map(person).collect()
    }

    /// What is to be told now, of at most so many users; the others' turn comes next time.
    pub fn news(&self, now: Instant, now_ms: i64, most: usize) -> Vec<News> {
        let mut users = self.users();
        let long_gone =
            |entry: &Entry| entry.gone.as_ref().is_some_and(|gone| now.duration_since(gone.at) >= LINGER);
        let due = users.iter().filter(|(_, entry)| long_gone(entry) || (entry.news && entry.gone.is_none()));
        let due: Vec<(Tenant, User)> = due.map(|(key, _)| key.clone()).take(most).collect();
        let mut news = Vec::with_capacity(due.len());
        for key in due {
            let Some(entry) = users.get_mut(&key) else { continue };
            let (presence, conversations) =
                match entry.gone.take_if(|gone| now.duration_since(gone.at) >= LINGER) {
                    Some(gone) => {
                        users.remove(&key);
                        (offline(&key.1, gone.at_ms), Some(gone.conversations))
                    }
                    None => {
                        entry.news = false;
                        (entry.shown(&key.1, now_ms), None)
                    }
                };
            let (tenant, user) = key;
            news.push(News { tenant, user, presence, conversations });
        }
        news
    }
}

impl Entry {
    fn shown(&self, user: &User, now_ms: i64) -> v1::Presence {
        v1::Presence {
            user: user.to_string(),
            status: self.status.into(),
            text: self.text.clone(),
            last_seen_at_ms: self.gone.as_ref().map_or(now_ms, |gone| gone.at_ms),
        }
    }
}

/// One who is not here.
pub fn offline(user: &User, last_seen_at_ms: i64) -> v1::Presence {
    let status = PresenceStatus::Offline.into();
    v1::Presence { user: user.to_string(), status, text: String::new(), last_seen_at_ms }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn name(text: &str) -> User {
        User::new(text).unwrap()
    }

    fn told(here: &Here, now: Instant) -> Vec<(String, PresenceStatus)> {
        here.news(now, 5, 10)
            .into_iter()
            .map(|news| (news.presence.user.clone(), news.presence.status()))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn coming_is_told_once_and_going_when_it_lasted() {
        let (here, tenant, ann) = (Here::default(), name("t"), name("ann"));
        let start = Instant::now();
        here.came(&tenant, &ann);
        here.came(&tenant, &ann);
        assert_eq!(told(&here, start), [("ann".into(), PresenceStatus::Online)]);
        here.went(&tenant, &ann, vec![], start, 1);
        here.went(&tenant, &ann, vec![], start, 1);
        assert_eq!(told(&here, start + LINGER / 2), []);
        here.came(&tenant, &ann);
        here.went(&tenant, &ann, vec![], start + LINGER / 2, 2);
        assert_eq!(told(&here, start + LINGER), []);
        assert_eq!(here.get(&tenant, &ann, 9).unwrap().status(), PresenceStatus::Online);
        assert_eq!(here.roll(9).len(), 1);
        assert_eq!(told(&here, start + LINGER * 2), [("ann".into(), PresenceStatus::Offline)]);
        assert_eq!(here.get(&tenant, &ann, 9), None);
        assert!(!here.set(&tenant, &ann, PresenceStatus::Busy, ""));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_set_again_is_no_news() {
        let (here, tenant, ann) = (Here::default(), name("t"), name("ann"));
        here.came(&tenant, &ann);
        here.set(&tenant, &ann, PresenceStatus::Away, "lunch");
        assert_eq!(told(&here, Instant::now()), [("ann".into(), PresenceStatus::Away)]);
        here.set(&tenant, &ann, PresenceStatus::Away, "lunch");
        assert_eq!(told(&here, Instant::now()), []);
    }
}
