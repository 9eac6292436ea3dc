//! Many users with many conversations each, put into the store as the log and its folds would have left them: through
//! the store's port, since asking for a million memberships one by one would take an hour.

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nexus_core::{
    conversation::fold::{self, Rows},
    domain::{
        ConversationId, Event, Name, Place, User,
        event::encode_body,
        hash::{LANES, lane_of},
    },
    store::{Bucket, Cell, Commit, Floor, IndexRow, Limits, Partition, Statics, Store, Sync, cql::CqlStore},
};
use nexus_proto::v1::{ConversationCreated, ConversationKind, MemberRole, Role, event::Body};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};
use uuid::Uuid;

/// Conversations of each user, and members of each conversation.
pub const EACH: usize = 100;
/// Writes that are under way at once.
const AT_ONCE: usize = 64;

/// The users and their conversations.
pub struct Crowd {
    /// As many as there are users.
    pub rooms: Vec<Place>,
    /// One for each lane of the bus, with one member.
    pub probes: Vec<Place>,
}

/// The name of a user.
pub fn user(n: usize) -> String {
    format!("crowd-{n}")
}

/// The name of the member of a lane's probe.
pub fn prober(lane: usize) -> String {
    format!("probe-{lane}")
}

impl Crowd {
    /// So many users, a multiple of [`EACH`].
    pub fn new(users: usize) -> anyhow::Result<Self> {
        let place = || {
            anyhow::Ok(Place { tenant: Name::new("default")?, conversation: ConversationId(Uuid::now_v7()) })
        };
        let rooms = (0..users).map(|_| place()).collect::<anyhow::Result<_>>()?;
        let mut probes = BTreeMap::new();
        while probes.len() < usize::from(LANES) {
            let place = place()?;
            probes.insert(lane_of(&place), place);
        }
        Ok(Self { rooms, probes: probes.into_values().collect() })
    }

    /// The rooms of a user.
    pub fn rooms_of(&self, user: usize) -> impl Iterator<Item = &Place> {
        let (count, step) = (self.rooms.len(), self.rooms.len() / EACH);
        (0..EACH).map(move |k| &self.rooms[(user + count - k * step) % count])
    }

    fn members_of(&self, room: usize) -> Vec<String> {
        let (count, step) = (self.rooms.len(), self.rooms.len() / EACH);
        (0..EACH).map(|k| user((room + k * step) % count)).collect()
    }

    /// Puts all of it into a store.
    pub async fn seed(&self, store: &CqlStore) -> anyhow::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
        let rooms = (0..self.rooms.len()).map(|room| (&self.rooms[room], self.members_of(room)));
        let probes = self.probes.iter().enumerate().map(|(lane, place)| (place, vec![prober(lane)]));
        let done = AtomicUsize::new(0);
        let done = &done;
        let seeding = rooms.chain(probes).map(move |(place, members)| async move {
            let theirs = seed(store, place, members, now).await?;
            let done = done.fetch_add(1, Relaxed) + 1;
            if done.is_multiple_of(1000) {
                eprintln!("{done} conversations are in the store");
            }
            anyhow::Ok(theirs)
        });
        let theirs: Vec<_> = stream::iter(seeding).buffer_unordered(AT_ONCE).try_collect().await?;
        let mut memberships: BTreeMap<User, Vec<Cell>> = BTreeMap::new();
        for (user, cell) in theirs.into_iter().flatten() {
            memberships.entry(user).or_default().push(cell);
        }
        eprintln!("writing the memberships of {} users", memberships.len());
        let tenant = Name::new("default")?;
        let writes = memberships.into_iter().map(|(user, cells)| {
            let partition = Partition::Memberships(tenant.clone(), user);
            async move { store.write_cells(&partition, cells, Sync::Now).await }
        });
        Ok(stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await?)
    }
}

/// One conversation: its log, its views, and what its members' memberships will be.
async fn seed(
    store: &CqlStore,
    place: &Place,
    members: Vec<String>,
    now: i64,
) -> anyhow::Result<Vec<(User, Cell)>> {
    let sender = Name::new(members.first().context("nobody")?)?;
    let role = |n: usize| if n == 0 { Role::Owner } else { Role::Member };
    let members = members.into_iter().enumerate().map(|(n, user)| MemberRole { user, role: role(n).into() });
    let body = Body::ConversationCreated(ConversationCreated {
        kind: ConversationKind::Group.into(),
        title: "A room".into(),
        members: members.collect(),
        post_role: Role::Member.into(),
        ..Default::default()
    });
    let (kind, encoded) = encode_body(&body);
    let event = Event {
        seq: 1,
        id: None,
        sender,
        kind,
        time_ms: now,
        target: 0,
        messages: 0,
        erased: false,
        body: encoded,
    };
    let statics = Statics {
        last_seq: 1,
        closed: false,
        opened_at: now,
        last_at: now,
        id_max: 0,
        members_at: 1,
        floor: Floor::default(),
        messages: 0,
        bytes: event.size() as u64,
        limits: Limits::default(),
    };
    let bucket = Bucket { place: place.clone(), first: 1 };
    let changes = Rows::default().fold(&event, &body);
    store.put_recent(lane_of(place), now.div_euclid(60_000), place).await?;
    store.put_index(place, IndexRow { first: 1, opened_at: now }).await?;
    store.commit(&bucket, Commit { expect: None, statics, events: vec![event], dedupe: vec![] }).await?;

    let mut views: BTreeMap<Partition, Vec<Cell>> = BTreeMap::new();
    let mut memberships = Vec::new();
    for (of, cell) in changes {
        match of {
            fold::Place::View(key) => views.entry(key.partition(place, 0)).or_default().push(cell),
            fold::Place::Memberships(user) => {
                let row = Bytes::copy_from_slice(place.conversation.0.as_bytes());
                memberships.push((user, Cell { row, ..cell }));
            }
            // Nobody here asks what is unread, or for what is public, or is invited.
            fold::Place::Markers | fold::Place::Directory | fold::Place::Received(_) => {}
        }
    }
    // What the first generation of views reflects.
    let reflects = Cell { row: "v".into(), column: "r0".into(), at: 1, value: Some(Bytes::new()) };
    views.insert(Partition::Reflects(place.clone()), vec![reflects]);
    for (partition, cells) in views {
        store.write_cells(&partition, cells, Sync::Now).await?;
    }
    Ok(memberships)
}
