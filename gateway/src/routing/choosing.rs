//! Which of the nodes gets a request: the best for its key that does not have too much already.

use super::{Endpoint, Out, rendezvous, upstreams::Node};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// A node may have this much more than the mean before its keys spill over (Mirrokni et al., 2016: 1.25).
const LOAD_FACTOR: f64 = 1.25;
/// Below this many at once a node is never too loaded: few say nothing about balance, and every key that moves costs its new
/// node a cold start.
const LOAD_FLOOR: usize = 256;

/// What a request is to its node. The two are balanced apart from each other: streams stay for hours where they were once
/// opened, and must not keep calls from a node that has few of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    Calls,
    Streams,
}

/// How many this edge has on a node.
#[derive(Default)]
pub(super) struct Loads {
    calls: AtomicUsize,
    streams: AtomicUsize,
}

impl Loads {
    fn of(&self, load: Load) -> &AtomicUsize {
        match load {
            Load::Calls => &self.calls,
            Load::Streams => &self.streams,
        }
    }
}

/// A node chosen for one request, which counts until this is dropped.
pub(crate) struct Chosen {
    pub(super) node: Arc<Node>,
    pub(super) load: Load,
}

impl Chosen {
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.node.endpoint
    }

    pub(crate) fn label(&self) -> &str {
        &self.node.label
    }

    /// It answered, whatever it said.
    pub(crate) fn answered(&self) {
        self.node.outcomes.answered();
    }

    pub(crate) fn out(&self) -> Out {
        Out(self.node.out.subscribe())
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.node.loads.of(self.load).fetch_sub(1, Relaxed);
    }
}

/// See [`super::Upstreams::choose`].
pub(super) fn choose(nodes: &[Arc<Node>], key: u64, load: Load, tried: &[String]) -> Option<Chosen> {
    let untried = || nodes.iter().filter(|node| !tried.contains(&node.label));
    // Of the best kind that there is.
    let kind = untried().map(|node| node.kind()).min()?;
    let usable = || untried().filter(|node| node.kind() == kind);
    let has = |node: &Node| node.loads.of(load).load(Relaxed);

    // With the one that is being placed.
    let (mut count, mut all) = (0usize, 1usize);
    for node in usable() {
        count += 1;
        all += has(node);
    }
    let bound = ((all as f64 / count.max(1) as f64 * LOAD_FACTOR).ceil() as usize).max(LOAD_FLOOR);
    let best = |bounded: bool| {
        usable()
            .filter(|node| !bounded || has(node) < bound)
            .max_by_key(|node| rendezvous::score(node.hash, key))
    };
    let node = best(true).or_else(|| best(false))?;
    node.loads.of(load).fetch_add(1, Relaxed);
    Some(Chosen { node: node.clone(), load })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::{
        super::upstreams::{
            HEALTHY, LIMPING, UNHEALTHY,
            tests::{addresses, label, upstreams},
        },
        *,
    };

    #[test]
    fn a_key_stays_and_moves_only_while_its_node_is_out() {
        let upstreams = upstreams(4);
        let home: Vec<String> = (0..200).map(|key| label(&upstreams, key)).collect();
        assert_eq!(home, (0..200).map(|key| label(&upstreams, key)).collect::<Vec<_>>());

        let out = upstreams.nodes()[0].clone();
        upstreams.mark(&out, UNHEALTHY);
        for (key, was) in (0..200).zip(&home) {
            let now = label(&upstreams, key);
            assert_ne!(now, out.label);
            assert!(*was == out.label || now == *was);
        }
        upstreams.mark(&out, HEALTHY);
        assert_eq!(home, (0..200).map(|key| label(&upstreams, key)).collect::<Vec<_>>());
    }

    #[test]
    fn a_new_set_moves_only_what_it_must() {
        let upstreams = upstreams(4);
        let home: Vec<String> = (0..500).map(|key| label(&upstreams, key)).collect();
        upstreams.set(addresses(0..5));
        let moved = (0..500).zip(&home).filter(|(key, was)| label(&upstreams, *key) != **was).count();
        assert!((50..150).contains(&moved), "{moved} of 500 keys moved to the fifth node");
        upstreams.set(addresses(0..4));
        assert_eq!(home, (0..500).map(|key| label(&upstreams, key)).collect::<Vec<_>>());
    }

    #[test]
    fn a_hot_key_spills_over_and_comes_back() {
        let upstreams = upstreams(4);
        let home = label(&upstreams, 7);
        let mut held: Vec<Chosen> =
            (0..LOAD_FLOOR).map(|_| upstreams.choose(7, Load::Calls, &[]).unwrap()).collect();
        assert!(held.iter().all(|chosen| chosen.label() == home));
        held.push(upstreams.choose(7, Load::Calls, &[]).unwrap());
        assert_ne!(held.last().unwrap().label(), home);
        held.clear();
        assert_eq!(label(&upstreams, 7), home);
    }

    #[test]
    fn streams_that_stand_elsewhere_draw_no_calls_to_a_node_that_comes_back() {
        let upstreams = upstreams(3);
        let home: Vec<String> = (0..200).map(|key| label(&upstreams, key)).collect();
        let back = upstreams.nodes()[0].clone();
        upstreams.mark(&back, UNHEALTHY);
        let standing: Vec<Chosen> =
            (0..4_000).map(|user| upstreams.choose(user, Load::Streams, &[]).unwrap()).collect();
        upstreams.mark(&back, HEALTHY);
        assert_eq!(home, (0..200).map(|key| label(&upstreams, key)).collect::<Vec<_>>());
        assert_eq!(
            upstreams.choose(1, Load::Streams, &[]).unwrap().label(),
            back.label,
            "streams fill it up"
        );
        drop(standing);
    }

    #[test]
    fn what_was_tried_is_not_tried_again_and_all_unhealthy_means_try_all() {
        let upstreams = upstreams(2);
        for node in upstreams.nodes().iter() {
            upstreams.mark(node, UNHEALTHY);
        }
        assert!(!upstreams.any_healthy());
        let first = label(&upstreams, 1);
        let second =
            upstreams.choose(1, Load::Calls, std::slice::from_ref(&first)).unwrap().label().to_owned();
        assert_ne!(first, second);
        assert!(upstreams.choose(1, Load::Calls, &[first, second]).is_none());
    }

    #[test]
    fn a_node_that_is_not_well_is_better_than_none_and_worse_than_others() {
        let upstreams = upstreams(3);
        let nodes = upstreams.nodes();
        upstreams.mark(&nodes[0], LIMPING);
        upstreams.mark(&nodes[1], UNHEALTHY);
        assert!((0..100).all(|key| label(&upstreams, key) == nodes[2].label));
        upstreams.mark(&nodes[2], UNHEALTHY);
        assert!((0..100).all(|key| label(&upstreams, key) == nodes[0].label));
        assert!(upstreams.any_healthy());
    }
}
