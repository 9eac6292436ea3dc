//! The bus is told of everything that was appended, also when it takes its time.

use crate::memory::MemoryStore;
use async_trait::async_trait;
use nexus_core::{
    bus::{Bus, Hint, Listener, listener},
    clock::SystemClock,
    conversation::{Command, Conversations, Settings},
    domain::{ConversationId, Place, User},
};
use nexus_proto::v1::{self, ConversationKind, MemberRole, Role, Visibility, event::Body};
use prometheus::Registry;
use std::{
    collections::BTreeSet,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};
use uuid::Uuid;

/// It takes what it is told, and never says that anybody has heard it.
#[derive(Default)]
struct Slow(Mutex<Vec<Hint>>);

#[async_trait]
impl Bus for Slow {
    async fn publish(&self, hint: Hint) -> bool {
        self.0.lock().unwrap().push(hint);
        pending().await
    }

    fn listen(&self) -> Listener {
        listener::queue(listener::Limits::default()).1
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_who_joins_is_told_though_the_bus_is_slow() {
    let (bus, store) = (Arc::new(Slow::default()), Arc::new(MemoryStore::new(1, Duration::ZERO)));
    let clock = Arc::new(SystemClock);
    let all = Conversations::new(store, bus.clone(), clock, Settings::default(), &Registry::new()).unwrap();
    let member = |user: &str, role: Role| MemberRole { user: user.into(), role: role as i32 };
    let names: BTreeSet<String> = (0..100).map(|n| format!("user-{n}")).collect();
    let mut members = vec![member("ann", Role::Owner)];
    members.extend(names.iter().map(|name| member(name, Role::Member)));
    let body = Body::ConversationCreated(v1::ConversationCreated {
        kind: ConversationKind::Group as i32,
        title: "Team".into(),
        members,
        visibility: Visibility::Private as i32,
        post_role: Role::Member as i32,
        ..Default::default()
    });
    let place =
        Place { tenant: User::new("default").unwrap(), conversation: ConversationId(Uuid::from_u128(7)) };
    let sender = User::new("ann").unwrap();
    all.submit(Command { place, sender, id: None, target: 0, body }).await.unwrap();

    let said = bus.0.lock().unwrap();
    assert!(matches!(said[0], Hint::Appended { .. }), "what happened comes first");
    let told = said.iter().filter_map(|hint| match hint {
        Hint::Memberships { user, .. } => Some(user.to_string()),
        _ => None,
    });
    let told: BTreeSet<String> = told.filter(|user| user != "ann").collect();
    assert_eq!(told, names);
}
