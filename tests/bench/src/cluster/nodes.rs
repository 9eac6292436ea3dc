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
use tokio::{task::JoinSet, time::sleep_until};

/// Senders, each with a conversation of its own and one message under way, so that each message is a commit.
pub const SENDERS: usize = 64;
const CONNECTIONS: usize = 8;
/// Chat nodes.
pub const MOST: usize = 3;

/// Messages per second that are sent whatever the answers do: half of what saturates two processors.
pub const OFFERED: f64 = 300.0;

/// What one round came to.
pub struct Done {
    /// Commits per second of as many as [`OFFERED`].
    pub held: f64,
    /// Commits per second when every sender sends as soon as it is answered.
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
            load(&talks, round / 4, None).await?;
            let held = counted(world, load(&talks, round, Some(OFFERED))).await?;
            let most = counted(world, load(&talks, round, None)).await?;
            let (appends, refused) = (held.appends + most.appends, held.refused + most.refused);
            eprintln!(
                "round {} of {rounds}, {cores} nodes: {:.0} of {OFFERED:.0} commits/s, {:.0} at most, {refused} of \
                 {appends} refused",
                turn + 1,
                held.rate,
                most.rate,
            );
            done[cores - 1].push(Done { held: held.rate, rate: most.rate, appends, refused });
        }
    }
    resize(world, MOST).await?;
    Ok(done)
}

struct Counted {
    rate: f64,
    appends: f64,
    refused: f64,
}

async fn counted(world: &World, load: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Counted> {
    let (before, begun) = (counts(world).await, Instant::now());
    load.await?;
    let took = begun.elapsed().as_secs_f64();
    let after = counts(world).await;
    let appends = after.0 - before.0;
    Ok(Counted { rate: appends / took, appends, refused: after.1 - before.1 })
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

/// Everybody sends, as soon as they are answered, or so many a second in all. Who falls behind makes up for it.
async fn load(talks: &[Talk], round: Duration, rate: Option<f64>) -> anyhow::Result<()> {
    let (begun, end) = (Instant::now(), Instant::now() + round);
    let mut senders = JoinSet::new();
    for (n, talk) in talks.iter().enumerate() {
        let (connection, token, room) = talk.clone();
        let count = talks.len() as f64;
        senders.spawn(async move {
            let text = "x".repeat(TEXT);
            for turn in 0.. {
                if let Some(rate) = rate {
                    let due = Duration::from_secs_f64((n as f64 + turn as f64 * count) / rate);
                    sleep_until((begun + due).into()).await;
                }
                if Instant::now() >= end {
                    break;
                }
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
