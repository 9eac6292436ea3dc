//! The gRPC health checks (grpc.health.v1) that take a node out and bring it back.

use super::{Endpoint, Upstreams, upstreams::Node};
use crate::tls::{Credentials, Towards};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::{TcpStream, UnixStream},
    task::JoinSet,
};
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;
use tonic::{
    Code,
    transport::{Channel, Endpoint as Target},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::BoxError;

/// Checks every node of the set, each `interval` and whenever the set is suspected, until dropped.
pub(crate) async fn watch(
    upstreams: Upstreams,
    towards: Option<Arc<Towards>>,
    interval: Duration,
    unhealthy_after: u32,
) {
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
            let credentials = towards.as_ref().map(|towards| towards.now());
            checks.spawn(async move {
                let (good, client) =
                    match tokio::time::timeout(interval, check(&node, client, credentials)).await {
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
async fn check(
    node: &Node,
    client: Option<HealthClient<Channel>>,
    credentials: Option<Arc<Credentials>>,
) -> Option<HealthClient<Channel>> {
    let mut client = match client {
        Some(client) => client,
        None => HealthClient::new(connect(&node.endpoint, credentials).await.ok()?),
    };
    match client.check(HealthCheckRequest { service: String::new() }).await {
        Ok(answer) => (answer.into_inner().status() == ServingStatus::Serving).then_some(client),
        // It answers gRPC and has no opinion about its health.
        Err(status) if status.code() == Code::Unimplemented => Some(client),
        Err(_) => None,
    }
}

/// A connection for checks alone. It is given its socket, since tonic refuses `https` with a connector of one's own where
/// any crate of the build turned its TLS on.
async fn connect(endpoint: &Endpoint, credentials: Option<Arc<Credentials>>) -> Result<Channel, BoxError> {
    let endpoint = endpoint.clone();
    let connector = tower::service_fn(move |_| {
        let (endpoint, credentials) = (endpoint.clone(), credentials.clone());
        async move {
            let socket = match endpoint {
                Endpoint::Unix(path) => Either::Left(UnixStream::connect(path).await?),
                Endpoint::Tcp { at, name: None } => {
                    Either::Right(Either::Left(TcpStream::connect(at).await?))
                }
                Endpoint::Tcp { at, name: Some(name) } => {
                    let missing =
                        || io::Error::other("gateway.upstream: certificate, key and ca are not set");
                    let credentials = credentials.ok_or_else(missing)?;
                    let name = ServerName::try_from(name).map_err(io::Error::other)?;
                    let connector = TlsConnector::from(credentials.client.clone());
                    Either::Right(Either::Right(
                        connector.connect(name, TcpStream::connect(at).await?).await?,
                    ))
                }
            };
            Ok::<_, io::Error>(TokioIo::new(socket))
        }
    });
    Ok(Target::from_static("http://node").connect_with_connector(connector).await?)
}
