//! A full disk: writing is refused, reading goes on, and nothing acknowledged is lost. It needs root, to mount a small
//! disk.

use crate::{
    durability::PATIENCE,
    server::{Server, get},
    talk::Talk,
};
use nexus_client::{Client, ClientOptions, DevelopmentTokens, Endpoint, RetryPolicy};
use nexus_cluster::ports;
use std::{fs, path::PathBuf, process::Command, time::Duration};

const DISK: usize = 160 << 20;

/// A disk of its own for the data of a server.
struct Disk(PathBuf);

impl Disk {
    /// `None` where disks can't be mounted.
    fn mount(server: &Server) -> Option<Self> {
        let path = server.data("");
        fs::create_dir_all(&path).unwrap();
        let size = format!("size={DISK},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(path));
        }
        eprintln!("skipped: mounting a disk needs root with CAP_SYS_ADMIN");
        None
    }

    /// Fills it until so many bytes are free, 0: to the last.
    fn fill(&self, free: usize) {
        let left = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.0).output().unwrap();
        let left = String::from_utf8(left.stdout).unwrap();
        let left: usize = left.lines().nth(1).unwrap().trim().parse().unwrap();
        let bytes = vec![1; left.saturating_sub(free)];
        fs::write(self.0.join("ballast"), bytes).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Somebody who gives up soon.
pub fn impatient(server: &Server) -> Client {
    let ca = fs::read(server.data("tls/ca.pem")).unwrap();
    let transport = Endpoint::new(format!("https://localhost:{}", server.port)).ca_pem(ca).connect().unwrap();
    let retry = RetryPolicy { give_up_after: Duration::from_secs(2), ..Default::default() };
    let tokens = DevelopmentTokens::new(transport.clone(), "ann", "test");
    Client::with_options(transport, tokens, ClientOptions { retry, ..Default::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_almost_full_disk_refuses_to_write_and_goes_on_when_there_is_room() {
    let admin = format!("127.0.0.1:{}", ports::one().unwrap());
    let mut server = Server::prepared(vec![("NEXUS_CORE_ADMIN", admin.clone())]);
    let Some(disk) = Disk::mount(&server) else { return };
    server.begin().await;
    let mut talk = Talk::begin(&server).await;
    for n in 0..20 {
        talk.say(&n.to_string()).await;
    }
    disk.fill(24 << 20);
    let patient = std::mem::replace(&mut talk.client, impatient(&server));
    let mut late = talk.prepare("late");
    let error = talk.fails(&mut late).await;
    assert_eq!(error.status.code().to_string(), "The service is currently unavailable");
    assert!(error.status.message().contains("disk almost full: "), "{error}");
    assert!(error.status.message().contains("core.store.min_free_bytes is 67108864; free some"), "{error}");
    // What is there can be read, and health and log say how things are.
    talk.is_whole().await;
    let ready = get(&admin, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("ready, for reading only: "), "{ready}");
    let said = async {
        while !server.log().contains("only reading works") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, said).await.expect("the log says that only reading works");

    // By itself, with the same id, as soon as there is room.
    disk.empty();
    talk.client = patient;
    talk.send(&mut late).await;
    assert!(get(&admin, "/readyz").await.ends_with("ready\n"));
    talk.say("and on").await;
    server.kill();
    server.begin().await;
    talk.is_whole().await;
    drop(server);
    drop(disk);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_to_the_last_byte_loses_nothing() {
    let admin = format!("127.0.0.1:{}", ports::one().unwrap());
    let settings = vec![("NEXUS_CORE_ADMIN", admin.clone()), ("NEXUS_STORE_MIN_FREE_BYTES", "0".into())];
    let mut server = Server::prepared(settings);
    let Some(disk) = Disk::mount(&server) else { return };
    server.begin().await;
    let mut talk = Talk::begin(&server).await;
    for n in 0..20 {
        talk.say(&n.to_string()).await;
    }
    disk.fill(0);
    let patient = std::mem::replace(&mut talk.client, impatient(&server));
    let large = "x".repeat(30 << 10);
    let mut unsure = Vec::new();
    // The journal's last page may still have room.
    let error = loop {
        let mut pending = talk.prepare(&large);
        match talk.client.send(&mut pending).await {
            Ok(_) => talk.send(&mut pending).await,
            Err(error) => {
                unsure.push(pending);
                break error.to_string();
            }
        }
    };
    assert!(error.contains("writing to the journal failed") || error.contains("restart the node"), "{error}");
    let ready = get(&admin, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("restart the node to recover"), "{ready}");
    server.kill();
    disk.empty();
    server.begin().await;
    talk.client = patient;
    talk.is_whole().await;
    for pending in &mut unsure {
        talk.send(pending).await;
    }
    talk.say("and on").await;
    talk.is_whole().await;
    drop(server);
    drop(disk);
}
