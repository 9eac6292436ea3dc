//! `nexus check`: rooms of users, an open-loop rate, connections that are broken on purpose, a report.

use crate::Deliveries;
use anyhow::Context as _;
use nexus_client::{AttachOptions, Client, Item, SendError, Transport, v1};
use nexus_invariants::{Envelope, Judge};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

/// How a deployment is checked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Users.
    pub users: usize,
    /// Users of one room.
    pub room: usize,
    /// Messages per second in all, whatever the answers do (open loop).
    pub rate: f64,
    /// How long messages are sent.
    pub duration: Duration,
    /// How often each listener's connection is broken on purpose; zero: never.
    pub break_every: Duration,
    /// How long is waited for the last deliveries: a lane is checked every 30 s.
    pub patience: Duration,
}

/// What came of it.
pub struct Report {
    /// Who judged.
    pub judge: Judge,
    /// How long deliveries took.
    pub deliveries: Deliveries,
    /// Messages that were to be sent.
    pub sent: u64,
    /// Messages whose outcome was never known.
    pub unknown: u64,
    /// Messages that were refused.
    pub refused: u64,
}

/// Makes the client of a user: each with a connection of its own.
pub type Connect = Arc<dyn Fn(&str) -> anyhow::Result<Client> + Send + Sync>;

/// Each user listens with one device.
const DEVICE: &str = "check";

/// What is observed.
struct Seen {
    judge: Mutex<Judge>,
    deliveries: Mutex<Deliveries>,
}

