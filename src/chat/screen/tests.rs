//! What is drawn, on a screen in memory, and what keys make of it.
#![allow(clippy::unwrap_used)]

use super::{
    act::Effect,
    calls::{Answer, Ask},
    draw::Canvas,
    look::Look,
    rows::Zone,
    state::{Link, Mode, Purpose, State},
};
use crate::chat::text::width;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use nexus_client::{
    Item, Mutation,
    outbox::{Entry, State as Progress},
    v1::{self, event::Body},
};
use ratatui::{Terminal, backend::TestBackend, style::Color};
use std::time::Duration;
use tokio::time::Instant;

/// Six in the evening, UTC.
const EVENING: i64 = 1_900_000_800_000;

/// Ann's screen, with bob and with a group.
struct Desk {
    state: State,
    seq: u64,
    count: u64,
}

impl Desk {
    fn new() -> Self {
        let mut state = State::new("ann", "https://localhost:8443");
        state.heard(&Item::Attached { user: "ann".into(), device: "terminal".into() });
        let team = v1::Conversation {
            id: "team".into(),
            title: "Team".into(),
            member_count: 3,
            member_since: 1,
            unread_count: 2,
            message_count: 2,
            last_seq: 3,
            reflects: 3,
            last_at_ms: EVENING - 60_000,
            ..Default::default()
        };
        state.answered(&Ask::List, Answer::List(vec![team]));
        let mut desk = Self { state, seq: 0, count: 0 };
        let members = ["ann", "bob"].map(|user| v1::MemberRole { user: user.into(), role: 3 }).into();
        let kind = v1::ConversationKind::Direct.into();
        desk.event(
            "ann",
            0,
            Body::ConversationCreated(v1::ConversationCreated { kind, members, ..Default::default() }),
        );
        desk.state.answered(&Ask::List, Answer::List(Vec::new()));
        desk.state.show("direct");
        desk
    }

    fn event(&mut self, sender: &str, target: u64, body: Body) -> u64 {
        self.seq += 1;
        self.count += u64::from(matches!(body, Body::MessageSent(_)));
        let event = v1::Event {
            seq: self.seq,
            id: format!("id-{}", self.seq),
            sender: sender.into(),
            time_ms: EVENING + i64::try_from(self.seq).unwrap() * 1000,
            target,
            message_count: self.count,
            body: Some(body),
            ..Default::default()
        };
        self.state.heard(&Item::Events {
            conversation_id: "direct".into(),
            events: vec![event],
            cursor: self.seq,
        });
        self.seq
    }

    fn says(&mut self, sender: &str, text: &str) -> u64 {
        self.replies(sender, 0, text)
    }

    fn replies(&mut self, sender: &str, reply_to: u64, text: &str) -> u64 {
        let content = content(text);
        self.event(sender, 0, Body::MessageSent(v1::MessageSent { content, reply_to, thread: 0 }))
    }

    fn waits(&mut self, text: &str, state: Progress) {
        let request = v1::SendMessageRequest {
            conversation_id: "direct".into(),
            content: content(text),
            ..Default::default()
        };
        self.state.waiting.push(Entry { key: 1, mutation: request.into(), state });
    }

    fn key(&mut self, code: KeyCode) -> Vec<Effect> {
        self.chord(code, KeyModifiers::NONE)
    }

    fn chord(&mut self, code: KeyCode, modifiers: KeyModifiers) -> Vec<Effect> {
        self.state.input(Event::Key(KeyEvent::new(code, modifiers)))
    }

    fn types(&mut self, text: &str) {
        text.chars().for_each(|c| drop(self.key(KeyCode::Char(c))));
    }

    fn sent(&mut self) -> Mutation {
        let effects = self.key(KeyCode::Enter);
        let sent = effects.into_iter().find_map(|effect| match effect {
            Effect::Send(mutation) => Some(*mutation),
            _ => None,
        });
        sent.unwrap()
    }

    fn screen(&mut self, columns: u16, rows: u16) -> String {
        let terminal = self.drawn(columns, rows, false);
        let buffer = terminal.backend().buffer();
        let row = |y| {
            let mut row = String::new();
            let mut skip = 0;
            for x in 0..columns {
                let symbol = buffer[(x, y)].symbol();
                if skip == 0 {
                    row.push_str(symbol);
                }
                skip = if skip > 0 { skip - 1 } else { width(symbol).saturating_sub(1) };
            }
            row.trim_end().to_owned()
        };
        (0..rows).map(row).collect::<Vec<_>>().join("\n")
    }

