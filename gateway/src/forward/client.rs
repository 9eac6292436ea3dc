//! The client's side of one request, whichever HTTP it speaks.

use bytes::Bytes;
use http::{HeaderMap, response::Parts};
use std::time::Duration;

/// Why nothing more reaches a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It left, or took back its request.
    Left,
    /// It read nothing for as long as it may.
    Slow,
}

/// A request that is being answered.
pub(crate) trait Client: Send {
    /// The next piece of the request's body; `None` at its end. After that it waits until the client leaves. May be
    /// dropped and asked again.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Lost>> + Send;

    /// So many bytes of the body have gone on: the client may send as many again.
    fn took(&mut self, bytes: usize);

    /// Whether all of the request has come and was read.
    fn is_read(&mut self) -> bool;

    /// Throws the rest of the request away, for this long at most.
    fn drain(&mut self, patience: Duration) -> impl Future<Output = ()> + Send;

    /// Sends the header of the answer, which may be all of it.
    fn begin(&mut self, head: Parts, end: bool) -> impl Future<Output = Result<(), Lost>> + Send;

    /// Sends a piece of the answer's body. Waits until there is room for it, so that nothing is taken from a node that
    /// its client doesn't read.
    fn send(&mut self, data: Bytes) -> impl Future<Output = Result<(), Lost>> + Send;

    /// Ends the answer.
    fn end(&mut self, trailers: Option<HeaderMap>) -> impl Future<Output = Result<(), Lost>> + Send;

    /// Breaks the answer off, with what is queued of it.
    fn cut(&mut self);
}
