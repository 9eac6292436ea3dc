//! A data directory that can't be used: one message, exit code 1, and nothing in it is changed.

use crate::{
    server::{Server, command},
    start::ended,
};
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};
use tempfile::TempDir;

const NOBODY: u32 = 65534;

/// The program as a user who owns nothing; as whoever runs the tests, if that isn't root.
fn as_nobody(folder: &Path) -> Command {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut ordinary = command(folder, 0);
    if !root {
        return ordinary;
    }
    ordinary.uid(NOBODY).gid(NOBODY);
    if ordinary.arg("--version").output().is_ok_and(|ran| ran.status.success()) {
        let mut ordinary = command(folder, 0);
        ordinary.uid(NOBODY).gid(NOBODY);
        return ordinary;
    }
    // The build's folder is closed to others.
    let copy = folder.join("nexus");
    fs::copy(env!("CARGO_BIN_EXE_nexus"), &copy).unwrap();
    let mut copied = Command::new(copy);
    copied.current_dir(folder).uid(NOBODY).gid(NOBODY);
    copied.envs(command(folder, 0).get_envs().filter_map(|(name, value)| Some((name, value?))));
    copied
}

fn open_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let folder = open_folder();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).unwrap();
    let (code, said) = ended(&mut as_nobody(folder.path()));
    assert_eq!(code, 1);
    assert!(
        said.contains("can't make data/token-secret: let this user write there, or set core.data"),
        "{said}"
    );
    // The store's own folder, when the rest is there.
    let mut production = as_nobody(folder.path());
    let (code, said) = ended(production.env("NEXUS_GATEWAY_AUTH_SECRET", "0123456789abcdef0123456789abcdef"));
    assert_eq!(code, 1);
    assert!(said.contains("can't use the data directory data/store: Permission denied"), "{said}");
}

#[tokio::test]
async fn a_directory_of_somebody_else_is_named() {
    let mut server = Server::start().await;
    server.signal("TERM");
    assert_eq!(server.ended().await, 0);
    fs::set_permissions(server.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let closed = fs::Permissions::from_mode(0o000);
    // Whoever runs this owns the folder: take the right away as another owner would.
    fs::set_permissions(server.data("store"), closed.clone()).unwrap();
    fs::set_permissions(server.data(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(server.data("token-secret"), fs::Permissions::from_mode(0o444)).unwrap();
    let (code, said) = ended(&mut as_nobody(server.folder.path()));
    assert_eq!(code, 1);
    assert!(said.contains("data/store: Permission denied"), "{said}");
    fs::set_permissions(server.data("store"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_format_of_the_future_is_told() {
    let mut server = Server::start().await;
    server.kill();
    let format = fs::read_to_string(server.data("store/format")).unwrap();
    fs::write(server.data("store/format"), format.replacen('1', "2", 1)).unwrap();
    let (code, said) = ended(&mut server.command());
    assert_eq!(code, 1);
    assert!(
        said.contains("data/store has format 2, but this version of nexus knows format 1 only"),
        "{said}"
    );
    assert!(said.contains("use the version that wrote it"), "{said}");
    fs::write(server.data("store/format"), format).unwrap();
    server.begin().await;
}
