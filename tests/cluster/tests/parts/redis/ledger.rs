//! What was published on each lane, and what was heard of it: the rule that nothing gets lost without a word.

use nexus_core::{
    bus::{Bus, Heard, Hint, redis::Options, redis::RedisBus},
    domain::{
        ConversationId, Event, Kind, Name, Place,
        hash::{LANES, lane_of},
    },
};
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two heartbeats of a bus under test.
pub const HEARTBEAT: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(20);

/// Options of a bus under test.
pub fn options(nodes: Vec<String>) -> Options {
    Options {
        nodes,
        heartbeat_ms: HEARTBEAT.as_millis() as u64,
        connect_ms: 500,
        response_ms: 500,
        ..Options::default()
    }
}

/// A bus with the metrics that it counts in.
pub fn bus(options: Options, seed: u64) -> (Arc<RedisBus>, prometheus::Registry) {
    let registry = prometheus::Registry::new();
    let bus = RedisBus::connect(options, None, StdRng::seed_from_u64(seed), &registry).unwrap();
    (Arc::new(bus), registry)
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) -> anyhow::Result<()> {
    let waiting = async {
        while !holds() {
            sleep(LOOK).await;
        }
    };
    timeout(PATIENCE, waiting).await.map_err(|_| anyhow::anyhow!("not within {PATIENCE:?}: {what}"))
}

/// A conversation for each lane.
pub fn places() -> Vec<Place> {
    let tenant = Name::new("t").unwrap();
    let place = |n: u128| Place { tenant: tenant.clone(), conversation: ConversationId(Uuid::from_u128(n)) };
    let mut found: BTreeMap<u16, Place> = BTreeMap::new();
    let mut n = 0;
    while found.len() < usize::from(LANES) {
        n += 1;
        found.entry(lane_of(&place(n))).or_insert_with(|| place(n));
    }
    found.into_values().collect()
}

/// An event of so many bytes.
pub fn event(seq: u64, bytes: usize) -> Event {
    Event {
        seq,
        id: None,
        sender: Name::new("ann").unwrap(),
        kind: Kind::MessageSent,
        time_ms: 0,
        target: 0,
        messages: seq,
        erased: false,
        body: vec![7; bytes].into(),
    }
}

#[derive(Default)]
struct Lane {
    heard: BTreeSet<u64>,
    missed: Vec<Instant>,
}

/// What somebody hears.
pub struct Ear {
    lanes: Arc<Mutex<Vec<Lane>>>,
    task: JoinHandle<()>,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ear {
    pub fn new(bus: &RedisBus) -> Self {
        let lanes: Arc<Mutex<Vec<Lane>>> =
            Arc::new(Mutex::new((0..LANES).map(|_| Lane::default()).collect()));
        let (mut listener, noted) = (bus.listen(), lanes.clone());
        let task = tokio::spawn(async move {
            loop {
                let heard = listener.recv().await;
                let mut lanes = noted.lock().unwrap();
                match heard {
                    Heard::Missed(lane) => lanes[usize::from(lane)].missed.push(Instant::now()),
                    Heard::Hint(hint) => {
                        let lane = &mut lanes[usize::from(hint.lane())];
                        match hint {
                            Hint::Appended { events, .. } => {
                                lane.heard.extend(events.iter().map(|event| event.seq));
                            }
                            Hint::Ends { last_seq, .. } => drop(lane.heard.insert(last_seq)),
                            _ => {}
                        }
                    }
                }
            }
        });
        Self { lanes, task }
    }

    pub fn heard(&self, lane: usize, seq: u64) -> bool {
        self.lanes.lock().unwrap()[lane].heard.contains(&seq)
    }

    pub fn missed(&self) -> usize {
        self.lanes.lock().unwrap().iter().map(|lane| lane.missed.len()).sum()
    }

    pub fn missed_on(&self, lane: usize) -> usize {
        self.lanes.lock().unwrap()[lane].missed.len()
    }

    /// Waits for some heartbeats during which no lane was missed: nothing is said for ever.
    pub async fn until_quiet(&self) -> anyhow::Result<()> {
        let (mut before, mut since) = (self.missed(), Instant::now());
        until("no lane is said to be missed any more", || {
            let now = self.missed();
            if now != before {
                (before, since) = (now, Instant::now());
            }
            since.elapsed() >= HEARTBEAT * 5
        })
        .await
    }
}

/// Publishes numbered hints on every lane, one after the other, until it is told to stop.
pub struct Stream {
    bus: Arc<RedisBus>,
    places: Vec<Place>,
    /// By lane: when each seq was about to be published, and whether the bus said that it was heard.
    sent: Arc<Mutex<Vec<BTreeMap<u64, Sent>>>>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Clone, Copy)]
struct Sent {
    at: Instant,
    taken: bool,
}

