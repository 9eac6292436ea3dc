//! Gives every request an id, keeping the client's if it is one; and notes the trace it belongs to.

use super::{
    decision::Reply,
    gate::Check,
    head::{RequestHead, is_name, trace_id},
};
use uuid::Uuid;

/// The layer's check.
pub(crate) struct Assign {
    fresh: fn() -> String,
}

impl Default for Assign {
    #[allow(clippy::disallowed_methods, reason = "it names a request in logs; nothing is decided by it")]
    fn default() -> Self {
        Assign { fresh: || Uuid::now_v7().to_string() }
    }
}

impl Check for Assign {
    fn check(&self, head: &mut RequestHead) -> Result<(), Reply> {
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let given = text("x-request-id").filter(|id| is_name(id)).map(str::to_owned);
        let trace = text("traceparent").and_then(trace_id).map(str::to_owned);
        head.facts.request_id = given.unwrap_or_else(self.fresh);
        head.facts.trace_id = trace;
        Ok(())
    }
}
