//! The bottom of the stack: where a request goes, and with which headers.

use super::{
    decision::{Action, Decision, Forward},
    head::{RequestHead, grpc_timeout},
    method::Class,
};
use crate::config::Timeouts;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
    time::Duration,
};
use tower::Service;
use xxhash_rust::xxh3::Xxh3;

/// The routing hint that clients set.
const CONVERSATION: HeaderName = HeaderName::from_static("nexus-conversation");
const TENANT: HeaderName = HeaderName::from_static("nexus-tenant");
const USER: HeaderName = HeaderName::from_static("nexus-user");
const DEVICE: HeaderName = HeaderName::from_static("nexus-device");
const EXPIRES: HeaderName = HeaderName::from_static("nexus-token-expires");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The node answers a call's deadline itself; the edge waits this much longer, so that its answer wins.
const SLACK: Duration = Duration::from_millis(500);

/// The service.
#[derive(Clone)]
pub(crate) struct Route {
    call: Duration,
    stream: Duration,
}

impl Route {
    pub(crate) fn new(timeouts: &Timeouts) -> Self {
        Route {
            call: Duration::from_secs(timeouts.call_s),
            stream: Duration::from_secs(timeouts.stream_silence_s),
        }
    }

    fn forward(&self, head: &mut RequestHead) -> Forward {
        let class = head.facts.class.unwrap_or(Class::Read);
        let asked = head.headers.get("grpc-timeout").and_then(|value| grpc_timeout(value.as_bytes()));
        let silence = match class {
            Class::Stream => self.stream,
            _ => asked.map_or(self.call, |asked| (asked + SLACK).min(self.call)),
        };
        Forward {
            key: key(head, class),
            class,
            headers: headers(head),
            silence,
            expires_ms: head.facts.identity.as_ref().map(|identity| identity.expires_ms),
            _place: head.place.take(),
        }
    }
}

/// A stream goes by its user, so that a user's devices meet; a call by its conversation, so that one node
/// appends to it; any other call by its user, or by its address if nobody is logged in.
fn key(head: &RequestHead, class: Class) -> u64 {
    let mut hash = Xxh3::new();
    let mut feed = |kind: u8, tenant: &str, value: &[u8]| {
        hash.update(&[kind, tenant.len() as u8]);
        hash.update(tenant.as_bytes());
        hash.update(value);
    };
    let conversation = head.headers.get(CONVERSATION).filter(|_| class != Class::Stream);
    match (&head.facts.identity, conversation) {
        (Some(identity), Some(conversation)) => feed(b'c', &identity.tenant, conversation.as_bytes()),
        (Some(identity), None) => feed(b'u', &identity.tenant, identity.user.as_bytes()),
        (None, _) => feed(b'a', "", head.facts.client.to_string().as_bytes()),
    }
    hash.digest()
}

/// What the node is told of the caller.
fn headers(head: &RequestHead) -> Vec<(HeaderName, HeaderValue)> {
    let facts = &head.facts;
    let mut headers = Vec::with_capacity(7);
    let mut set = |name: HeaderName, value: &str| {
        // Names and ids were checked for their characters; what could not be sent is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.push((name, value));
        }
    };
    set(REQUEST_ID, &facts.request_id);
    set(FORWARDED_FOR, &facts.client.to_string());
    set(FORWARDED_PROTO, "https");
    if let Some(identity) = &facts.identity {
        set(TENANT, &identity.tenant);
        set(USER, &identity.user);
        set(DEVICE, &identity.device);
        set(EXPIRES, &identity.expires_ms.to_string());
    }
    headers
}

impl Service<RequestHead> for Route {
    type Response = Decision;
    type Error = Infallible;
    type Future = Ready<Result<Decision, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut head: RequestHead) -> Self::Future {
        let forward = self.forward(&mut head);
        ready(Ok(Decision { facts: head.facts, action: Action::Forward(forward), headers: HeaderMap::new() }))
    }
}