impl Stream {
    /// One that publishes nothing by itself.
    pub fn idle(bus: &Arc<RedisBus>) -> Self {
        let sent = Arc::new(Mutex::new(vec![BTreeMap::new(); usize::from(LANES)]));
        Self { bus: bus.clone(), places: places(), sent, tasks: Vec::new() }
    }

    /// Begins.
    pub fn begin(bus: &Arc<RedisBus>, every: Duration) -> Self {
        let mut stream = Self::idle(bus);
        for (lane, place) in stream.places.iter().cloned().enumerate() {
            let (bus, sent) = (bus.clone(), stream.sent.clone());
            stream.tasks.push(tokio::spawn(async move {
                for seq in 1.. {
                    publish(&bus, &sent, lane, &place, seq).await;
                    sleep(every).await;
                }
            }));
        }
        stream
    }

    /// How many were published.
    pub fn count(&self) -> usize {
        self.sent.lock().unwrap().iter().map(BTreeMap::len).sum()
    }

    /// Waits until so many more were published.
    pub async fn more(&self, hints: usize) -> anyhow::Result<()> {
        let enough = self.count() + hints;
        until("the stream of hints goes on", || self.count() >= enough).await
    }

    /// Waits until on every lane something is heard by everybody that is published from now on.
    pub async fn until_every_lane_works(&self, ears: &[&Ear]) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let first: Vec<u64> = self.sent.lock().unwrap().iter().map(|lane| lane.len() as u64 + 1).collect();
        let works = |lane: usize| {
            let last = self.sent.lock().unwrap()[lane].len() as u64;
            ears.iter().all(|ear| (first[lane]..=last).any(|seq| ear.heard(lane, seq)))
        };
        until("every lane works", || (0..self.places.len()).all(works)).await?;
        Ok(begun.elapsed())
    }

    /// Stops, and waits until of everything that was published each ear has heard, or was told later that it missed
    /// something on that lane. Gives how many were not heard, by ear.
    pub async fn until_accounted_for(&mut self, ears: &[&Ear]) -> anyhow::Result<Vec<usize>> {
        for task in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
        let sent = self.sent.lock().unwrap().clone();
        let silent = |ear: &Ear| {
            let lanes = ear.lanes.lock().unwrap();
            let mut silent = Vec::new();
            for (lane, sent) in sent.iter().enumerate() {
                let last = lanes[lane].missed.last();
                for (seq, sent) in sent.iter().filter(|(seq, _)| !lanes[lane].heard.contains(seq)) {
                    if last.is_none_or(|last| *last < sent.at) {
                        silent.push((lane, *seq, sent.taken));
                    }
                }
            }
            silent
        };
        let accounted =
            until("all is heard or said to be missed", || ears.iter().all(|ear| silent(ear).is_empty()));
        accounted.await.map_err(|error| {
            let lost: Vec<_> = ears.iter().map(|ear| silent(ear)).collect();
            anyhow::anyhow!("{error}; lost without a word: {lost:?}")
        })?;
        let lost = |ear: &&Ear| {
            let lanes = ear.lanes.lock().unwrap();
            let unheard = |(lane, sent): (usize, &BTreeMap<u64, Sent>)| {
                sent.keys().filter(|seq| !lanes[lane].heard.contains(seq)).count()
            };
            sent.iter().enumerate().map(unheard).sum()
        };
        Ok(ears.iter().map(lost).collect())
    }

    /// How many the bus said were not heard in time.
    pub fn refused(&self) -> usize {
        let sent = self.sent.lock().unwrap();
        sent.iter().flat_map(BTreeMap::values).filter(|sent| !sent.taken).count()
    }

    /// Publishes one more of a size on a lane, once the stream has ended. Gives its seq, and whether it was taken.
    pub async fn one(&self, lane: usize, bytes: usize) -> (u64, bool) {
        let seq = self.sent.lock().unwrap()[lane].len() as u64 + 1;
        let at = Instant::now();
        self.sent.lock().unwrap()[lane].insert(seq, Sent { at, taken: false });
        let hint =
            Hint::Appended { place: self.places[lane].clone(), events: Arc::from([event(seq, bytes)]) };
        let taken = self.bus.publish(hint).await;
        self.sent.lock().unwrap()[lane].insert(seq, Sent { at, taken });
        (seq, taken)
    }
}

async fn publish(
    bus: &RedisBus,
    sent: &Mutex<Vec<BTreeMap<u64, Sent>>>,
    lane: usize,
    place: &Place,
    seq: u64,
) {
    let at = Instant::now();
    sent.lock().unwrap()[lane].insert(seq, Sent { at, taken: false });
    let hint = Hint::Appended { place: place.clone(), events: Arc::from([event(seq, 100)]) };
    let taken = bus.publish(hint).await;
    sent.lock().unwrap()[lane].insert(seq, Sent { at, taken });
}
