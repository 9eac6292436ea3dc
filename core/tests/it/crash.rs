//! kill -9 while many tasks commit: whatever was acknowledged is there afterwards, dense, with its dedupe rows.

use crate::{
    embedded::open,
    store_port::{append, bucket, dedupe, event, id, place, user},
};
use nexus_core::{
    domain::Seq,
    store::{Bucket, Order, Outcome, Read, Store, embedded::EmbeddedStore},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

const CONVERSATIONS: u128 = 8;
/// Where the child finds the directory: the test is its own child.
const DIRECTORY: &str = "NEXUS_TEST_CRASH_DIRECTORY";
/// How many times the child is killed; `make soak` sets more.
const ROUNDS: &str = "NEXUS_TEST_CRASH_ROUNDS";

fn log(conversation: u128) -> Bucket {
    bucket(&place("t", conversation), 1)
}

/// Appends to one conversation for ever, and prints each acknowledgement.
async fn commit(store: Arc<EmbeddedStore>, conversation: u128) {
    let bucket = log(conversation);
    let mut last = store.statics(&bucket, Read::Serial).await.unwrap().map(|statics| statics.last_seq);
    loop {
        let from = last.map_or(1, |last| last + 1);
        let mut commit = append(1, last, 1 + from % 5);
        commit.dedupe =
            commit.events.iter().map(|event| (user("x"), id(event.seq.into()), dedupe(event.seq))).collect();
        last = Some(commit.statics.last_seq);
        assert_eq!(store.commit(&bucket, commit).await.unwrap(), Outcome::Applied);
        let acknowledged = format!("acknowledged {conversation} {}\n", from + from % 5);
        std::io::stdout().write_all(acknowledged.as_bytes()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let store = Arc::new(open(Path::new(&directory)));
    let tasks: Vec<_> = (0..CONVERSATIONS).map(|n| tokio::spawn(commit(store.clone(), n))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Lets a child commit until so many acknowledgements were seen, and kills it. The last seq of each conversation.
fn run_and_kill(directory: &Path, after: usize) -> BTreeMap<u128, Seq> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged: BTreeMap<u128, Seq> = BTreeMap::new();
    let mut seen = 0;
    // To the end: what was in the pipe when it was killed was acknowledged too.
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let mut words = line.split(' ').skip_while(|word| !word.ends_with("acknowledged")).skip(1);
        // The last line may be cut short; then it doesn't end where it should, and may name a lower seq.
        let Some((conversation, seq)) = words.next().zip(words.next()) else { continue };
        let (Ok(conversation), Ok(seq)) = (conversation.parse(), seq.parse()) else { continue };
        let last = acknowledged.entry(conversation).or_insert(seq);
        *last = seq.max(*last);
        seen += 1;
        if seen == after {
            child.kill().unwrap();
        }
    }
    assert!(seen >= after, "the child ended by itself");
    child.wait().unwrap();
    acknowledged
}

#[tokio::test]
async fn whatever_was_acknowledged_survives() {
    let rounds = std::env::var(ROUNDS).map_or(6, |rounds| rounds.parse().unwrap());
    let mut rng = StdRng::seed_from_u64(rounds);
    let dir = tempfile::tempdir().unwrap();
    for round in 0..rounds {
        let after = rng.random_range(1..600);
        let acknowledged = run_and_kill(dir.path(), after);
        let store = open(dir.path());
        for conversation in 0..CONVERSATIONS {
            let bucket = log(conversation);
            let statics = store.statics(&bucket, Read::Serial).await.unwrap();
            let last = statics.map_or(0, |statics| statics.last_seq);
            let least = acknowledged.get(&conversation).copied().unwrap_or(0);
            assert!(last >= least, "round {round}: {conversation} ends at {last}, {least} was acknowledged");
            let events = store.events(&bucket, 0, Seq::MAX, Order::Up, usize::MAX).await.unwrap();
            assert_eq!(events, (1..=last).map(event).collect::<Vec<_>>());
            let ids: Vec<_> = (1..=last + 5).map(|seq| (user("x"), id(seq.into()))).collect();
            let rows = store.dedupe(&bucket, &ids, Read::Serial).await.unwrap();
            let expected: Vec<_> = (1..=last + 5).map(|seq| (seq <= last).then(|| dedupe(seq))).collect();
            assert_eq!(rows, expected);
        }
    }
}
