//! The stream service on the wire: real sockets, several threads, the embedded store, gRPC and gRPC-web.

use super::world::{decode, name, place};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use nexus_core::{
    api::stream::StreamServer,
    bus::local::LocalBus,
    clock::{Clock as _, SystemClock},
    conversation::{self, Command, Conversations},
    delivery::{Delivery, Settings},
    domain::ClientId,
    socket::Unvectored,
};
use nexus_proto::v1::{
    self, ConversationKind, MemberRole, Role, attach_response::Frame, event::Body,
    stream_service_client::StreamServiceClient,
};
use prometheus::Registry;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, time::timeout};
use tokio_stream::{StreamExt as _, wrappers::TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status, Streaming,
    codegen::Service as _,
    transport::{Channel, Server},
};
use tower::Layer as _;

const LONG: Duration = Duration::from_secs(20);

struct Node {
    conversations: Arc<Conversations>,
    delivery: Arc<Delivery>,
    ids: Mutex<StdRng>,
    _folder: TempDir,
}

impl Node {
    fn new(settings: Settings) -> Arc<Self> {
        let folder = TempDir::new().unwrap();
        let store = Arc::new(crate::embedded::open(folder.path()));
        let (bus, clock, registry) = (Arc::new(LocalBus::default()), Arc::new(SystemClock), Registry::new());
        let rules = conversation::Settings::default();
        let conversations = Conversations::new(store, bus.clone(), clock.clone(), rules, &registry).unwrap();
        let rng = StdRng::seed_from_u64(1);
        let delivery = Delivery::new(conversations.clone(), bus, clock, settings, &registry, rng).unwrap();
        tokio::spawn(delivery.clone().run(CancellationToken::new()));
        Arc::new(Self { conversations, delivery, ids: Mutex::new(StdRng::seed_from_u64(2)), _folder: folder })
    }

    async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sockets = TcpListenerStream::new(listener).map(|socket| socket.map(Unvectored));
        let server = Server::builder()
            .layer(tonic_web::GrpcWebLayer::new())
            .add_service(StreamServer::new(self.delivery.clone()));
        tokio::spawn(server.serve_with_incoming(sockets));
        address
    }

    async fn act(&self, conversation: u128, sender: &str, body: Body) -> u64 {
        let now = SystemClock.now_ms() as u64;
        let chance = self.ids.lock().unwrap().random();
        let id = Some(ClientId(uuid::Builder::from_unix_timestamp_millis(now, &chance).into_uuid()));
        let command = Command { place: place(conversation), sender: name(sender), id, target: 0, body };
        self.conversations.submit(command).await.unwrap().seq
    }

    async fn create(&self, conversation: u128, members: &[String]) {
        let role = |n: usize| if n == 0 { Role::Owner } else { Role::Member };
        let members = members
            .iter()
            .enumerate()
            .map(|(n, user)| MemberRole { user: user.clone(), role: role(n) as i32 });
        let body = v1::ConversationCreated {
            kind: ConversationKind::Group as i32,
            title: "Team".into(),
            members: members.collect(),
            post_role: Role::Member as i32,
            ..Default::default()
        };
        self.act(conversation, "u0", Body::ConversationCreated(body)).await;
    }

    async fn say(&self, conversation: u128, sender: &str) -> u64 {
        let content = Some(v1::Content { text: "hello".into(), ..Default::default() });
        self.act(conversation, sender, Body::MessageSent(v1::MessageSent { content, ..Default::default() }))
            .await
    }
}

fn headers<T>(mut request: Request<T>, user: &str) -> Request<T> {
    for (header, value) in [("nexus-tenant", "default"), ("nexus-user", user), ("nexus-device", "d")] {
        request.metadata_mut().insert(header, value.parse().unwrap());
    }
    request
}

async fn client(address: SocketAddr) -> StreamServiceClient<Channel> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    StreamServiceClient::new(endpoint.connect().await.unwrap())
}

async fn frame(stream: &mut Streaming<v1::AttachResponse>) -> Option<Frame> {
    timeout(LONG, stream.message()).await.unwrap().unwrap().map(|message| message.frame.unwrap())
}

