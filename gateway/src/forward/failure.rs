//! Why a request that was to be forwarded came to nothing, and what its client is told.

use super::{Lost, request::Close};
use crate::{policy::unavailable, routing::Ending};
use std::time::Duration;
use tonic::Status;

/// What clients are told to wait after a node failed.
const RETRY: Duration = Duration::from_millis(500);

/// How it ended, and what to say, if there is anybody to say it to.
pub(super) struct Failure {
    pub close: Close,
    pub status: Option<Status>,
    /// What it is called among the failures of nodes, if it was a node's.
    pub kind: Option<&'static str>,
}

impl Failure {
    /// Of the request, not of a node.
    pub(super) fn own(close: Close, status: Status) -> Self {
        Failure { close, status: Some(status), kind: None }
    }

    /// Nothing was sent to any node.
    pub(super) fn no_node() -> Self {
        Failure::own(
            Close::UpstreamFailed,
            unavailable("no chat node can be reached; try again shortly", RETRY),
        )
    }

    /// The node broke off.
    pub(super) fn broken() -> Self {
        let message =
            "the chat node could not answer; it may or may not have been done. Retry with the same id";
        let status = Some(unavailable(message, RETRY));
        Failure { close: Close::UpstreamFailed, status, kind: Some("broken") }
    }

    /// The node was taken out of the set of those that get requests.
    fn out() -> Self {
        let message =
            "the chat node has stopped answering; it may or may not have been done. Retry with the same id";
        let status = Some(unavailable(message, RETRY));
        Failure { close: Close::UpstreamOut, status, kind: Some("out") }
    }

    /// This edge goes away. Others are there, so there is nothing to wait for.
    fn leaving() -> Self {
        Failure::own(Close::EdgeLeaving, Status::unavailable("this edge goes away; attach again"))
    }

    /// The node said nothing for too long.
    pub(super) fn silent(is_stream: bool) -> Self {
        let status = if is_stream {
            unavailable("the chat node fell silent; attach again", RETRY)
        } else {
            Status::deadline_exceeded(
                "no answer in time; it may or may not have been done. Retry with the same id",
            )
        };
        Failure { close: Close::UpstreamTimeout, status: Some(status), kind: Some("timeout") }
    }
}

impl From<Ending> for Failure {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Out => Failure::out(),
            Ending::Leaving(_) => Failure::leaving(),
        }
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        let close = match lost {
            Lost::Left => Close::ClientGone,
            Lost::Slow => Close::SlowClient,
        };
        Failure { close, status: None, kind: None }
    }
}
