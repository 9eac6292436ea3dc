//! LOG-1, LOG-2 and LOG-4 as questions about what was read of a log. LOG-3 is about all of it: see the judge.

use crate::Envelope;

/// LOG-1: whether these events, read from `first` on, follow one another without a gap and without a duplicate.
pub fn dense(first: u64, seqs: impl IntoIterator<Item = u64>) -> bool {
    (first..).zip(seqs).all(|(expected, seq)| expected == seq)
}

/// LOG-2: whether all receipts of one id name the same place.
pub fn one_place(seqs: &[u64]) -> bool {
    seqs.windows(2).all(|pair| pair[0] == pair[1])
}

/// LOG-2, LOG-3: whether the event at a receipt's place is the one that the id asked for.
pub fn named(event: Option<&Envelope>, sender: &str, id: &str) -> bool {
    event.is_some_and(|event| event.sender == sender && event.id == id)
}

/// LOG-4: whether two who saw an event saw the same one.
pub fn same(one: &Envelope, other: &Envelope) -> bool {
    one == other
}
