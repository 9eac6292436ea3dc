//! What a stream costs in the real program: memory, and CPU time of a delivery, edge and core together.

use crate::{
    client::{Connection, Messages},
    figures::{Bar, Chart, Section, Stamp, Table, Verdict},
    process::{Usage, open_files, resident},
    row,
    server::{self, Server},
    start::say,
};
use anyhow::{Context as _, bail, ensure};
use nexus_proto::v1::{self, attach_response::Frame};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep},
};
use uuid::Uuid;

const STREAMS: usize = 5000;
/// Members of one conversation: whom one event reaches.
const MEMBERS: usize = 1000;
/// Members that one request adds.
const ADDED: usize = 100;
/// Connections that are opened at once.
const AT_ONCE: usize = 32;
/// Rounds of closing and reopening all streams, after they were opened for the first time.
const ROUNDS: usize = 3;
/// Until memory is read.
const SETTLE: Duration = Duration::from_secs(3);
/// Events per second, and how many.
const RATE: f64 = 20.0;
const EVENTS: usize = 200;
const TEXT: usize = 200;
/// For everything that should happen at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a prototype of edge and core reached on a machine like this one.
const REACHABLE: [(usize, f64); 2] = [(1, 60.0), (10, 32.0)];
const REACHABLE_CPU: f64 = 1.6;

/// Measures it.
pub fn measure(quick: bool) -> anyhow::Result<Section> {
    let (streams, members, events) =
        if quick { (STREAMS / 10, MEMBERS / 10, EVENTS / 10) } else { (STREAMS, MEMBERS, EVENTS) };
    let mut found = Vec::new();
    for (per_connection, _) in REACHABLE {
        let plan = Plan { streams, members, per_connection, events };
        found.push(server::run(one(plan))?);
    }
    Ok(report(&found))
}

#[derive(Clone, Copy)]
struct Plan {
    streams: usize,
    members: usize,
    per_connection: usize,
    events: usize,
}

struct Found {
    plan: Plan,
    /// Resident memory before any stream, KiB.
    base: u64,
    /// KiB per stream when all are open, each time.
    open: Vec<f64>,
    /// Resident memory after all were closed, KiB.
    closed: u64,
    /// CPU seconds per 100,000 deliveries: of the process, of its edge's threads.
    cpu: f64,
    edge: f64,
    /// CPU seconds per second with all streams open and nothing to say.
    idle: f64,
}

async fn one(plan: Plan) -> anyhow::Result<Found> {
    let folder = tempfile::tempdir()?;
    let (server, _) = Server::start(folder.path()).await?;
    let pid = server.pid();
    eprintln!("{} streams, {} per connection: making the conversations", plan.streams, plan.per_connection);
    let world = Arc::new(World::make(&server, plan).await?);
    // What the first streams make once and for all belongs to no stream.
    let few = Plan { streams: 20, per_connection: 1, ..plan };
    Opened::open(&server, &world, few).await?.close().await;
    sleep(SETTLE).await;
    let (base, files) = (resident(pid)?, open_files(pid)?);
    let mut open = Vec::new();
    let mut last: Option<Opened> = None;
    for round in 0..=ROUNDS {
        if let Some(opened) = last.take() {
            opened.close().await;
        }
        until(|| Ok(open_files(pid)? <= files + kept(plan)), "the program closes its sockets").await?;
        sleep(SETTLE).await;
        let begun = Instant::now();
        last = Some(Opened::open(&server, &world, plan).await?);
        let took = begun.elapsed();
        sleep(SETTLE).await;
        let each = resident(pid)?.saturating_sub(base) as f64 / plan.streams as f64;
        let what = if round == 0 { "opened".to_owned() } else { format!("closed and reopened, {round}") };
        eprintln!("{what}: {each:.1} KiB per stream ({:.1} s)", took.as_secs_f64());
        open.push(each);
    }
    let before = Usage::of(pid)?;
    sleep(SETTLE).await;
    let idle = Usage::of(pid)?.since(&before, "").as_secs_f64() / SETTLE.as_secs_f64();
    let (cpu, edge) = deliver(&server, &world, plan).await?;
    eprintln!("delivered: {cpu:.2} CPU s per 100,000, of them {edge:.2} the edge's");
    if let Some(opened) = last {
        opened.close().await;
    }
    until(|| Ok(open_files(pid)? <= files + kept(plan)), "the program closes its sockets").await?;
    sleep(SETTLE).await;
    Ok(Found { plan, base, open, closed: resident(pid)?, cpu, edge, idle })
}

/// Files that may stay open without a client: the edge keeps its connections to the core, 100 streams on each, and both
/// of their ends are here.
fn kept(plan: Plan) -> usize {
    plan.streams / 25 + 16
}

