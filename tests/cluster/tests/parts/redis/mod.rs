//! The bus over Redis against a real cluster that is killed, paused, resharded and begun anew.

mod ledger;

use crate::trial;
use ledger::{Ear, HEARTBEAT, PATIENCE, Stream, bus, options, until};
use libtest_mimic::Trial;
use nexus_cluster::redis::{self, Guard, RedisCluster};
use nexus_core::bus::{
    Bus as _, Heard, Hint,
    redis::{Options, RedisBus},
};
use rand::{SeedableRng as _, rngs::StdRng};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// Between two hints of a lane.
const EVERY: Duration = Duration::from_millis(20);

/// The checks of this part.
pub fn trials() -> Vec<Trial> {
    let missing = redis::missing();
    let missing = missing.as_deref();
    vec![
        trial("redis::everything_is_heard_by_everybody", missing, everything_is_heard_by_everybody),
        trial("redis::killing_a_master_loses_nothing_silently", missing, killing_a_master),
        trial("redis::moving_a_slot_loses_nothing_silently", missing, moving_slots),
        trial("redis::pausing_a_master_loses_nothing_silently", missing, pausing_a_master),
        trial("redis::a_cluster_begun_anew_loses_nothing_silently", missing, beginning_anew),
        trial("redis::tls_and_the_least_rights_are_enough", missing, guarded),
        trial("redis::without_redis_a_node_serves_itself", missing, without_redis),
        trial("redis::who_leaves_is_not_missed", missing, leaving),
        trial("redis::a_slow_listener_is_told", missing, a_slow_listener),
        trial("redis::what_is_too_large_says_where_the_log_ends", missing, too_large),
        trial("redis::garbage_has_its_lane_checked", missing, garbage),
    ]
}

/// Two nodes on a cluster, with what each hears.
struct Two {
    cluster: RedisCluster,
    one: Arc<RedisBus>,
    ears: [Ear; 2],
    other: Arc<RedisBus>,
    metrics: [prometheus::Registry; 2],
}

impl Two {
    async fn start() -> anyhow::Result<Self> {
        let cluster = RedisCluster::start().await?;
        let (one, ones) = bus(options(cluster.addresses()), 1);
        let (other, others) = bus(options(cluster.addresses()), 2);
        let ears = [Ear::new(&one), Ear::new(&other)];
        let two = Self { cluster, one, ears, other, metrics: [ones, others] };
        two.until_well().await?;
        Ok(two)
    }

    /// What a counter of the first node says, all its labels together.
    fn counted(&self, name: &str) -> u64 {
        count(&self.metrics[0], name)
    }

    async fn until_well(&self) -> anyhow::Result<()> {
        until("both are well", || self.one.health().is_ok() && self.other.health().is_ok()).await
    }

    /// Waits until every lane works, ends the stream, and gives how many hints were not heard by the other node.
    async fn recover(&self, mut stream: Stream, what: &str) -> anyhow::Result<usize> {
        let ears = [&self.ears[0], &self.ears[1]];
        let took = stream.until_every_lane_works(&ears).await?;
        self.until_well().await?;
        stream.more(200).await?;
        let lost = stream.until_accounted_for(&ears).await?;
        anyhow::ensure!(lost[0] == 0, "a node did not hear itself: {lost:?}");
        for ear in ears {
            ear.until_quiet().await?;
        }
        eprintln!(
            "{what}: {} hints, {} not taken in time, {} not heard; every lane works after {took:.1?}; {} times missed",
            stream.count(),
            stream.refused(),
            lost[1],
            self.ears[1].missed(),
        );
        Ok(lost[1])
    }
}

fn count(registry: &prometheus::Registry, name: &str) -> u64 {
    let families = registry.gather();
    let counters = families.iter().filter(|family| family.get_name() == name);
    let values =
        counters.flat_map(|family| family.get_metric()).map(|metric| metric.get_counter().get_value());
    values.sum::<f64>() as u64
}

async fn everything_is_heard_by_everybody() -> anyhow::Result<()> {
    let two = Two::start().await?;
    for ear in &two.ears {
        ear.until_quiet().await?;
    }
    let before = two.ears[1].missed();
    let failed = two.counted("nexus_bus_publish_failures_total");
    let mut stream = Stream::begin(&two.one, EVERY);
    stream.more(2000).await?;
    let lost = stream.until_accounted_for(&[&two.ears[0], &two.ears[1]]).await?;
    anyhow::ensure!(lost == [0, 0], "not heard: {lost:?}");
    // One that was only late, on a busy machine, is no failure of the bus.
    let failures = two.counted("nexus_bus_publish_failures_total") - failed;
    anyhow::ensure!(failures == 0, "{failures} hints or heartbeats were not taken");
    anyhow::ensure!(two.ears[1].missed() == before, "a lane was missed without a cause");
    eprintln!("{} hints, {} of them late", stream.count(), stream.refused());
    Ok(())
}

