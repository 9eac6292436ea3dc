//! A bus that loses hints, delivers them late, twice and out of order, and whose subscriptions die without a word.

use crate::{gate::Gate, rare::Rare, trouble::Trouble, world::World};
use async_trait::async_trait;
use nexus_core::{
    bus::{Bus, Feed, Heard, Hint, Listener, listener},
    domain::{Event, Seq, hash::LANES},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::sleep;

/// What all nodes share.
#[derive(Default)]
pub struct Wires {
    ears: Mutex<BTreeMap<usize, Ear>>,
    /// How often it lost all that was on its way.
    emptied: AtomicUsize,
}

/// What a node hears with.
struct Ear {
    feed: Feed,
    /// A bit for each lane whose subscription is dead.
    dead: Arc<Mutex<u64>>,
}

/// A node's connection.
pub struct Connection {
    wires: Arc<Wires>,
    node: usize,
    gate: Gate,
}

impl Wires {
    pub fn connect(self: &Arc<Self>, node: usize, gate: Gate) -> Arc<dyn Bus> {
        Arc::new(Connection { wires: self.clone(), node, gate })
    }

    /// Loses every hint that is on its way.
    pub fn empty(&self) {
        self.emptied.fetch_add(1, SeqCst);
    }

    /// Tells a node that it may have missed anything.
    pub fn rejoined(&self, node: usize) {
        if let Some(ear) = self.ears.lock().unwrap().get(&node) {
            (0..LANES).for_each(|lane| ear.feed.missed(lane));
        }
    }
}

impl Connection {
    /// What one node hears of a hint: after how long, and how often.
    fn copies(&self) -> Vec<Duration> {
        let (fate, weather) = (&self.gate.fate, self.gate.fate.weather());
        if fate.percent(weather.lost) {
            return Vec::new();
        }
        let late = || if fate.percent(weather.late) { fate.ms(1..5000) } else { Duration::ZERO };
        (0..1 + usize::from(fate.percent(weather.double))).map(|_| late()).collect()
    }

    /// Kills a subscription for a while.
    fn deafen(&self, node: usize, ear: &Ear, lane: u16) {
        let (fate, bit) = (self.gate.fate.clone(), 1 << lane);
        *ear.dead.lock().unwrap() |= bit;
        let announced = fate.weather().announced;
        fate.note(|| format!("node {node} goes deaf on lane {lane}"));
        let (feed, dead, time) = (ear.feed.clone(), ear.dead.clone(), fate.ms(100..8000));
        tokio::spawn(async move {
            sleep(time).await;
            *dead.lock().unwrap() &= !bit;
            fate.note(|| format!("node {node} hears lane {lane} again, announced: {announced}"));
            if announced {
                feed.missed(lane);
            }
        });
    }
}

#[async_trait]
impl Bus for Connection {
    async fn publish(&self, hint: Hint) -> bool {
        let told = matches!(hint, Hint::Appended { .. });
        self.gate.pass(if told { "publish" } else { "tell" }).await;
        let (fate, weather) = (&self.gate.fate, self.gate.fate.weather());
        if fate.percent(weather.unheard) {
            fate.note(|| format!("{}: a publish fails", self.gate.name));
            if fate.percent(50) {
                sleep(fate.ms(1..1000)).await;
            }
            return false;
        }
        let cut = Trouble::BusCut(self.node);
        if fate.troubles.lasts(cut) {
            fate.saw(Rare::BusCutTelling);
            fate.troubles.over(cut, fate.ms(1..1000)).await;
            return false;
        }
        for (node, ear) in self.wires.ears.lock().unwrap().iter() {
            let lane = hint.lane();
            if fate.percent(weather.deaf) {
                self.deafen(*node, ear, lane);
            }
            if *ear.dead.lock().unwrap() & 1 << lane != 0 {
                if !weather.announced {
                    fate.saw(Rare::SilentlyDeaf);
                }
                continue;
            }
            if fate.troubles.lasts(Trouble::BusCut(*node)) {
                fate.saw(Rare::BusCutHearing);
                continue;
            }
            for late in self.copies() {
                let (feed, hint) = (ear.feed.clone(), hint.clone());
                if late.is_zero() {
                    feed.hint(hint);
                } else {
                    let (wires, fate) = (self.wires.clone(), fate.clone());
                    let emptied = wires.emptied.load(SeqCst);
                    tokio::spawn(async move {
                        sleep(late).await;
                        if wires.emptied.load(SeqCst) == emptied {
                            feed.hint(hint);
                        } else {
                            fate.saw(Rare::BusEmptied);
                        }
                    });
                }
            }
        }
        true
    }

    fn listen(&self) -> Listener {
        let (feed, listener) = listener::queue(listener::Limits { hints: 64, bytes: 64 << 10 });
        self.wires.ears.lock().unwrap().insert(self.node, Ear { feed, dead: Arc::default() });
        listener
    }
}

/// Listens as one more node would.
pub fn listener(world: &World) -> Listener {
    world.makings.wires.connect(usize::MAX, Gate::new(world.fate.clone(), usize::MAX)).listen()
}

/// Whether an event was told of.
pub fn heard(listener: &mut Listener, seq: Seq) -> bool {
    let heard = std::iter::from_fn(|| listener.try_recv());
    heard.fold(false, |found, heard| {
        let told = |events: &[Event]| events.iter().any(|event| event.seq == seq);
        found || matches!(heard, Heard::Hint(Hint::Appended { events, .. }) if told(&events))
    })
}
