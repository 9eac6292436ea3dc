//! Processes that die while the stream has left something out, and those that go on from what they kept.
use std::collections::BTreeMap;

use nexus_client::{AttachOptions, Attachment, Holes, Item, v1::*};

use crate::{
    attach::from,
    fake::{Fake, message},
};

/// What a process leaves behind: the events that it took, and the cursor that came with the last of them.
#[derive(Default)]
struct Disk {
    events: BTreeMap<u64, Event>,
    cursor: u64,
}

impl Disk {
    async fn take(&mut self, attachment: &mut Attachment) {
        loop {
            match attachment.next().await.expect("not ended") {
                Item::Events { events, cursor, .. } => {
                    self.events.extend(events.into_iter().map(|event| (event.seq, event)));
                    self.cursor = cursor;
                    return;
                }
                Item::Attached { .. } | Item::Hole { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// All that fetching afresh would give.
    fn is_whole(&self, fake: &Fake) {
        let log = fake.with(|state| state.log.clone());
        assert!(self.events.values().eq(&log), "{:?}", self.events.keys());
    }
}

#[tokio::test(start_paused = true)]
async fn who_dies_while_a_hole_is_filled_goes_on_from_what_was_kept() {
    for pages in [0, 1, 4] {
        let (fake, mut streams) = Fake::start();
        let mut disk = Disk::default();
        let mut attachment = fake.client().attach(AttachOptions { queue: 1, ..from(0) });
        let stream = streams.attached().await;
        stream.reset(ResetReason::TooLong, 1, 1_500).await;
        fake.fill_log(1_502);
        stream.events(1_501..=1_502).await;
        for _ in 0..pages {
            disk.take(&mut attachment).await;
        }
        assert!(disk.cursor < 1_500, "the hole is open");
        drop(attachment);
        stream.gone().await;

        let mut attachment = fake.client().attach(from(disk.cursor));
        let stream = streams.attached().await;
        assert_eq!(stream.cursor(), disk.cursor);
        stream.reset(ResetReason::TooLong, disk.cursor + 1, 1_502).await;
        fake.with(|state| state.log.push(message(1_503)));
        stream.events([1_503]).await;
        while disk.cursor < 1_503 {
            disk.take(&mut attachment).await;
        }
        disk.is_whole(&fake);
        let stats = attachment.stats();
        assert_eq!((stats.duplicates, stats.violations), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn who_dies_with_a_reported_hole_is_told_of_it_again() {
    let (fake, mut streams) = Fake::start();
    fake.fill_log(1_502);
    let report = |seq| AttachOptions { holes: Holes::Report, ..from(seq) };
    let mut disk = Disk::default();
    let mut attachment = fake.client().attach(report(0));
    let stream = streams.attached().await;
    stream.events(1..=10).await;
    stream.reset(ResetReason::TooLong, 11, 1_500).await;
    stream.events(1_501..=1_502).await;
    disk.take(&mut attachment).await;
    disk.take(&mut attachment).await;
    assert_eq!(
        (disk.events.len(), disk.cursor),
        (12, 10),
        "live events don't carry the cursor over the hole"
    );
    drop(attachment);
    stream.gone().await;

    let client = fake.client();
    let mut attachment = client.attach(report(disk.cursor));
    let stream = streams.attached().await;
    assert_eq!(stream.cursor(), 10);
    stream.reset(ResetReason::TooLong, 11, 1_502).await;
    attachment.next().await.unwrap();
    let reason = ResetReason::TooLong;
    let hole = Item::Hole { conversation_id: "c".into(), first: 11, last: 1_502, reason };
    assert_eq!(attachment.next().await.unwrap(), hole);
    let mut after = 10;
    while after < 1_502 {
        let anchor = Some(list_events_request::Anchor::AfterSeq(after));
        let page = ListEventsRequest { conversation_id: "c".into(), anchor, limit: 200, at_least: 1_502 };
        let page = client.call(page).await.unwrap();
        after = page.covered.unwrap().last;
        disk.events.extend(page.events.into_iter().map(|event| (event.seq, event)));
    }
    assert_eq!(attachment.filled("c", 1_502), 1_502);
    fake.with(|state| state.log.push(message(1_503)));
    stream.events([1_503]).await;
    disk.take(&mut attachment).await;
    assert_eq!(disk.cursor, 1_503);
    disk.is_whole(&fake);
}
