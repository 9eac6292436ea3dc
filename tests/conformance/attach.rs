//! After Attach the events of a conversation are consecutive from the cursor, or a Reset says which range is not sent
//! and why. [`crate::stream`] holds every frame against that.

use crate::{person::Person, refusal::expect, stream::Stream, tokens::Wanted, world::World};
use nexus_client::v1::{self, ResetReason, attach_response::Frame, event::Body};
use std::sync::Arc;
use tonic::Code;
use tonic_types::StatusExt as _;

/// Gaps up to this many events are sent; the default.
const PUSHED: u64 = 1000;

pub async fn a_cursor_means_complete_up_to_here(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    for n in 0..5 {
        ann.say(&group, &n.to_string()).await;
    }
    for cursor in 0..=6 {
        let mut stream = bob.attach(&[(&group, cursor)]).await;
        assert_eq!(stream.caught_up().await, 1);
        assert_eq!(stream.came(&group).len() as u64, 6 - cursor, "CaughtUp comes after what was missing");
    }
    let mut first = bob.attach(&[(&group, 3)]).await;
    first.caught_up().await;
    let live = ann.say(&group, "live").await;
    assert_eq!(first.events(&group, live).await.last().unwrap().sender, ann.user);
    drop(first);
    let missed = ann.say(&group, "missed").await;
    let mut second = bob.attach(&[(&group, live)]).await;
    assert_eq!(second.events(&group, missed).await.len(), 1);
    assert_eq!((&second.attached.user[..], &second.attached.device[..]), (&bob.user[..], "phone"));
    assert!(!second.attached.stream_id.is_empty() && second.attached.time_ms > 0);
}

pub async fn there_is_no_seam_while_messages_flow(world: Arc<World>) {
    const MESSAGES: usize = 80;
    let (ann, bob) = (Arc::new(Person::new(&world, "ann").await), Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let (writer, place) = (ann.clone(), group.clone());
    let writing = tokio::spawn(async move {
        for n in 0..MESSAGES {
            writer.say(&place, &n.to_string()).await;
        }
    });
    let last = 1 + MESSAGES as u64;
    let mut streams = Vec::new();
    for n in 0..6 {
        // Somewhere in the stream of messages: as soon as the one before has a few more.
        let reached = bob.see(&group).await.last_seq;
        streams.push(bob.attach(&[(&group, if n % 2 == 0 { 0 } else { reached / 2 })]).await);
        let stream = streams.last_mut().unwrap();
        stream.events(&group, (reached + 5).min(last)).await;
    }
    writing.await.unwrap();
    let log = ann.events(&group).await;
    for stream in &mut streams {
        let came = stream.events(&group, last).await;
        assert_eq!(came, &log[log.len() - came.len()..]);
    }
}

pub async fn without_a_cursor_there_is_a_reset(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let last = ann.say(&group, "past").await;
    let mut stream = bob.attach(&[]).await;
    assert_eq!(stream.reset(&group).await, (ResetReason::NoCursor, 1, last));
    assert_eq!(stream.caught_up().await, 1);
    let live = ann.say(&group, "live").await;
    assert_eq!(stream.events(&group, live).await.len(), 1);
}

pub async fn a_cursor_of_another_log_is_reset(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let last = ann.say(&group, "past").await;
    let mut stream = bob.attach(&[(&group, last + 100)]).await;
    assert_eq!(stream.reset(&group).await, (ResetReason::Ahead, 1, last));
    let live = ann.say(&group, "live").await;
    assert_eq!(stream.events(&group, live).await.len(), 1);
}

pub async fn a_gap_that_is_too_long_is_left_to_the_history(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let mut writers = Vec::new();
    for n in 0..12 {
        writers.push(Arc::new(Person::new(&world, &format!("writer{n}")).await));
    }
    let group = ann.group(&writers.iter().map(|writer| &**writer).collect::<Vec<_>>()).await;
    let mut sending = tokio::task::JoinSet::new();
    for writer in writers {
        let group = group.clone();
        sending.spawn(async move {
            for n in 0..PUSHED / 12 + 1 {
                writer.say(&group, &n.to_string()).await;
            }
        });
    }
    sending.join_all().await;
    let last = ann.see(&group).await.last_seq;
    let mut whole = ann.attach(&[(&group, last - PUSHED)]).await;
    whole.caught_up().await;
    assert_eq!(whole.came(&group).len() as u64, PUSHED);
    let mut stream = ann.on("laptop").await.attach(&[(&group, last - PUSHED - 1)]).await;
    assert_eq!(stream.reset(&group).await, (ResetReason::TooLong, last - PUSHED, last));
    let live = ann.say(&group, "live").await;
    assert_eq!(stream.events(&group, live).await.len(), 1);
    assert_eq!(ann.events(&group).await.len() as u64, live, "the history has the range");
}

pub async fn who_joins_while_attached_sees_it_from_there(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[]).await;
    ann.say(&group, "before bob").await;
    let mut stream = bob.attach(&[]).await;
    stream.caught_up().await;
    let joined = ann.add(&group, &[&bob]).await;
    let said = ann.say(&group, "hello bob").await;
    let (reason, first, last) = stream.reset(&group).await;
    assert_eq!((reason, first, last), (ResetReason::NoCursor, joined, joined - 1));
    assert_eq!(stream.events(&group, said).await.len(), 2);
    // Being removed is the last that one hears, and what was said meanwhile is never heard.
    let removed = ann.remove(&group, &bob).await;
    let own = bob.group(&[]).await;
    ann.say(&group, "bob is gone").await;
    let back = ann.add(&group, &[&bob]).await;
    let (reason, first, last) = stream.reset(&group).await;
    assert_eq!((reason, first, last), (ResetReason::NotAMember, removed + 1, back - 1));
    let came = stream.events(&group, back).await;
    assert!(matches!(&came[2].body, Some(Body::MemberRemoved(gone)) if gone.user == bob.user));
    assert_eq!(came[3].seq, back);
    assert_eq!(stream.reset(&own).await.0, ResetReason::NoCursor);
}

