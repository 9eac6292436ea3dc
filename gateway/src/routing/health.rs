//! The gRPC health checks (grpc.health.v1) that take a node out and bring it back.

use super::{Address, Endpoint, Upstreams, upstreams::Node};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tonic::{
    Code,
    transport::{Channel, Endpoint as Target},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Checks every node of the set, each `interval` and whenever the set is suspected, until dropped.
pub(crate) async fn watch(upstreams: Upstreams, interval: Duration, unhealthy_after: u32) {
    let mut watched: Vec<(Arc<Node>, u32, Option<HealthClient<Channel>>)> = Vec::new();
    loop {
        let nodes = upstreams.nodes();
        watched.retain(|(node, ..)| nodes.iter().any(|kept| Arc::ptr_eq(kept, node)));
        for node in nodes.iter() {
            if !watched.iter().any(|(known, ..)| Arc::ptr_eq(known, node)) {
                watched.push((node.clone(), 0, None));
            }
        }

        let mut checks = JoinSet::new();
        for (node, failures, client) in watched.drain(..) {
            checks.spawn(async move {
                let (good, client) = match tokio::time::timeout(interval, check(&node, client)).await {
                    Ok(Some(client)) => (true, Some(client)),
                    Ok(None) | Err(_) => (false, None),
                };
                (node, if good { 0 } else { failures + 1 }, client)
            });
        }
        while let Some(done) = checks.join_next().await {
            let Ok((node, failures, client)) = done else { continue };
            if failures == 0 {
                upstreams.mark(&node, true);
            } else if failures >= unhealthy_after {
                upstreams.mark(&node, false);
            }
            watched.push((node, failures, client));
        }

        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            // A burst of failed connections is one suspicion; the pause keeps it from being a busy loop.
            () = upstreams.changed() => tokio::time::sleep(interval / 10).await,
        }
    }
}

/// The client, if the node says that it serves.
async fn check(node: &Node, client: Option<HealthClient<Channel>>) -> Option<HealthClient<Channel>> {
    let endpoint = resolve(node).await?;
    let mut client = match client {
        Some(client) => client,
        None => HealthClient::new(connect(endpoint).await.ok()?),
    };
    match client.check(HealthCheckRequest { service: String::new() }).await {
        Ok(answer) => (answer.into_inner().status() == ServingStatus::Serving).then_some(client),
        // It answers gRPC and has no opinion about its health.
        Err(status) if status.code() == Code::Unimplemented => Some(client),
        Err(_) => None,
    }
}

/// Looks a name up again each time, so that a node may move.
async fn resolve(node: &Node) -> Option<Endpoint> {
    if let Address::Tcp { host, port } = &node.address
        && host.parse::<std::net::IpAddr>().is_err()
    {
        let mut found: Vec<_> = tokio::net::lookup_host((host.as_str(), *port)).await.ok()?.collect();
        found.sort();
        let known = node.endpoint();
        let still = found.iter().any(|address| known == Some(Endpoint::Tcp(*address)));
        if let (false, Some(address)) = (still, found.first()) {
            node.set_endpoint(Endpoint::Tcp(*address));
        }
    }
    node.endpoint()
}

async fn connect(endpoint: Endpoint) -> Result<Channel, tonic::transport::Error> {
    let uri = match endpoint {
        Endpoint::Tcp(address) => format!("http://{address}"),
        Endpoint::Unix(path) => format!("unix:{}", path.display()),
    };
    Target::from_shared(uri)?.connect().await
}
