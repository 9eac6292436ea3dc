//! What a refusal must say.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The code is this one, and the message says what to do.
pub fn expect(status: &Status, code: Code) {
    if let Some(wrong) = wrong(status, code, None) {
        panic!("{wrong}");
    }
}

/// INVALID_ARGUMENT that names a field.
pub fn expect_invalid(status: &Status, field: &str) {
    if let Some(wrong) = wrong(status, Code::InvalidArgument, Some(field)) {
        panic!("{wrong}");
    }
}

/// What is wrong with a refusal that should have this code, and name this field (or one that it is part of).
pub fn wrong(status: &Status, code: Code, field: Option<&str>) -> Option<String> {
    let said = format!("{:?}: {:?}", status.code(), status.message());
    if status.code() != code {
        return Some(format!("{said}, expected {code:?}"));
    }
    if status.message().len() < 10 {
        return Some(format!("{said} doesn't say what to do"));
    }
    if code == Code::ResourceExhausted {
        let retry = status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some());
        let quota = status.get_details_quota_failure().map(|quota| quota.violations).unwrap_or_default();
        let told =
            !quota.is_empty() && quota.iter().all(|v| !v.subject.is_empty() && !v.description.is_empty());
        return (!retry && !told).then(|| format!("{said} has neither RetryInfo nor a whole QuotaFailure"));
    }
    if code != Code::InvalidArgument {
        return None;
    }
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    if violations.is_empty() || violations.iter().any(|v| v.field.is_empty() || v.description.is_empty()) {
        return Some(format!("{said} names no field in a google.rpc.BadRequest"));
    }
    let field = field?;
    let part_of =
        |named: &str| field == named || field.strip_prefix(named).is_some_and(|rest| rest.starts_with('.'));
    (!violations.iter().any(|v| part_of(&v.field)))
        .then(|| format!("{said} names {:?}, expected {field}", violations[0].field))
}
