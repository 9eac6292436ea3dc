//! The hubs of a node by lane; each lane has a lock, under which everything that happens to its hubs happens.

use super::hub::Hub;
use crate::domain::{
    Place,
    hash::{LANES, lane_of},
};
use prometheus::IntGauge;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

type Lane = BTreeMap<Place, Hub>;

/// All hubs of a node. A hub is there as long as a stream is attached to it.
pub struct Lanes {
    lanes: Vec<Mutex<Lane>>,
    count: IntGauge,
}

impl Lanes {
    /// No hubs yet; `count` says how many there are.
    pub fn new(count: IntGauge) -> Self {
        Self { lanes: (0..LANES).map(|_| Mutex::default()).collect(), count }
    }

    fn lane(&self, lane: u16) -> MutexGuard<'_, Lane> {
        self.lanes[usize::from(lane % LANES)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with a hub, which comes into being if need be.
    pub fn enter<R>(&self, place: &Place, what: impl FnOnce(&mut Hub) -> R) -> R {
        let mut lane = self.lane(lane_of(place));
        let hub = lane.entry(place.clone()).or_insert_with(|| {
            self.count.inc();
            Hub::new(place.conversation)
        });
        let result = what(hub);
        self.remove_if_empty(&mut lane, place);
        result
    }

    /// Does something with a hub if it is there.
    pub fn find<R>(&self, place: &Place, what: impl FnOnce(&mut Hub) -> R) -> Option<R> {
        let mut lane = self.lane(lane_of(place));
        let result = what(lane.get_mut(place)?);
        self.remove_if_empty(&mut lane, place);
        Some(result)
    }

    fn remove_if_empty(&self, lane: &mut Lane, place: &Place) {
        if lane.get(place).is_some_and(Hub::is_empty) {
            lane.remove(place);
            self.count.dec();
        }
    }

    /// Does something with every hub of a lane, in their order.
    pub fn each(&self, lane: u16, what: impl FnMut(&mut Hub)) {
        self.lane(lane).values_mut().for_each(what);
    }

    /// Which conversations of a lane have hubs, in their order.
    pub fn places(&self, lane: u16) -> Vec<Place> {
        self.lane(lane).keys().cloned().collect()
    }
}
