//! Making the views anew from the log.

use super::{
    Fault,
    rows::{self, Key, PART},
    views::{self, Views},
};
use crate::{
    domain::{Place, Seq},
    log::Log,
    store::Store,
};
use std::sync::Arc;

/// Folds a conversation's whole log into a new generation of views, puts it in force, and drops the old one.
/// Offline: no node may serve the conversation meanwhile. Returns the seq that the views reflect now.
pub async fn rebuild(store: Arc<dyn Store>, log: &Log, place: &Place) -> Result<Seq, Fault> {
    let last = log.latest().await?.map_or(0, |statics| statics.last_seq);
    let (old, _) = views::in_force(&*store, place).await?;
    let mut anew = Views::at(store.clone(), place.clone(), old + 1, 0);
    anew.catch_up(log, last).await?;
    anew.flush().await?;
    views::enforce(&*store, place, old + 1).await?;
    for first in (0..=last).step_by(PART as usize) {
        store.drop_cells(&Key::Message(first).partition(place, old)).await?;
    }
    store.drop_cells(&Key::About.partition(place, old)).await?;
    store.drop_cells(&rows::members(place, old)).await?;
    Ok(last)
}
