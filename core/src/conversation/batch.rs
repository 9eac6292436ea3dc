//! A batch of commands: who waits for what, what is to become of each, and how they are answered.

use super::{
    command::{CommandError, Receipt, Refusal},
    fold::Change,
    received,
    request::Request,
};
use crate::{
    bus::Hint,
    domain::{Place, User},
    log::Entry,
    store::Dedupe,
};
use nexus_proto::v1::event::Body;
use std::collections::HashMap;
use tokio::sync::oneshot;

pub(super) type Answer = Result<Receipt, CommandError>;

/// A request that waits for its answer.
pub(super) struct Pending {
    pub request: Request,
    pub digest: [u8; 32],
    pub answer: oneshot::Sender<Answer>,
}

/// What a batch is to do, by the index of each command in it.
#[derive(Default)]
pub(super) struct Plan {
    pub entries: Vec<Entry>,
    pub seqs: HashMap<usize, Dedupe>,
    pub refused: HashMap<usize, Refusal>,
    pub changes: Vec<Change>,
    /// Users who become members.
    pub joining: Vec<User>,
    /// Users whose membership changes.
    pub moved: Vec<User>,
}

impl Plan {
    pub fn note_members(&mut self, body: &Body) {
        let (joining, leaving): (&[_], _) = match body {
            Body::ConversationCreated(b) => (&b.members, None),
            Body::MembersAdded(b) => (&b.members, None),
            Body::MemberRemoved(b) => (&[], Some(&b.user)),
            _ => (&[], None),
        };
        let joining: Vec<User> = joining.iter().filter_map(|m| User::new(&m.user).ok()).collect();
        self.moved.extend(joining.iter().cloned());
        self.moved.extend(leaving.and_then(|user| User::new(user).ok()));
        self.joining.extend(joining);
    }

    /// What users are told of it, apart from the events.
    pub fn hints(&self, place: &Place) -> Vec<Hint> {
        let moved = self.moved.iter().cloned();
        let moved = moved.map(|user| Hint::Memberships { tenant: place.tenant.clone(), user });
        moved.chain(received::hints(place, &self.changes)).collect()
    }
}

pub(super) fn answer(pending: Pending, what: Answer) {
    // Whoever asked may be gone.
    let _ = pending.answer.send(what);
}

/// The first result of an id, if it is the same request.
pub(super) fn answer_first(pending: Pending, first: Dedupe) {
    let what = first_result(&pending.digest, first);
    answer(pending, what);
}

/// What the second one of two requests with one id is told.
pub(super) fn first_result(digest: &[u8; 32], first: Dedupe) -> Answer {
    if first.digest == *digest {
        return Ok(Receipt { seq: first.seq, time_ms: first.time_ms });
    }
    let why = format!("was used for another request (seq {}): make a new one for new content", first.seq);
    Err(Refusal::Invalid { field: "client_id", why }.into())
}

pub(super) fn ahead(now: i64) -> Refusal {
    let why = format!(
        "its time is too far ahead of the server's, which is {now} ms: make ids with the server's time"
    );
    Refusal::Invalid { field: "client_id", why }
}
