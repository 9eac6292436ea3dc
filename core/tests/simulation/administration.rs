//! Stories of administrators: at every step the node dies that they asked, and they ask another.

use crate::{
    cases::{STEPS, command, does, id, says, tell},
    fold::ADMINISTRATOR,
    node::Node,
    world::name,
};
use nexus_core::{
    conversation::{CommandError, Receipt, Request},
    domain::{ClientId, Place, Seq},
};
use nexus_proto::v1::{self, event::Body};

/// What a node answers, unless it dies before.
async fn answers(
    node: &Node,
    asked: impl Future<Output = Result<Receipt, CommandError>>,
) -> Result<Receipt, CommandError> {
    tokio::select! {
        biased;
        () = node.gate.died() => Err(CommandError::Unknown("it died".into())),
        answer = asked => answer,
    }
}

async fn removes(
    node: &Node,
    place: &Place,
    id: ClientId,
    users: [&str; 2],
) -> Result<Receipt, CommandError> {
    let [first, second] = users.map(|user| Body::MemberRemoved(v1::MemberRemoved { user: user.into() }));
    let request = Request::of_administrator(command(place, ADMINISTRATOR, id, first));
    answers(node, node.conversations.submit(Request { further: vec![second], ..request })).await
}

async fn trims(node: &Node, place: &Place, id: ClientId, through: Seq) -> Result<Receipt, CommandError> {
    answers(node, node.conversations.trim_through(place, name(ADMINISTRATOR), id, through)).await
}

#[test]
fn a_crash_at_any_step_of_removing_several_leaves_all_of_them_or_none() {
    for step in 1..STEPS {
        tell(|world| async move {
            let (node, place) = (world.start(0), &world.places[0]);
            let wanted = id(&world, 1);
            node.gate.dies_after(step);
            let first = removes(&node, place, wanted, ["bob", "cid"]).await;
            node.gate.shut();
            let there = world.model.log(place).iter().filter(|e| e.sender == name(ADMINISTRATOR)).count();
            assert!(there == 0 || there == 2, "{there} events");
            let other = world.start(1);
            does(&other, command(place, "ann", id(&world, 2), says(0))).await.unwrap();
            let again = removes(&other, place, wanted, ["bob", "cid"]).await.unwrap();
            assert!(first.is_err() || first.unwrap() == again);
            assert_eq!(removes(&world.start(0), place, wanted, ["bob", "cid"]).await.unwrap(), again);
            let log = world.model.log(place);
            let own = log.iter().filter(|event| event.sender == name(ADMINISTRATOR));
            let own: Vec<_> = own.map(|event| (event.seq, event.id)).collect();
            assert_eq!(own, [(again.seq, Some(wanted)), (again.seq + 1, None)]);
        });
    }
}

#[test]
fn a_crash_at_any_step_of_trimming_on_request_trims_once() {
    for step in 1..2 * STEPS {
        tell(|world| async move {
            let (node, place) = (world.start(0), &world.places[0]);
            for number in 0..12 {
                does(&node, command(place, "bob", id(&world, number), says(0))).await.unwrap();
            }
            world.fate.skip(25 * 3_600_000);
            let (wanted, end) = (id(&world, 100), 13);
            node.gate.dies_after(step);
            let first = trims(&node, place, wanted, end).await;
            node.gate.shut();
            let other = world.start(1);
            does(&other, command(place, "bob", id(&world, 101), says(0))).await.unwrap();
            let again = trims(&other, place, wanted, end).await.unwrap();
            assert!(first.is_err() || first.unwrap() == again);
            assert_eq!(trims(&world.start(0), place, wanted, end).await.unwrap(), again);
            let log = world.model.log(place);
            let own = log.iter().filter(|event| event.sender == name(ADMINISTRATOR));
            assert_eq!(own.map(|event| event.seq).collect::<Vec<_>>(), [again.seq]);
            let floor = world.model.buckets(place).last().unwrap().1.floor.seq;
            assert!((1..=end).contains(&floor), "trimmed up to {floor}");
        });
    }
}