pub async fn a_cursor_of_a_foreign_conversation_tells_nothing(world: Arc<World>) {
    let (ann, eve) = (Person::new(&world, "ann").await, Person::new(&world, "eve").await);
    let (group, nowhere) = (ann.group(&[]).await, uuid::Uuid::new_v8([7; 16]).to_string());
    let mut stream = eve.attach(&[(&group, 3), (&nowhere, 3)]).await;
    assert_eq!(stream.reset(&group).await, stream.reset(&nowhere).await);
    assert_eq!(stream.caught_up().await, 2);
    let secret = ann.say(&group, "secret").await;
    let own = eve.group(&[]).await;
    stream.events(&own, 1).await;
    assert_eq!((secret, stream.came(&group).len()), (2, 0));
}

pub async fn more_cursors_join_an_attached_stream(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let mut stream = bob.attach(&[]).await;
    stream.caught_up().await;
    let foreign = ann.group(&[]).await;
    let cursor = |id: &str| v1::Cursor { conversation_id: id.into(), seq: 0 };
    let stream_id = stream.attached.stream_id.clone();
    let more = v1::AddCursorsRequest { stream_id, cursors: vec![cursor(&group), cursor(&foreign)] };
    bob.call(more.clone()).await;
    assert_eq!(stream.caught_up().await, 2);
    assert_eq!(stream.reset(&foreign).await.0, ResetReason::NotAMember);
    expect(&ann.refused(more).await, Code::NotFound);
}

pub async fn all_devices_of_a_user_get_everything(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let laptop = ann.on("laptop").await;
    let group = ann.group(&[]).await;
    let mut streams = [ann.attach(&[(&group, 0)]).await, laptop.attach(&[(&group, 0)]).await];
    let last = [ann.say(&group, "phone").await, laptop.say(&group, "laptop").await][1];
    let log = ann.events(&group).await;
    for stream in &mut streams {
        assert_eq!(stream.events(&group, last).await, log);
    }
}

pub async fn a_quiet_stream_has_a_heartbeat_with_the_servers_time(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let mut stream = ann.attach(&[]).await;
    let beat = |frame: &Frame| match frame {
        Frame::Heartbeat(heartbeat) => Some(heartbeat.time_ms),
        _ => None,
    };
    // Within a minute, or the stream would be taken for dead: `find` waits no longer.
    let told = stream.find(beat).await;
    assert!(told > stream.attached.time_ms);
}

pub async fn a_stream_ends_when_its_token_expires(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let wanted = Wanted { user: &ann.user, tenant: &ann.tenant, device: "phone", ttl: Some("8s") };
    let token = world.tokens.make(wanted).await.expect("the maker makes a token for 8 seconds");
    let stream = Stream::try_attach(&ann, &token, &[], false).await.unwrap();
    expect(&stream.end().await, Code::Unauthenticated);
}

pub async fn a_device_has_a_limited_number_of_streams(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let mut streams = Vec::new();
    let refused = loop {
        match Stream::try_attach(&ann, &ann.token, &[], true).await {
            Ok(stream) => streams.push(stream),
            Err(status) => break status,
        }
    };
    expect(&refused, Code::ResourceExhausted);
    assert!(!refused.get_details_quota_failure().unwrap().violations.is_empty());
    assert_eq!(streams.len(), 8);
    drop(streams.pop());
    // The server notices a little later.
    while Stream::try_attach(&ann, &ann.token, &[], true).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    }
}
