//! A chat node with many attached users, when a Redis master is killed: how soon every lane is subscribed again, and
//! compared with the log.
//!
//! Only a comparison can find what is appended as soon as a replica is master: it is written past the nodes and published
//! nowhere, a message on each lane that the killed master had, for a user who is attached and waits for it. The
//! comparison that comes round every 30 s anyway is off.

use super::{
    crowd::{Crowd, EACH, prober, user},
    world::{World, until},
};
use crate::{
    client::{Connection, Edge, Identity, Messages},
    process::resident,
};
use anyhow::{Context as _, bail, ensure};
use nexus_cluster::redis::{MASTERS, RedisCluster};
use nexus_core::{
    bus::local::LocalBus,
    clock::SystemClock,
    conversation::{Command, Conversations, Settings},
    domain::{ClientId, Name, hash::LANES},
    store::cql::{CqlStore, Options},
};
use nexus_proto::v1::{self, attach_response::Frame, event::Body};
use prometheus::Registry;
use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use uuid::Uuid;

/// Streams of one connection.
const PER_CONNECTION: usize = 100;
/// Connections that attach at once.
const AT_ONCE: usize = 2;
/// For a stream to be brought up to date, and for a message to come.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

/// One failover, in seconds since the kill.
pub struct Failover {
    /// Lanes that the master had.
    pub lanes: usize,
    /// Until a replica was master.
    pub promoted: f64,
    /// Until all lanes were subscribed.
    pub subscribed: f64,
    /// Until each had been compared with the log, at the earliest after the promotion.
    pub checked: f64,
}

impl Failover {
    /// Seconds from the promotion until all was well.
    pub fn after(&self) -> f64 {
        self.checked.max(self.subscribed) - self.promoted
    }
}

/// What was found.
pub struct Found {
    /// Users.
    pub users: usize,
    /// Seconds until all were attached and up to date.
    pub attached: f64,
    /// Resident memory of the node before, and with all of them, MiB.
    pub resident: (f64, f64),
    /// Each master's.
    pub failovers: Vec<Failover>,
}

