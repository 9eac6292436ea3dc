//! Carrying a request to a node and its answer back: the policy is asked, and its decision carried out. Over HTTP/2 the
//! edge does all of it itself; with HTTP/1.1, Pingora reads and writes (`proxy/http1.rs`). Nothing here names a type of
//! Pingora's.
//!
//! - `mod.rs`: a request from its header to its line in the log
//! - `client.rs`: the client's side of it, whichever HTTP it speaks; `http2.rs`: over HTTP/2
//! - `exchange.rs`: the node's side of it, and both directions between them; `headers.rs`: what goes on
//! - `boundary.rs`: where an answer stands among its messages
//! - `reply.rs`: answers of the edge's own; `failure.rs`: what a client is told when nothing came of it
//! - `links.rs`: connections to nodes, kept and shared; `link.rs`: one of them
//! - `request.rs`: what is known of a request while it lasts; `gathered.rs`: how bytes are written

mod boundary;
mod client;
mod exchange;
mod failure;
mod gathered;
mod headers;
mod http2;
mod link;
mod links;
mod reply;
mod request;

pub(crate) use client::{Client, Lost};
pub(crate) use gathered::Gathered;
pub(crate) use http2::{refuse_ambiguous, serve};
pub(crate) use links::Links;

use crate::{
    Clock,
    config::Config,
    metrics::Metrics,
    policy::{
        Action, Decision, Forward, Protocol, Reply, RequestHead, Stack, render, trailer_frame, trailers,
    },
    routing::{Load, Upstreams},
};
use exchange::Exchange;
use failure::Failure;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use request::{Close, InProgress, Request};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::time::Instant;
use tonic::Status;
use tower::ServiceExt;

/// A call that its client gives up after this long without an answer is its node's failure. One that was given up sooner says
/// nothing of the node.
const PATIENCE: Duration = Duration::from_secs(1);

/// For the rest of a request that was answered without it.
const DRAIN: Duration = Duration::from_secs(2);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a client asks, as it was read.
pub(crate) struct Asked {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Whether it came over TLS.
    pub secure: bool,
    pub http2: bool,
}

impl Asked {
    fn authority(&self) -> Option<&str> {
        let named = self.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        named.or(self.uri.authority().map(|authority| authority.as_str()))
    }

    /// As the policy sees it.
    fn head(&self) -> RequestHead {
        let query = self.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = self.uri.path().to_owned();
        RequestHead {
            host: self.authority().map(str::to_owned),
            secure: self.secure,
            http2: self.http2,
            ..RequestHead::new(self.method.clone(), path, query, self.headers.clone(), self.peer)
        }
    }
}

/// Every request goes through it.
pub(crate) struct Forwarder {
    stack: Stack,
    upstreams: Upstreams,
    links: Arc<Links>,
    clock: Clock,
    metrics: Metrics,
    attempts: usize,
    body_bytes: usize,
    write: Duration,
}

/// What became of a request before anything went between client and node.
enum Begun {
    /// The edge answered it.
    Answered,
    /// A node has it, which may say nothing for this long.
    Sent(Exchange, Duration),
    Failed(Failure),
}

impl Forwarder {
    pub(crate) fn new(
        config: &Config,
        stack: Stack,
        upstreams: Upstreams,
        links: Arc<Links>,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        Forwarder {
            stack,
            upstreams,
            links,
            clock,
            metrics,
            attempts: config.upstream.connect_attempts,
            body_bytes: config.limits.body_bytes,
            write: Duration::from_secs(config.timeouts.write_s),
        }
    }

    /// How long a client may read nothing while there is something to read.
    pub(crate) fn write_timeout(&self) -> Duration {
        self.write
    }

    /// Carries one request from its header to its line in the log.
    pub(crate) async fn carry<C: Client>(&self, client: &mut C, asked: Box<Asked>) {
        // What happens once stands in boxes: this future is there for as long as its stream is.
        let (mut request, begun) = Box::pin(self.begin(client, asked)).await;
        let carried = match begun {
            Begun::Answered => Ok(()),
            Begun::Sent(exchange, silence) => exchange.run(self, client, &mut request, silence).await,
            Begun::Failed(failure) => Err(failure),
        };
        Box::pin(self.conclude(client, &mut request, carried)).await;
    }

