//! The bus over Redis against a real cluster that is killed, paused, resharded and begun anew.

mod ledger;

use crate::trial;
use ledger::{Ear, HEARTBEAT, Stream, bus, options, until};
use libtest_mimic::Trial;
use nexus_cluster::redis::{self, RedisCluster};
use nexus_core::bus::{Bus as _, redis::RedisBus};
use std::{sync::Arc, time::Duration};

/// Between two hints of a lane.
const EVERY: Duration = Duration::from_millis(20);

/// The checks of this part.
pub fn trials() -> Vec<Trial> {
    let missing = redis::missing();
    let missing = missing.as_deref();
    vec![
        trial("redis::everything_is_heard_by_everybody", missing, everything_is_heard_by_everybody),
        trial("redis::killing_a_master_loses_nothing_silently", missing, killing_a_master),
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
