//! Time, injected.

use std::{sync::Arc, time::SystemTime};

/// Tells the time of day. Timers use tokio's clock, which tests can pause.
pub trait Clock: Send + Sync + 'static {
    /// Unix milliseconds. May jump.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock that is injected")]
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.as_millis() as i64,
            Err(before) => -(before.duration().as_millis() as i64),
        }
    }
}

/// The clock as it is passed around.
pub type SharedClock = Arc<dyn Clock>;
