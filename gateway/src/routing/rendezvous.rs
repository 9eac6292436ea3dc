//! Rendezvous hashing (Thaler and Ravishankar, 1998): every node gets a score for the key, the highest wins.
//! A node that leaves loses only its own keys, and a node that comes takes only those it wins; there is no
//! ring to build, and with the few nodes of a deployment scoring all of them costs less than a cache miss.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A key's score for a node whose name hashes to `node`.
pub(super) fn score(node: u64, key: u64) -> u64 {
    xxh3_64_with_seed(&key.to_le_bytes(), node)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::score;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn best(nodes: &BTreeSet<u64>, key: u64) -> u64 {
        *nodes.iter().max_by_key(|node| score(**node, key)).unwrap()
    }

    proptest! {
        #[test]
        fn only_the_keys_of_a_node_move_when_it_leaves(
            mut nodes in prop::collection::btree_set(any::<u64>(), 2..12),
            keys in prop::collection::vec(any::<u64>(), 1..200),
            pick in any::<prop::sample::Index>(),
        ) {
            let gone = *nodes.iter().nth(pick.index(nodes.len())).unwrap();
            let before: Vec<u64> = keys.iter().map(|key| best(&nodes, *key)).collect();
            nodes.remove(&gone);
            for (key, was) in keys.iter().zip(before) {
                let now = best(&nodes, *key);
                prop_assert!(was == gone || now == was, "key {key} moved from {was} to {now}");
            }
        }
    }

    #[test]
    fn nodes_share_alike() {
        let nodes: BTreeSet<u64> =
            (0..10).map(|n| xxhash_rust::xxh3::xxh3_64(format!("http://core-{n}:1").as_bytes())).collect();
        let mut counts = std::collections::BTreeMap::new();
        for key in 0..100_000u64 {
            *counts.entry(best(&nodes, key)).or_insert(0u32) += 1;
        }
        for (node, count) in counts {
            assert!((9_000..11_000).contains(&count), "{node:x} has {count} of 100,000 keys");
        }
    }
}
