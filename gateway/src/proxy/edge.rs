//! What happens to a request: the policy is asked, and its answer carried out.

use super::{
    peer::Peers,
    reply,
    request::{Close, InProgress, Request},
};
use crate::{
    Clock,
    config::Config,
    metrics::Metrics,
    policy::{
        Action, Decision, Forward, Protocol, Reply, RequestHead, Stack, render, trailer_frame,
        trailer_status, trailers, unavailable,
    },
    routing::Upstreams,
};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use pingora_core::{
    Error, ErrorSource, ErrorType, Result, protocols::http::HttpTask, upstreams::peer::HttpPeer,
};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use tonic::{Code, Status};
use tower::ServiceExt;

/// A chat node ends a stream when its token expires. The edge waits this much longer (after the leeway)
/// before it does so itself, at the next message or heartbeat.
const EXPIRY_GRACE_MS: i64 = 10_000;
/// What clients are told to wait after a node failed.
const RETRY: Duration = Duration::from_millis(500);
/// For reading the rest of a request's body that nobody wants.
const DRAIN: Duration = Duration::from_secs(2);

/// The only inbound header of ours that is passed on.
const CONVERSATION: &str = "nexus-conversation";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Every request, on every connection.
pub(super) struct Edge {
    pub stack: Stack,
    pub upstreams: Upstreams,
    pub peers: Peers,
    pub clock: Clock,
    pub metrics: Metrics,
    write: Duration,
    body_bytes: usize,
    leeway_ms: i64,
}

impl Edge {
    pub(super) fn new(
        config: &Config,
        stack: Stack,
        upstreams: Upstreams,
        peers: Peers,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        Edge {
            stack,
            upstreams,
            peers,
            clock,
            metrics,
            write: Duration::from_secs(config.timeouts.write_s),
            body_bytes: config.limits.body_bytes,
            leeway_ms: config.auth.leeway_s as i64 * 1_000,
        }
    }

    /// What to tell a client, and how to call it in the log.
    fn verdict(&self, error: &Error, request: &mut Request) -> (Close, Option<Status>) {
        if let Some((close, status)) = request.failure.take() {
            return (close, Some(status));
        }
        let upstream = request.upstream.as_ref().map(|chosen| chosen.label().to_owned()).unwrap_or_default();
        let failed = |kind| self.metrics.upstream_failures.with_label_values(&[&upstream, kind]).inc();
        match (error.esource(), error.etype()) {
            (ErrorSource::Downstream, ErrorType::WriteTimedout) => (Close::SlowClient, None),
            (ErrorSource::Downstream, _) => (Close::ClientGone, None),
            (ErrorSource::Upstream, ErrorType::ReadTimedout) => {
                failed("timeout");
                let status = if request.is_stream() {
                    unavailable("the chat node fell silent; attach again", RETRY)
                } else {
                    Status::deadline_exceeded(
                        "no answer in time; it may or may not have been done. Retry with the same id",
                    )
                };
                (Close::UpstreamTimeout, Some(status))
            }
            (ErrorSource::Upstream, _) => {
                failed("broken");
                let message = "the chat node could not answer; it may or may not have been done. Retry with the same id";
                (Close::UpstreamFailed, Some(unavailable(message, RETRY)))
            }
            _ => (Close::Internal, Some(Status::internal("the edge could not carry this request"))),
        }
    }
}