/// Measures it with so many users, on the deployment's first node.
pub async fn measure(mut world: World, users: usize) -> anyhow::Result<Found> {
    let deployment = &mut world.deployment;
    for member in deployment.gateways.iter_mut().chain(&mut deployment.cores) {
        member.stop().await?;
    }
    let options = Options {
        nodes: deployment.cassandra.addresses(),
        replication_factor: 1,
        request_timeout_ms: 30_000,
        ..Options::default()
    };
    let store = CqlStore::connect(options, true, &Registry::new()).await?;
    let crowd = Arc::new(Crowd::new(users)?);
    eprintln!("putting {users} users with {EACH} conversations each into the store");
    crowd.seed(&store).await?;
    let log = nexus_core::log::Settings { recent: true, ..Default::default() };
    let settings = Settings { log, ..Settings::default() };
    let (store, nobody, clock) = (Arc::new(store), Arc::new(LocalBus::default()), Arc::new(SystemClock));
    let silent = Conversations::new(store, nobody, clock, settings, &Registry::new())?;

    let core = &mut deployment.cores[0];
    core.part = core.part.clone().with("NEXUS_CORE_DELIVERY_CHECK_MS", 0);
    core.start().await?;
    let (part, pid) = (core.part.clone(), core.id().context("it has ended")?);
    subscribed(&part).await?;
    let before = resident(pid)?;
    let edge = straight_to_the_node(&world)?;
    let begun = Instant::now();
    let streams = attach_all(&edge, &crowd).await?;
    let attached = begun.elapsed().as_secs_f64();
    let resident = (mib(before), mib(resident(pid)?));
    eprintln!("{users} users are attached after {attached:.0} s; the node has {:.0} MiB", resident.1);

    let mut failovers = Vec::new();
    let (mut streams, mut tried) = (streams, BTreeSet::new());
    let redis = &mut world.deployment.redis;
    for turn in 1..=MASTERS {
        let failover = one(redis, &part, &silent, &crowd, &mut streams, &mut tried).await?;
        eprintln!(
            "failover {turn} of {MASTERS}: promoted after {:.2} s, {} lanes subscribed after {:.2} s, checked after {:.2} s",
            failover.promoted, failover.lanes, failover.subscribed, failover.checked
        );
        failovers.push(failover);
    }
    ensure!(streams.ended.load(Relaxed) == 0, "streams ended");
    Ok(Found { users, attached, resident, failovers })
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// As an edge would come, with an edge's certificate.
fn straight_to_the_node(world: &World) -> anyhow::Result<Edge> {
    let folder = world.deployment.folder();
    let listen = world.deployment.cores[0].part.setting("NEXUS_CORE_LISTEN").context("it listens nowhere")?;
    let port = listen.rsplit(':').next().context("a port")?.parse()?;
    let read = |name: &str| fs::read(folder.join(name)).with_context(|| name.to_owned());
    let identity = Identity { certificate: read("gateway-0.pem")?, key: read("gateway-0.key")? };
    Edge::to(&read("nodes-ca.pem")?, "127.0.0.1", port, Some(identity))
}

async fn subscribed(node: &nexus_cluster::program::Part) -> anyhow::Result<()> {
    let all = async || node.metric("nexus_bus_lanes_subscribed", "").await.unwrap_or(0.0) == f64::from(LANES);
    until("all lanes are subscribed", all).await
}

/// All streams.
struct Streams {
    _connections: Vec<Connection>,
    _listeners: JoinSet<()>,
    /// Lanes whose probe's user got a message, and when.
    arrivals: mpsc::Receiver<(usize, Instant)>,
    /// Streams that ended.
    ended: Arc<AtomicUsize>,
}

async fn attach_all(edge: &Edge, crowd: &Arc<Crowd>) -> anyhow::Result<Streams> {
    let (users, ended) = (crowd.rooms.len(), Arc::new(AtomicUsize::new(0)));
    let (arrived, arrivals) = mpsc::channel(usize::from(LANES) * 16);
    let (mut connections, mut listeners) = (Vec::new(), JoinSet::new());
    let probes = edge.connect(0).await?;
    for (lane, place) in crowd.probes.iter().enumerate() {
        let cursors = vec![cursor(place)];
        let mut messages = attach(&probes, &prober(lane), cursors, 1).await?;
        let (arrived, ended) = (arrived.clone(), ended.clone());
        listeners.spawn(async move {
            while let Ok(Some(message)) = messages.next::<v1::AttachResponse>().await {
                if let Some(Frame::Events(_)) = message.frame
                    && arrived.send((lane, Instant::now())).await.is_err()
                {
                    return;
                }
            }
            ended.fetch_add(1, Relaxed);
        });
    }
    connections.push(probes);
    let mut attaching = JoinSet::new();
    let begun = Instant::now();
    let mut attached = 0;
    for first in (0..users).step_by(PER_CONNECTION) {
        let (edge, crowd) = (edge.clone(), crowd.clone());
        attaching.spawn(async move {
            let connection = edge.connect(first / PER_CONNECTION).await?;
            let streams = (first..(first + PER_CONNECTION).min(crowd.rooms.len())).map(|n| {
                let cursors = crowd.rooms_of(n).map(cursor).collect();
                let connection = &connection;
                async move { attach(connection, &user(n), cursors, EACH as u32).await }
            });
            let streams = futures_util::future::try_join_all(streams).await?;
            anyhow::Ok((connection, streams))
        });
        let last = first + PER_CONNECTION >= users;
        while attaching.len() >= AT_ONCE || (last && !attaching.is_empty()) {
            let done = attaching.join_next().await.context("nothing attaches")?;
            let (connection, streams) = done??;
            attached += streams.len();
            if attached.is_multiple_of(500) {
                eprintln!("{attached} users are attached, after {:.0} s", begun.elapsed().as_secs_f64());
            }
            connections.push(connection);
            for mut messages in streams {
                let ended = ended.clone();
                listeners.spawn(async move {
                    while let Ok(Some(_)) = messages.next::<v1::AttachResponse>().await {}
                    ended.fetch_add(1, Relaxed);
                });
            }
        }
    }
    Ok(Streams { _connections: connections, _listeners: listeners, arrivals, ended })
}

fn cursor(place: &nexus_core::domain::Place) -> v1::Cursor {
    v1::Cursor { conversation_id: place.conversation.to_string(), seq: 1 }
}

/// Attaches a user, and waits until the stream is up to date with so many conversations.
async fn attach(
    connection: &Connection,
    user: &str,
    cursors: Vec<v1::Cursor>,
    conversations: u32,
) -> anyhow::Result<Messages> {
    let headers = [("nexus-tenant", "default"), ("nexus-user", user), ("nexus-device", "bench")];
    let request = v1::AttachRequest { cursors, no_ephemeral: true };
    let attaching = async {
        let mut messages = connection.open("/nexus.v1.StreamService/Attach", &headers, &request).await?;
        while let Some(message) = messages.next::<v1::AttachResponse>().await? {
            match message.frame {
                Some(Frame::CaughtUp(caught_up)) => {
                    let found = caught_up.conversations;
                    ensure!(found == conversations, "{user} has {found} conversations");
                    return Ok(messages);
                }
                Some(Frame::Reset(reset)) => bail!("{user} gets a reset: {reset:?}"),
                _ => {}
            }
        }
        bail!("the stream of {user} ended")
    };
    timeout(PATIENCE, attaching).await.with_context(|| format!("{user} is not brought up to date"))?
}

/// Kills the master of most lanes that were not `tried` before, waits until all is well, and starts it again.
async fn one(
    redis: &mut RedisCluster,
    node: &nexus_cluster::program::Part,
    silent: &Conversations,
    crowd: &Crowd,
    streams: &mut Streams,
    tried: &mut BTreeSet<usize>,
) -> anyhow::Result<Failover> {
    let mut lanes_of: Vec<Vec<usize>> = vec![Vec::new(); redis.size()];
    for lane in 0..usize::from(LANES) {
        let slot = redis.slot(&format!("nexus:lane:{lane}")).await?;
        lanes_of[redis.master_of(slot).await?].push(lane);
    }
    let news = |node: &usize| lanes_of[*node].iter().filter(|lane| !tried.contains(*lane)).count();
    let master = (0..lanes_of.len()).max_by_key(news).context("no node")?;
    let lanes = std::mem::take(&mut lanes_of[master]);
    tried.extend(&lanes);
    let slot = redis.slot(&format!("nexus:lane:{}", lanes[0])).await?;
    let count = async || node.metric("nexus_bus_subscriptions_total", "").await.unwrap_or(0.0);
    let subscriptions = count().await;

    let begun = Instant::now();
    redis.kill(master).await?;
    let appends = lanes.iter().map(|lane| append(silent, crowd, *lane));
    let promoted = async {
        while redis.master_of(slot).await.is_ok_and(|now| now == master) {
            sleep(LOOK).await;
        }
        let at = Instant::now();
        // Before that, lanes are compared with the log now and then because they are known not to be subscribed.
        futures_util::future::try_join_all(appends).await?;
        anyhow::Ok(at)
    };
    let subscribed = async {
        // The loss itself takes a moment to be noticed.
        while count().await < subscriptions + lanes.len() as f64 {
            sleep(LOOK).await;
        }
        self::subscribed(node).await?;
        anyhow::Ok(Instant::now())
    };
    let checked = async {
        let mut waiting = lanes.clone();
        let mut last = begun;
        while !waiting.is_empty() {
            let (lane, at) = streams.arrivals.recv().await.context("no probe is attached")?;
            waiting.retain(|other| *other != lane);
            last = last.max(at);
        }
        anyhow::Ok(last)
    };
    let all = async { tokio::join!(promoted, subscribed, checked) };
    let (promoted, subscribed, checked) =
        timeout(PATIENCE, all).await.context("the lanes don't come back")?;
    let since = |at: Instant| at.duration_since(begun).as_secs_f64();
    let failover = Failover {
        lanes: lanes.len(),
        promoted: since(promoted?),
        subscribed: since(subscribed?),
        checked: since(checked?),
    };
    redis.restart(master).await?;
    redis.until_whole().await?;
    Ok(failover)
}

/// Appends a message for a lane's probe, and tells nobody.
async fn append(silent: &Conversations, crowd: &Crowd, lane: usize) -> anyhow::Result<()> {
    let content = Some(v1::Content { text: "is anybody there?".into(), ..Default::default() });
    let command = Command {
        place: crowd.probes[lane].clone(),
        sender: Name::new(&prober(lane))?,
        id: Some(ClientId(Uuid::now_v7())),
        target: 0,
        body: Body::MessageSent(v1::MessageSent { content, ..Default::default() }),
    };
    silent.submit(command).await?;
    Ok(())
}
