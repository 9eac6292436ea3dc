//! Another configuration for an edge that runs.

use crate::{
    client::{Client, SEND},
    node::Node,
    world::{World, until},
};
use nexus_gateway::ReloadError;
use tonic::Code;

#[tokio::test]
async fn what_can_be_changed_is_and_streams_go_on() {
    let mut world = World::new().await;
    let client = Client::of(&world, "bob").await;
    let mut stream = client.attach("ticks").await.unwrap();
    client.call(SEND, "").await.unwrap();

    // Other nodes, one change a day, and another secret.
    let other = Node::on_tcp("other");
    let mut config = world.config.clone();
    (config.limits.mutation_rate, config.limits.mutation_burst) = (1, 1);
    config.limits.streams = 7;
    config.upstreams = vec![other.address.clone()];
    world.edge.reload(config.clone()).await.unwrap();
    assert_eq!(world.metric(r#"nexus_gateway_limit{name="streams"}"#), 7.0);
    until("the other node is asked", async || {
        client.call(SEND, "").await.is_ok_and(|said| said.node == "other")
    })
    .await;
    let mut refused = None;
    until("a second change in the same moment is refused", async || {
        refused = client.call(SEND, "").await.err();
        refused.is_some()
    })
    .await;
    let refused = refused.unwrap();
    assert!(refused.message().contains("1 a second of your changes"), "{}", refused.message());
    for _ in 0..3 {
        stream.message().await.unwrap().unwrap();
    }

    config.auth.secret = Some("another secret, which is long enough as well".into());
    world.edge.reload(config).await.unwrap();
    let refused = client.call(SEND, "").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    stream.message().await.unwrap().unwrap();
    assert_eq!(world.metric(r#"nexus_gateway_config_reloads_total{result="ok"}"#), 2.0);
    world.nodes.push(other);
}

#[tokio::test]
async fn what_cannot_be_honoured_changes_nothing() {
    let world = World::new().await;
    let client = Client::of(&world, "bob").await;

    let mut config = world.config.clone();
    config.auth.secret = Some("another secret, which is long enough as well".into());
    config.limits.calls = 0;
    let Err(ReloadError::Mistakes(mistakes)) = world.edge.reload(config.clone()).await else {
        panic!("a limit of nothing is a mistake")
    };
    assert!(mistakes[0].contains("limits.calls"), "{mistakes:?}");

    config.limits.calls = 5;
    config.threads = 3;
    config.limits.body_bytes = 5;
    let refused = world.edge.reload(config.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("gateway.threads, gateway.limits.body_bytes can't be changed"), "{refused}");

    config.threads = world.config.threads;
    config.limits.body_bytes = world.config.limits.body_bytes;
    (config.auth.secret, config.auth.secret_file) = (None, Some("/nowhere/at/all".into()));
    let refused = world.edge.reload(config).await.unwrap_err().to_string();
    assert!(refused.contains("gateway.auth: /nowhere/at/all"), "{refused}");

    client.call(SEND, "").await.unwrap();
    assert_eq!(world.metric(r#"nexus_gateway_config_reloads_total{result="error"}"#), 3.0);
}
