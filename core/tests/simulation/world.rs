//! One simulation: nodes, people and their devices over a store and a bus, from one seed, and the verdict on it.

use crate::{
    device::Device,
    fate::{Fate, Skewed},
    fold::Plain,
    invited,
    node::{Makings, Node, Slot, tight},
    phone::{Asked, Phone},
    rare::Rare,
    reader,
    store::Model,
    trouble::Trouble,
};
use nexus_core::{
    conversation,
    domain::{ConversationId, Name, Place, Seq, hash},
};
use nexus_invariants::{Envelope, Judge};
use nexus_proto::v1::{self, ConversationKind, MemberRole, Role, Visibility, event::Body};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep},
};
use uuid::Uuid;

/// Everybody.
pub const USERS: [&str; 5] = ["ann", "bob", "cid", "dee", "eve"];
/// What is missed without a word is found by the checks of lanes (30 s) and of memberships (60 s).
const PATIENCE: u32 = 75;
/// What nobody missed, or was told of missing, comes much sooner.
const SHORT_PATIENCE: u32 = 14;

/// One simulation.
pub struct World {
    pub fate: Arc<Fate>,
    pub model: Arc<Model>,
    /// A group, a public channel, and a direct conversation.
    pub places: Vec<Place>,
    pub ending: Notify,
    ends: AtomicBool,
    pub makings: Makings,
    slots: Vec<Slot>,
    judge: Mutex<Judge>,
    asked: Mutex<Vec<Asked>>,
    /// Conversation and user to the highest read marker that was acknowledged.
    marks: Mutex<BTreeMap<(Place, &'static str), Seq>>,
    /// What was acknowledged, and when.
    receipts: Mutex<Vec<(Instant, Place, Seq)>>,
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl World {
    pub fn new(fate: Arc<Fate>, nodes: usize) -> Arc<Self> {
        let settings = tight(&fate);
        Self::with(fate, nodes, settings)
    }

    pub fn with(fate: Arc<Fate>, nodes: usize, settings: conversation::Settings) -> Arc<Self> {
        let (model, tenant) = (Model::new(), name("default"));
        let direct = hash::direct_id(&tenant, &name("ann"), &name("bob"));
        let ids = [ConversationId(Uuid::from_u128(1)), ConversationId(Uuid::from_u128(2)), direct];
        let places = ids.map(|conversation| Place { tenant: tenant.clone(), conversation });
        fate.note(|| format!("{:?}", settings.log));
        let makings = Makings { fate: fate.clone(), model: model.clone(), wires: Arc::default(), settings };
        Arc::new(Self {
            slots: (0..nodes).map(|number| Slot::new(number, &fate)).collect(),
            fate,
            model,
            places: places.to_vec(),
            ending: Notify::new(),
            ends: AtomicBool::new(false),
            makings,
            judge: Mutex::default(),
            asked: Mutex::default(),
            marks: Mutex::default(),
            receipts: Mutex::default(),
        })
    }

    pub fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap()
    }

    /// Tells the judge whether something that was served is as it should be.
    pub fn served(&self, right: bool, what: impl FnOnce() -> String) {
        if right {
            self.judge().view(true, String::new);
        } else {
            let what = what();
            self.fate.note(|| what.clone());
            self.judge().view(false, || what);
        }
    }

    pub fn is_ending(&self) -> bool {
        self.ends.load(SeqCst)
    }

    /// One of the nodes, if it lives.
    pub fn any_node(&self) -> Option<Arc<Node>> {
        self.slots[self.fate.below(self.slots.len())].node()
    }

    /// The node to which a call of a conversation comes.
    pub fn route(&self, place: &Place) -> Option<Arc<Node>> {
        if !self.fate.weather().sticky {
            return self.any_node();
        }
        let owner = self.places.iter().position(|other| other == place).unwrap_or(0) % self.slots.len();
        let stale = self.fate.troubles.lasts(Trouble::RingStale);
        let slot = if stale { self.fate.below(self.slots.len()) } else { owner };
        if slot != owner {
            self.fate.saw(Rare::WrongNode);
        }
        self.slots[slot].node().or_else(|| self.any_node())
    }

    /// Starts a node that is dead.
    pub fn start(&self, slot: usize) -> Arc<Node> {
        self.slots[slot].start(&self.makings)
    }

    pub fn clock(&self, slot: usize) -> &Skewed {
        &self.slots[slot].clock
    }

    /// Whether an id may be too old to tell although it was made just now.
    pub fn short_horizon(&self) -> bool {
        let settings = &self.makings.settings;
        settings.log.horizon.buckets < 64 || settings.retention.keep_ms > 0
    }

    /// Remembers a request, to ask about it again in the end.
    pub fn keep(&self, asked: Asked) {
        self.asked.lock().unwrap().push(asked);
    }

    pub fn marked(&self, place: &Place, user: &'static str, at: Seq) {
        let mut marks = self.marks.lock().unwrap();
        let mark = marks.entry((place.clone(), user)).or_default();
        *mark = at.max(*mark);
    }

    pub fn acknowledged(&self, place: &Place, seq: Seq) {
        self.receipts.lock().unwrap().push((Instant::now(), place.clone(), seq));
    }

    /// The last event of a conversation that was acknowledged this long ago.
    pub fn acknowledged_before(&self, place: &Place, age: Duration) -> Seq {
        let receipts = self.receipts.lock().unwrap();
        let then = receipts.iter().filter(|(at, of, _)| of == place && at.elapsed() >= age);
        then.map(|(.., seq)| *seq).max().unwrap_or(0)
    }

    /// Lives from beginning to end. An error says what was violated.
    pub async fn run(self: Arc<Self>, inviting: bool) -> Result<(), String> {
        let fate = self.fate.clone();
        for slot in 0..self.slots.len() {
            self.start(slot);
        }
        let mut powers = JoinSet::new();
        powers.spawn(self.clone().restarts());
        powers.spawn(self.clone().clocks());
        powers.spawn(self.clone().troubles());
        self.create().await;

        let mut devices = JoinSet::new();
        for n in 0..fate.below(6) {
            let user = USERS[fate.below(USERS.len())];
            devices.spawn(Device::new(self.clone(), user, &format!("d{n}")).live());
        }
        let mut people = JoinSet::new();
        for _ in 0..1 + fate.below(5) {
            let phone = Phone::new(self.clone(), USERS[fate.below(USERS.len())]);
            people.spawn(phone.live(2 + fate.below(14)));
        }
        people.spawn(reader::live(self.clone(), fate.below(8)));
        if inviting {
            people.spawn(invited::rush(self.clone()));
        }
        while let Some(done) = people.join_next().await {
            done.unwrap();
        }
        let weather = fate.weather();
        fate.clear_up();
        self.ends.store(true, SeqCst);
        self.ending.notify_waiters();
        fate.note(|| "the weather clears up".into());
        powers.abort_all();
        for slot in 0..self.slots.len() {
            self.start(slot);
        }
        // Whatever is still on its way arrives before anything is judged.
        let patience = if weather.hides() { PATIENCE } else { SHORT_PATIENCE };
        self.wait_for_deliveries(patience).await;
        sleep(Duration::from_secs(125)).await;
        self.ask_again().await;
        self.wait_for_deliveries(SHORT_PATIENCE).await;
        self.compare().await;
        self.verdict()
    }

    pub async fn create(self: &Arc<Self>) {
        let member = |user: &str, role: Role| MemberRole { user: user.into(), role: role as i32 };
        let group = [member("ann", Role::Owner), member("bob", Role::Admin), member("cid", Role::Member)];
        let kinds = [
            (ConversationKind::Group, Visibility::Private, group.to_vec()),
            (ConversationKind::Channel, Visibility::Public, vec![member("ann", Role::Owner)]),
            (ConversationKind::Direct, Visibility::Private, group[..2].to_vec()),
        ];
        let mut makers = JoinSet::new();
        for (place, (kind, visibility, members)) in self.places.iter().zip(kinds) {
            let created = v1::ConversationCreated {
                kind: kind as i32,
                members,
                visibility: visibility as i32,
                post_role: Role::Member as i32,
                ..Default::default()
            };
            let body = Body::ConversationCreated(created);
            // Both of a direct conversation's people make it at once.
            let both = if kind == ConversationKind::Direct { &["ann", "bob"][..] } else { &["ann"] };
            for user in both {
                let (world, place, body) = (self.clone(), place.clone(), body.clone());
                makers.spawn(async move {
                    while world.model.end(&place) == 0 {
                        Phone::new(world.clone(), user).does(&place, 0, body.clone()).await;
                    }
                });
            }
        }
        while let Some(done) = makers.join_next().await {
            done.unwrap();
        }
    }

    /// Starts dead nodes after a while.
    async fn restarts(self: Arc<Self>) {
        loop {
            sleep(self.fate.ms(100..5000)).await;
            for slot in &self.slots {
                if slot.node().is_none() && self.fate.percent(50) {
                    slot.start(&self.makings);
                }
            }
        }
    }

    async fn clocks(self: Arc<Self>) {
        while self.fate.weather().clocks {
            sleep(self.fate.ms(1000..30_000)).await;
            self.slots[self.fate.below(self.slots.len())].clock.jump();
        }
    }

    /// Something befalls nodes, or everybody, now and then.
    async fn troubles(self: Arc<Self>) {
        let fate = &self.fate;
        while fate.weather().troubles {
            sleep(fate.ms(200..12_000)).await;
            let node = fate.below(self.slots.len());
            let (time, short) = (fate.ms(500..20_000), fate.ms(200..3000));
            let kind = fate.below(8);
            fate.note(|| format!("trouble {kind} comes over node {node} for {time:?}"));
            match kind {
                0 => fate.troubles.begin(Trouble::StoreCut(node), time),
                1 => self.cut_from_bus(node, time),
                2 => {
                    fate.saw(Rare::BothCut);
                    fate.troubles.begin(Trouble::StoreCut(node), time);
                    self.cut_from_bus(node, time);
                }
                3 => fate.troubles.begin(Trouble::StoreStands, time),
                4 => fate.troubles.begin(Trouble::NodeStands(node), time),
                5 => fate.troubles.begin(Trouble::AnswersLost, Duration::from_secs(1)),
                6 => {
                    self.makings.wires.empty();
                    (0..self.slots.len()).for_each(|node| self.cut_from_bus(node, short));
                }
                _ => fate.troubles.begin(Trouble::RingStale, time),
            }
        }
    }

    /// Cuts a node off from the bus. Afterwards it is told that it missed something, unless that goes unnoticed.
    pub fn cut_from_bus(&self, node: usize, time: Duration) {
        let cut = Trouble::BusCut(node);
        self.fate.troubles.begin(cut, time);
        let (fate, wires) = (self.fate.clone(), self.makings.wires.clone());
        let announced = fate.weather().announced;
        tokio::spawn(async move {
            fate.troubles.over(cut, Duration::from_secs(3600)).await;
            if announced {
                wires.rejoined(node);
            }
        });
    }

    /// Everything that was asked is asked again, some of it hours later: the first result still stands.
    async fn ask_again(self: &Arc<Self>) {
        if self.fate.percent(50) {
            self.fate.skip(self.fate.within(1..72) * 3_600_000);
        }
        let all = std::mem::take(&mut *self.asked.lock().unwrap());
        for mut asked in all.into_iter().filter(|asked| !asked.refused) {
            if self.fate.percent(50) {
                self.pursue(&mut asked, 2).await;
            }
        }
    }

    async fn wait_for_deliveries(&self, seconds: u32) {
        for _ in 0..seconds * 2 {
            self.tell_truth();
            if self.judge().complete() {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
        self.tell_truth();
        if !self.judge().complete() {
            // What is late stays a violation, even if it came yet.
            self.judge().late();
        }
    }

    /// Tells the judge what the logs truly hold.
    pub fn tell_truth(&self) {
        for place in &self.places {
            let (log, id) = (self.model.log(place), place.conversation.to_string());
            let mut judge = self.judge();
            if log.iter().zip(1..).all(|(event, seq)| event.seq == seq) {
                let fold = Plain::of(&log);
                judge.trimmed(&id, fold.floor);
                USERS.iter().for_each(|user| judge.member(&id, user, fold.spans(user)));
            }
            judge.log(&id, log.iter().map(Envelope::from).collect());
        }
    }

    /// Compares what the nodes serve, and what is stored, with the fold of the log.
    pub async fn compare(self: &Arc<Self>) {
        for place in &self.places {
            let log = self.model.log(place);
            let mut fold = Plain::default();
            for event in &log {
                let allowed = fold.allows(event);
                self.served(allowed, || format!("{:?} was allowed to {:?}", event.sender, event.kind));
                fold.take(event);
                self.served(event.messages == fold.count, || format!("event {} counts wrongly", event.seq));
            }
            self.compare_buckets(place, &fold);
            for slot in 0..self.slots.len() {
                let node = self.start(slot);
                invited::compare(self, &node, place, &fold).await;
                for user in USERS {
                    let answered = reader::looks(self, &node, place, user).await;
                    self.served(answered, || format!("{} doesn't answer", node.name));
                    let markers = node.conversations.markers_of(place, &name(user)).await.unwrap();
                    let marked = self.marks.lock().unwrap().get(&(place.clone(), user)).copied();
                    let mine = fold.messages.iter().filter(|(_, said)| said.sender == user);
                    let least = mine.map(|(seq, _)| *seq).max().max(marked).unwrap_or(0);
                    self.served(markers.read >= least, || format!("{user} had read {least}: {markers:?}"));
                    let places = node.conversations.memberships(&name("default"), &name(user)).await.unwrap();
                    let listed = places.contains(place) || fold.role(user).is_none();
                    self.served(listed, || format!("{user}'s list lacks {}", place.conversation));
                }
            }
        }
    }

    /// The buckets follow one another, each named by the index, and the last one's columns are the fold of the log.
    fn compare_buckets(&self, place: &Place, fold: &Plain) {
        let mut buckets = self.model.buckets(place);
        let floor = buckets.last().map_or(0, |(_, statics, _)| statics.floor.seq);
        self.served(floor == fold.floor, || format!("the floor is {floor} instead of {}", fold.floor));
        let dropped = self.model.dropped_to(place).unwrap_or(0);
        self.served(dropped <= floor, || format!("dropped up to {dropped}, but trimmed up to {floor}"));
        buckets.retain(|(first, ..)| *first > floor);
        let mut next = floor + 1;
        for (n, (first, statics, indexed)) in buckets.iter().enumerate() {
            self.served(*first == next && *indexed, || {
                format!("bucket {first} instead of {next}: {indexed}")
            });
            let closed = n + 1 < buckets.len();
            self.served(statics.closed || !closed, || format!("bucket {first} is followed, but not closed"));
            next = statics.last_seq + 1;
        }
        if let Some((_, statics, _)) = buckets.last() {
            let stored = (statics.last_seq, statics.messages, statics.members_at);
            let truth = (fold.seq, fold.count, fold.members_at);
            self.served(stored == truth, || format!("the head is {stored:?} instead of {truth:?}"));
        }
    }

    /// What the nodes themselves noticed.
    pub fn noticed(&self) -> Vec<String> {
        self.slots.iter().flat_map(Slot::violations).collect()
    }

    pub fn verdict(&self) -> Result<(), String> {
        self.tell_truth();
        let mut problems = Vec::new();
        for (invariant, verdict) in self.judge().verdicts() {
            if verdict.violated > 0 {
                let examples = verdict.examples.join("\n    ");
                problems.push(format!("{} ({}):\n    {examples}", invariant.id(), invariant.says()));
            }
        }
        problems.extend(self.noticed());
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }
}
