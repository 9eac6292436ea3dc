//! A bad disk: bytes that change in a store that was closed in good order. Whatever can't be read any more is said, at the
//! start or by the read; it never looks as if it had not been there.

use crate::{disk::impatient, server::Server, start::ended, talk::Talk};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// More than fjall keeps in memory for a table.
const MESSAGES: usize = 600;
const LARGE: usize = 30 << 10;

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Files with a byte changed, until it is put right.
struct Damage(Vec<(PathBuf, Vec<u8>)>);

impl Damage {
    /// So far into what is written in each file: a half, a third.
    fn at(paths: Vec<PathBuf>, part: usize) -> Self {
        assert!(!paths.is_empty());
        let flip = |path: PathBuf| {
            let good = fs::read(&path).unwrap();
            let end = good.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            let mut bad = good.clone();
            bad[end / part] ^= 0x10;
            fs::write(&path, bad).unwrap();
            (path, good)
        };
        Self(paths.into_iter().map(flip).collect())
    }

    fn undo(self) {
        self.0.into_iter().for_each(|(path, good)| fs::write(path, good).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_a_closed_store_is_told_and_hides_nothing() {
    let mut server = Server::start().await;
    let mut talk = Talk::begin(&server).await;
    let large = "x".repeat(LARGE);
    for n in 0..MESSAGES {
        talk.say(&format!("{n} {large}")).await;
    }
    server.signal("TERM");
    assert_eq!(server.ended().await, 0);

    let of = |wanted: fn(&str) -> bool| -> Vec<PathBuf> {
        let all = files(&server.data("store/db")).into_iter();
        all.filter(|path| wanted(&path.to_string_lossy())).collect()
    };
    let refused = |paths: Vec<PathBuf>, part, why: &str| {
        for path in paths {
            let damage = Damage::at(vec![path.clone()], part);
            let (code, said) = ended(&mut server.command());
            let last = said.lines().last().unwrap();
            assert_eq!(code, 1, "{}: {said}", path.display());
            for part in ["stored data can't be read: ", why, "; restore it from a backup"] {
                assert!(last.contains(part), "{}: {part} is not in {last}", path.display());
            }
            damage.undo();
        }
    };
    refused(of(|path| path.ends_with(".jnl")), 2, "0.jnl is damaged at byte ");
    // They name the list of a table's files: another list is not there.
    refused(of(|path| path.ends_with("/current")), 24, "");

    let tables = of(|path| path.contains("/tables/") && fs::metadata(path).unwrap().len() > 1 << 20);
    let damage = Damage::at(tables, 2);
    server.begin().await;
    talk.client = impatient(&server);
    let error = talk.try_whole().await.unwrap_err();
    assert_eq!(error.status.code(), tonic::Code::DataLoss, "{error}");
    assert!(error.status.message().contains("a table is damaged"), "{error}");
    assert!(server.log().contains("stored data can't be read"), "{}", server.log());
    // What the damage doesn't touch goes on.
    let mut other = Talk::begin(&server).await;
    other.say("still here").await;
    other.is_whole().await;
    server.kill();

    damage.undo();
    server.begin().await;
    talk.is_whole().await;
    other.is_whole().await;
}
