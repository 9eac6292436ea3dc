//! What can't be done is one clear message at the start, and an exit code.

use crate::server::{Server, command};
use std::{
    net::TcpListener,
    process::{Command, Output},
};
use tempfile::TempDir;

/// What a process says that doesn't start.
pub fn says(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The same with its exit code.
pub fn ended(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or_else(|| panic!("a signal ended it: {said}")), said)
}

#[test]
fn a_busy_port_is_named_with_its_setting() {
    let folder = TempDir::new().unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    for (variable, setting) in [
        ("NEXUS_GATEWAY_LISTEN", "gateway.listen"),
        ("NEXUS_GATEWAY_REDIRECT", "gateway.redirect"),
        ("NEXUS_GATEWAY_ADMIN", "gateway.admin"),
        ("NEXUS_CORE_ADMIN", "core.admin"),
    ] {
        let (code, said) = ended(command(folder.path(), 0).env(variable, &address));
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(&address) && said.contains(&format!("set {setting} to another")), "{said}");
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused_and_the_first_serves_on() {
    let server = Server::start().await;
    let (code, said) = ended(&mut command(server.folder.path(), 0));
    assert_eq!(code, 1);
    let pid = server.child.as_ref().unwrap().id();
    assert!(
        said.contains(&format!("another nexus process (pid {pid}) uses this data directory: data")),
        "{said}"
    );
    server.client("ann").call(nexus_client::v1::ListConversationsRequest::default()).await.unwrap();
    let rebuild = ended(command(server.folder.path(), 0).arg("rebuild"));
    assert!(rebuild.0 == 1 && rebuild.1.contains("stop it"), "{rebuild:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn it_may_have_as_many_connections_as_the_system_allows() {
    let mut server = Server::prepared(Vec::new());
    let program = server.command();
    // As a shell with a low soft limit starts it.
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -Sn 100 && exec \"$0\""]).arg(program.get_program());
    shell.current_dir(server.folder.path());
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    server.begin_as(shell).await;
    let pid = server.child.as_ref().unwrap().id();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = files.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers[0], numbers[1], "the soft limit is the hard one: {files}");
}
