//! What is checked of a log while it is read, event after event. Knows nothing of how it is read.

use nexus_client::v1::{self, Event, MemberRole, event::Body};
use nexus_invariants::{Invariant, Verdict, log};
use std::collections::{BTreeMap, HashSet};

/// A member, as the log says and as is served: role, and since when.
type Members = BTreeMap<String, (i32, u64)>;

/// A log, as far as it was read.
#[derive(Default)]
pub struct Checks {
    first: u64,
    next: u64,
    /// Whether all that there ever was was read, so that members can be counted.
    from_the_start: bool,
    ids: HashSet<(String, String)>,
    members: Members,
    /// The running count of messages at the last event; `None` before the first that was read.
    messages: Option<u64>,
    dense: Verdict,
    one_event: Verdict,
    views: Verdict,
}

impl Checks {
    /// Of a whole log, which was trimmed up to a seq.
    pub fn whole(floor: u64) -> Self {
        Self { first: floor + 1, next: floor + 1, from_the_start: floor == 0, ..Self::default() }
    }

    /// Of the part that begins with a seq, before which somebody was no member.
    pub fn part(first: u64) -> Self {
        Self { first, next: first, from_the_start: first == 1, ..Self::default() }
    }

    /// Takes events that follow those before.
    pub fn page(&mut self, events: &[Event]) {
        for event in events {
            let (next, seq) = (self.next, event.seq);
            self.dense.check(log::dense(next, [seq]), || format!("event {seq} stands where {next} belongs"));
            if !event.id.is_empty() {
                let new = self.ids.insert((event.sender.clone(), event.id.clone()));
                self.one_event
                    .check(new, || format!("event {seq}: the id {} of {} again", event.id, event.sender));
            }
            self.fold(event);
            self.next = seq + 1;
        }
    }

    fn fold(&mut self, event: &Event) {
        let is_message = matches!(event.body, Some(Body::MessageSent(_)));
        // The first that is read says how many there were before.
        let counted = self.messages.map_or(event.message_count, |messages| messages + u64::from(is_message));
        self.views.check(counted == event.message_count, || {
            format!("event {} counts {} messages, and it is number {counted}", event.seq, event.message_count)
        });
        self.messages = Some(event.message_count);
        match &event.body {
            Some(Body::ConversationCreated(body)) => self.join(&body.members, event.seq),
            Some(Body::MembersAdded(body)) => self.join(&body.members, event.seq),
            Some(Body::MemberRemoved(body)) => drop(self.members.remove(&body.user)),
            Some(Body::RoleChanged(body)) => {
                if let Some((role, _)) = self.members.get_mut(&body.user) {
                    *role = body.role;
                }
            }
            _ => {}
        }
    }

    fn join(&mut self, members: &[MemberRole], seq: u64) {
        for member in members {
            self.members.entry(member.user.clone()).or_insert((member.role, seq));
        }
    }

    /// Compares what is served with what was read, both up to the same event.
    pub fn compare(&mut self, served: &v1::Conversation, members: &[v1::Member]) {
        let messages = self.messages.unwrap_or(served.message_count);
        self.views.check(served.message_count == messages, || {
            format!("{} messages are served, and the log counts {messages}", served.message_count)
        });
        let listed: Members =
            members.iter().map(|member| (member.user.clone(), (member.role, member.since))).collect();
        self.views.check(served.member_count as usize == listed.len(), || {
            format!("{} members are counted, and {} are listed", served.member_count, listed.len())
        });
        if !self.from_the_start {
            return;
        }
        let said = &self.members;
        for user in said.keys().chain(listed.keys().filter(|user| !said.contains_key(*user))) {
            let (log, view) = (said.get(user), listed.get(user));
            self.views.check(log == view, || {
                format!("{user} is listed as {view:?} (role, since), and is {log:?} by the log")
            });
        }
    }

    /// The first event that was to be read.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The last event that was read.
    pub fn last(&self) -> u64 {
        self.next - 1
    }

