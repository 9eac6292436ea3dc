//! What it costs the core to bring one event to 1,000 attached streams over real h2c sockets. The core runs on one
//! thread, whose CPU time is what is measured; clients run on others. `cargo bench -p nexus-core --bench fanout`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

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
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, runtime::Builder};
use tokio_stream::{StreamExt as _, wrappers::TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, transport::Server};
use uuid::Uuid;

const STREAMS: usize = 1000;
const EVENTS: u64 = 300;
const WARM_UP: u64 = 50;
const TEXT: usize = 200;

fn main() {
    for (connections, vectored) in [(20, false), (100, false), (1000, false), (100, true)] {
        let Figures { micros, encodes } = measure(connections, vectored);
        println!(
            "{connections:>5} connections x {:>2} streams, {} IO: {micros:5.2} us CPU per delivery, {encodes:.3} encodes per event",
            STREAMS / connections,
            if vectored { "vectored" } else { "unvectored" },
        );
    }
}

struct Figures {
    micros: f64,
    encodes: f64,
}

fn measure(connections: usize, vectored: bool) -> Figures {
    let received = Arc::new(AtomicU64::new(0));
    let (ready, address) = mpsc::channel();
    let counter = received.clone();
    let core = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(core(ready, counter, vectored))
    });
    let address: SocketAddr = address.recv().unwrap();
    let stop = CancellationToken::new();
    let clients = {
        let stop = stop.clone();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(clients(address, connections, received, stop));
        })
    };
    let figures = core.join().unwrap();
    stop.cancel();
    clients.join().unwrap();
    figures
}

/// Serves, waits until all streams are there, and then says one thing after another.
async fn core(ready: mpsc::Sender<SocketAddr>, received: Arc<AtomicU64>, vectored: bool) -> Figures {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let store = Arc::new(EmbeddedStore::open(folder.path(), Options::default(), &registry).unwrap());
    let (bus, clock) = (Arc::new(LocalBus::default()), Arc::new(SystemClock));
    let conversations =
        Conversations::new(store, bus.clone(), clock.clone(), conversation::Settings::default(), &registry)
            .unwrap();
    // Every event goes out by itself, so that each delivery is one frame.
    let settings = Settings { check_ms: 0, tick_above: u32::MAX, ..Settings::default() };
    let rng = StdRng::seed_from_u64(1);
    let delivery = Delivery::new(conversations.clone(), bus, clock, settings, &registry, rng).unwrap();
    tokio::spawn(delivery.clone().run(CancellationToken::new()));

    let mut world = World { conversations, ids: StdRng::seed_from_u64(2) };
    world.create().await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ready.send(listener.local_addr().unwrap()).unwrap();
    let sockets = TcpListenerStream::new(listener).map(|socket| {
        let socket = socket?;
        socket.set_nodelay(true).map(|()| socket)
    });
    let server = Server::builder().max_concurrent_streams(10_000).add_service(StreamServer::new(delivery));
    if vectored {
        tokio::spawn(server.serve_with_incoming(sockets));
    } else {
        tokio::spawn(server.serve_with_incoming(sockets.map(|socket| socket.map(Unvectored))));
    }

    let streams = STREAMS as u64;
    until(|| received.load(SeqCst) >= streams).await;
    received.store(0, SeqCst);
    let mut begun = Duration::ZERO;
    let encoded = || {
        let families = registry.gather();
        let family = families
            .iter()
            .find(|family| family.get_name() == "nexus_delivery_encoded_events_total")
            .unwrap();
        family.get_metric()[0].get_counter().get_value()
    };
    let mut encoded_before = 0.0;
    for n in 0..WARM_UP + EVENTS {
        if n == WARM_UP {
            (begun, encoded_before) = (cpu(), encoded());
        }
        world.say().await;
        until(|| received.load(SeqCst) >= (n + 1) * streams).await;
    }
    let micros = (cpu() - begun).as_nanos() as f64 / 1000.0 / (EVENTS * streams) as f64;
    Figures { micros, encodes: (encoded() - encoded_before) / EVENTS as f64 }
}

struct World {
    conversations: Arc<Conversations>,
    ids: StdRng,
}

impl World {
    async fn act(&mut self, body: Body) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let id = ClientId(uuid::Builder::from_unix_timestamp_millis(now, &self.ids.random()).into_uuid());
        let place = Place { tenant: name("default"), conversation: ConversationId(Uuid::from_u128(1)) };
        let command = Command { place, sender: name("owner"), id: Some(id), target: 0, body };
        self.conversations.submit(command).await.unwrap();
    }

    async fn create(&mut self) {
        let owner = vec![MemberRole { user: "owner".into(), role: Role::Owner as i32 }];
        self.act(Body::ConversationCreated(v1::ConversationCreated {
            kind: ConversationKind::Group as i32,
            title: "All".into(),
            members: owner,
            post_role: Role::Member as i32,
            ..Default::default()
        }))
        .await;
        for hundred in 0..STREAMS / 100 {
            let user =
                |n: usize| MemberRole { user: format!("u{}", hundred * 100 + n), role: Role::Member as i32 };
            let members = (0..100).map(user).collect();
            self.act(Body::MembersAdded(v1::MembersAdded { members })).await;
        }
    }

    async fn say(&mut self) {
        let content = Some(v1::Content { text: "x".repeat(TEXT), ..Default::default() });
        self.act(Body::MessageSent(v1::MessageSent { content, ..Default::default() })).await;
    }
}

/// Attaches all streams; counts each one that caught up, and then each event.
async fn clients(address: SocketAddr, connections: usize, received: Arc<AtomicU64>, stop: CancellationToken) {
    for connection in 0..connections {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
        let client = StreamServiceClient::new(channel.connect().await.unwrap());
        for stream in 0..STREAMS / connections {
            let user = format!("u{}", connection * (STREAMS / connections) + stream);
            let (mut client, received) = (client.clone(), received.clone());
            tokio::spawn(async move {
                let mut request = Request::new(v1::AttachRequest { cursors: vec![], no_ephemeral: true });
                for (header, value) in
                    [("nexus-tenant", "default"), ("nexus-user", &user), ("nexus-device", "d")]
                {
                    request.metadata_mut().insert(header, value.parse().unwrap());
                }
                let mut frames = client.attach(request).await.unwrap().into_inner();
                while let Ok(Some(frame)) = frames.message().await {
                    let count = match frame.frame {
                        Some(Frame::CaughtUp(_)) => 1,
                        Some(Frame::Events(events)) => events.events.len() as u64,
                        _ => 0,
                    };
                    received.fetch_add(count, SeqCst);
                }
            });
        }
    }
    stop.cancelled().await;
}

async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}
