//! What a conversation notices of the invariants while it works. See also the checks of pages, of folding and of delivery.

use super::{
    fold::Rows,
    rows::{self, Key, MessageRow},
    writer::Conversation,
};
use crate::{
    domain::{ClientId, Event, Seq, User},
    log::Tail,
    store::{Dedupe, Row, Rows as Ask, StoreError},
};
use nexus_invariants::{Envelope, Invariant, log as invariants};
use std::collections::BTreeMap;

/// Events at the end of a log whose messages are compared with what is stored of them.
const SAMPLE: u64 = 200;

impl Conversation {
    /// LOG-2: what a retry is answered with is the event that it asked for.
    pub(super) async fn watch_retry(&self, sender: &User, id: ClientId, dedupe: &Dedupe) {
        // A read that fails says nothing.
        let Ok(mut events) = self.log.events_up(dedupe.seq, dedupe.seq, 1).await else { return };
        if events.is_empty() && self.log.tail().await.is_ok_and(|tail| dedupe.seq <= tail.floor().seq) {
            return;
        }
        let event = events.pop();
        let event = event.as_ref().map(Envelope::from);
        let named = invariants::named(event.as_ref(), sender.as_str(), &id.to_string());
        self.shared.watch.check(Invariant::Log2, named, || {
            format!("conversation {}: {id} of {sender} is not event {}", self.place.conversation, dedupe.seq)
        });
    }

    /// LOG-3: the log doesn't end before what was acknowledged here. Gives from where on that is asked.
    pub(super) fn watch_end(&self, acknowledged: Seq, tail: &Tail) -> Seq {
        let end = tail.last_seq();
        let holds = self.shared.watch.check(Invariant::Log3, acknowledged <= end, || {
            let place = self.place.conversation;
            format!("conversation {place}: {acknowledged} was acknowledged, and the log ends at {end}")
        });
        if holds { acknowledged } else { end }
    }

    /// VIEW-1, as a sample: the messages among the log's last events are stored as these events say. Whatever was made of
    /// such a message was made after it, so its whole story is among them.
    pub(super) async fn watch_views(&self) -> Result<(), StoreError> {
        let views = self.views(0, 0).await?;
        let to = views.folded();
        let from = (to + 1).saturating_sub(SAMPLE).max(views.rows().floor() + 1);
        let events = self.log.events_up(from, to, SAMPLE as usize).await?;
        let folded = folded(&events);
        let mut asked: BTreeMap<_, Vec<&Key>> = BTreeMap::new();
        for key in folded.keys() {
            asked.entry(views.partition(key)).or_default().push(key);
        }
        for (partition, keys) in asked {
            let ask = Ask::Keys(keys.iter().map(|key| key.row()).collect());
            let found = self.shared.store.read_rows(&partition, ask).await?;
            let found: BTreeMap<_, &Row> = found.iter().map(|row| (row.key.clone(), row)).collect();
            for key in keys {
                let stored = found.get(&key.row()).copied().map(rows::message).transpose()?.flatten();
                let same = stored.as_ref() == folded.get(key);
                // Another node may have stored what came later.
                if same || self.log.tail().await?.last_seq() == to {
                    self.shared.watch.check(Invariant::View1, same, || {
                        format!("conversation {}: {key:?} is stored as {stored:?}", self.place.conversation)
                    });
                }
            }
        }
        Ok(())
    }
}

/// The messages that were sent in these events, as these events leave them.
fn folded(events: &[Event]) -> BTreeMap<Key, MessageRow> {
    let mut rows = Rows::default();
    let mut sent = Vec::new();
    for event in events {
        let Ok(Some(body)) = event.decode() else { continue };
        rows.fold(event, &body);
        sent.extend(rows.message(event.seq).map(|_| event.seq));
    }
    let messages = sent.into_iter().filter_map(|seq| Some((Key::Message(seq), rows.message(seq)?.clone())));
    // What was erased is blank in the log as well, whatever the view still has of it.
    messages.filter(|(_, row)| !row.text.erased).collect()
}
