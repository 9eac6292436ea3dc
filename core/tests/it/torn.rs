//! What a crash or a bad disk leaves of the journal: a torn last write goes, damage is an error, nothing acknowledged
//! is lost without a word.

use crate::{
    embedded::open,
    store_port::{append, bucket, event, place},
};
use nexus_core::{
    domain::Seq,
    store::{
        Order, Outcome, Read, Store,
        embedded::{EmbeddedStore, OpenError, Options},
    },
};
use prometheus::Registry;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Events in each group that is written.
const EACH: u64 = 3;

/// A data directory as it is after some acknowledged groups, and where in the journal each of them ended.
struct Written {
    dir: TempDir,
    ends: Vec<usize>,
}

async fn written(groups: u64) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut ends = vec![0];
    for group in 0..groups {
        let expect = (group > 0).then_some(group * EACH);
        let outcome = store.commit(&bucket(&place("t", 1), 1), append(1, expect, EACH)).await.unwrap();
        assert_eq!(outcome, Outcome::Applied);
        ends.push(extent(&fs::read(journal(dir.path())).unwrap()));
    }
    // As kill -9 leaves it: the store isn't closed before the copy.
    let copy = copy(dir.path());
    drop(store);
    Written { dir: copy, ends }
}

fn journal(dir: &Path) -> PathBuf {
    dir.join("db/0.jnl")
}

/// Up to where a journal is written; behind that it is zeros.
fn extent(bytes: &[u8]) -> usize {
    let zeros = bytes.rchunks(4096).take_while(|chunk| *chunk == &[0; 4096][..chunk.len()]).count();
    let bytes = &bytes[..bytes.len().saturating_sub(zeros * 4096)];
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn copy(from: &Path) -> TempDir {
    fn tree(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let (path, to) = (entry.path(), to.join(entry.file_name()));
            if path.is_dir() {
                fs::create_dir(&to).unwrap();
                tree(&path, &to);
            } else if path.extension().is_some_and(|extension| extension == "jnl") {
                // Without most of the 64 MiB of zeros that it is made with.
                let bytes = fs::read(&path).unwrap();
                fs::write(to, &bytes[..bytes.len().min(extent(&bytes) + 100)]).unwrap();
            } else {
                fs::copy(path, to).unwrap();
            }
        }
    }
    let to = tempfile::tempdir().unwrap();
    tree(from, to.path());
    to
}

/// The last seq of a directory's log, all of which is there; or why it can't be opened.
async fn recovered(dir: &Path) -> Result<Seq, OpenError> {
    let options = Options { cache_bytes: 1 << 20, ..Options::default() };
    let store = EmbeddedStore::open(dir, options, &Registry::new())?;
    let bucket = bucket(&place("t", 1), 1);
    let statics = store.statics(&bucket, Read::Serial).await.unwrap();
    let last = statics.map_or(0, |statics| statics.last_seq);
    let events = store.events(&bucket, 0, Seq::MAX, Order::Up, usize::MAX).await.unwrap();
    assert_eq!(events, (1..=last).map(event).collect::<Vec<_>>());
    // And it goes on from there.
    let expect = (last > 0).then_some(last);
    assert_eq!(store.commit(&bucket, append(1, expect, 1)).await.unwrap(), Outcome::Applied);
    Ok(last)
}

#[tokio::test]
async fn a_torn_last_write_is_cut_off() {
    let Written { dir, ends } = written(4).await;
    let whole = fs::read(journal(dir.path())).unwrap();
    for seed in 0..24 {
        let mut rng = StdRng::seed_from_u64(seed);
        let group = rng.random_range(1..ends.len());
        let (from, to) = (ends[group - 1], ends[group]);
        let at = rng.random_range(from..to);
        let mut bytes = whole.clone();
        bytes[to..].fill(0);
        match seed % 4 {
            0 => bytes.truncate(at),
            1 => bytes[at..].fill(0),
            2 => bytes[at] ^= 1 << rng.random_range(0..8),
            // Blocks that never arrived, whatever came behind them.
            _ => bytes[from..to]
                .chunks_mut(64)
                .filter(|_| rng.random_bool(0.5))
                .for_each(|block| block.fill(0)),
        }
        let torn = copy(dir.path());
        fs::write(journal(torn.path()), &bytes).unwrap();
        let last = recovered(torn.path()).await.unwrap();
        let groups = last / EACH;
        assert!(groups == group as u64 - 1 || groups == group as u64, "seed {seed}: {groups} of {group}");
    }
}

