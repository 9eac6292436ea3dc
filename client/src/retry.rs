//! When to try again, and after how long.
use std::{error::Error, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::clock::Chance;

/// How calls are repeated.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// How long one attempt may take. 10 s.
    pub attempt_timeout: Duration,
    /// No attempt begins later than this after the first. 60 s.
    pub give_up_after: Duration,
    /// How the pauses grow.
    pub backoff: Backoff,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_secs(10),
            give_up_after: Duration::from_secs(60),
            backoff: Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(5) },
        }
    }
}

/// Exponential backoff with full jitter: the n-th pause is anything up to `base * 2^n`, at most `cap`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first pause is at most this.
    pub base: Duration,
    /// No pause is longer.
    pub cap: Duration,
}

impl Backoff {
    pub(crate) fn pause(&self, failures: u32, chance: &Chance) -> Duration {
        chance.up_to(self.base.saturating_mul(1 << failures.min(16)).min(self.cap))
    }
}

/// What a failed attempt means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The server refused it: nothing happened, and a repetition would be refused as well.
    Refused,
    /// The server refused it for the moment, and said when to come again.
    Later(Duration),
    /// The token is not good (any more).
    Unauthenticated,
    /// Nobody knows whether it happened; try again.
    Unknown(Option<Duration>),
    /// Nobody knows whether it happened, and trying at once would not help.
    Broken,
}

/// The connection's own failures (they have a source) say nothing about the outcome, whatever their code.
pub(crate) fn verdict(status: &Status) -> Verdict {
    let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    if status.source().is_some() {
        return Verdict::Unknown(None);
    }
    match status.code() {
        Code::Unauthenticated => Verdict::Unauthenticated,
        Code::ResourceExhausted => after.map_or(Verdict::Refused, Verdict::Later),
        // A stream that was cut without a status shows as UNKNOWN or CANCELLED.
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled | Code::Unknown => {
            Verdict::Unknown(after)
        }
        Code::Internal | Code::DataLoss | Code::Ok => Verdict::Broken,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_refusal_is_final_unless_it_says_when_to_come_again() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3)));
        let limited = Status::with_error_details(Code::ResourceExhausted, "slow down", details.clone());
        assert_eq!(verdict(&limited), Verdict::Later(Duration::from_secs(3)));
        assert_eq!(verdict(&Status::resource_exhausted("full")), Verdict::Refused);
        assert_eq!(verdict(&Status::permission_denied("no")), Verdict::Refused);
        let gone = Status::with_error_details(Code::Unavailable, "draining", details);
        assert_eq!(verdict(&gone), Verdict::Unknown(Some(Duration::from_secs(3))));
    }

    #[test]
    fn the_connections_own_failures_leave_the_outcome_open() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(verdict(&Status::from_error(Box::new(refused))), Verdict::Unknown(None));
        assert_eq!(verdict(&Status::internal("a bug")), Verdict::Broken);
    }

    #[test]
    fn pauses_grow_to_the_cap_with_full_jitter() {
        let chance = Chance::new(Some(7));
        let backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(5) };
        for failures in 0..100 {
            let most = Duration::from_millis(100).saturating_mul(1 << failures.min(16)).min(backoff.cap);
            assert!(backoff.pause(failures, &chance) <= most);
        }
        let longest = (0..200).map(|_| backoff.pause(30, &chance)).max().unwrap();
        assert!(longest > Duration::from_secs(4), "{longest:?}");
    }
}
