//! What goes wrong below, in the words of gRPC.

use super::check::invalid;
use crate::{
    conversation::{CommandError, Fault, Refusal, history::ReadError},
    store::StoreError,
};
use axum::{body::Body, response::Response};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// After which time a call that found the node busy should be tried again.
const RETRY: Duration = Duration::from_millis(250);

/// A refusal.
pub fn refusal(refusal: Refusal) -> Status {
    let message = refusal.to_string();
    match refusal {
        Refusal::Invalid { field, why } => invalid(field, why),
        Refusal::NoConversation | Refusal::NoMessage(_) | Refusal::NoInvitation => Status::not_found(message),
        Refusal::Exists => Status::already_exists(message),
        Refusal::Denied(_) => Status::permission_denied(message),
        Refusal::State(_) => Status::failed_precondition(message),
        Refusal::Slow { wait } => {
            let details = ErrorDetails::with_retry_info(Some(wait));
            Status::with_error_details(Code::FailedPrecondition, message, details)
        }
        Refusal::Beyond { .. } => Status::out_of_range(message),
        Refusal::Full { what, .. } => exhausted(what, message),
    }
}

/// A command that got no receipt.
pub fn command(error: CommandError) -> Status {
    match error {
        CommandError::Refused(why) => refusal(why),
        CommandError::Unknown(_) => unavailable(error.to_string()),
    }
}

/// A page that couldn't be read.
pub fn read(error: ReadError) -> Status {
    match error {
        ReadError::Refused(why) => refusal(why),
        ReadError::Ahead { .. } => Status::out_of_range(error.to_string()),
        ReadError::Fault(why) => fault(why),
    }
}

/// A read that failed.
pub fn fault(Fault(error): Fault) -> Status {
    store(error)
}

/// What the store didn't do.
pub fn store(error: StoreError) -> Status {
    match error {
        StoreError::Corrupt(why) => {
            tracing::error!(%why, "stored data can't be read");
            Status::data_loss(why)
        }
        StoreError::Unavailable(_) | StoreError::Unknown(_) => unavailable(error.to_string()),
    }
}

/// A method that comes in a later version.
pub fn later(method: &str) -> Status {
    Status::unimplemented(format!("{method} comes in a later version"))
}

/// What generated code answers is put into the words of this API.
///
/// Bytes that are no request are the caller's mistake, and say so: tonic calls them INTERNAL, which blames the server,
/// and a request that is too large OUT_OF_RANGE, which in this API says that an id is beyond the retry horizon.
pub async fn unreadable(response: Response<Body>) -> Response<Body> {
    let Some(status) = response.extensions().get::<Status>() else {
        let status = Status::from_header_map(response.headers());
        return match status.filter(|status| status.code() == Code::Unimplemented) {
            Some(status) if status.message().is_empty() => {
                Status::unimplemented("there is no such method in this service").into_http()
            }
            _ => response,
        };
    };
    let why = status.message();
    if status.code() == Code::Internal
        && let Some(why) = why.strip_prefix("failed to decode Protobuf message: ")
    {
        let (field, why) = undecodable(why);
        return invalid(&field, format!("can't be read: {why}")).into_http();
    }
    if status.code() == Code::OutOfRange
        && let Some((_, found)) = why.split_once("decoded message length too large: ")
    {
        return exhausted("bytes of the request", format!("the request is too large: {found}")).into_http();
    }
    response
}

/// A oneof stands where its field should in what prost says, and which of its fields it was is not told.
const ONEOF: &str = "InvitationReference.by";

/// The field that could not be decoded, and why, from `Content.text: SendMessageRequest.content: why`.
fn undecodable(why: &str) -> (String, &str) {
    let (mut path, mut rest) = (Vec::new(), why);
    while let Some((step, after)) = rest.split_once(": ")
        && let Some((_, field)) = step.split_once('.').filter(|_| !step.contains(' '))
    {
        if step == ONEOF {
            path.clear();
        } else {
            path.push(field);
        }
        rest = after;
    }
    // The innermost comes first.
    path.reverse();
    let field = if path.is_empty() { "request".to_owned() } else { path.join(".") };
    (field, rest)
}

fn exhausted(what: &str, message: String) -> Status {
    let details = ErrorDetails::with_quota_failure_violation(what, &message);
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

fn unavailable(message: String) -> Status {
    Status::with_error_details(Code::Unavailable, message, ErrorDetails::with_retry_info(Some(RETRY)))
}