fn users(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("u{n}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn many_devices_get_every_message_in_order_over_real_sockets() {
    const USERS: usize = 12;
    const MESSAGES: u64 = 150;
    let node = Node::new(Settings {
        queue_bytes: 4 << 10,
        push_events: 100_000,
        check_ms: 0,
        ..Settings::default()
    });
    let address = node.serve().await;
    for conversation in 1..=3 {
        node.create(conversation, &users(USERS)).await;
    }
    let mut devices = Vec::new();
    for user in users(USERS) {
        let mut client = client(address).await;
        devices.push(tokio::spawn(async move {
            let mut at = [0; 4];
            // Breaks off every now and then, and goes on by its cursors.
            for patience in [20, 150, u64::MAX] {
                let cursors = (1..=3)
                    .map(|c| v1::Cursor { conversation_id: super::world::id_of(c as u128), seq: at[c] });
                let request = v1::AttachRequest { cursors: cursors.collect(), no_ephemeral: true };
                let mut stream =
                    client.attach(headers(Request::new(request), &user)).await.unwrap().into_inner();
                let mut events = 0;
                while events < patience && at[1..].iter().any(|at| *at <= MESSAGES) {
                    if let Some(Frame::Events(frame)) = frame(&mut stream).await {
                        let conversation =
                            uuid::Uuid::try_parse(&frame.conversation_id).unwrap().as_u128() as usize;
                        for event in frame.events {
                            assert_eq!(event.seq, at[conversation] + 1);
                            at[conversation] = event.seq;
                            events += 1;
                        }
                    }
                }
            }
            at
        }));
    }
    let writers = (1..=3u128).map(|conversation| {
        let node = node.clone();
        tokio::spawn(async move {
            for _ in 0..MESSAGES {
                node.say(conversation, "u1").await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    for device in devices {
        assert_eq!(device.await.unwrap()[1..], [MESSAGES + 1; 3]);
    }
}

#[tokio::test]
async fn more_cursors_can_be_added_and_are_answered_by_another_caught_up() {
    let node = Node::new(Settings { cursors: 1, ..Settings::default() });
    node.create(1, &users(2)).await;
    node.create(2, &users(2)).await;
    let mut client = client(node.serve().await).await;
    let cursor =
        |conversation| vec![v1::Cursor { conversation_id: super::world::id_of(conversation), seq: 0 }];
    let request = v1::AttachRequest { cursors: cursor(1), no_ephemeral: true };
    let mut stream = client.attach(headers(Request::new(request), "u1")).await.unwrap().into_inner();
    let Some(Frame::Attached(attached)) = frame(&mut stream).await else { panic!("no Attached") };
    assert_eq!((attached.user.as_str(), attached.device.as_str()), ("u1", "d"));
    assert!(matches!(frame(&mut stream).await, Some(Frame::Events(events)) if events.events.len() == 1));
    assert!(matches!(frame(&mut stream).await, Some(Frame::CaughtUp(caught)) if caught.conversations == 1));
    let stream_id = attached.stream_id;
    let more = |id: &str| Request::new(v1::AddCursorsRequest { stream_id: id.into(), cursors: cursor(2) });
    client.add_cursors(headers(more(&stream_id), "u1")).await.unwrap();
    let Some(Frame::Events(events)) = frame(&mut stream).await else { panic!("no events") };
    assert_eq!(events.conversation_id, super::world::id_of(2));
    assert!(matches!(frame(&mut stream).await, Some(Frame::CaughtUp(caught)) if caught.conversations == 1));
    // Nobody else may, and a stream that is not there is not found.
    for (id, user) in [(stream_id.as_str(), "u0"), ("nonsense", "u1")] {
        assert_eq!(client.add_cursors(headers(more(id), user)).await.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test]
async fn who_is_not_known_is_not_let_in() {
    let node = Node::new(Settings::default());
    let mut client = client(node.serve().await).await;
    let status = client.attach(v1::AttachRequest::default()).await.unwrap_err();
    assert_eq!((status.code(), status.message().contains("nexus-tenant")), (Code::Unauthenticated, true));
    let mut request = headers(Request::new(v1::AttachRequest::default()), "u1");
    let soon = SystemClock.now_ms() + 1500;
    request.metadata_mut().insert("nexus-token-expires", soon.to_string().parse().unwrap());
    let mut stream = client.attach(request).await.unwrap().into_inner();
    let status = loop {
        match timeout(LONG, stream.message()).await.unwrap() {
            Ok(Some(_)) => {}
            other => break other.unwrap_err(),
        }
    };
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn grpc_web_gets_the_same_frames_and_the_status_in_the_body() {
    let node = Node::new(Settings::default());
    node.create(1, &users(2)).await;
    for text in [false, true] {
        let mut service = tonic_web::GrpcWebLayer::new().layer(StreamServer::new(node.delivery.clone()));
        let kind = if text { "application/grpc-web-text" } else { "application/grpc-web" };
        let request = http::Request::post("/nexus.v1.StreamService/Attach")
            .header("content-type", kind)
            .header("accept", kind)
            .header("nexus-tenant", "default")
            .header("nexus-user", "u1")
            .header("nexus-device", if text { "text" } else { "binary" });
        // An empty AttachRequest.
        let body = if text { Bytes::from_static(b"AAAAAAA=") } else { Bytes::from_static(&[0; 5]) };
        let body = Full::new(body).map_err(|never| -> Status { match never {} });
        let response = service.call(request.body(tonic::body::Body::new(body)).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let mut next = async || {
            let bytes = timeout(LONG, body.frame()).await.unwrap().unwrap().unwrap().into_data().unwrap();
            if text { from_base64(&bytes) } else { bytes }
        };
        assert!(matches!(decode(&next().await), Frame::Attached(_)));
        assert!(matches!(decode(&next().await), Frame::Reset(_)));
        assert!(matches!(decode(&next().await), Frame::CaughtUp(_)));
        let seq = node.say(1, "u0").await;
        let event = loop {
            if let Frame::Events(events) = decode(&next().await) {
                break events.events[0].seq;
            }
        };
        assert_eq!(event, seq);
        if text {
            let (delivery, end) = (node.delivery.clone(), async {
                loop {
                    let bytes = next().await;
                    if bytes[0] & 0x80 != 0 {
                        break String::from_utf8(bytes[5..].to_vec()).unwrap();
                    }
                }
            });
            let (_, end) = tokio::join!(delivery.shutdown(Duration::from_millis(50), false), end);
            assert!(end.contains("grpc-status:14"), "{end}");
        }
    }
}

fn from_base64(text: &[u8]) -> Bytes {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    for four in text.chunks(4) {
        let value = |letter: &u8| LETTERS.iter().position(|known| known == letter);
        let bits = four.iter().fold(0, |bits, letter| bits << 6 | value(letter).unwrap_or(0) as u32);
        let kept = four.iter().filter(|letter| **letter != b'=').count() * 6 / 8;
        bytes.extend(&bits.to_be_bytes()[1..=kept]);
    }
    bytes.into()
}
