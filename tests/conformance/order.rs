//! A conversation is a log of events with dense numbers, the same for everybody.

use crate::{person::Person, world::World};
use nexus_client::v1::{self, event::Body};
use std::sync::Arc;
use tokio::task::JoinSet;

const WRITERS: usize = 4;
const MESSAGES: usize = 20;

pub async fn everybody_sees_the_same_log(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        writers.push(Arc::new(Person::new(&world, &format!("writer{n}")).await));
    }
    let group = ann.group(&writers.iter().map(|writer| &**writer).collect::<Vec<_>>()).await;
    let mut streams = Vec::new();
    for writer in &writers {
        streams.push(writer.attach(&[(&group, 0)]).await);
    }
    let mut sending = JoinSet::new();
    for writer in &writers {
        let (writer, group) = (writer.clone(), group.clone());
        sending.spawn(async move {
            let mut seqs = Vec::new();
            for n in 0..MESSAGES {
                seqs.push(writer.say(&group, &n.to_string()).await);
            }
            (writer.user.clone(), seqs)
        });
    }
    let sent = sending.join_all().await;
    let last = (1 + WRITERS * MESSAGES) as u64;
    let log = ann.events(&group).await;
    assert_eq!(log.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());
    for stream in &mut streams {
        assert_eq!(stream.events(&group, last).await, log);
    }
    for (user, seqs) in sent {
        assert!(seqs.is_sorted(), "one's own messages stand in the order in which they were acknowledged");
        for (n, seq) in seqs.into_iter().enumerate() {
            let event = &log[seq as usize - 1];
            assert_eq!(event.sender, user);
            assert!(
                matches!(&event.body, Some(Body::MessageSent(m)) if m.content.as_ref().unwrap().text == n.to_string())
            );
        }
    }
    assert!(log.iter().map(|event| event.time_ms).is_sorted(), "time never goes back in a conversation");
    let counts = log.iter().map(|event| event.message_count);
    assert_eq!(counts.collect::<Vec<_>>(), (0..last).collect::<Vec<_>>());
}

pub async fn an_envelope_never_changes(world: Arc<World>) {
    let (ann, bob) = (Person::new(&world, "ann").await, Person::new(&world, "bob").await);
    let group = ann.group(&[&bob]).await;
    let message = bob.message(&group, "first words");
    let sent = bob.send(message.clone()).await;
    let before = ann.events(&group).await;
    let edit = v1::EditMessageRequest {
        conversation_id: group.clone(),
        client_id: bob.id(),
        seq: sent.seq,
        content: Some(crate::person::content("last words")),
    };
    let edited = bob.call(edit.clone()).await.receipt.unwrap();
    let delete =
        v1::DeleteMessageRequest { conversation_id: group.clone(), client_id: ann.id(), seq: sent.seq };
    let deleted = ann.call(delete).await.receipt.unwrap();
    let after = ann.events(&group).await;
    assert_eq!(after[..before.len()], before, "what was said stands in the log as it was");
    let event = &after[sent.seq as usize - 1];
    assert_eq!((&event.id, &event.sender, event.time_ms), (&message.client_id, &bob.user, sent.time_ms));
    assert_eq!((event.target, event.erased), (0, false));
    let targets: Vec<_> = after[before.len()..].iter().map(|event| (event.seq, event.target)).collect();
    assert_eq!(targets, [(edited.seq, sent.seq), (deleted.seq, sent.seq)]);
    assert_eq!(after[edited.seq as usize - 1].id, edit.client_id);
}
