//! What it costs the core to bring one event to 1,000 attached streams over real h2c sockets. The core runs on one
//! thread, whose CPU time is what is measured; clients run on another.

use crate::{
    figures::{Bar, Chart, Section, Stamp, Table, Verdict},
    process, row,
};
use anyhow::Context as _;
use nexus_core::{
    api::stream::StreamServer,
    bus::local::LocalBus,
    clock::SystemClock,
    conversation::{self, Command, Conversations},
    delivery::{Delivery, Settings},
    domain::{ClientId, ConversationId, Name, Place},
    socket::Unvectored,
    store::embedded::{EmbeddedStore, Options},
};
use nexus_proto::v1::{
    self, ConversationKind, MemberRole, Role, attach_response::Frame, event::Body,
    stream_service_client::StreamServiceClient,
};
use prometheus::Registry;
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Builder};
use tokio_stream::{StreamExt as _, wrappers::TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request,
    transport::{Channel, Server},
};
use uuid::Uuid;

const STREAMS: usize = 1000;
const EVENTS: u64 = 300;
const WARM_UP: u64 = 50;
const TEXT: usize = 200;
const ROUNDS: usize = 3;
/// How streams are spread over connections: first as the edge does it.
const CONNECTIONS: [usize; 4] = [10, 20, 100, 1000];
/// Microseconds per delivery.
const WANTED: f64 = 3.0;

/// Measures it.
pub fn measure(quick: bool) -> anyhow::Result<Section> {
    let (events, rounds) = if quick { (EVENTS / 10, 1) } else { (EVENTS, ROUNDS) };
    let cases: Vec<Case> = CONNECTIONS
        .map(|connections| Case { connections, vectored: false, events })
        .into_iter()
        .chain([Case { connections: CONNECTIONS[0], vectored: true, events }])
        .collect();
    let mut found: Vec<Vec<Figures>> = cases.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for (case, found) in cases.iter().zip(&mut found) {
            let figures = one(*case)?;
            eprintln!("round {round} of {rounds}: {}: {:.2} us per delivery", case.name(), figures.micros);
            found.push(figures);
        }
    }
    Ok(report(&cases, &found))
}

#[derive(Clone, Copy)]
struct Case {
    connections: usize,
    /// Whether h2 may write several buffers at once, as it would without our wrapper around the socket.
    vectored: bool,
    events: u64,
}

impl Case {
    fn name(&self) -> String {
        let io = if self.vectored { ", vectored IO" } else { "" };
        format!("{} connections x {} streams{io}", self.connections, STREAMS / self.connections)
    }
}

struct Figures {
    micros: f64,
    encodes: f64,
}

fn one(case: Case) -> anyhow::Result<Figures> {
    let received = Arc::new(AtomicU64::new(0));
    let (ready, address) = mpsc::sync_channel(1);
    let counter = received.clone();
    let core = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(core(ready, counter, case))
    });
    let stop = CancellationToken::new();
    // Without an address the core has failed, and says why.
    let clients = address.recv().ok().map(|address| {
        let stop = stop.clone();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(clients(address, case.connections, received, stop))
        })
    });
    let figures = core.join().ok().context("the core panicked")?;
    stop.cancel();
    if let Some(clients) = clients {
        clients.join().ok().context("the clients panicked")??;
    }
    figures
}

/// Serves, waits until all streams are there, and then says one thing after another.
async fn core(
    ready: mpsc::SyncSender<SocketAddr>,
    received: Arc<AtomicU64>,
    case: Case,
) -> anyhow::Result<Figures> {
    let folder = tempfile::tempdir()?;
    let registry = Registry::new();
    let store = Arc::new(EmbeddedStore::open(folder.path(), Options::default(), &registry)?);
    let (bus, clock) = (Arc::new(LocalBus::default()), Arc::new(SystemClock));
    let settings = conversation::Settings::default();
    let conversations = Conversations::new(store, bus.clone(), clock.clone(), settings, &registry)?;
    // Every event goes out by itself, so that each delivery is one frame.
    let settings = Settings { check_ms: 0, tick_above: u32::MAX, ..Settings::default() };
    let rng = StdRng::seed_from_u64(1);
    let delivery = Delivery::new(conversations.clone(), bus, clock, settings, &registry, rng)?;
    tokio::spawn(delivery.clone().run(CancellationToken::new()));

    let world = World { conversations };
    world.create().await?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    ready.send(listener.local_addr()?)?;
    let sockets = TcpListenerStream::new(listener).map(|socket| {
        let socket = socket?;
        socket.set_nodelay(true).map(|()| socket)
    });
    let server = Server::builder().max_concurrent_streams(10_000).add_service(StreamServer::new(delivery));
    if case.vectored {
        tokio::spawn(server.serve_with_incoming(sockets));
    } else {
        tokio::spawn(server.serve_with_incoming(sockets.map(|socket| socket.map(Unvectored))));
    }

    let streams = STREAMS as u64;
    until(|| received.load(SeqCst) >= streams).await?;
    received.store(0, SeqCst);
    let (mut begun, mut encoded_before) = (Duration::ZERO, 0.0);
    for n in 0..WARM_UP + case.events {
        if n == WARM_UP {
            (begun, encoded_before) = (process::of_this_thread()?, encoded(&registry));
        }
        world.say().await?;
        until(|| received.load(SeqCst) >= (n + 1) * streams).await?;
    }
    let cpu = process::of_this_thread()?.saturating_sub(begun);
    Ok(Figures {
        micros: cpu.as_secs_f64() * 1e6 / (case.events * streams) as f64,
        encodes: (encoded(&registry) - encoded_before) / case.events as f64,
    })
}

