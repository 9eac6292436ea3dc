//! What a page of the 50 newest messages costs from Cassandra, from the node's memory, and from Redis: a measurement, run
//! by name only. What it said last stands in docs/decisions/cache.md.

use anyhow::Context as _;
use bytes::Bytes;
use libtest_mimic::Trial;
use nexus_cluster::{
    cassandra::{self, Cassandra, Settings},
    ports,
    process::Process,
    redis,
};
use nexus_core::{
    bus::local::LocalBus,
    clock::{Clock as _, SystemClock},
    conversation::{self, Command, Conversations, history::Anchor},
    domain::{ClientId, ConversationId, Name, Place},
    store::{
        Store,
        cql::{CqlStore, Options},
    },
};
use nexus_proto::v1::{self, ConversationKind, MemberRole, Role, Visibility, event::Body};
use prometheus::Registry;
use prost::Message as _;
use std::{fs, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::Instant,
};
use uuid::Uuid;

/// How long each way has its turn, and how many turns.
const TURN: Duration = Duration::from_millis(500);
const TURNS: usize = 12;
const PAGE: usize = 50;
/// Milliseconds of a tick of the processor's accounts.
const TICK_MS: f64 = 10.0;

pub fn trial() -> Trial {
    let missing = cassandra::missing().or_else(redis::missing);
    crate::trial("page::measure", missing.as_deref(), measure).with_ignored_flag(true)
}

/// Ways to a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Cassandra,
    Memory,
    /// From memory, after a look at the end of the log.
    Looked,
    Redis,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Cassandra, "Cassandra: end of the log and page"),
    (Way::Memory, "memory, the end believed"),
    (Way::Looked, "memory, the end looked up in Cassandra"),
    (Way::Redis, "Redis: GET of the encoded page, decoded"),
];

#[derive(Default)]
struct Figures {
    times: Vec<Duration>,
    own: f64,
    server: f64,
}

