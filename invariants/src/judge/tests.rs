//! What the judge finds, and what it lets pass.

use super::*;

fn event(seq: u64) -> Envelope {
    Envelope { seq, id: format!("id{seq}"), sender: "ann".into(), ..Envelope::default() }
}

fn violated(judge: &Judge) -> Vec<&'static str> {
    let verdicts = judge.verdicts().into_iter();
    verdicts.filter(|(_, v)| v.violated > 0).map(|(invariant, _)| invariant.id()).collect()
}

fn observed(log: &[u64], received: &[u64]) -> Judge {
    let mut judge = Judge::default();
    judge.conversation("c", &["ann".into(), "bob".into()]);
    judge.acknowledged("c", "ann", "id1", 1);
    judge.acknowledged("c", "ann", "id2", 2);
    judge.log("c", log.iter().map(|seq| event(*seq)).collect());
    judge.attached("c", "bob", "", Some(0));
    received.iter().for_each(|seq| judge.received("c", "bob", "", event(*seq)));
    judge
}

#[test]
fn what_is_right_is_right() {
    assert!(violated(&observed(&[1, 2], &[1, 2])).is_empty());
    assert!(observed(&[1, 2], &[1, 2]).complete());
}

#[test]
fn each_violation_is_found() {
    assert_eq!(violated(&observed(&[1, 2], &[1])), ["STREAM-2"]);
    assert_eq!(violated(&observed(&[1, 2], &[1, 2, 2])), ["STREAM-1", "STREAM-2"]);
    assert_eq!(violated(&observed(&[1, 2], &[2, 1])), ["STREAM-1"]);
    assert_eq!(violated(&observed(&[1], &[1, 2])), ["LOG-3", "LOG-4"]);
    assert_eq!(violated(&observed(&[1, 2, 4], &[1, 2, 4])), ["LOG-1", "STREAM-1"]);
    let mut judge = observed(&[1, 2], &[1, 2]);
    judge.acknowledged("c", "ann", "id1", 2);
    judge.view(false, || "bob's list".into());
    assert_eq!(violated(&judge), ["LOG-2", "LOG-3", "VIEW-1"]);
    let mut judge = observed(&[1, 2], &[1, 2]);
    judge.refused("c", "ann", "id2");
    assert_eq!(violated(&judge), ["LOG-2"]);
}

#[test]
fn members_come_and_go() {
    let mut judge = observed(&[1, 2, 3, 4], &[1, 2, 3, 4]);
    judge.member("c", "bob", Spans(vec![(1, Some(2)), (4, None)]));
    assert_eq!(violated(&judge), ["STREAM-3"]);
    judge.member("c", "bob", Spans(vec![(1, Some(2))]));
    // What one must get is only promised to those who are members.
    judge.attached("c", "bob", "watch", Some(0));
    assert_eq!(violated(&judge), ["STREAM-3"]);
    assert_eq!(judge.pairs(), 2, "what ann alone is owed");
}

#[test]
fn who_asks_for_what_is_hidden_must_not_be_shown_it() {
    let shown = |user: &str, seq: u64| {
        let mut judge = observed(&[1, 2], &[1, 2]);
        judge.member("c", "cid", Spans(vec![(1, Some(1))]));
        judge.shown("c", user, seq);
        violated(&judge)
    };
    assert!(shown("cid", 1).is_empty());
    assert_eq!(shown("cid", 2), ["STREAM-3"]);
    assert_eq!(shown("eve", 1), ["STREAM-3"]);
}

#[test]
fn what_a_device_lost_it_gets_again_and_nothing_else() {
    let again = |cursor: Option<u64>, skipped: u64, events: &[u64]| {
        let mut judge = observed(&[1, 2, 3], &[1, 2, 3]);
        judge.attached("c", "bob", "", cursor);
        if cursor.is_none() {
            judge.skipped("c", "bob", "", 1, skipped, true);
        }
        events.iter().for_each(|seq| judge.received("c", "bob", "", event(*seq)));
        violated(&judge)
    };
    assert!(again(Some(3), 0, &[]).is_empty());
    assert!(again(Some(1), 0, &[2, 3]).is_empty());
    assert!(again(None, 0, &[1, 2, 3]).is_empty());
    assert!(again(None, 2, &[3]).is_empty());
    assert_eq!(again(Some(3), 0, &[3]), ["STREAM-1", "STREAM-2"]);
    assert_eq!(again(Some(1), 0, &[2]), ["STREAM-2"]);
    assert_eq!(again(None, 0, &[1, 2]), ["STREAM-2"]);
}

#[test]
fn a_reset_says_what_is_not_sent() {
    let with = |resets: &[(u64, u64)], events: &[u64]| {
        let mut judge = observed(&[1, 2, 3, 4], &[1, 2, 3, 4]);
        judge.attached("c", "bob", "watch", None);
        resets.iter().for_each(|(first, last)| judge.skipped("c", "bob", "watch", *first, *last, false));
        events.iter().for_each(|seq| judge.received("c", "bob", "watch", event(*seq)));
        violated(&judge)
    };
    assert!(with(&[(1, 3)], &[4]).is_empty());
    assert!(with(&[(1, 4), (5, 4)], &[]).is_empty());
    assert_eq!(with(&[], &[1, 2, 3, 4]), ["STREAM-1"], "without a cursor a Reset comes first");
    assert_eq!(with(&[(1, 2)], &[4]), ["STREAM-1", "STREAM-2"]);
    assert_eq!(with(&[(1, 2), (4, 4)], &[]), ["STREAM-1", "STREAM-2"]);
}
