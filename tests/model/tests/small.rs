//! The small model, in seconds: everything holds, everything that matters happens, and no rule can be left out.

use nexus_model::{Bounds, Mutation, Protocol, exhaust, impossible, search};

#[test]
fn everything_holds_in_every_state() {
    let found = exhaust(Protocol::whole(Bounds::SMALL), 2, |_, _| {});
    assert_eq!(found.violated, None);
    assert!(found.states > 50_000, "{} states: it stops early", found.states);
    // What is looked at once stands for what differs in names only: of two nodes and three messages.
    let all = exhaust(Protocol { reduced: false, ..Protocol::whole(Bounds::SMALL) }, 2, |_, _| {});
    assert_eq!(all.violated, None);
    let times = all.states as f64 / found.states as f64;
    assert!((3.0..=4.0).contains(&times), "{} states stand for {}", found.states, all.states);
}

#[test]
fn everything_that_matters_happens() {
    assert_eq!(impossible(Bounds::FULL, 2), [""; 0]);
}

#[test]
fn no_rule_can_be_left_out() {
    for mutation in Mutation::ALL {
        let found = search(mutation, Bounds::SMALL, 2);
        assert!(found.violated.is_some(), "{} is not missed in {} states", mutation.says(), found.states);
    }
}
