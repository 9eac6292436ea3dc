//! How fast the log takes messages, against fjall with nothing around it.

use crate::{
    figures::{Bar, Chart, Section, Stamp, Table, Verdict},
    process::{Usage, median},
    row, server,
};
use anyhow::Context as _;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use nexus_core::{
    bus::local::LocalBus,
    clock::SystemClock,
    conversation::{Command, Conversations, Settings},
    domain::{ClientId, ConversationId, Name, Place},
    store::embedded::{EmbeddedStore, Options},
};
use nexus_proto::v1::{self, event::Body};
use prometheus::Registry;
use std::{
    future::Future,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use uuid::Uuid;

/// Senders, each with a conversation of its own and one message under way.
const SENDERS: usize = 64;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);
/// Bytes of a message's text.
const TEXT: usize = 100;
/// Of what raw fjall does per second.
const WANTED: f64 = 0.5;

/// A row as the log writes it, in bytes.
#[derive(Clone, Copy)]
struct Shape {
    key: usize,
    value: usize,
    /// Whether it is written anew, or over what the conversation had there.
    anew: bool,
}

/// An event with such a text.
const EVENT: Shape = Shape { key: 40, value: 140, anew: true };
/// All that a message is: its event, its id, the end of its bucket, and what is shown of it.
const MESSAGE: [Shape; 4] = [
    EVENT,
    Shape { key: 52, value: 48, anew: true },
    Shape { key: 30, value: 60, anew: false },
    Shape { key: 50, value: 170, anew: true },
];

/// Measures it.
pub fn measure(quick: bool) -> anyhow::Result<Section> {
    let (rounds, round) = if quick { (3, ROUND / 10) } else { (ROUNDS, ROUND) };
    server::run(all(rounds, round))
}

/// What one contender did in one round.
struct Done {
    /// Messages per second.
    rate: f64,
    /// Microseconds of CPU time per message, of the whole process.
    cpu: f64,
    /// Messages per fsync.
    group: f64,
}

async fn all(rounds: usize, round: Duration) -> anyhow::Result<Section> {
    let folder = tempfile::tempdir()?;
    let log = Log::open(&folder.path().join("log")).await?;
    let raw = Raw::open(&folder.path().join("raw"))?;
    let (mut of_log, mut of_rows, mut of_senders, mut of_loop) = (vec![], vec![], vec![], vec![]);
    for n in 1..=rounds {
        let group = |done: &Done| (done.group.round() as usize).clamp(1, SENDERS);
        let by_log = timed(log.round(round)).await?;
        let by_rows = timed(raw.senders(round, &MESSAGE)).await?;
        let by_senders = timed(raw.senders(round, &[EVENT])).await?;
        let by_loop = timed(raw.one_after_the_other(round, group(&by_log))).await?;
        eprintln!(
            "round {n} of {rounds}: the log {:.0} messages/s, fjall with all rows of them {:.0}, with one of each {:.0}, \
             without senders {:.0}",
            by_log.rate, by_rows.rate, by_senders.rate, by_loop.rate
        );
        of_log.push(by_log);
        of_rows.push(by_rows);
        of_senders.push(by_senders);
        of_loop.push(by_loop);
    }
    Ok(report(&[
        ("the log", of_log),
        ("raw fjall, the same rows", of_rows),
        ("raw fjall, one row of four", of_senders),
        ("raw fjall, one row in a bare loop", of_loop),
    ]))
}

/// Messages and fsyncs of a round, with their time.
async fn timed(round: impl Future<Output = anyhow::Result<(u64, u64)>>) -> anyhow::Result<Done> {
    let (before, begun) = (Usage::own()?, Instant::now());
    let (rows, groups) = round.await?;
    let (took, cpu) = (begun.elapsed(), Usage::own()?.since(&before, ""));
    Ok(Done {
        rate: rows as f64 / took.as_secs_f64(),
        cpu: cpu.as_secs_f64() * 1e6 / rows as f64,
        // A group is counted when all is over, which may be after the round.
        group: rows as f64 / groups.max(1) as f64,
    })
}

/// The real log: validation, conditions, dedupe, views and hints included.
struct Log {
    conversations: Arc<Conversations>,
    registry: Registry,
}

