//! `nexus check`: rooms of users, an open-loop rate, connections that are broken on purpose, a report.

use crate::{
    Deliveries, history,
    person::{Connect, Outcome, Person},
    seen::Seen,
};
use anyhow::Context as _;
use nexus_client::{Client, Transport, v1};
use nexus_invariants::{Envelope, Judge};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
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
    /// How often each user's connection is broken on purpose; zero: never.
    pub break_every: Duration,
    /// Whether in every fourth room a member only listens and leaves in the middle, and somebody who is no member tries to
    /// listen and to read.
    pub strangers: bool,
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
    /// How long it took to begin with all of them: longer than planned, if this machine could not keep up.
    pub sending: Duration,
    /// Messages whose outcome was never known.
    pub unknown: u64,
    /// Messages that were refused.
    pub refused: u64,
    /// Attempts that failed before the outcome was known, most of which were repeated.
    pub failed_attempts: u64,
    /// Streams that ended without the listener's doing, and were opened again.
    pub streams_ended: u64,
    /// Connections that were broken on purpose.
    pub broken: u64,
}

/// Of so many rooms, one has a member who leaves in the middle.
const ROOMS_PER_LEAVER: usize = 4;

/// Checks a deployment. `progress` is told what happens, for people.
///
/// # Errors
/// When a room can't be made, or what the server shows of it in the end can't be read.
pub async fn check(
    plan: &Plan,
    run: &str,
    connect: Connect,
    progress: impl Fn(String),
) -> anyhow::Result<Report> {
    let seen = Arc::new(Seen::new());
    let names: Vec<String> = (0..plan.users).map(|n| format!("check-{run}-{n}")).collect();
    progress(format!("opening {} users in rooms of {}", plan.users, plan.room));
    let mut rooms = Vec::new();
    let mut listeners = JoinSet::new();
    for members in names.chunks(plan.room) {
        let room = Room::open(plan, run, members, rooms.len(), &connect, &seen).await?;
        // One room after the other: if all attached in one moment, that would be what is measured.
        for person in room.writers.iter().chain(&room.leaver) {
            listeners.spawn(person.clone().listen(plan.break_every));
        }
        rooms.push(room);
    }
    let stranger = match (plan.strangers, rooms.first()) {
        (true, Some(room)) => Some(Person::new(&connect, &format!("check-{run}-stranger"), &room.id, &seen)?),
        _ => None,
    };
    if let Some(stranger) = &stranger {
        listeners.spawn(stranger.clone().listen(plan.break_every));
    }
    progress(format!("sending {:.0} messages/s for {} s", plan.rate, plan.duration.as_secs()));
    seen.deliveries(|deliveries| *deliveries = Deliveries::begin(Instant::now()));
    let (sent, sending, unknown, refused) = send(plan, &rooms).await?;
    progress("waiting for the last deliveries".into());
    let last = Instant::now() + plan.patience;
    while !seen.judge(|judge| judge.complete()) && Instant::now() < last {
        sleep(Duration::from_millis(200)).await;
    }
    listeners.abort_all();
    while listeners.join_next().await.is_some() {}
    progress("reading everything afresh".into());
    for room in &rooms {
        room.read(stranger.as_deref(), &seen).await?;
    }
    drop((rooms, stranger));
    let judge = seen.judge(std::mem::take);
    let deliveries = seen.deliveries(|deliveries| std::mem::replace(deliveries, Deliveries::begin(last)));
    let (failed_attempts, streams_ended) = (seen.failed_attempts.get(), seen.streams_ended.get());
    let broken = seen.broken.get();
    Ok(Report { judge, deliveries, sent, sending, unknown, refused, failed_attempts, streams_ended, broken })
}

/// A room, and who is in it.
struct Room {
    id: String,
    /// The owner first.
    writers: Vec<Arc<Person>>,
    /// Who only listens, and leaves in the middle.
    leaver: Option<Arc<Person>>,
}

