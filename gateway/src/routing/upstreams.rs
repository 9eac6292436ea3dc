//! The set of chat nodes, swapped as a whole, with the health of each.

use super::{
    Endpoint,
    choosing::{Chosen, Load, Loads, choose},
    ejection::{Calls, Eject},
    ending::Ending,
};
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// The chat nodes. Cloning gives another handle on the same set.
#[derive(Clone)]
pub struct Upstreams {
    shared: Arc<Shared>,
}

struct Shared {
    nodes: ArcSwap<Vec<Arc<Node>>>,
    /// Wakes the health checks: the set changed, or a node could not be connected to.
    changed: Notify,
    /// Set when this edge goes away: the time within which streams end.
    leaving: OnceLock<Duration>,
    /// Serialises writers; readers never wait. In it the nodes that have left the set, and may still have streams.
    writing: Mutex<Vec<Weak<Node>>>,
    eject: Eject,
    metrics: Metrics,
}

/// Not checked yet. Such a node gets requests, so that a start needs no round of checks; but nobody is told
/// that the edge is ready because of it.
const UNKNOWN: u8 = 0;
/// It says that it serves.
pub(super) const HEALTHY: u8 = 1;
/// It answers, and says that it is not well, or its calls fail: it gets requests only if no other is better.
pub(super) const LIMPING: u8 = 2;
/// It doesn't answer. Only if all are like that, all are tried: the check may be what is broken.
pub(super) const UNHEALTHY: u8 = 3;

/// One chat node.
pub(crate) struct Node {
    pub(super) endpoint: Endpoint,
    pub(super) label: String,
    pub(super) hash: u64,
    health: AtomicU8,
    pub(super) loads: Loads,
    pub(super) outcomes: Calls,
    /// Whether what is under way at it is to end, see [`super::Out`].
    pub(super) out: watch::Sender<Option<Ending>>,
}

impl Node {
    fn new(endpoint: Endpoint) -> Self {
        let label = endpoint.to_string();
        Node {
            hash: xxhash_rust::xxh3::xxh3_64(label.as_bytes()),
            label,
            endpoint,
            health: AtomicU8::new(UNKNOWN),
            loads: Loads::default(),
            outcomes: Calls::new(),
            out: watch::Sender::new(None),
        }
    }

    fn health(&self) -> u8 {
        self.health.load(Ordering::Relaxed)
    }

    /// What it is to those who look for one. One that isn't checked yet counts as healthy.
    pub(super) fn kind(&self) -> u8 {
        match self.health() {
            UNKNOWN | HEALTHY if self.outcomes.are_ejected() => LIMPING,
            health => health.max(HEALTHY),
        }
    }
}

impl Upstreams {
    pub(crate) fn new(endpoints: Vec<Endpoint>, eject: Eject, metrics: Metrics) -> Self {
        let upstreams = Upstreams {
            shared: Arc::new(Shared {
                nodes: ArcSwap::from_pointee(Vec::new()),
                changed: Notify::new(),
                leaving: OnceLock::new(),
                writing: Mutex::default(),
                eject,
                metrics,
            }),
        };
        upstreams.set(endpoints);
        upstreams
    }