    /// What came of it.
    pub fn verdicts(&self) -> [(Invariant, Verdict); 3] {
        [
            (Invariant::Log1, self.dense.clone()),
            (Invariant::Log2, self.one_event.clone()),
            (Invariant::View1, self.views.clone()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, id: &str, messages: u64, body: Body) -> Event {
        let (id, sender) = (id.to_owned(), "ann".to_owned());
        Event { seq, id, sender, message_count: messages, body: Some(body), ..Event::default() }
    }

    fn said(seq: u64, id: &str, messages: u64) -> Event {
        event(seq, id, messages, Body::MessageSent(v1::MessageSent::default()))
    }

    fn role(user: &str, role: v1::Role) -> MemberRole {
        MemberRole { user: user.into(), role: role as i32 }
    }

    fn log() -> Vec<Event> {
        let members = vec![role("ann", v1::Role::Owner), role("bob", v1::Role::Member)];
        let created = v1::ConversationCreated { members, ..Default::default() };
        let removed = |user: &str| Body::MemberRemoved(v1::MemberRemoved { user: user.into() });
        let promoted = v1::RoleChanged { user: "eve".into(), role: v1::Role::Admin as i32 };
        let added =
            v1::MembersAdded { members: vec![role("eve", v1::Role::Reader), role("ann", v1::Role::Reader)] };
        vec![
            event(1, "a", 0, Body::ConversationCreated(created)),
            said(2, "b", 1),
            event(3, "c", 1, removed("bob")),
            event(4, "", 1, removed("nobody")),
            event(5, "d", 1, Body::MembersAdded(added)),
            event(6, "e", 1, Body::RoleChanged(promoted)),
            said(7, "f", 2),
        ]
    }

    fn served() -> (v1::Conversation, Vec<v1::Member>) {
        let member =
            |user: &str, role: v1::Role, since| v1::Member { user: user.into(), role: role as i32, since };
        let members = vec![member("ann", v1::Role::Owner, 1), member("eve", v1::Role::Admin, 5)];
        (v1::Conversation { message_count: 2, member_count: 2, ..Default::default() }, members)
    }

    fn violated(checks: &Checks) -> [u64; 3] {
        checks.verdicts().map(|(_, verdict)| verdict.violated)
    }

    #[test]
    fn a_log_that_is_whole_is_found_so() {
        let mut checks = Checks::whole(0);
        checks.page(&log()[..3]);
        checks.page(&log()[3..]);
        let (conversation, members) = served();
        checks.compare(&conversation, &members);
        assert_eq!(violated(&checks), [0; 3], "{:?}", checks.verdicts());
        assert_eq!((checks.first(), checks.last()), (1, 7));
        assert!(checks.verdicts().iter().all(|(_, verdict)| verdict.checked > 0));
    }

    #[test]
    fn a_gap_an_id_that_comes_again_and_a_wrong_count_are_found() {
        let found = |change: fn(&mut Vec<Event>)| {
            let (mut events, mut checks) = (log(), Checks::whole(0));
            change(&mut events);
            checks.page(&events);
            violated(&checks)
        };
        assert_eq!(found(|events| drop(events.remove(4))), [1, 0, 0]);
        assert_eq!(found(|events| events[4].seq = 4), [2, 0, 0], "twice the same, and then a gap");
        assert_eq!(found(|events| events[6].id = "b".into()), [0, 1, 0]);
        assert_eq!(found(|events| events[6].message_count = 3), [0, 0, 1]);
        let mut trimmed = Checks::whole(3);
        trimmed.page(&log()[4..]);
        assert_eq!(violated(&trimmed)[0], 1, "it begins above its floor");
    }

    #[test]
    fn what_is_served_otherwise_than_the_log_says_is_found() {
        let found = |checks: Checks, change: fn(&mut v1::Conversation, &mut Vec<v1::Member>)| {
            let ((mut conversation, mut members), mut checks) = (served(), checks);
            checks.page(&log()[checks.last() as usize..]);
            change(&mut conversation, &mut members);
            checks.compare(&conversation, &members);
            violated(&checks)[2]
        };
        assert_eq!(found(Checks::whole(0), |conversation, _| conversation.message_count = 1), 1);
        assert_eq!(found(Checks::whole(0), |conversation, _| conversation.member_count = 3), 1);
        assert_eq!(found(Checks::whole(0), |_, members| members[1].role = v1::Role::Reader as i32), 1);
        assert_eq!(found(Checks::whole(0), |_, members| members[0].user = "bob".into()), 2);
        // Who was there before what was read isn't known.
        assert_eq!(found(Checks::whole(4), |_, members| members[0].user = "bob".into()), 0);
        assert_eq!(found(Checks::part(5), |_, _| ()), 0);
    }
}
