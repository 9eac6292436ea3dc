//! The same load on one, two and three chat nodes.

use super::{
    latency::TEXT,
    world::{World, until},
};
use crate::client::{Connection, say};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Senders, each with a conversation of its own and one message under way, so that each message is a commit.
pub const SENDERS: usize = 64;
const CONNECTIONS: usize = 8;
/// Chat nodes.
pub const MOST: usize = 3;

/// What one round came to.
pub struct Done {
    /// Commits per second.
    pub rate: f64,
    /// Appends, and those of them whose condition failed.
    pub appends: f64,
    /// Refused, or of unknown outcome.
    pub refused: f64,
}

/// Measures each number of nodes in turns; the first of the answer is of one.
pub async fn measure(world: &mut World, rounds: usize, round: Duration) -> anyhow::Result<[Vec<Done>; MOST]> {
    let mut done = [Vec::new(), Vec::new(), Vec::new()];
    let mut connections = Vec::new();
    for n in 0..CONNECTIONS {
        connections.push(Arc::new(world.edge.connect(n).await?));
    }
    let mut talks = Vec::new();
    for n in 0..SENDERS {
        let user = format!("nodes-{n}");
        let connection = connections[n % CONNECTIONS].clone();
        let room = world.room(&connection, &[user.clone(), format!("nodes-friend-{n}")]).await?;
        talks.push((connection, world.token(&user)?, room));
    }
    for turn in 0..rounds {
        // Down and up again by turns, so that time itself favours none.
        let order: [usize; MOST] = if turn % 2 == 0 { [1, 2, 3] } else { [3, 2, 1] };
        for cores in order {
            resize(world, cores).await?;
            // Every conversation finds its node, and that node its views.
            load(&talks, round / 4).await?;
            let before = counts(world).await;
            let begun = Instant::now();
            load(&talks, round).await?;
            let took = begun.elapsed().as_secs_f64();
            let after = counts(world).await;
            let (appends, refused) = (after.0 - before.0, after.1 - before.1);
            let rate = appends / took;
            eprintln!(
                "round {} of {rounds}, {cores} nodes: {rate:.0} commits/s, {refused} of {appends} refused",
                turn + 1
            );
            done[cores - 1].push(Done { rate, appends, refused });
        }
    }
    resize(world, MOST).await?;
    Ok(done)
}

/// Appends, and those that were refused, of all nodes.
async fn counts(world: &World) -> (f64, f64) {
    (world.sum("nexus_appends_total", "").await, world.sum("nexus_append_refused_total", "").await)
}

/// Lets so many nodes run, and waits until the edges know.
async fn resize(world: &mut World, cores: usize) -> anyhow::Result<()> {
    for (n, core) in world.deployment.cores.iter_mut().enumerate() {
        let ready = core.part.is_ready().await;
        if n < cores && !ready {
            core.start().await?;
        } else if n >= cores && ready {
            core.stop().await?;
        }
    }
    world.until_used(cores).await?;
    // They also know of each other.
    let world = &*world;
    until("the nodes hear each other", async || {
        let heard = world.of_each("nexus_bus_nodes", "").await;
        heard.iter().take(cores).all(|others| *others >= (cores - 1) as f64)
    })
    .await
}

type Talk = (Arc<Connection>, String, String);

async fn load(talks: &[Talk], round: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + round;
    let mut senders = JoinSet::new();
    for talk in talks {
        let (connection, token, room) = talk.clone();
        senders.spawn(async move {
            let text = "x".repeat(TEXT);
            while Instant::now() < end {
                say(&connection, &token, &room, &text).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    Ok(())
}