#[tokio::test]
async fn damage_before_what_was_acknowledged_is_an_error_that_changes_nothing() {
    let Written { dir, ends } = written(3).await;
    let whole = fs::read(journal(dir.path())).unwrap();
    // All but the last group, of which nothing tells that it was acknowledged.
    for at in (0..ends[2]).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(journal(dir.path()), &bytes).unwrap();
        let error = recovered(dir.path()).await.expect_err(&format!("byte {at} of {ends:?}"));
        assert!(matches!(error, OpenError::Corrupt(_)), "{error}");
        assert_eq!(fs::read(journal(dir.path())).unwrap(), bytes);
    }
    for (from, to) in [(0, ends[1]), (ends[1], ends[2]), (5, ends[2] - 5)] {
        let mut bytes = whole.clone();
        bytes[from..to].fill(0);
        fs::write(journal(dir.path()), &bytes).unwrap();
        let error = recovered(dir.path()).await.unwrap_err();
        assert!(error.to_string().contains("damaged at byte"), "{error}");
    }
    fs::write(journal(dir.path()), &whole).unwrap();
    assert_eq!(recovered(dir.path()).await.unwrap(), 3 * EACH);
}

#[tokio::test]
async fn a_store_that_was_closed_has_nothing_that_may_be_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    recovered(dir.path()).await.unwrap();
    let mut bytes = fs::read(journal(dir.path())).unwrap();
    let at = bytes.windows(6).position(|window| window == b"body 1").unwrap();
    bytes[at] ^= 1;
    fs::write(journal(dir.path()), bytes).unwrap();
    recovered(dir.path()).await.unwrap_err();
}

#[tokio::test]
async fn a_journal_that_is_missing_between_others_is_an_error() {
    let Written { dir, ends } = written(3).await;
    let whole = fs::read(journal(dir.path())).unwrap();
    for (number, group) in ends.windows(2).enumerate() {
        fs::write(dir.path().join(format!("db/{number}.jnl")), &whole[group[0]..group[1]]).unwrap();
    }
    let apart = copy(dir.path());
    assert_eq!(recovered(apart.path()).await.unwrap(), 3 * EACH);
    fs::remove_file(dir.path().join("db/1.jnl")).unwrap();
    let error = recovered(dir.path()).await.unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[tokio::test]
async fn damage_in_a_table_is_an_error_too() {
    const BODY: usize = 64 << 10;
    let dir = tempfile::tempdir().unwrap();
    let bucket = bucket(&place("t", 1), 1);
    let store = open(dir.path());
    // More than a table keeps in memory.
    let (mut last, mut rng) = (None, StdRng::seed_from_u64(1));
    let mut bodies = Vec::new();
    for _ in 0..20 {
        let mut commit = append(1, last, 16);
        for event in &mut commit.events {
            let body: Vec<u8> = (0..BODY).map(|_| rng.random()).collect();
            event.body = body.into();
            bodies.push(event.body.clone());
        }
        last = Some(commit.statics.last_seq);
        store.commit(&bucket, commit).await.unwrap();
    }
    drop(store);
    let tables = dir.path().join("db/keyspaces");
    let largest = files(&tables).into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let whole = fs::read(&largest).unwrap();
    assert!(whole.len() > 4 << 20, "no table was written out");
    let mut seen = 0;
    for part in 0..6 {
        let mut bytes = whole.clone();
        let at = bytes.len() * part / 6 + 1000;
        bytes[at] ^= 1;
        fs::write(&largest, bytes).unwrap();
        let Ok(store) = EmbeddedStore::open(dir.path(), Options::default(), &Registry::new()) else {
            continue;
        };
        match store.events(&bucket, 0, Seq::MAX, Order::Up, usize::MAX).await {
            Err(error) => seen += usize::from(error.to_string().starts_with("stored data can't be read")),
            Ok(events) => assert!(events.iter().map(|event| &event.body).eq(&bodies)),
        }
    }
    assert!(seen > 0);
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
