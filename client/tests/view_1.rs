//! VIEW-1 for the client: a copy kept by applying the stream equals what fetching afresh gives, whatever order the
//! stream's events and the history's pages come in.
#![allow(clippy::unwrap_used, clippy::expect_used)]
mod reference;

use nexus_client::{Item, state::Replica, v1::*};
use proptest::prelude::*;
use reference::{ME, Server, log};

/// What happens next to the client.
#[derive(Clone, Debug)]
enum Step {
    /// The log grows by so many events.
    Append(usize),
    /// The stream delivers so many of the events that are in the log.
    Deliver(u64),
    /// The stream leaves out everything up to the end of the log.
    Hole,
    /// The process dies and starts again with nothing but an old cursor: the stream leaves out what came until it was
    /// open, and the conversation is read when more has come.
    Crash(prop::sample::Index),
    /// A page is read: before, after or around a place, or the newest one. It arrives later.
    Ask { anchor: u8, place: prop::sample::Index, limit: usize },
    /// Some messages by seq.
    AskSome(Vec<prop::sample::Index>),
    /// The conversation itself is read. It arrives later.
    AskSummary,
    /// One of the answers under way arrives.
    Arrive(prop::sample::Index),
    /// The user reads all that the stream has brought.
    Read,
}

enum Answer {
    Page(ListMessagesResponse, ListMessagesRequest),
    Some(Vec<Message>, u64),
    Summary(Conversation),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<prop::sample::Index>;
    let step = prop_oneof![
        3 => (1..12usize).prop_map(Step::Append),
        4 => (1..8u64).prop_map(Step::Deliver),
        1 => Just(Step::Hole),
        1 => index().prop_map(Step::Crash),
        3 => (0..4u8, index(), 1..9usize).prop_map(|(anchor, place, limit)| Step::Ask { anchor, place, limit }),
        1 => prop::collection::vec(index(), 1..5).prop_map(Step::AskSome),
        1 => Just(Step::AskSummary),
        4 => index().prop_map(Step::Arrive),
        1 => Just(Step::Read),
    ];
    prop::collection::vec(step, 1..70)
}

fn page(server: &Server, request: ListMessagesRequest) -> Answer {
    Answer::Page(server.list_messages(&request), request)
}

/// Gives an answer to the replica; what is too old is asked for again.
fn arrive(replica: &mut Replica, server: &Server, answer: Answer) {
    let conversation = replica.get_mut("c").unwrap();
    match answer {
        Answer::Summary(summary) => conversation.summary(summary),
        Answer::Page(answer, request) => {
            if let Err(stale) = conversation.page(answer) {
                assert!(stale.at_least <= server.head);
                conversation.page(server.list_messages(&request)).expect("a new page is not too old");
            }
        }
        Answer::Some(messages, reflects) => {
            let seqs: Vec<u64> = messages.iter().map(|message| message.seq).collect();
            if conversation.messages(messages, reflects).is_err() {
                let again = seqs.iter().filter_map(|&seq| server.message(seq)).collect();
                conversation.messages(again, server.head).expect("new messages are not too old");
            }
        }
    }
}

fn deliver(replica: &mut Replica, server: &Server, count: u64) {
    let from = replica.get("c").unwrap().seq();
    let events: Vec<Event> = server.log.iter().skip(from as usize).take(count as usize).cloned().collect();
    let events: Vec<Event> = events.into_iter().filter(|event| event.seq <= server.head).collect();
    if let Some(last) = events.last() {
        let cursor = last.seq;
        replica.apply(&Item::Events { conversation_id: "c".into(), events, cursor });
    }
}

fn check(replica: &Replica, server: &Server) {
    let conversation = replica.get("c").unwrap();
    assert_eq!(conversation.seq(), server.head);
    for seq in 1..=server.head {
        let held = conversation.message(seq);
        if held.is_some() || conversation.covered().contains(seq, seq) {
            assert_eq!(held.cloned(), server.message(seq), "message {seq}");
        }
    }
    let expected = Conversation { id: "c".into(), ..server.summary() };
    assert_eq!(*conversation.view(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn applying_the_stream_equals_fetching_afresh(log in log(), steps in steps()) {
        let mut server = Server::new(log);
        let mut replica = Replica::new(ME);
        replica.summary(Conversation { id: "c".into(), ..server.summary() });
        let mut under_way: Vec<Answer> = Vec::new();
        for step in steps {
            match step {
                Step::Append(count) => server.grow(count),
                Step::Deliver(count) => deliver(&mut replica, &server, count),
                Step::Hole => {
                    let (conversation_id, last) = ("c".to_owned(), server.head);
                    let first = replica.get("c").unwrap().seq() + 1;
                    replica.apply(&Item::Hole { conversation_id, first, last, reason: ResetReason::TooLong });
                }
                Step::Crash(place) => {
                    under_way.clear();
                    replica = Replica::new(ME);
                    let (conversation_id, last) = ("c".to_owned(), 1 + place.index(server.head as usize) as u64);
                    replica.apply(&Item::Hole { conversation_id, first: 1, last, reason: ResetReason::TooLong });
                    replica.summary(Conversation { id: "c".into(), ..server.summary() });
                }
                Step::Ask { anchor, place, limit } => {
                    let seq = 1 + place.index(server.head as usize) as u64;
                    let anchor = match anchor {
                        0 => None,
                        1 => Some(list_messages_request::Anchor::BeforeSeq(seq)),
                        2 => Some(list_messages_request::Anchor::AfterSeq(seq)),
                        _ => Some(list_messages_request::Anchor::AroundSeq(seq)),
                    };
                    let limit = limit as u32;
                    under_way.push(page(&server, ListMessagesRequest { anchor, limit, ..Default::default() }));
                }
                Step::AskSome(places) => {
                    let seqs = places.iter().map(|place| 1 + place.index(server.head as usize) as u64);
                    under_way.push(Answer::Some(seqs.filter_map(|seq| server.message(seq)).collect(), server.head));
                }
                Step::AskSummary => {
                    under_way.push(Answer::Summary(Conversation { id: "c".into(), ..server.summary() }));
                }
                Step::Arrive(which) if !under_way.is_empty() => {
                    let answer = under_way.swap_remove(which.index(under_way.len()));
                    arrive(&mut replica, &server, answer);
                }
                Step::Arrive(_) => {}
                Step::Read => {
                    let conversation = replica.get_mut("c").unwrap();
                    let seq = conversation.seq();
                    conversation.read(seq);
                    server.read(seq);
                }
            }
        }
        for answer in under_way {
            arrive(&mut replica, &server, answer);
        }
        deliver(&mut replica, &server, u64::MAX >> 1);
        if let Some(at_least) = replica.get("c").unwrap().needs_summary() {
            assert!(at_least <= server.head);
            replica.summary(Conversation { id: "c".into(), ..server.summary() });
        }
        check(&replica, &server);

        // Scrolling back to the beginning gives everything there is.
        while let Some(before) = replica.get("c").unwrap().older() {
            let anchor = before.map(list_messages_request::Anchor::BeforeSeq);
            let answer = page(&server, ListMessagesRequest { anchor, limit: 5, ..Default::default() });
            arrive(&mut replica, &server, answer);
        }
        check(&replica, &server);
        let all: Vec<Message> = replica.get("c").unwrap().newest().cloned().collect();
        let fresh: Vec<Message> = (1..=server.head).filter_map(|seq| server.message(seq)).collect();
        prop_assert_eq!(all, fresh);
    }
}
