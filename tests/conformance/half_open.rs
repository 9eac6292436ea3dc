//! Connections that begin and don't go on. They are ended by the limits that the gateway sets, and others don't notice.
//! Waiting for the limits of a deployment would take minutes: these tests start one with limits of a second or two.

use crate::{
    person::Person,
    raw::{Ask, Raw, frame},
    refusal::expect,
    stream::Stream,
    world::World,
};
use bytes::Bytes;
use nexus_client::v1;
use prost::Message as _;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
};
use tonic::{Code, Status};

/// Many times the limits.
const PATIENCE: Duration = Duration::from_secs(40);
/// Connections of each kind at once.
const CROWD: usize = 8;
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
/// The preface, and a SETTINGS frame.
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A HEADERS frame that promises more than it brings.
const HALF_HEADERS: &[u8] = b"\0\0\x40\x01\x04\0\0\0\x01\x82";

/// A deployment that has no patience.
pub async fn impatient() -> World {
    let second = |name| (name, "1".to_owned());
    World::start(vec![
        // Time enough for a handshake on a busy machine.
        ("NEXUS_GATEWAY_TIMEOUTS_HEAD_S", "3".into()),
        second("NEXUS_GATEWAY_TIMEOUTS_CALL_S"),
        second("NEXUS_GATEWAY_TIMEOUTS_WRITE_S"),
        ("NEXUS_GATEWAY_TIMEOUTS_IDLE_S", "2".into()),
    ])
    .await
}

/// What comes until the server ends a connection.
async fn ended(mut connection: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut rest)).await;
    // A reset is an end too.
    let _ = read.expect("the server ends the connection");
    rest
}

pub async fn connections_that_say_nothing_are_ended(world: Arc<World>) {
    let world = world.impatient().await;
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let mut stream = bob.attach(&[(&group, 0)]).await;
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        for said in [b"".as_slice(), CLIENT_HELLO, b"GET / HTTP/1.1\r\n"] {
            let world = world.clone();
            crowd.spawn(async move {
                let mut tcp = world.tcp().await;
                tcp.write_all(said).await.unwrap();
                ended(tcp).await;
            });
        }
        let half = [OPENING, HALF_HEADERS].concat();
        for (alpn, said) in [
            (b"h2".as_slice(), Vec::new()),
            (b"h2", OPENING[..10].to_vec()),
            (b"h2", OPENING.to_vec()),
            (b"h2", half),
            (b"http/1.1", Vec::new()),
            (b"http/1.1", b"POST /nexus.v1.MessageService/SendMessage HTTP/1.1\r\nhost: a\r\nx: ".to_vec()),
        ] {
            let world = world.clone();
            crowd.spawn(async move {
                let mut tls = world.tls(alpn).await;
                tls.write_all(&said).await.unwrap();
                ended(tls).await;
            });
        }
    }
    // Meanwhile everything goes on for others.
    while !crowd.is_empty() {
        let said = ann.say(&group, "who is there?").await;
        stream.events(&group, said).await;
        while let Ok(Some(over)) = tokio::time::timeout(Duration::from_millis(100), crowd.join_next()).await {
            over.unwrap();
        }
    }
}

/// A request over HTTP/2 whose body goes on for ever, and how it is answered.
async fn unending(world: &World, ask: Ask) -> Status {
    let raw = Raw::connect(world).await;
    let mut requests = raw.requests.clone().ready().await.unwrap();
    let (answer, mut body) = requests.send_request(ask.request(&world.authority()), false).unwrap();
    body.send_data(ask.body, false).unwrap();
    let answer = tokio::time::timeout(PATIENCE, answer).await.expect("the server answers").unwrap();
    let (head, mut answer) = answer.into_parts();
    while let Some(Ok(_)) = answer.data().await {}
    let trailers = answer.trailers().await.ok().flatten();
    let status = trailers.as_ref().and_then(Status::from_header_map);
    status.or_else(|| Status::from_header_map(&head.headers)).expect("there is a grpc-status")
}

pub async fn requests_that_never_end_are_given_up(world: Arc<World>) {
    let world = world.impatient().await;
    let ann = Person::new(&world, "ann").await;
    let group = ann.group(&[]).await;
    let message = ann.message(&group, "endless").encode_to_vec();
    let whole = frame(&message);
    let send = Ask::call("/nexus.v1.MessageService/SendMessage", &ann.token, &message);
    let attach = Ask::call("/nexus.v1.StreamService/Attach", &ann.token, &[]);
    let nothing = send.clone().bytes(Bytes::new());
    let half = send.clone().bytes(whole.slice(..whole.len() / 2));
    let half_attach = attach.clone().bytes(&b"\0\0\0"[..]);
    let h1 = async {
        let mut tls = world.tls(b"http/1.1").await;
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web\r\nauthorization: Bearer {}\r\ncontent-length: 1000\r\n\r\n\0\0",
            send.path, ann.token
        );
        tls.write_all(head.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&ended(tls).await).to_lowercase()
    };
    let (h1, one, two, three, four, five) = tokio::join!(
        h1,
        unending(&world, nothing),
        unending(&world, half),
        unending(&world, send.clone()),
        unending(&world, attach),
        unending(&world, half_attach),
    );
    for status in [one, two, three, four, five] {
        expect(&status, Code::DeadlineExceeded);
    }
    assert!(h1.contains("grpc-status: 4"), "{h1}");
    assert_eq!(ann.see(&group).await.last_seq, 1, "nothing of it was done");
}

pub async fn a_client_that_takes_nothing_is_let_go(world: Arc<World>) {
    let world = world.impatient().await;
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    // One keeps its connection and gives no room on its stream; one doesn't even read what the system has for it.
    let held = Stream::held(&bob, &[(&group, 0)]).await;
    let mut deaf = world.tls(b"http/1.1").await;
    let cursors = vec![v1::Cursor { conversation_id: group.clone(), seq: 0 }];
    let message = frame(&v1::AttachRequest { cursors, no_ephemeral: false }.encode_to_vec());
    let head = format!(
        "POST /nexus.v1.StreamService/Attach HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        bob.token,
        message.len()
    );
    deaf.write_all(&[head.as_bytes(), &message].concat()).await.unwrap();
    let mut reader = ann.attach(&[(&group, 0)]).await;
    let large = "x".repeat(30_000);
    let mut last = 0;
    // More than everything on the way can hold.
    for n in 0..500 {
        last = ann.say(&group, &large).await;
        if n % 50 == 0 {
            reader.events(&group, last).await;
        }
    }
    reader.events(&group, last).await;
    let status = tokio::time::timeout(PATIENCE, held.end()).await.expect("the stream is given up");
    assert_ne!(status.code(), Code::Ok);
    ended(deaf).await;
    // Whoever comes back finds everything.
    let mut back = bob.attach(&[(&group, last - 10)]).await;
    back.events(&group, last).await;
}