/// Events that were encoded so far.
fn encoded(registry: &Registry) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.get_name() == "nexus_delivery_encoded_events_total");
    family.map_or(f64::NAN, |family| family.get_metric()[0].get_counter().get_value())
}

struct World {
    conversations: Arc<Conversations>,
}

impl World {
    async fn act(&self, body: Body) -> anyhow::Result<()> {
        let place = Place { tenant: Name::new("default")?, conversation: ConversationId(Uuid::from_u128(1)) };
        let id = Some(ClientId(Uuid::now_v7()));
        let command = Command { place, sender: Name::new("owner")?, id, target: 0, body };
        self.conversations.submit(command).await?;
        Ok(())
    }

    async fn create(&self) -> anyhow::Result<()> {
        let owner = vec![MemberRole { user: "owner".into(), role: Role::Owner as i32 }];
        self.act(Body::ConversationCreated(v1::ConversationCreated {
            kind: ConversationKind::Group as i32,
            title: "All".into(),
            members: owner,
            post_role: Role::Member as i32,
            ..Default::default()
        }))
        .await?;
        for hundred in 0..STREAMS / 100 {
            let user =
                |n: usize| MemberRole { user: format!("u{}", hundred * 100 + n), role: Role::Member as i32 };
            let members = (0..100).map(user).collect();
            self.act(Body::MembersAdded(v1::MembersAdded { members })).await?;
        }
        Ok(())
    }

    async fn say(&self) -> anyhow::Result<()> {
        let content = Some(v1::Content { text: "x".repeat(TEXT), ..Default::default() });
        self.act(Body::MessageSent(v1::MessageSent { content, ..Default::default() })).await
    }
}

/// Attaches all streams; counts each one that caught up, and then each event.
async fn clients(
    address: SocketAddr,
    connections: usize,
    received: Arc<AtomicU64>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    for connection in 0..connections {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?;
        let client = StreamServiceClient::new(channel.connect().await?);
        for stream in 0..STREAMS / connections {
            let user = format!("u{}", connection * (STREAMS / connections) + stream);
            let (client, received) = (client.clone(), received.clone());
            tokio::spawn(async move {
                // Whoever fails is missed, and then all of it fails.
                if let Err(error) = listen(client, &user, &received).await {
                    eprintln!("{user}: {error:#}");
                }
            });
        }
    }
    stop.cancelled().await;
    Ok(())
}

async fn listen(
    mut client: StreamServiceClient<Channel>,
    user: &str,
    received: &AtomicU64,
) -> anyhow::Result<()> {
    let mut request = Request::new(v1::AttachRequest { cursors: vec![], no_ephemeral: true });
    for (header, value) in [("nexus-tenant", "default"), ("nexus-user", user), ("nexus-device", "d")] {
        request.metadata_mut().insert(header, value.parse()?);
    }
    let mut frames = client.attach(request).await?.into_inner();
    // It ends when the core has said everything.
    while let Ok(Some(frame)) = frames.message().await {
        let count = match frame.frame {
            Some(Frame::CaughtUp(_)) => 1,
            Some(Frame::Events(events)) => events.events.len() as u64,
            _ => 0,
        };
        received.fetch_add(count, SeqCst);
    }
    Ok(())
}

async fn until(done: impl Fn() -> bool) -> anyhow::Result<()> {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.context("a delivery is missing")
}

fn report(cases: &[Case], found: &[Vec<Figures>]) -> Section {
    let micros = |found: &[Figures]| process::median(found.iter().map(|figures| figures.micros));
    let encodes = |found: &[Figures]| process::median(found.iter().map(|figures| figures.encodes));
    let (as_the_edge, all) = (&found[0], cases.iter().zip(found));
    let (cost, count) = (micros(as_the_edge), encodes(as_the_edge));
    let line = |(case, found): (&Case, &Vec<Figures>)| {
        row![case.name(), format!("{:.2}", micros(found)), format!("{:.3}", encodes(found))]
    };
    let bar = |(case, found): (&Case, &Vec<Figures>)| Bar {
        label: case.name(),
        value: micros(found),
        ours: !case.vectored,
    };
    Section {
        title: "Fan-out in the core".into(),
        method: format!(
            "One event of {TEXT} bytes to {STREAMS} attached streams over HTTP/2 without TLS, the next when everybody has \
             it, {} events. CPU time of the core's one thread, from the append to the socket; the clients have a thread \
             of their own. The edge opens 100 streams on a connection to the core. Vectored IO is what h2 would do \
             without the wrapper around the socket that makes it gather small frames.",
            cases[0].events
        ),
        verdicts: vec![
            Verdict {
                of: "core CPU per delivery, 100 streams per connection".into(),
                measured: format!("{cost:.2} us"),
                wanted: format!("at most {WANTED} us"),
                met: Some(cost <= WANTED),
            },
            Verdict {
                of: "encodes per event".into(),
                measured: format!("{count:.3}"),
                wanted: "1".into(),
                met: Some(count == 1.0),
            },
        ],
        tables: vec![Table {
            head: row!["", "us per delivery", "encodes per event"],
            rows: all.clone().map(line).collect(),
        }],
        charts: vec![Chart {
            name: "fanout".into(),
            title: format!("Core CPU per delivery, us (one event to {STREAMS} streams)"),
            bars: all.map(bar).collect(),
            bound: Some((WANTED, format!("wanted: at most {WANTED}"))),
        }],
        stamp: Stamp::default(),
    }
}
