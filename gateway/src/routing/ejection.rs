//! A node that passes its checks and fails its calls.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::time::Instant;

/// When a node is passed over for a while.
#[derive(Debug, Clone, Copy)]
pub struct Eject {
    /// After so many failed calls in a row; 0: never.
    pub after: u32,
    /// For so long.
    pub during: Duration,
}

/// How a node's calls have gone.
///
/// It says nothing of streams: those that break were told something by then, and their clients come again with what is left.
pub(super) struct Calls {
    began: Instant,
    failed_in_a_row: AtomicU32,
    /// Milliseconds after `began`; 0 if it never was passed over.
    ejected_until: AtomicU64,
}

impl Calls {
    pub(super) fn new() -> Self {
        Calls { began: Instant::now(), failed_in_a_row: AtomicU32::new(0), ejected_until: AtomicU64::new(0) }
    }

    pub(super) fn are_ejected(&self) -> bool {
        let until = self.ejected_until.load(Relaxed);
        until > 0 && self.now() < until
    }

    /// It answered, whatever it said.
    pub(super) fn answered(&self) {
        // Nearly always it is 0, and every thread may read what none writes.
        if self.failed_in_a_row.load(Relaxed) > 0 {
            self.failed_in_a_row.store(0, Relaxed);
        }
    }

    /// It didn't. True if the node is passed over from now on. It is so again with the first failure after that time.
    pub(super) fn failed(&self, eject: Eject) -> bool {
        let failed = self.failed_in_a_row.fetch_add(1, Relaxed).saturating_add(1);
        let now = eject.after > 0 && failed >= eject.after && !self.are_ejected();
        if now {
            self.ejected_until.store(self.now() + eject.during.as_millis() as u64, Relaxed);
        }
        now
    }

    /// It may be another process by now.
    pub(super) fn forget(&self) {
        self.failed_in_a_row.store(0, Relaxed);
        self.ejected_until.store(0, Relaxed);
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_is_passed_over_after_failures_in_a_row_and_again_if_it_goes_on() {
        let eject = Eject { after: 3, during: Duration::from_secs(10) };
        let calls = Calls::new();
        for _ in 0..5 {
            assert!(!calls.failed(eject) && !calls.failed(eject));
            calls.answered();
        }
        assert!(!calls.are_ejected());
        assert_eq!([calls.failed(eject), calls.failed(eject), calls.failed(eject)], [false, false, true]);
        assert!(calls.are_ejected());
        assert!(!calls.failed(eject), "what was under way is no second time");
        tokio::time::advance(eject.during).await;
        assert!(!calls.are_ejected());
        assert!(calls.failed(eject), "it still fails");
        calls.forget();
        assert!(!calls.are_ejected() && !calls.failed(eject));
        let never = Eject { after: 0, ..eject };
        assert!((0..100).all(|_| !calls.failed(never)));
    }
}
