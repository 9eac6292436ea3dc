//! The loops of delivery: hearing the bus, checking lanes, looking after streams; and how it ends.

use super::{Delivery, frame, going_away, token_expired};
use crate::{
    bus::{Heard, Hint, Listener},
    conversation::Fault,
    domain::{
        Place,
        hash::{LANES, lane_of, lane_of_user},
    },
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nexus_proto::v1::{self, attach_response};
use std::{
    collections::BTreeSet,
    future::ready,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How often streams are looked after: the precision of heartbeats and of deadlines.
const LOOK: Duration = Duration::from_secs(1);
/// How far clocks of appending nodes may be off, in minutes.
const MARGIN_MINUTES: i64 = 15;
/// Rows of `recent` that are read at once.
const RECENT_PAGE: usize = 500;
/// Conversations with hubs, or in memory, that are all looked at, rather than looked for: an end takes two reads, and there
/// are 31 minutes or more to read.
const FEW: usize = 16;
/// Conversations of a lane whose ends are read at once.
const HEADS: usize = 32;
/// Lanes that are checked at once, and minutes of each that are read at once. Each read waits for the store more than it
/// works, and a node that lost a third of its lanes has seven hundred minutes to read.
const AT_ONCE: usize = 4;
const MINUTES: usize = 8;

/// Lanes that are to be checked.
#[derive(Default)]
struct Suspects {
    /// A bit for each.
    lanes: AtomicU64,
    wake: Notify,
}

impl Suspects {
    fn add(&self, lanes: u64) {
        self.lanes.fetch_or(lanes, Ordering::AcqRel);
        self.wake.notify_one();
    }
}

impl Delivery {
    /// Delivers until `stop` is cancelled, or until it is dropped. To be called once; a second call returns at once.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(listener) = listener else { return };
        let suspects = Arc::new(Suspects::default());
        // A task for each, so that none takes another's share of the runtime.
        let mut loops = JoinSet::new();
        let (delivery, found) = (self.clone(), suspects.clone());
        let heard = Heeded::new(&self);
        loops.spawn(async move { delivery.hear(listener, &found).await });
        let delivery = self.clone();
        loops.spawn(async move { delivery.look_after().await });
        loops.spawn(async move { self.check(&suspects).await });
        stop.cancelled().await;
        drop(heard);
    }

    async fn hear(self: &Arc<Self>, mut listener: Listener, suspects: &Suspects) {
        loop {
            tokio::task::coop::consume_budget().await;
            let heard = listener.recv().await;
            if let Heard::Hint(hint) = &heard {
                self.conversations.hear(hint);
            }
            match heard {
                Heard::Hint(Hint::Appended { place, events }) => self.appended(&place, &events),
                Heard::Hint(Hint::Ends { place, last_seq }) => {
                    if self.lanes.find(&place, |hub| hub.ends_at(last_seq)) == Some(true) {
                        self.read_for_hub(&place);
                    }
                }
                Heard::Hint(Hint::Memberships { tenant, user }) => {
                    for stream in self.attached.of(&tenant, &user) {
                        stream.refresh();
                        self.employ(&stream);
                    }
                }
                Heard::Hint(Hint::Ephemeral { place, from, body }) => {
                    let frame = frame::ephemeral(&body);
                    let but = (!frame::is_for_oneself(&body)).then_some(&from);
                    self.lanes.find(&place, |hub| hub.tell(&frame, but, &self.metrics));
                }
                Heard::Hint(Hint::Account { tenant, user, body }) => self.hear_account(&tenant, &user, &body),
                Heard::Hint(Hint::Presence { node, tenant, user, conversations, body }) => {
                    self.hear_presence(node, &tenant, &user, &conversations, &body);
                }
                Heard::Hint(Hint::Roll { node, people, last }) => self.hear_roll(node, &people, last),
                Heard::Missed(lane) => {
                    self.conversations.missed(lane);
                    suspects.add(1 << (lane % LANES));
                }
            }
        }
    }

    /// Heartbeats, expiry, stalls, memberships that are due, and news of presence and typing.
    async fn look_after(self: &Arc<Self>) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A frame is noticed up to one look late, and answered by a heartbeat up to one look late.
        let heartbeat = Duration::from_millis(self.settings.heartbeat_ms).saturating_sub(2 * LOOK);
        let stall = Duration::from_millis(self.settings.stall_ms);
        let memberships = Duration::from_millis(self.settings.memberships_ms);
        let mut lanes = (0..LANES).cycle();
        loop {
            let now = looks.tick().await;
            if let Some(lane) = lanes.next() {
                self.lanes.each(lane, |hub| hub.forget(now));
            }
            let time_ms = self.clock.now_ms();
            let beat = frame::control(attach_response::Frame::Heartbeat(v1::Heartbeat { time_ms }));
            for stream in self.attached.every() {
                let health = stream.outbox.health(now);
                if stream.expires.is_some_and(|at| at <= time_ms) {
                    stream.outbox.end(token_expired());
                    self.detach(&stream, "token_expired");
                    // Nobody looks after it any more: what it doesn't take in time goes, as it would have before.
                    tokio::spawn(async move {
                        sleep(stall).await;
                        stream.outbox.cut(token_expired());
                    });
                } else if health.stuck >= stall {
                    stream.outbox.cut(stalled());
                    self.detach(&stream, "stalled");
                } else {
                    if health.quiet >= heartbeat {
                        stream.outbox.put(beat.clone());
                    }
                    if now.checked_sub(memberships).is_some_and(|then| stream.refresh_if_before(then)) {
                        self.employ(&stream);
                    }
                }
            }
            self.tell_news(now);
            self.tell_roll(now);
            self.tell_expired(now);
        }
    }

    /// Compares lanes with the log: those that missed hints at once, and each every now and then, one after the other, so
    /// that not all streams are busy with it together.
    async fn check(self: &Arc<Self>, suspects: &Suspects) {
        let every = Duration::from_millis(self.settings.check_ms);
        let mut good = [(self.minute(), Instant::now()); LANES as usize];
        let step = every / u32::from(LANES);
        let (mut turns, mut due_at) = ((0..LANES).cycle(), Instant::now() + step);
        loop {
            let mut lanes = suspects.lanes.swap(0, Ordering::AcqRel);
            let now = Instant::now();
            if !every.is_zero() && now >= due_at {
                due_at = now.max(due_at + step);
                lanes |= turns.next().map_or(0, |lane| 1 << lane);
            }
            if lanes == 0 {
                let due = async {
                    if every.is_zero() { std::future::pending().await } else { sleep_until(due_at).await }
                };
                tokio::select! {
                    biased;
                    () = suspects.wake.notified() => {}
                    () = due => {}
                }
                continue;
            }
            let lanes = (0..LANES).filter(|lane| lanes & 1 << lane != 0);
            let checks = lanes.map(|lane| self.check_since(lane, good[usize::from(lane)]));
            let checks: Vec<_> = stream::iter(checks).buffer_unordered(AT_ONCE).collect().await;
            let mut bad = 0;
            for (lane, begun, checked) in checks {
                match checked {
                    Ok(()) => good[usize::from(lane)] = begun,
                    Err(fault) => {
                        self.metrics.faults.inc();
                        tracing::warn!(lane, %fault, "a lane could not be checked; trying again");
                        bad |= 1 << lane;
                    }
                }
            }
            if bad != 0 {
                sleep(LOOK).await;
                suspects.add(bad);
            }
        }
    }

    /// Checks a lane, and says which, and when that was begun.
    async fn check_since(
        self: &Arc<Self>,
        lane: u16,
        good: (i64, Instant),
    ) -> (u16, (i64, Instant), Result<(), Fault>) {
        let begun = (self.minute(), Instant::now());
        (lane, begun, self.check_lane(lane, good).await)
    }

    fn minute(&self) -> i64 {
        self.clock.now_ms().div_euclid(60_000)
    }

    /// Compares the hubs of a lane with the log, and has the memberships of its users read again.
    async fn check_lane(self: &Arc<Self>, lane: u16, good: (i64, Instant)) -> Result<(), Fault> {
        self.metrics.lane_checks.inc();
        for stream in self.attached.every() {
            if lane_of_user(&stream.caller.tenant, &stream.caller.user) == lane {
                stream.refresh();
                self.employ(&stream);
            }
        }
        let mut places = self.active(lane, good).await?;
        // A conversation without a hub was not asked for, whatever happened in it.
        places.retain(|place| self.lanes.find(place, |_| ()).is_some());
        // One that can't be read must not hide the others: all are looked at, and the lane is not good.
        let looked = stream::iter(places).map(|place| self.look_at(place)).buffer_unordered(HEADS);
        looked.fold(Ok(()), |all, one| ready(all.and(one))).await
    }

    /// Compares a hub with the log.
    async fn look_at(self: &Arc<Self>, place: Place) -> Result<(), Fault> {
        if let Some(head) = self.conversations.head(&place).await?
            && self.lanes.find(&place, |hub| hub.ends_at(head.last_seq)) == Some(true)
        {
            self.read_for_hub(&place);
        }
        Ok(())
    }

    /// The conversations of a lane to which something was appended since a minute; all with a hub, where that isn't
    /// noted, or where they are fewer than there are minutes to read.
    async fn active(&self, lane: u16, good: (i64, Instant)) -> Result<BTreeSet<Place>, Fault> {
        let hubs = self.lanes.places(lane);
        let few = hubs.len() <= FEW && self.conversations.held(lane) <= FEW;
        if few || !self.conversations.notes_recent() {
            return Ok(hubs.into_iter().collect());
        }
        let (from, at) = (good.1, Instant::now());
        let minutes = good.0 - MARGIN_MINUTES..=self.minute() + MARGIN_MINUTES;
        let read = stream::iter(minutes).map(|minute| self.of_minute(lane, minute));
        let places: BTreeSet<Place> = read
            .buffer_unordered(MINUTES)
            .try_fold(BTreeSet::new(), |mut all, some| {
                all.extend(some);
                ready(Ok(all))
            })
            .await?;
        debug_assert!(places.iter().all(|place| lane_of(place) == lane));
        self.conversations.checked(lane, from, at, &places);
        Ok(places)
    }

    /// The conversations of a lane to which something was appended in a minute.
    async fn of_minute(&self, lane: u16, minute: i64) -> Result<Vec<Place>, Fault> {
        let mut places: Vec<Place> = Vec::new();
        loop {
            let page = self.conversations.recent(lane, minute, places.last(), RECENT_PAGE).await?;
            let whole = page.len() < RECENT_PAGE;
            places.extend(page);
            if whole {
                return Ok(places);
            }
        }
    }

    /// Ends every stream, with a Reconnect frame and UNAVAILABLE. If there are others to go to, one after the other, so that
    /// nobody is without a stream until its turn; else at once, each asked to come back at its turn. Either way nobody
    /// is run over. Nobody new is let in. Returns when the clients have them, or at the deadline, when what was not
    /// taken is cut off.
    pub async fn shutdown(self: &Arc<Self>, deadline: Duration, elsewhere: bool) {
        let (streams, begun) = (self.attached.close(), Instant::now());
        let count = streams.len().max(1) as f64;
        let wanted = Duration::from_secs_f64(count / f64::from(self.settings.reconnects_per_second.max(1)));
        let most = Duration::from_millis(self.settings.reconnect_ms.into());
        let within = wanted.min(if elsewhere { most.min(deadline.mul_f64(0.75)) } else { most });
        for (n, stream) in streams.iter().enumerate() {
            let turn = within.mul_f64(n as f64 / count);
            let after_ms = if elsewhere { 0 } else { turn.as_millis() as u32 };
            if elsewhere {
                sleep_until(begun + turn).await;
            }
            let reconnect = v1::Reconnect { after_ms, reason: "the node goes away".into() };
            stream.outbox.put(frame::control(attach_response::Frame::Reconnect(reconnect)));
            stream.outbox.end(going_away());
            self.detach(stream, "shutdown");
        }
        self.bodies.close();
        if timeout_at(begun + deadline, self.bodies.wait()).await.is_err() {
            for stream in &streams {
                stream.outbox.cut(going_away());
            }
        }
    }
}

/// As long as it lives, hints are passed on to the conversations.
struct Heeded(Arc<Delivery>);

impl Heeded {
    fn new(delivery: &Arc<Delivery>) -> Self {
        delivery.conversations.listen(true);
        Self(delivery.clone())
    }
}

impl Drop for Heeded {
    fn drop(&mut self) {
        self.0.conversations.listen(false);
    }
}

fn stalled() -> Status {
    Status::unavailable("the stream took nothing for too long: attach again")
}
