//! A node on a paused clock, with a bus that loses, doubles and reorders what a test wants, and devices that check
//! every frame against what the contract of the stream says.

use crate::memory::MemoryStore;
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use nexus_core::{
    bus::{Bus, Feed, Hint, Listener, listener},
    clock::Clock,
    conversation::{self, Command, CommandError, Conversations, Receipt},
    delivery::{Delivery, Settings, body::StreamBody},
    domain::{Caller, ClientId, ConversationId, Name, Place, Seq},
};
use nexus_proto::v1::{
    self, ConversationKind, MemberRole, ResetReason, Role, attach_response::Frame, ephemeral::Body as Kind,
    event::Body,
};
use prometheus::Registry;
use prost::Message as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A clock that goes with tokio's.
pub struct Paused(Instant);

const NOON: i64 = 1_790_000_000_000;

impl Clock for Paused {
    fn now_ms(&self) -> i64 {
        NOON + self.0.elapsed().as_millis() as i64
    }
}

/// What a bus does to hints, each in percent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    pub lost: u32,
    pub double: u32,
    pub late: u32,
}

/// A bus with weather.
pub struct TestBus {
    feeds: Mutex<Vec<Feed>>,
    chance: Mutex<StdRng>,
    weather: Mutex<Weather>,
}

impl TestBus {
    fn copies(&self) -> Vec<Duration> {
        let weather = *self.weather.lock().unwrap();
        let mut chance = self.chance.lock().unwrap();
        if chance.random_ratio(weather.lost, 100) {
            return Vec::new();
        }
        let count = 1 + usize::from(chance.random_ratio(weather.double, 100));
        let late = |chance: &mut StdRng| {
            Duration::from_millis(if chance.random_ratio(weather.late, 100) {
                chance.random_range(1..500)
            } else {
                0
            })
        };
        (0..count).map(|_| late(&mut chance)).collect()
    }
}

#[async_trait]
impl Bus for TestBus {
    async fn publish(&self, hint: Hint) -> bool {
        for late in self.copies() {
            for feed in self.feeds.lock().unwrap().iter() {
                let (feed, hint) = (feed.clone(), hint.clone());
                if late.is_zero() {
                    feed.hint(hint);
                } else {
                    tokio::spawn(async move {
                        tokio::time::sleep(late).await;
                        feed.hint(hint);
                    });
                }
            }
        }
        true
    }

    fn listen(&self) -> Listener {
        let (feed, listener) = listener::queue(listener::Limits::default());
        self.feeds.lock().unwrap().push(feed);
        listener
    }
}

/// A node.
pub struct World {
    pub conversations: Arc<Conversations>,
    pub delivery: Arc<Delivery>,
    pub bus: Arc<TestBus>,
    pub store: Arc<MemoryStore>,
    pub registry: Registry,
    pub clock: Arc<Paused>,
    pub stop: CancellationToken,
    ids: AtomicU64,
}

impl World {
    /// A node whose store takes up to `slowest` for each call.
    pub fn new(seed: u64, slowest: Duration, settings: Settings) -> Self {
        let clock = Arc::new(Paused(Instant::now()));
        let bus = Arc::new(TestBus {
            feeds: Mutex::default(),
            chance: Mutex::new(StdRng::seed_from_u64(seed)),
            weather: Mutex::default(),
        });
        let registry = Registry::new();
        let mut rules = conversation::Settings::default();
        rules.log.recent = true;
        rules.log.limits.events = 64;
        let store = Arc::new(MemoryStore::new(seed, slowest));
        let conversations =
            Conversations::new(store.clone(), bus.clone(), clock.clone(), rules, &registry).unwrap();
        let rng = StdRng::seed_from_u64(seed);
        let delivery = Delivery::new(
            conversations.clone(),
            bus.clone(),
            clock.clone(),
            settings.clone(),
            &registry,
            rng,
        )
        .unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(delivery.clone().run(stop.clone()));
        Self { conversations, delivery, bus, store, registry, clock, stop, ids: AtomicU64::new(1) }
    }

    /// One more node on the same store and the same bus.
    pub fn another(&self, seed: u64) -> Self {
        let Self { conversations, bus, store, clock, .. } = self;
        let (conversations, bus) = (conversations.clone(), bus.clone());
        let (registry, stop) = (Registry::new(), CancellationToken::new());
        let (settings, rng) = (Settings::default(), StdRng::seed_from_u64(seed));
        let delivery =
            Delivery::new(conversations.clone(), bus.clone(), clock.clone(), settings, &registry, rng);
        let delivery = delivery.unwrap();
        tokio::spawn(delivery.clone().run(stop.clone()));
        let (store, clock, ids) = (store.clone(), clock.clone(), AtomicU64::new(seed << 32));
        Self { conversations, delivery, bus, store, registry, clock, stop, ids }
    }

    pub fn weather(&self, weather: Weather) {
        *self.bus.weather.lock().unwrap() = weather;
    }

    pub fn id(&self) -> ClientId {
        let mut chance = [0; 10];
        chance[2..].copy_from_slice(&self.ids.fetch_add(1, SeqCst).to_be_bytes());
        ClientId(uuid::Builder::from_unix_timestamp_millis(self.clock.now_ms() as u64, &chance).into_uuid())
    }

