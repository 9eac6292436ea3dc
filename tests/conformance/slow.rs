//! Streams that nobody reads: they cost the server little, others nothing, and themselves nothing but time.

use crate::{person::Person, stream::Stream, world::World};
use std::{fs, sync::Arc};
use tokio::task::JoinSet;

const SLOW: usize = 24;
/// A device may have as many.
const STREAMS: usize = 8;
const WRITERS: usize = 60;
/// Messages that pour in; fewer where the deployment's limit for one address would make it long.
const MESSAGES: usize = 10_000;
const MESSAGES_ABROAD: usize = 2_400;
const MESSAGE_BYTES: usize = 2_000;

/// Bytes of memory of the server, if it is ours.
fn memory(world: &World) -> Option<u64> {
    let server = world.own.as_ref()?.child.as_ref()?;
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

async fn pour(writers: &[Arc<Person>], group: &str, messages: usize) {
    let mut pouring = JoinSet::new();
    for writer in writers {
        let (writer, group) = (writer.clone(), group.to_owned());
        pouring.spawn(async move {
            let text = "x".repeat(MESSAGE_BYTES);
            for _ in 0..messages.div_ceil(WRITERS) {
                writer.say(&group, &text).await;
            }
        });
    }
    pouring.join_all().await;
}

pub async fn a_stream_that_nobody_reads_costs_little_and_loses_nothing(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let mut lazy = Vec::new();
    for _ in 0..SLOW / STREAMS {
        lazy.push(Person::new(&world, "lazy").await);
    }
    let group = ann.group(&lazy.iter().collect::<Vec<_>>()).await;
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        writers.push(Arc::new(Person::new(&world, &format!("writer{n}")).await));
    }
    ann.add(&group, &writers.iter().map(|writer| &**writer).collect::<Vec<_>>()).await;
    let messages = if world.own.is_some() { MESSAGES } else { MESSAGES_ABROAD };
    // Whatever grows with the first messages has grown then.
    pour(&writers, &group, messages / 5).await;
    let begin = ann.see(&group).await.last_seq;
    let mut reader = ann.attach(&[(&group, begin)]).await;
    reader.caught_up().await;
    let mut slow = Vec::new();
    for bob in &lazy {
        for _ in 0..STREAMS {
            slow.push(Stream::held(bob, &[(&group, begin)]).await);
        }
    }
    let before = memory(&world);
    let reading = {
        let (group, end) = (group.clone(), begin + messages as u64);
        tokio::spawn(async move {
            reader.events(&group, end).await;
        })
    };
    pour(&writers, &group, messages).await;
    reading.await.expect("who reads gets everything");
    if let (Some(before), Some(after)) = (before, memory(&world)) {
        let cost = after.saturating_sub(before);
        let sent = (SLOW * messages * MESSAGE_BYTES) as u64;
        assert!(cost < sent / 4, "{} MiB for {SLOW} streams that nobody reads", cost >> 20);
    }
    let last = ann.see(&group).await.last_seq;
    for stream in &mut slow {
        // That what comes is without a gap, or says so, is looked at by the stream.
        let came = stream.events(&group, last).await.len() as u64;
        assert!(came < last - begin, "it was not slow at all");
    }
    let live = ann.say(&group, "live").await;
    for stream in &mut slow {
        assert_eq!(stream.events(&group, live).await.last().unwrap().seq, live);
        assert_eq!(stream.reached(&group), live);
    }
}
