//! From sending to delivery on an idle cluster, beside one conditional write plus one publish by plain drivers.

use super::{
    raw::Raw,
    world::{World, until},
};
use crate::{
    client::{Messages, say},
    process::median,
};
use anyhow::{Context as _, bail, ensure};
use nexus_proto::v1::{self, attach_response::Frame, event::Body};
use std::time::{Duration, Instant};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

/// Between two of them, so that nothing is under way.
const PAUSE: Duration = Duration::from_millis(25);
const PATIENCE: Duration = Duration::from_secs(40);
/// Users that are tried until the stream of one is on another node than the conversation.
const USERS: usize = 30;
/// The first ones, which aren't counted.
const WARM: usize = 20;
/// Bytes of a message, and of its event.
pub const TEXT: usize = 100;
const EVENT: usize = 140;

/// Milliseconds of each.
pub struct Latency {
    /// From the call to the receiver's device, through two edges and two nodes.
    pub delivered: Vec<f64>,
    /// From the call to its answer.
    pub answered: Vec<f64>,
    /// One conditional write by the plain driver.
    pub write: Vec<f64>,
    /// One publish until it is heard, by the plain driver.
    pub publish: Vec<f64>,
    /// The receiving node's own mean from acceptance until it is in the stream's queue.
    pub own: f64,
}

impl Latency {
    /// Milliseconds of the write and the publish together, each time.
    pub fn pairs(&self) -> impl Iterator<Item = f64> {
        self.write.iter().zip(&self.publish).map(|(write, publish)| write + publish)
    }
}

/// Measures so many of both, in turns.
pub async fn measure(world: &World, rounds: usize) -> anyhow::Result<Latency> {
    let mut raw = Raw::connect(&world.deployment).await?;
    let sender = world.edge.connect(0).await?;
    let receiver = world.edge.connect(1).await?;
    let token = world.token("latency-sender")?;
    let users: Vec<String> = (0..USERS).map(|n| format!("latency-{n}")).collect();
    let all: Vec<String> = std::iter::once("latency-sender".to_owned()).chain(users.clone()).collect();
    let room = world.room(&sender, &all).await?;
    let home = place_of(world, "nexus_appends_total", async || {
        say(&sender, &token, &room, "where does this go?").await.map(drop)
    })
    .await?;
    let mut found = None;
    // They stay, so that a node's streams only grow.
    let mut others = Vec::new();
    for user in users {
        let mut messages = None;
        let token = world.token(&user)?;
        let at = place_of(world, "nexus_delivery_streams", async || {
            let ask = v1::AttachRequest { cursors: vec![], no_ephemeral: true };
            let mut stream = receiver.attach("/nexus.v1.StreamService/Attach", &token, &ask).await?;
            caught_up(&mut stream).await?;
            messages = Some(stream);
            Ok(())
        })
        .await?;
        let messages = messages.context("nobody is attached")?;
        if at != home {
            found = Some((messages, at));
            break;
        }
        others.push(messages);
    }
    let (messages, at) = found.context("every stream is on the conversation's node")?;
    let (heard, mut arrivals) = mpsc::channel(16);
    let listening = tokio::spawn(listen(messages, heard));
    let core = &world.deployment.cores[at].part;
    let mut latency =
        Latency { delivered: vec![], answered: vec![], write: vec![], publish: vec![], own: 0.0 };
    let mut own = (0.0, 0.0);
    for round in 0..WARM + rounds {
        if round == WARM {
            latency =
                Latency { delivered: vec![], answered: vec![], write: vec![], publish: vec![], own: 0.0 };
            own = histogram(core).await?;
        }
        for which in [round % 2, 1 - round % 2] {
            sleep(PAUSE).await;
            let begun = Instant::now();
            if which == 0 {
                raw.write(EVENT).await?;
                latency.write.push(millis(begun.elapsed()));
                let begun = Instant::now();
                raw.publish(EVENT).await?;
                latency.publish.push(millis(begun.elapsed()));
                continue;
            }
            let text = format!("{round:0TEXT$}");
            let said = async {
                let seq = say(&sender, &token, &room, &text).await?;
                anyhow::Ok((seq, begun.elapsed()))
            };
            let (said, arrived) = tokio::join!(said, timeout(PATIENCE, arrivals.recv()));
            let ((seq, answered), arrived) = (said?, arrived.context("nothing arrives")?);
            let (arrived_seq, at) = arrived.context("the stream ended")?;
            ensure!(seq == arrived_seq, "{arrived_seq} arrived instead of {seq}");
            latency.answered.push(millis(answered));
            latency.delivered.push(millis(at.duration_since(begun)));
        }
        if round % 50 == 49 {
            let pairs = median(latency.pairs());
            let delivered = median(latency.delivered.iter().copied());
            eprintln!("{}: {delivered:.2} ms delivered, {pairs:.2} ms write and publish", round + 1);
        }
    }
    let after = histogram(core).await?;
    latency.own = 1000.0 * (after.0 - own.0) / (after.1 - own.1);
    listening.abort();
    Ok(latency)
}

/// The chat node at which a metric grows by something.
async fn place_of(
    world: &World,
    metric: &str,
    something: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let before = world.of_each(metric, "").await;
    something().await?;
    let mut grew = None;
    until("a node counts it", async || {
        let now = world.of_each(metric, "").await;
        grew = now.iter().zip(&before).position(|(now, before)| now > before);
        grew.is_some()
    })
    .await?;
    grew.context("no node counted it")
}

/// Seconds in all, and how many, of the time until delivery.
async fn histogram(core: &nexus_cluster::program::Part) -> anyhow::Result<(f64, f64)> {
    let name = "nexus_delivery_latency_seconds";
    Ok((core.metric(&format!("{name}_sum"), "").await?, core.metric(&format!("{name}_count"), "").await?))
}

async fn caught_up(stream: &mut Messages) -> anyhow::Result<()> {
    while let Some(message) = stream.next::<v1::AttachResponse>().await? {
        if matches!(message.frame, Some(Frame::CaughtUp(_))) {
            return Ok(());
        }
    }
    bail!("the stream ended")
}

/// Tells when each message came.
async fn listen(mut stream: Messages, heard: mpsc::Sender<(u64, Instant)>) -> anyhow::Result<()> {
    while let Some(message) = stream.next::<v1::AttachResponse>().await? {
        let now = Instant::now();
        let Some(Frame::Events(events)) = message.frame else { continue };
        for event in events.events.iter().filter(|event| matches!(event.body, Some(Body::MessageSent(_)))) {
            heard.send((event.seq, now)).await?;
        }
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