impl Seen {
    fn judge<R>(&self, what: impl FnOnce(&mut Judge) -> R) -> R {
        what(&mut self.judge.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn deliveries<R>(&self, what: impl FnOnce(&mut Deliveries) -> R) -> R {
        what(&mut self.deliveries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Checks a deployment. `progress` is told what happens, for people.
pub async fn check(
    plan: &Plan,
    run: &str,
    connect: Connect,
    progress: impl Fn(String),
) -> anyhow::Result<Report> {
    let deliveries = Mutex::new(Deliveries::begin(Instant::now()));
    let seen = Arc::new(Seen { judge: Mutex::default(), deliveries });
    let names: Vec<String> = (0..plan.users).map(|n| format!("check-{run}-{n}")).collect();
    let mut writers = Vec::new();
    let mut listeners = JoinSet::new();
    progress(format!("opening {} users in rooms of {}", plan.users, plan.room));
    for members in names.chunks(plan.room) {
        let owner = connect(&members[0])?;
        let others = members[1..].iter().map(|user| v1::MemberRole { user: user.clone(), role: 0 }).collect();
        let mut pending = owner.prepare(v1::CreateConversationRequest {
            kind: v1::ConversationKind::Group as i32,
            title: format!("check {run}"),
            members: others,
            ..Default::default()
        });
        let made = owner.send(&mut pending).await.context("a room can't be made")?;
        let room = made.conversation.context("the server made no room")?.id;
        seen.judge(|judge| judge.conversation(&room, members));
        for user in members {
            let client = connect(user)?;
            writers.push((client.clone(), user.clone(), room.clone()));
            listeners.spawn(listen(client, user.clone(), room.clone(), seen.clone(), plan.break_every));
        }
    }
    progress(format!("sending {:.0} messages/s for {} s", plan.rate, plan.duration.as_secs()));
    seen.deliveries(|deliveries| *deliveries = Deliveries::begin(Instant::now()));
    let mut sends = JoinSet::new();
    let mut pace = interval(Duration::from_secs_f64(1.0 / plan.rate));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let total = (plan.duration.as_secs_f64() * plan.rate) as u64;
    let (mut unknown, mut refused) = (0, 0);
    for n in 0..total {
        pace.tick().await;
        let (client, user, room) = writers[n as usize % writers.len()].clone();
        sends.spawn(send(client, user, room, n, seen.clone()));
        while let Some(done) = sends.try_join_next() {
            count(done?, &mut unknown, &mut refused);
        }
    }
    while let Some(done) = sends.join_next().await {
        count(done?, &mut unknown, &mut refused);
    }
    progress("waiting for the last deliveries".into());
    let last = Instant::now() + plan.patience;
    while !seen.judge(|judge| judge.complete()) && Instant::now() < last {
        sleep(Duration::from_millis(200)).await;
    }
    listeners.abort_all();
    while listeners.join_next().await.is_some() {}
    progress("reading the logs afresh".into());
    let mut read = std::collections::BTreeSet::new();
    for (client, _, room) in &writers {
        if read.insert(room.clone()) {
            let log = log(client, room).await?;
            seen.judge(|judge| judge.log(room, log));
        }
    }
    let judge = seen.judge(std::mem::take);
    let deliveries = seen.deliveries(|deliveries| std::mem::replace(deliveries, Deliveries::begin(last)));
    Ok(Report { judge, deliveries, sent: total, unknown, refused })
}

fn count(outcome: Outcome, unknown: &mut u64, refused: &mut u64) {
    match outcome {
        Outcome::Acknowledged => {}
        Outcome::Unknown => *unknown += 1,
        Outcome::Refused => *refused += 1,
    }
}

enum Outcome {
    Acknowledged,
    Unknown,
    Refused,
}

async fn send(client: Client, user: String, room: String, n: u64, seen: Arc<Seen>) -> Outcome {
    let content = Some(v1::Content { text: format!("message {n}"), ..Default::default() });
    let mut pending = client.prepare(v1::SendMessageRequest {
        conversation_id: room.clone(),
        content,
        ..Default::default()
    });
    seen.deliveries(|deliveries| deliveries.sent(pending.client_id(), Instant::now()));
    // Every tenth is sent again although it was acknowledged, as after a lost answer.
    for _ in 0..=u64::from(n.is_multiple_of(10)) {
        match client.send(&mut pending).await {
            Ok(sent) => {
                seen.judge(|judge| judge.acknowledged(&room, &user, pending.client_id(), sent.receipt.seq))
            }
            Err(SendError::Refused(error)) => {
                tracing::warn!(%user, %error, "a message was refused");
                seen.judge(|judge| judge.refused(&room, &user, pending.client_id()));
                return Outcome::Refused;
            }
            Err(error) => {
                tracing::warn!(%user, %error, "the outcome of a message is not known");
                return Outcome::Unknown;
            }
        }
    }
    Outcome::Acknowledged
}

/// Listens until it is ended; breaks its stream now and then and resumes by its cursor. The cursor is the listener's own:
/// what the client delivers is judged, not trusted. It never ends by itself.
async fn listen(client: Client, user: String, room: String, seen: Arc<Seen>, break_every: Duration) {
    let mut cursor = 0;
    loop {
        seen.judge(|judge| judge.attached(&room, &user, DEVICE, Some(cursor)));
        let cursors = vec![v1::Cursor { conversation_id: room.clone(), seq: cursor }];
        let mut attachment = client.attach(AttachOptions { cursors, ..AttachOptions::default() });
        let listening = async {
            while let Some(item) = attachment.next().await {
                match item {
                    Item::Events { conversation_id, events, .. } if conversation_id == room => {
                        for event in events {
                            cursor = event.seq;
                            seen.deliveries(|deliveries| deliveries.received(&event.id, Instant::now()));
                            seen.judge(|judge| judge.received(&room, &user, DEVICE, envelope(event)));
                        }
                    }
                    Item::Skipped { conversation_id, first, last, .. } if conversation_id == room => {
                        cursor = last;
                        seen.judge(|judge| judge.skipped(&room, &user, DEVICE, first, last, false));
                    }
                    _ => {}
                }
            }
        };
        if break_every.is_zero() {
            listening.await;
        } else if timeout(break_every, listening).await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn log(client: &Client, room: &str) -> anyhow::Result<Vec<Envelope>> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or(0, |event: &Envelope| event.seq);
        let page = client
            .call(v1::ListEventsRequest {
                conversation_id: room.to_owned(),
                anchor: Some(v1::list_events_request::Anchor::AfterSeq(after)),
                limit: 200,
                ..Default::default()
            })
            .await?;
        let end = page.events.is_empty();
        all.extend(page.events.into_iter().map(envelope));
        if end {
            return Ok(all);
        }
    }
}

/// What of an event never changes.
pub fn envelope(event: v1::Event) -> Envelope {
    let kind = nexus_proto::kind_of(&event);
    let v1::Event { seq, id, sender, time_ms, target, .. } = event;
    Envelope { seq, id, sender, kind, time_ms, target }
}

/// A client of a development deployment, where anybody can be anybody.
pub fn development(transport: Transport, user: &str) -> Client {
    Client::new(transport.clone(), nexus_client::DevelopmentTokens::new(transport, user, "check"))
}
