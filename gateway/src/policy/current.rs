//! The stack in use. Each request goes through the one that it met, whatever replaces that meanwhile.

use super::{Decision, Layers, RequestHead};
use arc_swap::ArcSwap;
use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Service, ServiceExt as _, util::Oneshot};

/// A handle on the stack in use. Clones see it replaced.
#[derive(Clone)]
pub(crate) struct Stack(Arc<ArcSwap<Layers>>);

impl Stack {
    pub(crate) fn new(layers: Layers) -> Self {
        Stack(Arc::new(ArcSwap::from_pointee(layers)))
    }

    /// Puts another in its place.
    pub(crate) fn replace(&self, layers: Layers) {
        self.0.store(Arc::new(layers));
    }
}

impl Service<RequestHead> for Stack {
    type Response = Decision;
    type Error = Infallible;
    type Future = Oneshot<Layers, RequestHead>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, head: RequestHead) -> Self::Future {
        Layers::clone(&self.0.load()).oneshot(head)
    }
}
