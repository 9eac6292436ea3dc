//! Everything at once: any weather on the bus, slow readers, members who come and go, devices that break off and
//! return. In the end every device has exactly what its user may see, in order, or was told by a Reset.

use super::world::{Device, Weather, World, place};
use nexus_core::delivery::Settings;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::time::Duration;

const USERS: [&str; 4] = ["ann", "bob", "cid", "dee"];
const CONVERSATIONS: [u128; 2] = [1, 2];
const CASES: u64 = 150;

fn tight() -> Settings {
    Settings {
        queue_bytes: 4 << 10,
        frame_bytes: 1 << 10,
        recent_bytes: 700,
        page_events: 7,
        push_events: 40,
        tick_above: 5,
        reads: 3,
        reads_per_stream: 2,
        ..Settings::default()
    }
}

async fn happens(world: &World, devices: &mut Vec<Device>, chance: &mut StdRng) {
    let conversation = CONVERSATIONS[chance.random_range(0..CONVERSATIONS.len())];
    let user = USERS[chance.random_range(1..USERS.len())];
    match chance.random_range(0..100) {
        0..50 => {
            let text = "x".repeat(chance.random_range(1..200));
            world.say(conversation, "ann", &text).await;
        }
        50..58 => {
            for n in 0..chance.random_range(5..60) {
                world.say(conversation, "ann", &n.to_string()).await;
            }
        }
        58..64 => drop(world.add(conversation, "ann", user).await),
        64..70 => drop(world.remove(conversation, "ann", user).await),
        70..90 if !devices.is_empty() => {
            let device = chance.random_range(0..devices.len());
            devices[device].until_quiet(Duration::from_millis(chance.random_range(0..50))).await;
        }
        90..94 => tokio::time::sleep(Duration::from_millis(chance.random_range(0..2000))).await,
        _ => {
            // Comes back, with what it has or without a part of it; or comes for the first time.
            let returns = !devices.is_empty() && chance.random_bool(0.7);
            let user = if returns {
                devices.swap_remove(chance.random_range(0..devices.len()))
            } else {
                devices.push(world.attach(user, &[]));
                return;
            };
            let mut cursors = Vec::new();
            for conversation in CONVERSATIONS {
                let at = user.at.get(&super::world::id_of(conversation));
                cursors.extend(at.filter(|_| chance.random_bool(0.8)).map(|at| (conversation, *at)));
            }
            devices.push(world.attach(user.caller.user.as_str(), &cursors));
        }
    }
}

async fn case(seed: u64) -> Result<(), String> {
    let mut chance = StdRng::seed_from_u64(seed);
    let slowest = Duration::from_millis(chance.random_range(0..8));
    let world = World::new(seed, slowest, tight());
    for conversation in CONVERSATIONS {
        world.create(conversation, &USERS[..2]).await;
    }
    let percent = [0, 0, 5, 30, 60];
    let mut any = || percent[chance.random_range(0..percent.len())];
    world.weather(Weather { lost: any(), double: any(), late: any() });
    let mut devices = Vec::new();
    for _ in 0..chance.random_range(10..80) {
        happens(&world, &mut devices, &mut chance).await;
    }
    world.weather(Weather::default());
    // Within a minute the lanes and the memberships have been looked at.
    for round in 0..40 {
        for device in &mut devices {
            device.until_quiet(Duration::from_millis(if round < 39 { 10 } else { 200 })).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    for device in &devices {
        for conversation in CONVERSATIONS {
            world.complete(device, conversation).await.map_err(|why| {
                format!("seed {seed}, {}: {why}; {:?}", place(conversation).conversation, device.log)
            })?;
        }
    }
    let violations = world.counted("nexus_invariant_violations_total");
    world.stop.cancel();
    if violations == 0 { Ok(()) } else { Err(format!("seed {seed}: {violations} violations were counted")) }
}

#[test]
fn every_device_gets_exactly_what_it_may_see() {
    let first = std::env::var("NEXUS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = first.map_or(0..CASES, |seed| seed..seed + 1);
    for seed in seeds {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(case(seed)).unwrap();
    }
}
