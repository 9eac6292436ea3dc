//! `nexus admin` as operators run it, against a real server.

use crate::server::Server;
use nexus_client::v1;
use serde_json::Value;
use std::process::Command;

async fn server(reads: bool) -> Server {
    Server::start_with(vec![
        ("NEXUS_CORE_ADMINISTRATORS", "default/root".into()),
        ("NEXUS_CORE_ADMINISTRATORS_READ", reads.to_string()),
    ])
    .await
}

/// What it said, and whether it was content.
struct Said {
    done: bool,
    out: String,
    err: String,
}

/// Runs it with these arguments, without anybody's name.
fn nameless(server: &Server, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexus"));
    command.current_dir(server.folder.path()).env_remove("NEXUS_TOKEN").arg("admin").args(arguments);
    if !arguments.contains(&"--server") {
        command.args(["--server", &format!("https://localhost:{}", server.port)]);
    }
    let output = command.output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    Said { done: output.status.success(), out, err }
}

fn by(server: &Server, user: &str, arguments: &[&str]) -> Said {
    nameless(server, &[arguments, &["--user", user]].concat())
}

/// What root is told, who may.
fn told(server: &Server, arguments: &[&str]) -> String {
    let said = by(server, "root", arguments);
    assert!(said.done, "{arguments:?}: {}{}", said.out, said.err);
    said.out
}

fn document(server: &Server, arguments: &[&str]) -> Value {
    let out = told(server, &[arguments, &["--json"]].concat());
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// The cells of the row that begins with something.
fn row<'a>(table: &'a str, begins: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.starts_with(begins));
    line.unwrap_or_else(|| panic!("no row {begins} in\n{table}")).split_whitespace().collect()
}

async fn group(server: &Server, owner: &str, title: &str, others: &[&str]) -> String {
    let client = server.client(owner);
    let members = others.iter().map(|user| v1::MemberRole { user: (*user).into(), role: 0 });
    let request = v1::CreateConversationRequest {
        client_id: client.id(),
        kind: v1::ConversationKind::Group as i32,
        title: title.into(),
        members: members.collect(),
        ..Default::default()
    };
    client.call(request).await.unwrap().conversation.unwrap().id
}

