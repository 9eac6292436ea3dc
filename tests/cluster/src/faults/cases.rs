//! The faults. Each leaves the deployment whole again when it returns.

use super::answers::Losses;
use crate::{
    cut::Cut,
    deployment::{Deployment, Member},
    proxy::Proxy,
};
use anyhow::{Context as _, ensure};
use std::{future::Future, pin::Pin, time::Duration};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// What a fault happens to.
pub struct Stage {
    /// The deployment under test.
    pub deployment: Deployment,
    /// The answers on their way to the clients.
    pub losses: Losses,
}

type Happens = for<'a> fn(&'a mut Stage) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// A fault.
#[derive(Clone)]
pub struct Case {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What happens.
    pub says: &'static str,
    /// Whether it belongs to the quick half.
    pub quick: bool,
    /// What it takes that not every machine has.
    pub needs: Needs,
    /// It happens.
    pub happens: Happens,
}

/// What a fault takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing more than the deployment.
    Nothing,
    /// Three Cassandra nodes; they are started for it.
    ThreeStores,
    /// The right to tell the packet filter whom to cut off, or proxies that stand between.
    Cuts,
    /// libfaketime.
    Clocks,
}

macro_rules! cases {
    ($($name:literal, $quick:literal, $needs:ident, $happens:ident: $says:literal;)*) => {
        /// All of them, in the order in which they happen.
        pub const CASES: &[Case] = &[$(Case {
            name: $name,
            says: $says,
            quick: $quick,
            needs: Needs::$needs,
            happens: |stage| Box::pin($happens(stage)),
        }),*];
    };
}

cases! {
    "nothing", true, Nothing, nothing: "nothing at all, to compare with";
    "core-kill", true, Nothing, core_kill: "kill -9 of a core, back after 5 s";
    "core-pause", true, Nothing, core_pause: "SIGSTOP of a core for 8 s";
    "gateway-kill", true, Nothing, gateway_kill: "kill -9 of a gateway, back after 5 s";
    "cores-roll", false, Nothing, cores_roll: "rolling restart of all cores";
    "gateways-roll", false, Nothing, gateways_roll: "rolling restart of all gateways";
    "redis-master", true, Nothing, redis_master: "kill -9 of a Redis master, a replica takes over";
    "redis-anew", true, Nothing, redis_anew: "all of Redis killed and begun anew with empty disks";
    "redis-slots", true, Nothing, redis_slots: "the slots of 16 lanes move to other masters";
    "store-node", false, ThreeStores, store_node: "kill -9 of one Cassandra node of three, back after 5 s";
    "store-pause", false, Nothing, store_pause: "all of Cassandra paused for 8 s, longer than its timeouts";
    "cut-redis", false, Cuts, cut_redis: "a core cut off from Redis for 10 s";
    "cut-store", false, Cuts, cut_store: "a core cut off from Cassandra for 10 s";
    "cut-gateways", false, Cuts, cut_gateways: "a core cut off from the gateways for 10 s";
    "clocks", false, Clocks, clocks: "a core's clock 3 minutes ahead, another's 3 behind";
    "answers", true, Nothing, answers: "all acknowledgements of one second lost";
}

/// How long what was killed stays away.
const AWAY: Duration = Duration::from_secs(5);
/// Longer than the timeouts of edges and of the store.
const PAUSE: Duration = Duration::from_secs(8);
/// Until the load balancer has found an edge that is back. Whoever stops the next one earlier leaves it with none.
const BALANCED: Duration = Duration::from_secs(1);
/// How long a cut lasts.
const CUT: Duration = Duration::from_secs(10);
/// How long a core may take to be ready again afterwards.
const HEALED: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(100);

async fn nothing(stage: &mut Stage) -> anyhow::Result<()> {
    let answered = stage.deployment.answered_by_announced().await?;
    ensure!(answered > 0.0, "the core that no gateway names, and that announces itself, gets no calls");
    Ok(())
}

async fn core_kill(stage: &mut Stage) -> anyhow::Result<()> {
    let core = &mut stage.deployment.cores[0];
    core.kill().await?;
    sleep(AWAY).await;
    core.start().await
}

async fn core_pause(stage: &mut Stage) -> anyhow::Result<()> {
    let core = &stage.deployment.cores[1];
    core.pause()?;
    sleep(PAUSE).await;
    core.resume()
}

async fn gateway_kill(stage: &mut Stage) -> anyhow::Result<()> {
    let gateway = &mut stage.deployment.gateways[0];
    gateway.kill().await?;
    sleep(AWAY).await;
    gateway.start().await
}

async fn cores_roll(stage: &mut Stage) -> anyhow::Result<()> {
    for core in &mut stage.deployment.cores {
        core.stop().await?;
        core.start().await?;
    }
    Ok(())
}

async fn gateways_roll(stage: &mut Stage) -> anyhow::Result<()> {
    for gateway in &mut stage.deployment.gateways {
        gateway.stop().await?;
        gateway.start().await?;
        sleep(BALANCED).await;
    }
    Ok(())
}