async fn killing_a_master() -> anyhow::Result<()> {
    let mut two = Two::start().await?;
    let stream = Stream::begin(&two.one, EVERY);
    stream.more(1000).await?;
    two.cluster.kill(0).await?;
    two.cluster.until_whole().await?;
    two.recover(stream, "kill -9 of a master").await?;
    Ok(())
}

async fn moving_slots() -> anyhow::Result<()> {
    let two = Two::start().await?;
    let stream = Stream::begin(&two.one, EVERY);
    stream.more(1000).await?;
    for lane in [7, 8, 9] {
        let slot = two.cluster.slot(&format!("nexus:lane:{lane}")).await?;
        two.cluster.move_slot(slot).await?;
        stream.more(200).await?;
    }
    two.recover(stream, "three slots moved").await?;
    Ok(())
}

async fn pausing_a_master() -> anyhow::Result<()> {
    let mut two = Two::start().await?;
    let stream = Stream::begin(&two.one, EVERY);
    stream.more(1000).await?;
    two.cluster.pause(1)?;
    two.cluster.until_whole().await?;
    let ears = [&two.ears[0], &two.ears[1]];
    let took = stream.until_every_lane_works(&ears).await?;
    eprintln!("a master paused: every lane works {took:.1?} after its replica was promoted");
    // Now it comes back, and for a moment believes that nothing happened.
    two.cluster.resume(1)?;
    stream.more(1000).await?;
    two.cluster.until_whole().await?;
    two.recover(stream, "the master resumed").await?;
    Ok(())
}

async fn beginning_anew() -> anyhow::Result<()> {
    let mut two = Two::start().await?;
    let stream = Stream::begin(&two.one, EVERY);
    stream.more(1000).await?;
    two.cluster.begin_anew().await?;
    two.recover(stream, "the whole cluster begun anew").await?;
    Ok(())
}

async fn guarded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let rights = "nexus on >bus-secret resetchannels &guarded:* -@all +ssubscribe +sunsubscribe +spublish +cluster|slots";
    let user = rights.split(' ').map(str::to_owned).collect();
    let guard = Guard::new(folder.path(), "operator-secret", vec![user])?;
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, "bus-secret\n")?;
    let file = |name: &str| Some(folder.path().join(name));
    let cluster = RedisCluster::start_with(Some(guard)).await?;
    let options = Options {
        username: Some("nexus".into()),
        password_file: Some(password_file.clone()),
        tls: true,
        tls_ca: file("ca.pem"),
        tls_cert: file("cert.pem"),
        tls_key: file("key.pem"),
        prefix: "guarded".into(),
        ..options(cluster.addresses())
    };
    let (one, _) = bus(options.clone(), 1);
    let (other, _) = bus(options.clone(), 2);
    let ears = [Ear::new(&one), Ear::new(&other)];
    until("both are well", || one.health().is_ok() && other.health().is_ok()).await?;
    for ear in &ears {
        ear.until_quiet().await?;
    }
    let mut stream = Stream::begin(&one, EVERY);
    stream.more(500).await?;
    let lost = stream.until_accounted_for(&[&ears[0], &ears[1]]).await?;
    anyhow::ensure!(lost == [0, 0], "not heard: {lost:?}");

    // What is wrong with the credentials is said, and the password is not.
    std::fs::write(&password_file, "another-secret")?;
    let (third, _) = bus(options.clone(), 3);
    until("it is known why", || third.health().is_err_and(|why| why.contains("WRONGPASS"))).await?;
    anyhow::ensure!(!format!("{:?} {:?}", third.health(), options).contains("secret"));
    let (fourth, _) = bus(Options { tls_ca: None, ..options.clone() }, 4);
    until("it is known why", || fourth.health().is_err_and(|why| why.contains("certificate"))).await?;
    std::fs::write(folder.path().join("key.pem"), "no key")?;
    let nothing = RedisBus::connect(options, None, StdRng::seed_from_u64(5), &prometheus::Registry::new());
    anyhow::ensure!(nothing.is_err_and(|error| error.to_string().contains("core.redis.tls")));
    Ok(())
}

async fn without_redis() -> anyhow::Result<()> {
    let mut cluster = RedisCluster::start().await?;
    for node in 0..cluster.size() {
        cluster.kill(node).await?;
    }
    let options = options(cluster.addresses());
    let bound = Duration::from_millis(options.publish_ms);
    let (bus, metrics) = bus(options, 1);
    let ear = Ear::new(&bus);
    let stream = Stream::idle(&bus);
    let begun = Instant::now();
    let (seq, taken) = stream.one(5, 100).await;
    // Twice, since the machine may be busy with something else.
    anyhow::ensure!(!taken && begun.elapsed() < bound * 2, "{taken} after {:?}", begun.elapsed());
    until("a node hears itself", || ear.heard(5, seq)).await?;
    until("it is known why", || bus.health().is_err_and(|why| why.contains("refused"))).await?;
    let why = bus.health().unwrap_err();
    anyhow::ensure!(why.starts_with("64 of 64 lanes of the bus are not subscribed"), "{why}");
    for node in 0..cluster.size() {
        cluster.restart(node).await?;
    }
    until("it is well", || bus.health().is_ok()).await?;
    until("what it said to nobody is checked", || (0..64).all(|lane| ear.missed_on(lane) > 0)).await?;
    until("publishing works", || count(&metrics, "nexus_bus_subscriptions_total") >= 64).await?;
    anyhow::ensure!(stream.one(5, 100).await.1, "not taken");
    Ok(())
}