    /// Does something; gives its seq if it was allowed.
    pub async fn act(&self, conversation: u128, sender: &str, body: Body) -> Option<Seq> {
        self.ask(conversation, sender, self.id(), 0, body).await.ok().map(|receipt| receipt.seq)
    }

    /// Asks for something; gives what came of it.
    pub async fn ask(
        &self,
        conversation: u128,
        sender: &str,
        id: ClientId,
        target: Seq,
        body: Body,
    ) -> Result<Receipt, CommandError> {
        let (place, sender) = (place(conversation), name(sender));
        self.conversations.submit(Command { place, sender, id: Some(id), target, body }).await
    }

    /// Creates a group; the first is the owner.
    pub async fn create(&self, conversation: u128, members: &[&str]) {
        let role = |n: usize| if n == 0 { Role::Owner } else { Role::Member };
        let members = members
            .iter()
            .enumerate()
            .map(|(n, user)| MemberRole { user: (*user).into(), role: role(n) as i32 });
        let body = v1::ConversationCreated {
            kind: ConversationKind::Group as i32,
            title: "Team".into(),
            members: members.collect(),
            post_role: Role::Member as i32,
            ..Default::default()
        };
        let owner = body.members[0].user.clone();
        self.act(conversation, &owner, Body::ConversationCreated(body)).await.unwrap();
    }

    pub async fn say(&self, conversation: u128, sender: &str, text: &str) -> Seq {
        let content = Some(v1::Content { text: text.into(), ..Default::default() });
        let body = Body::MessageSent(v1::MessageSent { content, ..Default::default() });
        self.act(conversation, sender, body).await.unwrap()
    }

    pub async fn add(&self, conversation: u128, sender: &str, user: &str) -> Option<Seq> {
        let members = vec![MemberRole { user: user.into(), role: Role::Member as i32 }];
        self.act(conversation, sender, Body::MembersAdded(v1::MembersAdded { members })).await
    }

    pub async fn remove(&self, conversation: u128, sender: &str, user: &str) -> Option<Seq> {
        self.act(conversation, sender, Body::MemberRemoved(v1::MemberRemoved { user: user.into() })).await
    }

    /// Attaches a device of a user.
    pub fn attach(&self, user: &str, cursors: &[(u128, Seq)]) -> Device {
        self.try_attach(user, "phone", cursors).unwrap()
    }

    pub fn try_attach(
        &self,
        user: &str,
        device: &str,
        cursors: &[(u128, Seq)],
    ) -> Result<Device, tonic::Status> {
        let caller = Caller { tenant: name("default"), user: name(user), device: name(device) };
        let given =
            cursors.iter().map(|(c, seq)| v1::Cursor { conversation_id: id_of(*c), seq: *seq }).collect();
        let request = v1::AttachRequest { cursors: given, no_ephemeral: false };
        let body = self.delivery.attach(caller.clone(), request, None)?;
        let at = cursors.iter().map(|(c, seq)| (id_of(*c), *seq)).collect();
        Ok(Device { caller, body, at, seen: BTreeMap::new(), resets: Vec::new(), log: Vec::new() })
    }

    /// What a counter of the node says, all labels together.
    pub fn counted(&self, metric: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.get_name() == metric);
        family
            .map_or(0, |family| family.get_metric().iter().map(|m| m.get_counter().get_value() as u64).sum())
    }

    /// Whether a device got what its user may see of a conversation, from its cursor to the end of the log: in order,
    /// with nothing missing that no Reset names. `lossy`: hints were lost.
    pub async fn complete(&self, device: &Device, conversation: u128, lossy: bool) -> Result<(), String> {
        let (place, id) = (place(conversation), id_of(conversation));
        let last = self.conversations.head(&place).await.unwrap().unwrap().last_seq;
        let intervals = self.conversations.intervals(&place, &device.caller.user).await.unwrap();
        let log = self.conversations.events(&place, 0, usize::MAX).await.unwrap();
        for (seq, event) in
            device.seen.iter().filter(|((of, _), _)| *of == id).map(|((_, seq), event)| (*seq, event))
        {
            if !intervals.covers(seq) {
                return Err(format!("STREAM-3: {} got {seq}", device.caller.user));
            }
            if log[seq as usize - 1].to_wire().unwrap() != *event {
                return Err(format!("event {seq} differs from the log's"));
            }
        }
        for reset in device.resets.iter().filter(|reset| reset.conversation_id == id) {
            let hidden = (reset.first..=reset.last).all(|seq| !intervals.covers(seq));
            if reset.reason() == ResetReason::NotAMember && !hidden {
                return Err(format!("{reset:?} hides what could be seen"));
            }
        }
        let member = intervals.current().is_some();
        let end = intervals.0.last().map(|span| span.to.unwrap_or(last));
        // Somebody who came back and left again while no hint got through learns of it when attaching.
        let at_a_leave = |at: Seq| lossy && !member && intervals.0.iter().any(|span| span.to == Some(at));
        match (end, device.at.get(&id)) {
            (None, _) => Ok(()),
            (Some(end), Some(at)) if *at == end || (!member && *at >= end) || at_a_leave(*at) => Ok(()),
            // Left before this device attached, without a cursor.
            (Some(_), None) if !member => Ok(()),
            (Some(end), at) => {
                let Caller { tenant, user, .. } = &device.caller;
                let listed = self.conversations.memberships(tenant, user).await.unwrap().contains(&place);
                Err(format!("STREAM-2: {user} is at {at:?} of {end}; member {intervals:?}, listed: {listed}"))
            }
        }
    }
}