async fn redis_master(stage: &mut Stage) -> anyhow::Result<()> {
    let redis = &mut stage.deployment.redis;
    let slot = redis.slot("nexus:lane:0").await?;
    let master = redis.master_of(slot).await?;
    redis.kill(master).await?;
    // One that came back earlier would stay the master.
    redis.until_taken_over(slot, master).await?;
    redis.restart(master).await?;
    redis.until_whole().await
}

async fn redis_anew(stage: &mut Stage) -> anyhow::Result<()> {
    stage.deployment.redis.begin_anew().await
}

async fn redis_slots(stage: &mut Stage) -> anyhow::Result<()> {
    for lane in 0..16 {
        let redis = &stage.deployment.redis;
        redis.move_slot(redis.slot(&format!("nexus:lane:{lane}")).await?).await?;
    }
    Ok(())
}

async fn store_node(stage: &mut Stage) -> anyhow::Result<()> {
    let cassandra = &mut stage.deployment.cassandra;
    cassandra.kill(1).await?;
    sleep(AWAY).await;
    cassandra.start_node(1).await
}

async fn store_pause(stage: &mut Stage) -> anyhow::Result<()> {
    let cassandra = &stage.deployment.cassandra;
    for node in 0..cassandra.addresses().len() {
        cassandra.pause(node)?;
    }
    sleep(PAUSE).await;
    (0..cassandra.addresses().len()).try_for_each(|node| cassandra.resume(node))
}

/// Cuts a core off, or everybody, from what listens at addresses, by what stands before it if anything does.
fn cut(name: &str, core: Option<&Member>, addresses: &[String], proxies: &[Proxy]) -> anyhow::Result<Cut> {
    if !proxies.is_empty() {
        return Cut::held(core.map(|core| core.id().context("it is dead")).transpose()?, proxies);
    }
    let port = |address: &String| address.rsplit_once(':')?.1.parse().ok();
    let ports: Vec<u16> = addresses.iter().filter_map(port).collect();
    ensure!(!ports.is_empty(), "there is nobody to cut off from");
    Cut::filtered(name, core.and_then(|core| core.part.user), &ports)
}

/// Cuts the first core off from what its `/readyz` calls `part`. That it says so shows that the cut was one.
async fn cut_core(stage: &Stage, part: &str, addresses: &[String], proxies: &[Proxy]) -> anyhow::Result<()> {
    let member = &stage.deployment.cores[0];
    let core = &member.part;
    let end = Instant::now() + CUT;
    let cut = cut(part, Some(member), addresses, proxies)?;
    let told = async {
        loop {
            match core.get_within("/readyz", CUT).await {
                Err(error) if error.to_string().contains(&format!("\r\n\r\n{part}: ")) => return,
                _ => sleep(LOOK).await,
            }
        }
    };
    let bites = timeout_at(end, told).await;
    bites.with_context(|| format!("{} was cut off from the {part} and did not notice", core.name))?;
    sleep_until(end).await;
    drop(cut);
    let ready = async {
        while !core.is_ready().await {
            sleep(LOOK).await;
        }
    };
    timeout(HEALED, ready).await.with_context(|| format!("{} is not ready after the cut", core.name))
}

async fn cut_redis(stage: &mut Stage) -> anyhow::Result<()> {
    let redis = &stage.deployment.redis;
    cut_core(stage, "bus", &redis.addresses(), redis.proxies()).await
}

async fn cut_store(stage: &mut Stage) -> anyhow::Result<()> {
    let cassandra = &stage.deployment.cassandra;
    cut_core(stage, "store", &cassandra.addresses(), cassandra.proxies()).await
}

async fn cut_gateways(stage: &mut Stage) -> anyhow::Result<()> {
    let deployment = &stage.deployment;
    let listen = deployment.cores[0].part.setting("NEXUS_CORE_LISTEN").context("it listens nowhere")?;
    let end = Instant::now() + CUT;
    let cut = cut("gateways", None, &[listen], deployment.proxies.get(..1).unwrap_or_default())?;
    let bites = timeout_at(end, deployment.until_known(0, false)).await;
    bites.context("the gateways were cut off from a core and did not notice")??;
    sleep_until(end).await;
    drop(cut);
    deployment.until_known(0, true).await
}

async fn clocks(stage: &mut Stage) -> anyhow::Result<()> {
    let library = crate::clock::library().context("libfaketime is not installed")?;
    for (core, skew) in [(0, "+180s"), (1, "-180s")] {
        let core = &mut stage.deployment.cores[core];
        let settings = core.part.settings.clone();
        core.part = core.part.clone().with("LD_PRELOAD", library.display());
        // Only the time of day: timeouts must not jump.
        core.part = core.part.clone().with("FAKETIME_DONT_FAKE_MONOTONIC", 1).with("FAKETIME", skew);
        core.stop().await?;
        core.start().await?;
        core.part.settings = settings;
    }
    sleep(CUT).await;
    for core in [0, 1] {
        let core = &mut stage.deployment.cores[core];
        core.stop().await?;
        core.start().await?;
    }
    Ok(())
}

async fn answers(stage: &mut Stage) -> anyhow::Result<()> {
    let before = stage.losses.count();
    stage.losses.set(true);
    sleep(Duration::from_secs(1)).await;
    stage.losses.set(false);
    ensure!(stage.losses.count() > before, "no answer was lost");
    Ok(())
}
