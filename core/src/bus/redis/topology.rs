//! Which master has which lane: asked of several nodes, since one that was cut off or paused tells old news; what a
//! MOVED says counts at once.

use super::Shared;
use crate::domain::hash::LANES;
use ::redis::{Value, cmd};
use futures_util::future::join_all;
use rand::seq::SliceRandom as _;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};

/// How often it is asked without a reason.
const ANYWAY: Duration = Duration::from_secs(30);
/// Nodes that are asked at once.
const ASKED: usize = 5;
/// Nodes that are kept in mind.
const KNOWN: usize = 1000;
/// How long a MOVED counts more than what nodes say, who hear of it only by and by.
const MOVED: Duration = Duration::from_secs(5);
/// Slots of a cluster.
const SLOTS: u16 = 16_384;

/// A node of the cluster.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(Arc<str>, u16);

impl Address {
    /// A node.
    pub fn new(host: &str, port: u16) -> Self {
        Self(host.into(), port)
    }

    /// From `host:port`; a host with colons may stand in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().ok().filter(|port| *port != 0)?;
        (!host.is_empty()).then(|| Self::new(host, port))
    }

    /// Its host.
    pub fn host(&self) -> &str {
        &self.0
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.1
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') {
            write!(f, "[{}]:{}", self.0, self.1)
        } else {
            write!(f, "{}:{}", self.0, self.1)
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The master of each lane.
pub type Map = Vec<Option<Address>>;

/// What is known of the cluster.
pub struct Topology {
    map: watch::Sender<Map>,
    wake: Notify,
    slots: Vec<u16>,
    seeds: BTreeSet<Address>,
    known: Mutex<BTreeSet<Address>>,
    moved: Mutex<BTreeMap<u16, (Address, Instant)>>,
}

impl Topology {
    /// Nothing is known yet but where to ask first. The channels are those of the lanes.
    pub fn new(seeds: BTreeSet<Address>, channels: &[String]) -> Self {
        Self {
            map: watch::Sender::new(vec![None; channels.len()]),
            wake: Notify::new(),
            slots: channels.iter().map(|channel| slot(channel.as_bytes())).collect(),
            seeds,
            known: Mutex::default(),
            moved: Mutex::default(),
        }
    }

    /// The master of a lane, if one is known.
    pub fn owner(&self, lane: u16) -> Option<Address> {
        self.map.borrow().get(usize::from(lane)).cloned().flatten()
    }

    /// The lanes of a master, a bit for each.
    pub fn lanes_of(&self, address: &Address) -> u64 {
        let map = self.map.borrow();
        let mine = map.iter().enumerate().filter(|(_, owner)| owner.as_ref() == Some(address));
        mine.fold(0, |lanes, (lane, _)| lanes | 1 << lane)
    }

    /// Tells of every change.
    pub fn changes(&self) -> watch::Receiver<Map> {
        self.map.subscribe()
    }

    /// Something shows that the map is no longer right: it is asked for soon.
    pub fn doubt(&self) {
        self.wake.notify_one();
    }

    /// A node said that it doesn't have this lane, and who does.
    pub fn moved(&self, lane: u16, to: Address) {
        let lanes = usize::from(lane % LANES);
        let until = Instant::now() + MOVED;
        lock(&self.moved).insert(lane, (to.clone(), until));
        self.map.send_if_modified(|map| {
            let changes = map[lanes].as_ref() != Some(&to);
            map[lanes] = Some(to);
            changes
        });
        self.doubt();
    }

    /// Those to ask, in no order.
    fn known(&self) -> Vec<Address> {
        lock(&self.known).union(&self.seeds).cloned().collect()
    }

    /// Takes what nodes said. Gives whether every lane has a master now.
    fn take(&self, answers: &[Vec<Range>]) -> bool {
        let now = Instant::now();
        let mut known = BTreeSet::new();
        for range in answers.iter().flatten() {
            known.extend(range.nodes.iter().take(KNOWN - known.len().min(KNOWN)).cloned());
        }
        *lock(&self.known) = known;
        let mut moved = lock(&self.moved);
        moved.retain(|_, (_, until)| *until > now);
        self.map.send_if_modified(|map| {
            let before = map.clone();
            for (lane, owner) in map.iter_mut().enumerate() {
                let overruled = moved.get(&(lane as u16)).map(|(to, _)| to.clone());
                *owner = overruled.or_else(|| elect(answers, self.slots[lane], owner.as_ref()));
            }
            *map != before
        });
        self.map.borrow().iter().all(Option::is_some)
    }
}

/// Slots from the first to the last, and who has them: the master first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    first: u16,
    last: u16,
    nodes: Vec<Address>,
}

/// The master that most nodes name; of equals the one that is no news.
fn elect(answers: &[Vec<Range>], slot: u16, now: Option<&Address>) -> Option<Address> {
    let mut votes: BTreeMap<&Address, usize> = BTreeMap::new();
    for answer in answers {
        let range = answer.iter().find(|range| (range.first..=range.last).contains(&slot));
        if let Some(master) = range.and_then(|range| range.nodes.first()) {
            *votes.entry(master).or_default() += 1;
        }
    }
    let most = votes.iter().max_by_key(|(address, votes)| (**votes, now == Some(**address)));
    most.map(|(address, _)| (*address).clone())
}