    fn drawn(&mut self, columns: u16, rows: u16, colours: bool) -> Terminal<TestBackend> {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let canvas = Canvas { look: Look::new(colours), zone: Zone::Utc, now_ms: EVENING };
        terminal.draw(|frame| canvas.draw(frame, &mut self.state)).unwrap();
        terminal
    }
}

fn content(text: &str) -> Option<v1::Content> {
    Some(v1::Content { text: text.into(), ..Default::default() })
}

#[tokio::test]
async fn a_conversation_shows_what_happened_in_it() {
    let mut desk = Desk::new();
    let hello = desk.says("bob", "hello ann");
    let lunch = desk.says("ann", "lunch at noon?");
    desk.event("ann", lunch, Body::MessageEdited(v1::MessageEdited { content: content("lunch at one?") }));
    desk.event("bob", lunch, Body::ReactionAdded(v1::ReactionAdded { reaction: "👍".into() }));
    let gone = desk.says("bob", "a secret");
    desk.event("bob", gone, Body::MessageDeleted(v1::MessageDeleted {}));
    desk.replies("bob", hello, "yes, gladly");
    desk.state.people.present("bob", v1::PresenceStatus::Online);
    desk.state.people.types("direct", "bob", true);
    desk.state
        .people
        .has_read("direct", &v1::Marker { user: "bob".into(), read_seq: lunch, delivered_seq: 0 });
    let screen = desk.screen(80, 24);
    for shown in [
        " Nexus · ann         │ ● bob  online",
        " ● bob             2 │",
        " # Team            2 │",
        "─ today ─",
        "bob  18:00",
        "   hello ann",
        "   lunch at one? (edited)",
        "   👍 bob",
        "   ✓ read by bob",
        "   (deleted)",
        "   ┃ bob: hello ann",
        "   yes, gladly",
        "─ bob is typing … ─",
        " ›",
        "? help",
    ] {
        assert!(screen.contains(shown), "{shown:?} is not on\n{screen}");
    }
    assert!(!screen.contains("secret") && !screen.contains("noon"), "{screen}");
}

#[tokio::test]
async fn every_size_has_room_for_the_newest_message_and_the_line() {
    let mut desk = Desk::new();
    for n in 0..60 {
        desk.says(
            if n % 3 == 0 { "ann" } else { "bob" },
            &format!("message {n} 日本語 👨‍👩‍👧 with some more words"),
        );
    }
    desk.types("being written");
    for (columns, rows) in [(80, 24), (40, 12), (64, 10), (20, 6), (200, 60), (11, 4)] {
        let screen = desk.screen(columns, rows);
        assert!(screen.lines().all(|row| width(row) <= columns.into()), "{columns}x{rows}\n{screen}");
        if columns >= 20 && rows >= 6 {
            assert!(screen.contains("words") && screen.contains("being w"), "{columns}x{rows}\n{screen}");
        }
    }
    let narrow = desk.screen(40, 12);
    assert!(narrow.contains("2 elsewhere") && !narrow.contains("│"), "{narrow}");
    assert!(desk.screen(4, 2).contains("too"));
}

#[tokio::test]
async fn one_scrolls_back_and_new_messages_do_not_move_what_one_reads() {
    let mut desk = Desk::new();
    for n in 0..60 {
        desk.says("bob", &format!("message {n}."));
    }
    desk.screen(80, 24);
    desk.key(KeyCode::PageUp);
    let before = desk.screen(80, 24);
    assert!(!before.contains("message 59.") && before.contains("more rows"), "{before}");
    let top = |screen: &str| screen.lines().nth(2).unwrap().split_once('│').unwrap().1.to_owned();
    desk.says("bob", "something new");
    let after = desk.screen(80, 24);
    assert_eq!(top(&after), top(&before), "{after}");
    let reads = |desk: &Desk| desk.state.wants().iter().any(|ask| matches!(ask, Ask::Read { .. }));
    assert!(!reads(&desk), "what is not in sight is not read");
    desk.key(KeyCode::Esc);
    assert!(desk.screen(80, 24).contains("something new"));
    assert!(reads(&desk));
    for _ in 0..10 {
        desk.key(KeyCode::PageUp);
    }
    assert!(desk.screen(80, 24).contains("the beginning"));
}

