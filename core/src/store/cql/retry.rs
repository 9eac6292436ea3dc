//! When the driver makes a serial read again.
//!
//! Its own policy never does: it takes whatever is serial for a write. A serial read may finish what others began, and
//! does nothing of its own, so that after a broken connection another node can answer it. An append whose outcome is
//! unknown waits for just this read.

use scylla::{
    errors::{DbError, RequestAttemptError},
    policies::retry::{RequestInfo, RetryDecision, RetryPolicy, RetrySession},
};

/// Nodes that are asked after the first.
const MORE: u32 = 2;

/// The policy of serial reads.
#[derive(Debug)]
pub struct SerialReads;

impl RetryPolicy for SerialReads {
    fn new_session(&self) -> Box<dyn RetrySession> {
        Box::new(Session { left: MORE })
    }
}

struct Session {
    left: u32,
}

impl RetrySession for Session {
    fn decide_should_retry(&mut self, request: RequestInfo<'_>) -> RetryDecision {
        // Not timeouts: the others would take as long, and the caller's time is up.
        let elsewhere = match request.error {
            RequestAttemptError::BrokenConnectionError(_) | RequestAttemptError::UnableToAllocStreamId => {
                true
            }
            RequestAttemptError::DbError(error, _) => matches!(
                error,
                DbError::Overloaded
                    | DbError::IsBootstrapping
                    | DbError::ServerError
                    | DbError::Unavailable { .. }
            ),
            _ => false,
        };
        if !elsewhere || self.left == 0 {
            return RetryDecision::DontRetry;
        }
        self.left -= 1;
        RetryDecision::RetryNextTarget(None)
    }

    fn reset(&mut self) {
        self.left = MORE;
    }
}
