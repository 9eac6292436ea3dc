//! A node: the real conversations and the real delivery, over its connections to the models.

use crate::{
    bus::Wires,
    fate::{Fate, Skewed},
    gate::Gate,
    store::Model,
};
use nexus_core::{
    bus::Bus,
    conversation::{self, Conversations},
    delivery::{self, Delivery},
    domain::{Place, Seq},
    log::Horizon,
    store::{Limits, Store},
};
use prometheus::Registry;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How often a node stores its views and forgets what is quiet.
const SETTLE: Duration = Duration::from_secs(3);

/// A living node, until its gate is shut.
pub struct Node {
    pub name: Arc<str>,
    pub conversations: Arc<Conversations>,
    pub delivery: Arc<Delivery>,
    pub gate: Gate,
    /// The last event of each conversation that it acknowledged.
    acknowledged: Mutex<BTreeMap<Place, Seq>>,
}

impl Node {
    pub fn acknowledges(&self, place: &Place, seq: Seq) {
        let mut all = self.acknowledged.lock().unwrap();
        let last = all.entry(place.clone()).or_default();
        *last = seq.max(*last);
    }

    pub fn acknowledged(&self, place: &Place) -> Seq {
        self.acknowledged.lock().unwrap().get(place).copied().unwrap_or(0)
    }
}

/// A place for a node: what survives its deaths.
pub struct Slot {
    number: usize,
    pub clock: Arc<Skewed>,
    living: Mutex<Option<Arc<Node>>>,
    registries: Mutex<Vec<Registry>>,
}

/// What all nodes are made with.
pub struct Makings {
    pub fate: Arc<Fate>,
    pub model: Arc<Model>,
    pub wires: Arc<Wires>,
    pub settings: conversation::Settings,
}

/// Settings at which everything that happens seldom happens all the time.
pub fn tight(fate: &Fate) -> conversation::Settings {
    let mut settings = conversation::Settings::default();
    settings.log.limits = Limits {
        window_ms: fate.one(&[20_000, 60_000, 600_000, 86_400_000]),
        events: fate.one(&[1, 2, 3, 5, 8]),
        bytes: fate.one(&[200, 600, 1 << 20]),
    };
    settings.log.horizon = Horizon { buckets: fate.one(&[3, 64, 64, 64]), ..Horizon::default() };
    settings.log.recent = true;
    settings.batch = fate.one(&[1, 3, 256]);
    settings.batch_bytes = fate.one(&[150, 1 << 20]);
    settings.queue = fate.one(&[3, 1024]);
    settings.retention = conversation::retention::Settings {
        keep_ms: fate.one(&[0, 0, 20_000, 100_000]),
        every: Duration::from_secs(12),
        // Longer than anybody looks.
        grace: Duration::from_secs(65),
        pause: Duration::from_millis(1),
    };
    settings.cache = conversation::cache::Settings {
        bytes: fate.one(&[16 << 10, 64 << 20]),
        conversation_bytes: fate.one(&[700, 3000, 256 << 10]),
        believe_ms: fate.one(&[0, 30_000, 30_000]),
    };
    settings
}

fn streams(fate: &Fate) -> delivery::Settings {
    delivery::Settings {
        queue_bytes: 4 << 10,
        frame_bytes: 1 << 10,
        recent_bytes: fate.one(&[0, 300, 16 << 10]),
        page_events: fate.one(&[1, 3, 200]),
        push_events: fate.one(&[5, 1000, 1000]),
        tick_above: fate.one(&[1, 20]),
        reads: 3,
        reads_per_stream: 2,
        presence_members: 0,
        ..delivery::Settings::default()
    }
}

impl Slot {
    pub fn new(number: usize, fate: &Arc<Fate>) -> Self {
        let clock = Arc::new(Skewed::new(fate.clone()));
        Self { number, clock, living: Mutex::default(), registries: Mutex::default() }
    }

    /// The node, if it lives.
    pub fn node(&self) -> Option<Arc<Node>> {
        self.living.lock().unwrap().clone().filter(|node| !node.gate.is_shut())
    }

    /// Starts a node that knows nothing, unless one lives.
    pub fn start(&self, makings: &Makings) -> Arc<Node> {
        if let Some(node) = self.node() {
            return node;
        }
        let Makings { fate, model, wires, settings } = makings;
        let gate = Gate::new(fate.clone(), self.number);
        let store: Arc<dyn Store> = model.connect(gate.clone());
        let bus: Arc<dyn Bus> = wires.connect(self.number, gate.clone());
        let registry = Registry::new();
        self.clock.jump();
        fate.note(|| format!("{} starts", gate.name));
        let clock = self.clock.clone();
        let conversations =
            Conversations::new(store, bus.clone(), clock.clone(), settings.clone(), &registry).unwrap();
        let all = conversations.clone();
        let delivery = Delivery::new(all, bus, clock, streams(fate), &registry, fate.rng()).unwrap();
        let (name, acknowledged) = (gate.name.clone(), Mutex::default());
        let node = Node { name, conversations, delivery, gate, acknowledged };
        let node = Arc::new(node);
        run(&node, settings.retention.keep_ms > 0);
        self.registries.lock().unwrap().push(registry);
        *self.living.lock().unwrap() = Some(node.clone());
        node
    }

    /// How often the node's lives noticed that an invariant was violated.
    pub fn violations(&self) -> Vec<String> {
        let registries = self.registries.lock().unwrap();
        let families = registries.iter().flat_map(Registry::gather);
        let counted = families.filter(|family| family.get_name() == "nexus_invariant_violations_total");
        let mut found = Vec::new();
        for metric in counted.flat_map(|family| family.get_metric().to_vec()) {
            if metric.get_counter().get_value() > 0.0 {
                let invariant = metric.get_label().first().map(|label| label.get_value().to_owned());
                found.push(format!("node {} noticed {}", self.number, invariant.unwrap_or_default()));
            }
        }
        found
    }
}

fn run(node: &Arc<Node>, trims: bool) {
    let stop = CancellationToken::new();
    tokio::spawn(node.delivery.clone().run(stop.clone()));
    let settles = node.clone();
    tokio::spawn(async move {
        let settling = async {
            loop {
                sleep(SETTLE).await;
                settles.conversations.settle().await;
            }
        };
        tokio::select! {
            biased;
            () = settles.gate.died() => stop.cancel(),
            () = settling => {}
        }
    });
    if !trims {
        return;
    }
    let trims = node.clone();
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = trims.gate.died() => {}
            () = trims.conversations.keep_trimmed() => {}
        }
    });
}
