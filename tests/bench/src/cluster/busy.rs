//! One busy conversation, by senders who wait for each answer: one of them, and many.

use super::{latency::TEXT, world::World};
use crate::client::say;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Senders at once.
pub const SENDERS: usize = 512;
/// Connections that they share.
const CONNECTIONS: usize = 8;

/// Messages per second of each round.
pub struct Busy {
    /// One after the other.
    pub alone: Vec<f64>,
    /// All senders at once.
    pub together: Vec<f64>,
    /// Events that one append carried, with all senders at once.
    pub group: f64,
}

/// Measures both, in turns.
pub async fn measure(world: &World, rounds: usize, round: Duration) -> anyhow::Result<Busy> {
    let mut connections = Vec::new();
    for n in 0..CONNECTIONS {
        connections.push(Arc::new(world.edge.connect(n).await?));
    }
    let users: Vec<String> = (0..CONNECTIONS).map(|n| format!("busy-{n}")).collect();
    let tokens = users.iter().map(|user| world.token(user)).collect::<anyhow::Result<Vec<_>>>()?;
    let room = world.room(&connections[0], &users).await?;
    let rate = async |senders: usize| {
        let begun = Instant::now();
        let end = begun + round;
        let mut all = JoinSet::new();
        for n in 0..senders {
            let (connection, token) = (connections[n % CONNECTIONS].clone(), tokens[n % CONNECTIONS].clone());
            let room = room.clone();
            all.spawn(async move {
                let (text, mut count) = ("x".repeat(TEXT), 0_u32);
                while Instant::now() < end {
                    say(&connection, &token, &room, &text).await?;
                    count += 1;
                }
                anyhow::Ok(count)
            });
        }
        let mut count = 0_u32;
        while let Some(done) = all.join_next().await {
            count += done??;
        }
        anyhow::Ok(f64::from(count) / begun.elapsed().as_secs_f64())
    };
    // The first messages of a conversation open it, and connections.
    rate(SENDERS).await?;
    let mut busy = Busy { alone: vec![], together: vec![], group: 0.0 };
    let (mut events, mut appends) = (0.0, 0.0);
    for n in 1..=rounds {
        busy.alone.push(rate(1).await?);
        let before = (world.sum("nexus_events_total", "").await, world.sum("nexus_appends_total", "").await);
        busy.together.push(rate(SENDERS).await?);
        events += world.sum("nexus_events_total", "").await - before.0;
        appends += world.sum("nexus_appends_total", "").await - before.1;
        eprintln!(
            "round {n} of {rounds}: {:.0} messages/s one by one, {:.0} with {SENDERS} senders",
            busy.alone[n - 1],
            busy.together[n - 1]
        );
    }
    busy.group = events / appends;
    Ok(busy)
}
