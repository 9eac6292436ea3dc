//! Which seqs are known completely.
use std::collections::BTreeMap;

/// A set of seqs, as ranges that don't touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<u64, u64>);

impl Coverage {
    /// Adds `first` to `last`; nothing when `last` is below `first`.
    pub fn insert(&mut self, mut first: u64, mut last: u64) {
        if last < first {
            return;
        }
        while let Some((&start, &end)) = self.0.range(..=last.saturating_add(1)).next_back() {
            if end.saturating_add(1) < first {
                break;
            }
            first = first.min(start);
            last = last.max(end);
            self.0.remove(&start);
        }
        self.0.insert(first, last);
    }

    /// The range around this seq.
    pub fn around(&self, seq: u64) -> Option<(u64, u64)> {
        let (&first, &last) = self.0.range(..=seq).next_back()?;
        (last >= seq).then_some((first, last))
    }

    /// The range with the greatest seqs.
    pub fn newest(&self) -> Option<(u64, u64)> {
        self.0.last_key_value().map(|(&first, &last)| (first, last))
    }

    /// Whether every seq from `first` to `last` is in it.
    pub fn contains(&self, first: u64, last: u64) -> bool {
        last < first || self.around(first).is_some_and(|(_, end)| end >= last)
    }

    /// Removes everything below this seq.
    pub fn drop_below(&mut self, seq: u64) {
        let above = self.0.split_off(&seq);
        let across = self.0.last_key_value().map(|(_, &end)| end).filter(|&end| end >= seq);
        self.0 = above;
        if let Some(end) = across {
            self.insert(seq, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_set_of_what_was_inserted(
            ranges in prop::collection::vec((1u64..60, 0u64..12), 0..12), floor in 0u64..60
        ) {
            let mut coverage = Coverage::default();
            for &(first, length) in &ranges {
                coverage.insert(first, first + length - 1);
            }
            let inserted = |seq| ranges.iter().any(|&(first, length)| (first..first + length).contains(&seq));
            for seq in 1..80 {
                prop_assert_eq!(coverage.around(seq).is_some(), inserted(seq));
            }
            let starts: Vec<_> = coverage.0.iter().collect();
            prop_assert!(starts.windows(2).all(|pair| pair[0].1 + 1 < *pair[1].0));
            coverage.drop_below(floor);
            for seq in 1..80 {
                prop_assert_eq!(coverage.contains(seq, seq), seq >= floor && inserted(seq));
            }
        }
    }
}