impl Log {
    async fn open(path: &Path) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let store = Arc::new(EmbeddedStore::open(path, Options::default(), &registry)?);
        let (bus, clock) = (Arc::new(LocalBus::default()), Arc::new(SystemClock));
        let conversations = Conversations::new(store, bus, clock, Settings::default(), &registry)?;
        for n in 0..SENDERS {
            let created = v1::ConversationCreated {
                kind: v1::ConversationKind::Group as i32,
                title: "All".into(),
                members: vec![v1::MemberRole { user: "alice".into(), role: v1::Role::Owner as i32 }],
                post_role: v1::Role::Member as i32,
                ..Default::default()
            };
            conversations.submit(command(n, Body::ConversationCreated(created))?).await?;
        }
        Ok(Self { conversations, registry })
    }

    async fn round(&self, round: Duration) -> anyhow::Result<(u64, u64)> {
        let before = self.groups();
        let end = Instant::now() + round;
        let mut senders = JoinSet::new();
        for n in 0..SENDERS {
            let conversations = self.conversations.clone();
            senders.spawn(async move {
                let mut rows = 0;
                while Instant::now() < end {
                    let content = Some(v1::Content { text: "x".repeat(TEXT), ..Default::default() });
                    let sent = v1::MessageSent { content, ..Default::default() };
                    conversations.submit(command(n, Body::MessageSent(sent))?).await?;
                    rows += 1;
                }
                anyhow::Ok(rows)
            });
        }
        Ok((sum(senders).await?, self.groups() - before))
    }

    /// Groups that were written with an fsync of their own.
    fn groups(&self) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.get_name() == "nexus_store_commit_seconds");
        let metrics = family.map_or(&[][..], |family| family.get_metric());
        let synced =
            metrics.iter().filter(|of| of.get_label().iter().any(|label| label.get_value() == "true"));
        synced.map(|of| of.get_histogram().get_sample_count()).sum()
    }
}

fn command(conversation: usize, body: Body) -> anyhow::Result<Command> {
    let conversation = ConversationId(Uuid::from_u128(conversation as u128 + 1));
    let place = Place { tenant: Name::new("bench")?, conversation };
    Ok(Command { place, sender: Name::new("alice")?, id: Some(ClientId(Uuid::now_v7())), target: 0, body })
}

async fn sum(mut senders: JoinSet<anyhow::Result<u64>>) -> anyhow::Result<u64> {
    let mut rows = 0;
    while let Some(done) = senders.join_next().await {
        rows += done??;
    }
    Ok(rows)
}

/// fjall with nothing around it: rows of the same size, one fsync for each group.
#[derive(Clone)]
struct Raw {
    db: Database,
    /// One for each of a message's rows, as the log has.
    spaces: Vec<Keyspace>,
}

