//! What those who left may read: what there was when they left, whatever happened since.

use crate::delivery::world::{World, name, place};
use nexus_core::{
    conversation::{history::Anchor, rows::Text},
    delivery::Settings,
    domain::Seq,
};
use nexus_proto::v1::{self, event::Body};
use std::time::Duration;

async fn replies(world: &World, root: Seq, times: usize) {
    for n in 0..times {
        let content = Some(v1::Content { text: n.to_string(), ..Default::default() });
        let reply = v1::MessageSent { content, thread: root, reply_to: 0 };
        world.act(1, "ann", Body::MessageSent(reply)).await.unwrap();
    }
}

async fn pins(world: &World, seq: Seq, pinned: bool) {
    let body = if pinned {
        Body::MessagePinned(v1::MessagePinned {})
    } else {
        Body::MessageUnpinned(v1::MessageUnpinned {})
    };
    world.ask(1, "ann", world.id(), seq, body).await.unwrap();
}

/// Some messages as somebody sees them, whichever way they are asked for.
async fn seen(world: &World, who: &str, seqs: &[Seq]) -> Vec<Text> {
    let look = world.conversations.look(&place(1), &name(who), 0).await.unwrap();
    let (some, _) = look.some(seqs).await.unwrap();
    let page = look.messages(Anchor::Before(Seq::MAX), 200).await.unwrap().messages;
    let page: Vec<_> = page.into_iter().filter(|(seq, _)| seqs.contains(seq)).collect();
    assert_eq!(some, page);
    some.into_iter().map(|(_, row)| row.text).collect()
}

#[tokio::test(start_paused = true)]
async fn later_pins_and_replies_are_not_for_those_who_left() {
    let world = World::new(1, Duration::ZERO, Settings::default());
    world.create(1, &["ann", "bob"]).await;
    let (talk, quiet) = (world.say(1, "ann", "talk").await, world.say(1, "ann", "quiet").await);
    let (never, ever) = (world.say(1, "ann", "never").await, world.say(1, "ann", "ever").await);
    replies(&world, talk, 2).await;
    pins(&world, ever, true).await;
    world.remove(1, "ann", "bob").await.unwrap();
    let all = [talk, quiet, never, ever];
    let then = seen(&world, "bob", &all).await;
    assert_eq!(then.iter().map(|text| text.replies).collect::<Vec<_>>(), [2, 0, 0, 0]);

    replies(&world, talk, 3).await;
    replies(&world, quiet, 1).await;
    pins(&world, never, true).await;
    pins(&world, ever, false).await;
    assert_eq!(seen(&world, "bob", &all).await, then, "as it was");
    let now = seen(&world, "ann", &all).await;
    assert_eq!(now.iter().map(|text| text.replies).collect::<Vec<_>>(), [5, 1, 0, 0]);
    assert_eq!(now.iter().map(|text| text.pinned).collect::<Vec<_>>(), [false, false, true, false]);

    // Also when it is long ago, and read from the store.
    for n in 0..300 {
        world.say(1, "ann", &n.to_string()).await;
    }
    let look = world.conversations.look(&place(1), &name("bob"), 0).await.unwrap();
    let page = look.messages(Anchor::Around(quiet), 4).await.unwrap().messages;
    assert_eq!(page.into_iter().map(|(_, row)| row.text).collect::<Vec<_>>(), then);

    // Who comes back sees how it is.
    world.add(1, "ann", "bob").await.unwrap();
    let look = world.conversations.look(&place(1), &name("bob"), 0).await.unwrap();
    assert_eq!(look.some(&all).await.unwrap().0.iter().map(|(_, row)| row.text.replies).sum::<u32>(), 6);
}
