//! What a crash or a bad disk leaves of the journal, and what the program makes of it.

use crate::{server::Server, start::ended, talk::Talk};
use std::{fs, path::PathBuf};

/// The newest journal, and where what was written to it ends.
fn journal(server: &Server) -> (PathBuf, usize) {
    let journals = fs::read_dir(server.data("store/db")).unwrap().map(|entry| entry.unwrap().path());
    let number = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    let path =
        journals.filter(|path| path.extension().is_some_and(|e| e == "jnl")).max_by_key(number).unwrap();
    let end = fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0).unwrap() + 1;
    (path, end)
}

async fn killed_after(messages: usize) -> (Server, Talk) {
    let mut server = Server::start().await;
    let mut talk = Talk::begin(&server).await;
    for n in 0..messages {
        talk.say(&n.to_string()).await;
    }
    server.kill();
    (server, talk)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_was_never_finished_is_cut_off_and_said() {
    let (mut server, mut talk) = killed_after(10).await;
    for torn in 0..3 {
        let (path, end) = journal(&server);
        let mut bytes = fs::read(&path).unwrap();
        // Behind everything acknowledged: the beginning of a batch, and blocks that arrived without their others.
        bytes.resize(bytes.len().max(end + 8192), 0);
        let piece: Vec<u8> = match torn {
            0 => vec![1, 3, 0, 0, 0, 9, 9],
            1 => bytes[..100.min(end)].to_vec(),
            _ => (0..5000).map(|n| if n < 4096 { 0 } else { n as u8 }).collect(),
        };
        bytes[end..end + piece.len()].copy_from_slice(&piece);
        fs::write(&path, bytes).unwrap();
        server.begin().await;
        let log = server.log();
        let lines: Vec<&str> =
            log.lines().filter(|line| line.contains("cutting off a write that was never finished")).collect();
        assert!(lines.len() == 1 && lines[0].contains(".jnl"), "one line says it: {log}");
        talk.is_whole().await;
        talk.say("and on").await;
        server.kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_before_what_was_acknowledged_is_refused_and_named() {
    let (mut server, talk) = killed_after(10).await;
    let (path, end) = journal(&server);
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    bytes[end / 2] ^= 0x10;
    fs::write(&path, &bytes).unwrap();
    let (code, said) = ended(&mut server.command());
    assert_eq!(code, 1, "{said}");
    for part in ["data/store/db/0.jnl is damaged at byte ", "restore it from a backup"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert_eq!(fs::read(&path).unwrap(), bytes, "nothing was changed");
    fs::write(&path, whole).unwrap();
    server.begin().await;
    talk.is_whole().await;
}
