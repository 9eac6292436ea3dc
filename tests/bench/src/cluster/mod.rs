//! A whole cluster of real parts on this machine.
//!
//! - [`world`]: the deployment; [`raw`]: what it stands on, by plain drivers.
//! - [`latency`], [`busy`], [`nodes`], [`failover`]: what is measured, one after the other; [`crowd`]: for the last.
//! - [`report`]: what is said of it.

mod busy;
mod crowd;
mod failover;
mod latency;
mod nodes;
mod raw;
mod report;
mod world;

use crate::{figures::Section, server};
use anyhow::{Context as _, bail, ensure};
use nexus_cluster::deployment;
use std::time::Duration;
use world::World;

/// How much is done.
pub struct Size {
    /// Messages whose delivery is timed.
    latencies: usize,
    /// Rounds of the busy conversation, and of the number of nodes, and how long each is.
    rounds: usize,
    rounds_of_nodes: usize,
    round: Duration,
    /// Users attached to one node.
    users: usize,
}

/// Measures it. `NEXUS_BENCH_USERS`: users attached to the node whose Redis fails.
pub fn measure(quick: bool) -> anyhow::Result<Section> {
    if let Some(missing) = deployment::missing() {
        bail!("{missing}: `make test` as root installs what a cluster takes");
    }
    let mut size = match quick {
        true => {
            Size { latencies: 20, rounds: 1, rounds_of_nodes: 1, round: Duration::from_secs(2), users: 200 }
        }
        // Rounds of the same number of nodes differ by a fifth on two processors.
        false => Size {
            latencies: 200,
            rounds: 3,
            rounds_of_nodes: 9,
            round: Duration::from_secs(5),
            users: 10_000,
        },
    };
    if let Some(users) = std::env::var_os("NEXUS_BENCH_USERS").filter(|users| !users.is_empty()) {
        let users = users.to_str().and_then(|users| users.parse().ok());
        size.users = users.context("NEXUS_BENCH_USERS is not a number")?;
    }
    ensure!(
        size.users >= crowd::EACH && size.users.is_multiple_of(crowd::EACH),
        "NEXUS_BENCH_USERS must be a multiple of {}",
        crowd::EACH
    );
    server::run(all(size))
}

async fn all(size: Size) -> anyhow::Result<Section> {
    let mut world = World::start().await?;
    world.until_used(nodes::MOST).await?;
    let latency = latency::measure(&world, size.latencies).await.context("delivery")?;
    let busy = busy::measure(&world, size.rounds, size.round).await.context("a busy conversation")?;
    let nodes = nodes::measure(&mut world, size.rounds_of_nodes, size.round).await;
    let nodes = nodes.context("one to three nodes")?;
    let failover = failover::measure(world, size.users).await.context("failover")?;
    Ok(report::report(&size, &latency, &busy, &nodes, &failover))
}