/// An attached device. It checks each frame as it comes.
pub struct Device {
    pub caller: Caller,
    body: StreamBody,
    /// By conversation: carried up to here.
    pub at: BTreeMap<String, Seq>,
    pub seen: BTreeMap<(String, Seq), v1::Event>,
    pub resets: Vec<v1::Reset>,
    /// What came, in short.
    pub log: Vec<String>,
}

/// What comes out of a stream.
#[derive(Debug)]
pub enum Came {
    Frame(Frame),
    End(tonic::Status),
}

impl Device {
    /// The next frame or the end.
    pub async fn next(&mut self) -> Came {
        let frame = self.body.frame().await.expect("a status comes before the end").unwrap();
        match frame.into_data() {
            Ok(bytes) => {
                let frame = decode(&bytes);
                self.take(&frame);
                Came::Frame(frame)
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap();
                self.log.push("end".into());
                Came::End(tonic::Status::from_header_map(&trailers).unwrap())
            }
        }
    }

    /// All that comes until nothing comes for so long. Heartbeats don't count.
    pub async fn until_quiet(&mut self, quiet: Duration) {
        let mut until = Instant::now() + quiet;
        while let Ok(came) = tokio::time::timeout_at(until, self.next()).await {
            match came {
                Came::Frame(Frame::Heartbeat(_)) => {}
                Came::Frame(_) => until = Instant::now() + quiet,
                Came::End(_) => return,
            }
        }
    }

    /// What came since this was asked last but for heartbeats, in short, after giving everything time to come.
    pub async fn short(&mut self) -> Vec<String> {
        self.until_quiet(Duration::from_secs(2)).await;
        let log = std::mem::take(&mut self.log);
        log.into_iter().filter(|came| came != "heartbeat").collect()
    }

    /// The next frame comes within this time.
    pub async fn within(&mut self, time: Duration) -> Option<Came> {
        timeout(time, self.next()).await.ok()
    }

    fn take(&mut self, frame: &Frame) {
        match frame {
            Frame::Events(events) => {
                let id = &events.conversation_id;
                let (first, last) = (events.events[0].seq, events.events[events.events.len() - 1].seq);
                self.log.push(format!("{} {first}-{last}", short_id(id)));
                for event in &events.events {
                    let at = self.at.get(id).copied();
                    assert_eq!(Some(event.seq - 1), at, "STREAM-1: {} of {id}", self.caller.user);
                    self.at.insert(id.clone(), event.seq);
                    self.seen.insert((id.clone(), event.seq), event.clone());
                }
            }
            Frame::Reset(reset) => {
                let id = &reset.conversation_id;
                let (first, last) = (reset.first, reset.last);
                let reason = reset.reason().as_str_name().trim_start_matches("RESET_REASON_").to_lowercase();
                self.log.push(format!("{} {reason} {first}-{last}", short_id(id)));
                if let (Some(at), false) = (self.at.get(id), reset.reason() == ResetReason::Ahead) {
                    assert_eq!(first, at + 1, "STREAM-1: {reset:?} at {at}");
                }
                assert!(last + 1 >= first);
                self.at.insert(id.clone(), last);
                self.resets.push(reset.clone());
            }
            Frame::Attached(_) => self.log.push("attached".into()),
            Frame::CaughtUp(caught) => self.log.push(format!("caught up {}", caught.conversations)),
            Frame::Heartbeat(_) => self.log.push("heartbeat".into()),
            Frame::Ephemeral(v1::Ephemeral { body }) => self.log.push(match body.as_ref().unwrap() {
                Kind::Typing(t) => format!("{} {} typing {}", short_id(&t.conversation_id), t.user, t.typing),
                Kind::Presence(p) => {
                    let status =
                        p.status().as_str_name().trim_start_matches("PRESENCE_STATUS_").to_lowercase();
                    format!("{} {status}", p.user)
                }
                Kind::Marker(m) => format!("{} marker", short_id(&m.conversation_id)),
                other => format!("{other:?}"),
            }),
            Frame::Reconnect(_) => self.log.push("reconnect".into()),
        }
    }
}

pub fn decode(bytes: &Bytes) -> Frame {
    v1::AttachResponse::decode(&bytes[5..]).unwrap().frame.unwrap()
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn place(conversation: u128) -> Place {
    Place { tenant: name("default"), conversation: ConversationId(Uuid::from_u128(conversation)) }
}

pub fn id_of(conversation: u128) -> String {
    Uuid::from_u128(conversation).to_string()
}

fn short_id(id: &str) -> u128 {
    Uuid::try_parse(id).unwrap().as_u128()
}