    /// Asks the policy, and answers or sends it on.
    async fn begin<C: Client>(&self, client: &mut C, asked: Box<Asked>) -> (Box<Request>, Begun) {
        let began = Instant::now();
        let Ok(Decision { facts, action, mut headers }) = self.stack.clone().oneshot(asked.head()).await;
        if let Ok(id) = HeaderValue::from_str(&facts.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        let path = asked.uri.path();
        let mut request = Box::new(Request::new(began, asked.method.clone(), path, facts, headers));
        let response = match action {
            Action::Forward(forward) => {
                let begun = match self.send(client.is_read(), &asked, forward, &mut request).await {
                    Ok((exchange, silence)) => Begun::Sent(exchange, silence),
                    Err(failure) => Begun::Failed(failure),
                };
                return (request, begun);
            }
            Action::Reply(Reply::Http(response)) => *response,
            Action::Reply(Reply::Status(status)) => {
                request.grpc_status = request.facts.protocol.is_grpc().then_some(status.code() as u16);
                render(&status, &request.facts)
            }
        };
        request.close = Close::Answered;
        let begun = match reply::send(client, response, &mut request, self.clock.now_ms()).await {
            Ok(()) => Begun::Answered,
            Err(lost) => Begun::Failed(lost.into()),
        };
        (request, begun)
    }

    /// Sends it to a node, and to the next one if that can't be connected to. What was sent is never sent again.
    async fn send(
        &self,
        whole: bool,
        asked: &Asked,
        mut forward: Forward,
        request: &mut Request,
    ) -> Result<(Exchange, Duration), Failure> {
        let ours = std::mem::take(&mut forward.headers);
        let (key, silence) = (forward.key, forward.silence);
        request.forward = Some(forward);
        let (load, gauge) = if request.is_stream() {
            (Load::Streams, &self.metrics.streams)
        } else {
            (Load::Calls, &self.metrics.calls)
        };
        request.in_progress = Some(InProgress::new(gauge));

        let mut tried = Vec::new();
        for _ in 0..self.attempts {
            let Some(chosen) = self.upstreams.choose(key, load, &tried) else { break };
            let head = headers::upward(asked, &ours).map_err(|_| {
                Failure::own(Close::Internal, Status::internal("the edge could not carry this request"))
            })?;
            let begun = match self.links.get(chosen.endpoint(), chosen.label()).await {
                // It broke in this moment, and the next attempt may well be at the same node.
                Ok((node, held)) => {
                    Exchange::begin(node, held, chosen.out(), head, whole).map_err(|error| error.to_string())
                }
                Err(error) => {
                    tried.push(chosen.label().to_owned());
                    Err(error)
                }
            };
            match begun {
                Ok(exchange) => {
                    request.upstream = Some(chosen);
                    return Ok((exchange, silence));
                }
                Err(error) => {
                    self.metrics.upstream_failures.with_label_values(&[chosen.label(), "connect"]).inc();
                    tracing::warn!(upstream = chosen.label(), error, "chat node can't be connected to");
                    self.upstreams.suspect();
                }
            }
        }
        Err(Failure::no_node())
    }

    /// Tells the client what went wrong, if something did, and the log what happened.
    async fn conclude<C: Client>(&self, client: &mut C, request: &mut Request, carried: Result<(), Failure>) {
        if let Err(failure) = carried {
            self.fail(client, request, failure).await;
        }
        // Of a request that was answered before all of it had come: leaving now would reset its stream.
        client.drain(DRAIN).await;
        request.log(&self.metrics);
    }

    async fn fail<C: Client>(&self, client: &mut C, request: &mut Request, failure: Failure) {
        request.close = failure.close;
        let upstream = request.upstream.as_ref().map(|chosen| chosen.label());
        if let (Some(upstream), Some(kind)) = (upstream, failure.kind) {
            self.metrics.upstream_failures.with_label_values(&[upstream, kind]).inc();
        }
        // Of a request that its client has not sent whole, no node can be expected to answer.
        let unanswered = match failure.close {
            Close::UpstreamFailed => true,
            Close::UpstreamTimeout => client.is_read(),
            Close::ClientGone => {
                client.is_read() && request.status.is_none() && request.began.elapsed() >= PATIENCE
            }
            _ => false,
        };
        if let Some(chosen) = request.upstream.as_ref().filter(|_| unanswered) {
            self.upstreams.failed(chosen);
        }
        let Some(status) = failure.status else { return client.cut() };
        request.grpc_status = Some(status.code() as u16);
        if failure.kind.is_some() || failure.close == Close::Internal {
            let request_id = request.facts.request_id.as_str();
            tracing::warn!(upstream, request_id, close = failure.close.as_str(), "request failed");
        }
        // A client that left meanwhile is told nothing, and that is all that can go wrong here.
        match (request.status.is_some(), request.answer) {
            (false, _) => {
                let response = render(&status, &request.facts);
                reply::send(client, response, request, self.clock.now_ms()).await.ok();
            }
            (true, Protocol::Grpc) => {
                client.end(Some(trailers(&status))).await.ok();
            }
            (true, Protocol::Web | Protocol::WebText) if request.boundary.is_between() => {
                if client.send(trailer_frame(&status, request.answer)).await.is_ok() {
                    client.end(None).await.ok();
                }
            }
            (true, _) => client.cut(),
        }
    }
}
