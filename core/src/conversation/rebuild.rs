//! Making the views anew from the log.

use super::{
    Fault,
    rows::{self, Key, PART},
    views::{self, Views},
};
use crate::{
    domain::{Place, Seq},
    log::Log,
    store::{Rows as Ask, Store, StoreError},
};
use std::sync::Arc;

/// Folds a conversation's whole log, or what is left of it, into a new generation of views, puts it in force, and drops
/// the older ones. What was trimmed is taken over as far as it is still meant to be known. Offline: no node may serve
/// the conversation meanwhile. Returns the seq that the views reflect now.
pub async fn rebuild(store: Arc<dyn Store>, log: &Log, place: &Place) -> Result<Seq, Fault> {
    let latest = log.latest(None).await?.map(|(_, statics)| statics);
    let (last, floor) = latest.map_or((0, 0), |statics| (statics.last_seq, statics.floor.seq));
    let (old, reflects) = views::in_force(&*store, place).await?;
    // Where it was trimmed and nothing deleted yet, it is all there.
    let whole = floor == 0 || !log.events_up(1, 1, 1).await?.is_empty();
    let begins = if whole { 0 } else { floor };
    let mut anew = Views::at(store.clone(), place.clone(), old + 1, begins);
    if !whole {
        if reflects < floor {
            let why = format!(
                "conversation {}: its views reflect {reflects}, and {floor} was trimmed",
                place.conversation
            );
            return Err(StoreError::Corrupt(why).into());
        }
        anew.take_over(old).await?;
    }
    anew.catch_up(log, last, floor).await?;
    anew.flush().await?;
    views::enforce(&*store, place, old + 1).await?;
    // A rebuild that died here left the one before as well. What the conversation is was stored first and goes last, so
    // that a generation without it has nothing else.
    for generation in 0..=old {
        let views = Views::at(store.clone(), place.clone(), generation, last);
        if views.read_rows(&Key::About, Ask::Keys(vec![Key::About.row()])).await?.is_empty() {
            continue;
        }
        views.drop_messages(0, last / PART * PART + PART - 1).await?;
        store.drop_cells(&rows::members(place, generation)).await?;
        store.drop_cells(&rows::invitations(place, generation)).await?;
        store.drop_cells(&views.partition(&Key::About)).await?;
    }
    Ok(last)
}