/// Milliseconds of processor that a process has used.
fn cpu(process: Option<u32>) -> anyhow::Result<f64> {
    let name = process.map_or("self".to_owned(), |id| id.to_string());
    let stat = fs::read_to_string(format!("/proc/{name}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("a line of /proc")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks * TICK_MS)
}

fn place() -> Place {
    let tenant = Name::new("default").unwrap();
    Place { tenant, conversation: ConversationId(Uuid::from_u128(7)) }
}

fn node(store: &Arc<dyn Store>, conversation_bytes: usize, believe_ms: u64) -> Arc<Conversations> {
    let mut settings = conversation::Settings::default();
    settings.cache.conversation_bytes = conversation_bytes;
    settings.cache.believe_ms = believe_ms;
    let (bus, clock) = (Arc::new(LocalBus::default()), Arc::new(SystemClock));
    let all = Conversations::new(store.clone(), bus, clock, settings, &Registry::new()).unwrap();
    all.listen(true);
    all
}

async fn says(all: &Conversations, number: u64, body: Body) {
    let mut chance = [0; 10];
    chance[2..].copy_from_slice(&number.to_be_bytes());
    let now = SystemClock.now_ms().unsigned_abs();
    let id = ClientId(uuid::Builder::from_unix_timestamp_millis(now, &chance).into_uuid());
    let sender = Name::new("ann").unwrap();
    all.submit(Command { place: place(), sender, id: Some(id), target: 0, body }).await.unwrap();
}

async fn fill(all: &Conversations) {
    let created = v1::ConversationCreated {
        kind: ConversationKind::Group as i32,
        members: vec![MemberRole { user: "ann".into(), role: Role::Owner as i32 }],
        visibility: Visibility::Private as i32,
        post_role: Role::Member as i32,
        ..Default::default()
    };
    says(all, 0, Body::ConversationCreated(created)).await;
    for n in 1..=2000 {
        let text = "Shall we meet at the usual place, half past seven? I can bring the others. ".repeat(2);
        let content = Some(v1::Content { text, ..Default::default() });
        says(all, n, Body::MessageSent(v1::MessageSent { content, ..Default::default() })).await;
    }
    all.settle().await;
}

async fn page(all: &Conversations) -> usize {
    let look = all.look(&place(), &Name::new("ann").unwrap(), 0).await.unwrap();
    look.messages(Anchor::Before(u64::MAX), PAGE).await.unwrap().messages.len()
}

/// The same page as it would be kept in Redis: as the client gets it.
async fn encoded(all: &Conversations) -> Vec<u8> {
    let look = all.look(&place(), &Name::new("ann").unwrap(), 0).await.unwrap();
    let page = look.messages(Anchor::Before(u64::MAX), PAGE).await.unwrap();
    let messages = page.messages.into_iter().map(|(seq, row)| v1::Message {
        seq,
        id: row.text.id,
        sender: row.text.sender,
        time_ms: row.text.time_ms,
        content: row.text.content,
        message_count: row.text.messages,
        ..Default::default()
    });
    let covered = Some(page.covered);
    let reflects = page.reflects;
    v1::ListMessagesResponse { messages: messages.collect(), covered, reflects }.encode_to_vec()
}

/// A connection that speaks just enough of the protocol.
struct Line(BufReader<TcpStream>);

impl Line {
    async fn ask(&mut self, parts: &[&[u8]]) -> anyhow::Result<Bytes> {
        let mut request = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            request.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            request.extend_from_slice(part);
            request.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&request).await?;
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        let Some(length) = line.trim_end().strip_prefix('$') else { return Ok(line.into()) };
        let mut body = vec![0; length.parse::<usize>()? + 2];
        self.0.read_exact(&mut body).await?;
        body.truncate(body.len() - 2);
        Ok(body.into())
    }
}

async fn start_redis(folder: &Path) -> anyhow::Result<(Process, Line)> {
    let port = ports::one()?;
    let mut command = tokio::process::Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    let mut process = Process::start("redis", command, &folder.join("redis.log"))?;
    let ready = async || TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    process.until(Duration::from_secs(20), ready).await?;
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok((process, Line(BufReader::new(stream))))
}

async fn measure() -> anyhow::Result<()> {
    let cassandra = Cassandra::start(Settings::default()).await?;
    let folder = tempfile::tempdir()?;
    let (redis, mut line) = start_redis(folder.path()).await?;
    let options = Options { nodes: cassandra.addresses(), replication_factor: 1, ..Options::default() };
    let store: Arc<dyn Store> = Arc::new(CqlStore::connect(options, true, &Registry::new()).await?);
    let memory = node(&store, 256 << 10, 30_000);
    fill(&memory).await;
    let (cold, looked) = (node(&store, 0, 0), node(&store, 256 << 10, 0));
    let kept = encoded(&memory).await;
    println!("a page of {PAGE} messages is {} bytes", kept.len());
    line.ask(&[b"SET", b"page", &kept]).await?;
    let (database, cache) = (cassandra.process(0)?.id(), redis.id());

    let mut figures: Vec<Figures> = WAYS.iter().map(|_| Figures::default()).collect();
    for turn in 0..TURNS + 2 {
        for ((way, _), figures) in WAYS.iter().zip(&mut figures) {
            let server = if *way == Way::Redis { cache } else { database };
            let (own, theirs) = (cpu(None)?, cpu(server)?);
            let (until, mut times) = (Instant::now() + TURN, Vec::new());
            while Instant::now() < until {
                let begun = Instant::now();
                let count = match way {
                    Way::Cassandra => page(&cold).await,
                    Way::Memory => page(&memory).await,
                    Way::Looked => page(&looked).await,
                    Way::Redis => {
                        let bytes = line.ask(&[b"GET", b"page"]).await?;
                        v1::ListMessagesResponse::decode(bytes)?.messages.len()
                    }
                };
                anyhow::ensure!(count == PAGE, "{way:?} gave {count} messages");
                times.push(begun.elapsed());
            }
            // The first turns warm everything up.
            if turn >= 2 {
                figures.times.append(&mut times);
                figures.own += cpu(None)? - own;
                figures.server += cpu(server)? - theirs;
            }
        }
    }
    println!(
        "| a page of {PAGE} from | reads | p50 | p99 | CPU here | CPU there |\n|---|---|---|---|---|---|"
    );
    for ((way, name), mut figures) in WAYS.into_iter().zip(figures) {
        figures.times.sort();
        let reads = figures.times.len();
        let at = |part: usize| figures.times[reads * part / 100].as_secs_f64() * 1e6;
        let each = |ms: f64| ms * 1e3 / reads as f64;
        let there = if way == Way::Memory { 0.0 } else { each(figures.server) };
        println!(
            "| {name} | {reads} | {:.0} us | {:.0} us | {:.0} us | {there:.0} us |",
            at(50),
            at(99),
            each(figures.own)
        );
    }
    Ok(())
}
