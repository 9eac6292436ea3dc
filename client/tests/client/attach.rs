//! Streams that break, repeat, skip, and fall silent.
use std::time::Duration;

use nexus_client::{AttachOptions, Attachment, Holes, Item, StaticToken, v1::attach_response::Frame, v1::*};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::fake::{Fake, message};

pub fn from(seq: u64) -> AttachOptions {
    let cursors = vec![Cursor { conversation_id: "c".into(), seq }];
    AttachOptions { cursors, ..AttachOptions::default() }
}

/// The next events, passing over what concerns the connection.
async fn seqs(attachment: &mut Attachment) -> (Vec<u64>, u64) {
    loop {
        match attachment.next().await.expect("not ended") {
            Item::Events { events, cursor, .. } => {
                return (events.iter().map(|event| event.seq).collect(), cursor);
            }
            Item::Attached { .. } | Item::Detached { .. } | Item::CaughtUp => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_stream_goes_on_from_the_cursor() {
    let (fake, mut streams) = Fake::start();
    let mut attachment = fake.client().attach(from(3));
    let stream = streams.attached().await;
    assert_eq!((stream.cursor(), stream.token.as_str()), (3, "Bearer one"));
    stream.events(4..=6).await;
    assert_eq!(seqs(&mut attachment).await, (vec![4, 5, 6], 6));
    stream.end(Status::unavailable("cut")).await;
    let stream = streams.attached().await;
    assert_eq!(stream.cursor(), 6);
    drop(stream);
    let stream = streams.attached().await;
    stream.events([7]).await;
    assert_eq!(seqs(&mut attachment).await, (vec![7], 7));
    assert_eq!(attachment.stats().streams, 3);
}

#[tokio::test(start_paused = true)]
async fn what_comes_twice_is_delivered_once() {
    let (fake, mut streams) = Fake::start();
    let mut attachment = fake.client().attach(from(3));
    let stream = streams.attached().await;
    stream.events(2..=5).await;
    stream.events(4..=6).await;
    assert_eq!(seqs(&mut attachment).await, (vec![4, 5], 5));
    assert_eq!(seqs(&mut attachment).await, (vec![6], 6));
    assert_eq!(attachment.stats().duplicates, 4);
    assert_eq!(attachment.stats().violations, 0);
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_not_delivered_but_asked_for_on_a_new_stream() {
    let (fake, mut streams) = Fake::start();
    let mut attachment = fake.client().attach(from(3));
    let stream = streams.attached().await;
    stream.events([4]).await;
    stream.events([6]).await;
    assert_eq!(seqs(&mut attachment).await, (vec![4], 4));
    stream.gone().await;
    let stream = streams.attached().await;
    assert_eq!(stream.cursor(), 4);
    stream.events(5..=6).await;
    assert_eq!(seqs(&mut attachment).await, (vec![5, 6], 6));
    assert_eq!(attachment.stats().violations, 1);
}

#[tokio::test(start_paused = true)]
async fn silence_means_dead_and_heartbeats_mean_alive() {
    let (fake, mut streams) = Fake::start();
    let mut attachment = fake.client().attach(from(0));
    let stream = streams.attached().await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        stream.frame(Frame::Heartbeat(Heartbeat { time_ms: 1 })).await;
    }
    let silent_since = Instant::now();
    stream.gone().await;
    assert_eq!(silent_since.elapsed(), Duration::from_secs(60));
    streams.attached().await.events([1]).await;
    assert_eq!(seqs(&mut attachment).await.0, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_leaves_says_when_to_come_back() {
    let (fake, mut streams) = Fake::start();
    let mut attachment = fake.client().attach(from(0));
    let stream = streams.attached().await;
    attachment.next().await.unwrap();
    let left = Instant::now();
    stream.frame(Frame::Reconnect(Reconnect { after_ms: 4_000, reason: "restart".into() })).await;
    let detached = attachment.next().await.unwrap();
    assert_eq!(detached, Item::Detached { cause: "restart".into(), retry_in: Duration::from_secs(4) });
    streams.attached().await;
    assert_eq!(left.elapsed(), Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_asked_less_and_less_often() {
    let (fake, mut streams) = Fake::start();
    fake.with(|state| state.refuse_attach.extend((0..20).map(|_| Status::unavailable("away"))));
    let mut attachment = fake.client().attach(from(0));
    let began = Instant::now();
    let _stream = streams.attached().await;
    assert!(began.elapsed() > Duration::from_secs(30) && began.elapsed() < Duration::from_secs(300));
    assert!(matches!(attachment.next().await, Some(Item::Detached { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_and_in_the_end_given_up() {
    let (fake, mut streams) = Fake::start();
    let refusals = || [Status::unauthenticated("expired")];
    fake.with(|state| state.refuse_attach.extend(refusals()));
    let mut attachment = fake.client().attach(from(0));
    let stream = streams.attached().await;
    assert_eq!(stream.token, "Bearer two");
    fake.with(|state| state.refuse_attach.extend(refusals().into_iter().chain(refusals())));
    stream.end(Status::unauthenticated("expired again")).await;
    let mut last = None;
    while let Some(item) = attachment.next().await {
        last = Some(item);
    }
    assert_eq!(last, Some(Item::Ended { code: Code::Unauthenticated, message: "no more".into() }));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_refuses_no_token() {
    let (fake, mut streams) = Fake::start();
    let mut attachment = fake.client_with(StaticToken::new("only")).attach(from(3));
    // A stream without its first frame; one whose Attach has no answer at all; one that ends at once.
    let silent = streams.accept().await;
    silent.gone().await;
    fake.with(|state| state.silent_attaches = 1);
    streams.accept().await.end(Status::unavailable("cut")).await;
    let stream = streams.attached().await;
    stream.events([4]).await;
    assert_eq!(seqs(&mut attachment).await, (vec![4], 4));
    assert_eq!(attachment.stats().streams, 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_gap_is_read_from_the_history_and_live_events_wait() {
    let (fake, mut streams) = Fake::start();
    fake.fill_log(1_500);
    let mut attachment = fake.client().attach(from(10));
    let stream = streams.attached().await;
    stream.reset(ResetReason::TooLong, 11, 1_500).await;
    fake.with(|state| state.log.extend((1_501..=1_502).map(message)));
    stream.events(1_501..=1_502).await;
    stream.frame(Frame::CaughtUp(CaughtUp { conversations: 1 })).await;
    let mut expected = 11;
    loop {
        match attachment.next().await.unwrap() {
            Item::Events { events, cursor, .. } => {
                for event in events {
                    assert_eq!(event, message(expected));
                    expected += 1;
                }
                assert_eq!(cursor, expected - 1);
            }
            Item::CaughtUp => break,
            other => assert!(matches!(other, Item::Attached { .. }), "{other:?}"),
        }
    }
    assert_eq!(expected, 1_503, "caught up only when the hole is filled");
    stream.events([1_503]).await;
    assert_eq!(seqs(&mut attachment).await, (vec![1_503], 1_503));
    assert_eq!(attachment.stats().violations, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_while_a_hole_is_filled_loses_nothing() {
    let (fake, mut streams) = Fake::start();
    fake.fill_log(3_000);
    let mut attachment = fake.client().attach(AttachOptions { queue: 1, ..from(0) });
    let stream = streams.attached().await;
    stream.reset(ResetReason::TooLong, 1, 3_000).await;
    assert_eq!(seqs(&mut attachment).await.1, 200);
    stream.end(Status::unavailable("cut")).await;
    let mut cursor = 200;
    let next = async |attachment: &mut Attachment, cursor: u64| {
        let (seqs, now) = seqs(attachment).await;
        assert_eq!(seqs, (cursor + 1..=now).collect::<Vec<_>>());
        now
    };
    let mut stream = None;
    while cursor < 3_001 {
        tokio::select! {
            now = next(&mut attachment, cursor) => cursor = now,
            again = streams.attached(), if stream.is_none() => {
                let from = again.cursor();
                again.reset(ResetReason::TooLong, from + 1, 3_000).await;
                again.events([3_001]).await;
                stream = Some(again);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_or_never_was_visible_is_skipped_with_its_reason() {
    let (fake, mut streams) = Fake::start();
    fake.fill_log(60);
    fake.with(|state| state.visible_from = 41);
    let mut attachment = fake.client().attach(from(3));
    let stream = streams.attached().await;
    attachment.next().await.unwrap();
    stream.reset(ResetReason::BelowFloor, 4, 20).await;
    let skipped = |first, last, reason| Item::Skipped {
        conversation_id: "c".into(),
        first,
        last,
        reason,
        cursor: last,
    };
    assert_eq!(attachment.next().await.unwrap(), skipped(4, 20, ResetReason::BelowFloor));
    // The history shows less than the Reset promised.
    stream.reset(ResetReason::TooLong, 21, 60).await;
    assert_eq!(attachment.next().await.unwrap(), skipped(21, 40, ResetReason::Unspecified));
    assert_eq!(seqs(&mut attachment).await, ((41..=60).collect(), 60));
    stream.reset(ResetReason::NotAMember, 61, 70).await;
    assert_eq!(attachment.next().await.unwrap(), skipped(61, 70, ResetReason::NotAMember));
    stream.events([71]).await;
    assert_eq!(seqs(&mut attachment).await, (vec![71], 71));
}

#[tokio::test(start_paused = true)]
async fn a_cursor_of_another_log_starts_afresh() {
    let (fake, mut streams) = Fake::start();
    fake.fill_log(5);
    let mut attachment = fake.client().attach(from(99));
    let stream = streams.attached().await;
    attachment.next().await.unwrap();
    stream.reset(ResetReason::Ahead, 1, 5).await;
    assert_eq!(attachment.next().await.unwrap(), Item::Forget { conversation_id: "c".into() });
    assert_eq!(seqs(&mut attachment).await, (vec![1, 2, 3, 4, 5], 5));
    stream.events([6]).await;
    assert_eq!(seqs(&mut attachment).await, (vec![6], 6));
}

#[tokio::test(start_paused = true)]
async fn a_reported_hole_keeps_the_cursor_back_until_it_is_filled() {
    let (fake, mut streams) = Fake::start();
    let options = AttachOptions { holes: Holes::Report, ..AttachOptions::default() };
    let mut attachment = fake.client().attach(options);
    let stream = streams.attached().await;
    attachment.next().await.unwrap();
    stream.reset(ResetReason::NoCursor, 1, 40).await;
    let hole = Item::Hole { conversation_id: "c".into(), first: 1, last: 40, reason: ResetReason::NoCursor };
    assert_eq!(attachment.next().await.unwrap(), hole);
    stream.events([41]).await;
    assert_eq!(seqs(&mut attachment).await, (vec![41], 0));
    // The caller still has the hole to fill, and need not hear of it again.
    stream.end(Status::unavailable("cut")).await;
    let stream = streams.attached().await;
    assert_eq!(stream.cursor(), 41);
    assert_eq!(attachment.filled("c", 40), 41);
    stream.events([42]).await;
    assert_eq!(seqs(&mut attachment).await, (vec![42], 42));
}

#[tokio::test(start_paused = true)]
async fn more_cursors_than_fit_follow_the_attach() {
    let (fake, mut streams) = Fake::start();
    fake.fill_log(9);
    let cursors = (0..12_000)
        .map(|n| Cursor { conversation_id: if n == 11_000 { "c".into() } else { n.to_string() }, seq: 7 });
    let options = AttachOptions { cursors: cursors.collect(), ..AttachOptions::default() };
    let mut attachment = fake.client().attach(options);
    let stream = streams.attached().await;
    assert_eq!(stream.request.cursors.len(), 5_000);
    // The server can't know the cursor of "c" yet. When it comes the stream is past it, and sends nothing again.
    stream.reset(ResetReason::NoCursor, 1, 9).await;
    assert_eq!(seqs(&mut attachment).await, (vec![8, 9], 9));
    stream.events([10]).await;
    stream.frame(Frame::CaughtUp(CaughtUp { conversations: 5_000 })).await;
    assert_eq!(seqs(&mut attachment).await, (vec![10], 10));
    stream.frame(Frame::CaughtUp(CaughtUp { conversations: 5_000 })).await;
    stream.frame(Frame::CaughtUp(CaughtUp { conversations: 2_000 })).await;
    assert_eq!(attachment.next().await.unwrap(), Item::CaughtUp);
    let added =
        fake.with(|state| state.added_cursors.iter().map(|added| added.cursors.len()).collect::<Vec<_>>());
    assert_eq!(added, [5_000, 2_000]);
    assert_eq!(attachment.stats().violations, 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_does_not_read_stops_the_stream_and_loses_nothing() {
    let (fake, mut streams) = Fake::start();
    let mut attachment = fake.client().attach(AttachOptions { queue: 2, ..from(0) });
    let stream = streams.attached().await;
    let feed = tokio::spawn(async move {
        for seq in 1..=500 {
            stream.events([seq]).await;
        }
        stream
    });
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(!feed.is_finished(), "the queues are bounded");
    for seq in 1..=500 {
        assert_eq!(seqs(&mut attachment).await, (vec![seq], seq));
    }
    assert_eq!(attachment.stats().streams, 1, "the caller's own pause is no silence of the server");
}
