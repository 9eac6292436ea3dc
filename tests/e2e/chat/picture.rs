//! Makes the README's picture of the terminal, docs/terminal.svg, from a real conversation. docs/develop.md says how.

use super::{direct, person::Person};
use crate::server::Server;
use nexus_client::{AttachOptions, Client, Mutation, v1};
use std::fmt::Write as _;
use vt100::{Color, Screen};

const COLUMNS: u16 = 92;
const ROWS: u16 = 24;
/// Of a cell, in pixels; a monospaced letter is about 0.6 as wide as high.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 18.0;
const MARGIN: f64 = 14.0;
const PAPER: &str = "#16181d";
const INK: &str = "#d8dbe2";
/// The sixteen colours that a terminal has by name.
const NAMED: [&str; 16] = [
    "#3b4048", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#c8ccd4", "#7f8693",
    "#ef8a92", "#b1d894", "#f0d197", "#86c4f7", "#d797ea", "#7cd0da", "#ffffff",
];

fn colour(colour: Color, default: &str) -> String {
    match colour {
        Color::Default => default.into(),
        Color::Idx(n @ 0..16) => NAMED[usize::from(n)].into(),
        Color::Idx(n @ 16..232) => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let n = n - 16;
            format!("#{:02x}{:02x}{:02x}", level(n / 36), level(n / 6 % 6), level(n % 6))
        }
        Color::Idx(n) => format!("#{0:02x}{0:02x}{0:02x}", 8 + 10 * (n - 232)),
        Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
    }
}

/// Each cell at its place, whatever font the reader has.
fn draw(screen: &Screen) -> String {
    let (width, height) =
        (f64::from(COLUMNS) * WIDTH + 2.0 * MARGIN, f64::from(ROWS) * HEIGHT + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n"
    );
    for (row, column) in (0..ROWS).flat_map(|row| (0..COLUMNS).map(move |column| (row, column))) {
        let Some(cell) = screen.cell(row, column).filter(|cell| !cell.is_wide_continuation()) else {
            continue;
        };
        let (x, y) = (MARGIN + f64::from(column) * WIDTH, MARGIN + f64::from(row) * HEIGHT);
        let (mut ink, mut paper) = (colour(cell.fgcolor(), INK), colour(cell.bgcolor(), PAPER));
        if cell.inverse() {
            std::mem::swap(&mut ink, &mut paper);
        }
        let wide = if cell.is_wide() { 2.0 } else { 1.0 };
        if paper != PAPER {
            // A little wider, so that no gap shows between neighbours.
            let wide = wide * WIDTH + 0.4;
            writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{HEIGHT}\" fill=\"{paper}\"/>"
            )
            .unwrap();
        }
        let text = cell.contents().replace('&', "&amp;").replace('<', "&lt;");
        if text.trim().is_empty() {
            continue;
        }
        let bold = if cell.bold() { " font-weight=\"bold\"" } else { "" };
        let dim = if cell.dim() { " opacity=\"0.6\"" } else { "" };
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" fill=\"{ink}\"{bold}{dim}>{text}</text>", y + 13.5)
            .unwrap();
    }
    svg + "</svg>\n"
}

async fn change(client: &Client, mutation: impl Into<Mutation>) -> u64 {
    let mut pending = client.prepare(mutation);
    client.send(&mut pending).await.unwrap().receipt.seq
}

async fn says(client: &Client, conversation: &str, text: &str, reply_to: u64) -> u64 {
    let content = Some(v1::Content { text: text.into(), ..Default::default() });
    let conversation_id = conversation.to_owned();
    change(client, v1::SendMessageRequest { conversation_id, content, reply_to, ..Default::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it makes a picture, and checks nothing"]
async fn a_picture_of_the_terminal() {
    let server = Server::start().await;
    let (alice, bob, carol, dana) =
        (server.client("alice"), server.client("bob"), server.client("carol"), server.client("dana"));
    let party = direct(&bob, "alice").await;
    says(&bob, &party, "I'll bring the cake 🎂", 0).await;
    let users = ["bob", "carol", "dana"].map(|user| v1::MemberRole { user: user.into(), role: 0 }).into();
    let mut pending = alice.prepare(v1::CreateConversationRequest {
        kind: v1::ConversationKind::Group as i32,
        title: "Cluster".into(),
        members: users,
        ..Default::default()
    });
    let team = alice.send(&mut pending).await.unwrap().conversation.unwrap().id;
    says(&carol, &team, "The new cluster is up, in two zones.", 0).await;
    says(&carol, &team, "I pulled the plug on one of them. Twice.", 0).await;
    says(&alice, &team, "And? Did anything go missing?", 0).await;
    let verdict = says(&carol, &team, "Nothing. Every acknowledged message is there, in order.", 0).await;
    for (who, reaction) in [(&bob, "🎉"), (&alice, "🎉"), (&dana, "👀")] {
        let (conversation_id, reaction) = (team.clone(), reaction.to_owned());
        change(who, v1::AddReactionRequest { conversation_id, seq: verdict, reaction, ..Default::default() })
            .await;
    }
    let text = "I didn't believe it, so I ran nexus check with kill -9 in a loop. Not one gap.";
    says(&bob, &team, text, verdict).await;
    says(&dana, &team, "Then it is settled, @alice: we ship on Thursday.", 0).await;
    let last = says(&alice, &team, "We do.", 0).await;
    let _here = [&bob, &carol].map(|who| who.attach(AttachOptions::default()));

    let mut person = Person::sit_down(&server, "alice", &["--conversation", &team]);
    person.resize(COLUMNS, ROWS);
    person.sees("We do.").await;
    person
        .looks_until("what bob says to be read", |screen| {
            screen.contains("○ bob") || screen.contains("● bob")
        })
        .await;
    for who in [&bob, &carol] {
        who.call(v1::SetReadMarkerRequest { conversation_id: team.clone(), seq: last }).await.unwrap();
    }
    person.sees("read by").await;
    person.types("Cake first, though");
    bob.call(v1::SetTypingRequest { conversation_id: team, typing: true, thread: 0 }).await.unwrap();
    person.sees("bob is typing").await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/terminal.svg");
    std::fs::write(path, person.look(draw)).unwrap();
    println!("made {path}\n{}", person.screen());
}