/// Sends events at their time, one conversation after the other, and waits until everybody has all of them.
async fn deliver(server: &Server, world: &World, plan: Plan) -> anyhow::Result<(f64, f64)> {
    let owner = server.token(OWNER)?;
    let connection = Arc::new(server.edge.connect(0).await?);
    let text = "x".repeat(TEXT);
    world.delivered.store(0, Relaxed);
    let mut pace = interval(Duration::from_secs_f64(1.0 / RATE));
    let before = Usage::of(server.pid())?;
    let mut sends = JoinSet::new();
    for n in 0..plan.events {
        pace.tick().await;
        let (connection, owner, text) = (connection.clone(), owner.clone(), text.clone());
        let conversation = world.conversations[n % world.conversations.len()].0.clone();
        sends.spawn(async move { say(&connection, &owner, &conversation, &text).await });
    }
    while let Some(sent) = sends.join_next().await {
        sent??;
    }
    let wanted = (plan.events * plan.members) as u64;
    until(
        || {
            world.well()?;
            Ok(world.delivered.load(Relaxed) >= wanted)
        },
        "every stream has every event",
    )
    .await?;
    let after = Usage::of(server.pid())?;
    let per = |name| after.since(&before, name).as_secs_f64() * 1e5 / wanted as f64;
    Ok((per(""), per("edge")))
}

const OWNER: &str = "owner";

/// The conversations, and what their streams have seen.
struct World {
    /// Id and last seq when the streams attach.
    conversations: Vec<(String, u64)>,
    delivered: AtomicU64,
    caught_up: AtomicU64,
    wrong: Mutex<Option<String>>,
}

impl World {
    async fn make(server: &Server, plan: Plan) -> anyhow::Result<Self> {
        let connection = server.edge.connect(0).await?;
        let token = server.token(OWNER)?;
        let mut conversations = Vec::new();
        for group in 0..plan.streams / plan.members {
            let path = "/nexus.v1.ConversationService/CreateConversation";
            let create = v1::CreateConversationRequest {
                client_id: Uuid::now_v7().to_string(),
                kind: v1::ConversationKind::Group as i32,
                title: format!("Group {group}"),
                ..Default::default()
            };
            let made: v1::CreateConversationResponse = connection.call(path, &token, &create).await?;
            let id = made.conversation.context("no conversation was made")?.id;
            let mut last = 0;
            let first = group * plan.members;
            for from in (first..first + plan.members).step_by(ADDED) {
                let to = (from + ADDED).min(first + plan.members);
                let add = v1::AddMembersRequest {
                    conversation_id: id.clone(),
                    client_id: Uuid::now_v7().to_string(),
                    users: (from..to).map(user).collect(),
                    ..Default::default()
                };
                let path = "/nexus.v1.ConversationService/AddMembers";
                let added: v1::AddMembersResponse = connection.call(path, &token, &add).await?;
                last = added.receipt.unwrap_or_default().seq;
            }
            conversations.push((id, last));
        }
        Ok(Self {
            conversations,
            delivered: AtomicU64::new(0),
            caught_up: AtomicU64::new(0),
            wrong: Mutex::new(None),
        })
    }

    /// Whether no stream has seen anything wrong.
    fn well(&self) -> anyhow::Result<()> {
        match &*self.wrong.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(wrong) => bail!("a stream: {wrong}"),
            None => Ok(()),
        }
    }
}

fn user(n: usize) -> String {
    format!("user-{n}")
}

/// Streams that are open.
struct Opened {
    connections: Vec<Connection>,
    listeners: JoinSet<()>,
}

impl Opened {
    /// Opens all streams, and waits until each has caught up.
    async fn open(server: &Server, world: &Arc<World>, plan: Plan) -> anyhow::Result<Self> {
        world.caught_up.store(0, Relaxed);
        let (mut connections, mut listeners) = (Vec::new(), JoinSet::new());
        let mut opening = JoinSet::new();
        for n in 0..plan.streams / plan.per_connection {
            if opening.len() >= AT_ONCE {
                take(&mut opening, &mut connections, &mut listeners, world).await?;
            }
            let first = n * plan.per_connection;
            let devices = (first..first + plan.per_connection).map(|n| {
                let (id, seq) = world.conversations[n / plan.members].clone();
                let cursors = vec![v1::Cursor { conversation_id: id, seq }];
                Ok((server.token(&user(n))?, v1::AttachRequest { cursors, no_ephemeral: false }))
            });
            let devices = devices.collect::<anyhow::Result<Vec<_>>>()?;
            let edge = server.edge.clone();
            opening.spawn(async move {
                let connection = edge.connect(n).await?;
                let mut streams = Vec::new();
                for (token, request) in devices {
                    let path = "/nexus.v1.StreamService/Attach";
                    let messages = connection.attach(path, &token, &request).await?;
                    streams.push((messages, request.cursors[0].seq));
                }
                anyhow::Ok((connection, streams))
            });
        }
        while !opening.is_empty() {
            take(&mut opening, &mut connections, &mut listeners, world).await?;
        }
        let all = || {
            world.well()?;
            Ok(world.caught_up.load(Relaxed) >= plan.streams as u64)
        };
        until(all, "every stream has caught up").await?;
        Ok(Self { connections, listeners })
    }

    /// Closes all connections, with nobody listening any more who would miss them.
    async fn close(mut self) {
        self.listeners.shutdown().await;
        drop(self.connections);
    }
}

type Opening = JoinSet<anyhow::Result<(Connection, Vec<(Messages, u64)>)>>;