async fn say(server: &Server, who: &str, id: &str) {
    let client = server.client(who);
    let content = Some(v1::Content { text: "hello".into(), ..Default::default() });
    let request = v1::SendMessageRequest { conversation_id: id.into(), content, ..Default::default() };
    client.send(&mut client.prepare(request)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphaned_group_gets_an_owner_again() {
    let server = server(true).await;
    let team = group(&server, "ann", "The \u{1b}[31mTeam", &["bob", "eve"]).await;
    let other = group(&server, "ann", "Another", &[]).await;
    say(&server, "bob", &team).await;
    // Without the lobby, where everybody meets.
    let list = told(&server, &["conversations", "--kind", "group"]);
    let [head, first, second] = list.lines().collect::<Vec<_>>()[..] else { panic!("{list}") };
    assert!(head.starts_with("ID ") && head.ends_with(" TITLE"), "{list}");
    assert!(
        first.starts_with(&team) && second.starts_with(&other),
        "the one that was active last first: {list}"
    );
    assert_eq!(first.find("The"), head.find("TITLE"), "aligned: {list}");
    assert!(!list.contains('\u{1b}'), "a title can't colour an operator's terminal");
    assert_eq!(row(&list, &team)[1..5], ["group", "3", "ann", "1"]);
    assert!(!told(&server, &["conversations", "--orphaned"]).contains(&team));
    assert!(told(&server, &["conversations"]).contains("Lobby"));

    let said = by(&server, "root", &["remove", &team, "ann", "eve", "nobody"]);
    assert!(
        said.done && said.err.contains(&format!("nexus admin add {team} USER --role owner")),
        "{}",
        said.err
    );
    let orphans = told(&server, &["conversations", "--orphaned", "--kind", "group"]);
    assert!(orphans.contains(&team) && !orphans.contains(&other), "{orphans}");
    told(&server, &["add", &team, "carl", "dora", "--role", "admin"]);
    told(&server, &["role", &team, "dora", "owner"]);
    let members = told(&server, &["members", &team]);
    let rows: Vec<Vec<&str>> =
        members.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["bob", "member", "1"], ["carl", "admin", "5"], ["dora", "owner", "5"]]);
    let sheet = told(&server, &["conversation", &team]);
    assert_eq!(row(&sheet, "owners"), ["owners", "dora"]);
    assert_eq!(row(&sheet, "events"), ["events", "6"]);
    assert_eq!(row(&sheet, "kept"), ["kept", "for", "ever", "(inherited)"]);
    // Whoever is in it sees that root did it, and can go on.
    let ask = v1::ListEventsRequest { conversation_id: team.clone(), ..Default::default() };
    let events = server.client("bob").call(ask).await.unwrap().events;
    assert!(events[2..].iter().all(|event| event.sender == "root"), "{events:?}");
    say(&server, "carl", &team).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_get_documents() {
    let server = server(true).await;
    let team = group(&server, "ann", "Team", &["bob"]).await;
    for n in 0..3 {
        group(&server, "cat", &n.to_string(), &[]).await;
    }
    let list = document(&server, &["conversations", "--member", "bob"]);
    assert_eq!(
        (list["complete"].as_bool(), list["conversations"].as_array().unwrap().len()),
        (Some(true), 1)
    );
    let of_list = &list["conversations"][0];
    let it = document(&server, &["conversation", &team]);
    assert_eq!(
        (&it["id"], &it["owners"][0], &it["member_count"]),
        (&team.clone().into(), &"ann".into(), &2.into())
    );
    assert_eq!(&it["last_seq"], &of_list["last_seq"]);
    assert!(
        it["log_bytes"].as_u64().is_some_and(|bytes| bytes > 0) && it["retention_days"].is_null(),
        "{it}"
    );
    let some = document(&server, &["conversations", "--limit", "2"]);
    assert_eq!(
        (some["complete"].as_bool(), some["conversations"].as_array().unwrap().len()),
        (Some(false), 2)
    );
    let members = document(&server, &["members", &team]);
    assert_eq!(
        (&members["members"][1]["user"], &members["members"][1]["role"]),
        (&"bob".into(), &"member".into())
    );
    assert_eq!(document(&server, &["add", &team, "eve"])["seq"], 2);
    assert_eq!(document(&server, &["role", &team, "eve", "reader"])["seq"], 3);
    assert_eq!(document(&server, &["remove", &team, "eve"])["seq"], 4);
    let trimmed = document(&server, &["trim", &team, "--seq", "2"]);
    assert_eq!((&trimmed["seq"], &trimmed["floor"]), (&5.into(), &0.into()), "what is young stays");
    let verified = document(&server, &["verify", &team]);
    assert_eq!((&verified["last"], &verified["violated"]), (&5.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_is_shown_set_and_taken_away() {
    let server = server(false).await;
    let team = group(&server, "ann", "Team", &[]).await;
    let of_team =
        |arguments: &[&str]| told(&server, &[&["retention", "--conversation", &team], arguments].concat());
    assert!(told(&server, &["retention"]).contains("kept for ever (the deployment's setting)"));
    assert!(told(&server, &["retention", "--days", "365"]).contains("kept 365 days (its own setting)"));
    assert!(of_team(&[]).contains("kept 365 days (the tenant's or the deployment's setting)"));
    assert!(of_team(&["--days", "30"]).contains("kept 30 days (its own setting)"));
    assert!(of_team(&[]).contains("kept 30 days (its own setting)"));
    assert!(of_team(&["--inherit"]).contains("kept 365 days (the tenant's"));
    assert!(told(&server, &["retention", "--inherit"]).contains("for ever"));
    let both = by(&server, "root", &["retention", "--inherit", "--days", "3"]);
    assert!(!both.done && both.err.contains("cannot be used with"), "{}", both.err);
    let young = told(&server, &["trim", &team, "--seq", "1"]);
    assert!(young.contains("Nothing is gone yet") && young.contains("a day old"), "{young}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_verified_by_who_may_read_it() {
    for reads in [true, false] {
        let server = server(reads).await;
        let team = group(&server, "ann", "Team", &["bob", "root"]).await;
        let closed = group(&server, "ann", "Closed", &["bob"]).await;
        // More than a page, and people who come and go.
        for n in 0..130 {
            say(&server, if n % 2 == 0 { "ann" } else { "bob" }, &team).await;
            if n % 40 == 0 {
                told(&server, &["remove", &team, "bob"]);
                told(&server, &["add", &team, "bob", "carl"]);
            }
        }
        let whole = told(&server, &["verify", &team]);
        let by_right = if reads { "as an administrator" } else { "as a member" };
        assert!(whole.starts_with("Events 1-139 were read, ") && whole.contains(by_right), "{whole}");
        for invariant in ["LOG-1", "LOG-2", "VIEW-1"] {
            let cells = row(&whole, invariant);
            assert!(cells[1].parse::<u64>().unwrap() > 100 && cells[2] == "0", "{whole}");
        }
        assert!(whole.ends_with("\nThe log is whole.\n"), "{whole}");
        let said = by(&server, "root", &["verify", &closed]);
        assert_eq!(said.done, reads, "{}{}", said.out, said.err);
        assert!(reads || said.err.contains("core.administrators_read = true allows it"), "{}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_says_what_to_do() {
    let server = server(false).await;
    let team = group(&server, "ann", "Team", &[]).await;
    let nobody = "00000000-0000-8000-8000-000000000000";
    let cases: [(Said, &[&str]); 8] = [
        (nameless(&server, &["conversations"]), &["NEXUS_TOKEN", "--user NAME"]),
        (by(&server, "ann", &["conversations"]), &["PERMISSION_DENIED", "core.administrators"]),
        (by(&server, "root", &["members", nobody]), &["NOT_FOUND", "nexus admin conversations"]),
        (by(&server, "root", &["members", "team"]), &["INVALID_ARGUMENT", "UUID"]),
        (by(&server, "root", &["add", &team, "no name"]), &["INVALID_ARGUMENT", "members.user"]),
        (by(&server, "root", &["role", &team, "eve", "owner"]), &["is not a member of this conversation"]),
        (by(&server, "root", &["role", &team, "ann", "king"]), &["possible values", "owner"]),
        (
            by(&server, "root", &["conversations", "--server", "https://localhost:1"]),
            &["does a server run at https://localhost:1?"],
        ),
    ];
    for (said, words) in cases {
        assert!(!said.done && said.out.is_empty(), "{}{}", said.out, said.err);
        for word in words {
            assert!(said.err.contains(word), "{word} is not in {}", said.err);
        }
    }
    // In production a token says who one is.
    let token = Command::new(env!("CARGO_BIN_EXE_nexus"))
        .current_dir(server.folder.path())
        .args(["token", "--user", "root"])
        .output()
        .unwrap();
    let token = String::from_utf8(token.stdout).unwrap();
    let said = nameless(&server, &["conversation", &team, "--token", token.trim()]);
    assert!(said.done && said.out.contains("Team"), "{}", said.err);
    let forged = format!("{}x", token.trim());
    let said = nameless(&server, &["conversation", &team, "--token", &forged]);
    assert!(!said.done && said.err.contains("nexus token --user NAME"), "{}", said.err);
}
