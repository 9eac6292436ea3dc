//! What to do with a request, decided by one stack of Tower layers from its head alone. Nothing here names
//! the proxy that asks.
//!
//! - `head.rs`: a request's head, as the layers see it; `method.rs`: gRPC method paths and their classes;
//!   `protocol.rs`: what a client speaks; `places.rs`: places among the requests in progress
//! - `decision.rs`: what the stack answers; `reply.rs`: how a gRPC status looks to each kind of client
//! - `gate.rs`: a check as a Tower layer
//! - the layers, outermost first: `request_id.rs`, `client_address.rs`, `security.rs`, `cors.rs`,
//!   `rate_limit/` (by address), `redirect.rs`, `pages.rs`, `served.rs`, `authenticate/`, `rate_limit/` (by
//!   user and class), `shed.rs`
//! - `route.rs`: the service at the bottom, which forwards
//! - `current.rs`: the stack in use, which a reload replaces

mod authenticate;
mod client_address;
mod cors;
mod current;
mod decision;
mod gate;
mod head;
mod method;
mod pages;
mod places;
mod protocol;
mod rate_limit;
mod redirect;
mod reply;
mod request_id;
mod route;
mod security;
mod served;
mod shed;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use authenticate::fuzz_jwks;
pub(crate) use authenticate::{KeySet, Keys, open as open_keys};
pub(crate) use current::Stack;
pub(crate) use decision::{Action, Decision, Facts, Forward, Reply};
pub(crate) use head::RequestHead;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use head::is_name;
pub(crate) use method::Class;
pub(crate) use places::Places;
pub(crate) use protocol::Protocol;
pub(crate) use reply::{render, trailer_frame, trailer_status, trailers, unavailable};

use crate::{Assets, Clock, config::Config, metrics::Metrics};
use gate::gate;
use std::{convert::Infallible, sync::Arc};
use tower::{ServiceBuilder, util::BoxCloneSyncService};

/// The whole policy. It has an answer for everything, so it can't fail.
pub(crate) type Layers = BoxCloneSyncService<RequestHead, Decision, Infallible>;

/// What the layers need that is not in the configuration.
pub(crate) struct Parts {
    pub assets: Assets,
    pub clock: Clock,
    pub metrics: Metrics,
    /// The port where HTTPS is served.
    pub https_port: u16,
    pub places: Places,
}

/// Puts the layers together. `config` has been validated.
pub(crate) fn layers(config: &Config, keys: Arc<Keys>, parts: &Parts) -> Layers {
    let limits = &config.limits;
    let https_port = config.public_port.unwrap_or(parts.https_port);
    Layers::new(
        ServiceBuilder::new()
            .layer(gate("request_id", request_id::Assign::default()))
            .layer(gate("client_address", client_address::Find { trusted_hops: config.trusted_hops }))
            .layer(security::SecurityHeaders::new(config))
            .layer(cors::Cors::new(config))
            .layer(gate("address_limit", rate_limit::ByAddress::new(limits, parts.metrics.clone())))
            .layer(gate("redirect", redirect::ToHttps { port: https_port }))
            .layer(gate("page", pages::Pages::new(parts.assets.clone())))
            .layer(gate("served", served::Served::new(config.mode)))
            .layer(authenticate::Authenticate::new(keys, parts.clock.clone()))
            .layer(gate("user_limit", rate_limit::ByUser::new(limits, parts.metrics.clone())))
            .layer(gate("shed", shed::Shed::new(limits, parts.places.clone())))
            .service(route::Route::new(&config.timeouts)),
    )
}

#[cfg(test)]
mod tests;
