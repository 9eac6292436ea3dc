//! The gRPC health checks (grpc.health.v1) that take a node out and bring it back.

use super::{
    Endpoint, Upstreams, dial,
    discovery::Learned,
    upstreams::{HEALTHY, LIMPING, Node, UNHEALTHY},
};
use crate::tls::{Credentials, Towards};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::{
    Code,
    transport::{Channel, Endpoint as Target},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::{BoxError, Service as _, ServiceExt as _};

/// Bytes of the list of nodes that are read: a thousand addresses.
const NODES_BYTES: usize = 64 << 10;

/// A node, how many checks in a row it has failed, and the connection for them.
struct Watched {
    node: Arc<Node>,
    failures: u32,
    channel: Option<Channel>,
}

/// Checks every node of the set, each `interval` and whenever the set is suspected, until dropped. Nodes that show a
/// certificate are asked which others there are.
pub(crate) async fn watch(
    upstreams: Upstreams,
    towards: Option<Arc<Towards>>,
    learned: Arc<Learned>,
    interval: Duration,
    unhealthy_after: u32,
) {
    let mut watched: Vec<Watched> = Vec::new();
    loop {
        let begun = Instant::now();
        let nodes = upstreams.nodes();
        watched.retain(|watched| nodes.iter().any(|kept| Arc::ptr_eq(kept, &watched.node)));
        for node in nodes.iter() {
            if !watched.iter().any(|known| Arc::ptr_eq(&known.node, node)) {
                watched.push(Watched { node: node.clone(), failures: 0, channel: None });
            }
        }

        let mut checks = JoinSet::new();
        for Watched { node, failures, channel } in watched.drain(..) {
            let (credentials, learned) = (towards.as_ref().map(|towards| towards.now()), learned.clone());
            checks.spawn(async move {
                let checked = timeout(interval, check(&node, channel, credentials)).await;
                let (channel, health) = match checked.ok().flatten() {
                    Some((channel, serves)) => (Some(channel), if serves { HEALTHY } else { LIMPING }),
                    None => (None, UNHEALTHY),
                };
                if let (Some(channel), Endpoint::Tcp { name: Some(_), .. }) = (&channel, &node.endpoint) {
                    // One that doesn't say is no worse for it.
                    if let Ok(Ok(others)) = timeout(interval, others(channel.clone())).await {
                        learned.hear(&others);
                    }
                }
                let failures = if channel.is_some() { 0 } else { failures + 1 };
                (Watched { node, failures, channel }, health)
            });
        }
        while let Some(done) = checks.join_next().await {
            let Ok((checked, health)) = done else { continue };
            if checked.failures == 0 || checked.failures >= unhealthy_after {
                upstreams.mark(&checked.node, health);
            }
            watched.push(checked);
        }

        tokio::select! {
            // A node that stands still lets its checks last for the whole interval: the next one is due then.
            () = tokio::time::sleep_until(begun + interval) => {}
            // A burst of failed connections is one suspicion; the pause keeps it from being a busy loop.
            () = upstreams.changed() => tokio::time::sleep(interval / 10).await,
        }
    }
}

/// The connection, and whether the node says that it serves; `None` if it doesn't answer.
async fn check(
    node: &Node,
    channel: Option<Channel>,
    credentials: Option<Arc<Credentials>>,
) -> Option<(Channel, bool)> {
    let channel = match channel {
        Some(channel) => channel,
        None => connect(&node.endpoint, credentials).await.ok()?,
    };
    match HealthClient::new(channel.clone()).check(HealthCheckRequest { service: String::new() }).await {
        Ok(answer) => Some((channel, answer.into_inner().status() == ServingStatus::Serving)),
        // It answers gRPC and has no opinion about its health.
        Err(status) if status.code() == Code::Unimplemented => Some((channel, true)),
        Err(_) => None,
    }
}

/// The nodes that a node hears of, an address a line.
async fn others(mut channel: Channel) -> Result<String, BoxError> {
    let request = http::Request::get("http://node/nodes").body(tonic::body::Body::empty())?;
    let response = channel.ready().await?.call(request).await?;
    if response.status() != http::StatusCode::OK {
        return Ok(String::new());
    }
    let body = Limited::new(response.into_body(), NODES_BYTES).collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec())?)
}

/// A connection for checks alone. It is given its socket, since tonic refuses `https` with a connector of one's own where
/// any crate of the build turned its TLS on.
async fn connect(endpoint: &Endpoint, credentials: Option<Arc<Credentials>>) -> Result<Channel, BoxError> {
    let endpoint = endpoint.clone();
    let connector = tower::service_fn(move |_| {
        let (endpoint, credentials) = (endpoint.clone(), credentials.clone());
        async move { Ok::<_, std::io::Error>(TokioIo::new(dial(&endpoint, credentials).await?)) }
    });
    Ok(Target::from_static("http://node").connect_with_connector(connector).await?)
}