/// A request's head as the policy sees it.
fn head(session: &Session) -> RequestHead {
    let request = session.req_header();
    let peer = session.client_addr().and_then(|peer| peer.as_inet()).map(|peer| peer.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let query = request.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let named = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = named.or(request.uri.authority().map(|authority| authority.as_str())).map(str::to_owned);
    let path = request.uri.path().to_owned();
    RequestHead {
        host,
        secure: session.digest().is_some_and(|digest| digest.ssl_digest.is_some()),
        http2: request.version == Version::HTTP_2,
        ..RequestHead::new(request.method.clone(), path, query, request.headers.clone(), peer)
    }
}

/// An error that carries out what `request.failure` says. It is the client's: any other that comes up while a
/// body is sent to a node is taken for the node's, and its answer is waited for.
fn give_up(request: &mut Request, close: Close, status: Status) -> Box<Error> {
    request.failure = Some((close, status));
    Error::explain(ErrorType::InternalError, close.as_str()).into_down()
}

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Request;

    fn new_ctx(&self) -> Request {
        Request::new()
    }

    async fn request_filter(&self, session: &mut Session, request: &mut Request) -> Result<bool> {
        session.set_write_timeout(Some(self.write));
        session.set_total_drain_timeout(Some(DRAIN));
        let Ok(Decision { facts, action, headers }) = self.stack.clone().oneshot(head(session)).await;
        request.headers = headers;
        if let Ok(id) = HeaderValue::from_str(&facts.request_id) {
            request.headers.insert(REQUEST_ID, id);
        }
        let response = match action {
            Action::Forward(forward) => {
                request.facts = Some(facts);
                request.forward = Some(forward);
                let gauge = if request.is_stream() { &self.metrics.streams } else { &self.metrics.calls };
                request.in_progress = Some(InProgress::new(gauge));
                return Ok(false);
            }
            Action::Reply(Reply::Http(response)) => *response,
            Action::Reply(Reply::Status(status)) => {
                request.grpc_status = facts.protocol.is_grpc().then_some(status.code() as u16);
                render(&status, &facts)
            }
        };
        request.facts = Some(facts);
        request.close = Close::Answered;
        reply::send(session, response, &request.headers).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, request: &mut Request) -> Result<Box<HttpPeer>> {
        let Some(Forward { key, silence, .. }) = request.forward else {
            return Err(
                Error::explain(ErrorType::InternalError, "a request that nobody decided on").into_in()
            );
        };
        request.upstream = None;
        let Some(chosen) = self.upstreams.choose(key, &request.tried) else {
            let status = unavailable("no chat node can be reached; try again shortly", RETRY);
            return Err(give_up(request, Close::UpstreamFailed, status));
        };
        let peer = self.peers.peer(chosen.endpoint(), silence);
        request.upstream = Some(chosen);
        peer
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        request: &mut Request,
        mut e: Box<Error>,
    ) -> Box<Error> {
        if let Some(chosen) = &request.upstream {
            self.metrics.upstream_failures.with_label_values(&[chosen.label(), "connect"]).inc();
            tracing::warn!(upstream = chosen.label(), error = %e, "chat node can't be connected to");
            // A kept connection that broke says nothing about a new one to the same node.
            if !matches!(e.etype(), ErrorType::H2Error) {
                request.tried.push(chosen.label().to_owned());
            }
        }
        self.upstreams.suspect();
        // Nothing was sent, so nothing can be done twice.
        e.set_retry(true);
        e
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        _: &mut Session,
        mut e: Box<Error>,
        _: &mut Request,
        _: bool,
    ) -> Box<Error> {
        // Something may have been sent, and done.
        e.set_retry(false);
        e
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        upstream: &mut RequestHeader,
        request: &mut Request,
    ) -> Result<()> {
        let ours = |name: &HeaderName| name.as_str().starts_with("nexus-") && name.as_str() != CONVERSATION;
        let inbound: Vec<HeaderName> = upstream.headers.keys().filter(|name| ours(name)).cloned().collect();
        for name in &inbound {
            upstream.remove_header(name);
        }
        // The token stays at the edge, and so does what a client claims about the way it came.
        for name in ["authorization", "cookie", "forwarded", "x-forwarded-host", "x-real-ip"] {
            upstream.remove_header(name);
        }
        for (name, value) in request.forward.iter().flat_map(|forward| &forward.headers) {
            upstream.insert_header(name.clone(), value.clone())?;
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        _: bool,
        request: &mut Request,
    ) -> Result<()> {
        request.received += body.as_ref().map_or(0, Bytes::len);
        if request.received > self.body_bytes {
            let message = format!("the request is larger than {} bytes", self.body_bytes);
            return Err(give_up(request, Close::BodyTooLarge, Status::resource_exhausted(message)));
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        if let Some(chosen) = &request.upstream {
            let took = request.began.elapsed().as_secs_f64();
            self.metrics.upstream_seconds.with_label_values(&[chosen.label()]).observe(took);
        }
        request.grpc_status = status_of(&response.headers);
        let content_type = response.headers.get(header::CONTENT_TYPE);
        request.answer = content_type.map_or(Protocol::Http, |value| Protocol::parse(value.as_bytes()));
        for (name, value) in &request.headers {
            response.insert_header(name.clone(), value.clone())?;
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        _: bool,
        request: &mut Request,
    ) -> Result<Option<Duration>> {
        let expires = request.forward.as_ref().and_then(|forward| forward.expires_ms);
        if let Some(expires) = expires.filter(|_| request.is_stream())
            && self.clock.now_ms() > expires.saturating_add(self.leeway_ms + EXPIRY_GRACE_MS)
        {
            let status = Status::unauthenticated("the token has expired; attach again with a new one");
            return Err(give_up(request, Close::TokenExpired, status));
        }
        if let Some(chunk) = body {
            request.grpc_status = trailer_status(chunk, request.answer).or(request.grpc_status);
        }
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut HeaderMap,
        request: &mut Request,
    ) -> Result<Option<Bytes>> {
        request.grpc_status = status_of(trailers).or(request.grpc_status);
        Ok(None)
    }

    async fn fail_to_proxy(&self, session: &mut Session, e: &Error, request: &mut Request) -> FailToProxy {
        let (close, status) = self.verdict(e, request);
        request.close = close;
        let error_code = if status.is_some() { 503 } else { 0 };
        if let (Some(status), Some(facts)) = (status, &request.facts) {
            request.grpc_status = Some(status.code() as u16);
            if matches!(close, Close::Internal | Close::UpstreamFailed | Close::UpstreamTimeout) {
                let upstream = request.upstream.as_ref().map(|chosen| chosen.label());
                tracing::warn!(upstream, error = %e, request_id = %facts.request_id, close = close.as_str(), "request failed");
            }
            session.set_keepalive(None);
            let sent = match (session.response_written().is_some(), request.answer) {
                (false, _) => reply::send(session, render(&status, facts), &request.headers).await,
                (true, Protocol::Grpc) => {
                    session.downstream_session.write_response_trailers(trailers(&status)).await
                }
                (true, Protocol::Web | Protocol::WebText) => {
                    let last = HttpTask::Body(Some(trailer_frame(&status, request.answer)), true);
                    session.downstream_session.response_duplex_vec(vec![last]).await.map(|_| ())
                }
                (true, Protocol::Http) => Ok(()),
            };
            // It left meanwhile; nobody is there to be told.
            sent.ok();
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, e: Option<&Error>, request: &mut Request) {
        if request.facts.is_none() && e.is_some() {
            request.close = Close::ClientGone;
        }
        let header = session.req_header();
        let status = session.response_written().map_or(0, |written| written.status.as_u16());
        request.log(
            header.method.as_str(),
            header.uri.path(),
            status,
            session.body_bytes_sent(),
            &self.metrics,
        );
    }

    // Failures are logged above, with what matters; a client that leaves is no error.
    fn suppress_error_log(&self, _: &Session, _: &Request, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Request, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}

fn status_of(headers: &HeaderMap) -> Option<u16> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    // Beyond the codes there are none.
    (code <= Code::Unauthenticated as u16).then_some(code)
}