/// Reads what CLUSTER SLOTS answers. A node that doesn't know its own name leaves it out.
fn read_slots(answer: &Value, asked: &Address) -> Vec<Range> {
    let Value::Array(rows) = answer else { return Vec::new() };
    let range = |row: &Value| {
        let Value::Array(row) = row else { return None };
        let [Value::Int(first), Value::Int(last), nodes @ ..] = &row[..] else { return None };
        let nodes = nodes.iter().filter_map(|node| read_node(node, asked)).collect();
        Some(Range { first: u16::try_from(*first).ok()?, last: u16::try_from(*last).ok()?, nodes })
    };
    rows.iter().filter_map(range).collect()
}

fn read_node(node: &Value, asked: &Address) -> Option<Address> {
    let Value::Array(node) = node else { return None };
    let [host, Value::Int(port), ..] = &node[..] else { return None };
    let port = u16::try_from(*port).ok().filter(|port| *port != 0)?;
    let host = match host {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        Value::Nil => "",
        _ => return None,
    };
    match host {
        "?" => None,
        "" => Some(Address::new(asked.host(), port)),
        host => Some(Address::new(host, port)),
    }
}

/// The slot of a channel without braces: CRC-16/XMODEM.
fn slot(channel: &[u8]) -> u16 {
    let crc =
        channel.iter().fold(0u16, |crc, byte| {
            (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
                if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 }
            })
        });
    crc % SLOTS
}

/// Keeps the map right until the bus ends.
pub async fn keep(shared: Arc<Shared>) {
    let topology = &shared.topology;
    let mut pause = shared.backoff();
    loop {
        let whole = ask(&shared).await;
        let anyway = if whole { ANYWAY } else { Duration::ZERO };
        let quiet = timeout(shared.jitter(anyway), topology.wake.notified()).await.is_err() && whole;
        // One reason often comes with many more.
        if quiet {
            pause.reset();
        } else {
            tokio::time::sleep(shared.jitter(pause.next())).await;
        }
    }
}

/// Asks some nodes. Gives whether every lane has a master now.
async fn ask(shared: &Shared) -> bool {
    let topology = &shared.topology;
    let mut nodes = topology.known();
    shared.with_chance(|chance| nodes.shuffle(chance));
    let asked = nodes.iter().take(ASKED).map(|node| async move {
        let answer = shared.login.ask(node, cmd("CLUSTER").arg("SLOTS")).await;
        answer.map(|answer| read_slots(&answer, node))
    });
    let mut answers = Vec::new();
    for (answer, node) in join_all(asked).await.into_iter().zip(&nodes) {
        match answer {
            Ok(ranges) => answers.push(ranges),
            Err(error) => shared.trouble(format!("{node}: {error}")),
        }
    }
    if answers.is_empty() {
        return false;
    }
    let whole = topology.take(&answers);
    if !whole {
        shared.trouble("some slots of the cluster have no master".into());
    }
    whole
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn node(port: u16) -> Address {
        Address::new("10.0.0.1", port)
    }

    fn all_at(port: u16) -> Vec<Range> {
        vec![Range { first: 0, last: SLOTS - 1, nodes: vec![node(port), node(port + 100)] }]
    }

    #[test]
    fn slots_are_those_that_redis_says() {
        // From the cluster specification, and from CLUSTER KEYSLOT.
        assert_eq!(slot(b"123456789"), 0x31C3);
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b"bar"), 5061);
    }

    #[test]
    fn addresses_are_read_with_and_without_brackets() {
        assert_eq!(Address::parse("10.0.0.1:6379"), Some(Address::new("10.0.0.1", 6379)));
        assert_eq!(Address::parse("[::1]:6379"), Some(Address::new("::1", 6379)));
        assert_eq!(Address::new("::1", 6379).to_string(), "[::1]:6379");
        assert_eq!(Address::parse("redis"), None);
        assert_eq!(Address::parse(":6379"), None);
        assert_eq!(Address::parse("redis:0"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_cut_off_is_outvoted_and_a_move_counts_at_once() {
        let topology = Topology::new(BTreeSet::from([node(1)]), &["a".into(), "b".into()]);
        assert!(topology.take(&[all_at(1), all_at(2), all_at(2)]));
        assert_eq!(topology.owner(0), Some(node(2)));
        assert!(topology.take(&[all_at(1), all_at(2)]));
        assert_eq!(topology.lanes_of(&node(2)), 0b11);
        let mut changes = topology.changes();
        topology.moved(1, node(3));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert!(topology.take(&[all_at(2)]));
        assert_eq!((topology.owner(0), topology.owner(1)), (Some(node(2)), Some(node(3))));
        assert!(!changes.has_changed().unwrap());
        tokio::time::advance(MOVED).await;
        assert!(topology.take(&[all_at(2)]));
        assert_eq!(topology.owner(1), Some(node(2)));
        assert!(!topology.take(&[vec![]]), "an empty cluster has no masters");
    }

    #[test]
    fn what_a_node_leaves_out_is_its_own_name() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let at = |host: Value| Value::Array(vec![host, Value::Int(7000), bulk("id")]);
        let row =
            Value::Array(vec![Value::Int(0), Value::Int(99), at(Value::Nil), at(bulk("?")), at(bulk("x"))]);
        let ranges = read_slots(&Value::Array(vec![row, Value::Nil]), &node(1));
        let nodes = vec![Address::new("10.0.0.1", 7000), Address::new("x", 7000)];
        assert_eq!(ranges, [Range { first: 0, last: 99, nodes }]);
    }
}
