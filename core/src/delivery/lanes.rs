//! The hubs of a node by lane; each lane has a lock, under which everything that happens to its hubs happens.

use super::hub::Hub;
use crate::domain::{
    Place,
    hash::{LANES, lane_of},
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

type Lane = BTreeMap<Place, Hub>;

/// All hubs of a node. A hub is there as long as a stream is attached to it.
pub struct Lanes(Vec<Mutex<Lane>>);

impl Default for Lanes {
    fn default() -> Self {
        Self((0..LANES).map(|_| Mutex::default()).collect())
    }
}

impl Lanes {
    fn lane(&self, lane: u16) -> MutexGuard<'_, Lane> {
        self.0[usize::from(lane % LANES)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with a hub, which comes into being if need be.
    pub fn enter<R>(&self, place: &Place, what: impl FnOnce(&mut Hub) -> R) -> R {
        let mut lane = self.lane(lane_of(place));
        let hub = lane.entry(place.clone()).or_insert_with(|| Hub::new(place.conversation));
        let result = what(hub);
        if hub.is_empty() {
            lane.remove(place);
        }
        result
    }

    /// Does something with a hub if it is there.
    pub fn find<R>(&self, place: &Place, what: impl FnOnce(&mut Hub) -> R) -> Option<R> {
        let mut lane = self.lane(lane_of(place));
        let hub = lane.get_mut(place)?;
        let result = what(hub);
        if hub.is_empty() {
            lane.remove(place);
        }
        Some(result)
    }

    /// Which conversations of a lane have hubs, in their order.
    pub fn places(&self, lane: u16) -> Vec<Place> {
        self.lane(lane).keys().cloned().collect()
    }
}
