//! What the stack answers.

use super::{method::Class, places::Place, protocol::Protocol};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{net::IpAddr, time::Duration};

/// The answer to one request.
pub(crate) struct Decision {
    /// What was found out, for the log.
    pub facts: Facts,
    pub action: Action,
    /// Headers to set on the response, whoever makes it.
    pub headers: HeaderMap,
}

/// What to do.
pub(crate) enum Action {
    /// Send it to a chat node.
    Forward(Forward),
    /// Answer it here.
    Reply(Reply),
}

/// How to send it on.
pub(crate) struct Forward {
    /// Requests with the same key go to the same node.
    pub key: u64,
    pub class: Class,
    /// Headers to set on the request after every inbound `nexus-*` header but `nexus-conversation` was dropped.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long the node may say nothing.
    pub silence: Duration,
    /// When the token is no longer taken, in Unix milliseconds.
    pub expires_ms: Option<i64>,
    /// Its place among the requests in progress, given back when it is dropped.
    pub _place: Option<Place>,
}

/// An answer made here.
pub(crate) enum Reply {
    /// A gRPC status, shown as the client's protocol wants it.
    Status(tonic::Status),
    /// A page, a redirect, a preflight.
    Http(Box<http::Response<Bytes>>),
}

impl Reply {
    pub(crate) fn http(response: http::Response<Bytes>) -> Self {
        Reply::Http(Box::new(response))
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub tenant: String,
    pub user: String,
    pub device: String,
    /// When the token is no longer taken: the leeway after it expires. Unix milliseconds.
    pub expires_ms: i64,
}

/// What the layers found out about a request.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub request_id: String,
    /// The client's address, as far as we can know it.
    pub client: IpAddr,
    pub protocol: Protocol,
    pub content_type: Option<HeaderValue>,
    /// None if it is no gRPC call.
    pub class: Option<Class>,
    pub identity: Option<Identity>,
    pub trace_id: Option<String>,
    /// The layer that answered.
    pub answered_by: Option<&'static str>,
}

impl Facts {
    pub(crate) fn new(client: IpAddr, protocol: Protocol) -> Self {
        Facts {
            request_id: String::new(),
            client,
            protocol,
            content_type: None,
            class: None,
            identity: None,
            trace_id: None,
            answered_by: None,
        }
    }
}
