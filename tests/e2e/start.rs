//! The first lines teach; what can't be done is one clear message at the start, and an exit code.

use crate::{
    durability::PATIENCE,
    server::{Server, command},
};
use std::{
    net::TcpListener,
    process::{Command, Output},
    time::Duration,
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

/// Settings with which the first lines stand alone in the log, as on a terminal.
pub fn for_people() -> Vec<(&'static str, String)> {
    vec![("NEXUS_LOG_FORMAT", "human".into()), ("NEXUS_LOG_FILTER", "error".into())]
}

/// The first lines of a server that is [`for_people`].
pub async fn first_lines(server: &Server) -> String {
    let all = async {
        // It answers before it has said so.
        while !server.log().contains("can log in as anybody.\n") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("it says only {}", server.log()));
    server.log()
}

#[tokio::test]
async fn the_first_lines_say_where_it_is_how_to_log_in_and_whom_to_trust() {
    let server = Server::start_with(for_people()).await;
    let said = first_lines(&server).await;
    let after = |what: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(what));
        let line = line.unwrap_or_else(|| panic!("{what:?} begins no line of {said}"));
        line.trim().split("   ").next().unwrap().to_owned()
    };
    let url = format!("https://localhost:{}", server.port);
    assert!(said.lines().any(|line| line.split_whitespace().nth(1) == Some(&url)), "{said}");
    let chat = after("  Chat ");
    assert!(chat.ends_with(&format!(" chat --user bob --server {url}")), "{chat}");
    // As somebody would type it.
    let token =
        Command::new("sh").args(["-c", &after("  Token ")]).current_dir(&server.folder).output().unwrap();
    assert!(token.status.success() && token.stdout.starts_with(b"ey"), "{token:?}");
    let ca = std::fs::read_to_string(server.folder.path().join(after("  Trust "))).unwrap();
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"), "{ca}");
    assert!(said.contains("import it into the browser"), "{said}");
    assert!(server.folder.path().join(after("  Data ")).join("store").is_dir(), "{said}");
}

#[test]
fn help_teaches_the_commands_and_the_first_steps() {
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nexus")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = help(&["--help"]);
    for name in ["serve", "core", "gateway", "token", "chat", "check", "admin", "config", "rebuild"] {
        assert!(said.lines().any(|line| line.trim().split(' ').next() == Some(name)), "{name}: {said}");
        assert!(help(&[name, "--help"]).contains(&format!("Usage: nexus {name}")));
    }
    let (_, steps) = said.split_once("Start here:\n").unwrap_or_else(|| panic!("no first steps: {said}"));
    let mut taught = Vec::new();
    for step in steps.lines().take_while(|line| !line.is_empty()) {
        let (step, why) = step.trim().split_once("  ").unwrap_or_else(|| panic!("{step}: what for?"));
        assert!(!why.trim().is_empty(), "{step}");
        // What is taught is what there is.
        for step in step.split(['>', ',']) {
            let mut words = step.split_whitespace();
            if words.next() == Some("nexus") {
                let words: Vec<&str> = words.chain(["--help"]).collect();
                help(&words);
                taught.push(words[0].to_owned());
            }
        }
    }
    for step in ["--help", "chat", "check", "token", "config"] {
        assert!(taught.iter().any(|taught| taught == step), "{step} is not in {steps}");
    }
    for part in ["https://localhost:8443", "./data", "Exit codes:", "nexus.toml"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
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