impl Raw {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let db = Database::builder(path).open()?;
        let space = |n| db.keyspace(&format!("rows {n}"), KeyspaceCreateOptions::default);
        let spaces = (0..MESSAGE.len()).map(space).collect::<Result<_, _>>()?;
        Ok(Self { db, spaces })
    }

    fn write(&self, messages: impl Iterator<Item = Uuid>, shapes: &[Shape]) -> anyhow::Result<()> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        for message in messages {
            for (shape, space) in shapes.iter().zip(&self.spaces) {
                let mut key = vec![0; shape.key];
                // As spread over conversations as the log's.
                key[..8].copy_from_slice(&(message.as_u128() as u64 % SENDERS as u64).to_be_bytes());
                if shape.anew {
                    key[shape.key - 16..].copy_from_slice(message.as_bytes());
                }
                batch.insert(space, key, vec![b'x'; shape.value]);
            }
        }
        Ok(batch.commit()?)
    }

    /// The same number of senders, each waiting for its row; whoever writes takes all that wait.
    async fn senders(&self, round: Duration, shapes: &'static [Shape]) -> anyhow::Result<(u64, u64)> {
        let (queue, mut waiting) = mpsc::channel::<(Uuid, oneshot::Sender<()>)>(SENDERS);
        let end = Instant::now() + round;
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let queue = queue.clone();
            senders.spawn(async move {
                let mut rows = 0;
                while Instant::now() < end {
                    let (written, done) = oneshot::channel();
                    queue.send((Uuid::now_v7(), written)).await.ok().context("the writer is gone")?;
                    done.await.context("the writer failed")?;
                    rows += 1;
                }
                anyhow::Ok(rows)
            });
        }
        drop(queue);
        let raw = self.clone();
        let writer = thread::spawn(move || {
            let mut groups = 0;
            while let Some(first) = waiting.blocking_recv() {
                let mut group = vec![first];
                while let Ok(next) = waiting.try_recv() {
                    group.push(next);
                }
                raw.write(group.iter().map(|(message, _)| *message), shapes)?;
                groups += 1;
                // A sender that is gone doesn't wait any more.
                for (_, written) in group {
                    written.send(()).ok();
                }
            }
            anyhow::Ok(groups)
        });
        let rows = sum(senders).await?;
        let groups = writer.join().ok().context("the writer panicked")??;
        Ok((rows, groups))
    }

    /// Groups of this size, one after the other, with nobody waiting for them.
    async fn one_after_the_other(&self, round: Duration, group: usize) -> anyhow::Result<(u64, u64)> {
        let raw = self.clone();
        let end = Instant::now() + round;
        let writing = tokio::task::spawn_blocking(move || {
            let mut groups = 0;
            while Instant::now() < end {
                raw.write((0..group).map(|_| Uuid::now_v7()), &[EVENT])?;
                groups += 1;
            }
            anyhow::Ok((groups * group as u64, groups))
        });
        writing.await?
    }
}

fn report(contenders: &[(&str, Vec<Done>); 4]) -> Section {
    let [(_, of_log), others @ ..] = contenders;
    let rate = |done: &[Done]| median(done.iter().map(|done| done.rate));
    // Of each round by itself: what disturbs one disturbs both.
    let ratio = |other: &[Done]| median(of_log.iter().zip(other).map(|(log, other)| log.rate / other.rate));
    let mut verdicts = Vec::new();
    for (n, (name, done)) in others.iter().enumerate() {
        let ratio = ratio(done);
        verdicts.push(Verdict {
            of: format!("the log against {name}"),
            measured: format!("{:.0} %", ratio * 100.0),
            wanted: if n == 0 { "at least 50 %".into() } else { "for comparison".into() },
            met: (n == 0).then_some(ratio >= WANTED),
        });
    }
    let line = |(name, done): &(&str, Vec<Done>)| {
        let cpu = median(done.iter().map(|done| done.cpu));
        let group = median(done.iter().map(|done| done.group));
        row![name, format!("{:.0}", rate(done)), format!("{cpu:.1}"), format!("{group:.0}")]
    };
    let bar = |(n, (name, done)): (usize, &(&str, Vec<Done>))| Bar {
        label: (*name).into(),
        value: rate(done),
        ours: n == 0,
    };
    Section {
        title: "Append".into(),
        method: format!(
            "{SENDERS} senders, each with a conversation of its own and one message of {TEXT} bytes under way, through \
             the real log: validation, the conditional batch, views and hints, one fsync per group before any of its \
             receipts. A message is {} rows: its event, its id, the end of its bucket, and what is shown of it. Against \
             fjall with nothing around it, by as many senders who share an fsync in the same way: writing rows of the \
             same sizes, and writing the event alone, which is no log yet; and the event alone in a bare loop of groups \
             as large as the log's. They take turns, {} rounds of {} s each; medians, and the median of the rounds' \
             ratios.",
            MESSAGE.len(),
            of_log.len(),
            ROUND.as_secs(),
        ),
        verdicts,
        tables: vec![Table {
            head: row!["", "messages/s", "CPU us/message", "messages/fsync"],
            rows: contenders.iter().map(line).collect(),
        }],
        charts: vec![Chart {
            name: "append".into(),
            title: "Durable messages per second".into(),
            bars: contenders.iter().enumerate().map(bar).collect(),
            bound: Some((rate(&contenders[1].1) * WANTED, "wanted: half".into())),
        }],
        stamp: Stamp::default(),
    }
}