    /// Replaces the set. Nodes that stay keep their health and their load; requests under way go on.
    pub fn set(&self, endpoints: Vec<Endpoint>) {
        let mut left = self.shared.writing.lock();
        let before = self.shared.nodes.load_full();
        let mut nodes: Vec<Arc<Node>> = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            if nodes.iter().any(|node| node.endpoint == endpoint) {
                continue;
            }
            let kept = before.iter().find(|node| node.endpoint == endpoint).cloned();
            let node = kept.unwrap_or_else(|| Arc::new(Node::new(endpoint)));
            self.shared.metrics.upstream_healthy(&node.label, node.health() == HEALTHY);
            nodes.push(node);
        }
        for gone in before.iter().filter(|old| !nodes.iter().any(|node| node.endpoint == old.endpoint)) {
            self.shared.metrics.forget_upstream(&gone.label);
            left.push(Arc::downgrade(gone));
        }
        left.retain(|node| node.strong_count() > 0);
        self.shared.nodes.store(Arc::new(nodes));
        self.end_what_waits();
        self.shared.changed.notify_one();
    }

    /// The node for a key: the best healthy one that is not overloaded and not in `tried`. If every node
    /// failed its check, they are all tried: the check may be what is broken. None if nothing is left.
    pub(crate) fn choose(&self, key: u64, load: Load, tried: &[String]) -> Option<Chosen> {
        choose(&self.shared.nodes.load(), key, load, tried)
    }

    /// A call that was sent to it got no answer.
    pub(crate) fn failed(&self, chosen: &Chosen) {
        let Chosen { node, load } = chosen;
        if *load == Load::Calls && node.outcomes.failed(self.shared.eject) {
            self.shared.metrics.upstream_ejections.with_label_values(&[&node.label]).inc();
            tracing::warn!(
                upstream = %node.label,
                seconds = self.shared.eject.during.as_secs(),
                "calls to this chat node fail though it passes its health checks; others are preferred for a while"
            );
        }
    }

    /// A node could not be connected to: look at all of them now rather than at the next tick.
    pub(crate) fn suspect(&self) {
        self.shared.changed.notify_one();
    }

    /// Whether at least one node has answered its last check. One that says that it isn't well counts: when all do, they
    /// serve what they can, and taking the edge away as well would help nobody.
    pub fn any_healthy(&self) -> bool {
        self.shared.nodes.load().iter().any(|node| matches!(node.health(), HEALTHY | LIMPING))
    }

    pub(super) async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    pub(super) fn nodes(&self) -> Arc<Vec<Arc<Node>>> {
        self.shared.nodes.load_full()
    }

    /// This edge goes away: streams end, one after the other, within this time.
    pub(crate) fn leave(&self, within: Duration) {
        let left = self.shared.writing.lock();
        self.shared.leaving.get_or_init(|| within);
        for node in left.iter().filter_map(Weak::upgrade) {
            node.out.send_replace(Some(Ending::Leaving(within)));
        }
        self.end_what_waits();
    }

    /// At nodes that are out, if another one is not; and at all when this edge goes away.
    fn end_what_waits(&self) {
        let nodes = self.shared.nodes.load();
        let leaving = self.shared.leaving.get().copied().map(Ending::Leaving);
        let elsewhere = nodes.iter().any(|node| node.health() != UNHEALTHY);
        for node in nodes.iter() {
            let out = elsewhere && node.health() == UNHEALTHY;
            let now = if out { Some(Ending::Out) } else { leaving };
            node.out.send_if_modified(|out| std::mem::replace(out, now) != now);
        }
    }

    pub(super) fn mark(&self, node: &Node, now: u8) {
        let before = node.health.swap(now, Ordering::Relaxed);
        if before == UNHEALTHY && now != UNHEALTHY {
            node.outcomes.forget();
        }
        if before != now {
            match now {
                HEALTHY => tracing::info!(upstream = %node.label, "chat node passes its health checks"),
                LIMPING => {
                    tracing::warn!(upstream = %node.label, "chat node says that it is not well; others are preferred")
                }
                _ => {
                    tracing::warn!(upstream = %node.label, "chat node fails its health checks; it gets no more requests")
                }
            }
            let _writing = self.shared.writing.lock();
            self.end_what_waits();
        }
        self.shared.metrics.upstream_healthy(&node.label, now == HEALTHY);
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use tokio::{task::JoinSet, time::Instant};

    pub(in crate::routing) fn upstreams(count: usize) -> Upstreams {
        let eject = Eject { after: 3, during: Duration::from_secs(10) };
        Upstreams::new(addresses(0..count), eject, Metrics::new(&prometheus::Registry::new()).unwrap())
    }

    pub(in crate::routing) fn addresses(numbers: std::ops::Range<usize>) -> Vec<Endpoint> {
        let address = |n| format!("http://10.0.0.{n}:9000").parse::<crate::Address>().unwrap();
        numbers.map(|n| address(n).endpoint().unwrap()).collect()
    }

    pub(in crate::routing) fn label(upstreams: &Upstreams, key: u64) -> String {
        upstreams.choose(key, Load::Calls, &[]).unwrap().label().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_whose_calls_fail_is_passed_over_for_a_while_and_no_stream_ends() {
        let upstreams = upstreams(2);
        let home = label(&upstreams, 1);
        let fail = |times| {
            (0..times).for_each(|_| upstreams.failed(&upstreams.choose(1, Load::Calls, &[]).unwrap()))
        };
        fail(3);
        assert_ne!(label(&upstreams, 1), home);
        assert!(upstreams.nodes().iter().all(|node| node.out.borrow().is_none()));
        fail(3);
        assert_eq!(label(&upstreams, 1), home, "where all are alike, none is passed over");
        tokio::time::advance(Duration::from_secs(10)).await;
        upstreams.choose(1, Load::Streams, &[]).unwrap().answered();
        fail(2);
        assert_eq!(label(&upstreams, 1), home);
        fail(1);
        assert_ne!(label(&upstreams, 1), home);
        let node = upstreams.nodes().iter().find(|node| node.label == home).unwrap().clone();
        upstreams.mark(&node, UNHEALTHY);
        upstreams.mark(&node, HEALTHY);
        assert_eq!(label(&upstreams, 1), home, "one that was away may be another process");
    }

    #[test]
    fn what_waits_ends_where_another_node_is_and_only_at_nodes_that_are_out() {
        let upstreams = upstreams(2);
        let nodes = upstreams.nodes();
        let waiting = |n: usize| *nodes[n].out.borrow() == Some(Ending::Out);
        upstreams.mark(&nodes[0], LIMPING);
        assert!(!waiting(0));
        upstreams.mark(&nodes[0], UNHEALTHY);
        assert!(waiting(0) && !waiting(1));
        upstreams.mark(&nodes[1], UNHEALTHY);
        assert!(!waiting(0) && !waiting(1), "there is nowhere to go");
        upstreams.mark(&nodes[1], LIMPING);
        assert!(waiting(0) && !waiting(1));
        upstreams.mark(&nodes[0], HEALTHY);
        assert!(!waiting(0) && !waiting(1));

        upstreams.set(addresses(0..1));
        upstreams.mark(&nodes[0], UNHEALTHY);
        assert!(!waiting(0));
        upstreams.set(addresses(0..2));
        assert!(waiting(0), "a node that joins is somewhere to go");
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_edge_goes_away_streams_end_in_turn_and_calls_end_by_themselves() {
        let upstreams = upstreams(2);
        let chosen = upstreams.choose(1, Load::Streams, &[]).unwrap();
        let mut ends = JoinSet::new();
        let begun = Instant::now();
        for turn in [Some(0.0), Some(0.5), Some(1.0), None] {
            let mut out = chosen.out();
            ends.spawn(async move { (out.wait(turn).await, begun.elapsed().as_secs(), turn) });
        }
        let within = Duration::from_secs(10);
        upstreams.leave(within);
        for (seconds, turn) in [(0, 0.0), (5, 0.5), (10, 1.0)] {
            let ended = ends.join_next().await.unwrap().unwrap();
            assert_eq!(ended, (Ending::Leaving(within), seconds, Some(turn)));
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(ends.try_join_next().is_none());
        let nodes = upstreams.nodes();
        let node = nodes.iter().find(|node| node.label == chosen.label()).unwrap();
        upstreams.mark(node, UNHEALTHY);
        assert_eq!(ends.join_next().await.unwrap().unwrap().0, Ending::Out);
        upstreams.mark(node, HEALTHY);
        let late = chosen.out().wait(Some(0.0)).await;
        assert_eq!(late, Ending::Leaving(within), "what begins while the edge goes away ends as well");
        let removed = upstreams.choose(1, Load::Streams, &[]).unwrap();
        upstreams.set(addresses(7..8));
        let elsewhere = upstreams.choose(1, Load::Streams, &[]).unwrap();
        assert_ne!(elsewhere.label(), removed.label());
        assert_eq!(elsewhere.out().wait(Some(0.0)).await, Ending::Leaving(within), "of a node that joins");
    }

    #[tokio::test]
    async fn streams_at_a_node_that_left_the_set_end_with_the_edge() {
        let upstreams = upstreams(1);
        let chosen = upstreams.choose(1, Load::Streams, &[]).unwrap();
        upstreams.set(addresses(7..8));
        upstreams.leave(Duration::ZERO);
        assert_eq!(chosen.out().wait(Some(1.0)).await, Ending::Leaving(Duration::ZERO));
    }
}
