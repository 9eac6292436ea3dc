//! Repetitions, deadlines, ids.
use std::{collections::HashSet, time::Duration};

use nexus_client::{PendingSend, SendError, v1::*};
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

use crate::fake::{Fake, Fate, SERVER_MS, message};

fn hello() -> SendMessageRequest {
    let content = Some(Content { text: "hello".into(), ..Content::default() });
    SendMessageRequest { conversation_id: "c".into(), content, ..SendMessageRequest::default() }
}

fn ids(fake: &Fake) -> HashSet<String> {
    fake.with(|state| state.sends.iter().map(|(request, _)| request.client_id.clone()).collect())
}

#[tokio::test(start_paused = true)]
async fn a_lost_acknowledgement_is_asked_for_again_with_the_same_id() {
    let (fake, _) = Fake::start();
    fake.with(|state| state.fates.extend([Fate::Lose(Status::unavailable("gone")), Fate::Hang]));
    let client = fake.client();
    let mut pending = client.prepare(hello());
    let sent = client.send(&mut pending).await.unwrap();
    assert_eq!(sent.receipt.seq, 1);
    assert_eq!(fake.with(|state| (state.log.len(), state.sends.len())), (1, 3));
    assert_eq!(ids(&fake).len(), 1);
    assert_eq!(client.failed_attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_says_who_where_and_for_how_long() {
    let (fake, _) = Fake::start();
    let client = fake.client();
    client.send(&mut client.prepare(hello())).await.unwrap();
    fake.with(|state| {
        let headers = &state.sends[0].1;
        assert_eq!(headers["nexus-conversation"], "c");
        assert_eq!(headers["authorization"], "Bearer one");
        assert!(headers.contains_key("grpc-timeout"));
    });
}

#[tokio::test(start_paused = true)]
async fn a_definite_refusal_is_not_repeated() {
    let (fake, _) = Fake::start();
    fake.with(|state| state.fates.push_back(Fate::Refuse(Status::permission_denied("readers don't write"))));
    let client = fake.client();
    let error = client.send(&mut client.prepare(hello())).await.unwrap_err();
    assert!(matches!(&error, SendError::Refused(error) if error.attempts == 1), "{error:?}");
    assert_eq!(error.to_string(), "PERMISSION_DENIED: readers don't write");
    assert_eq!(client.failed_attempts(), 0, "it was settled at once");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_lost_answer_leaves_the_outcome_open() {
    let (fake, _) = Fake::start();
    let refuse = || Fate::Refuse(Status::permission_denied("removed"));
    fake.with(|state| state.fates.extend([Fate::Lose(Status::unavailable("gone")), refuse(), refuse()]));
    let client = fake.client();
    let mut pending = client.prepare(hello());
    assert!(matches!(client.send(&mut pending).await, Err(SendError::Unknown(_))));
    // Even when it is refused again: the first attempt may still have arrived.
    assert!(matches!(client.send(&mut pending).await, Err(SendError::Unknown(_))));
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_waited_out_as_long_as_the_server_says() {
    let (fake, _) = Fake::start();
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
    let limited = Status::with_error_details(Code::ResourceExhausted, "10 messages a second", details);
    fake.with(|state| state.fates.extend([Fate::Refuse(limited.clone()), Fate::Refuse(limited)]));
    let client = fake.client();
    let began = Instant::now();
    client.send(&mut client.prepare(hello())).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(14));
    assert_eq!(ids(&fake).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_given_up_in_time_and_the_outcome_is_unknown() {
    let (fake, _) = Fake::start();
    fake.with(|state| state.fates.extend((0..1_000).map(|_| Fate::Lose(Status::unavailable("gone")))));
    let client = fake.client();
    let began = Instant::now();
    let mut pending = client.prepare(hello());
    assert!(matches!(client.send(&mut pending).await, Err(SendError::Unknown(_))));
    assert!(began.elapsed() <= Duration::from_secs(60));
    assert!(fake.with(|state| state.sends.len()) < 60, "it backs off");
    fake.with(|state| state.fates.clear());
    assert_eq!(client.send(&mut pending).await.unwrap().receipt.seq, 1, "the same id later");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expired_is_renewed_once() {
    let (fake, _) = Fake::start();
    let expired = || Fate::Refuse(Status::unauthenticated("expired"));
    fake.with(|state| state.fates.push_back(expired()));
    let client = fake.client();
    client.send(&mut client.prepare(hello())).await.unwrap();
    assert_eq!(fake.with(|state| state.sends[1].1["authorization"].clone()), "Bearer two");
    fake.with(|state| state.fates.extend([expired(), expired(), expired()]));
    let error = client.send(&mut client.prepare(hello())).await.unwrap_err();
    assert!(matches!(&error, SendError::Refused(error) if error.attempts == 2), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn ids_carry_the_servers_time() {
    let (fake, mut streams) = Fake::start();
    let client = fake.client();
    let time = |pending: &PendingSend| {
        let (seconds, _) = Uuid::parse_str(pending.client_id()).unwrap().get_timestamp().unwrap().to_unix();
        i64::try_from(seconds).unwrap() * 1000
    };
    assert!(time(&client.prepare(hello())) < SERVER_MS);
    let mut attachment = client.attach(Default::default());
    let _stream = streams.attached().await;
    attachment.next().await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(time(&client.prepare(hello())), SERVER_MS + 30_000);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_horizon_the_history_tells_what_became_of_it() {
    let (fake, _) = Fake::start();
    fake.fill_log(500);
    let client = fake.client();
    let too_old = || Fate::Refuse(Status::out_of_range("beyond the retry horizon"));

    let mut sent = client.prepare(hello());
    fake.with(|state| state.log[123].id = sent.client_id().to_owned());
    fake.with(|state| state.fates.push_back(too_old()));
    let found = client.send(&mut sent).await.unwrap();
    assert_eq!((found.receipt.seq, found.found_in_history), (124, true));

    let mut never = client.prepare(hello());
    fake.with(|state| state.fates.push_back(too_old()));
    assert!(matches!(client.send(&mut never).await, Err(SendError::NotSent)));

    // What the history doesn't show can't be told.
    fake.with(|state| state.visible_from = 400);
    fake.with(|state| state.fates.push_back(too_old()));
    assert!(matches!(client.send(&mut never).await, Err(SendError::Forgotten(_))));
    assert_eq!(fake.with(|state| state.log.len()), 500, "nothing was appended");
}

#[tokio::test(start_paused = true)]
async fn the_search_ends_where_the_log_is_older_than_the_id() {
    let (fake, _) = Fake::start();
    let day = 86_400_000;
    let old = (1..=2_000).map(|seq| Event { time_ms: SERVER_MS - 2 * day, ..message(seq) });
    fake.with(|state| {
        state.log = old.collect();
        state.fates.push_back(Fate::Refuse(Status::out_of_range("beyond the retry horizon")));
    });
    let client = fake.client();
    assert!(matches!(client.send(&mut client.prepare(hello())).await, Err(SendError::NotSent)));
    assert_eq!(fake.with(|state| state.pages.len()), 1);
}

#[test]
fn what_was_stored_is_never_taken_for_unsent() {
    let (fake, _) = Fake::start();
    let client = fake.client();
    let pending = client.prepare(hello());
    let stored = PendingSend::from_bytes(&pending.to_bytes()).unwrap();
    assert_eq!((stored.client_id(), stored.mutation()), (pending.client_id(), pending.mutation()));
    assert_ne!(stored, pending, "it may have been sent");
    assert!(PendingSend::from_bytes(b"").is_err());
    assert!(PendingSend::from_bytes(b"\xff\xff").is_err());
}
