//! What a stream costs in the real program: memory, and CPU time of a delivery, edge and core together; and what it costs
//! when HAProxy is the edge.

use crate::{
    client::{Connection, Edge, Messages, say},
    figures::{Bar, Chart, Section, Stamp, Table, Verdict},
    haproxy::{self, Haproxy},
    process::{Usage, open_files, resident},
    row,
    server::{self, Server},
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
const ROUNDS: usize = 8;
/// Of them, those until the allocators have what they keep: what is gained from then on is lost.
const WARM: usize = 3;
/// Until memory is read.
const SETTLE: Duration = Duration::from_secs(3);
/// Events per second, and how many.
const RATE: f64 = 20.0;
const EVENTS: usize = 200;
const TEXT: usize = 200;
/// For everything that should happen at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// Streams on a connection, and KiB that each may cost, edge and core together.
const WANTED: [(usize, f64); 2] = [(1, 60.0), (10, 32.0)];
/// CPU seconds that 100,000 deliveries may cost at ten streams on a connection.
const WANTED_CPU: f64 = 1.6;
/// How much of its memory a stream may gain by rounds of closing and reopening, after the first few.
const WANTED_GROWTH: f64 = 0.05;

/// Measures it.
pub fn measure(quick: bool) -> anyhow::Result<Section> {
    let (streams, members, events) =
        if quick { (STREAMS / 10, MEMBERS / 10, EVENTS / 10) } else { (STREAMS, MEMBERS, EVENTS) };
    let haproxy = haproxy::version();
    if haproxy.is_none() {
        eprintln!("haproxy is not installed, and is left out");
    }
    let mut found = Vec::new();
    for behind_haproxy in [false, true] {
        if behind_haproxy && haproxy.is_none() {
            continue;
        }
        for (per_connection, _) in WANTED {
            let plan = Plan { streams, members, per_connection, events, behind_haproxy };
            match server::run(one(plan)) {
                Ok(of) => found.push(of),
                // It is only there to compare with.
                Err(error) if behind_haproxy => eprintln!("HAProxy is left out: {error:#}"),
                Err(error) => return Err(error),
            }
        }
    }
    let beside = found.iter().any(|found: &Found| found.plan.behind_haproxy);
    Ok(report(&found, haproxy.as_deref().filter(|_| beside)))
}

#[derive(Clone, Copy)]
struct Plan {
    streams: usize,
    members: usize,
    per_connection: usize,
    events: usize,
    behind_haproxy: bool,
}

/// The program, and HAProxy in front of its core if that is the plan.
struct Running {
    haproxy: Option<Haproxy>,
    server: Server,
}

impl Running {
    fn edge(&self) -> &Edge {
        self.haproxy.as_ref().map_or(&self.server.edge, |haproxy| &haproxy.edge)
    }

    fn pids(&self) -> impl Iterator<Item = u32> {
        std::iter::once(self.server.pid()).chain(self.haproxy.as_ref().map(Haproxy::pid))
    }

    fn resident(&self) -> anyhow::Result<u64> {
        self.pids().map(resident).sum()
    }

    fn open_files(&self) -> anyhow::Result<usize> {
        self.pids().map(open_files).sum()
    }

    fn usage(&self) -> anyhow::Result<Vec<Usage>> {
        self.pids().map(Usage::of).collect()
    }

    /// CPU seconds since then: of all, and of the edge.
    fn since(&self, then: &[Usage]) -> anyhow::Result<(f64, f64)> {
        let now = self.usage()?;
        let of = |n: usize, name: &str| match (now.get(n), then.get(n)) {
            (Some(now), Some(then)) => now.since(then, name).as_secs_f64(),
            _ => 0.0,
        };
        let edge = if self.haproxy.is_some() { of(1, "") } else { of(0, "edge") };
        Ok((of(0, "") + of(1, ""), edge))
    }
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
    eprintln!(
        "{} streams, {} per connection{}: making the conversations",
        plan.streams,
        plan.per_connection,
        if plan.behind_haproxy { ", HAProxy" } else { "" }
    );
    let world = Arc::new(World::make(&server, plan).await?);
    let haproxy = match plan.behind_haproxy {
        true => Some(Haproxy::start(folder.path(), &server).await?),
        false => None,
    };
    let running = Running { haproxy, server };
    // What the first streams make once and for all belongs to no stream.
    let few = Plan { streams: 20, per_connection: 1, ..plan };
    Opened::open(&running, &world, few).await?.close().await;
    sleep(SETTLE).await;
    let (base, files) = (running.resident()?, running.open_files()?);
    let mut open = Vec::new();
    let mut last: Option<Opened> = None;
    for round in 0..=ROUNDS {
        if let Some(opened) = last.take() {
            opened.close().await;
        }
        until(|| Ok(running.open_files()? <= files + kept(plan)), "the program closes its sockets").await?;
        sleep(SETTLE).await;
        let begun = Instant::now();
        last = Some(Opened::open(&running, &world, plan).await?);
        let took = begun.elapsed();
        sleep(SETTLE).await;
        let each = running.resident()?.saturating_sub(base) as f64 / plan.streams as f64;
        let what = if round == 0 { "opened".to_owned() } else { format!("closed and reopened, {round}") };
        eprintln!("{what}: {each:.1} KiB per stream ({:.1} s)", took.as_secs_f64());
        open.push(each);
    }
    let before = running.usage()?;
    sleep(SETTLE).await;
    let idle = running.since(&before)?.0 / SETTLE.as_secs_f64();
    let (cpu, edge) = deliver(&running, &world, plan).await?;
    eprintln!("delivered: {cpu:.2} CPU s per 100,000, of them {edge:.2} the edge's");
    if let Some(opened) = last {
        opened.close().await;
    }
    until(|| Ok(running.open_files()? <= files + kept(plan)), "the program closes its sockets").await?;
    sleep(SETTLE).await;
    Ok(Found { plan, base, open, closed: running.resident()?, cpu, edge, idle })
}

/// Files that may stay open without a client: the edge keeps its connections to the core, 100 streams on each, and both
/// of their ends are here.
fn kept(plan: Plan) -> usize {
    plan.streams / 25 + 16
}

/// Sends events at their time, one conversation after the other, and waits until everybody has all of them.
async fn deliver(running: &Running, world: &World, plan: Plan) -> anyhow::Result<(f64, f64)> {
    let owner = running.server.token(OWNER)?;
    let connection = Arc::new(running.edge().connect(0).await?);
    let text = "x".repeat(TEXT);
    world.delivered.store(0, Relaxed);
    let mut pace = interval(Duration::from_secs_f64(1.0 / RATE));
    let before = running.usage()?;
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
    let (all, edge) = running.since(&before)?;
    let per = |seconds: f64| seconds * 1e5 / wanted as f64;
    Ok((per(all), per(edge)))
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
    async fn open(running: &Running, world: &Arc<World>, plan: Plan) -> anyhow::Result<Self> {
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
                Ok((running.server.token(&user(n))?, v1::AttachRequest { cursors, no_ephemeral: false }))
            });
            let devices = devices.collect::<anyhow::Result<Vec<_>>>()?;
            let edge = running.edge().clone();
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

fn report(found: &[Found], haproxy: Option<&str>) -> Section {
    let memory = |found: &Found| found.open.last().copied().unwrap_or(f64::NAN);
    let edge = |found: &Found| match haproxy.filter(|_| found.plan.behind_haproxy) {
        Some(version) => format!("HAProxy {version}"),
        None => "Nexus".to_owned(),
    };
    let name = |found: &Found| format!("{} per connection", found.plan.per_connection);
    let mut verdicts = Vec::new();
    let verdict = |of: String, unit: &str, value: f64, most: f64| Verdict {
        of,
        measured: format!("{value:.1} {unit}"),
        wanted: format!("at most {most} {unit}"),
        met: Some(value <= most),
    };
    for (each, (per, most)) in found.iter().zip(WANTED) {
        let growth = memory(each) / each.open.get(WARM).copied().unwrap_or(f64::NAN) - 1.0;
        verdicts.push(verdict(format!("RSS per stream, {}", name(each)), "KiB", memory(each), most));
        let of = format!("its growth from the {WARM}rd to the {ROUNDS}th round of closing and reopening");
        verdicts.push(verdict(of, "%", growth * 100.0, WANTED_GROWTH * 100.0));
        let of = format!("CPU per 100,000 deliveries, {}", name(each));
        verdicts.push(match per {
            10 => verdict(of, "s", each.cpu, WANTED_CPU),
            _ => {
                let measured = format!("{:.1} s", each.cpu);
                Verdict { of, measured, wanted: "for comparison".into(), met: None }
            }
        });
    }
    let mut head = row!["edge", "streams", "base, MiB", "opened, KiB each"];
    head.extend((1..=ROUNDS).map(|round| format!("reopened, {round}")));
    head.extend(row!["all closed, MiB", "CPU s / 100,000", "of it edge", "idle, cores"]);
    let line = |found: &Found| {
        let mut line = row![
            edge(found),
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
    let bars = |value: &dyn Fn(&Found) -> f64| {
        let bar = |found: &Found| Bar {
            label: format!("{}, {}", edge(found), name(found)),
            value: value(found),
            ours: !found.plan.behind_haproxy,
        };
        let of = |(per, _): (usize, f64)| {
            found.iter().filter(move |found| found.plan.per_connection == per).map(bar)
        };
        WANTED.into_iter().flat_map(of).collect()
    };
    let (streams, members, events) = found.first().map_or((STREAMS, MEMBERS, EVENTS), |found| {
        (found.plan.streams, found.plan.members, found.plan.events)
    });
    let beside = match haproxy {
        Some(version) => format!(
            "Beside it, HAProxy {version} as the edge of the same core, over its Unix socket: TLS, HTTP/2 on both sides, \
             the token's signature and the caller's headers, without limits of rates, metrics and a log; memory and \
             CPU time are of both processes."
        ),
        None => "HAProxy did not run, or it would stand beside it.".to_owned(),
    };
    Section {
        title: "Density: edge and core together".into(),
        method: format!(
            "The release program in a process of its own, with its default configuration; {streams} users attach over \
             TLS and HTTP/2, each with a token and one conversation of {members} members. Memory is the resident set \
             above that before the streams, {} s after all were opened and again after each of {ROUNDS} rounds of closing \
             and reopening all of them. Then {events} events of {TEXT} bytes, {RATE} a second, each to {members} \
             streams; every stream checks that it misses none. CPU time is that of the whole process, appends \
             included. {beside}",
            SETTLE.as_secs()
        ),
        verdicts,
        tables: vec![Table { head, rows: found.iter().map(line).collect() }],
        charts: vec![
            Chart {
                name: "density-memory".into(),
                title: format!("Resident memory per stream, KiB ({streams} streams, after {ROUNDS} rounds)"),
                bars: bars(&memory),
                bound: None,
            },
            Chart {
                name: "density-cpu".into(),
                title: "CPU per 100,000 deliveries, s (TLS, edge and core)".into(),
                bars: bars(&|found| found.cpu),
                bound: None,
            },
        ],
        stamp: Stamp::default(),
    }
}
