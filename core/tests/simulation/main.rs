//! A seeded simulation of Nexus: nodes, people and devices over a store and a bus that do on purpose what goes wrong now and
//! then, in one process on a paused clock. Everything comes from one seed; what is seen is judged by `nexus-invariants`.
//!
//! - [`fate`]: chance, time, weather and the trace. [`gate`]: a node's life and death.
//! - [`store`], [`bus`]: the models, with their anomalies. [`node`]: a real node over them.
//! - [`phone`]: who writes. [`device`]: who listens. [`reader`]: who looks things up. [`fold`]: the plain fold of a log.
//! - [`world`]: one simulation. - here: many of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bus;
mod device;
mod fate;
mod fold;
mod gate;
mod node;
mod phone;
mod reader;
mod store;
mod world;

use fate::Fate;
use tokio::time::Instant;
use world::World;

/// Seeds that are tried; `NEXUS_SEEDS` says otherwise.
const SEEDS: u64 = 1000;
/// Lines of the trace that a failure shows.
const SHOWN: usize = 120;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().expect(name))
}

/// Runs a seed. Gives the hash of its trace; an error is for people.
fn run(seed: u64) -> Result<u64, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let fate = Fate::new(seed);
        let nodes = 1 + fate.below(3);
        let world = World::new(fate.clone(), nodes);
        world.run().await.map_err(|why| {
            let lines = fate.last_lines(number("NEXUS_LINES").map_or(SHOWN, |lines| lines as usize));
            format!(
                "{lines}\n\nseed {seed}: {why}\n\nTo see it again, with more of the trace:\n    NEXUS_SEED={seed} \
                 NEXUS_LINES=2000 cargo test --workspace --test simulation every_invariant"
            )
        })?;
        Ok(fate.hash())
    })
}

#[test]
fn every_invariant_holds_for_many_seeds() {
    if let Some(seed) = number("NEXUS_SEED") {
        run(seed).unwrap_or_else(|why| panic!("{why}"));
        return;
    }
    let (from, count) = (number("NEXUS_FIRST_SEED").unwrap_or(0), number("NEXUS_SEEDS").unwrap_or(SEEDS));
    let begun = Instant::now();
    for seed in from..from + count {
        run(seed).unwrap_or_else(|why| panic!("{why}"));
        let done = seed + 1 - from;
        if done.is_multiple_of(1000) {
            eprintln!("{done} of {count} seeds, {:.0} s", begun.elapsed().as_secs_f64());
        }
    }
}

#[test]
fn a_seed_is_the_same_every_time() {
    for seed in [1, 7, 42, 99] {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
