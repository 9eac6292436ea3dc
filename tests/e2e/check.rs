//! `nexus check` as operators run it: on a server in development, and on one in production.

use crate::{
    certificate::Authority,
    server::{Server, get},
};
use nexus_cluster::ports;
use std::{fs, process::Stdio, time::Duration};
use tokio::{net::TcpStream, process::Command};

/// Longer than anything here takes; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
const USERS: usize = 6;

/// A check of few users and seconds, whose connections break every second.
fn check(server: &Server) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexus"));
    command
        .current_dir(server.folder.path())
        .args(["check", "--server", &format!("https://localhost:{}", server.port)])
        .args(["--users", &USERS.to_string(), "--room", "3", "--rate", "30"])
        .args(["--seconds", "3", "--break-every", "1"])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs it. Whether it was content, and all that it said.
async fn ran(command: &mut Command) -> (bool, String) {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
    (output.status.success(), said)
}

/// The number before some words of what it said.
fn number(said: &str, words: &str) -> usize {
    let before = said.split(words).next().filter(|before| before.len() < said.len());
    let before = before.unwrap_or_else(|| panic!("{words} is not in {said}"));
    before.rsplit(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty()).unwrap().parse().unwrap()
}

fn is_kept(said: &str) {
    assert!(said.contains("\nThe promise is kept.\n"), "{said}");
    assert!(said.contains("90 messages, "), "{said}");
    assert_eq!((number(said, " of unknown outcome"), number(said, " refused")), (0, 0), "{said}");
    let broken = number(said, " connections broken on purpose");
    assert!(broken >= 2 * USERS, "everybody's connection breaks every second: {said}");
    for invariant in ["LOG-1", "LOG-2", "LOG-3", "LOG-4", "STREAM-1", "STREAM-2", "STREAM-3", "VIEW-1"] {
        let row = said.lines().find(|line| line.starts_with(invariant)).unwrap();
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert!(cells[1].parse::<usize>().unwrap() > 0 && cells[2] == "0", "{row}\n{said}");
    }
}

/// Looks at the server's connections for ever, and keeps the highest number.
async fn count_connections(admin: &str, most: &mut usize) {
    loop {
        let shown = get(admin, "/metrics").await;
        let rows = shown.lines().filter(|line| line.starts_with("nexus_gateway_connections{"));
        let open: usize = rows.filter_map(|row| row.rsplit(' ').next()?.parse::<usize>().ok()).sum();
        *most = open.max(*most);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_breaks_connections_and_the_promise_is_kept() {
    let admin = format!("127.0.0.1:{}", ports::one().unwrap());
    let server = Server::start_with(vec![("NEXUS_GATEWAY_ADMIN", admin.clone())]).await;
    let (mut command, mut most) = (check(&server), 0);
    let (content, said) = tokio::select! {
        ran = ran(&mut command) => ran,
        () = count_connections(&admin, &mut most) => unreachable!(),
    };
    assert!(content, "{said}");
    is_kept(&said);
    // Each but the server's own probe is of somebody, and those that were broken are gone.
    let broken = number(&said, " connections broken on purpose");
    assert!(most >= USERS, "{most}: {said}");
    assert!(most < USERS + broken, "{most} were open at once: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_makes_the_tokens_for_a_server_in_production() {
    let mut server = Server::prepared(vec![
        ("NEXUS_MODE", "production".into()),
        ("NEXUS_GATEWAY_TLS_CERTIFICATE", "chain.pem".into()),
        ("NEXUS_GATEWAY_TLS_KEY", "key.pem".into()),
        ("NEXUS_GATEWAY_AUTH_SECRET_FILE", "secret".into()),
    ]);
    Authority::of(&server).renew(&server);
    fs::write(server.folder.path().join("secret"), "0123456789abcdef0123456789abcdef").unwrap();
    let log = fs::File::create(server.folder.path().join("nexus.log")).unwrap();
    server.child = Some(server.command().stderr(log).spawn().unwrap());
    let listens = async {
        while TcpStream::connect(("127.0.0.1", server.port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, listens).await.unwrap_or_else(|_| panic!("{}", server.log()));

    let (content, said) = ran(&mut check(&server)).await;
    assert!(!content && said.contains("the server is not in development mode"), "{said}");
    assert!(said.contains("--token-command"), "{said}");
    let command = |line: &str| {
        let mut command = check(&server);
        command.envs(server.settings.iter().map(|(name, value)| (name, value)));
        command.args(["--token-command", line]);
        command
    };
    let (content, said) = ran(&mut command("echo 'the vault is shut' >&2; false")).await;
    assert!(!content && said.contains("the vault is shut"), "{said}");

    // A line for each run.
    let token = format!("echo x >>asked; {} token --user", env!("CARGO_BIN_EXE_nexus"));
    let (content, said) = ran(&mut command(&token)).await;
    assert!(content, "{said}");
    is_kept(&said);
    let asked = fs::read_to_string(server.folder.path().join("asked")).unwrap();
    assert_eq!(asked.lines().count(), USERS + 1, "once for each user, and for the stranger");
}