#[tokio::test]
async fn the_past_is_asked_for_when_its_end_comes_in_sight() {
    let mut desk = Desk::new();
    let hole = Item::Hole {
        conversation_id: "direct".into(),
        first: 2,
        last: 500,
        reason: v1::ResetReason::TooLong,
    };
    desk.state.heard(&hole);
    let page = |before| move |ask: &Ask| matches!(ask, Ask::Page { before: found, .. } if *found == before);
    assert!(desk.state.wants().iter().any(page(None)));
    let messages: Vec<_> = (451..=500)
        .map(|seq| v1::Message {
            seq,
            sender: "bob".into(),
            time_ms: EVENING,
            content: content(&format!("message {seq}.")),
            ..Default::default()
        })
        .collect();
    let covered = Some(v1::Covered { first: 451, last: 500, at_start: false, at_end: true });
    let page_of = v1::ListMessagesResponse { messages, covered, reflects: 500 };
    let ask = Ask::Page { id: "direct".into(), before: None, at_least: 500 };
    desk.state.answered(&ask, Answer::Page { id: "direct".into(), page: page_of });
    desk.screen(80, 24);
    assert!(!desk.state.wants().iter().any(page(Some(451))));
    desk.key(KeyCode::PageUp);
    desk.key(KeyCode::PageUp);
    desk.screen(80, 24);
    assert!(desk.state.wants().iter().any(page(Some(451))));
}

#[tokio::test]
async fn up_changes_ones_last_message_and_esc_drops_that() {
    let mut desk = Desk::new();
    let mine = desk.says("ann", "teh end");
    desk.says("bob", "what?");
    desk.key(KeyCode::Up);
    assert!(desk.screen(80, 24).contains("› teh end"));
    for _ in 0..7 {
        desk.key(KeyCode::Backspace);
    }
    desk.types("the end");
    let Mutation::EditMessage(edit) = desk.sent() else { panic!("no edit") };
    assert_eq!((edit.seq, edit.content), (mine, content("the end")));
    desk.key(KeyCode::Up);
    desk.key(KeyCode::Esc);
    assert!(desk.state.room().composer.is_empty());
    assert_eq!(desk.state.room().purpose, Purpose::Say);
}

#[tokio::test]
async fn a_picked_message_is_answered_reacted_to_and_deleted() {
    let mut desk = Desk::new();
    let first = desk.says("bob", "first");
    let mine = desk.says("ann", "mine");
    let control = KeyModifiers::CONTROL;
    desk.chord(KeyCode::Up, control);
    assert_eq!(desk.state.mode, Mode::Pick(mine));
    assert!(desk.screen(80, 24).contains("▌  mine"));
    assert!(desk.screen(80, 24).contains("r reply"), "the keys are taught");
    desk.chord(KeyCode::Up, control);
    desk.key(KeyCode::Char('r'));
    assert!(desk.screen(80, 24).contains("reply to bob: first"));
    desk.types("second");
    let Mutation::SendMessage(reply) = desk.sent() else { panic!("no reply") };
    assert_eq!((reply.reply_to, reply.content), (first, content("second")));
    desk.chord(KeyCode::Up, control);
    desk.key(KeyCode::Up);
    desk.key(KeyCode::Char('+'));
    desk.types("🎉");
    let Mutation::AddReaction(reaction) = desk.sent() else { panic!("no reaction") };
    assert_eq!((reaction.seq, reaction.reaction.as_str()), (first, "🎉"));
    desk.chord(KeyCode::Up, control);
    let deletes = desk.key(KeyCode::Char('d'));
    assert!(
        matches!(&deletes[..], [Effect::Send(change)] if matches!(&**change, Mutation::DeleteMessage(d) if d.seq == mine))
    );
}

#[tokio::test]
async fn a_broken_connection_is_told_with_what_waits() {
    let mut desk = Desk::new();
    desk.state.heard(&Item::Detached { cause: "gone".into(), retry_in: Duration::from_secs(4) });
    desk.waits("not yet", Progress::Draft);
    let screen = desk.screen(80, 24);
    assert!(screen.contains("Not connected, again in 4 s; 1 message waits"), "{screen}");
    assert!(screen.contains("   not yet\n") && screen.contains("… on its way"), "{screen}");
    assert!(desk.screen(40, 12).contains("Not connected, again in 4 s"));
    assert!(desk.state.wants().is_empty(), "nothing is asked of a server that is away");
    desk.state.link = Link::Away { cause: String::new(), until: Instant::now() };
    assert!(desk.screen(80, 24).contains("connecting"));
    desk.state.heard(&Item::Attached { user: "ann".into(), device: "terminal".into() });
    assert!(!desk.screen(80, 24).contains("Not connected"));
}

#[tokio::test]
async fn what_was_refused_comes_back_into_the_line() {
    let mut desk = Desk::new();
    desk.waits("mayn't I?", Progress::Held { why: "PERMISSION_DENIED: no".into(), certain: true });
    assert!(desk.screen(80, 24).contains("✗ not sent: PERMISSION_DENIED: no"));
    assert_eq!(desk.key(KeyCode::Up), [Effect::Take(1)]);
    let taken = desk.state.waiting.remove(0);
    desk.state.taken(taken.mutation);
    assert!(desk.screen(80, 24).contains("› mayn't I?"));
}