async fn leaving() -> anyhow::Result<()> {
    let two = Two::start().await?;
    let mut stream = Stream::begin(&two.other, EVERY);
    stream.more(500).await?;
    stream.until_accounted_for(&[&two.ears[0]]).await?;
    two.ears[0].until_quiet().await?;
    let before = two.ears[0].missed();
    two.other.shutdown().await;
    // Longer than it takes to notice that somebody is silent.
    sleep(HEARTBEAT * 5).await;
    anyhow::ensure!(two.ears[0].missed() == before, "who said farewell is missed");

    // Without a farewell it is, but once.
    let (third, _) = bus(options(two.cluster.addresses()), 3);
    until("a third is well", || third.health().is_ok()).await?;
    two.ears[0].until_quiet().await?;
    let before = two.ears[0].missed();
    drop(third);
    until("its silence is noticed", || two.ears[0].missed() > before).await?;
    two.ears[0].until_quiet().await?;
    let told = two.ears[0].missed() - before;
    anyhow::ensure!(told <= 64, "{told} times");
    Ok(())
}

async fn a_slow_listener() -> anyhow::Result<()> {
    let two = Two::start().await?;
    for ear in &two.ears {
        ear.until_quiet().await?;
    }
    let (lane, bytes, hints) = (3, 7000, 3000);
    let mut slow = two.other.listen();
    let stream = Stream::idle(&two.one);
    for _ in 0..hints {
        stream.one(lane, bytes).await;
    }
    // The quick one has all that went out; so the slow one's queue has what it may hold.
    until("a quick listener hears the last", || two.ears[1].heard(lane, hints)).await?;
    let (mut heard, mut missed) = (0, false);
    while let Some(next) = slow.try_recv() {
        match next {
            Heard::Missed(which) => missed |= usize::from(which) == lane,
            Heard::Hint(_) => heard += 1,
        }
    }
    anyhow::ensure!(missed && heard > 0 && heard < hints, "{heard} of {hints}, missed: {missed}");
    Ok(())
}

async fn too_large() -> anyhow::Result<()> {
    let two = Two::start().await?;
    for ear in &two.ears {
        ear.until_quiet().await?;
    }
    let (mut near, mut far) = (two.one.listen(), two.other.listen());
    let stream = Stream::idle(&two.one);
    for bytes in [8192, 100_000] {
        let (seq, taken) = stream.one(3, bytes).await;
        anyhow::ensure!(taken, "not taken");
        let heard = timeout(PATIENCE, near.recv()).await?;
        anyhow::ensure!(matches!(&heard, Heard::Hint(Hint::Appended { .. })), "{heard:?}");
        let heard = timeout(PATIENCE, far.recv()).await?;
        let ends =
            |hint: &Heard| matches!(hint, Heard::Hint(Hint::Ends { last_seq, .. }) if *last_seq == seq);
        anyhow::ensure!(ends(&heard), "{heard:?}");
    }
    let (seq, _) = stream.one(3, 7000).await;
    let heard = timeout(PATIENCE, far.recv()).await?;
    let whole =
        |hint: &Heard| matches!(hint, Heard::Hint(Hint::Appended { events, .. }) if events[0].seq == seq);
    anyhow::ensure!(whole(&heard), "{heard:?}");
    Ok(())
}

async fn garbage() -> anyhow::Result<()> {
    let two = Two::start().await?;
    for ear in &two.ears {
        ear.until_quiet().await?;
    }
    let channel = "nexus:lane:11";
    let master = two.cluster.master_of(two.cluster.slot(channel).await?).await?;
    let before = two.ears.each_ref().map(Ear::missed);
    for garbage in ["", "garbage", "\u{1}garbage that is longer than a header"] {
        two.cluster.ask(master, &["SPUBLISH", channel, garbage]).await?;
    }
    until("both have the lane checked", || two.ears.iter().all(|ear| ear.missed_on(11) > 1)).await?;
    anyhow::ensure!(two.counted("nexus_bus_unreadable_total") == 3);
    for (ear, before) in two.ears.iter().zip(before) {
        ear.until_quiet().await?;
        let told = ear.missed() - before;
        anyhow::ensure!(told <= 3, "{told} times missed");
    }
    let mut stream = Stream::begin(&two.one, EVERY);
    stream.more(200).await?;
    let lost = stream.until_accounted_for(&[&two.ears[0], &two.ears[1]]).await?;
    anyhow::ensure!(lost == [0, 0], "{lost:?}");
    Ok(())
}
