//! Line by line, through pipes.

use super::{PATIENCE, chat, direct, kept, said};
use crate::server::Server;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc,
};

struct Plain {
    child: Child,
    stdin: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Plain {
    fn start(server: &Server, user: &str, with: &str) -> Self {
        let mut command = chat(server, user);
        command.args(["--with", with]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::sync_channel(1_000);
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok()
        });
        Self { child, stdin, lines }
    }

    fn line(&mut self, text: &str) {
        writeln!(self.stdin, "{text}").unwrap();
    }

    /// Reads on until a line contains this.
    fn until(&mut self, text: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => before.push(line),
                Err(_) => panic!("no {text:?} in {before:?}"),
            }
        }
    }

    /// Ends the input, and waits for the end.
    fn finish(mut self) -> bool {
        drop(self.stdin);
        self.child.wait().unwrap().success()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_writes_and_reads_what_others_do() {
    let server = Server::start().await;
    let mut bob = Plain::start(&server, "bob", "ann");
    bob.until("connected");
    let mut ann = Plain::start(&server, "ann", "bob");
    ann.until("connected");
    ann.line("hello bob");
    let number = bob.until("ann: hello bob").split_whitespace().next().unwrap().to_owned();
    bob.line(&format!("/react {number} 👍"));
    ann.until("👍");
    ann.line(&format!("/edit {number} hello Bob"));
    bob.until("hello Bob");
    bob.line("/edit 999999 nothing");
    bob.until("! not sent");
    assert!(ann.finish());
    assert!(!bob.finish(), "a script learns that something was not sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_typed_while_the_server_was_away_survives_the_chat_and_is_sent_once() {
    let mut server = Server::start().await;
    let mut ann = Plain::start(&server, "ann", "bob");
    ann.until("connected");
    ann.line("before");
    ann.until("ann: before");
    server.kill();
    ann.line("first meanwhile");
    ann.line("second meanwhile");
    kept(&server.folder.path().join("state"), "second meanwhile").await;
    ann.kill();
    server.begin().await;
    assert!(Plain::start(&server, "ann", "bob").finish());
    let client = server.client("bob");
    let conversation = direct(&client, "ann").await;
    assert_eq!(said(&client, &conversation).await, ["before", "first meanwhile", "second meanwhile"]);
    assert!(Plain::start(&server, "ann", "bob").finish());
    assert_eq!(said(&client, &conversation).await.len(), 3, "nothing is sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_chats_of_one_user_do_not_disturb_each_other() {
    let server = Server::start().await;
    let mut one = Plain::start(&server, "ann", "bob");
    let mut two = Plain::start(&server, "ann", "bob");
    one.until("connected");
    two.until("connected");
    one.line("from one");
    two.line("from two");
    one.until("from two");
    two.until("from one");
    assert!(one.finish() && two.finish());
    let client = server.client("bob");
    let conversation = direct(&client, "ann").await;
    assert_eq!(said(&client, &conversation).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_come_in_by_a_token_or_by_their_name() {
    let server = Server::start().await;
    let start = |user| {
        let mut chat = Plain::start(&server, user, "dee");
        chat.until("connected");
        chat
    };
    let (mut ann, mut bob, mut cyd) = (start("ann"), start("bob"), start("cyd"));
    ann.line("/group Team");
    ann.until("/open ");
    ann.line("/open Team");
    ann.until("-- Team (1 members) --");
    ann.line("/invite");
    let told = ann.until("may come in: /join ");
    bob.line(&format!("/join {}", told.rsplit(' ').next().unwrap()));
    ann.until("joined: bob");
    ann.line("/invite cyd");
    ann.until("invited cyd");
    cyd.line("/invitations");
    cyd.until("Team by ann");
    cyd.line("/join Team");
    ann.until("joined: cyd");
    cyd.line("/invitations");
    cyd.until("0 invitations");
    cyd.line("/join Team");
    cyd.until("not invited");
    assert!(ann.finish() && bob.finish());
}
