//! Entries with weights, of which those go first that were not used for the longest time.

use std::collections::BTreeMap;

/// A bounded table.
pub struct Lru<K, V> {
    most: usize,
    weight: usize,
    entries: BTreeMap<K, Entry<V>>,
    /// When each was used, as a number that only grows.
    uses: BTreeMap<u64, K>,
    used: u64,
}

struct Entry<V> {
    value: V,
    weight: usize,
    used: u64,
}

impl<K: Ord + Clone, V> Lru<K, V> {
    /// An empty table for this much weight.
    pub fn new(most: usize) -> Self {
        Self { most, weight: 0, entries: BTreeMap::new(), uses: BTreeMap::new(), used: 0 }
    }

    /// The weight of all entries.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// An entry, which is used by this.
    pub fn get(&mut self, key: &K) -> Option<&mut V> {
        let entry = self.entries.get_mut(key)?;
        self.uses.remove(&entry.used);
        self.used += 1;
        entry.used = self.used;
        self.uses.insert(self.used, key.clone());
        Some(&mut entry.value)
    }

    /// An entry, which stays as unused as it is.
    pub fn peek(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Puts an entry in if there is none; it weighs nothing until [`Self::weigh`] says so.
    pub fn enter(&mut self, key: &K, made: impl FnOnce() -> V) {
        if self.entries.contains_key(key) {
            return;
        }
        self.used += 1;
        self.uses.insert(self.used, key.clone());
        self.entries.insert(key.clone(), Entry { value: made(), weight: 0, used: self.used });
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.uses.remove(&entry.used);
            self.weight -= entry.weight;
        }
    }

    /// Takes note of an entry's weight, and gives those that had to go for it, of all but this one.
    pub fn weigh(&mut self, key: &K, weigh: impl FnOnce(&V) -> usize) -> Vec<K> {
        if let Some(entry) = self.entries.get_mut(key) {
            let weight = weigh(&entry.value);
            self.weight = self.weight - entry.weight + weight;
            entry.weight = weight;
        }
        let mut gone = Vec::new();
        while self.weight > self.most
            && let Some((&used, oldest)) = self.uses.iter().find(|(_, oldest)| *oldest != key)
        {
            let oldest = oldest.clone();
            self.uses.remove(&used);
            self.weight -= self.entries.remove(&oldest).map_or(0, |entry| entry.weight);
            gone.push(oldest);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let mut lru = Lru::new(10);
        for key in 1..=3 {
            lru.enter(&key, || key);
            assert!(lru.weigh(&key, |_| 3).is_empty());
        }
        lru.get(&1);
        lru.peek(&2);
        lru.enter(&4, || 4);
        assert_eq!(lru.weigh(&4, |_| 4), [2]);
        assert_eq!((lru.weight(), lru.len()), (10, 3));
        assert_eq!(lru.weigh(&1, |_| 8), [3, 4]);
        // One that is too heavy by itself stays until another comes.
        assert!(lru.weigh(&1, |_| 20).is_empty());
        lru.enter(&5, || 5);
        assert_eq!(lru.weigh(&5, |_| 1), [1]);
    }

    proptest! {
        #[test]
        fn weights_add_up(steps in proptest::collection::vec((0..8u8, 0..40usize, any::<bool>()), 0..100)) {
            let mut lru: Lru<u8, usize> = Lru::new(100);
            for (key, weight, only) in steps {
                if only {
                    lru.get(&key);
                    continue;
                }
                lru.enter(&key, || 0);
                *lru.peek(&key).unwrap() = weight;
                lru.weigh(&key, |weight| *weight);
                prop_assert!(lru.weight() <= 100);
                prop_assert_eq!(lru.entries.values().map(|entry| entry.weight).sum::<usize>(), lru.weight());
                prop_assert_eq!(lru.entries.len(), lru.uses.len());
            }
        }
    }
}
