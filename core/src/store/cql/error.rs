//! What a failed request did.
//!
//! Only what a server certainly refused before it did anything is [`StoreError::Unavailable`]. A wrong "unavailable"
//! loses the promise that a retry finds its first result; a wrong "unknown" costs one serial read.

use crate::store::StoreError;
use scylla::{
    errors::{DbError, ExecutionError, RequestAttemptError},
    statement::Consistency,
};

/// The error of a read. A read does nothing, so it is never unknown.
pub fn read(error: ExecutionError) -> StoreError {
    use RequestAttemptError as Attempt;
    match &error {
        ExecutionError::LastAttemptError(
            Attempt::CqlResultParseError(_) | Attempt::CqlErrorParseError(_) | Attempt::UnexpectedResponse(_),
        ) => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// The error of a write.
pub fn write(error: ExecutionError) -> StoreError {
    if did_nothing(&error) {
        StoreError::Unavailable(error.to_string())
    } else {
        StoreError::Unknown(error.to_string())
    }
}

/// What it is after another part of the same call was done.
pub fn after_a_part(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(why) => StoreError::Unknown(why),
        error => error,
    }
}

/// A value that doesn't fit what is stored.
pub fn corrupt(what: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{what}: {why}"))
}

fn did_nothing(error: &ExecutionError) -> bool {
    use RequestAttemptError as Attempt;
    match error {
        // Nothing was sent.
        ExecutionError::BadQuery(_)
        | ExecutionError::EmptyPlan
        | ExecutionError::PrepareError(_)
        | ExecutionError::ConnectionPoolError(_) => true,
        ExecutionError::LastAttemptError(attempt) => match attempt {
            Attempt::SerializationError(_)
            | Attempt::CqlRequestSerialization(_)
            | Attempt::UnableToAllocStreamId
            | Attempt::RepreparedIdChanged { .. }
            | Attempt::RepreparedIdMissingInBatch => true,
            Attempt::DbError(error, _) => refused(error),
            _ => false,
        },
        _ => false,
    }
}

fn refused(error: &DbError) -> bool {
    match error {
        // Before the first round of a conditional write. With another consistency it may come from its last round,
        // when what was proposed is already decided.
        DbError::Unavailable { consistency: Consistency::Serial | Consistency::LocalSerial, .. } => true,
        DbError::SyntaxError
        | DbError::Invalid
        | DbError::AuthenticationError
        | DbError::Unauthorized
        | DbError::ConfigError
        | DbError::IsBootstrapping
        | DbError::Unprepared { .. }
        | DbError::ProtocolError => true,
        DbError::RateLimitReached { rejected_by_coordinator, .. } => *rejected_by_coordinator,
        // Timeouts and failures; "overloaded" too, which may come from any round.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scylla::errors::{BrokenConnectionError, BrokenConnectionErrorKind, WriteType};
    use std::time::Duration;

    fn db(error: DbError) -> ExecutionError {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, "said".into()))
    }

    #[test]
    fn only_what_certainly_did_nothing_is_unavailable() {
        let unavailable = |consistency| db(DbError::Unavailable { consistency, required: 2, alive: 1 });
        let timeout = |write_type| {
            let consistency = Consistency::Serial;
            db(DbError::WriteTimeout { consistency, received: 0, required: 2, write_type })
        };
        let nothing = [
            ExecutionError::EmptyPlan,
            unavailable(Consistency::Serial),
            unavailable(Consistency::LocalSerial),
            db(DbError::Invalid),
            db(DbError::IsBootstrapping),
            ExecutionError::LastAttemptError(RequestAttemptError::UnableToAllocStreamId),
        ];
        for error in nothing {
            assert!(matches!(write(error.clone()), StoreError::Unavailable(_)), "{error}");
        }
        let broken = BrokenConnectionError::from(BrokenConnectionErrorKind::ChannelError);
        let perhaps = [
            ExecutionError::RequestTimeout(Duration::from_secs(1)),
            unavailable(Consistency::Quorum),
            timeout(WriteType::Cas),
            timeout(WriteType::Simple),
            timeout(WriteType::Batch),
            db(DbError::Overloaded),
            db(DbError::ServerError),
            db(DbError::Other(0x1700)),
            ExecutionError::LastAttemptError(broken.into()),
        ];
        for error in perhaps {
            assert!(matches!(write(error.clone()), StoreError::Unknown(_)), "{error}");
            assert!(matches!(read(error), StoreError::Unavailable(_)));
        }
    }
}