impl Room {
    async fn open(
        plan: &Plan,
        run: &str,
        members: &[String],
        n: usize,
        connect: &Connect,
        seen: &Arc<Seen>,
    ) -> anyhow::Result<Self> {
        let owner = connect(&members[0])?;
        let others = members[1..].iter().map(|user| v1::MemberRole { user: user.clone(), role: 0 }).collect();
        let mut pending = owner.prepare(v1::CreateConversationRequest {
            kind: v1::ConversationKind::Group as i32,
            title: format!("check {run}"),
            members: others,
            ..Default::default()
        });
        let made = owner.send(&mut pending).await.context("a room can't be made")?;
        let id = made.conversation.context("the server made no room")?.id;
        seen.judge(|judge| judge.conversation(&id, members));
        let people = members.iter().map(|user| Person::new(connect, user, &id, seen));
        let mut writers = people.collect::<anyhow::Result<Vec<_>>>()?;
        let leaves = plan.strangers && n.is_multiple_of(ROOMS_PER_LEAVER) && writers.len() > 2;
        let leaver = if leaves { writers.pop() } else { None };
        Ok(Self { id, writers, leaver })
    }

    /// Reads its log and its views afresh, as its owner and as those who may not.
    async fn read(&self, stranger: Option<&Person>, seen: &Seen) -> anyhow::Result<()> {
        let owner = self.writers[0].line();
        let log = history::log(owner.client(), &self.id).await?;
        history::views(owner.client(), &self.id, &log, seen).await?;
        seen.judge(|judge| judge.log(&self.id, log.iter().map(envelope).collect()));
        if let Some(leaver) = &self.leaver {
            let shown = history::log(leaver.line().client(), &self.id).await?;
            seen.judge(|judge| shown.iter().for_each(|event| judge.shown(&self.id, &leaver.user, event.seq)));
        }
        if let Some(stranger) = stranger {
            match history::log(stranger.line().client(), &self.id).await {
                Err(error) if history::is_hidden(&error) => {
                    seen.judge(|judge| judge.hidden(true, String::new))
                }
                Err(error) => return Err(error.context("reading as somebody who is no member")),
                Ok(_) => {
                    let what = || format!("{}: {} is no member and may read it", self.id, stranger.user);
                    seen.judge(|judge| judge.hidden(false, what));
                }
            }
        }
        Ok(())
    }
}

/// Sends, open-loop. How many messages there were, how long it took to begin with them, and how many were of unknown outcome
/// and refused.
async fn send(plan: &Plan, rooms: &[Room]) -> anyhow::Result<(u64, Duration, u64, u64)> {
    let writers: Vec<&Arc<Person>> = rooms.iter().flat_map(|room| &room.writers).collect();
    let total = (plan.duration.as_secs_f64() * plan.rate) as u64;
    let mut pace = interval(Duration::from_secs_f64(1.0 / plan.rate));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut unknown, mut refused) = (0, 0);
    let mut count = |outcome| match outcome {
        Outcome::Acknowledged => {}
        Outcome::Unknown => unknown += 1,
        Outcome::Refused => refused += 1,
    };
    let mut sends = JoinSet::new();
    let began = Instant::now();
    for n in 0..total {
        pace.tick().await;
        if n == total / 2 {
            for leaver in rooms.iter().filter_map(|room| room.leaver.clone()) {
                sends.spawn(leaver.leave());
            }
        }
        sends.spawn(writers[n as usize % writers.len()].clone().say(n));
        while let Some(done) = sends.try_join_next() {
            count(done?);
        }
    }
    let sending = began.elapsed();
    while let Some(done) = sends.join_next().await {
        count(done?);
    }
    Ok((total, sending, unknown, refused))
}

/// What of an event never changes.
pub fn envelope(event: &v1::Event) -> Envelope {
    let kind = nexus_proto::kind_of(event);
    let v1::Event { seq, time_ms, target, .. } = *event;
    Envelope { seq, id: event.id.clone(), sender: event.sender.clone(), kind, time_ms, target }
}

/// A client of a development deployment, where anybody can be anybody.
pub fn development(transport: Transport, user: &str) -> Client {
    Client::new(transport.clone(), nexus_client::DevelopmentTokens::new(transport, user, "check"))
}
