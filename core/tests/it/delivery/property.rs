//! Everything at once: any weather on the bus, slow readers, members who come and go, devices that break off and
//! return. In the end every device has exactly what its user may see, in order, or was told by a Reset.

use super::world::{Device, Weather, World, id_of, place};
use nexus_core::delivery::Settings;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{sync::Arc, time::Duration};

const USERS: [&str; 4] = ["ann", "bob", "cid", "dee"];
const CONVERSATIONS: [u128; 2] = [1, 2];
/// Seeds that are tried; `NEXUS_CASES` says otherwise, and `NEXUS_SEED` tries one alone.
const CASES: u64 = 200;

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

/// Ann writes, without anybody waiting for it.
fn writes(world: &Arc<World>, conversation: u128, messages: usize, length: usize) {
    let world = world.clone();
    tokio::spawn(async move {
        for _ in 0..messages {
            world.say(conversation, "ann", &"x".repeat(length)).await;
        }
    });
}

/// Devices break off, and then come back with what they have, or without a part of it.
fn return_all(world: &World, devices: Vec<Device>, chance: &mut StdRng) -> Vec<Device> {
    let mut carried = Vec::new();
    for device in devices {
        let at =
            CONVERSATIONS.map(|conversation| (conversation, device.at.get(&id_of(conversation)).copied()));
        let known = at.into_iter().filter_map(|(conversation, at)| Some((conversation, at?)));
        let kept: Vec<_> = known.filter(|_| chance.random_bool(0.8)).collect();
        carried.push((device.caller.user.to_string(), kept));
    }
    carried.iter().map(|(user, cursors)| world.attach(user, cursors)).collect()
}

async fn happens(world: &Arc<World>, devices: &mut Vec<Device>, chance: &mut StdRng) {
    let conversation = CONVERSATIONS[chance.random_range(0..CONVERSATIONS.len())];
    let user = USERS[chance.random_range(1..USERS.len())];
    match chance.random_range(0..100) {
        0..40 => writes(world, conversation, 1, chance.random_range(1..200)),
        40..50 => writes(world, conversation, chance.random_range(5..60), 1),
        50..57 => drop(world.add(conversation, "ann", user).await),
        57..64 => drop(world.remove(conversation, "ann", user).await),
        64..80 if !devices.is_empty() => {
            let device = chance.random_range(0..devices.len());
            devices[device].until_quiet(Duration::from_millis(chance.random_range(0..50))).await;
        }
        80..88 => tokio::time::sleep(Duration::from_millis(chance.random_range(0..2000))).await,
        88..92 => {
            *devices = return_all(world, std::mem::take(devices), chance);
        }
        92..96 if !devices.is_empty() => {
            let device = devices.swap_remove(chance.random_range(0..devices.len()));
            devices.extend(return_all(world, vec![device], chance));
        }
        _ if devices.len() < 8 => devices.push(world.attach(user, &[])),
        _ => {}
    }
}

async fn case(seed: u64) -> Result<(), String> {
    let mut chance = StdRng::seed_from_u64(seed);
    let slowest = Duration::from_millis(chance.random_range(0..8));
    let world = Arc::new(World::new(seed, slowest, tight()));
    for conversation in CONVERSATIONS {
        world.create(conversation, &USERS[..2]).await;
    }
    let percent = [0, 0, 5, 30, 60];
    let mut any = || percent[chance.random_range(0..percent.len())];
    let weather = Weather { lost: any(), double: any(), late: any() };
    world.weather(weather);
    let mut devices = Vec::new();
    for _ in 0..chance.random_range(10..80) {
        happens(&world, &mut devices, &mut chance).await;
    }
    world.weather(Weather::default());
    // Lost hints are made up for by the checks of lanes and of memberships. With none lost there is no excuse.
    for _ in 0..if weather.lost > 0 { 70 } else { 4 } {
        for device in &mut devices {
            device.until_quiet(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for device in &mut devices {
        device.until_quiet(Duration::from_millis(50)).await;
    }
    for device in &devices {
        for conversation in CONVERSATIONS {
            world.complete(device, conversation, weather.lost > 0).await.map_err(|why| {
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
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let cases = number("NEXUS_CASES").unwrap_or(CASES);
    let seeds = number("NEXUS_SEED").map_or(0..cases, |seed| seed..seed + 1);
    for seed in seeds {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(case(seed)).unwrap();
    }
}