#[tokio::test]
async fn without_colours_there_are_none_and_with_them_there_are() {
    let mut desk = Desk::new();
    desk.says("bob", "hello");
    desk.state.heard(&Item::Detached { cause: "gone".into(), retry_in: Duration::ZERO });
    desk.state.warn("bad");
    let coloured = |desk: &mut Desk, colours| {
        let terminal = desk.drawn(80, 24, colours);
        let buffer = terminal.backend().buffer();
        buffer.content().iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(!coloured(&mut desk, false));
    assert!(coloured(&mut desk, true));
    desk.key(KeyCode::F(1));
    assert!(!coloured(&mut desk, false));
}

#[tokio::test]
async fn people_are_shown_as_they_want_to_be() {
    let mut desk = Desk::new();
    desk.says("bob", "hi");
    let asked = |desk: &Desk| desk.state.wants().into_iter().find(|ask| matches!(ask, Ask::Names(_)));
    let ask = asked(&desk).unwrap();
    let profile = |user: &str, name: &str| v1::Profile {
        user: user.into(),
        display_name: name.into(),
        ..Default::default()
    };
    let users = vec!["ann".to_owned(), "bob".to_owned()];
    assert_eq!(ask, Ask::Names(users.clone()));
    desk.state.answered(&ask, Answer::Names { asked: users, told: vec![profile("bob", "Bob Baker")] });
    assert_eq!(asked(&desk), None, "who has no name is not asked for again");
    let screen = desk.screen(80, 24);
    // In the list, above the conversation, and beside what bob said.
    assert_eq!(screen.matches("Bob Baker").count(), 3, "{screen}");
    desk.types("/name Ann Adams");
    let effects = desk.key(KeyCode::Enter);
    let rename = effects.into_iter().find_map(|effect| match effect {
        Effect::Ask(ask) => Some(ask),
        _ => None,
    });
    let rename = rename.unwrap();
    assert_eq!(rename, Ask::Rename("Ann Adams".into()));
    desk.state.answered(&rename, Answer::Renamed(profile("ann", "Ann Adams")));
    desk.says("ann", "it's me");
    assert!(desk.screen(80, 24).contains("Ann Adams"));
}

#[tokio::test]
async fn the_help_teaches_and_a_question_mark_can_still_be_written() {
    let mut desk = Desk::new();
    desk.key(KeyCode::Char('?'));
    for (columns, rows) in [(80, 24), (40, 12)] {
        let screen = desk.screen(columns, rows);
        assert!(screen.contains("/dm USER") && screen.contains("send"), "{screen}");
    }
    desk.key(KeyCode::Char('?'));
    assert!(desk.screen(80, 24).contains("› ?"));
}

#[tokio::test]
async fn one_goes_to_other_conversations_and_each_keeps_its_line() {
    let mut desk = Desk::new();
    desk.says("bob", "hi");
    desk.types("for bob");
    desk.key(KeyCode::Tab);
    assert_eq!(desk.state.open.as_deref(), Some("team"));
    assert!(!desk.screen(80, 24).contains("for bob"));
    desk.key(KeyCode::F(2));
    assert!(desk.screen(40, 12).contains("Team"), "the list has the narrow screen");
    desk.key(KeyCode::Up);
    desk.key(KeyCode::Enter);
    assert!(desk.screen(80, 24).contains("› for bob"));
}

#[tokio::test]
async fn what_is_looked_for_is_found_backwards() {
    let mut desk = Desk::new();
    let first = desk.says("bob", "the Cake is here");
    desk.says("bob", "no more of it");
    let last = desk.says("ann", "cake!");
    desk.types("/search cake");
    desk.key(KeyCode::Enter);
    assert_eq!(desk.state.mode, Mode::Pick(last));
    desk.key(KeyCode::Char('n'));
    assert_eq!(desk.state.mode, Mode::Pick(first));
    desk.key(KeyCode::Char('n'));
    assert!(desk.state.notice.as_ref().unwrap().bad);
}

#[tokio::test]
async fn others_learn_that_one_types_but_not_of_commands() {
    let mut desk = Desk::new();
    desk.types("/dm");
    assert_eq!(desk.state.said_typing, None);
    desk.chord(KeyCode::Char('u'), KeyModifiers::CONTROL);
    let says = |typing| [Effect::Ask(Ask::Typing { id: "direct".into(), typing })];
    assert_eq!(desk.key(KeyCode::Char('h')), says(true));
    assert!(desk.key(KeyCode::Char('i')).is_empty(), "once in three seconds");
    assert!(desk.key(KeyCode::Enter).contains(&says(false)[0]));
}