/// Waits for one connection, and listens to its streams.
async fn take(
    opening: &mut Opening,
    connections: &mut Vec<Connection>,
    listeners: &mut JoinSet<()>,
    world: &Arc<World>,
) -> anyhow::Result<()> {
    let Some(opened) = opening.join_next().await else { return Ok(()) };
    let (connection, streams) = opened??;
    connections.push(connection);
    for (messages, seq) in streams {
        let world = world.clone();
        listeners.spawn(async move {
            if let Err(wrong) = listen(messages, seq, &world).await {
                world
                    .wrong
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(format!("{wrong:#}"));
            }
        });
    }
    Ok(())
}

/// Counts what comes, and sees to it that nothing is missing.
async fn listen(mut messages: Messages, mut seq: u64, world: &World) -> anyhow::Result<()> {
    while let Some(message) = messages.next::<v1::AttachResponse>().await? {
        match message.frame {
            Some(Frame::CaughtUp(_)) => drop(world.caught_up.fetch_add(1, Relaxed)),
            Some(Frame::Events(events)) => {
                for event in &events.events {
                    ensure!(event.seq == seq + 1, "event {} follows {seq}", event.seq);
                    seq = event.seq;
                }
                world.delivered.fetch_add(events.events.len() as u64, Relaxed);
            }
            Some(Frame::Reset(reset)) => bail!("a reset: {reset:?}"),
            _ => {}
        }
    }
    bail!("it ended")
}

async fn until(done: impl Fn() -> anyhow::Result<bool>, what: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !done()? {
        ensure!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn report(found: &[Found]) -> Section {
    let memory = |found: &Found| found.open.last().copied().unwrap_or(f64::NAN);
    let name = |found: &Found| format!("{} per connection", found.plan.per_connection);
    let mut verdicts = Vec::new();
    for (each, (_, reachable)) in found.iter().zip(REACHABLE) {
        verdicts.push(Verdict {
            of: format!("RSS per stream, {}", name(each)),
            measured: format!("{:.1} KiB", memory(each)),
            wanted: format!("to be recorded; a prototype reached {reachable:.0}"),
            met: None,
        });
        verdicts.push(Verdict {
            of: format!("CPU per 100,000 deliveries, {}", name(each)),
            measured: format!("{:.2} s", each.cpu),
            wanted: format!("to be recorded; a prototype reached {REACHABLE_CPU}"),
            met: None,
        });
    }
    let mut head = row!["streams", "base, MiB", "opened, KiB each"];
    head.extend((1..=ROUNDS).map(|round| format!("reopened, {round}")));
    head.extend(row!["all closed, MiB", "CPU s / 100,000", "of it edge", "idle, cores"]);
    let line = |found: &Found| {
        let mut line = row![
            format!("{} x {}", found.plan.streams / found.plan.per_connection, found.plan.per_connection),
            format!("{:.1}", found.base as f64 / 1024.0),
        ];
        line.extend(found.open.iter().map(|each| format!("{each:.1}")));
        line.extend(row![
            format!("{:.1}", found.closed as f64 / 1024.0),
            format!("{:.2}", found.cpu),
            format!("{:.2}", found.edge),
            format!("{:.3}", found.idle),
        ]);
        line
    };
    let ours = |found: &Found, value| Bar { label: name(found), value, ours: true };
    let other = |label: String, value| Bar { label, value, ours: false };
    let mut of_memory = Vec::new();
    for (each, (per, reachable)) in found.iter().zip(REACHABLE) {
        of_memory.push(ours(each, memory(each)));
        of_memory.push(other(format!("a prototype, {per} per connection"), reachable));
    }
    let mut of_cpu: Vec<Bar> = found.iter().map(|each| ours(each, each.cpu)).collect();
    of_cpu.push(other("a prototype".into(), REACHABLE_CPU));
    let Plan { streams, members, events, .. } = found
        .first()
        .map_or(Plan { streams: STREAMS, members: MEMBERS, per_connection: 1, events: EVENTS }, |found| {
            found.plan
        });
    Section {
        title: "Density: edge and core together".into(),
        method: format!(
            "The release program in a process of its own, with its default configuration; {streams} users attach over \
             TLS and HTTP/2, each with a token and one conversation of {members} members. Memory is the resident set \
             above that before the streams, {} s after all were opened and again after each of {ROUNDS} rounds of closing \
             and reopening all of them. Then {events} events of {TEXT} bytes, {RATE} a second, each to {members} \
             streams; every stream checks that it misses none. CPU time is that of the whole process, appends \
             included.",
            SETTLE.as_secs()
        ),
        verdicts,
        tables: vec![Table { head, rows: found.iter().map(line).collect() }],
        charts: vec![
            Chart {
                name: "density-memory".into(),
                title: format!("Resident memory per stream, KiB ({streams} streams, after {ROUNDS} rounds)"),
                bars: of_memory,
                bound: None,
            },
            Chart {
                name: "density-cpu".into(),
                title: "CPU per 100,000 deliveries, s (TLS, edge and core)".into(),
                bars: of_cpu,
                bound: None,
            },
        ],
        stamp: Stamp::default(),
    }
}
